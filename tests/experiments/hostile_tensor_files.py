"""The tensor files of hostile_tensor_files.json, which every reader refuses."""
import json
import pathlib
import struct

TABLE = pathlib.Path(__file__).with_suffix(".json")
METADATA = '"__metadata__":{"sha256":"0"}'


def hostile_tensor_files():
    """Yields the name of each file, its bytes, and the words that refuse it."""
    for file in json.loads(TABLE.read_text())["files"]:
        yield file["name"], _content(file), file["says"]


def _content(file):
    """The bytes of one entry of the table."""
    if "whole" in file:
        return file["whole"].encode()
    header = file["header"]
    pieces = [[header, 1]] if isinstance(header, str) else header
    data = b"".join(text.replace("$META", METADATA).encode(*encoding) * times for text, times, *encoding in pieces)
    return struct.pack("<Q", file.get("length", len(data))) + data + bytes(file.get("values", 0))
