"""Reads a run log: a finished one, one that is still being written, or one whose writer was killed.

from coarsegrad import read_run
run = read_run("results/coarse_gradient.h5")
theta, correlation = run.table("relu", "theta", "correlation")
"""
import ctypes
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from .short_text import shortened

SCHEMA = "coarsegrad-run/1"
EXTENSIONS = (".h5", ".hdf5")
READ_ATTEMPTS = 30
MOST_SHOWN = 1000  # bytes of a message

Columns = dict[str, np.ndarray]


class LogError(Exception):
    """Says in one line that a file is no run log, or that a log lacks what was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, MOST_SHOWN))


@dataclass
class Run:
    """All that a log holds, copied into memory.

    attributes  maps the names of the file's attributes to their values (experiment, status, config as JSON, seed, ...)
    series      maps each name to the arrays "step", "wall_seconds" and "value", which are equally long
    tables      maps each name to columns by name, which are equally long
    inputs      maps each name to the array that the run started from
    units       maps "series/<name>" and "tables/<name>/<column>" to a unit
    labels      maps "tables/<name>/<column>" to the names that the values of the column are indices of
    """

    path: str
    attributes: dict[str, Any]
    series: dict[str, Columns]
    tables: dict[str, Columns]
    inputs: Columns
    units: dict[str, str]
    labels: dict[str, list[str]]

    @property
    def experiment(self) -> str:
        """The name of the program that wrote the log."""
        return self.attributes["experiment"]

    @property
    def status(self) -> str:
        """One of running (or killed), finished, diverged, interrupted and failed."""
        return self.attributes["status"]

    @property
    def config(self) -> dict[str, Any]:
        """The resolved settings of the run as they stand in the log. Raises LogError where there are none."""
        try:
            config = json.loads(self.attributes["config"])
        except (KeyError, TypeError, ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise LogError(f"{self.path}: the attribute config is no JSON object")
        return config

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with dotted names: what config has as {"relaxation": {"rho": 0.1}} is "relaxation.rho" here."""
        return dict(_dotted(self.config))

    def table(self, name: str, *columns: str) -> list[np.ndarray]:
        """The columns of a table, in the order asked for. Raises LogError if one is missing or there are no rows."""
        if name not in self.tables:
            raise LogError(f"{self.path}: no table {name} (there are: {', '.join(self.tables) or 'none'})")
        table = self.tables[name]
        missing = [column for column in columns if column not in table]
        if missing:
            raise LogError(f"{self.path}: table {name} has no column {', '.join(missing)}")
        if len(table[columns[0]]) == 0:
            raise LogError(f"{self.path}: table {name} has no rows yet")
        return [table[column] for column in columns]

    def names(self, table: str, column: str) -> np.ndarray:
        """A column with labels as names. Raises LogError where it has no labels, or indices beyond them."""
        (values,) = self.table(table, column)
        labels = self.labels.get(f"tables/{table}/{column}")
        if labels is None:
            raise LogError(f"{self.path}: column {column} of table {table} has no labels")
        if not np.all((values >= 0) & (values < len(labels))):
            raise LogError(f"{self.path}: column {column} of table {table} has indices beyond its labels")
        return np.array(labels)[values.astype(int)]

    def values(self, quantity: str) -> np.ndarray:
        """The values of "series/<name>" or "tables/<name>/<column>", as far as there are any. Raises LogError where
        the log has no such quantity."""
        kind, _, rest = quantity.partition("/")
        table, _, column = rest.rpartition("/")
        if kind == "series" and rest in self.series:
            return self.series[rest]["value"]
        if kind == "tables" and column in self.tables.get(table, {}):
            return self.tables[table][column]
        raise LogError(f"{self.path}: no {quantity} (there are: {', '.join(self.units) or 'none'})")


