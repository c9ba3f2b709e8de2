"""Many runs: a table with one row for each of them, and what tells them apart.

from coarsegrad import at_largest, last, read_runs
table = read_runs("results/rates/*.h5", "lr", "seed", loss=last("series/loss"),
                  test=at_largest("tables/epochs/held_out_accuracy", "tables/epochs/test_accuracy"))
for rate, same in table.by("lr").items():
    print(rate, len(same), same["test"].mean())
"""
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .logs import LogError, Run, base_name, read_run

Value = Callable[[Run], Any]
Path = str | os.PathLike[str]

MOST_IN_LABEL = 4  # settings that a label of a run names
WITHOUT_EFFECT = {"threads"}  # settings that change no number of a log


def last(quantity: str) -> Value:
    """The last value of a quantity ("series/<name>" or "tables/<name>/<column>"), NaN where there is none yet."""
    return lambda run: _value_at(run.values(quantity), -1)


def largest(quantity: str) -> Value:
    """The largest value of a quantity, NaN where there is none yet."""
    return at_largest(quantity, quantity)


def smallest(quantity: str) -> Value:
    """The smallest value of a quantity, NaN where there is none yet."""
    return at_smallest(quantity, quantity)


def at_largest(criterion: str, quantity: str) -> Value:
    """The value of a quantity in the row in which the criterion, of the same table, is largest for the first time. It
    is NaN where the criterion has no value yet."""
    return lambda run: _at_best(run, criterion, quantity, 1)


def at_smallest(criterion: str, quantity: str) -> Value:
    """The value of a quantity in the row in which the criterion, of the same table, is smallest for the first time. It
    is NaN where the criterion has no value yet."""
    return lambda run: _at_best(run, criterion, quantity, -1)


def _value_at(values: np.ndarray, row: int) -> float:
    """One of the values, or NaN where there is none."""
    return float(values[row]) if len(values) else float("nan")


def _at_best(run: Run, criterion: str, quantity: str, sign: int) -> float:
    """The value of the quantity where the criterion times the sign is largest."""
    judged, values = sign * run.values(criterion), run.values(quantity)
    if len(judged) != len(values):
        raise LogError(f"{run.path}: {criterion} and {quantity} have no rows in common")
    return float("nan") if np.all(np.isnan(judged)) else _value_at(values, int(np.nanargmax(judged)))


class RunTable:
    """A table with one row for each run. `columns` maps names to arrays, one value for each run: what pandas.DataFrame
    takes."""

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        """The number of runs."""
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        """A column. Raises KeyError with the names that there are."""
        if name not in self.columns:
            raise KeyError(f"no column {name} (there are: {', '.join(self.columns)})")
        return self.columns[name]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The runs one after another, each as its values by the names of the columns."""
        for values in zip(*self.columns.values()):
            yield dict(zip(self.columns, values))

    def by(self, *names: str) -> dict[Any, "RunTable"]:
        """The runs that agree in these columns, as a table for each of their values, in the order of the runs. The keys
        are the values of a single column, and tuples of the values of several; lists become tuples."""
        groups: dict[Any, list[int]] = {}
        for row, key in enumerate(zip(*(map(_hashable, self[name]) for name in names))):
            groups.setdefault(key[0] if len(names) == 1 else key, []).append(row)
        return {
            key: RunTable({name: values[rows] for name, values in self.columns.items()}) for key, rows in groups.items()
        }

    def __str__(self) -> str:
        """The table as aligned text, names first."""
        cells = [[name, *map(setting_text, values)] for name, values in self.columns.items()]
        widths = [max(map(len, column)) for column in cells]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in zip(*cells))
        return "\n".join(line.rstrip() for line in lines)


def read_runs(paths: Path | Iterable[Path], *settings: str, **values: Value) -> RunTable:
    """Reads many logs into one table: `path`, `experiment` and `status` of each run, the settings asked for by name, or
    else all in which the runs differ (None where a run does not have one), and a column for each keyword.

    paths   is a path or a pattern ("results/*.h5"; ** stands for any depth), or several of them; those of a pattern are
            sorted, and no log is read twice
    values  computes the columns: last("series/loss"), at_largest(criterion, quantity) and their like, or any function
            of a Run

    One run is in memory at a time. Raises LogError where there is no file, as read_run() does, and for a setting or a
    quantity that a run does not have.
    """
    configs, rows = [], []
    for path in _paths_of(paths):
        run = read_run(path)
        configs.append(run.settings)
        if missing := [name for name in settings if name not in configs[-1]]:
            there = ", ".join(configs[-1])
            raise LogError(f"{run.path}: no setting {', '.join(missing)} (there are: {there})")
        rows.append([run.path, run.experiment, run.status, *(value(run) for value in values.values())])
    path, experiment, status, *computed = map(list, zip(*rows))
    shown = settings or differing(configs)
    columns = [("path", path), ("experiment", experiment), ("status", status)]
    columns += [(name, [config.get(name) for config in configs]) for name in shown]
    columns += zip(values, computed)
    names = [name for name, _ in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"read_runs: given two columns called {', '.join(twice)}, expected a name for each")
    return RunTable({name: _column(column) for name, column in columns})


def _paths_of(paths: Path | Iterable[Path]) -> list[str]:
    """The paths that match, each once."""
    found: dict[str, str] = {}
    for pattern in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        pattern = os.fspath(pattern)
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise LogError(f"{pattern}: no such file")
        for path in matches:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _column(values: list[Any]) -> np.ndarray:
    """An array of numbers or of texts where all values are such, else one of objects."""
    kinds = {type(value) for value in values}
    if kinds <= {int, float, np.float64, np.int64} or kinds == {bool} or kinds == {str}:
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _hashable(value: Any) -> Any:
    """The value of a column as a key."""
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the settings in which the configurations differ, in the order of the first one's."""
    names = dict.fromkeys(name for config in configs for name in config)
    missing = object()
    return [
        name for name in names if any(config.get(name, missing) != configs[0].get(name, missing) for config in configs)
    ]


def setting_text(value: Any) -> str:
    """A value as one writes it for a flag: numbers shortly, a list with commas, yes and no for a switch."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(setting_text, value))
    return "none" if value is None or value == "" else str(value)


def run_labels(runs: Sequence[Run]) -> list[str]:
    """What tells runs apart, in a few words for each: the settings in which they differ, and the name of the log where
    these are not enough."""
    configs = [run.settings for run in runs]
    names = [name for name in differing(configs) if name not in WITHOUT_EFFECT]
    shown, left_out = names[:MOST_IN_LABEL], len(names[MOST_IN_LABEL:])
    rest = f" and {left_out} more" if left_out else ""
    labels = [", ".join(f"{name} {setting_text(config.get(name))}" for name in shown) + rest for config in configs]
    by_name, by_path = [base_name(run.path) for run in runs], [run.path for run in runs]
    for logs in (None, by_name, by_path):
        if logs is not None:
            told = [f"{log} ({label})" if label else log for log, label in zip(logs, labels)]
        else:
            told = labels
        if len(set(told)) == len(runs):
            break
    return told
