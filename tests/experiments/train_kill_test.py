"""train, killed at any moment, goes on to the same end: weights, optimizer, result tables, every series."""
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

from check_log import check_log, open_log, series_of, status, tables_of

TRAIN = os.environ["TRAIN"]
SANITIZED = os.environ.get("SANITIZED") == "1"
# Everything that has a state: momentum, norm statistics, projected weights, averaged weights.
SMALL = {
    "--dataset": "drawn_digits",
    "--net": "lenet5",
    "--images": 140,
    "--held-out": 20,
    "--batch": 20,
    "--epochs": 2,
    "--lr": 0.02,
    "--average-decay": 0.9,
    "--norm-batches": 2,
    "--save-steps": 2,
}
BCGD = {"--weights": "exact", "--relaxation": "blend", "--activations": "uniform"}  # where no method is named
TINY = {"--images": 80, "--epochs": 1, "--save-steps": 1, "--threads": 1}  # three steps, four saves


def command(log, changes={}):
    flags = SMALL | ({} if "--method" in changes else BCGD) | {"--out": log} | changes
    return [TRAIN, "--quiet", *(str(word) for flag in flags.items() for word in flag)]


def run(log, changes={}, **options):
    return subprocess.run(command(log, changes), capture_output=True, text=True, check=False, **options)


