"""Reads and writes tensor files: named arrays in the layout of safetensors, which is the length of a JSON header in 8
bytes, the header, and the values. experiments/support/tensor_file.h does the same in C++, and in the same words.

from coarsegrad import read_tensor_file, write_tensor_file
file = read_tensor_file("results/resnet20.best.safetensors")
write_tensor_file("results/zeroed.safetensors", {name: 0 * array for name, array in file.tensors.items()}, file.metadata)
"""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from .short_text import quoted, shortened

# What a file may hold, and the type of the array that comes out of it. Of bfloat16, which numpy does not have, each
# number is the upper half of a float32.
DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}

# The limits of core/base/tensor_header.cpp.
MAX_HEADER = 32 << 20
MAX_DEPTH = 3
MAX_INNER = 1024  # entries of each list or object inside the header's own
MAX_WHOLE = 2**63 - 1
MAX_AXES = 32  # of numpy
TOKENS = re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"?|[][{},]')

Entry = tuple[int, int, str, str, list[int]]  # begin and end of the values, name, dtype, shape

LAYOUT = (
    " (safetensors: the length of a JSON header in 8 bytes, the header, the values; experiments/tools/torch_file makes "
    "one of a PyTorch .pt file)"
)


class TensorFileError(Exception):
    """Says in one line what is wrong with a file, or with what was to be written."""


@dataclass
class TensorFile:
    """The arrays by name, in the order of their values in the file, and the texts that describe them."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


def read_tensor_file(path: str | os.PathLike[str]) -> TensorFile:
    """Reads any .safetensors file, with a checksum or without one. bfloat16 comes as float32, all else as what it is.

    The file is treated as hostile: it takes memory of the order of its size, and TensorFileError says why it is refused
    where it is no regular file, where its header is longer than 32 MiB, malformed or incomplete, where names occur twice,
    where values overlap or leave holes, where sizes disagree, and where the checksum does not match.
    """
    with naming(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        check(size >= 8, f"is no tensor file: given {size} bytes, expected a header{LAYOUT}")
        length, most = struct.unpack("<Q", file.read(8))[0], min(size - 8, MAX_HEADER)
        check(length <= most, f"is no tensor file: given a header of {length} bytes, expected at most {most}{LAYOUT}")
        header, metadata = _parsed(file.read(length))
        entries = _entries_of(header, size - 8 - length)
        values = bytearray(size - 8 - length)
        check(file.readinto(values) == len(values), "became shorter while it was read")
        checksum = metadata.pop("sha256", None)
        fits = checksum in (None, _checksum_of({**header, "__metadata__": metadata}, [values]))
        check(fits, "the checksum does not match")
    tensors = {
        name: widened(kind, np.frombuffer(memoryview(values)[begin:end], DTYPES[kind]).reshape(shape))
        for begin, end, name, kind, shape in entries
    }
    return TensorFile(tensors, metadata)


def write_tensor_file(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays of floating point numbers, as float32 and with a SHA-256, so that every program here reads them, and
    so does safetensors. The file is replaced as a whole or not at all.

    Raises TensorFileError for an array of anything else, for a finite number that float32 does not hold, for names that
    are taken ("__metadata__", and "sha256" in the metadata), and for a header of more than 32 MiB; OSError where the
    file cannot be written.
    """
    with naming(path):
        check("__metadata__" not in tensors, "given a tensor called '__metadata__', which is taken")
        check("sha256" not in (metadata or {}), "given metadata 'sha256', which is taken")
        header: dict[str, Any] = {"__metadata__": dict(metadata or {})}
        values, end = [], 0
        for name, array in tensors.items():
            values.append(as_float32(name, np.asarray(array)).tobytes())
            begin, end = end, end + len(values[-1])
            header[name] = {"dtype": "F32", "shape": list(np.shape(array)), "data_offsets": [begin, end]}
        header["__metadata__"]["sha256"] = _checksum_of(header, values)
        text = _header_text(header)
        text += b" " * (-len(text) % 8)
        check(len(text) <= MAX_HEADER, f"given names and metadata of {len(text)} bytes, expected at most {MAX_HEADER}")
    replace_file(path, [struct.pack("<Q", len(text)), text, *values])


def as_float32(name: str, array: np.ndarray) -> np.ndarray:
    """The numbers as float32. Raises TensorFileError for a finite one that float32 does not hold, and for integers."""
    check(array.dtype.kind == "f", f"{quoted(name)}: given {array.dtype}, expected floating point numbers")
    with np.errstate(over="ignore"):
        floats = array.astype("<f4")
    lost = np.isinf(floats) & np.isfinite(array)
    if lost.any():
        raise TensorFileError(f"{quoted(name)}: given {array[lost].flat[0]:g}, expected numbers that float32 holds")
    return floats


