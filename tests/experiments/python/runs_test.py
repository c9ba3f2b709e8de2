"""Many runs as one table, and what tells them apart."""
import contextlib
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

import synthetic
import synthetic_cifar
from coarsegrad import LogError, at_largest, at_smallest, largest, last, read_run, read_runs, smallest
from coarsegrad.runs import differing, run_labels


class ManyRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.enterContext(contextlib.chdir(self.folder))

    def write(self, name, **options):
        return synthetic.write_log(self.folder / name, options.pop("experiment", "some_experiment"), **options)


class ReadRuns(ManyRuns):
    def setUp(self):
        super().setUp()
        tests = {"0": [0.6, 0.8, 0.7], "1": [0.5, 0.4, 0.9], "2": []}
        settings = [(0.1, [2, 4]), (0.2, [2, 4]), (0.1, [4])]
        for (name, test), (lr, bits) in zip(tests.items(), settings):
            epochs = {"epoch": np.arange(len(test)) + 1.0, "test": test, "held_out": [0.5, np.nan, 0.4][: len(test)]}
            loss = np.arange(1, 4), np.array([3.0, 1.0, 2.0]) * lr
            config = {"lr": lr, "bits": bits, "net": "resnet20", "affine": lr > 0.1}
            self.write(f"{name}.h5", tables={"epochs": epochs}, series={"train/loss": loss}, config=config)

    def test_a_row_for_each_run_has_the_settings_and_the_values_asked_for(self):
        table = read_runs(
            "*.h5",
            "net",
            "lr",
            loss=last("series/train/loss"),
            least=smallest("series/train/loss"),
            test=last("tables/epochs/test"),
            most=largest("tables/epochs/test"),
            best=at_largest("tables/epochs/held_out", "tables/epochs/test"),
            worst=at_smallest("tables/epochs/held_out", "tables/epochs/test"),
            epochs=lambda run: len(run.values("tables/epochs/epoch")),
        )
        self.assertEqual(len(table), 3)
        self.assertEqual(list(table["path"]), ["0.h5", "1.h5", "2.h5"])
        self.assertEqual(set(table["experiment"]), {"some_experiment"})
        self.assertEqual(set(table["status"]), {"finished"})
        expected = {
            "lr": [0.1, 0.2, 0.1],
            "loss": [0.2, 0.4, 0.2],
            "least": [0.1, 0.2, 0.1],
            "test": [0.7, 0.9, np.nan],
            "most": [0.8, 0.9, np.nan],
            "best": [0.6, 0.5, np.nan],
            "worst": [0.7, 0.9, np.nan],
            "epochs": [3, 3, 0],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(table[name], values, rtol=1e-12, err_msg=name)
        self.assertEqual(list(table.columns), ["path", "experiment", "status", "net", *expected])
        row = next(table.rows())
        self.assertEqual((row["net"], row["lr"], row["test"]), ("resnet20", 0.1, 0.7))
        with self.assertRaisesRegex(KeyError, "no column seed .there are: path, experiment, status, net"):
            table["seed"]

    def test_without_settings_it_has_those_in_which_the_runs_differ(self):
        table = read_runs("*.h5")
        self.assertEqual(list(table.columns), ["path", "experiment", "status", "lr", "bits", "affine"])
        self.assertEqual(list(table["bits"]), [[2, 4], [2, 4], [4]])
        self.assertEqual(table["affine"].dtype, bool)
        self.assertEqual(list(read_runs("0.h5").columns), ["path", "experiment", "status"])
        self.write("3.h5", config={"lr": 0.1, "relaxation": {"rho": 1e-4}})
        table = read_runs(["0.h5", "3.h5"])
        self.assertEqual(list(table["relaxation.rho"]), [None, 1e-4])
        self.assertEqual(list(table["net"]), ["resnet20", None])
        self.assertNotIn("lr", table.columns)

    def test_runs_are_gathered_by_their_values(self):
        table = read_runs("*.h5", loss=last("series/train/loss"))
        by_rate = table.by("lr")
        self.assertEqual(
            {rate: list(same["path"]) for rate, same in by_rate.items()}, {0.1: ["0.h5", "2.h5"], 0.2: ["1.h5"]}
        )
        np.testing.assert_allclose(by_rate[0.1]["loss"], [0.2, 0.2])
        both = table.by("lr", "bits")
        self.assertEqual(list(both), [(0.1, (2, 4)), (0.2, (2, 4)), (0.1, (4,))])
        self.assertEqual([type(key[0]) for key in both], [float] * 3)
        self.assertEqual(list(both[0.1, (4,)]["path"]), ["2.h5"])

    def test_it_reads_as_text(self):
        text = str(read_runs("*.h5", "lr", "bits", "affine", test=last("tables/epochs/test")))
        lines = text.splitlines()
        self.assertEqual(lines[0].split(), ["path", "experiment", "status", "lr", "bits", "affine", "test"])
        self.assertEqual(lines[2].split(), ["1.h5", "some_experiment", "finished", "0.2", "2,4", "yes", "0.9"])
        self.assertEqual(len({line.index("  ") for line in lines[1:]}), 1)

    def test_paths_and_patterns_are_read_once_each_in_the_order_given(self):
        (self.folder / "deep" / "er").mkdir(parents=True)
        self.write("deep/er/9[1].h5")
        table = read_runs(["2.h5", Path("*.h5"), "deep/er/9[1].h5", "**/9*.h5", self.folder / "0.h5"])
        self.assertEqual(list(table["path"]), ["2.h5", "0.h5", "1.h5", "deep/er/9[1].h5"])

    def test_what_is_not_there_is_refused_with_the_log_that_lacks_it(self):
        for wrong, said in (
            (lambda: read_runs("*.h5", "lr", "seed"), "^0.h5: no setting seed .there are: lr, bits, net, affine"),
            (lambda: read_runs("*.hdf"), r"^\*.hdf: no such file"),
            (lambda: read_runs(["0.h5", "absent.h5"]), "^absent.h5: no such file"),
            (lambda: read_runs("*.h5", x=last("series/loss")), "^0.h5: no series/loss .there are: series/train/loss"),
            (lambda: read_runs("*.h5", x=last("tables/epochs/tset")), "^0.h5: no tables/epochs/tset"),
            (
                lambda: read_runs("*.h5", x=at_largest("series/train/loss", "tables/epochs/epoch")),
                "^2.h5: .* no rows in",
            ),
        ):
            with self.assertRaisesRegex(LogError, said):
                wrong()
        with self.assertRaisesRegex(ValueError, "given two columns called lr, expected a name for each"):
            read_runs("*.h5", "lr", lr=last("series/train/loss"))

    def test_a_run_that_goes_on_is_read_beside_finished_ones(self):
        with h5py.File("2.h5", "r+", libver="latest") as file:
            file.attrs["status"] = np.bytes_("running")
            file.swmr_mode = True
            done = subprocess.run(
                [sys.executable, "-c", "import coarsegrad; print(*coarsegrad.read_runs('*.h5')['status'])"],
                env=synthetic.ENVIRONMENT,
                capture_output=True,
                text=True,
            )
        self.assertEqual((done.stdout, done.stderr), ("finished finished running\n", ""))

    def test_pandas_takes_its_columns(self):
        try:
            import pandas
        except ImportError:
            print("skipped: pandas is not installed")
            self.skipTest("skipped: pandas is not installed")
        frame = pandas.DataFrame(read_runs("*.h5", loss=last("series/train/loss")).columns)
        self.assertEqual(list(frame["lr"]), [0.1, 0.2, 0.1])


class Labels(ManyRuns):
    def labels(self, *configs):
        return run_labels([read_run(self.write(f"{k}.h5", config=config)) for k, config in enumerate(configs)])

    def test_they_are_the_settings_in_which_the_runs_differ(self):
        first = {"lr": 0.1, "bits": [2, 4], "net": "x", "threads": 1, "affine": True, "init": ""}
        second = first | {"lr": 1e-5, "threads": 2, "affine": False, "init": "y"}
        expected = ["lr 0.1, affine yes, init none", "lr 1e-05, affine no, init y"]
        self.assertEqual(self.labels(first, second), expected)
        self.assertEqual(differing([first, second]), ["lr", "threads", "affine", "init"])
        self.assertEqual(differing([first]), [])

    def test_logs_that_these_do_not_tell_apart_are_named(self):
        self.assertEqual(self.labels({"lr": 1}, {"lr": 1, "threads": 2}), ["0", "1"])
        self.assertEqual(self.labels({"lr": 1}, {"lr": 1}, {"lr": 2}), ["0 (lr 1)", "1 (lr 1)", "2 (lr 2)"])
        for folder in "xy":
            (self.folder / folder).mkdir()
        paths = [self.write(f"{folder}/same.h5") for folder in "xy"]
        self.assertEqual(run_labels([read_run(path) for path in paths]), [str(path) for path in paths])

    def test_of_many_settings_a_few_are_named_and_the_rest_counted(self):
        labels = self.labels(*({f"s{k}": value for k in range(9)} for value in (1, 2)))
        self.assertEqual(labels[0], "s0 1, s1 1, s2 1, s3 1 and 5 more")


class Pages(ManyRuns):
    def test_the_example_in_the_page_runs(self):
        page = (synthetic.EXPERIMENTS / "python" / "README.md").read_text()
        (example,) = [block for block in re.findall("```python\n(.*?)```", page, re.S) if "read_runs" in block]
        results = self.folder / "results"
        (results / "rates").mkdir(parents=True)
        synthetic_cifar.train_log(results / "train.h5")
        synthetic_cifar.ste_cifar10_log(results / "ste_cifar10.h5")
        for number, rate in enumerate([0.1, 0.1, 0.3]):
            synthetic_cifar.train_log(results / "rates" / f"{number}.h5", config={"lr": rate}, level=0.9 - rate)
        done = subprocess.run(
            [sys.executable, "-B", "-c", example],
            env=synthetic.ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^train finished 0.1 ")
        self.assertEqual(len([line for line in lines if line.startswith("clipped_relu at")]), 2)
        self.assertEqual([line.split()[:2] for line in lines[-2:]], [["0.1", "2"], ["0.3", "1"]])


if __name__ == "__main__":
    unittest.main()
