"""Exit codes, signals, broken standard streams, progress, and what logging costs."""
import os
import pty
import resource
import signal
import subprocess
import time
import unittest

from check_log import check_log, open_log
from log_support import LogTest, OPTIMIZED, SANITIZED, WRITER, check_rows, command, run, start, wait_for


class Ending(LogTest):
    def test_outcomes(self):
        for end, code, state, text in (
            ("finish", 0, "finished", ""),
            ("diverge", 1, "diverged", "train/loss is nan"),
            ("fail", 1, "failed", "log_writer: asked to fail"),
            ("memory", 1, "failed", "out of memory"),
        ):
            result = run("--end", end, out=self.path)
            if code == 0:
                self.assertEqual(result, (0, []))
            else:
                self.assert_fails(result, code, text)
            self.assertEqual(self.assert_status(state), text)
            check_log(self.path)
            with open_log(self.path) as file:
                self.assertEqual(check_rows(file), 1000)

    def test_usage_and_misuse(self):
        self.assert_fails(run("--end", "usage", out=self.path), 2, "do not go together")
        self.assert_fails(run("--end", "add-early", out=self.path), 1, "before start()")
        self.assertEqual(self.leftovers(), [])

    def test_memory_limit(self):
        if SANITIZED:
            print("skipped: the sanitizer needs more address space than the limit leaves")
            self.skipTest("sanitizer")
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        self.assert_fails(run("--elements", 2**28, out=self.path, preexec_fn=limit), 1, "out of memory")
        self.assertEqual(self.leftovers(), [])

    def test_small_limits(self):
        """32 file handles and a stack of 256 KB are enough."""

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
            resource.setrlimit(resource.RLIMIT_STACK, (2**18, 2**18))

        self.assertEqual(run("--series", 20, out=self.path, preexec_fn=limit), (0, []))


