#!/usr/bin/python3
"""Weights from PyTorch and for PyTorch: the same network gives the same logits on both sides, in both directions."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

import numpy as np

from hostile_tensor_files import hostile_tensor_files

sys.dont_write_bytecode = True
try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError:
    torch = None

PYTORCH_WEIGHTS = os.environ["PYTORCH_WEIGHTS"]
TORCH_FILE = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "tools" / "torch_file"
loader = importlib.machinery.SourceFileLoader("torch_file", str(TORCH_FILE))
torch_file = importlib.util.module_from_spec(importlib.util.spec_from_loader("torch_file", loader))
loader.exec_module(torch_file)
NO_TORCH = "skipped: PyTorch is not installed"
ZOO = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "zoo"
QUANTIZED = ("--weights", "binary", "--activations", "uniform")


def zoo_program():
    """What the program in the zoo's README defines."""
    defined = {"__name__": "zoo"}
    exec(re.search(r"```python\n(.*?)```", (ZOO / "README.md").read_text(), re.S).group(1), defined)
    return defined


def lenet5():
    """Named as here."""
    net = nn.Sequential()
    for name, module in [
        ("conv1", nn.Conv2d(1, 32, 5)),
        ("pool1", nn.MaxPool2d(2)),
        ("norm1", nn.BatchNorm2d(32, affine=False)),
        ("act1", nn.ReLU()),
        ("conv2", nn.Conv2d(32, 64, 5)),
        ("pool2", nn.MaxPool2d(2)),
        ("norm2", nn.BatchNorm2d(64, affine=False)),
        ("act2", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(1024, 512)),
        ("norm3", nn.BatchNorm1d(512, affine=False)),
        ("act3", nn.ReLU()),
        ("fc2", nn.Linear(512, 10)),
    ]:
        net.add_module(name, module)
    return net


def stages(block):
    """The blocks of a ResNet-20."""
    channels = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    return [block(*pair) for pair in zip(channels, channels[1:])]


def resnet20(projection=False, in_front=0):
    """With names of its own; `in_front` is the share of the missing channels that come before the others."""

    class Block(nn.Module):
        def __init__(self, channels_in, channels_out):
            super().__init__()
            stride = 1 if channels_in == channels_out else 2
            self.c1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
            self.b1 = nn.BatchNorm2d(channels_out)
            self.c2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
            self.b2 = nn.BatchNorm2d(channels_out)
            self.missing = channels_out - channels_in
            self.shortcut = (
                nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))
                if projection and self.missing
                else None
            )

        def forward(self, x):
            y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
            if self.shortcut:
                return F.relu(y + self.shortcut(x))
            before = int(in_front * self.missing)
            return F.relu(
                y + (F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.missing - before)) if self.missing else x)
            )

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *stages(Block),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def preresnet20(projection=False):
    """The activations before the convolutions; modules in the order in which they are used, as usual."""

    class Block(nn.Module):
        def __init__(self, channels_in, channels_out):
            super().__init__()
            stride = 1 if channels_in == channels_out else 2
            self.b1 = nn.BatchNorm2d(channels_in)
            self.c1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
            self.b2 = nn.BatchNorm2d(channels_out)
            self.c2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
            self.missing = channels_out - channels_in
            self.shortcut = (
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if projection and self.missing else None
            )

        def forward(self, x):
            active = F.relu(self.b1(x))
            y = self.c2(F.relu(self.b2(self.c1(active))))
            if self.shortcut:
                return y + self.shortcut(active)
            return y + (F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.missing)) if self.missing else x)

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        *stages(Block),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def randomize(net):
    """Weights and statistics as different from their start as those of a trained network are."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return net.eval()


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def call(self, *command, code=0):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=self.root)
        self.assertEqual(done.returncode, code, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def weights(self, *flags, **how):
        return self.call(PYTORCH_WEIGHTS, *flags, **how)

    def torch_file(self, *names, code=0):
        """The script, in this process: PyTorch takes its time to be imported."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertEqual(torch_file.main([str(self.root / name) for name in names]), code, said.getvalue())
        return said.getvalue()


