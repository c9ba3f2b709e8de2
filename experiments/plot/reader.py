"""Reads one run log: a finished one, one that is still being written, or one whose writer was killed.

    from reader import read_run
    run = read_run("results/coarse_gradient.h5")
    theta, correlation = run.tables["relu"]["theta"], run.tables["relu"]["correlation"]
"""
import ctypes
import os
from dataclasses import dataclass

import h5py
import numpy as np

SCHEMA = "coarsegrad-run/1"
READ_ATTEMPTS = 30


class LogError(Exception):
    """The file is not a run log, or the log lacks what was asked for. The message is one line."""


@dataclass
class Run:
    """All arrays of a log, copied into memory.

    attributes  name -> value of the file's attributes (experiment, status, config as JSON text, seed, ...)
    series      name -> {"step", "wall_seconds", "value"} -> array, equal lengths
    tables      name -> column -> array, equal lengths
    inputs      name -> array
    units       "series/<name>", "tables/<name>/<column>" -> unit as text
    labels      "tables/<name>/<column>" -> names that the values of the column index
    """

    path: str
    attributes: dict
    series: dict
    tables: dict
    inputs: dict
    units: dict
    labels: dict

    @property
    def experiment(self):
        return self.attributes["experiment"]

    def table(self, name, *columns):
        """The columns of a table, in the order asked for. LogError if one is missing or the table has no rows."""
        if name not in self.tables:
            raise LogError(f"{self.path}: no table {name} (there are: {', '.join(self.tables) or 'none'})")
        table = self.tables[name]
        missing = [column for column in columns if column not in table]
        if missing:
            raise LogError(f"{self.path}: table {name} has no column {', '.join(missing)}")
        if len(table[columns[0]]) == 0:
            raise LogError(f"{self.path}: table {name} has no rows yet")
        return [table[column] for column in columns]

    def names(self, table, column):
        """The column as names: its values index its labels. LogError where it has no labels."""
        (values,) = self.table(table, column)
        labels = self.labels.get(f"tables/{table}/{column}")
        if labels is None:
            raise LogError(f"{self.path}: column {column} of table {table} has no labels")
        return np.array(labels)[values.astype(int)]


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def _children(group):
    """name -> member. A member that cannot be read is an error (values() of h5py would have None for it)."""
    return {name: group[name] for name in group}


def _columns(group):
    """The datasets of a group, cut to the shortest: a live log may be caught between two of its columns. No
    refresh(): where a dataset is open a second time in the process, HDF5 1.10 then reads wrong values."""
    arrays = {name: dataset[...] for name, dataset in _children(group).items()}
    rows = min((len(array) for array in arrays.values()), default=0)
    return {name: array[:rows] for name, array in arrays.items()}


def _walk(group, prefix=""):
    """(name, group) of every group that holds datasets; names keep their slashes ("train/loss")."""
    kinds = {name: group.get(name, getclass=True) for name in group}
    if h5py.Dataset in kinds.values():
        yield prefix, group
    for name, kind in kinds.items():
        if kind is h5py.Group:
            yield from _walk(group[name], f"{prefix}/{name}" if prefix else name)


def _unit(item):
    return str(_text(item.attrs.get("unit", "")))


def _open(path):
    """The file, open for reading beside its writer. HDF5 waits 1, 2, 4, ... ns for a checksum to become right, as
    often as it is told: 2 s in all here, where its default is longer than anybody waits for a file that is damaged."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    hdf5 = ctypes.CDLL(h5py.h5p.__file__)
    hdf5.H5Pset_metadata_read_attempts(ctypes.c_int64(access.id), ctypes.c_uint(READ_ATTEMPTS))
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


def read_run(path):
    """Reads the log at `path` into a Run. LogError for anything that is not a readable run log, damaged ones
    included."""
    path = str(path)
    try:
        file = _open(path)
    except FileNotFoundError:
        raise LogError(f"{path}: no such file") from None
    except OSError as error:
        raise LogError(f"{path}: not a readable HDF5 file ({str(error).splitlines()[0]})") from None
    try:
        with file:
            return _read(path, file)
    except (KeyError, OSError, RuntimeError) as error:
        raise LogError(f"{path}: damaged ({str(error).splitlines()[0]})") from None


def _read(path, file):
    attributes = {name: _text(value) for name, value in file.attrs.items()}
    if attributes.get("schema") != SCHEMA or "experiment" not in attributes:
        raise LogError(f"{path}: not a run log (attribute schema is {attributes.get('schema')!r}, not {SCHEMA!r})")
    units, labels, series, tables = {}, {}, {}, {}
    for name, group in _walk(file["series"]) if "series" in file else ():
        series[name] = _columns(group)
        units[f"series/{name}"] = _unit(group)
    for name, group in _walk(file["tables"]) if "tables" in file else ():
        tables[name] = _columns(group)
        units.update({f"tables/{name}/{column}": _unit(item) for column, item in _children(group).items()})
        labels.update(
            {
                f"tables/{name}/{column}": [_text(label) for label in item.attrs["labels"]]
                for column, item in _children(group).items()
                if "labels" in item.attrs
            }
        )
    inputs = {name: np.asarray(item) for name, item in _children(file["inputs"]).items()} if "inputs" in file else {}
    return Run(path, attributes, series, tables, inputs, units, labels)
