"""The figures: one module for each experiment, called like it, whose FIGURES maps names of figures to functions.

A function takes a Run and returns a matplotlib Figure, or None where the run left out what it shows. One that takes any
number of runs (`*runs`) also draws several of one experiment over each other.
"""
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from ..logs import LogError, Run

Figures = dict[str, Callable[..., Any]]

ANY = "*"
# One module for each experiment, with the tables (ANY stands for any name) and columns that tell its logs. An experiment
# that is not among them is drawn as the first one whose tables it has; any other log with series gets training curves.
EXPERIMENTS = {
    "coarse_gradient": {ANY: {"theta", "correlation", "correlation_mc", "correlation_se", "norm_mc", "loss_mc"}},
    "coarse_descent": {ANY: {"run", "step", "loss", "theta", "norm_w", "distance_v"}},
    "spurious_minimum": {ANY: {"rescaled", "step", "loss", "theta", "norm_w"}},
    "ste_cifar10": {"instability": {"ste", "bits", "step", "loss"}, "summary": {"ste", "bits", "test_best_mean"}},
    "mnist_ste": {"epochs": {"ste", "bits", "seed", "epoch"}, "summary": {"ste", "bits", "test_best_mean"}},
    "bcgd_cifar10": {"epochs": {"rule", "seed", "epoch"}, "summary": {"rule", "weight_bits", "activation_bits"}},
    "compare_methods": {"summary": {"method", "weight_bits", "activation_bits", "test_best_mean"}},
    "ste_diagnostics": {"diagnostics": {"ste", "bits", "layer", "epoch", "cosine_to_clipped"}},
    "gradient_variance": {"bits": {"quantizer", "bits", "exact", "measured", "measured_se"}},
    "binary_relax_regression": {"runs": {"rule", "best_loss"}, "path": {"rule", "step", "weight"}},
    "weight_histograms": {"histograms": {"method", "layer", "epoch", "centre"}, "sizes": {"method", "epoch"}},
    "power_of_two_error": {"by_ratio": {"weights", "bits", "mu_over_max"}, "exact": {"weights", "bits"}},
    "projection_jumps": {"jumps": {"network", "projection", "layer", "bits", "step", "jump"}},
    "train": {"epochs": {"epoch", "held_out_accuracy", "test_accuracy", "test_loss"}},
}


def figures_of(run: Run) -> Figures:
    """The figures of the experiment that wrote the log, or of one that logs the same tables. Raises LogError where there
    are none."""
    alike = [name for name, tables in EXPERIMENTS.items() if name == run.experiment or _has_tables(run, tables)]
    if alike:
        return _figures(run.experiment if run.experiment in alike else alike[0])
    if run.series:
        return _figures("training")
    raise LogError(f"{run.path}: no figures for experiment {run.experiment!r} (known: {', '.join(EXPERIMENTS)})")


def takes_several(figure: Callable[..., Any]) -> bool:
    """Does a figure draw several runs over each other?"""
    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(figure).parameters.values())


def _figures(module: str) -> Figures:
    """The figures of a module of this package."""
    return importlib.import_module(f"{__name__}.{module}").FIGURES


def _has_tables(run: Run, tables: dict[str, set[str]]) -> bool:
    """Does the log have a table with these columns for each of the names?"""
    return all(
        any(columns <= set(table) for other, table in run.tables.items() if name in (ANY, other))
        for name, columns in tables.items()
    )
