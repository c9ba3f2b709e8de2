"""Reads run logs: finished ones, ones that are still being written, and ones whose writer was killed.

    from reader import by_config, read_run, read_runs
    run = read_run("results/coarse_gradient.h5")
    theta, correlation = run.tables["relu"]["theta"], run.tables["relu"]["correlation"]
    for (lr, bits), runs in by_config(read_runs("results/*.h5"), "lr", "activation-bits").items(): ...
"""
import ctypes
import errno
import glob
import json
import os
from dataclasses import dataclass

import h5py
import numpy as np

SCHEMA = "coarsegrad-run/1"
EXTENSIONS = (".h5", ".hdf5")
READ_ATTEMPTS = 30
MOST_SHOWN = 1000  # characters of a message


class LogError(Exception):
    """The file is not a run log, or the log lacks what was asked for. The message is one line: names in a file may be
    long, and hold what a terminal obeys."""

    def __init__(self, message):
        shown = "".join(c if c.isprintable() else "?" for c in message[:MOST_SHOWN])
        super().__init__(shown + ("..." if len(message) > MOST_SHOWN else ""))


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

    @property
    def config(self):
        """The resolved settings of the run, name -> value."""
        return json.loads(self.attributes["config"])

    @property
    def status(self):
        """running (or killed), finished, diverged, interrupted or failed."""
        return self.attributes["status"]

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
    if os.path.exists(path) and not os.path.isfile(path):
        raise LogError(f"{path}: not a regular file")
    try:
        file = _open(path)
    except FileNotFoundError:
        raise LogError(f"{path}: no such file") from None
    except OSError as error:
        reason = str(error).splitlines()[0]
        if os.strerror(errno.ENOLCK) in reason:
            reason += "; HDF5_USE_FILE_LOCKING=FALSE in the environment reads it without locks"
        raise LogError(f"{path}: not a readable HDF5 file ({reason})") from None
    try:
        with file:
            return _read(path, file)
    except (KeyError, OSError, RuntimeError) as error:
        raise LogError(f"{path}: damaged ({str(error).splitlines()[0]})") from None


def read_runs(pattern):
    """The runs whose paths match a pattern ("results/*.h5"; ** for any depth), in the order of the paths. LogError
    for none, and as read_run()."""
    paths = sorted(glob.glob(str(pattern), recursive=True))
    if not paths:
        raise LogError(f"{pattern}: no such file")
    return [read_run(path) for path in paths]


def base_name(path):
    """The name of a log without a final .h5 or .hdf5, and nothing else taken away: what the names of files made from
    it begin with. In C++: beside() of experiments/support/output_name.h."""
    name = os.path.basename(path)
    for extension in EXTENSIONS:
        if name.endswith(extension) and name != extension:
            return name.removesuffix(extension)
    return name


def differing(runs):
    """Names of the settings in which the runs differ, in the order of the first run's."""
    configs = [run.config for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if any(config.get(name) != configs[0].get(name) for config in configs)]


def by_config(runs, *names):
    """{values of these settings: runs that have them}, in the order of the runs; for one name its value alone is the
    key. Lists become tuples. LogError for a setting that a run does not have."""
    groups = {}
    for run in runs:
        config = run.config
        missing = [name for name in names if name not in config]
        if missing:
            raise LogError(f"{run.path}: no setting {', '.join(missing)} (there are: {', '.join(config)})")
        values = [config[name] for name in names]
        key = tuple(tuple(value) if isinstance(value, list) else value for value in values)
        groups.setdefault(key[0] if len(names) == 1 else key, []).append(run)
    return groups


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
