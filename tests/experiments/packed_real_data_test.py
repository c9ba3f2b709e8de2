"""On the test images of the real MNIST and CIFAR-10 a packed model gives the outputs of the network that it was frozen
from, bit for bit and layer by layer: for every method but statquant, whose levels follow the batch, after a short training."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "experiments/python"))
import coarsegrad  # noqa: E402

BIN = pathlib.Path(os.environ["BIN"])
DATA = pathlib.Path(os.environ.get("COARSEGRAD_DATA") or "nowhere")
METHODS = (
    "ste binary_connect bcgd binary_relax prox_quant twn bwn xnor_net bnn bop dorefa telcnn pact lsq lbw_net aqe"
).split()
NETS = {
    "mnist": ("mnist", ["--net", "lenet5", "--images", 2000, "--held-out", 500, "--batch", 50]),
    "cifar10": ("cifar10", ["--net", "resnet20", "--width", 8, "--images", 600, "--held-out", 100, "--batch", 50]),
}


class EqualOnRealData(unittest.TestCase):
    def setUp(self):
        if not DATA.exists():
            print("skipped: COARSEGRAD_DATA names no folder with data sets")
            self.skipTest("needs data sets")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def call(self, program, *words):
        done = subprocess.run([BIN / program, *map(str, words), "--quiet"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def expect_equal(self, data):
        name, flags = NETS[data]
        if not (DATA / name).exists():
            print(f"skipped: COARSEGRAD_DATA has no {name}")
            self.skipTest(f"needs {name}")
        for method in METHODS:
            with self.subTest(method):
                out = self.folder / f"{method}.h5"
                steps = ["--epochs", 1, "--lr", 0.01, "--out", out]
                self.call("train", "--method", method, "--dataset", data, "--data", DATA, *flags, *steps)
                net, model = out.with_suffix(".best.safetensors"), out.with_suffix(".cgpacked")
                self.call("freeze", net, "--model", model, "--out", self.folder / f"{method}.f.h5")
                words = [model, "--data", DATA, "--verify", net, "--seconds", 0, "--json"]
                said = json.loads(self.call("infer", *words, "--out", self.folder / f"{method}.i.h5"))
                self.assertTrue(said["equal"])
                self.assertEqual(said["images_compared"], 10000)
                print(f"{data}, {method}: {said['layers_compared']} layers equal, {100 * said['accuracy']} % right")

    def test_mnist(self):
        self.expect_equal("mnist")

    def test_cifar10(self):
        self.expect_equal("cifar10")


class Zoo(unittest.TestCase):
    def test_packed_networks(self):
        models = sorted((pathlib.Path(__file__).parents[2] / "experiments/zoo").glob("*.cgpacked"))
        self.assertGreaterEqual(len(models), 1)
        if not (DATA / "cifar10").exists():
            print("skipped: COARSEGRAD_DATA has no cifar10")
            self.skipTest("needs cifar10")
        for model in models:
            with self.subTest(model.name), tempfile.TemporaryDirectory() as folder:
                words = [BIN / "infer", model, "--data", DATA, "--seconds", "0", "--json", "--quiet", "--out"]
                done = subprocess.run([*words, f"{folder}/i.h5"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                stated = float(coarsegrad.read_packed_model(model).metadata["test_accuracy"])
                self.assertLess(abs(json.loads(done.stdout)["accuracy"] - stated), 5e-4)


if __name__ == "__main__":
    unittest.main()
