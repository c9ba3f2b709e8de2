"""Runs the experiments on power-of-two weights and on smooth maps small, recomputes rows, compares figures with logs."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from relax_mains_test import MainTest, lines  # noqa: E402  (finds experiments/plot, too)

import asymptotic_maps as maps_plot  # noqa: E402
import power_of_two_error as error_plot  # noqa: E402

DISTRIBUTIONS = ["gaussian", "laplace", "uniform"]
NETWORK = Path(__file__).resolve().parents[2] / "experiments" / "zoo" / "resnet20_float.safetensors"


class power_of_two_error(MainTest):
    def test_the_log_and_what_is_drawn(self):
        flags = ("--weights", 20000, "--bits", "3,5", "--ratios", 9, "--least", 0.2, "--most", 1, "--seed", 3)
        run = self.run_main("power_of_two_error", *flags)
        names = run.names("by_ratio", "weights")
        bits, ratio, error, zeros = run.table("by_ratio", "bits", "mu_over_max", "error", "zeros")
        self.assertEqual(list(names), [name for name in DISTRIBUTIONS for _ in range(18)])
        np.testing.assert_allclose(ratio[:9], np.linspace(0.2, 1, 9))
        np.testing.assert_array_equal(bits[:18], [3] * 9 + [5] * 9)
        exact = dict(zip(zip(run.names("exact", "weights"), run.table("exact", "bits")[0]),
                         zip(*run.table("exact", "error", "zeros", "max_over_deviation"))))
        shown = lines(error_plot.error_and_zeros(run))
        for name in DISTRIBUTIONS:
            for b in (3, 5):
                rows = (names == name) & (bits == b)
                least, none, extent = exact[name, b]
                self.assertTrue(np.all(error[rows] >= least - 1e-9))
                self.assertTrue(np.all(np.diff(zeros[rows]) > 0))
                np.testing.assert_array_equal(shown[f"{name}/{b}/error"], (ratio[rows], error[rows]))
                np.testing.assert_array_equal(shown[f"{name}/{b}/zeros"], (ratio[rows], zeros[rows]))
                self.assertEqual(shown[f"{name}/{b}/exact_error"][1][0], least)
                self.assertEqual(shown[f"{name}/{b}/exact_zeros"][1][0], none)
            # Zeros are the weights below mu / max 2^(2-n) / 3 times the largest: uniform ones are spread evenly.
            if name == "uniform":
                np.testing.assert_allclose(zeros[names == name][:9], ratio[:9] / 3, atol=0.01)
                np.testing.assert_allclose(extent, np.sqrt(3), atol=0.01)
        self.assertLess(exact["gaussian", 5][0], 0.04)
        self.assertGreater(exact["gaussian", 3][0], 0.09)

    def test_the_layers_of_a_network_have_a_scale_each(self):
        run = self.run_main("power_of_two_error", "--network", NETWORK, "--bits", 4, "--ratios", 12, "--weights", 100)
        (error,) = run.table("by_ratio", "error")
        exact, extent = run.table("exact", "error", "max_over_deviation")
        best = error[run.names("by_ratio", "weights") == "network"].min()
        self.assertEqual(run.names("exact", "weights")[-1], "network")
        self.assertLess(exact[-1], 0.05)
        self.assertGreater(best, 1.2 * exact[-1])  # no one ratio suits all layers
        self.assertTrue(2 < extent[-1] < 20)

    def test_a_range_that_is_none_is_refused(self):
        self.assertIn("least", self.run_main("power_of_two_error", "--least", 1, "--most", 0.5, code=2))


class asymptotic_maps(MainTest):
    LEVELS = {"1 bit": [-1, 1], "2 bits": [-1, 0, 1], "3 bits": [-1, -0.5, 0, 0.5, 1],
              "3 bits, three powers": [-1, -0.5, -0.25, 0, 0.25, 0.5, 1]}

    def test_the_log_and_what_is_drawn(self):
        run = self.run_main("asymptotic_maps", "--sharpness", "2,12", "--points", 41, "--range", 1.3)
        names = run.names("maps", "levels")
        sharpness, x, value, slope, level = run.table("maps", "sharpness", "x", "value", "slope", "level")
        shown = lines(maps_plot.maps(run))
        for name, levels in self.LEVELS.items():
            q = np.array(levels)
            thresholds, steps = (q[1:] + q[:-1]) / 2, np.diff(q)
            for factor in (2, 12):
                rows = (names == name) & (sharpness == factor)
                t = np.tanh(factor / steps.min() * (x[rows][:, None] - thresholds))
                np.testing.assert_allclose(value[rows], q[0] + (steps / 2 * (1 + t)).sum(1), atol=1e-12)
                np.testing.assert_allclose(
                    slope[rows], (steps / 2 * factor / steps.min() * (1 - t**2)).sum(1), atol=1e-9)
                np.testing.assert_array_equal(shown[f"{name}/{factor}/value"], (x[rows], value[rows]))
                np.testing.assert_array_equal(shown[f"{name}/{factor}/slope"], (x[rows], slope[rows]))
                self.assertLessEqual(np.abs(level[rows] - x[rows]).max(), np.abs(x[rows, None] - q).min(1).max())
            np.testing.assert_array_equal(shown[f"{name}/level"][1], level[rows])
        sharpness, distance, law = run.table("distances", "sharpness", "distance", "law")
        np.testing.assert_allclose(distance[sharpness == 12], law[sharpness == 12], rtol=0.001)
        self.assertTrue(np.all(distance[sharpness == 2][1:] < 0.99 * law[sharpness == 2][1:]))  # steps overlap
        shown = lines(maps_plot.distances(run))
        rows = run.names("distances", "levels") == "2 bits"
        np.testing.assert_array_equal(shown["2 bits/distance"], (sharpness[rows], distance[rows]))
        np.testing.assert_array_equal(shown["2 bits/law"], (sharpness[rows], law[rows]))


if __name__ == "__main__":
    unittest.main()
