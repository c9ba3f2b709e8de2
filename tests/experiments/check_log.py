"""check_log(path): does a run log have the layout that every run log has? As a program: check_log.py FILE.h5 ..."""
import json
import re
import sys

import h5py
import numpy as np

TEXTS = [
    "schema",
    "experiment",
    "created",
    "version",
    "git_commit",
    "command_line",
    "config",
    "cpu",
    "kernels",
    "blas",
    "real",
    "host",
    "earlier_processes",
]
INTEGERS = ["seed", "threads", "pid", "resumed"]
STATES = ["running", "finished", "diverged", "interrupted", "failed"]


def open_log(path):
    return h5py.File(path, "r", swmr=True)


def status(file):
    return file.attrs["status"].decode()


def series_of(file):
    """{name: group} of all series; names may have several parts."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Group) and "value" in item:
            found[name] = item

    file["series"].visititems(visit)
    return found


def tables_of(file):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Group) and any(isinstance(child, h5py.Dataset) for child in item.values()):
            found[name] = item

    file["tables"].visititems(visit)
    return found


def require(condition, message):
    if not condition:
        raise AssertionError(message)


def check_meaning(path, item):
    for attribute in ("unit", "description"):
        text = item.attrs.get(attribute)
        require(isinstance(text, str) and text, f"{path}: {item.name} has no {attribute}")


def check_attributes(path, file):
    attributes = file.attrs
    expected = set(TEXTS + INTEGERS + ["status", "reason", "heartbeat"])
    require(set(attributes) == expected, f"{path}: attributes differ: {set(attributes) ^ expected}")
    for name in TEXTS:
        require(isinstance(attributes[name], str), f"{path}: {name} is not text")
    for name in INTEGERS:
        require(np.issubdtype(attributes[name].dtype, np.integer), f"{path}: {name} is not an integer")
    require(attributes["schema"] == "coarsegrad-run/1", f"{path}: schema {attributes['schema']}")
    require(status(file) in STATES, f"{path}: status {status(file)}")
    require(bool(attributes["reason"]) == (status(file) not in ("running", "finished")), f"{path}: reason")
    require(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attributes["created"]), f"{path}: created")
    require(re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", attributes["git_commit"]), f"{path}: git_commit")
    require(attributes["real"] in ("float", "double"), f"{path}: real {attributes['real']}")
    earlier = json.loads(attributes["earlier_processes"])
    require(len(earlier) == attributes["resumed"], f"{path}: resumed {attributes['resumed']} times by {len(earlier)}")
    config = json.loads(attributes["config"])
    require(config["seed"] == attributes["seed"] and config["threads"] == attributes["threads"], f"{path}: config")


def check_log(path):
    """Raises AssertionError with the first thing that is wrong."""
    with open_log(path) as file:
        check_attributes(path, file)
        require(set(file) == {"series", "tables", "inputs"}, f"{path}: top level {list(file)}")
        live = status(file) == "running"
        for name, group in series_of(file).items():
            check_meaning(path, group)
            types = {column: data.dtype.str for column, data in group.items()}
            require(types == {"step": "<i8", "wall_seconds": "<f8", "value": "<f8"}, f"{path}: series {name}: {types}")
        for group in list(series_of(file).values()) + list(tables_of(file).values()):
            lengths = {len(data) for data in group.values()}
            require(live or len(lengths) == 1, f"{path}: {group.name}: lengths {lengths}")
            for data in group.values():
                require(data.ndim == 1, f"{path}: {data.name} has {data.ndim} axes")
                check_meaning(path, data)
        file["inputs"].visititems(lambda _, item: check_meaning(path, item) if isinstance(item, h5py.Dataset) else None)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check_log(argument)
        print(argument, "has the layout of a run log")
