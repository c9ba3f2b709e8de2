"""Exported models in the hands of others: onnxruntime runs the ONNX files, qonnx the QONNX ones with its full execution
context, and every layer is compared with what the packed model makes of the same images. Small networks of many methods
and bits are trained for it, and those of the zoo are taken.

Two comparisons are made. Layer by layer, each fed with our own values of the layers before it: codes, normalisations,
poolings, sums and integer products without a bias are equal; what other runtimes sum or round differently (float
products, a bias that is a fused multiply-add here, means) differs by at most BOUND of the layer's largest value. And as
a whole, where a float of a first layer that is an ulp off may end in the next code: at most FLIPPED of the codes of a
layer differ, by one level, and the outputs by at most BOUND where none does.

usage: tests/run --peers, or BIN=build/release/bin build/peers/environment/bin/python tests/peers/export_test.py
"""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["BIN"])
BOUND = 1e-5
FLIPPED = 1e-3
IMAGES = 4
# What every runtime computes alike, one operation for each element.
EXACT = {"norm", "quantize", "levels", "relu", "abs", "clamp", "add", "max_pool", "subsample", "reshape"}
FORMS = {"onnx": [], "qonnx": ["--batch", IMAGES], "thresholds": ["--thresholds", "--batch", IMAGES]}
DIGITS = ["--dataset", "drawn_digits", "--images", 160, "--held-out", 32, "--net", "lenet5"]
SHAPES = ["--dataset", "drawn_shapes", "--images", 40, "--held-out", 8, "--net", "resnet20", "--width", 4]
TRAINED = {
    "ste_2a": DIGITS + ["--method", "ste"],
    "bcgd_1w4a": DIGITS + ["--method", "bcgd"],
    "bcgd_2w3a": DIGITS + ["--method", "bcgd", "--weights.bits", 2, "--activations.bits", 3],
    "bcgd_8w8a": DIGITS + ["--method", "bcgd", "--weights.bits", 8, "--activations.bits", 8],
    "twn": DIGITS + ["--method", "twn"],
    "xnor_net": DIGITS + ["--method", "xnor_net"],
    "bnn": DIGITS + ["--method", "bnn"],
    "dorefa_1w2a": DIGITS + ["--method", "dorefa"],
    "dorefa_8w8a": DIGITS + ["--method", "dorefa", "--weights.bits", 8, "--activations.bits", 8],
    "pact_4w4a": DIGITS + ["--method", "pact"],
    "lsq_2w2a": DIGITS + ["--method", "lsq"],
    "lbw_net_4w": DIGITS + ["--method", "lbw_net"],
    "lbw_net_6w": DIGITS + ["--method", "lbw_net", "--weights.bits", 6],
    "powers_3w4a": DIGITS + ["--weights", "power_of_two", "--weights.bits", 3, "--activations", "uniform"],
    "powers_6w8a": DIGITS
    + ["--weights", "power_of_two", "--weights.bits", 6, "--activations", "uniform", "--activations.bits", 8],
    "aqe_1w1a": DIGITS + ["--method", "aqe"],
    "aqe_3w3a": DIGITS + ["--method", "aqe", "--weights.bits", 3, "--activations.bits", 3],
    "resnet_bcgd_1w4a": SHAPES + ["--method", "bcgd"],
    "resnet_bnn": SHAPES + ["--method", "bnn"],
}
ZOO = {path.stem: path for path in sorted((ROOT / "experiments/zoo").glob("*.safetensors"))}


