"""Figures of `bcgd_cifar10`: blended coarse gradient descent against BinaryConnect, the same start and budget."""
import numpy as np

import comparison as compared
from style import cycle_style


def _bits(value, what):
    return f"{int(value)}{what}" if value > 0 else f"float {what}"


def _groups(run, table):
    """1W4A for each row: bits of the weights and of the activations."""
    weights, activations = run.table(table, "weight_bits", "activation_bits")
    return np.array([_bits(w, "W") + _bits(a, "A") for w, a in zip(weights, activations)])


def _style(rule, index):
    label, *rest = cycle_style(rule, index)
    if rule == "binary_connect":
        label = "BinaryConnect"
    elif rule.startswith("bcgd_"):
        label = f"BCGD, ρ = {float(rule.removeprefix('bcgd_')):g}"
    return label, *rest


KIND = compared.Kind("rule", _groups, str, compared.net_on_data, "bits of weights (W) and activations (A)", _style)


def comparison(run):
    return compared.bars(run, KIND)


def curves(run):
    return compared.curves(run, KIND)


FIGURES = {"comparison": comparison, "curves": curves}
