"""A disk that is full, at any moment of a run."""
import os
import subprocess
import unittest

from check_log import check_log, open_log
from log_support import LogTest, SANITIZED, WRITER, check_rows, limit_file_size, run


class FullDisk(LogTest):
    def test_limit_on_file_size(self):
        """Files limited to 32 KB up to 7.6 MB: full at the start, in the middle, at the end, or not at all."""
        outcomes = {"no log": 0, "failed": 0, "finished": 0}
        rows_left = []
        for step in range(40):
            size = int(32768 * 1.15**step)
            code, errors = run("--rows", 20000, "--flush-every", 1000, out=self.path, preexec_fn=limit_file_size(size))
            if code == 0:
                outcomes["finished"] += 1
            else:
                self.assert_fails((code, errors), 1, "File too large")
            if not os.path.exists(self.path):
                self.assertNotEqual(code, 0)
                outcomes["no log"] += 1
            else:
                check_log(self.path)
                reason = self.assert_status("finished" if code == 0 else "failed")
                with open_log(self.path) as file:
                    rows_left.append(check_rows(file))
                if code != 0:
                    outcomes["failed"] += 1
                    self.assertIn("File too large", reason)
                self.assertLessEqual(os.path.getsize(self.path), size)
                os.remove(self.path)
            self.assertEqual(self.leftovers(), [])
        print(outcomes, "rows left:", rows_left)
        self.assertTrue(all(count > 3 for count in outcomes.values()), outcomes)
        self.assertTrue(any(0 < rows < 20000 for rows in rows_left))

    def test_tmpfs(self):
        """A file system of 2 MB in a mount namespace of its own."""
        script = f"""
            mount -t tmpfs -o size=2m tmpfs '{self.folder.name}' || exit 77
            '{WRITER}' --quiet --rows 100000 --flush-every 500 --out '{self.path}'
            code=$?
            [ $(df --output=avail -B1 '{self.folder.name}' | tail -1) -lt 1000000 ] || exit 78
            cp '{self.path}' '{self.folder.name}'/../saved.$$.h5 && echo '{self.folder.name}'/../saved.$$.h5
            exit $code"""
        namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        done = subprocess.run(namespace + ["sh", "-c", script], capture_output=True, text=True)
        if done.returncode == 77 or "unshare" in done.stderr:
            print("skipped: nothing can be mounted here:", done.stderr.strip())
            self.skipTest("nothing can be mounted here")
        saved = os.path.realpath(done.stdout.strip())
        self.addCleanup(os.remove, saved)
        self.assert_fails((done.returncode, done.stderr.splitlines()), 1, "No space left on device")
        check_log(saved)
        self.assertIn("No space left on device", self.assert_status("failed", saved))
        with open_log(saved) as file:
            self.assertGreater(check_rows(file), 500)

    def test_write_that_fails(self):
        """The device itself fails, from the n-th write on: HDF5 cannot close the file, what was flushed stays."""
        if SANITIZED:
            print("skipped: the sanitizer cannot be preloaded together with a failing write")
            self.skipTest("sanitizer")
        readable = 0
        for n in list(range(1, 60, 7)) + list(range(100, 2000, 211)):
            environment = dict(os.environ, LD_PRELOAD=os.environ["FAILING_WRITES"], FAIL_FROM=str(n))
            result = run("--rows", 20000, "--flush-every", 100, out=self.path, env=environment)
            self.assert_fails(result, 1, "Input/output error")
            if os.path.exists(self.path):
                readable += 1
                check_log(self.path)
                with open_log(self.path) as file:
                    check_rows(file)
                os.remove(self.path)
            self.assertEqual(self.leftovers(), [])
        print(readable, "of these left a log, each readable")
        self.assertGreater(readable, 5)


if __name__ == "__main__":
    unittest.main()
