"""Runs the experiments on training quantized weights with small sizes, reads their logs and compares figures with them."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "python"))
from coarsegrad import read_run  # noqa: E402
from coarsegrad.figures import binary_relax_regression, weight_histograms  # noqa: E402
from coarsegrad.figures.style import plt  # noqa: E402

BIN = Path(os.environ["BIN"])


def lines(fig):
    return {line.get_gid(): line.get_data() for ax in fig.axes for line in ax.get_lines() if line.get_gid()}


def images(fig):
    return {image.get_gid(): np.asarray(image.get_array()) for ax in fig.axes for image in ax.get_images()}


class MainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(plt.close, "all")
        self.folder = Path(folder.name)

    def run_main(self, name, *flags, code=0):
        """The log, or what was said where another code is expected."""
        log = self.folder / f"{name}.h5"
        done = subprocess.run([BIN / name, "--quiet", "--out", log, *map(str, flags)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return read_run(log) if code == 0 else done.stderr


class Regression(MainTest):
    FLAGS = (
        "--seeds",
        3,
        "--steps",
        30,
        "--last-steps",
        10,
        "--rows",
        15,
        "--columns",
        4,
        "--growth",
        1.2,
        "--seed",
        7,
    )

    def test_the_log_and_what_is_drawn(self):
        run = self.run_main("binary_relax_regression", *self.FLAGS)
        seed, first, best, last = run.table("runs", "seed", "first_loss", "best_loss", "last_loss")
        names = run.names("runs", "rule")
        self.assertEqual(list(names), ["binary_connect", "binary_relax"] * 3)
        np.testing.assert_array_equal(seed, [7, 7, 8, 8, 9, 9])
        np.testing.assert_array_equal(first[::2], first[1::2])
        self.assertTrue(np.all(last >= 0) and np.all(best > 0))
        rule = run.names("descent", "rule")
        step, strength, used, quantized = run.table("descent", "step", "lambda", "loss_used", "loss_quantized")
        for k, name in enumerate(("binary_connect", "binary_relax")):
            rows = rule == name
            np.testing.assert_array_equal(step[rows], np.arange(40))
            self.assertEqual(quantized[rows][0], first[k])
            self.assertEqual(quantized[rows][30:].min(), best[k])
            np.testing.assert_array_equal(used[rows][30:], quantized[rows][30:])
        np.testing.assert_allclose(strength[rule == "binary_relax"], [*1.2 ** np.arange(1, 31), *[np.inf] * 10])
        self.assertEqual(set(strength[rule == "binary_connect"]), {0})

        (shown,) = lines(binary_relax_regression.wins(run)).values()
        np.testing.assert_array_equal(shown, (best[::2], best[1::2]))
        shown = lines(binary_relax_regression.descent(run))
        np.testing.assert_array_equal(shown["descent/binary_relax/loss_used"][1], used[rule == "binary_relax"])
        np.testing.assert_array_equal(
            shown["descent/binary_connect/loss_quantized"][1], quantized[rule == "binary_connect"]
        )
        self.assertEqual(len(shown["descent/binary_relax/lambda"][0]), 30)
        figure = binary_relax_regression.path(run)
        value, in_use = run.table("path", "value", "used")
        rows = run.names("path", "rule") == "binary_relax"
        value, in_use = (column[rows].reshape(40, 4) for column in (value, in_use))
        for weight in range(4):
            np.testing.assert_array_equal(lines(figure)[f"path/binary_relax/value/{weight}"][1], value[:, weight])
        np.testing.assert_array_equal(images(figure)["path/binary_relax/used"], in_use.T[np.argsort(value[0])])
        self.assertEqual(len(set(np.abs(in_use[-1]))), 1)
        self.assertGreater(len(set(np.abs(in_use[0]))), 1)

    def test_more_columns_than_rows_are_refused(self):
        said = self.run_main("binary_relax_regression", "--rows", 3, "--columns", 4, code=2)
        self.assertIn("columns: given 4, expected at most 3", said)


class Histograms(MainTest):
    FLAGS = (
        "--dataset",
        "drawn_digits",
        "--images",
        260,
        "--held-out",
        20,
        "--batch",
        20,
        "--epochs",
        2,
        "--float-epochs",
        1,
        "--schedule-epochs",
        2,
        "--methods",
        "binary_relax,prox_quant,twn",
    )
    METHODS, EPOCHS, BINS = ("binary_relax", "prox_quant", "twn"), 2, 81

    def test_the_log_and_what_is_drawn(self):
        run = self.run_main("weight_histograms", *self.FLAGS)
        names = run.names("histograms", "method")
        layer, epoch, centre = run.table("histograms", "layer", "epoch", "centre")
        floats, used = run.table("histograms", "float_share", "used_share")
        np.testing.assert_allclose(
            centre.reshape(-1, self.BINS), np.tile(0.1 * np.arange(-40, 41), (len(centre) // 81, 1))
        )
        for shares in (floats, used):
            np.testing.assert_allclose(shares.reshape(-1, self.BINS).sum(axis=1), 1, rtol=1e-9)
        layers = run.labels["tables/sizes/layer"]
        self.assertEqual(len(layers), 4)
        rows = run.names("sizes", "method")
        for method in self.METHODS:
            of_method = [column[rows == method] for column in run.table("sizes", "layer", "epoch", "flips", "distance")]
            np.testing.assert_array_equal(of_method[0], [0, 1, 2] * 2)  # the last layer stays float
            np.testing.assert_array_equal(of_method[1], [1] * 3 + [2] * 3)
            self.assertTrue(np.all((of_method[2] >= 0) & (of_method[2] < 0.5)))

        def filled(method, at):
            rows = (names == method) & (layer == 1) & (epoch == at)
            return np.count_nonzero(used[rows])

        self.assertGreater(filled("binary_relax", 1), 10)  # phase I
        self.assertEqual(filled("binary_relax", 2), 2)
        self.assertEqual(filled("twn", 1), 3)
        self.assertGreater(filled("prox_quant", 1), 10)

        maps = images(weight_histograms.maps(run))
        self.assertEqual(len(maps), 6)
        rows = (names == "twn") & (layer == 1)
        shown = np.maximum(used[rows].reshape(self.EPOCHS, self.BINS).T, 3e-4)
        np.testing.assert_array_equal(maps["histograms/twn/used_share"], shown)
        stairs = {
            patch.get_gid(): patch.get_data().values
            for ax in weight_histograms.evolution(run).axes
            for patch in ax.patches
            if patch.get_gid()
        }
        self.assertEqual(len(stairs), 3 * 2 * 2)
        np.testing.assert_array_equal(stairs["histograms/twn/float_share/2"], floats[rows][self.BINS :])
        curves = lines(weight_histograms.sizes(run))
        (flips,) = run.table("sizes", "flips")
        np.testing.assert_allclose(
            curves["sizes/flips/twn"][1], 100 * flips[rows_of(run, "twn")].reshape(2, 3).mean(axis=1)
        )

    def test_which_epochs_are_shown(self):
        self.assertEqual(list(weight_histograms.shown_epochs(1, 5)), [0])
        self.assertEqual(list(weight_histograms.shown_epochs(3, 5)), [0, 1, 2])
        self.assertEqual(list(weight_histograms.shown_epochs(20, 5)), [0, 2, 7, 12, 19])


def rows_of(run, method):
    return run.names("sizes", "method") == method


if __name__ == "__main__":
    unittest.main()