def widened(kind: str, array: np.ndarray) -> np.ndarray:
    """An array of DTYPES[kind] as the numbers that it stands for."""
    return (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading; a pipe would wait here for somebody who writes into it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise TensorFileError(f"cannot be opened: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TensorFileError("is not a regular file")
    return open(descriptor, "rb")


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the name of the file in front of what is wrong with it."""
    try:
        yield
    except TensorFileError as error:
        raise TensorFileError(f"{os.fspath(path)}: {error}") from None


def replace_file(path: str | os.PathLike[str], parts: Iterable[bytes]) -> None:
    """Replaces a file as a whole: it is written under a temporary name, synced and renamed. Two processes do not write
    into each other's part of it."""
    target = pathlib.Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(part, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check(ok: bool, message: str) -> None:
    """Raises TensorFileError unless all is well."""
    if not ok:
        raise TensorFileError(message)


def _check_limits(text: bytes) -> None:
    """Refuses a header before Python's parser spends its stack, or memory, on it."""
    commas: list[int] = []  # of each list or object that is open
    for token in TOKENS.finditer(text):
        kind = token[0][:1]
        if kind in b"[{":
            check(len(commas) < MAX_DEPTH, f"the header is nested more than {MAX_DEPTH} deep")
            commas.append(0)
        elif kind in b"]}":
            del commas[-1:]
        elif kind == b"," and len(commas) > 1:
            commas[-1] += 1
            check(commas[-1] < MAX_INNER, f"the header has a list or an object of more than {MAX_INNER} entries")


def _without_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name may be there twice."""
    entries: dict[str, Any] = {}
    for key, value in pairs:
        check(key not in entries, f"the header has {quoted(key)} twice")
        entries[key] = value
    return entries


def _no_constant(text: str) -> None:
    """Refuses NaN and the infinities, which are no JSON."""
    raise ValueError(text)


def _parsed(text: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The entries and the metadata of a header."""
    _check_limits(text)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_repeated, parse_constant=_no_constant)
        check(isinstance(header, dict), "the header is no JSON object")
        metadata = header.pop("__metadata__", {})
        check(
            isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values()),
            "its metadata are no texts by name",
        )
        "".join((*header, *metadata, *metadata.values())).encode()  # half a surrogate pair is no text
    except ValueError as error:
        position = getattr(error, "pos", getattr(error, "start", 0))
        raise TensorFileError(f"the header is no JSON: wrong at byte {position + 1}") from None
    return header, metadata


def _whole_numbers(name: str, item: dict[str, Any], key: str) -> list[int]:
    """A list of the header's, each entry of which has to be a whole number."""
    check(isinstance(item[key], list), f"{quoted(name)}: {key} is no list of whole numbers >= 0")
    for n in item[key]:
        check(
            type(n) is int and 0 <= n <= MAX_WHOLE,
            f"{quoted(name)}: {key}: given {shortened(json.dumps(n))}, expected a whole number from 0 to {MAX_WHOLE}",
        )
    return item[key]


def _entry_of(name: str, item: Any, size: int) -> Entry:
    """One tensor of a header, in a file with `size` bytes of values."""
    check(
        isinstance(item, dict) and item.keys() == {"dtype", "shape", "data_offsets"},
        f"{quoted(name)}: expected dtype, shape and data_offsets",
    )
    shape, offsets = _whole_numbers(name, item, "shape"), _whole_numbers(name, item, "data_offsets")
    check(len(offsets) == 2, f"{quoted(name)}: given {len(offsets)} data_offsets, expected 2")
    kind = item["dtype"]
    check(
        isinstance(kind, str) and kind in DTYPES,
        f"{quoted(name)}: given the dtype {shortened(json.dumps(kind))}, expected one of {', '.join(DTYPES)}",
    )
    check(len(shape) <= MAX_AXES, f"{quoted(name)}: given {len(shape)} axes, expected at most {MAX_AXES}")
    count = int(np.prod(shape, dtype=object))
    check(
        offsets[0] <= offsets[1] <= size and offsets[1] - offsets[0] == count * DTYPES[kind].itemsize,
        f"{quoted(name)}: the offsets do not fit the shape or the file",
    )
    return offsets[0], offsets[1], name, kind, shape


def _entries_of(header: dict[str, Any], size: int) -> list[Entry]:
    """The entries in the order of their values, which have to cover `size` bytes once each."""
    entries, covered = sorted(_entry_of(*entry, size) for entry in header.items()), 0
    for begin, end, name, _, _ in entries:
        check(begin == covered, f"{quoted(name)}: its values overlap others, or there is a hole before them")
        covered = end
    check(covered == size, f"given {size} bytes of values, expected {covered}")
    return entries


def _header_text(header: dict[str, Any]) -> bytes:
    """The one text of a header: JSON without white space, names in order."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _checksum_of(header: dict[str, Any], values: Iterable[bytes | bytearray]) -> str:
    """The digest of a header without its checksum, and of the values."""
    digest = hashlib.sha256(_header_text(header))
    for part in values:
        digest.update(part)
    return digest.hexdigest()
