"""Reads what CoarseGrad writes: run logs, one or many, tensor files and packed models. `python3 -m coarsegrad.plot`
draws figures.

What is offered here is loaded when it is first used: tensor files and packed models need numpy alone, run logs need
h5py as well, and the figures need matplotlib.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .logs import LogError, Run, read_run
    from .packed import PackedModel, read_packed_model
    from .runs import RunTable, at_largest, at_smallest, largest, last, read_runs, smallest
    from .tensor_file import TensorFile, TensorFileError, read_tensor_file, write_tensor_file

__version__ = "0.2.0"

_HOMES = {
    "logs": ("LogError", "Run", "read_run"),
    "packed": ("PackedModel", "read_packed_model"),
    "runs": ("RunTable", "at_largest", "at_smallest", "largest", "last", "read_runs", "smallest"),
    "tensor_file": ("TensorFile", "TensorFileError", "read_tensor_file", "write_tensor_file"),
}
__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str) -> Any:
    """Loads the module that an offered name lives in."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
