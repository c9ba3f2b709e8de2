"""Packed models in Python: with numpy alone, in the ten lines of quant/README.md, and with the package; both give the
very weights that the network computes with in C++. And the programs that write, run and export such models."""
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
        adds = {node["name"]: node["from"] for node in model.nodes if node["op"] == "add"}
        block = "stages.stage1_block2"
        self.assertEqual(adds[f"{block}.add"], [f"{block}.norm2", "stages.stage1_block1.act#2"])
        self.assertEqual(len(model.norms), 19)
        self.assertEqual(model.norms["norm"].shape, (3, 16))
        self.assertEqual(sum(rows.size for rows in model.norms.values()), model.arrays["norms"].size)
        network = coarsegrad.read_tensor_file(ZOO).tensors  # its shifts are the third row as they are
        np.testing.assert_array_equal(model.norms[f"{block}.norm1"][2], network[f"{block}.norm1.shift"])

    def test_a_file_of_another_kind_is_refused(self):
        with self.assertRaisesRegex(coarsegrad.TensorFileError, "given the format '', expected coarsegrad-packed/1"):
            coarsegrad.read_packed_model(ZOO)

    def test_a_graph_that_cannot_be_read_is_refused(self):
        content = self.model.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        about, broken = header["__metadata__"], self.path / "broken.cgpacked"
        for old, new in (
            ("codes=floats", "codes=runes"),
            ("codes=floats", "codes=table"),
            ("codes=floats", "codes=integers bits=999999999"),
            ("weight=10,64", "weight=10,-64"),
            ("channels=16", "channels=999999999"),
            ("norm norm", "norm"),
            ("padding=1", "padding"),
        ):
            changed = about | {"graph": about["graph"].replace(old, new, 1)}
            del changed["sha256"]
            self.assertNotEqual(changed["graph"], about["graph"])

            def text(metadata):
                whole = header | {"__metadata__": metadata}
                return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

            changed["sha256"] = hashlib.sha256(text(changed) + content[start:]).hexdigest()
            broken.write_bytes(len(text(changed)).to_bytes(8, "little") + text(changed) + content[start:])
            with self.subTest(new), self.assertRaisesRegex(coarsegrad.TensorFileError, "a graph that cannot be read"):
                coarsegrad.read_packed_model(broken)

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

    def test_infer_compares_on_all_images_of_a_data_set(self):
        flags = ["--dataset", "drawn_shapes", "--batch", 64, "--seconds", 0, "--out", self.path / "all.h5"]
        said = call("infer", self.model, "--verify", ZOO, *flags)
        self.assertRegex(said, r"and 20000 outputs of 2000 test images are equal bit for bit")

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

    def test_a_checkpoint_is_the_best_network_so_far(self):
        small = ["--dataset", "drawn_digits", "--images", 160, "--held-out", 32, "--net", "lenet5", "--batch", 32]
        call("train", "--method", "bcgd", *small, "--epochs", 2, "--out", self.path / "x.h5")
        for name in ("best.safetensors", "checkpoint"):
            call("freeze", self.path / f"x.{name}", "--model", self.path / name, "--out", self.path / f"f.{name}.h5")
        ours, theirs = (coarsegrad.read_packed_model(self.path / name) for name in ("checkpoint", "best.safetensors"))
        self.assertEqual(ours.nodes, theirs.nodes)
        self.assertEqual(set(ours.arrays), set(theirs.arrays))
        for name, array in ours.arrays.items():
            np.testing.assert_array_equal(array, theirs.arrays[name])
        self.assertTrue(0 <= float(theirs.metadata["test_accuracy"]) <= 1)  # which a checkpoint does not know
        flags = ["--dataset", "none", "--batch", 8, "--seconds", 0, "--out", self.path / "checkpoint.h5"]
        said = call("infer", self.path / "checkpoint", "--verify", self.path / "x.checkpoint", *flags)
        self.assertIn("80 outputs of 8 made-up images are equal bit for bit", said)
        said = call("infer", self.model, "--verify", self.path / "x.checkpoint", *flags, code=1)
        self.assertIn("a network from (28,28,1) to (10), given a model from (32,32,3) to (10)", said)
        staged = ["--epochs", 1, "--save-steps", 1, "--out", self.path / "y.h5"]
        call("train", "--method", "telcnn", *small, *staged)
        call("freeze", self.path / "y.checkpoint", "--model", self.path / "y", "--out", self.path / "y.f.h5")

    def test_a_network_of_pixel_codes_has_no_float_layer_but_the_last_one(self):
        small = ["--dataset", "drawn_shapes", "--images", 160, "--held-out", 32, "--net", "resnet20", "--width", 4]
        train = ["--method", "lsq", "--pixels", "codes", "--batch", 32, "--epochs", 1, "--out", self.path / "pixels.h5"]
        call("train", *small, *train)
        net, model = self.path / "pixels.best.safetensors", self.path / "pixels.cgpacked"
        said = call("freeze", net, "--model", model, "--out", self.path / "pixels.f.h5")
        self.assertRegex(said, r"\nconv +conv2d +\(4,3,3,3\) +[678] +8 +bytes +act")
        self.assertRegex(call("evaluate", net, "--out", self.path / "pixels.e.h5"), "pixels as codes")
        for data, images in (("own", "2000 test"), ("none", "8 made-up")):
            flags = ["--dataset", data, "--batch", 8, "--seconds", 0, "--verify", net, "--out", self.path / "p.i.h5"]
            self.assertIn(f"of {images} images are equal bit for bit", call("infer", model, *flags))
        self.assertEqual(coarsegrad.read_packed_model(model).nodes[0]["scale"], "0.015625")

    def test_export_writes_what_was_asked_for_and_what_can_be_compared(self):
        onnx, qonnx, check = (self.path / name for name in ("net.onnx", "net.qonnx", "check"))
        words = ["--onnx", onnx, "--qonnx", qonnx, "--check", check, "--images", 2, "--out", self.path / "export.h5"]
        said = call("export", self.model, *words)
        for path in (onnx, qonnx):
            self.assertIn(f"{path}: {path.stat().st_size} bytes", said)
            self.assertIn(b"CoarseGrad", path.read_bytes())
        self.assertLess(onnx.stat().st_size, 200_000)  # signs take 4 bits there
        self.assertIn(b"CEIL", qonnx.read_bytes())
        self.assertNotIn(b"MultiThreshold", qonnx.read_bytes())
        file = coarsegrad.read_tensor_file(check)
        self.assertEqual((file.metadata["input"], file.metadata["output"]), ("input", "fc"))
        self.assertEqual(file.tensors["input"].shape, (2, 32, 32, 3))
        self.assertEqual(file.tensors["fc"].shape, (2, 10))
        codes = file.tensors["stages.stage1_block1.act.codes"]
        self.assertEqual(set(np.unique(codes)) - set(range(16)), set())
        words = ["--qonnx", qonnx, "--thresholds", "--out", self.path / "thresholds.h5"]
        call("export", self.model, *words)
        self.assertIn(b"MultiThreshold", qonnx.read_bytes())

    def test_export_refuses_what_it_cannot_do(self):
        out = ["--out", self.path / "none.h5"]
        said = call("export", self.model, "--onnx", self.path / "x", "--thresholds", *out, code=2)
        self.assertIn("--qonnx", said)
        self.assertIn("expected a packed model and a file to write", call("export", self.model, *out, code=2))
        self.assertIn("given no metadata 'format'", call("export", ZOO, "--onnx", self.path / "x", *out, code=1))
        self.assertFalse((self.path / "x").exists())

    def test_wrong_usage_ends_with_2(self):
        call("freeze", ZOO, "--out", self.path / "none.h5", code=2)
        call("infer", "--out", self.path / "none.h5", code=2)


if __name__ == "__main__":
    unittest.main()
