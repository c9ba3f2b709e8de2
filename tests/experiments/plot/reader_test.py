"""The reader: finished, live, torn and foreign files."""
import json
import re
import subprocess
import sys
import os
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

import synthetic
import synthetic_cifar
from reader import LogError, base_name, by_config, differing, read_run, read_runs


class ReaderTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name) / "run.h5"

    def test_arrays_units_and_names_with_slashes_come_back(self):
        step = np.arange(5)
        synthetic.write_log(
            self.path,
            "some_experiment",
            {"t": {"a": [1.0, 2.0]}},
            {"train/loss": (step, step * 0.1)},
            {"v": [[1.0, 2.0], [3.0, 4.0]]},
        )
        run = read_run(self.path)
        self.assertEqual(run.experiment, "some_experiment")
        np.testing.assert_array_equal(run.tables["t"]["a"], [1.0, 2.0])
        np.testing.assert_array_equal(run.series["train/loss"]["value"], step * 0.1)
        np.testing.assert_array_equal(run.inputs["v"], [[1.0, 2.0], [3.0, 4.0]])
        self.assertEqual(run.units["tables/t/a"], "1")
        self.assertEqual(run.units["series/train/loss"], "1")

    def test_a_column_with_labels_reads_as_names(self):
        synthetic.write_log(self.path, "some_experiment", {"t": {"ste": [1.0, 0.0], "a": [0.0, 0.0]}})
        run = read_run(self.path)
        self.assertEqual(list(run.names("t", "ste")), ["relu", "identity"])
        with self.assertRaisesRegex(LogError, "has no labels"):
            run.names("t", "a")

    def test_a_log_caught_between_two_columns_is_cut_to_whole_rows(self):
        synthetic.write_log(self.path, "some_experiment", {"t": {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0]}})
        self.assertEqual([len(c) for c in read_run(self.path).tables["t"].values()], [2, 2])

    def test_a_damaged_log_is_refused_in_time(self):
        """A wrong checksum could be a block that is being written: HDF5 waits, by default for ever."""
        synthetic.write_log(self.path, "some_experiment", {"t": {"a": [1.0, 2.0]}})
        content = bytearray(self.path.read_bytes())
        header = content.rindex(b"OHDR")
        content[header + 30] ^= 1
        self.path.write_bytes(content)
        begin = time.monotonic()
        with self.assertRaisesRegex(LogError, "damaged .*checksum"):
            read_run(self.path)
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_log_is_read_while_another_process_writes_it(self):
        synthetic.write_log(self.path, "some_experiment", {"t": {"a": [1.0, 2.0]}})
        writer = subprocess.Popen(
            [
                sys.executable,
                "-c",
                (
                    "import h5py, sys\n"
                    "f = h5py.File(sys.argv[1], 'r+', libver='latest')\n"
                    "f.swmr_mode = True\n"
                    "d = f['tables/t/a']; d.resize((3,)); d[2] = 3.0; d.flush()\n"
                    "print('ready', flush=True); sys.stdin.read()\n"
                ),
                str(self.path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.assertEqual(writer.stdout.readline(), "ready\n")
            np.testing.assert_array_equal(read_run(self.path).tables["t"]["a"], [1.0, 2.0, 3.0])
        finally:
            writer.communicate()

    def test_what_is_not_a_run_log_is_refused_in_one_line(self):
        def foreign_hdf5(path):
            with h5py.File(path, "w", libver="latest") as file:
                file["x"] = 1

        def other_schema(path):
            synthetic.write_log(path, "some_experiment", schema="coarsegrad-run/99")

        def truncated(path):
            synthetic.coarse_gradient_log(path)
            path.write_bytes(path.read_bytes()[:1000])

        cases = {
            "text": lambda path: path.write_text("hello\n"),
            "empty": lambda path: path.write_bytes(b""),
            "folder": lambda path: path.mkdir(),
            "missing": lambda path: None,
            "pipe": os.mkfifo,
            "foreign": foreign_hdf5,
            "old HDF5 format": lambda path: h5py.File(path, "w", libver="earliest").close(),
            "schema": other_schema,
            "truncated": truncated,
        }
        for name, make in cases.items():
            with self.subTest(name):
                path = Path(self.folder.name) / f"{name}.h5"
                make(path)
                with self.assertRaises(LogError) as caught:
                    read_run(path)
                self.assertTrue(str(caught.exception).startswith(str(path)))
                self.assertNotIn("\n", str(caught.exception))


    def test_names_of_a_file_are_short_and_printable_in_messages(self):
        path = Path(self.folder.name) / "long.h5"
        synthetic.write_log(path, "some_experiment", schema="\x1b[31m" + "x" * 50_000)
        with self.assertRaises(LogError) as caught:
            read_run(path)
        self.assertLess(len(str(caught.exception)), 1100)
        self.assertTrue(str(caught.exception).isprintable())
class Names(unittest.TestCase):
    def test_only_a_final_h5_or_hdf5_is_taken_away(self):
        """The same table as for the names that the programs make."""
        pairs = json.loads((Path(__file__).resolve().parents[1] / "output_names.json").read_text())
        self.assertEqual([base_name(path) for path, _ in pairs], [Path(base).name for _, base in pairs])


class ManyRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for number, (lr, bits) in enumerate([(0.1, [2, 4]), (0.2, [2, 4]), (0.1, [4])]):
            path = self.folder / f"{number}.h5"
            synthetic.write_log(path, "some_experiment", config={"lr": lr, "bits": bits, "net": "resnet20"})
        self.runs = read_runs(self.folder / "*.h5")

    def test_runs_come_by_their_settings(self):
        self.assertEqual([run.config["lr"] for run in self.runs], [0.1, 0.2, 0.1])
        self.assertEqual(differing(self.runs), ["lr", "bits"])
        self.assertEqual(differing(self.runs[:1]), [])
        by_rate = by_config(self.runs, "lr")
        self.assertEqual({rate: len(runs) for rate, runs in by_rate.items()}, {0.1: 2, 0.2: 1})
        both = by_config(self.runs, "lr", "bits")
        self.assertEqual(list(both), [(0.1, (2, 4)), (0.2, (2, 4)), (0.1, (4,))])
        self.assertIs(both[0.1, (4,)][0], self.runs[2])

    def test_a_setting_or_a_file_that_is_not_there(self):
        with self.assertRaisesRegex(LogError, "0.h5: no setting seed .there are: lr, bits, net"):
            by_config(self.runs, "lr", "seed")
        with self.assertRaisesRegex(LogError, "no such file"):
            read_runs(self.folder / "*.hdf")

    def test_the_example_in_the_page_runs(self):
        source = Path(__file__).resolve().parents[3]
        page = (source / "experiments" / "README.md").read_text()
        (example,) = [block for block in re.findall("```python\n(.*?)```", page, re.S) if "by_config" in block]
        (self.folder / "experiments").symlink_to(source / "experiments")
        results = self.folder / "results"
        (results / "rates").mkdir(parents=True)
        synthetic_cifar.train_log(results / "train.h5")
        synthetic_cifar.ste_cifar10_log(results / "ste_cifar10.h5")
        for number, rate in enumerate([0.1, 0.1, 0.3]):
            synthetic_cifar.train_log(results / "rates" / f"{number}.h5", config={"lr": rate}, level=0.9 - rate)
        command = [sys.executable, "-B", "-c", example]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^train finished 0.1 ")
        self.assertIn("they differ in ['lr']", lines)
        self.assertEqual([line.split()[:2] for line in lines[-2:]], [["0.1", "2"], ["0.3", "1"]])
        self.assertEqual(len([line for line in lines if line.startswith("clipped_relu at")]), 2)


if __name__ == "__main__":
    unittest.main()
