"""Readers beside the writer, and the file after a kill at any moment."""
import multiprocessing
import os
import random
import signal
import subprocess
import threading
import time
import unittest

import h5py

from check_log import check_log, open_log, status
from log_support import FLUSH_SECONDS, LogTest, SANITIZED, check_rows, command, run, start, wait_for


class Kill(LogTest):
    def kill_at(self, name, flags, delay):
        """Kills a writer `delay` seconds after its log has appeared; (path, seconds it ran)."""
        path = os.path.join(self.folder.name, name)
        writer = start(*flags, out=path)
        wait_for(path)
        begin = time.monotonic()
        time.sleep(delay)
        writer.kill()
        seconds = time.monotonic() - begin
        writer.communicate()
        return path, seconds

    def test_rows_missing(self):
        """20 writers, killed at random moments of 5.5 s, lose at most what the last flush interval brought."""
        moments = random.Random(1)
        delays = [moments.uniform(0, 5.5) for _ in range(20)]
        results = [None] * len(delays)

        def one(i):
            results[i] = self.kill_at(f"{i}.h5", ["--rows", 10**6, "--pause-ms", 5], delays[i])

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(delays))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        worst = 0
        for path, seconds in results:
            check_log(path)
            with open_log(path) as file:
                self.assertEqual(status(file), "running")
                rows = check_rows(file)
                last = file["series/train/s0/wall_seconds"][rows - 1] if rows else 0
            worst = max(worst, seconds - last)
        print(f"worst loss {worst:.2f} s of at most {FLUSH_SECONDS} s")
        self.assertLess(worst, FLUSH_SECONDS + 0.75)
        self.assertGreater(worst, 0.2)  # the measurement can see a loss

    def torn(self, kills):
        """Writers that do nothing but write and flush: the kill falls into a flush nearly every time."""
        moments = random.Random(2)
        rows = []
        for i in range(kills):
            flags = ["--rows", 10**7, "--series", 8, "--flush-every", moments.choice([1, 3, 700])]
            path, _ = self.kill_at("x.h5", flags, moments.uniform(0, 0.15))
            check_log(path)
            with open_log(path) as file:
                rows.append(check_rows(file))
            os.remove(path)
        print(f"{kills} kills, {min(rows)} to {max(rows)} rows left, none torn")
        self.assertGreater(max(rows), 100)

    def test_during_flush(self):
        self.torn(20)

    def test_during_flush_long(self):
        self.torn(300)

    def test_during_start(self):
        """The file is there and readable, or it is not there."""
        moments = random.Random(3)
        there = 0
        for _ in range(25):
            writer = start("--rows", 10**6, "--series", 20, "--pause-ms", 1, out=self.path)
            time.sleep(moments.uniform(0, 0.03))
            writer.kill()
            writer.communicate()
            if os.path.exists(self.path):
                there += 1
                check_log(self.path)
                os.remove(self.path)
        print(f"{there} of 25 had begun")
        self.assertEqual(run(out=self.path)[0], 0)


def check_whole(path):
    check_log(path)
    with open_log(path) as file:
        check_rows(file)


def readable(path, seconds):
    """Is the log whole for a reader that has so much time? In a process of its own: a wait inside HDF5 cannot be
    broken off otherwise."""
    reader = multiprocessing.Process(target=check_whole, args=(path,))
    reader.start()
    reader.join(seconds)
    reader.kill()
    reader.join()
    return reader.exitcode == 0


class Torn(LogTest):
    """A kill between two pages of a write, at every place where there is one."""

    def preloaded(self, command, tear_at):
        environment = dict(os.environ, LD_PRELOAD=os.environ["TORN_WRITES"], TEAR_AT=str(tear_at))
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    def crossings(self, command):
        """(number of page boundaries inside writes, lengths of these writes) of a whole run."""
        done = self.preloaded(command, 0)
        boundaries, *lengths = map(int, done.stderr.split())
        return boundaries, lengths

    def setUp(self):
        super().setUp()
        if SANITIZED:
            print("skipped: the sanitizer cannot be preloaded together with a write that kills")
            self.skipTest("sanitizer")

    def test_every_boundary(self):
        short = command("--rows", 150, "--series", 4, "--flush-every", 60, out=self.path)
        boundaries, _ = self.crossings(short)
        rows = []
        for n in range(1, boundaries + 1):
            for name in self.leftovers():
                os.remove(os.path.join(self.folder.name, name))
            self.assertEqual(self.preloaded(short, n).returncode, -signal.SIGKILL)
            if not os.path.exists(self.path):
                continue  # killed before it was in its place
            self.assertTrue(readable(self.path, 5), f"boundary {n} of {boundaries}")
            with open_log(self.path) as file:
                rows.append(check_rows(file))
        print(f"{boundaries} kills inside a write, {min(rows)} to {max(rows)} rows left, all readable")
        self.assertGreater(boundaries, 40)
        self.assertGreater(max(rows), min(rows))

    def test_no_metadata(self):
        """What crosses pages are whole chunks of rows, never metadata; without paging metadata does."""
        chunk = 8192
        _, lengths = self.crossings(command("--rows", 50000, "--series", 8, "--flush-every", 1000, out=self.path))
        self.assertEqual(lengths, [chunk])
        for paging, expected in (({"fs_strategy": "page", "fs_page_size": 4096}, [chunk]), ({}, None)):
            script = f"""
import h5py
with h5py.File({self.path!r}, "w", libver="latest", **{paging}) as file:
    columns = [file.create_dataset(str(i), (0,), float, chunks=(1024,), maxshape=(None,)) for i in range(20)]
    file.swmr_mode = True
    for column in columns:
        column.resize((3000,))
        column[:] = 1
        column.flush()
"""
            _, lengths = self.crossings(["/usr/bin/python3", "-c", script])
            self.assertEqual(lengths == [chunk], expected is not None, lengths)