def tensors_and_state(path):
    """({name: (shape, bytes)}, states of the parts) of a checkpoint, read by the format's description alone."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
    meta = header.pop("__metadata__")
    state = json.loads(meta["state"])
    tensors = {name: (item["shape"], values[slice(*item["data_offsets"])]) for name, item in header.items()}
    return tensors, state


def steps_taken(state):
    return state["optimizer"]["counts"]["schedule.step"][0]


def outcome(log):
    """Everything that a run leaves, but for what a clock says."""
    tensors, state = tensors_and_state(log.with_suffix(".checkpoint"))
    del state["training"]["numbers"]["seconds"], state["log"]
    found = {f"checkpoint {name}": value for name, value in tensors.items()} | {"state": state}
    for kind in ("best", "last"):
        found[kind] = log.with_suffix(f".{kind}.safetensors").read_bytes()
    with open_log(log) as file:
        found["status"] = status(file)
        for name, group in series_of(file).items():
            found |= {f"{name} {column}": group[column][:].tobytes() for column in ("step", "value")}
            if not np.all(np.diff(group["wall_seconds"]) >= 0):
                raise AssertionError(f"{name}: the clock went back")
        for name, group in tables_of(file).items():
            found |= {f"{name} {column}": data[:].tobytes() for column, data in group.items()}
    return found


class TrainTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="train ü ")
        self.addCleanup(self.folder.cleanup)
        self.log = self.place("run")
        self.checkpoint = self.log.with_suffix(".checkpoint")

    def place(self, name):
        return pathlib.Path(self.folder.name) / name / "x.h5"

    def finishes(self, log, changes={}):
        done = run(log, changes)
        self.assertEqual(done.returncode, 0, done.stderr)
        return outcome(log)

    def assert_same(self, found, wanted):
        different = [name for name in wanted if found.get(name) != wanted[name]]
        self.assertEqual((different, set(found) ^ set(wanted)), ([], set()))


class Kill(TrainTest):
    def killed(self, kills, changes):
        wanted = self.finishes(self.place("whole"), changes)
        begin = time.monotonic()
        run(self.place("timed"), changes)
        seconds = time.monotonic() - begin
        moments = random.Random(1)
        resumed = 0
        for i in range(kills):
            process = subprocess.Popen(command(self.log, changes), stderr=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.1, 0.6) * seconds)
            process.send_signal(signal.SIGTERM if i % 5 == 4 else signal.SIGKILL)
            process.wait()
            if self.log.exists():
                check_log(self.log)
        self.assert_same(self.finishes(self.log, changes), wanted)
        with open_log(self.log) as file:
            resumed = file.attrs["resumed"]
        print(f"{kills} stops, the log went on {resumed} times")
        self.assertGreater(resumed, 0)

    def test_five_kills(self):
        self.killed(5, {"--save-steps": 1})

    def test_thirty_kills(self):
        self.killed(30, {"--save-steps": 1, "--epochs": 20})

    def test_threads_may_change(self):
        wanted = self.finishes(self.place("whole"), {"--threads": 1})
        process = subprocess.Popen(command(self.log, {"--threads": 2}))
        while not self.checkpoint.exists() and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        self.assert_same(self.finishes(self.log, {"--threads": 1}), wanted)


class Methods(TrainTest):
    """Methods whose parts have a state, or that go through stages."""

    def killed_in(self, method, changes, stages=1):
        changes = {"--method": method, "--images": 80, "--epochs": 2, "--save-steps": 1} | changes
        wanted = self.finishes(self.place(f"{method} whole"), changes)
        self.log = self.place(method)
        self.checkpoint = self.log.with_suffix(".checkpoint")
        seen = set()
        for stage in range(stages):
            process = subprocess.Popen(command(self.log, changes), stderr=subprocess.DEVNULL)
            while process.poll() is None:  # until the checkpoint is one of this stage, somewhere inside
                if self.checkpoint.exists():
                    content = self.checkpoint.read_bytes()
                    if not content:
                        continue
                    meta = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])["__metadata__"]
                    now = json.loads(meta["config"]).get("stage", 0)
                    if now >= stage and steps_taken(json.loads(meta["state"])) >= 2:
                        seen.add(now)
                        break
                time.sleep(0.001)
            process.kill()
            process.wait()
            check_log(self.log)
        self.assert_same(self.finishes(self.log, changes), wanted)
        with open_log(self.log) as file:
            self.assertGreater(file.attrs["resumed"], 0)
            epochs = file["tables/epochs/epoch"][:].tolist()
        self.assertEqual(epochs, [float(e) for e in range(1, len(epochs) + 1)])
        return len(epochs), seen

    def test_stages_and_a_guide(self):
        epochs, seen = self.killed_in("telcnn", {"--stage-bits": "4"}, 3)
        self.assertEqual(epochs, 2 * 4)  # 4 bits and 2 bits, weights first each time
        self.assertGreater(len(seen), 1)
        print(f"killed in stages {sorted(seen)}")

    def test_steps_scales_and_gradients(self):
        for method, changes in (
            ("lsq", {}),
            ("statquant", {}),
            ("binary_relax", {"--weights": "warm_lloyd", "--weights.bits": 2}),
            ("bop", {}),
        ):
            with self.subTest(method):
                self.assertEqual(self.killed_in(method, changes)[0], 2)

    def test_parts_can_be_overridden_and_the_log_has_them_all(self):
        log = self.place("parts")
        self.finishes(
            log,
            {
                "--method": "binary_relax",
                "--weights.bits": 2,
                "--relaxation.growth": 1.5,
                "--activations": "pact",
                "--activations.bits": 3,
            },
        )
        with open_log(log) as file:
            config = json.loads(file.attrs["config"])
        self.assertEqual(config["method"], "binary_relax")
        self.assertEqual(config["weights"], {"name": "exact", "bits": 2, "sign-of-zero": 1, "per-channel": False})
        relaxation = config["relaxation"]
        self.assertEqual(
            [relaxation[key] for key in ("name", "lambda", "growth", "every", "hard-from")], ["relax", 1, 1.5, 1, 0.75]
        )
        self.assertEqual(config["activations"], {"name": "pact", "bits": 3, "alpha": 10, "rate-factor": 1})
        self.assertEqual(config["gradients"], {"name": "none"})


class EveryCall(TrainTest):
    """The process is gone right after a system call."""

    def setUp(self):
        super().setUp()
        if SANITIZED:
            print("skipped: a sanitizer's runtime must be loaded before anything else")
            self.skipTest("sanitizers")

    def environment(self, stop_after, **more):
        return dict(os.environ, LD_PRELOAD=os.environ["STOP_AFTER_CALL"], STOP_AFTER=str(stop_after), **more)

    def calls(self):
        path = os.path.join(self.folder.name, "calls")
        log = self.place("recorded")
        done = run(log, TINY, env=self.environment(0, CALLS=path))
        self.assertEqual(done.returncode, 0, done.stderr)
        return pathlib.Path(path).read_text().splitlines()

    def stopped_after(self, numbers):
        wanted = self.finishes(self.place("whole"), TINY)
        steps = []
        for n in numbers:
            self.log = self.place(f"run{n}")
            self.checkpoint = self.log.with_suffix(".checkpoint")
            done = run(self.log, TINY, env=self.environment(n))
            self.assertEqual(done.returncode, -signal.SIGKILL, (n, done.stderr))
            steps.append(steps_taken(tensors_and_state(self.checkpoint)[1]) if self.checkpoint.exists() else 0)
            self.assert_same(self.finishes(self.log, TINY), wanted)
            self.assertEqual([p.name for p in self.log.parent.iterdir() if p.name.startswith(".")], [])
        return steps

    def saves(self, calls):
        """For each checkpoint the numbers of the calls from the end of the one before it to its own end."""
        ends = [i for i, call in enumerate(calls) if call.startswith("rename") and call.endswith(".checkpoint")]
        ends = [i + 3 for i in ends]  # the folder is opened, synced and closed
        return [range(a + 1, b + 1) for a, b in zip([0, *ends], ends)]

    def test_one_save(self):
        calls = self.calls()
        saves = self.saves(calls)
        self.assertEqual(len(saves), 4)
        save = saves[1]
        names = [calls[n].split()[0].removesuffix("64") for n in save]
        # The log is synced, then the checkpoint is opened, written and closed, synced and renamed, its folder synced.
        self.assertEqual(names[-9:], ["open", "write", "close", "fsync", "close", "rename", "open", "fsync", "close"])
        self.assertIn("pwrite", names[:-9])
        self.assertIn("fsync", names[:-9])
        # One write to the log is like another: every third of them, and each call of another kind.
        tried = [n for i, n in enumerate(save) if names[i] != "pwrite" or i % 3 == 0]
        steps = self.stopped_after(n + 1 for n in tried)
        self.assertEqual(steps, [1] * (len(tried) - 4) + [2] * 4)
        print(f"stopped after {len(tried)} of the {len(save)} calls of one save")

    def test_whole_run(self):
        last = self.saves(self.calls())[-1][-1]
        steps = self.stopped_after(range(1, last + 1))
        self.assertEqual(steps, sorted(steps))
        print(f"stopped after each of {last} calls of a run")


class Sweep(TrainTest):
    """ste_cifar10 on drawn images: a cell that was broken off goes on inside."""

    FLAGS = {
        "--dataset": "drawn_shapes",
        "--images": 140,
        "--held-out": 20,
        "--batch": 20,
        "--width": 4,
        "--float-epochs": 2,
        "--epochs": 3,
        "--bits": 4,
        "--instability": 2,
        "--loss-window": 2,
        "--instability-batches": 2,
    }

    def command(self, log):
        flags = self.FLAGS | {"--out": log}
        return [os.environ["STE_CIFAR10"], "--quiet", *(str(word) for flag in flags.items() for word in flag)]

    def tables(self, log):
        with open_log(log) as file:
            self.assertEqual(status(file), "finished")
            return {
                (name, column): data[:].tobytes()
                for name, group in tables_of(file).items()
                for column, data in group.items()
            }

    def test_broken_off_inside_cells(self):
        whole = self.place("whole")
        done = subprocess.run(self.command(whole), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open_log(whole) as file:
            self.assertEqual(len(file["tables/epochs/loss"]), 4 * 3)  # three STEs and the float control, three epochs
            self.assertEqual(len(file["tables/float_epochs/loss"]), 2)
            self.assertEqual(len(file["tables/summary/seeds"]), 4)
            steps = file["tables/instability/step"][:].reshape(4, -1)
        self.assertEqual(steps[0].tolist(), [0, 2, 4, 6, 6, 8, 10, 12, 12])
        inside = 0
        cells = pathlib.Path(str(self.log) + ".cells")
        seen = set()
        for stop in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            process = subprocess.Popen(self.command(self.log), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            while process.poll() is None:  # until a cell that was not seen before has its first checkpoint
                new = {path.name for path in cells.glob("*.checkpoint")} - seen
                if new:
                    seen |= new
                    break
                time.sleep(0.001)
            process.send_signal(stop)
            process.wait()
            inside += bool(list(cells.glob("*.checkpoint")))
        self.assertGreater(inside, 0)
        done = subprocess.run(self.command(self.log), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.tables(self.log), self.tables(whole))
        self.assertEqual(list(cells.glob("*.checkpoint")), [])
        for path in cells.glob("*.safetensors"):
            other = pathlib.Path(str(whole) + ".cells") / path.name
            self.assertEqual(path.read_bytes(), other.read_bytes(), path.name)
        print(f"broken off inside a cell {inside} times")


class Refused(TrainTest):
    def left(self):
        return {path: path.read_bytes() for path in pathlib.Path(self.folder.name).rglob("*") if path.is_file()}

    def refused(self, code, text, changes={}):
        before = self.left()
        done = run(self.log, changes)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(self.left(), before)

    def test_another_configuration(self):
        self.finishes(self.log)
        self.refused(2, "was begun with lr = 0.02, given 0.03", {"--lr": 0.03})
        self.refused(2, "was begun with weights = ", {"--weights.bits": 2})
        self.refused(2, "was begun with seed = 1, given 2", {"--seed": 2})

    def test_a_damaged_checkpoint_is_named_and_kept(self):
        self.finishes(self.log)
        whole = self.checkpoint.read_bytes()
        for damaged in (whole[:-1], whole[:100], b"", whole[:5000] + b"x" + whole[5001:], b"<html></html>"):
            self.checkpoint.write_bytes(damaged)
            self.refused(1, "x.checkpoint")

    def test_a_log_that_is_gone(self):
        self.finishes(self.log)
        self.log.unlink()
        self.refused(1, "x.h5")

    def test_wrong_usage(self):
        self.refused(2, "resnet20 takes images of shape", {"--net": "resnet20"})
        self.refused(2, "expected fewer", {"--held-out": 140})
        self.refused(2, "--weights.bits: given 4, expected 2", {"--weights": "ternary", "--weights.bits": 4})
        self.refused(2, "batch: given 5000, expected at most 120, the training images", {"--batch": 5000})
        self.refused(
            2,
            "epochs: given 1, of 1 steps each with batch 120, expected at least 2 steps\n",
            {"--batch": 120, "--epochs": 1},
        )
        self.refused(2, "unknown flag --epoch, expected --epochs (--help lists all)", {"--epoch": 3})
        self.refused(2, "steps after 3 of warmup-epochs", {"--batch": 120, "--epochs": 3, "--warmup-epochs": 3})

    def test_divergence(self):
        log = self.place("diverges")
        done = run(log, {"--method": "ste", "--activations.bits": 4, "--weight-decay": 1, "--lr": 100, "--epochs": 30})
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "not finite")
        with open_log(log) as file:
            self.assertEqual(status(file), "diverged")
            self.assertRegex(file.attrs["reason"].decode(), r"(conv|norm|fc|act)\d|the loss")


if __name__ == "__main__":
    unittest.main()
