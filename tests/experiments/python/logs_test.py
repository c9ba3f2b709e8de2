"""Logs read one by one: finished, live, torn and foreign ones."""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

import synthetic
from coarsegrad import LogError, read_run
from coarsegrad.logs import base_name

LOG_WRITER = os.environ.get("LOG_WRITER")
NO_WRITER = "skipped: the environment names no LOG_WRITER"


class ReadRun(unittest.TestCase):
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
        for index in (-1.0, 7.0, np.nan):
            run.tables["t"]["ste"][0] = index
            with self.assertRaisesRegex(LogError, "has indices beyond its labels"):
                run.names("t", "ste")

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

    @unittest.skipUnless(LOG_WRITER, NO_WRITER)
    def test_the_log_of_a_program_is_read_while_it_runs_and_after_it_was_killed(self):
        flags = ["--rows", 10**7, "--pause-ms", 1, "--flush-every", 1, "--layers", 3]
        command = [LOG_WRITER, "--quiet", "--out", self.path, *flags]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL) as writer:
            try:
                self.assertGreater(self.rows_when_more_than(0), 0)
                seen = self.rows_when_more_than(0)
                self.assertGreater(self.rows_when_more_than(seen), seen)
            finally:
                writer.kill()
        self.assertEqual(read_run(self.path).status, "running")
        self.assertGreater(self.rows_when_more_than(seen), seen)

    def rows_when_more_than(self, rows):
        """Rows of the shortest series of a live log, read again and again until there are more than these."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            run = read_run(self.path) if self.path.exists() else None
            if run and (shortest := min(len(series["step"]) for series in run.series.values())) > rows:
                self.assertEqual(run.status, "running")
                for name, series in run.series.items():
                    step = np.arange(len(series["step"]))
                    np.testing.assert_array_equal(series["step"], step)
                    np.testing.assert_array_equal(series["value"], step + int(name.rsplit("s", 1)[1]))
                return shortest
            time.sleep(0.01)
        self.fail(f"no more than {rows} rows within a minute")

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

    def test_a_file_with_the_attributes_of_a_log_and_something_else_inside_is_refused_in_one_line(self):
        def spoil(place, **what):
            synthetic.write_log(self.path, "some_experiment", {"t": {"a": [1.0]}}, {"s": ([1], [0.5])})
            with h5py.File(self.path, "r+") as file:
                del file[place]
                if what:
                    file.create_dataset(place, **what)

        for place, what in {
            "series": {"data": [1.0]},
            "tables": {"data": 1.0},
            "tables/t/a": {"data": 1.0},
            "series/s/value": {},
        }.items():
            with self.subTest(place):
                spoil(place, **what)
                with self.assertRaises(LogError) as caught:
                    read_run(self.path)
                self.assertTrue(str(caught.exception).startswith(f"{self.path}: "), caught.exception)
                self.assertNotIn("\n", str(caught.exception))

    def test_settings_have_dotted_names_and_a_config_that_is_none_is_refused(self):
        nested = {"lr": 0.1, "relaxation": {"name": "blend", "rho": 1e-4}, "layers": {}}
        synthetic.write_log(self.path, "some_experiment", config=nested)
        run = read_run(self.path)
        self.assertEqual(run.config, nested)
        self.assertEqual(run.settings, {"lr": 0.1, "relaxation.name": "blend", "relaxation.rho": 1e-4, "layers": {}})
        for config in ("{", "[]", "[" * 100_000):
            run.attributes["config"] = config
            with self.assertRaisesRegex(LogError, "the attribute config is no JSON object"):
                run.config

    def test_a_quantity_has_the_name_that_it_has_in_the_file(self):
        synthetic.write_log(
            self.path, "some_experiment", {"a/t": {"b": [1.0, 2.0]}}, {"train/loss": ([1, 2], [3.0, 4.0])}
        )
        run = read_run(self.path)
        np.testing.assert_array_equal(run.values("tables/a/t/b"), [1, 2])
        np.testing.assert_array_equal(run.values("series/train/loss"), [3, 4])
        for name in ("train/loss", "series/loss", "tables/a/t", "tables/t/b", ""):
            with self.assertRaisesRegex(LogError, "there are: series/train/loss, tables/a/t/b"):
                run.values(name)

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


if __name__ == "__main__":
    unittest.main()