def follow(path, seconds, queue):
    """One reader, in a process of its own: HDF5 would share one open file among the threads of a process, and none
    of them would see what is new."""
    report = {"polls": 0, "rows": 0, "growths": 0}
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            with open_log(path) as file:
                if status(file) != "running" or time.time() - file.attrs["heartbeat"] > FLUSH_SECONDS + 2:
                    raise AssertionError(
                        f"{status(file)}, last heartbeat {time.time() - file.attrs['heartbeat']} s ago"
                    )
                rows = check_rows(file)
            if rows < report["rows"]:
                raise AssertionError(f"{report['rows']} rows, then {rows}")
            report["growths"] += rows > report["rows"]
            report["rows"] = rows
            report["polls"] += 1
            time.sleep(0.01)
    except Exception as error:  # noqa: BLE001: everything a reader meets is a finding
        report["error"] = repr(error)
    queue.put(report)


class Readers(LogTest):
    def followed(self, seconds, readers, flags):
        writer = start("--rows", 10**7, *flags, out=self.path)
        wait_for(self.path)
        queue = multiprocessing.Queue()
        followers = [multiprocessing.Process(target=follow, args=(self.path, seconds, queue)) for _ in range(readers)]
        for follower in followers:
            follower.start()
        reports = [queue.get(timeout=seconds + 60) for _ in followers]
        for follower in followers:
            follower.join()
        writer.terminate()
        _, errors = writer.communicate()
        self.assertEqual(writer.returncode, 130, errors)
        for report in reports:
            self.assertNotIn("error", report)
            self.assertGreater(report["polls"], 3)
            self.assertGreater(report["rows"], 50)
            self.assertGreater(report["growths"], 3)
        print(
            f"{sum(report['polls'] for report in reports)} polls without an error, up to"
            f" {max(report['rows'] for report in reports)} rows"
        )

    def test_three(self):
        self.followed(2.5, 3, ["--pause-ms", 2, "--flush-every", 1])

    def test_eight(self):
        self.followed(45, 8, ["--pause-ms", 2, "--flush-every", 3, "--series", 20])

    def test_held_open(self):
        """One reader that keeps the file open and refreshes what it reads."""
        writer = start("--rows", 10**7, "--pause-ms", 1, "--flush-every", 10, out=self.path)
        wait_for(self.path)
        lengths = []
        with open_log(self.path) as file:
            values = file["series/train/s0/value"]
            for _ in range(10):
                time.sleep(0.1)
                values.refresh()
                lengths.append(len(values))
                if lengths[-1]:
                    self.assertEqual(values[lengths[-1] - 1], lengths[-1] - 1)
        writer.terminate()
        writer.communicate()
        self.assertEqual(lengths, sorted(lengths))
        self.assertGreater(len(set(lengths)), 5)

    def test_busy_writer(self):
        """Rows appear within 5 s, and the heartbeat goes on, while the main thread computes without a pause."""
        writer = start("--rows", 10**6, "--pause-ms", 30000, "--busy", out=self.path)
        wait_for(self.path)
        begin = time.monotonic()
        rows = 0
        while rows == 0 and time.monotonic() - begin < 6:
            time.sleep(0.05)
            with open_log(self.path) as file:
                rows = check_rows(file)
        seconds = time.monotonic() - begin
        writer.kill()
        writer.communicate()
        print(f"the row was there after {seconds:.2f} s")
        self.assertEqual(rows, 1)
        self.assertLess(seconds, 5)


if __name__ == "__main__":
    unittest.main()
