#!/usr/bin/python3
"""What .ci/run does with real data: run on a copy, beside stand-ins for the tests and for what unpacks the data."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

CI = pathlib.Path(__file__).resolve().parents[2] / ".ci" / "run"


class RealData(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.project = self.root / "project"
        (self.project / ".ci").mkdir(parents=True)
        shutil.copy(CI, self.project / ".ci" / "run")
        self.script(self.project / "tests" / "run", 'echo "tests $* on ${COARSEGRAD_DATA:-nothing}"')

    def script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + body + "\n")
        path.chmod(0o755)

    def unpacks_with(self, body):
        self.script(self.root / "shared" / "data" / "unpack", body)

    def run_ci(self, **environment):
        plain = {name: value for name, value in os.environ.items() if name != "COARSEGRAD_DATA"}
        return subprocess.run([self.project / ".ci" / "run"], env=plain | environment, capture_output=True, text=True)

    def assert_tests_ran_on(self, done, data):
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stdout.splitlines() if line.startswith("tests ")]
        self.assertEqual(lines, [f"tests --long --werror on {data}", f"tests --asan --werror on {data}"])

    def test_a_set_that_cannot_be_unpacked_is_a_failure(self):
        self.unpacks_with("echo 'cifar10: FAILED' >&2; exit 1")
        done = self.run_ci()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), ["cifar10: FAILED", "ci: the data sets could not be unpacked"])
        self.assertNotIn("tests", done.stdout)

    def test_the_tests_run_on_what_was_unpacked_without_cifar100(self):
        self.unpacks_with('echo "unpack $*"')
        done = self.run_ci()
        self.assertIn("unpack --no-cifar100 build/data\n", done.stdout)
        self.assertNotIn("skipped", done.stdout)
        self.assert_tests_ran_on(done, self.project / "build" / "data")

    def test_without_the_data_one_line_says_so(self):
        done = self.run_ci()
        self.assertEqual(
            [line for line in done.stdout.splitlines() if "skipped:" in line], done.stdout.splitlines()[:1]
        )
        self.assertEqual(done.stderr, "")
        self.assert_tests_ran_on(done, "nothing")

    def test_a_folder_that_is_named_is_taken_as_it_is(self):
        self.unpacks_with("exit 1")
        self.assert_tests_ran_on(self.run_ci(COARSEGRAD_DATA="/named"), "/named")


if __name__ == "__main__":
    unittest.main()
