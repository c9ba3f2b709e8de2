"""--verify: files that are not the published ones are refused, or read by their layout and the log says so; and a
training on the real CIFAR-100, whatever the order of its images."""
import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

from check_log import check_log, open_log, status, tables_of

TRAIN = os.environ["TRAIN"]
SANITIZED = os.environ.get("SANITIZED") == "1"
DATA = pathlib.Path(os.environ.get("COARSEGRAD_DATA") or "nowhere")
RESNET = {"--net": "resnet20", "--width": 4, "--batch": 20, "--epochs": 1, "--held-out": 10}


def cifar(label_bytes, images=60):
    """Records of CIFAR: labels, then random pixels."""
    generator = random.Random(1)
    return b"".join(label_bytes(i) + generator.randbytes(3072) for i in range(images))


def cifar10(folder):
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(cifar(lambda i: bytes([i % 10]), 20))


def cifar100(folder):
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(cifar(lambda i: bytes([i % 20, i % 100])))


def mnist(folder):
    for name in ("train", "t10k"):
        pixels = random.Random(1).randbytes(60 * 784)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 60, 28, 28) + pixels)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, 60) + bytes(i % 10 for i in range(60))
        )


class TrainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "run.h5"

    def train(self, flags):
        words = [str(word) for flag in (flags | {"--out": self.log}).items() for word in flag]
        return subprocess.run([TRAIN, "--quiet", *words], capture_output=True, text=True, check=False)

    def finished(self, flags):
        done = self.train(flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        check_log(self.log)
        with open_log(self.log) as file:
            self.assertEqual(status(file), "finished")
            config = json.loads(file.attrs["config"])
            accuracy = tables_of(file)["epochs"]["test_accuracy"][-1]
        return config, accuracy


class Verify(TrainTest):
    def test_other_files_are_refused_unless_their_layout_is_all_that_counts(self):
        for name, write in (("cifar10", cifar10), ("cifar100", cifar100), ("mnist", mnist)):
            with self.subTest(name):
                (self.folder / name).mkdir()
                write(self.folder / name)
                net = {"--net": "lenet5", "--width": 0} if name == "mnist" else {}
                flags = RESNET | {"--dataset": name, "--data": self.folder} | net
                done = self.train(flags)
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
                self.assertIn("found", done.stderr)
                self.assertIn("--verify layout", done.stderr)
                self.assertFalse(self.log.exists())
                config, _ = self.finished(flags | {"--verify": "layout"})
                self.assertEqual(config["verify"], "layout")
                for path in self.folder.glob("run.*"):
                    path.unlink()


class Cifar100(TrainTest):
    def test_a_narrow_net_learns_something_in_an_epoch(self):
        if not (DATA / "cifar100").is_dir():
            print("skipped: COARSEGRAD_DATA does not name a folder that holds cifar100/")
            self.skipTest("no CIFAR-100")
        flags = RESNET | {
            "--dataset": "cifar100",
            "--data": DATA,
            "--verify": "layout",
            "--batch": 100,
            "--held-out": 500,
            "--lr": 0.1,
        }
        if SANITIZED:
            flags |= {"--images": 2000}
        config, accuracy = self.finished(flags)
        self.assertEqual((config["dataset"], config["verify"]), ("cifar100", "layout"))
        if not SANITIZED:
            self.assertGreater(accuracy, 0.04)  # four times as many as by chance


if __name__ == "__main__":
    unittest.main()
