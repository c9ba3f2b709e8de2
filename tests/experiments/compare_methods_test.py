"""compare_methods on drawn digits: what it logs, and going on where it was broken off."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import numpy as np

from check_log import check_log, open_log, status, tables_of

MAIN = os.environ["COMPARE_METHODS"]
FLAGS = {
    "--dataset": "drawn_digits",
    "--images": 160,
    "--held-out": 40,
    "--batch": 20,
    "--epochs": 3,
    "--float-epochs": 1,
    "--seeds": 2,
    "--methods": "bcgd,binary_relax,telcnn,lsq",
    "--bits": 2,
}


class CompareMethods(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def command(self, name, changes={}):
        flags = FLAGS | {"--out": os.path.join(self.folder.name, name)} | changes
        return [MAIN, "--quiet", *(str(word) for flag in flags.items() for word in flag if word is not None)]

    def whole(self, name, changes={}):
        done = subprocess.run(self.command(name, changes), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        log = os.path.join(self.folder.name, name)
        check_log(log)
        with open_log(log) as file:
            self.assertEqual(status(file), "finished")
            return {
                table: {column: data[:] for column, data in group.items()} for table, group in tables_of(file).items()
            }, done.stdout

    def test_table_and_going_on(self):
        tables, shown = self.whole("whole.h5")
        summary = tables["summary"]
        variants = list(zip(summary["method"], summary["weight_bits"], summary["activation_bits"]))
        # bcgd at 1W4A and at the paper's others, binary_relax at 1 and 2 bits, telcnn at 2 and 4, lsq at 2, 3 and 4
        self.assertEqual(
            sorted(variants),
            [
                (0, 0, 4),
                (0, 1, 4),
                (0, 2, 2),
                (0, 2, 4),
                (0, 4, 4),
                (1, 1, 0),
                (1, 2, 0),
                (2, 2, 2),
                (2, 4, 4),
                (3, 2, 2),
                (3, 3, 3),
                (3, 4, 4),
                (4, 0, 0),  # the float control
            ],
        )
        self.assertTrue(all(summary["seeds"] == 2))
        for quantity in ("train_loss", "test_best", "test_last"):
            half = 12.706204736 * summary[f"{quantity}_sd"] / np.sqrt(2)
            np.testing.assert_allclose(summary[f"{quantity}_half_width"], half, rtol=1e-9)
        self.assertEqual(set(zip(summary["lr"], summary["weight_decay"])), {(0.02, 1e-4)})
        size = dict(zip(variants, summary["deployed_bytes"]))
        self.assertLess(size[0, 1, 4], size[0, 2, 4])
        self.assertLess(size[0, 2, 4], size[0, 4, 4])
        self.assertLess(size[0, 4, 4], size[0, 0, 4] / 5)
        self.assertTrue(all(0 < summary["slowest"]) and all(summary["slowest"] <= summary["images_per_second"]))
        self.assertTrue(all(summary["images_per_second"] <= summary["fastest"]))
        # The last stage of telcnn is one epoch: what earlier ones reached with more bits is not its best.
        telcnn = summary["method"] == 2
        self.assertEqual(summary["test_best_mean"][telcnn].tolist(), summary["test_last_mean"][telcnn].tolist())
        stages = dict(zip(variants, summary["stages"]))
        self.assertEqual((stages[0, 1, 4], stages[2, 2, 2], stages[2, 4, 4]), (1, 9, 7))
        self.assertIn("telcnn", shown)
        self.assertIn("mean +- half width of the 95 % interval of the mean over the runs, by Student's t", shown)
        rows = tables["epochs"]["method"]
        self.assertEqual(sum(rows == 1), 2 * 2 * 3)  # seeds, bits, epochs
        # The same command, stopped in the middle, gives the same tables but for the clock's.
        process = subprocess.Popen(self.command("broken.h5"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        cells = pathlib.Path(self.folder.name) / "broken.h5.cells"
        while process.poll() is None and len(list(cells.glob("*.json"))) < 6:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        again, _ = self.whole("broken.h5")
        for table, columns in tables.items():
            for column, values in columns.items():
                if column not in ("images_per_second", "slowest", "fastest"):
                    self.assertEqual(again[table][column].tobytes(), values.tobytes(), (table, column))
        # Another seed more, and one method less, are other cells of the same sweep; another budget is not.
        fewer, _ = self.whole("broken.h5", {"--methods": "lsq", "--seeds": 1, "--speed-rounds": 0})
        self.assertEqual(len(fewer["summary"]["method"]), 4)  # three bits and the float control
        self.assertTrue(all(np.isnan(fewer["summary"]["images_per_second"])))
        refused = subprocess.run(
            self.command("broken.h5", {"--epochs": 4}), capture_output=True, text=True, check=False
        )
        self.assertEqual(refused.returncode, 2)
        self.assertIn("epochs = 3, given 4", refused.stderr)
        self.assertIn(
            "bcgd", json.loads((pathlib.Path(self.folder.name) / "whole.json").read_text())["config"]["methods"]
        )

    def test_a_rate_and_a_decay_are_searched_for_each_variant_and_the_search_goes_on(self):
        changes = {
            "--methods": "pact,twn",
            "--threads": 1,
            "--bits": 2,
            "--no-own-bits": None,
            "--layers": "own",
            "--float-end": 1,
            "--seeds": 1,
            "--speed-rounds": 0,
            "--rate-factors": "1e-6,1,3",
            "--decays": "0,1e-3",
            "--search-epochs": 1,
        }
        tables, _ = self.whole("search.h5", changes)
        search, summary = tables["search"], tables["summary"]
        keys = ("method", "weight_bits", "activation_bits")
        variants = list(zip(*(summary[key] for key in keys)))
        self.assertEqual(sorted(variants), [(0, 2, 2), (1, 2, 0), (2, 0, 0)])
        self.assertEqual(len(search["lr"]), 3 * 3 * 2)
        for row, variant in enumerate(variants):
            here = np.all([search[key] == bits for key, bits in zip(keys, variant)], axis=0)
            np.testing.assert_allclose(sorted(set(search["lr"][here])), [2e-8, 0.02, 0.06])
            chosen = np.flatnonzero(here & (search["chosen"] == 1))
            self.assertEqual(len(chosen), 1)
            self.assertEqual(search["held_out_accuracy"][chosen[0]], max(search["held_out_accuracy"][here]))
            self.assertEqual(summary["lr"][row], search["lr"][chosen[0]])
            self.assertEqual(summary["weight_decay"][row], search["weight_decay"][chosen[0]])
        # Another rate more is another cell of the same sweep, and those that are there stay.
        cells = pathlib.Path(self.folder.name) / "search.h5.cells"
        before = {path: path.stat().st_mtime_ns for path in cells.glob("*-search*.json")}
        more, _ = self.whole("search.h5", changes | {"--rate-factors": "1e-6,1,3,10"})
        self.assertEqual(len(more["search"]["lr"]), 3 * 4 * 2)
        self.assertEqual({path: path.stat().st_mtime_ns for path in before}, before)
        for text, wrong in (
            ("--search-epochs: has no effect without --rate-factors", {"--search-epochs": 1}),
            ("--decays: has no effect without --search-epochs", {"--decays": 0.1}),
            ("without held-out images", {"--search-epochs": 1, "--rate-factors": 1, "--held-out": 0}),
        ):
            done = subprocess.run(self.command("x.h5", wrong), capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)
            self.assertFalse((pathlib.Path(self.folder.name) / "x.h5").exists())

    def test_an_unknown_method_lists_the_known_ones(self):
        done = subprocess.run(
            self.command("x.h5", {"--methods": "bcgd,nonsense"}), capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 2)
        for name in ("dorefa", "telcnn", "statquant", "bop"):
            self.assertIn(name, done.stderr)


if __name__ == "__main__":
    unittest.main()