class Usage(LogTest):
    def refused(self, text, *flags):
        self.assert_fails(run(*flags, out=self.path), 2, text)
        self.assertEqual([name for name in self.leftovers() if name != "config.json"], [])

    def test_flags(self):
        for text, flags in (
            ("unknown flag --lr", ["--lr", 1]),
            ("unexpected argument", ["rows"]),
            ("expected an integer from 1 to 64", ["--series", 0]),
            ("expected an integer from 1 to 64", ["--series", 10**30]),
            ("expected an integer from 1 to 1024", ["--threads", -1]),
            ("each one of identity, relu, clipped_relu", ["--ste", "relu,rellu"]),
            ("given nan", ["--rate", "nan"]),
            ("--rows", ["--rows"]),
            ("--rows", ["--rows", 1, "--rows", 2]),
            ("No such file", ["--config", "/nonexistent.json"]),
        ):
            with self.subTest(flags=flags):
                self.refused(text, *flags)

    def test_config_files(self):
        for text, content in (
            ("line 1, column 10", b'{"rows": }'),
            ("line 2, column 10", b'{"rows": 5,\n "rate": .5}'),
            ("unknown key 'row'", b'{"row": 5}'),
            ("'rows' is there twice", b'{"rows": 5, "rows": 6}'),
            ("nested too deep", b"[" * 100000),
            ("nested too deep", b'{"bits": ' + b"[" * 100000),
            ('given "text"', b'{"rows": "text"}'),
            ("expected an integer", b'{"rows": 1.5}'),
        ):
            with self.subTest(content=content[:40]):
                path = os.path.join(self.folder.name, "config.json")
                with open(path, "wb") as file:
                    file.write(content)
                self.refused(text if content[0] == 123 else "expected an object", "--config", path)

    def test_kernels(self):
        environment = dict(os.environ, COARSEGRAD_KERNELS="sse9")
        self.assert_fails(run(out=self.path, env=environment), 2, "sse9")
        self.assertEqual(self.leftovers(), [])
        environment = dict(os.environ, COARSEGRAD_KERNELS="scalar")
        self.assertEqual(run(out=self.path, env=environment), (0, []))
        with open_log(self.path) as file:
            self.assertEqual(file.attrs["kernels"], "scalar")

    def test_help(self):
        done = subprocess.run([WRITER, "--help"], cwd=self.folder.name, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for text in (
            "--series",
            "--[no-]busy",
            "from 1 to 64",
            "one of identity, relu, clipped_relu",
            "(default 2,4)",
            "--config",
            "--seed",
            "--threads",
            "--out",
            "quiet",
        ):
            self.assertIn(text, done.stdout)
        self.assertEqual(self.leftovers(), [])


class Signals(LogTest):
    def running(self, *flags, **options):
        writer = start("--rows", 10**6, "--pause-ms", 5, *flags, out=self.path, **options)
        self.addCleanup(writer.communicate)
        self.addCleanup(writer.kill)
        wait_for(self.path)
        time.sleep(0.2)
        return writer

    def test_once(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            writer = self.running()
            writer.send_signal(number)
            _, errors = writer.communicate(timeout=5)
            self.assert_fails((writer.returncode, errors.splitlines()), 130, "interrupted")
            self.assertIn("interrupted", self.assert_status("interrupted"))
            check_log(self.path)
            with open_log(self.path) as file:
                self.assertGreater(check_rows(file), 10)  # nothing is lost although no flush was due

    def test_twice(self):
        writer = self.running("--end", "ignore-stop")
        writer.send_signal(signal.SIGINT)
        time.sleep(0.3)
        self.assertIsNone(writer.poll())  # a program that does not listen goes on ...
        begin = time.monotonic()
        writer.send_signal(signal.SIGINT)
        writer.communicate(timeout=5)  # ... but not for long
        self.assertLess(time.monotonic() - begin, 1)
        self.assertEqual(writer.returncode, 130)
        self.assert_status("running")
        check_log(self.path)

    def test_stopped_at_the_end(self):
        """A body that returns although a stop was requested has not finished."""
        writer = start("--rows", 100, "--pause-ms", 5, "--end", "ignore-stop", out=self.path)
        wait_for(self.path)
        writer.send_signal(signal.SIGTERM)
        writer.communicate(timeout=10)
        self.assertEqual(writer.returncode, 130)
        self.assert_status("interrupted")

    def test_ignored(self):
        """nohup: a hang-up that the parent ignores stays ignored."""
        writer = self.running(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        writer.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        self.assertIsNone(writer.poll())
        writer.terminate()
        writer.communicate(timeout=5)
        self.assertEqual(writer.returncode, 130)


class Streams(LogTest):
    def check_run(self, redirection, code=0):
        done = subprocess.run(
            ["sh", "-c", f'"$0" --measure --rows 100 --out "$1" {redirection}', WRITER, self.path],
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
        self.assertEqual(done.returncode, code, redirection)
        check_log(self.path)
        self.assert_status("finished")

    def test_broken(self):
        for redirection, code in (
            (">/dev/full 2>/dev/full", 1),
            (">&-", 0),
            ("2>&-", 0),
            ("<&- >&- 2>&-", 0),
            ("| true", 0),
        ):
            with self.subTest(redirection=redirection):
                self.check_run(redirection, code)

    def shown_on(self, master):
        """Everything that appears on a terminal until its last user is gone."""
        shown = b""
        while True:
            try:
                shown += os.read(master, 65536)
            except OSError:  # how Linux says that nobody holds the other end
                os.close(master)
                return shown.decode()

    def terminal(self):
        """Both ends of a pseudo-terminal."""
        try:
            return pty.openpty()
        except OSError as error:  # containers without /dev/pts
            print(f"skipped: no pseudo-terminal to be had ({error})")
            self.skipTest("no pseudo-terminal")

    def test_bar_on_a_terminal(self):
        master, terminal = self.terminal()
        environment = dict(os.environ, TERM="xterm")
        flags = ["--out", self.path, "--rows", "100", "--pause-ms", "10"]
        writer = subprocess.Popen([WRITER] + flags, stderr=terminal, stdout=subprocess.DEVNULL, env=environment)
        os.close(terminal)
        text = self.shown_on(master)
        self.assertEqual(writer.wait(), 0)
        self.assertGreater(text.count("\r"), 4)
        self.assertLess(text.count("\r"), 20)  # ten times a second, not for every row
        self.assertRegex(text, r"rows \[#+-*\] +\d+%  \d+/100  \d+(\.\d+)?/s  0:01 left")
        self.assertRegex(text, r"100%  100/100 .* in all")
        self.assertTrue(text.endswith("\n"))

    def test_quiet(self):
        environment = dict(os.environ, TERM="xterm")
        master, terminal = self.terminal()
        code = subprocess.run(command("--rows", 50, "--pause-ms", 10, out=self.path), stderr=terminal, env=environment)
        os.close(terminal)
        self.assertEqual(code.returncode, 0)
        self.assertEqual(self.shown_on(master), "")


class Lines(LogTest):
    def test_not_a_terminal(self):
        done = subprocess.run(
            [WRITER, "--out", self.path, "--rows", "1050", "--pause-ms", "10"], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 2, lines)  # after 10 s, and at the end
        self.assertRegex(lines[0], r"^rows 9\d%  \d+/1050  \d+(\.\d)?/s  0:01 left$")
        self.assertRegex(lines[1], r"^rows 100%  1050/1050  .* in all$")


FLUSH_SECONDS = 4  # RunLog::kFlushSeconds


class Cost(LogTest):
    STEP_MS = 10  # a hundred steps a second, each logging 20 series and 2 rows of a table

    def setUp(self):
        super().setUp()
        if not OPTIMIZED:
            print("skipped: cost is measured in release builds")
            self.skipTest("not a release build")

    def measured(self, seconds):
        """Seconds that logging cost in a run of so many seconds."""
        rows = int(1000 * seconds / self.STEP_MS)
        flags = ["--series", "20", "--rows", str(rows), "--pause-ms", str(self.STEP_MS), "--busy", "--measure"]
        done = subprocess.run(command(*flags, out=self.path), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        cost = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()[2:]}
        print(cost)
        return cost

    def test_share_of_a_minute(self):
        """A tripwire at twice the share that test_minute allows, from one flush of a short run: what grows with
        its length, scaled to a minute, plus what is paid once."""
        best = 1.0
        for _ in range(3):  # other work on the machine only adds
            cost = self.measured(FLUSH_SECONDS)
            growing = (cost["adding"] + cost["logger"]) / cost["wall"]
            best = min(best, growing + (cost["start"] + cost["finish"]) / 60)
            if best < 2e-3:
                break
        print(f"logging takes {100 * best:.3f} % of a minute")
        self.assertLess(best, 2e-3)

    def test_minute(self):
        cost = self.measured(60)
        share = (cost["adding"] + cost["logger"] + cost["start"] + cost["finish"]) / cost["wall"]
        print(f"logging takes {100 * share:.3f} % of a minute")
        self.assertLess(share, 1e-3)


if __name__ == "__main__":
    unittest.main()
