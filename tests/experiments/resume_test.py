"""Logs that go on from a checkpoint: after a kill at any moment they end as if nothing had happened."""
import json
import os
import pathlib
import random
import signal
import subprocess
import unittest

import h5py
import numpy as np

from check_log import check_log, open_log, series_of, tables_of
from log_support import LogTest, SANITIZED, check_rows, command, limit_file_size, run, start, wait_for


def numbers(path):
    """Everything that an uninterrupted run logs as well, as bytes."""
    with open_log(path) as file:
        found = {
            f"{name}/{column}": group[column][:].tobytes()
            for name, group in series_of(file).items()
            for column in ("step", "value")
        }
        for name, group in tables_of(file).items():
            found |= {f"{name}/{column}": data[:].tobytes() for column, data in group.items()}
        return found


class ResumeTest(LogTest):
    def reference(self, *flags):
        """What the command logs when nothing happens to it."""
        path = os.path.join(self.folder.name, "reference.h5")
        self.assertEqual(run(*flags, out=path), (0, []))
        return numbers(path)

    def save(self):
        """Keeps the log and its checkpoint; the function that brings them back."""
        names = [self.path, self.path + ".checkpoint"]
        contents = [pathlib.Path(name).read_bytes() for name in names]

        def restore():
            for name in self.leftovers():
                if name.startswith((".x.h5", "x.h5")):
                    os.remove(os.path.join(self.folder.name, name))
            for name, content in zip(names, contents):
                pathlib.Path(name).write_bytes(content)

        return restore

    def dies_at(self, place, *flags):
        """Runs a writer that is killed at this place of all places where it can be; (exit code, stderr)."""
        environment = dict(os.environ, LD_PRELOAD=os.environ["TORN_WRITES"], TEAR_AT=str(place), TEAR_CALLS="1")
        done = subprocess.run(command(*flags, out=self.path), capture_output=True, text=True, env=environment)
        return done.returncode, done.stderr

    def killed_after(self, rows, *flags):
        """A log whose writer was killed when it had flushed so many rows, with rows after its last checkpoint."""
        writer = start(*flags, out=self.path)
        wait_for(self.path + ".checkpoint")
        here = 0
        while here < rows:
            with open_log(self.path) as file:
                here = min(len(group["step"]) for group in series_of(file).values())
        writer.kill()
        writer.communicate()
        return here


class Resume(ResumeTest):
    FLAGS = ["--rows", 4000, "--checkpoint-every", 250, "--flush-every", 40, "--series", 4]

    def test_random_kills(self):
        """One run, killed again and again at random moments."""
        flags = ["--rows", 40000, "--checkpoint-every", 500, "--flush-every", 100, "--series", 4]
        reference = self.reference(*flags)
        moments = random.Random(4)
        kills = 0
        while True:
            writer = start(*flags, out=self.path)
            longest = (0.5 if SANITIZED else 0.1) * (1 + kills / 8)  # a slow machine gets through, too
            try:
                self.assertEqual((writer.wait(moments.uniform(0.02, longest)), writer.stderr.read()), (0, ""))
                writer.communicate()
                break
            except subprocess.TimeoutExpired:
                writer.kill()
                writer.communicate()
                kills += 1
            if os.path.exists(self.path):
                check_log(self.path)
        check_log(self.path)
        with open_log(self.path) as file:
            self.assertEqual(check_rows(file), 40000)  # wall seconds never go back
            resumed = file.attrs["resumed"]
        self.assertEqual(numbers(self.path), reference)
        print(f"{kills} kills, resumed {resumed} times")
        self.assertGreater(resumed, 1)

    def test_kill_at_every_place_of_a_resume(self):
        """Before each write, sync and rename, and between the pages of each write, of a process that goes on."""
        if SANITIZED:
            print("skipped: the sanitizer cannot be preloaded together with a write that kills")
            self.skipTest("sanitizer")
        flags = ["--rows", 120, "--checkpoint-every", 50, "--flush-every", 8, "--series", 2, "--layers", 1]
        reference = self.reference(*flags)
        places = int(self.dies_at(0, *flags)[1].split()[0])
        os.remove(self.path)
        os.remove(self.path + ".checkpoint")
        self.assertEqual(self.dies_at(int(0.75 * places), *flags)[0], -signal.SIGKILL)
        restore = self.save()
        with open_log(self.path) as file:
            rows = check_rows(file)
        self.assertGreater(rows, 50)
        kills = since_replaced = 0
        while since_replaced < 8:
            restore()
            kills += 1
            self.assertEqual(self.dies_at(kills, *flags)[0], -signal.SIGKILL)
            check_log(self.path)
            with open_log(self.path) as file:
                replaced = file.attrs["resumed"] == 1
                self.assertEqual(check_rows(file), 50 if replaced else rows)
            since_replaced += replaced
            self.assertEqual(run(*flags, out=self.path), (0, []))
            check_log(self.path)
            self.assertEqual(numbers(self.path), reference)
        print(f"{kills} kills, {kills - since_replaced} of them before the log was replaced")
        self.assertGreater(kills - since_replaced, 25)

    def test_what_the_attributes_say(self):
        self.killed_after(700, *self.FLAGS, "--threads", 1)
        with open_log(self.path) as file:
            before = dict(file.attrs)
        self.assertEqual(run(*self.FLAGS, "--threads", 2, out=self.path), (0, []))  # threads may differ
        with open_log(self.path) as file:
            after = dict(file.attrs)
        for same in ("created", "experiment", "seed", "git_commit", "host"):
            self.assertEqual(after[same], before[same])
        self.assertNotEqual(after["pid"], before["pid"])
        self.assertGreater(after["heartbeat"], before["heartbeat"])
        self.assertEqual((after["status"], after["resumed"], after["threads"]), (b"finished", 1, 2))
        self.assertIn("--threads 1", after["earlier_processes"])
        self.assertNotIn("x.h5~", self.leftovers())
        with h5py.File(self.path, "r") as file:  # nothing of the killed writer's flags is left
            self.assertEqual(check_rows(file), 4000)