@unittest.skipUnless(torch, NO_TORCH)
class SameLogits(Folder):
    def save_logits(self, net, shape):
        """check.safetensors: images and what the network of PyTorch makes of them."""
        images = torch.randn(8, *shape, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            torch.save({"images": images, "logits": net(images)}, self.root / "check.pt")
        self.torch_file("check.pt", "check.safetensors")

    def check_import(self, net, shape, *flags):
        self.save_logits(randomize(net), shape)
        torch.save(net.state_dict(), self.root / "theirs.pt")
        self.torch_file("theirs.pt", "theirs.safetensors")
        said = self.weights(
            "--import", "theirs.safetensors", "--network", "ours.safetensors", "--check", "check.safetensors", *flags
        )
        self.assertIn("largest deviation of 80 logits", said)
        self.weights(
            "--network",
            "ours.safetensors",
            "--check",
            "check.safetensors",
            *(f for f in flags if f not in ("--matching", "order")),
        )

    def check_export(self, net, shape, rename, *flags):
        """Our weights, renamed, in `net`."""
        self.weights("--network", "ours.safetensors", "--export", "exported.safetensors", *flags)
        self.torch_file("exported.safetensors", "exported.pt")
        state = torch.load(self.root / "exported.pt")
        net.load_state_dict(rename(state))
        self.save_logits(net.eval(), shape)
        self.weights("--network", "ours.safetensors", "--check", "check.safetensors", *flags)

    def test_lenet_by_names(self):
        self.check_import(lenet5(), (1, 28, 28), "--net", "lenet5")
        self.check_export(lenet5(), (1, 28, 28), lambda state: state, "--net", "lenet5")

    def test_resnet20_by_order(self):
        self.check_import(resnet20(), (3, 32, 32), "--matching", "order")
        self.check_export(resnet20(), (3, 32, 32), self.in_order_of(resnet20()))

    def test_resnet20_with_zeros_on_both_sides_needs_its_own_shortcut(self):
        flags = ("--shortcut", "subsample_centered")
        self.check_import(resnet20(in_front=0.5), (3, 32, 32), *flags, "--matching", "order")
        said = self.weights(
            "--import",
            "theirs.safetensors",
            "--matching",
            "order",
            "--check",
            "check.safetensors",
            "--network",
            "new.safetensors",
            code=1,
        )
        self.assertIn("the logits differ by", said)
        self.assertFalse((self.root / "new.safetensors").exists())
        self.assertIn(
            "expected --check FILE",
            self.weights(
                "--import", "theirs.safetensors", "--matching", "order", "--network", "new.safetensors", code=2
            ),
        )
        self.weights(
            "--import", "theirs.safetensors", "--matching", "order", "--unchecked", "--network", "new.safetensors"
        )

    def export_zoo(self, *flags):
        said = self.weights(
            "--network", ZOO / "resnet20_1w4a.safetensors", *QUANTIZED, "--export", "exported.safetensors", *flags
        )
        self.torch_file("exported.safetensors", "exported.pt")
        return said, torch.load(self.root / "exported.pt")

    def logits_differ(self, net):
        """What the comparison of PyTorch's logits with ours says."""
        self.save_logits(net, (3, 32, 32))
        return self.weights(
            "--network",
            ZOO / "resnet20_1w4a.safetensors",
            *QUANTIZED,
            "--check",
            "check.safetensors",
            "--tolerance",
            "0.02",
        )

    def test_a_quantized_network_exports_the_weights_that_it_computes_with(self):
        said, state = self.export_zoo()
        self.assertIn("exported the weights that the network computes with: binary, 1 bit", said)
        program = zoo_program()
        self.assertIn("largest deviation of 80 logits", self.logits_differ(program["resnet20"](state)))
        weight = state["stages.stage2_block1.conv1.weight"]
        scale = state["quantization/stages.stage2_block1.conv1.weight/scale"]
        self.assertEqual(state["quantization/stages.stage2_block1.conv1.weight/bits"].item(), 1)
        self.assertTrue(torch.equal(weight.abs(), scale.expand(weight.shape)))
        self.assertEqual(state["quantization/act/bits"].item(), 4)
        self.assertEqual(state["quantization/act/levels"].item(), 15)
        self.assertNotIn("quantization/fc.weight/bits", state)  # the last layer is float

        said, copies = self.export_zoo("--float-copies")
        self.assertIn("float copies, which the network does not compute with", said)
        self.assertFalse(any(name.startswith("quantization/") for name in copies))
        self.assertGreater(len(copies["stages.stage2_block1.conv1.weight"].unique()), 1000)
        spoiled = program["resnet20"]({**state, **copies})
        with self.assertRaisesRegex(AssertionError, "the logits differ by"):
            self.logits_differ(spoiled)

    def test_the_program_of_the_zoo_reaches_the_accuracy_of_the_table(self):
        images = pathlib.Path(os.environ.get("COARSEGRAD_DATA", "nowhere"), "cifar10", "test_batch.bin")
        if not images.exists():
            print("skipped: COARSEGRAD_DATA names no folder with cifar10")
            self.skipTest("skipped: COARSEGRAD_DATA names no folder with cifar10")
        _, state = self.export_zoo()
        program = zoo_program()
        stated = float(re.search(r"resnet20_1w4a.*CIFAR-10 \| ([0-9.]+) \|", (ZOO / "README.md").read_text()).group(1))
        self.assertLessEqual(abs(program["accuracy"](program["resnet20"](state), images) - stated), 0.05)

    def test_resnet20_with_projections_by_order(self):
        flags = ("--shortcut", "projection")
        self.check_import(resnet20(True), (3, 32, 32), *flags, "--matching", "order")
        self.check_export(resnet20(True), (3, 32, 32), self.in_order_of(resnet20(True)), *flags)

    def test_preresnet20_by_order(self):
        for projection, shortcut in ((False, "subsample"), (True, "projection")):
            flags = ("--net", "preresnet20", "--shortcut", shortcut)
            self.check_import(preresnet20(projection), (3, 32, 32), *flags, "--matching", "order")
            self.check_export(preresnet20(projection), (3, 32, 32), self.in_order_of(preresnet20(projection)), *flags)

    def in_order_of(self, net):
        names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]

        def rename(state):
            self.assertEqual(len(state), len(names))
            return dict(zip(names, state.values()))

        return rename

    def test_other_weights_give_other_logits(self):
        net = randomize(lenet5())
        self.save_logits(net, (1, 28, 28))
        for spoil in [
            lambda: net.fc1.weight.copy_(net.fc1.weight.view(512, 64, 16).transpose(1, 2).reshape(512, -1)),
            lambda: net.conv2.weight.copy_(net.conv2.weight.transpose(2, 3).clone()),
            lambda: net.norm2.running_var.mul_(1.01),
        ]:
            with torch.no_grad():
                spoil()
            torch.save(net.state_dict(), self.root / "theirs.pt")
            self.torch_file("theirs.pt", "theirs.safetensors")
            said = self.weights(
                "--net", "lenet5", "--import", "theirs.safetensors", "--check", "check.safetensors", code=1
            )
            self.assertIn("the logits differ by", said)

    def test_another_network_is_refused_by_name_and_shape(self):
        torch.save(resnet20().state_dict(), self.root / "theirs.pt")
        self.torch_file("theirs.pt", "theirs.safetensors")
        for flags, reason in [
            (("--net", "resnet32", "--matching", "order"), "has no counterpart in 'stages.stage2"),
            (("--net", "lenet5", "--matching", "order"), "without 'bias'"),
            (("--classes", 7, "--matching", "order"), "given '14.weight' of shape (10,64)"),
            (("--matching", "names"), "'conv.weight' is missing"),
        ]:
            self.assertIn(
                reason,
                self.weights(
                    "--import", "theirs.safetensors", "--unchecked", "--network", "new.safetensors", *flags, code=1
                ),
            )
            self.assertFalse((self.root / "new.safetensors").exists())