def call(program, *words):
    done = subprocess.run([BIN / program, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def tensors_of(path):
    """Arrays and metadata of a tensor file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    about = header.pop("__metadata__")
    types = {"F32": "<f4", "U8": "u1"}
    return {
        name: np.frombuffer(content[start:][slice(*item["data_offsets"])], types[item["dtype"]]).reshape(item["shape"])
        for name, item in header.items()
    }, about


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x


def nodes_of(graph):
    """The nodes of a packed model by name, from its text (quant/packed/graph_text.h)."""
    nodes, before = {}, ""
    for line in graph.split("\n"):
        op, name, *words = line.split(" ")
        if name.startswith("."):
            name = before.rpartition(".")[0] + name
        nodes[name] = {"op": op, **dict(word.split("=") for word in words)}
        before = name
    return nodes


def constants(model):
    return {tensor.name for tensor in model.graph.initializer}


class Exported:
    """A packed model in all forms, and what it makes of some images: arrays by the names of tensors in the graphs."""

    def __init__(self, network, folder):
        model = folder / "model"
        plan = call("freeze", network, "--model", model, "--out", folder / "freeze.h5")
        files = ["--onnx", folder / "onnx", "--check", folder / "check", "--images", IMAGES]
        call("export", model, *files, "--out", folder / "onnx.h5")
        for form, words in FORMS.items():
            if form != "onnx":
                call("export", model, "--qonnx", folder / form, *words, "--out", folder / f"{form}.h5")
        self.graphs = {form: onnx.load(folder / form) for form in FORMS}
        arrays, about = tensors_of(folder / "check")
        self.values = {name: channels_first(x) for name, x in arrays.items()}
        self.input, self.output = about["input"], about["output"]
        self.nodes = nodes_of(tensors_of(model)[1]["graph"])
        kernels = dict(re.findall(r"(\S+) +(?:conv2d|linear) +\(\S+\) +\S+ +\S+ +(\S+)", plan))
        biased = {name.removesuffix(".bias") for name in constants(self.graphs["onnx"]) if name.endswith(".bias")}
        whole = {name for name, kernel in kernels.items() if kernel != "floats"} - biased
        self.rounded = {  # layers whose last digits may differ
            name for name, node in self.nodes.items() if node["op"] not in EXACT and name not in whole
        }


def producers(model):
    return {output: node for node in model.graph.node for output in node.output}


def expect_layer(ours, theirs, name, rounded):
    """Equal numbers, or what is within the bound."""
    if not rounded:
        np.testing.assert_array_equal(theirs, ours, err_msg=name)
    else:
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=BOUND * np.abs(ours).max(), err_msg=name)


def part_of(model, target, known, shapes):
    """The part of a graph that makes the tensor `target` of the nearest tensors that are known(), and their names.
    shapes: arrays of the shapes of all of them, by name."""
    made, fixed = producers(model), constants(model)
    wanted, nodes, inputs, used = [target], set(), set(), set()
    while wanted:
        node = made[wanted.pop()]
        nodes.add(node.name)
        for name in node.input:
            if name in fixed:
                used.add(name)
            elif known(name):
                inputs.add(name)
            else:
                wanted.append(name)

    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name].shape)

    graph = helper.make_graph(
        [node for node in model.graph.node if node.name in nodes],
        "part",
        [value(name) for name in sorted(inputs)],
        [value(target)],
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), sorted(inputs)


def run_with_onnxruntime(model, inputs, outputs, optimize=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), inputs)))


def run_with_qonnx(model, inputs, outputs):
    """The full execution context, of which every tensor may be asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = ModelWrapper(model).transform(InferShapes())
        for name in inputs:  # the executor takes no notice of inputs that it does not know
            assert name in [value.name for value in wrapped.graph.input], name
        context = execute_onnx(wrapped, inputs, return_full_exec_context=True)
    return {name: context[name] for name in outputs}


def run(form, model, inputs, outputs):
    return (run_with_onnxruntime if form == "onnx" else run_with_qonnx)(model, inputs, outputs)


def layers_of(exported, form):
    """The tensors that can be compared, in the order of the graph."""
    names = [output for node in exported.graphs[form].graph.node for output in node.output]
    return [name for name in names if name in exported.values]


def node_of(exported, tensor):
    return tensor if tensor in exported.nodes else tensor.removesuffix(".codes")


def compare_layers(exported, form):
    """Every layer, fed with our own values. Returns how many were compared."""
    model = exported.graphs[form]
    layers = layers_of(exported, form)
    for target in layers:
        part, names = part_of(model, target, exported.values.__contains__, exported.values)
        made = run(form, part, {name: exported.values[name] for name in names}, [target])[target]
        node = node_of(exported, target)
        # Scales stand in the operands there, so that products of codes are float sums.
        scaled = form == "qonnx" and exported.nodes[node]["op"] in ("conv2d", "linear")
        expect_layer(exported.values[target], made, f"{form}: {target}", scaled or node in exported.rounded)
    return len(layers)


def compare_whole(exported, form):
    """The graph from images to outputs. Returns the number of codes that differ, and whether the outputs are equal."""
    model, layers = exported.graphs[form], layers_of(exported, form)
    feed = {exported.input: exported.values[exported.input]}
    if form == "onnx":
        wide = onnx.ModelProto()
        wide.CopyFrom(model)
        known = {value.name for value in wide.graph.output}
        wide.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in layers if name not in known
        )
        made = run_with_onnxruntime(wide, feed, layers)
        for optimize in (False, True):  # what others add to a graph may change what is optimised
            alone = run_with_onnxruntime(model, feed, [exported.output], optimize)[exported.output]
            ours = made[exported.output]
            np.testing.assert_allclose(alone, ours, rtol=0, atol=BOUND * np.abs(ours).max())
    else:
        made = run_with_qonnx(model, feed, layers)
    flipped = 0
    for name in layers:
        node = exported.nodes[node_of(exported, name)]
        if node["op"] not in ("quantize", "levels"):
            continue
        levels = np.unique(exported.values[name])
        differs = np.abs(made[name] - exported.values[name])
        step = np.diff(levels).max() if levels.size > 1 else 2.0
        assert np.mean(differs > 0) <= FLIPPED and differs.max() <= 1.01 * step, f"{form}: {name}"
        flipped += np.count_nonzero(differs)
    ours, theirs = exported.values[exported.output], made[exported.output]
    if flipped == 0:
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=2 * BOUND * np.abs(ours).max(), err_msg=form)
    return flipped, bool(np.array_equal(ours, theirs))


