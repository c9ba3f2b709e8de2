"""Runs the experiments on projections of weights and on smooth maps small, recomputes rows, compares figures with logs."""
import sys
import unittest
from math import erfc, sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from relax_mains_test import MainTest, lines  # noqa: E402  (finds the package, too)

from coarsegrad import write_tensor_file  # noqa: E402
from coarsegrad.figures import power_of_two_error as error_plot  # noqa: E402
from coarsegrad.figures import projection_jumps as jumps_plot  # noqa: E402

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
        exact = dict(
            zip(
                zip(run.names("exact", "weights"), run.table("exact", "bits")[0]),
                zip(*run.table("exact", "error", "zeros", "max_over_deviation")),
            )
        )
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


class projection_jumps(MainTest):
    def network(self, weights):
        path = self.folder / "made.safetensors"
        write_tensor_file(path, {"fc.weight": np.zeros((1, 2), np.float32), "layer": weights})
        return path

    def test_signs_flip_as_often_as_gaussian_steps_carry_weights_over_zero(self):
        weights = np.random.default_rng(5).normal(0, 0.3, (50, 400)).astype(np.float32)
        run = self.run_main(
            "projection_jumps",
            "--networks",
            self.network(weights),
            "--projections",
            "sign",
            "--bits",
            1,
            "--steps",
            "0.01,0.1",
            "--draws",
            20,
        )
        self.assertEqual(list(run.names("jumps", "layer")), ["layer"] * 2)  # without fc.weight
        step, jump, largest = run.table("jumps", "step", "jump", "largest_jump")
        np.testing.assert_array_equal(step, [0.01, 0.1])
        for s, mean, most in zip(step, jump, largest):
            deviation = s * np.sqrt(np.mean(weights.astype(float) ** 2))
            flips = np.mean([erfc(abs(w) / deviation / sqrt(2)) / 2 for w in weights.ravel().astype(float)])
            self.assertAlmostEqual(mean, 2 * np.sqrt(flips), delta=0.05 * mean)  # each changes 1 by 2
            self.assertTrue(mean < most < 1.5 * mean)

    def test_weights_on_an_edge_jump_at_the_smallest_step(self):
        # (2, 2/3, 2/3, 2/3) is as far from (2, 0, 0, 0) as from (1, 1, 1, 1), which are 2 apart and 2 long.
        networks = ",".join([str(self.network(np.array([[2, 2 / 3], [-2 / 3, 2 / 3]], np.float32)))] * 2)
        run = self.run_main(
            "projection_jumps",
            "--networks",
            networks,
            "--projections",
            "exact,twn",
            "--bits",
            "2,2",
            "--steps",
            "1e-5,1e-3",
            "--draws",
            400,
        )
        exact = run.names("jumps", "projection") == "exact"
        jump, largest = run.table("jumps", "jump", "largest_jump")
        np.testing.assert_allclose(jump[exact], 0.5, atol=0.1)  # every other direction leads over it
        np.testing.assert_allclose(largest[exact], 1, atol=0.01)
        self.assertTrue(np.all(largest[~exact] < 0.01))  # its threshold, 0.7 mean |w| = 0.7, is not 2/3

    def test_the_figure_shows_the_medians_over_the_layers(self):
        run = self.run_main("projection_jumps", "--networks", NETWORK, "--steps", "1e-3,1e-1", "--draws", 2)
        step, jump = run.table("jumps", "step", "jump")
        self.assertEqual(len(set(run.names("jumps", "layer"))), 19)
        shown = lines(jumps_plot.jumps(run))["exact/2/resnet20_float"]
        np.testing.assert_array_equal(shown, ([1e-3, 1e-1], [np.median(jump[step == s]) for s in (1e-3, 1e-1)]))

    def test_networks_of_one_name_keep_their_folders(self):
        made = self.network(np.array([[2, 2 / 3], [-2 / 3, 2 / 3]], np.float32))
        other = self.folder / "elsewhere" / made.name
        other.parent.mkdir()
        other.write_bytes(made.read_bytes())
        run = self.run_main(
            "projection_jumps",
            "--networks",
            f"{made},{other}",
            "--projections",
            "exact,exact",
            "--bits",
            "2,2",
            "--steps",
            "1e-3",
            "--draws",
            2,
        )
        self.assertEqual(list(run.names("jumps", "network")), [str(made), str(other)])

    def test_what_does_not_belong_together_is_refused(self):
        self.assertIn("expected as many", self.run_main("projection_jumps", "--bits", "2,2", code=2))
        self.assertIn(
            "no weights", self.run_main("projection_jumps", "--networks", self.network(np.zeros(3, np.float32)), code=1)
        )


if __name__ == "__main__":
    unittest.main()