class Refused(ResumeTest):
    """A position that does not fit is one line, and leaves the log as it was."""

    FLAGS = ["--rows", 500, "--checkpoint-every", 100]

    def setUp(self):
        super().setUp()
        self.assertEqual(run(*self.FLAGS, out=self.path), (0, []))
        self.checkpoint = pathlib.Path(self.path + ".checkpoint")
        row, position = self.checkpoint.read_text().split(" ", 1)
        self.assertEqual(row, "400")
        self.position = json.loads(position)

    def refused(self, text, *flags, position=None):
        if position is not None:
            self.checkpoint.write_text(f"400 {position if isinstance(position, str) else json.dumps(position)}")
        before = pathlib.Path(self.path).read_bytes() if os.path.exists(self.path) else None
        self.assert_fails(run(*self.FLAGS, *flags, out=self.path), 1, text)
        if before is not None:
            self.assertEqual(pathlib.Path(self.path).read_bytes(), before)
        self.assertFalse([name for name in self.leftovers() if name.endswith(".tmp")])

    def changed(self, **fields):
        return dict(self.position, **fields)

    def rows(self, **rows):
        return self.changed(rows=dict(self.position["rows"], **{name.replace("_", "/"): n for name, n in rows.items()}))

    def test_finished_log_goes_on(self):
        reference = numbers(self.path)
        self.assertEqual(run(*self.FLAGS, out=self.path), (0, []))
        self.assertEqual(numbers(self.path), reference)

    def test_positions(self):
        self.refused(
            "/series/train/s0/step holds 500 rows, expected at least 501", position=self.rows(_series_train_s0=501)
        )
        self.refused("lacks a series or table that was there before", position=self.rows(_series_more=5))
        rows = dict(self.position["rows"])
        rows.pop("/tables/layers")
        self.refused("/tables/layers was not there before", position=self.changed(rows=rows))
        self.refused("is of a run that began at", position=self.changed(created="2001-01-01T00:00:00Z"))
        for malformed in (
            "{",
            "[]",
            "{}",
            self.changed(wall_seconds=-1),
            self.changed(wall_seconds="1"),
            self.changed(extra=1),
            self.rows(_tables_layers=-1),
            self.rows(_tables_layers=0.5),
        ):
            self.refused("position of a log: ", position=malformed)

    def test_other_runs(self):
        self.refused("is of another configuration. seed: 1, now 2. series: 3, now 4.", "--series", 4, "--seed", 2)
        with h5py.File(self.path, "r+") as file:
            file.attrs["experiment"] = "another"
        self.refused("is a log of another")
        with h5py.File(self.path, "r+") as file:
            file.attrs["experiment"] = "log_writer"
            file["tables/layers/layer"].attrs["labels"] = ["conv1", "dense", "conv2"]
        self.refused("/tables/layers/layer has other labels")
        with h5py.File(self.path, "r+") as file:
            file["tables/layers/layer"].attrs["labels"] = ["conv1", "conv2", "dense"]
            del file["tables/layers/row"]
        self.refused("find /tables/layers/row")

    def test_no_log(self):
        os.remove(self.path)
        self.refused("is not there any more")
        pathlib.Path(self.path).write_bytes(b"something else")
        self.refused("is no run log")

    def test_no_room(self):
        """A disk without room for the copy leaves the log that is there."""
        before = pathlib.Path(self.path).read_bytes()
        code, errors = run(*self.FLAGS, out=self.path, preexec_fn=limit_file_size(2**18 + 2**15))
        self.assert_fails((code, errors), 1, "File too large")
        self.assertEqual(pathlib.Path(self.path).read_bytes(), before)
        self.assertEqual(self.leftovers(), ["x.h5", "x.h5.checkpoint"])

    def test_live_log(self):
        writer = start("--rows", 10**6, "--pause-ms", 1, "--checkpoint-every", 10, out=self.path + "2")
        wait_for(self.path + "2.checkpoint")
        self.path += "2"
        code, errors = run("--rows", 10**6, "--pause-ms", 1, "--checkpoint-every", 10, out=self.path)
        self.assert_fails((code, errors), 1, f"is being written by process {writer.pid}")
        writer.kill()
        writer.communicate()


if __name__ == "__main__":
    unittest.main()