def grid(node, count):
    """So many floats around the points where the codes of a quantizer change, and their codes and the scale."""
    alpha, steps = np.float32(node.get("alpha", 1)), np.float32(node.get("steps", 1))
    levels = int(node.get("levels", 2 ** int(node.get("bits", 1)) - 1))
    middle = (np.arange(-4, 2 * levels + 5, dtype=np.float32) / np.float32(2) * alpha) / steps
    beside = [np.nextafter(middle, np.float32(end)) for end in (-np.inf, np.inf)]
    points = np.concatenate([middle, *beside])
    points = points[(np.abs(points) > np.finfo(np.float32).tiny) | (points == 0)]  # no denormal ones
    x = np.resize(points, count).astype(np.float32)
    if node.get("rounding") == "sign":
        return x, np.where(x >= 0, np.float32(1), np.float32(-1)), alpha / steps
    quotient = x * steps / alpha
    rounded = np.rint(quotient) if node.get("rounding") == "nearest" else np.ceil(quotient)
    return x, np.clip(rounded, np.float32(0), np.float32(levels)), alpha / steps


def meets_grid(exported, form, target, name):
    """Feeds a quantizer alone with points of its grid; False where its codes are those of whole sums."""
    model, like = exported.graphs[form], exported.values[target]
    own = {node.name for node in model.graph.node if node.name == name or node.name.startswith(name + ".")}
    shapes = {output: like for node in model.graph.node for output in node.output} | {exported.input: like}
    part, inputs = part_of(model, target, lambda tensor: tensor not in own, shapes)
    if inputs[0].endswith((".sums", ".codes")):
        return False
    x, codes, scale = grid(exported.nodes[name], like.size)
    made = run(form, part, {inputs[0]: x.reshape(like.shape)}, [target])[target]
    expected = codes if target.endswith(".codes") else scale * codes
    np.testing.assert_array_equal(made, expected.reshape(like.shape), err_msg=f"{form}: {target}")
    return True


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.all = {}

    def exported(self, name):
        if name not in self.all:
            folder = pathlib.Path(self.folder.name) / name
            folder.mkdir()
            network = ZOO.get(name)
            if network is None:
                log = folder / "train.h5"
                call("train", *TRAINED[name], "--threads", 1, "--batch", 16, "--epochs", 1, "--quiet", "--out", log)
                network = folder / "train.best.safetensors"
            self.all[name] = Exported(network, folder)
        return self.all[name]

    def each(self, look):
        """look(name, exported) for every network."""
        for name in (*TRAINED, *ZOO):
            with self.subTest(network=name):
                look(name, self.exported(name))

    def test_every_layer_is_what_the_packed_model_makes_of_the_same_values(self):
        def look(name, exported):
            counts = {form: compare_layers(exported, form) for form in FORMS}
            steps = {node_of(exported, tensor) for tensor in exported.values} - {exported.input}
            print(f"{name}: {len(steps)} layers, tensors {counts}, {len(exported.rounded & steps)} layers by BOUND")
            for form in FORMS:
                seen = {node_of(exported, tensor) for tensor in layers_of(exported, form)}
                self.assertEqual(steps - seen, set(), form)

        self.each(look)

    def test_the_whole_graph_gives_the_outputs_of_the_packed_model(self):
        def look(name, exported):
            for form in FORMS:
                flipped, same = compare_whole(exported, form)
                print(f"{name}, {form}: {flipped} codes differ, outputs are {'==' if same else 'close'}")

        self.each(look)

    def test_networks_of_signs_and_powers_of_two_are_equal_as_a_whole(self):
        for name in ("bnn", "aqe_1w1a", "aqe_3w3a", "resnet_bnn"):
            for form in FORMS:
                self.assertEqual(compare_whole(self.exported(name), form), (0, True), f"{name}, {form}")

    def test_grids_are_met_at_their_points_and_beside_them(self):
        seen = {form: 0 for form in FORMS}

        def look(_, exported):
            for form in FORMS:
                for target in layers_of(exported, form):
                    name = node_of(exported, target)
                    if exported.nodes[name]["op"] == "quantize":
                        seen[form] += meets_grid(exported, form, target, name)

        self.each(look)
        print("grids:", seen)
        self.assertGreater(min(seen.values()), len(TRAINED) // 2)

    def test_the_files_are_valid_and_say_what_they_are(self):
        def look(_, exported):
            onnx.checker.check_model(exported.graphs["onnx"], full_check=True)
            for form in ("qonnx", "thresholds"):
                domains = {(o.domain, o.version) for o in exported.graphs[form].opset_import}
                self.assertEqual(domains, {("", 14), ("qonnx.custom_op.general", 1)})

        self.each(look)

    def test_a_changed_weight_and_a_lost_rounding_mode_are_found(self):
        exported = self.exported("bcgd_1w4a")
        model = exported.graphs["onnx"]
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "conv2.weight"]
        before = tensor.raw_data
        tensor.raw_data = bytes([before[0] ^ 0x77]) + before[1:]
        with self.assertRaises(AssertionError):
            compare_layers(exported, "onnx")
        tensor.raw_data = before
        model = exported.graphs["qonnx"]
        (mode, *_) = [a for n in model.graph.node for a in n.attribute if a.s == b"CEIL"]
        mode.s = b"ROUND"
        with self.assertRaises(AssertionError):
            compare_layers(exported, "qonnx")
        mode.s = b"CEIL"


if __name__ == "__main__":
    print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "numpy", np.__version__)
    unittest.main(verbosity=2)
