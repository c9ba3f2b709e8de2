"""Packed models in Python: with numpy alone, in the ten lines of quant/README.md, and with the package; both give the
very weights that the network computes with in C++. And the programs that write and run such models."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ["BIN"])
ZOO = ROOT / "experiments/zoo/resnet20_1w4a.safetensors"
sys.path.insert(0, str(ROOT / "experiments/python"))
import coarsegrad  # noqa: E402


def call(program, *words, code=0):
    done = subprocess.run([BIN / program, *map(str, words)], capture_output=True, text=True)
    if done.returncode != code:
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def ten_lines():
    """The Python block of quant/README.md that reads a packed model."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "quant/README.md").read_text(), re.S)
    return next(block for block in blocks if "unpackbits" in block)


class Packed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.model = cls.path / "resnet20.cgpacked"
        cls.said = call("freeze", ZOO, "--model", cls.model, "--out", cls.path / "freeze.h5")
        # Convolutions (O, I, kh, kw) as the network computes with them.
        call(
            "pytorch_weights", "--network", ZOO, "--export", cls.path / "theirs.safetensors", "--out", cls.path / "p.h5"
        )
        cls.weights = coarsegrad.read_tensor_file(cls.path / "theirs.safetensors").tensors

    def expect_weights(self, weights):
        self.assertEqual(len(weights), 20)
        four_axes = [w for w in self.weights.values() if w.ndim == 4]
        own = [w for w in weights.values() if w.ndim == 4]
        self.assertEqual(len(own), len(four_axes))
        for ours, theirs in zip(own, four_axes):
            np.testing.assert_array_equal(ours, theirs.transpose(0, 2, 3, 1))
        matrices = [w for name, w in self.weights.items() if w.ndim == 2]
        np.testing.assert_array_equal([w for w in weights.values() if w.ndim == 2], matrices)

    def test_the_ten_lines_of_the_readme_give_the_weights_of_the_network(self):
        lines = ten_lines()
        self.assertLessEqual(len(lines.splitlines()), 12)
        space = {"path": str(self.model)}
        exec(lines, space)
        self.expect_weights(space["weights"])

    def test_the_package_gives_them_too_and_the_graph(self):
        model = coarsegrad.read_packed_model(self.model)
        self.expect_weights(model.weights)
        self.assertEqual(model.nodes[0], {"op": "input", "name": "input", "from": [], "shape": "32,32,3"})
        self.assertEqual(model.nodes[-1]["name"], "fc")
        self.assertIn(("add", 2), {(node["op"], len(node["from"])) for node in model.nodes})
        self.assertEqual(model.arrays["norm"].shape, (3, 16))

    def test_a_file_of_another_kind_is_refused(self):
        with self.assertRaisesRegex(coarsegrad.TensorFileError, "given the format '', expected coarsegrad-packed/1"):
            coarsegrad.read_packed_model(ZOO)

    def test_freeze_prints_which_layer_runs_how_and_a_small_file(self):
        size = self.model.stat().st_size
        self.assertLess(size, 60_000)
        self.assertIn(f"the file has {size} bytes", self.said)
        block = "stages.stage1_block1"
        self.assertRegex(self.said, rf"{block}.conv1 +conv2d +\(16,3,3,16\) +1 +4 +bytes +{block}.act")
        self.assertRegex(self.said, r"fc +linear +\(10,64\) +float +\w+ +floats")

    def test_infer_proves_that_the_model_is_the_network(self):
        said = call(
            "infer",
            self.model,
            "--dataset",
            "none",
            "--verify",
            ZOO,
            "--batch",
            4,
            "--seconds",
            0,
            "--out",
            self.path / "verify.h5",
        )
        layers = int(re.search(r"(\d+) layers and 40 outputs of 4 made-up images are equal bit for bit", said).group(1))
        self.assertGreater(layers, 20)

    def test_infer_finds_another_network_and_a_wrong_checksum(self):
        content = bytearray(self.model.read_bytes())
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        content[start + header["fc"]["data_offsets"][0]] ^= 1  # the last bit of a float weight
        other = self.path / "other.cgpacked"
        other.write_bytes(content)
        words = [other, "--dataset", "none", "--verify", ZOO, "--seconds", 0, "--batch", 2]
        said = call("infer", *words, "--out", self.path / "wrong.h5", code=1)
        self.assertIn("the checksum does not match", said)
        before = header["__metadata__"].pop("sha256").encode()
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        after = hashlib.sha256(text + content[start:]).hexdigest().encode()
        other.write_bytes(content.replace(before, after))
        said = call("infer", *words, "--out", self.path / "other.h5", code=1)
        self.assertIn("the layer fc differs from the model's", said)

    def test_infer_says_its_numbers_as_json(self):
        said = json.loads(
            call(
                "infer",
                self.model,
                "--dataset",
                "drawn_shapes",
                "--json",
                "--batch",
                16,
                "--seconds",
                0,
                "--out",
                self.path / "speed.h5",
            )
        )
        self.assertEqual(set(said["images_per_second"]), {"1", "16"})
        self.assertGreater(said["images_per_second"]["16"], 0)
        self.assertTrue(0 <= said["accuracy"] <= 1)

    def test_wrong_usage_ends_with_2(self):
        call("freeze", ZOO, "--out", self.path / "none.h5", code=2)
        call("infer", "--out", self.path / "none.h5", code=2)


if __name__ == "__main__":
    unittest.main()
