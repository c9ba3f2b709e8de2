"""Runs the theory experiments with small sizes and reads their logs, as somebody would who scripts them."""
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

BIN, OWN_SURROGATE, SOURCE = (Path(p) for p in sys.argv[1:4])
OF_PAPER = ("identity", "relu", "clipped_relu")
OTHERS = ("hard_tanh", "tanh", "sigmoid", "leaky_relu", "triangular", "polynomial", "swish_sign", "arctan")
ROW = [
    "theta",
    "correlation",
    "correlation_mc",
    "correlation_se",
    "norm",
    "norm_mc",
    "norm_se",
    "loss",
    "loss_mc",
    "loss_se",
    "bound_ratio",
]


def run(program, *flags, code=0):
    """Runs a main into a log of its own; returns (tables, inputs, stderr)."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "run.h5"
        done = subprocess.run([program, "--quiet", "--out", log, *map(str, flags)], capture_output=True, text=True)
        assert done.returncode == code, f"{program} {flags}: exit code {done.returncode}, {done.stderr}"
        if code:
            assert not log.exists() and done.stderr.count("\n") == 1, done.stderr
            return None, None, done.stderr
        with h5py.File(log, "r") as file:
            assert file.attrs["status"] in (b"finished", "finished")
            tables = {
                name: {column: data[()] for column, data in table.items()} for name, table in file["tables"].items()
            }
            labels = {name: table["ste"].attrs["labels"] for name, table in file["tables"].items() if "ste" in table}
            for name, names in labels.items():
                tables[name]["ste"] = np.array([s if isinstance(s, str) else s.decode() for s in names])[
                    tables[name]["ste"].astype(int)
                ]
            return tables, {name: data[()] for name, data in file["inputs"].items()} if "inputs" in file else {}, ""


def loss(v, v_star, theta):
    """The population loss, written down once more."""
    c, total, s = 1 - 2 * theta / np.pi, np.sum(v), np.sum(v_star)
    return (v @ v + total**2 - 2 * (c * (v @ v_star) + total * s) + v_star @ v_star + s**2) / 8


class CoarseGradient(unittest.TestCase):
    def check_estimators(self, tables, angles):
        for name in OF_PAPER + OTHERS:
            table = tables[name]
            self.assertEqual(sorted(table), sorted(ROW))
            for quantity in ("correlation", "loss"):
                z = (table[f"{quantity}_mc"] - table[quantity]) / table[f"{quantity}_se"]
                self.assertEqual(len(z), angles)
                self.assertLess(np.max(np.abs(z)), 5, f"{name} {quantity}")
                self.assertGreater(np.max(np.abs(z)), 0.1, "deviations this small cannot be chance")
            # Where the length is within the noise its square is what is estimated without bias.
            error = (table["norm_mc"] + table["norm_se"]) ** 2 - table["norm_mc"] ** 2
            self.assertLess(np.max(np.abs(table["norm_mc"] ** 2 - table["norm"] ** 2) / error), 5, name)
            self.assertTrue(np.all(table["correlation"] >= 0))

    def test_fixed_v(self):
        tables, inputs, _ = run(
            BIN / "coarse_gradient",
            "--m",
            3,
            "--n",
            5,
            "--norm-w",
            2,
            "--angles",
            9,
            "--samples",
            20000,
            "--seed",
            7,
            "--ste",
            "all",
        )
        self.check_estimators(tables, 9)
        self.assertEqual(
            {name: value.shape for name, value in inputs.items()},
            {"v": (3,), "v_star": (3,), "w_star": (5,), "w_perp": (5,)},
        )
        self.assertAlmostEqual(inputs["w_star"] @ inputs["w_perp"], 0, 12)
        expected = [loss(inputs["v"], inputs["v_star"], theta) for theta in tables["relu"]["theta"]]
        np.testing.assert_allclose(tables["relu"]["loss"], expected, rtol=1e-12)
        np.testing.assert_allclose(tables["identity"]["correlation"], 2 * tables["relu"]["correlation"], rtol=1e-12)

    def test_optimal_v(self):
        tables, inputs, _ = run(BIN / "coarse_gradient", "--v", "optimal", "--angles", 21, "--samples", 20000)
        self.check_estimators(tables, 21)
        self.assertEqual(inputs["v"].shape, (21, 4))
        np.testing.assert_allclose(inputs["v_star"], [1, 0.6, -0.4, 0.5])
        self.assertAlmostEqual(tables["identity"]["norm"][-1], 0.277, 2)
        self.assertLess(tables["relu"]["norm"][-1], 1e-3)
        self.assertLess(tables["clipped_relu"]["norm"][-1], 1e-3)
        self.assertGreater(tables["identity"]["bound_ratio"][-1], 100)
        # What is left of each at the spurious minimum, over what is left of the identity's.
        shares = dict(zip(OTHERS, (0.393, 0.378, 0.172, 0.010, 0.144, 0.289, 0.060, 0.301)))
        for name, share in shares.items():
            self.assertAlmostEqual(tables[name]["norm"][-1] / tables["identity"]["norm"][-1], share, delta=0.003)

    def test_sample_size_law(self):
        tables, _, _ = run(BIN / "coarse_gradient", "--angles", 1, "--samples", 100000)
        table = tables["sample_size"]
        for name in OF_PAPER:
            rows = table["ste"] == name
            slope = np.polyfit(np.log(table["samples"][rows]), np.log(table["rms_error"][rows]), 1)[0]
            self.assertAlmostEqual(slope, -0.5, delta=0.06)

    def test_what_is_printed_says_how_it_was_computed(self):
        with tempfile.TemporaryDirectory() as folder:
            flags = ["--angles", "3", "--samples", "1000", "--ste", "relu,tanh,arctan", "--out", f"{folder}/run.h5"]
            text = subprocess.run([BIN / "coarse_gradient", *flags], capture_output=True, text=True, check=True).stdout
            with h5py.File(f"{folder}/run.h5", "r") as file:
                correlation = {name: file[f"tables/{name}/correlation"][()] for name in ("relu", "tanh", "arctan")}
        for name, way in (("relu", "closed form"), ("tanh", "quadrature"), ("arctan", "closed form")):
            least = float(re.search(rf"^{name} +{way} +(\S+)", text, re.M).group(1))
            self.assertAlmostEqual(least, np.min(correlation[name]), delta=1e-3 * np.min(correlation[name]))

    def test_one_estimator_and_wrong_usage(self):
        tables, _, _ = run(BIN / "coarse_gradient", "--ste", "tanh", "--angles", 3, "--samples", 100)
        self.assertEqual(sorted(tables), ["tanh"])
        for flags in (("--ste", "rellu"), ("--ste", "relu,relu"), ("--angles", 0), ("--n", 1), ("--samples", 1)):
            run(BIN / "coarse_gradient", *flags, code=2)


class CoarseDescent(unittest.TestCase):
    TRAJECTORY = ["run", "step", "loss", "theta", "norm_w", "distance_v"]
    RUNS = ["run", "end", "monotone", "loss", "theta", "norm_w", "distance_v", "min_norm_w", "max_increase"]

    def test_population(self):
        tables, inputs, _ = run(
            BIN / "coarse_descent",
            "--runs",
            12,
            "--steps",
            30000,
            "--trajectories",
            3,
            "--one-step-draws",
            5,
            "--theorem2-runs",
            1,
        )
        for name in OF_PAPER:
            path, ends = tables[name], tables[f"{name}_runs"]
            self.assertEqual(sorted(path), sorted(self.TRAJECTORY))
            self.assertEqual(sorted(ends), sorted(self.RUNS))
            self.assertEqual(sorted(set(path["run"])), [0, 1, 2])
            self.assertEqual((path["step"].min(), path["step"].max()), (0, 30000))
            self.assertEqual(len(ends["run"]), 12)
            last = path["loss"][path["step"] == 30000]
            np.testing.assert_array_equal(last, ends["loss"][:3])
            self.assertTrue(np.all((ends["loss"] < 1e-3) == (ends["end"] == 0)))
        np.testing.assert_array_equal(tables["clipped_relu_runs"]["monotone"], 1)
        self.assertEqual(sorted(inputs), ["v_star", "w_star"])
        curve = tables["one_step"]
        self.assertEqual(sorted(set(curve["samples"])), [10, 100, 1000, 20000])
        self.assertEqual(len(curve["eta"]), 4 * 201)
        variation = tables["one_step_variation"]
        median = {n: np.median(variation["excess_variation"][variation["samples"] == n]) for n in (10, 20000)}
        self.assertLess(median[20000], 0.02)
        self.assertGreater(median[10], 0.02)

    def test_empirical(self):
        tables, _, _ = run(
            BIN / "coarse_descent",
            "--mode",
            "empirical",
            "--runs",
            2,
            "--steps",
            300,
            "--eta",
            0.2,
            "--norm-w0",
            2,
            "--samples",
            1000,
            "--ste",
            "relu,tanh",
            "--one-step-samples",
            10,
            "--one-step-draws",
            1,
        )
        self.assertEqual(sorted(tables), ["one_step", "one_step_variation", "relu", "relu_runs", "tanh", "tanh_runs"])
        path = tables["tanh"]
        first = path["loss"][path["step"] == 0]
        self.assertTrue(np.all(tables["tanh_runs"]["loss"] < first))

    PATHS = ["ste", "norm_w0", "run", "step", "cross", "theta", "slack", "norm_w", "loss"]
    PROMISES = [
        "ste",
        "norm_w0",
        "run",
        "draws",
        "end",
        "kept",
        "monotone",
        "min_cross",
        "max_theta",
        "min_slack",
        "min_norm_w",
        "max_increase",
        "loss",
    ]

    def test_theorem_2(self):
        flags = (
            "--runs",
            1,
            "--steps",
            30000,
            "--one-step-draws",
            1,
            "--theorem2-runs",
            12,
            "--theorem2-norm-w0",
            "1,5",
        )
        tables, inputs, _ = run(BIN / "coarse_descent", *flags, "--theorem2-trajectories", 3)
        path, ends = tables["theorem2"], tables["theorem2_runs"]
        self.assertEqual(sorted(path), sorted(self.PATHS))
        self.assertEqual(sorted(ends), sorted(self.PROMISES))
        self.assertEqual(len(ends["run"]), 3 * 2 * 12)
        np.testing.assert_array_equal(ends["end"], 0)
        self.assertLess(np.max(ends["loss"]), 1e-3)
        holds = (ends["min_cross"] > 0) & (ends["max_theta"] < np.pi / 2) & (ends["min_slack"] >= -1e-12)
        np.testing.assert_array_equal(ends["kept"], holds)
        self.assertTrue(np.all(ends["kept"][ends["min_norm_w"] >= 0.05]))
        far = (ends["norm_w0"] == 5) & (ends["ste"] != "identity")
        np.testing.assert_array_equal(ends["monotone"][far], 1)
        self.assertLess(np.mean(ends["kept"][(ends["norm_w0"] == 1) & (ends["ste"] == "identity")]), 0.9)
        first = path["step"] == 0
        self.assertEqual(np.sum(first), 3 * 2 * 3)
        self.assertTrue(np.all((path["cross"][first] > 0) & (path["theta"][first] < np.pi / 2)))
        self.assertTrue(np.all(path["slack"][first] >= 0))
        np.testing.assert_allclose(path["norm_w"][first], path["norm_w0"][first])
        for column in ("cross", "theta", "slack"):  # estimators and lengths share their starts
            starts = path[column][first].reshape(6, 3)
            np.testing.assert_allclose(starts, np.tile(starts[0], (6, 1)), rtol=1e-12)
        s, square = np.sum(inputs["v_star"]), inputs["v_star"] @ inputs["v_star"]
        last = path["step"] == 30000
        np.testing.assert_allclose(path["cross"][last], square, atol=0.1)
        np.testing.assert_allclose(path["slack"][last], 0, atol=0.1 * s**2)

    def test_an_estimator_without_a_closed_form_descends_by_quadrature(self):
        flags = ("--ste", "tanh", "--runs", 2, "--steps", 200, "--one-step-draws", 1, "--theorem2-runs", 1)
        tables, _, _ = run(BIN / "coarse_descent", *flags)
        path = tables["tanh"]
        for number in (0, 1):
            loss = path["loss"][path["run"] == number]
            self.assertLess(loss[-1], 0.8 * loss[0])

    def test_wrong_usage(self):
        _, _, message = run(BIN / "coarse_descent", "--mode", "empirical", "--theorem2-runs", 3, code=2)
        self.assertIn("--theorem2-runs", message)
        self.assertIn("--mode empirical", message)


class SpuriousMinimum(unittest.TestCase):
    def test_escape(self):
        tables, inputs, _ = run(BIN / "spurious_minimum")
        escape = tables["escape"]
        self.assertEqual(len(escape["eta"]), 3 * 2 * 2 * 2)
        leaves = (escape["ste"] == "identity") & (escape["rescaled"] == 0)
        self.assertLess(np.max(np.abs(escape["escape_step"] - escape["predicted_step"])[leaves]), 2)
        self.assertLess(np.max(np.abs(escape["jump"] - escape["predicted_jump"])[leaves]), 0.002)
        self.assertTrue(np.all(np.isnan(escape["escape_step"][~leaves])))
        self.assertTrue(np.all(np.isnan(escape["predicted_step"][~leaves])))
        np.testing.assert_allclose(escape["final_loss"][~leaves], 0.289, atol=1e-5)
        np.testing.assert_allclose(inputs["v"], [-0.32, 0.08, 1.08, 0.18], atol=1e-12)
        for name in OF_PAPER:
            self.assertEqual(sorted(tables[name]), sorted(["rescaled", "step", "loss", "theta", "norm_w"]))
        self.assertEqual(set(tables["relu"]["rescaled"]), {0, 1})

    def test_teacher_without_spurious_minimum(self):
        _, _, message = run(BIN / "spurious_minimum", "--m", 1, code=2)
        self.assertIn("no spurious minimum", message)


class OwnSurrogate(unittest.TestCase):
    def test_runs(self):
        tables, _, _ = run(OWN_SURROGATE)
        table = tables["cauchy"]
        self.assertEqual(len(table["theta"]), 31)
        self.assertTrue(np.all(table["correlation_mc"] > -5 * table["correlation_se"]))
        self.assertGreater(np.max(table["correlation_mc"] / table["correlation_se"]), 20)

    def test_is_what_the_recipe_shows(self):
        readme = (SOURCE / "experiments/README.md").read_text()
        blocks = re.findall(r"```cpp\n(.*?)```", readme, re.S)
        self.assertIn((SOURCE / "tests/experiments/own_surrogate.cpp").read_text(), blocks)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
