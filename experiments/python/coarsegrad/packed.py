"""Reads packed models, as `freeze` writes them: the nodes of the network and its weights, unpacked. What is in such a
file is said in quant/packed/file.h and quant/packed/graph_text.h.

from coarsegrad import read_packed_model
model = read_packed_model("resnet20.cgpacked")
for node in model.nodes:
    print(node["op"], node["name"], model.weights.get(node["name"], None))
"""
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .tensor_file import TensorFileError, check, naming, read_tensor_file

FORMAT = "coarsegrad-packed/1"


@dataclass
class PackedModel:
    """A frozen network. Each node is a dictionary of texts with "op", "name", "from" (the names of its inputs) and the
    keys of its line, all names in full. By the names of their nodes: `weights` has the weights as floats, `norms` the
    rows mean, factor and maybe shift of normalisations. `arrays` has all that the file holds."""

    nodes: list[dict[str, Any]]
    weights: dict[str, np.ndarray]
    norms: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def read_packed_model(path: str | os.PathLike[str]) -> PackedModel:
    """Reads a packed model. TensorFileError says why a file is refused that is none, or that is of another version."""
    file = read_tensor_file(path)
    with naming(path):
        given = file.metadata.pop("format", "")
        check(given == FORMAT, f"given the format '{given}', expected {FORMAT}")
        check("graph" in file.metadata, "given no metadata 'graph'")
        try:
            nodes = _nodes_of(file.metadata.pop("graph"))
            weights = {node["name"]: unpacked(node, file.tensors) for node in nodes if "weight" in node}
            norms = _norms_of(nodes, file.tensors.get("norms", np.empty(0, "<f4")))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise TensorFileError(f"given a graph that cannot be read: {error}") from None
    return PackedModel(nodes, weights, norms, file.tensors, file.metadata)


def unpacked(node: dict[str, Any], arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The weights of a node as floats, (out, in) or (out, kh, kw, in / groups): with the bits that the network computes
    with."""
    name, shape = node["name"], [int(n) for n in node["weight"].split(",")]
    kind, bits = node.get("codes", "signs"), int(node.get("bits", 1))
    if kind not in ("floats", "signs", "integers", "powers", "table") or not 1 <= bits <= 8 or min(shape) < 1:
        raise ValueError(f"{bits} bits of {kind} in the shape {shape}")
    if kind == "floats":
        return arrays[name].reshape(shape)
    size = int(np.prod(shape))
    fields = np.unpackbits(arrays[name], bitorder="little")[: size * bits].reshape(size, bits) @ (1 << np.arange(bits))
    if kind == "table":
        return arrays[f"{name}.table"][fields].reshape(shape)
    scale = arrays.get(f"{name}.scale", np.float32(node.get("scale", 1)))
    numbers = 2 * fields - 1 if kind == "signs" else (fields ^ 1 << bits - 1) - (1 << bits - 1)
    if kind == "powers":
        size_of = 2.0 ** (np.abs(numbers) - int(node["magnitudes"]))
        numbers = np.where(numbers == 0, 0, np.sign(numbers) * size_of)
    return numbers.reshape(shape).astype("<f4") * np.reshape(scale, (-1, *(1 for _ in shape[1:])))


def _nodes_of(graph: str) -> list[dict[str, Any]]:
    """One dictionary for each line; what says nothing of its inputs reads the node before it."""
    nodes: list[dict[str, Any]] = []
    for line in graph.split("\n"):
        operation, word, *words = line.split(" ")
        keys: dict[str, Any] = dict(word.split("=", 1) for word in words)
        before = nodes[-1]["name"] if nodes else ""  # what an input without a name is
        name = _full_name(word, before)
        inputs = [_full_name(word, name) or before for word in keys.pop("from", "").split(",") if word or before]
        nodes.append({"op": operation, "name": name, "from": inputs, **keys})
    return nodes


def _full_name(word: str, line: str) -> str:
    """A name that begins with a dot goes on from that of a line."""
    return line[: line.rfind(".")] + word if word.startswith(".") else word


def _norms_of(nodes: list[dict[str, Any]], numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each normalisation, (2, channels) or (3, channels)."""
    norms = {}
    for node in nodes:
        if node["op"] == "norm":
            rows, channels = int(node.get("rows", 3)), int(node["channels"])
            norms[node["name"]] = numbers[: rows * channels].reshape(rows, channels)
            numbers = numbers[rows * channels :]
    return norms
