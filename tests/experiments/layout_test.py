"""What is in a log, and what may be at its place before."""
import json
import os
import subprocess
import time
import unittest

import h5py
import numpy as np

from check_log import check_log, open_log, series_of
from log_support import LogTest, check_rows, command, run, start, wait_for, WRITER


class Layout(LogTest):
    def test_documented(self):
        self.assertEqual(
            run("--series", 4, "--rows", 3000, "--seed", 2**64 - 1, "--text", "a 'b' ü", out=self.path)[0], 0
        )
        check_log(self.path)
        self.assertEqual(self.leftovers(), ["x.h5"])
        with open_log(self.path) as file:
            self.assertEqual(check_rows(file), 3000)
            self.assertEqual(list(series_of(file)), ["train/s0", "train/s1", "train/s2", "train/s3"])
            self.assertEqual(list(file["tables/layers/layer"].attrs["labels"]), ["conv1", "conv2", "dense"])
            self.assertEqual(file.attrs["seed"], 2**64 - 1)
            self.assertEqual(file.attrs["experiment"], "log_writer")
            self.assertIn("'a '\\''b'\\'' ü'", file.attrs["command_line"])
            self.assertLess(abs(time.time() - file.attrs["heartbeat"]), 60)
        with h5py.File(self.path, "r") as file:  # a finished log needs no special mode
            self.assertEqual(file.attrs["status"], b"finished")

    def test_checker_can_fail(self):
        self.assertEqual(run(out=self.path)[0], 0)
        for damage in (
            lambda f: f.attrs.__delitem__("cpu"),
            lambda f: f["tables/layers/row"].attrs.__delitem__("unit"),
            lambda f: f.create_group("extra"),
            lambda f: f["series/train/s0/step"].resize((5,)),
            lambda f: f.attrs.__setitem__("config", "{}"),
        ):
            run(out=self.path)
            with h5py.File(self.path, "r+") as file:
                damage(file)
            with self.assertRaises((AssertionError, KeyError)):
                check_log(self.path)

    def test_rows_checker_can_fail(self):
        self.assertEqual(run(out=self.path)[0], 0)
        with h5py.File(self.path, "r+") as file:
            file["series/train/s1/value"][500] = 0.0
        with open_log(self.path) as file, self.assertRaises(AssertionError):
            check_rows(file)

    def test_config_returns(self):
        flags = [
            "--bits",
            "1,8",
            "--etas",
            "0.1,1e-3",
            "--ste",
            "identity,relu",
            "--rate",
            1 / 3,
            "--no-busy",
            "--elements",
            "1e3",
            "--seed",
            7,
        ]
        self.assertEqual(run(*flags, out=self.path)[0], 0)
        with open_log(self.path) as file:
            config = file.attrs["config"]
        self.assertEqual(json.loads(config)["bits"], [1, 8])
        self.assertEqual(json.loads(config)["rate"], 1 / 3)
        self.assertEqual(json.loads(config)["elements"], 1000)
        with open(os.path.join(self.folder.name, "config.json"), "w") as file:
            file.write(config)
        again = os.path.join(self.folder.name, "again.h5")
        self.assertEqual(run("--config", file.name, out=again)[0], 0)
        with open_log(again) as file:
            self.assertEqual(file.attrs["config"], config)

    def test_many_rows(self):
        """A loop that logs without pause waits for the disk instead of filling the memory."""
        self.assertEqual(run("--rows", 300000, "--series", 6, out=self.path)[0], 0)
        with open_log(self.path) as file:
            self.assertEqual(check_rows(file), 300000)

    def test_default_place(self):
        done = subprocess.run([WRITER, "--quiet"], cwd=self.folder.name, capture_output=True)
        self.assertEqual(done.returncode, 0)
        check_log(os.path.join(self.folder.name, "results/log_writer.h5"))

    def test_empty_run(self):
        self.assertEqual(run("--end", "never-start", out=self.path)[0], 0)
        check_log(self.path)
        self.assertEqual(run("--rows", 0, out=self.path)[0], 0)
        check_log(self.path)


class Target(LogTest):
    """What is there already is never destroyed."""

    def test_own_log_is_kept_once(self):
        for rows in (10, 20, 30):
            self.assertEqual(run("--rows", rows, out=self.path)[0], 0)
        self.assertEqual(self.leftovers(), ["x.h5", "x.h5~"])
        for path, rows in ((self.path, 30), (self.path + "~", 20)):
            with open_log(path) as file:
                self.assertEqual(check_rows(file), rows)

    def test_foreign_files(self):
        with h5py.File(self.path, "w") as file:
            file["x"] = np.arange(3)
        self.refused("is no run log")
        with h5py.File(self.path, "w", libver="latest") as file:
            file.attrs["schema"] = "something-else/3"
        self.refused("is no run log")
        for content in (b"", b"hello", os.urandom(5000)):
            with open(self.path, "wb") as file:
                file.write(content)
            self.refused("is no run log")
        self.assertEqual(run(out=os.path.join(self.folder.name, "y.h5"))[0], 0)
        os.rename(os.path.join(self.folder.name, "y.h5"), self.path)
        with h5py.File(self.path, "r+") as file:
            file.attrs["experiment"] = "another"
        self.refused("is a log of another")

    def refused(self, text):
        with open(self.path, "rb") as file:
            before = file.read()
        self.assert_fails(run(out=self.path), 1, text)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_places_that_cannot_be_written(self):
        os.mkdir(self.path)
        self.assert_fails(run(out=self.path), 1, "no regular file")
        self.assert_fails(run(out="/dev/null"), 1, "no regular file")
        self.assert_fails(run(out="/proc/x.h5"), 1, "log /proc/x.h5: No such file or directory")
        plain = os.path.join(self.folder.name, "plain")
        open(plain, "w").close()
        self.assert_fails(run(out=plain + "/x.h5"), 1, "Not a directory")
        self.assert_fails(run(out=os.path.join(self.folder.name, "n" * 300)), 2, "expected at most 242")
        self.assertEqual(self.leftovers(), ["plain", "x.h5"])

    def test_second_writer(self):
        writer = start("--rows", 1000000, "--pause-ms", 1, out=self.path)
        try:
            wait_for(self.path)
            self.assert_fails(run(out=self.path), 1, f"is being written by process {writer.pid}")
            self.assertIsNone(writer.poll())
        finally:
            writer.kill()
            writer.communicate()
        self.assertEqual(run(out=self.path)[0], 0)  # the dead one is in nobody's way

    def test_reader_without_swmr(self):
        """It is told why it cannot open a live log, and does no harm."""
        writer = start("--rows", 1000000, "--pause-ms", 1, "--flush-every", 5, out=self.path)
        wait_for(self.path)
        for _ in range(20):
            with self.assertRaisesRegex(OSError, "already open for write|truncated file"):
                h5py.File(self.path, "r")
        self.assertIsNone(writer.poll())
        writer.terminate()
        writer.communicate()
        check_log(self.path)


if __name__ == "__main__":
    unittest.main()
