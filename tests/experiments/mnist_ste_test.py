"""mnist_ste on drawn digits: what it logs, that a broken-off sweep goes on to the same end, and how it refuses."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import h5py

MAIN = os.environ["MNIST_STE"]
SANITIZED = os.environ.get("SANITIZED") == "1"
SMALL = {
    "--digits": "drawn",
    "--images": 400,
    "--held-out": 40,
    "--epochs": 2,
    "--float-epochs": 2,
    "--seeds": 2,
    "--ste": "identity,clipped_relu",
    "--bits": 2,
}


def command(log, changes):
    flags = SMALL | {"--out": log} | changes
    return [MAIN, "--quiet", *(str(word) for flag in flags.items() for word in flag)]


class Sweep(unittest.TestCase):
    def setUp(self):
        if SANITIZED and self._testMethodName != "test_log_and_json":
            print(f"skipped: {self._testMethodName} takes minutes under the sanitizers")
            self.skipTest("sanitizers")
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.log = pathlib.Path(self.folder.name) / "run.h5"
        self.cells = pathlib.Path(str(self.log) + ".cells")

    def run_main(self, changes={}):
        return subprocess.run(command(self.log, changes), capture_output=True, text=True, check=False)

    def results(self):
        return json.loads(self.log.with_suffix(".json").read_text())["cells"]

    def test_log_and_json(self):
        done = self.run_main()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("clipped_relu", done.stdout)
        with h5py.File(self.log, "r") as file:
            self.assertEqual(file.attrs["status"].decode(), "finished")
            epochs = file["tables/epochs"]
            self.assertEqual(len(epochs["loss"]), 2 * 2 * 2)  # STEs, seeds, epochs
            self.assertEqual(len(file["tables/float_epochs/loss"]), 2)
            summary = {name: column[:] for name, column in file["tables/summary"].items()}
        for i, cell in enumerate(self.results()):
            self.assertEqual(cell["train_loss"]["mean"], summary["train_loss_mean"][i])
            self.assertEqual(cell["test_best"]["standard_deviation"], summary["test_best_sd"][i])

    def test_goes_on_after_a_signal(self):
        whole = self.run_main()
        self.assertEqual(whole.returncode, 0, whole.stderr)
        wanted = self.results()
        for path in self.cells.iterdir():
            path.unlink()
        process = subprocess.Popen(command(self.log, {}), stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(list(self.cells.glob("*-seed*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        finished = {path: path.stat().st_mtime_ns for path in self.cells.glob("*.json")}
        self.assertLess(len(finished), 6)  # settings, float and four cells would be all
        again = self.run_main()
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.results(), wanted)
        for path, before in finished.items():
            self.assertEqual(path.stat().st_mtime_ns, before, f"{path} was computed again")

    def test_threads_change_nothing(self):
        self.assertEqual(self.run_main({"--threads": 1}).returncode, 0)
        wanted = self.results()
        self.log = self.log.with_name("two.h5")
        self.assertEqual(self.run_main({"--threads": 2}).returncode, 0)
        self.assertEqual(self.results(), wanted)

    def refused(self, code, text, changes):
        done = self.run_main(changes)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(text, done.stderr)

    def test_refusals(self):
        self.refused(2, "clipped_relu", {"--ste": "sgn"})
        self.refused(2, "1 to 8", {"--bits": 9})
        self.refused(2, "held out", {"--held-out": 390})
        self.refused(1, "train-images", {"--digits": "mnist", "--data": "/nowhere"})
        self.assertEqual(list(pathlib.Path(self.folder.name).iterdir()), [])
        self.assertEqual(self.run_main({"--seeds": 1, "--epochs": 1}).returncode, 0)
        self.refused(2, "begun with epochs", {})
        self.log = self.log.with_name("diverges.h5")
        self.refused(1, "what is not finite first", {"--float-lr": 10, "--weight-decay": 1, "--float-epochs": 30})
        with h5py.File(self.log, "r") as file:
            self.assertEqual(file.attrs["status"].decode(), "diverged")


if __name__ == "__main__":
    unittest.main()