def _dotted(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a configuration, one by one, those of objects inside it by dotted names."""
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def read_run(path: str | os.PathLike[str]) -> Run:
    """Reads a log whole. Raises LogError for anything that is not a readable run log, damaged ones included."""
    path = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise LogError(f"{path}: not a regular file")
    try:
        file = _open(path)
    except FileNotFoundError:
        raise LogError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if os.strerror(errno.ENOLCK) in reason:
            reason += "; HDF5_USE_FILE_LOCKING=FALSE in the environment reads it without locks"
        raise LogError(f"{path}: not a readable HDF5 file ({reason})") from None
    try:
        with file:
            return _read(path, file)
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise LogError(f"{path}: damaged ({(str(error) or type(error).__name__).splitlines()[0]})") from None


def base_name(path: str | os.PathLike[str]) -> str:
    """The name of a log without a final .h5 or .hdf5, and nothing else taken away: what the names of files made from
    it begin with. beside() of experiments/support/output_name.h does the same in C++."""
    name = os.path.basename(path)
    for extension in EXTENSIONS:
        if name.endswith(extension) and name != extension:
            return name.removesuffix(extension)
    return name


def _open(path: str) -> h5py.File:
    """Opens the file beside its writer. HDF5 waits 1, 2, 4, ... ns for a checksum to become right, as often as it is
    told: 2 s in all here, where its default is longer than anybody waits for a file that is damaged."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    hdf5 = ctypes.CDLL(h5py.h5p.__file__)
    hdf5.H5Pset_metadata_read_attempts(ctypes.c_int64(access.id), ctypes.c_uint(READ_ATTEMPTS))
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


def _read(path: str, file: h5py.File) -> Run:
    """The contents of an open file."""
    attributes = {name: _text(value) for name, value in file.attrs.items()}
    if attributes.get("schema") != SCHEMA or not {"experiment", "status"} <= attributes.keys():
        raise LogError(f"{path}: not a run log (attribute schema is {attributes.get('schema')!r}, not {SCHEMA!r})")
    run = Run(path, attributes, {}, {}, {}, {}, {})
    for name, group in _walk(file["series"]) if "series" in file else ():
        run.series[name] = _columns(group)
        run.units[f"series/{name}"] = _unit(group)
        if missing := {"step", "value"} - run.series[name].keys():
            raise LogError(f"{path}: series {name} has no {', '.join(sorted(missing))}")
    for name, group in _walk(file["tables"]) if "tables" in file else ():
        run.tables[name] = _columns(group)
        for column, item in _children(group).items():
            run.units[f"tables/{name}/{column}"] = _unit(item)
            if "labels" in item.attrs:
                run.labels[f"tables/{name}/{column}"] = [_text(label) for label in item.attrs["labels"]]
    if "inputs" in file:
        run.inputs = {name: np.asarray(item) for name, item in _children(file["inputs"]).items()}
    return run


def _text(value: Any) -> Any:
    """Bytes as text, anything else as it is."""
    return value.decode() if isinstance(value, bytes) else value


def _unit(item: Any) -> str:
    """The unit of a dataset or a group."""
    return str(_text(item.attrs.get("unit", "")))


def _children(group: h5py.Group) -> dict[str, Any]:
    """The members of a group. One that cannot be read is an error (values() of h5py would have None for it)."""
    return {name: group[name] for name in group}


def _columns(group: h5py.Group) -> Columns:
    """The datasets of a group, cut to the shortest, since a live log may be caught between two of its columns. Nothing
    is refreshed: where a dataset is open a second time in the process, HDF5 1.10 then reads wrong values."""
    arrays = {name: dataset[...] for name, dataset in _children(group).items()}
    rows = min((len(array) for array in arrays.values()), default=0)
    return {name: array[:rows] for name, array in arrays.items()}


def _walk(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Group]]:
    """Every group that holds datasets, with a name that keeps its slashes ("train/loss")."""
    kinds = {name: group.get(name, getclass=True) for name in group}
    if h5py.Dataset in kinds.values():
        yield prefix, group
    for name, kind in kinds.items():
        if kind is h5py.Group:
            yield from _walk(group[name], f"{prefix}/{name}" if prefix else name)
