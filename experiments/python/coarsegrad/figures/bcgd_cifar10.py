"""Figures of `bcgd_cifar10`: blended coarse gradient descent against BinaryConnect, the same start and budget."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import Run
from . import comparison as compared
from .style import Style, cycle_style


def _bits(value: float, what: str) -> str:
    """What a tick says of the weights or of the activations, of which 0 bits are float ones."""
    return f"{int(value)}{what}" if value > 0 else f"float {what}"


def _groups(run: Run, table: str) -> np.ndarray:
    """The bits of the weights and of the activations in each row, as 1W4A."""
    weights, activations = run.table(table, "weight_bits", "activation_bits")
    return np.array([_bits(w, "W") + _bits(a, "A") for w, a in zip(weights, activations)])


def _style(rule: str, index: int) -> Style:
    """The label, colour, marker and dashes of a label of the column rule."""
    label, *rest = cycle_style(rule, index)
    if rule == "binary_connect":
        label = "BinaryConnect"
    elif rule.startswith("bcgd_"):
        label = f"BCGD, ρ = {float(rule.removeprefix('bcgd_')):g}"
    return label, *rest


KIND = compared.Kind("rule", _groups, str, compared.net_on_data, "bits of weights (W) and activations (A)", _style)


def comparison(run: Run) -> Figure:
    """The test error and the training loss of every variant."""
    return compared.bars(run, KIND)


def curves(run: Run) -> Figure:
    """The loss and the test error of every run over its epochs."""
    return compared.curves(run, KIND)


FIGURES = {"comparison": comparison, "curves": curves}
