"""Runs gradient_variance with small sizes, reads its log as somebody would who scripts it, and draws its figures."""
import copy
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "python"))
from coarsegrad import LogError, read_run
from coarsegrad.figures import gradient_variance
from coarsegrad.figures.style import plt

MAIN = os.environ["GRADIENT_VARIANCE"]
QUANTIZERS = ["dorefa", "ptq", "psq", "bhq"]


def lines(fig):
    """gid -> (x, y) of every line that names the log data it shows."""
    return {line.get_gid(): line.get_data() for ax in fig.axes for line in ax.get_lines() if line.get_gid()}


class GradientVariance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = Path(cls.folder.name) / "run.h5"
        subprocess.run(
            [
                MAIN,
                "--quiet",
                "--draws",
                "600",
                "--layer-draws",
                "3000",
                "--rows",
                "24",
                "--columns",
                "64",
                "--out",
                path,
            ],
            check=True,
        )
        cls.run_log = read_run(path)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        plt.close("all")

    def test_measured_variances_are_the_exact_ones_and_keep_their_bounds(self):
        for table, rows in (("cases", 3 * 4 * 7), ("outlier", 17 * 4), ("bits", 4 * 8)):
            exact, measured, error, bound = self.run_log.table(table, "exact", "measured", "measured_se", "bound")
            self.assertEqual(len(exact), rows)
            z = (measured - exact) / error
            self.assertLess(np.max(np.abs(z)), 7, table)
            self.assertGreater(np.max(np.abs(z)), 0.3, "deviations this small cannot be chance")
            self.assertTrue(np.all(exact <= bound * (1 + 1e-6)), table)

    def test_an_outlier_separates_the_quantizers_as_their_laws_say(self):
        names = self.run_log.names("outlier", "quantizer")
        epsilon, exact, law = self.run_log.table("outlier", "epsilon", "exact", "law")
        at = {name: exact[(names == name) & (epsilon == epsilon.min())][0] for name in QUANTIZERS}
        self.assertGreater(at["psq"] / at["bhq"], 24 / 2)
        self.assertGreater(at["ptq"] / at["psq"], 3)
        for name in ("psq", "bhq"):
            ratio = (exact / law)[(names == name) & (epsilon < 1e-2)]
            self.assertTrue(np.all((ratio > 0.5) & (ratio < 1.6)), (name, ratio))

    def test_a_bit_less_is_about_four_times_the_variance(self):
        names = self.run_log.names("bits", "quantizer")
        bits, exact = self.run_log.table("bits", "bits", "exact")
        for name in ("psq", "bhq"):
            by_bits = exact[names == name][np.argsort(bits[names == name])]
            ratio = by_bits[3:-1] / by_bits[4:]
            self.assertTrue(np.all((ratio > 3) & (ratio < 5.5)), (name, ratio))

    def test_each_layer_has_the_sum_of_the_shares_above_it(self):
        measured, predicted, bias = self.run_log.table("layers", "measured", "predicted", "bias")
        self.assertEqual(len(measured), 3 * 4 * 3)
        self.assertLess(np.max(np.abs(measured / predicted - 1)), 0.12)
        self.assertTrue(np.all((bias > 0.05) & (bias < 5)), bias)

    def test_what_is_drawn_is_what_was_logged(self):
        shown = lines(gradient_variance.laws(self.run_log))
        names = self.run_log.names("outlier", "quantizer")
        epsilon, law, measured = self.run_log.table("outlier", "epsilon", "law", "measured")
        for name in QUANTIZERS:
            for gid, values in (("law", law), ("measured", measured)):
                x, y = shown[f"outlier/{name}/{gid}"]
                np.testing.assert_array_equal(x, epsilon[names == name])
                np.testing.assert_array_equal(y, values[names == name])
        self.assertEqual(len(lines(gradient_variance.cases(self.run_log))), 3 * 4 * 2)
        shown = lines(gradient_variance.layers(self.run_log))
        self.assertEqual(len(shown), 3 * 3 * 2)
        chosen = (self.run_log.names("layers", "quantizer") == "psq") & (self.run_log.names("layers", "layer") == "top")
        x, y = shown["layers/psq/top"]
        measured, predicted = self.run_log.table("layers", "measured", "predicted")
        np.testing.assert_array_equal(x, predicted[chosen])
        np.testing.assert_array_equal(y, measured[chosen])

    def test_a_log_of_something_else_is_refused(self):
        other = copy.deepcopy(self.run_log)
        del other.tables["outlier"]
        with self.assertRaises(LogError):
            gradient_variance.laws(other)


if __name__ == "__main__":
    unittest.main()
