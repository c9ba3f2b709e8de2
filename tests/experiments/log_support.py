"""What the tests of the run log share. The writer under test is named by the environment variable LOG_WRITER."""
import os
import resource
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

from check_log import open_log, series_of, status, tables_of

WRITER = os.environ["LOG_WRITER"]
SANITIZED = os.environ.get("SANITIZED") == "1"
OPTIMIZED = os.environ.get("OPTIMIZED") == "1"
FLUSH_SECONDS = 4.0  # RunLog::kFlushSeconds


def command(*flags, out):
    return [WRITER, "--quiet", "--out", str(out), *map(str, flags)]


def start(*flags, out, **options):
    return subprocess.Popen(
        command(*flags, out=out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(*flags, out, **options):
    """(exit code, lines on stderr)."""
    done = subprocess.run(command(*flags, out=out), capture_output=True, text=True, timeout=120, **options)
    return done.returncode, done.stderr.splitlines()


def limit_file_size(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_for(path, seconds=10):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise AssertionError(f"{path} does not appear")
        time.sleep(0.002)


def whole_rows(group):
    """The columns of a group, cut to the shortest: a live or killed writer may have got further in some of them."""
    n = min(len(data) for data in group.values())
    return {name: data[:n] for name, data in group.items()}


def check_rows(file):
    """Checks every number that log_writer has left and returns the rows of the shortest series."""
    shortest = None
    for name, group in series_of(file).items():
        rows = whole_rows(group)
        k = np.arange(len(rows["step"]))
        number = int(name.rsplit("s", 1)[1])
        if not (
            np.array_equal(rows["step"], k)
            and np.array_equal(rows["value"], k + number)
            and np.all(np.diff(rows["wall_seconds"]) >= 0)
            and np.all(rows["wall_seconds"] >= 0)
        ):
            raise AssertionError(f"{name}: a row is torn")
        shortest = len(k) if shortest is None else min(shortest, len(k))
    for group in tables_of(file).values():
        rows = whole_rows(group)
        if not (
            np.array_equal(rows["row"], -rows["minus_row"])
            and np.all(np.diff(rows["row"]) >= 0)
            and np.all(np.isin(rows["layer"], [0, 1, 2]))
        ):
            raise AssertionError(f"{group.name}: a row is torn")
    if not np.all(file["inputs/v"][:] == 0.25):
        raise AssertionError("an input is torn")
    return shortest


class LogTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="run log ü ")  # blanks and UTF-8 in the path
        self.path = os.path.join(self.folder.name, "x.h5")

    def tearDown(self):
        self.folder.cleanup()

    def leftovers(self):
        return sorted(os.listdir(self.folder.name))

    def assert_status(self, expected, path=None):
        with open_log(path or self.path) as file:
            self.assertEqual(status(file), expected)
            return file.attrs["reason"].decode()

    def assert_fails(self, result, code, text):
        """One line on stderr that names the program and says `text`."""
        self.assertEqual(result[0], code, result[1])
        self.assertEqual(len(result[1]), 1, result[1])
        self.assertTrue(result[1][0].startswith("log_writer: "), result[1][0])
        self.assertIn(text, result[1][0])