class TorchFile(Folder):
    @unittest.skipUnless(torch, NO_TORCH)
    def test_every_float_type_stride_and_container_comes_through_without_pytorch(self):
        base = torch.randn(6, 4)
        tensors = {
            "a": base,
            "half": base.half(),
            "brain": base.bfloat16(),
            "double": base.double(),
            "t": base.t(),
            "part": base[1:, ::2],
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 3),
            "module.wrapped": torch.nn.Parameter(base + 1),
        }
        torch.save(
            {"epoch": 3, "state_dict": {**tensors, "n.num_batches_tracked": torch.tensor(4)}}, self.root / "in.pt"
        )
        blocked = (
            "import runpy, sys; sys.modules['torch'] = None; sys.argv = ['x', 'in.pt', 'out.safetensors']; "
            f"runpy.run_path({str(TORCH_FILE)!r}, run_name='__main__')"
        )
        self.call("/usr/bin/python3", "-c", blocked)
        self.torch_file("out.safetensors", "back.pt")
        back = torch.load(self.root / "back.pt")
        self.assertEqual(list(back), [name.removeprefix("module.") for name in tensors])
        for name, tensor in tensors.items():
            self.assertTrue(torch.equal(back[name.removeprefix("module.")], tensor.float()), name)
        said = self.call(
            "/usr/bin/python3",
            "-c",
            blocked.replace("'in.pt', 'out.safetensors'", "'out.safetensors', 'out.pt'"),
            code=1,
        )
        self.assertIn("needs PyTorch", said)

    @unittest.skipUnless(torch, NO_TORCH)
    def test_a_stride_of_0_repeats_one_element(self):
        torch.save({"x": torch.ones(1).expand(64), "y": torch.arange(3.0).expand(2, 3)}, self.root / "in.pt")
        self.assertEqual(self.torch_file("in.pt", "out.safetensors"), "")
        tensors = torch_file.read_tensor_file(self.root / "out.safetensors").tensors
        self.assertTrue(np.array_equal(tensors["x"], np.ones(64)))
        self.assertTrue(np.array_equal(tensors["y"], [[0, 1, 2]] * 2))

    def safetensors(self, entries, name="in.safetensors"):
        """A file of name -> (dtype, array), as safetensors.torch writes it."""
        header, values = {}, b""
        for key, (dtype, array) in entries.items():
            data = np.asarray(array).tobytes()
            header[key] = {
                "dtype": dtype,
                "shape": list(np.shape(array)),
                "data_offsets": [len(values), len(values) + len(data)],
            }
            values += data
        text = json.dumps(header).encode()
        (self.root / name).write_bytes(struct.pack("<Q", len(text)) + text + values)

    def test_what_float32_does_not_hold_is_named(self):
        floats, doubles = ("F32", np.ones(2, "<f4")), np.array([1, 1e300], "<f8")
        for entries, reason in [
            ({"a": ("I8", np.ones(3, "i1"))}, "holds no float tensors: given 'a' (I8)"),
            ({"a": ("I64", np.ones(3, "<i8"))}, "holds no float tensors: given 'a' (I64)"),
            ({"a": ("F64", doubles)}, "'a': given 1e+300, expected numbers that float32 holds"),
            ({"a": floats, "b": ("F64", -doubles)}, "'b': given -1e+300, expected"),
            ({"a": floats, "module.a": floats}, "'a' is there twice, with and without 'module.'"),
        ]:
            with self.subTest(reason):
                self.safetensors(entries)
                said = self.torch_file("in.safetensors", "out.safetensors", code=1)
                self.assertIn(reason, said)
                self.assertEqual(said.count("\n"), 1)
                self.assertFalse((self.root / "out.safetensors").exists())
        infinite = np.array([np.inf, -np.inf, np.nan, 3e38], "<f8")
        self.safetensors(
            {
                "a": ("F64", infinite),
                "count": ("I64", np.ones(1, "<i8")),
                "n.num_batches_tracked": ("I64", np.ones((), "<i8")),
            }
        )
        said = self.torch_file("in.safetensors", "out.safetensors")
        self.assertEqual(said.split(": ", 2)[2], "left out, since they are no floats: 'count' (I64)\n")
        tensors = torch_file.read_tensor_file(self.root / "out.safetensors").tensors
        self.assertEqual(list(tensors), ["a"])
        self.assertTrue(np.array_equal(tensors["a"], infinite.astype("<f4"), equal_nan=True))

    def test_every_hostile_file_of_the_shared_table_is_refused_in_its_words(self):
        for name, content, says in hostile_tensor_files():
            with self.subTest(name):
                (self.root / "in.safetensors").write_bytes(content)
                said = self.torch_file("in.safetensors", "out.safetensors", code=1)
                self.assertIn(": " + says, said)
                self.assertEqual(said.count("\n"), 1)
                self.assertLess(len(said), 500)
        self.safetensors({"a": ("F32", np.ones(2, "<f4"))})  # nothing is wrong with the table's way to write one
        self.assertEqual(self.torch_file("in.safetensors", "out.safetensors"), "")

    def test_what_is_no_regular_file_is_refused_without_waiting(self):
        os.mkfifo(self.root / "pipe.pt")
        os.mkfifo(self.root / "pipe.safetensors")
        (self.root / "zero.pt").symlink_to("/dev/zero")
        (self.root / "folder.safetensors").mkdir()
        for name in ["pipe.pt", "pipe.safetensors", "zero.pt", "folder.safetensors"]:
            self.assertIn(f"{name}: is not a regular file", self.torch_file(name, "out.safetensors", code=1))

    def pt(self, payload, files=()):
        """in.pt with this pickle and these storages."""
        with zipfile.ZipFile(self.root / "in.pt", "w") as archive:
            archive.writestr("archive/data.pkl", payload)
            for name, data in files:
                archive.writestr(f"archive/data/{name}", data)

    def test_a_pickle_that_would_run_something_is_refused(self):
        class Evil:
            def __reduce__(self):
                return os.system, ("touch harmed",)

        for protocol in (2, 4):
            self.pt(pickle.dumps({"a": Evil()}, protocol))
            self.assertIn("expected tensors only", self.torch_file("in.pt", "out.safetensors", code=1))
        self.assertEqual([p.name for p in self.root.iterdir()], ["in.pt"])

    def test_damaged_files_end_in_one_line(self):
        def piece(item):
            return pickle.dumps(item, 2)[2:-1]  # without the header and the final stop

        def tensor_of(count, *claim):
            """The pickle that torch writes for {"a": tensor}, with whatever is claimed of it."""
            storage = b"(" + piece("storage") + b"ctorch\nFloatStorage\n" + piece("0") + piece("cpu")
            storage += piece(count) + b"tQ"
            arguments = b"".join(map(piece, (*claim, False, None)))
            return b"\x80\x02}" + piece("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + b"tRs."

        data = np.arange(6, dtype="<f4").tobytes()
        self.pt(tensor_of(6, 0, (2, 3), (3, 1)), [("0", data)])
        self.torch_file("in.pt", "out.safetensors")
        good = (self.root / "out.safetensors").read_bytes()
        for claim in [
            (7, 0, (2, 3), (3, 1)),
            (6, 1, (2, 3), (3, 1)),
            (6, 0, (2, 3), (4, 1)),
            (6, -1, (2,), (1,)),
            (6, 0, (10**12,), (0,)),
            (6, 0, (2, 3), (1,)),
            (6, 0, (2, -3), (1, 1)),
            (6, 0, (2.0, 3), (3, 1)),
            (6.0, 0, (2, 3), (3, 1)),
            (6, True, (2,), (1,)),
        ]:
            with self.subTest(claim):
                self.pt(tensor_of(*claim), [("0", data)])
                self.assertEqual(self.torch_file("in.pt", "new.safetensors", code=1).count("\n"), 1)
        whole = (self.root / "in.pt").read_bytes()
        self.pt(b"\x80\x02}r\xff\xff\xff\x7f.")  # asks for 34 GB of the unpickler's memory
        self.assertIn("its pickle is damaged", self.torch_file("in.pt", "new.safetensors", code=1))
        for content in [b"", b"PK", whole[: len(whole) // 2], pickle.dumps({"a": 1})]:
            (self.root / "in.pt").write_bytes(content)
            self.assertEqual(self.torch_file("in.pt", "new.safetensors", code=1).count("\n"), 1)
        for content in [b"", good[:7], good[:20], good[:-1], b"\xff" * 8 + good[8:]]:
            (self.root / "in.safetensors").write_bytes(content)
            self.assertEqual(self.torch_file("in.safetensors", "new.safetensors", code=1).count("\n"), 1)
        self.assertFalse((self.root / "new.safetensors").exists())

    def test_wrong_usage_ends_with_2(self):
        self.assertIn("Between PyTorch's files", self.call(TORCH_FILE, "a.txt", "b.pt", code=2))
        for flags in [
            (),
            ("--import", "a", "--matching", "luck"),
            ("--network", "a"),
            ("--import", "a"),
            ("--import", "a", "--check", "b", "--unchecked"),
            ("--network", "a", "--float-copies"),
        ]:
            self.weights(*flags, code=2)
        self.assertIn("cannot be opened", self.weights("--import", "nothing.safetensors", "--unchecked", code=1))


if __name__ == "__main__":
    if not torch:
        print(NO_TORCH)
    unittest.main(verbosity=2)
