"""Figures of `ste_cifar10`: a deep network with quantized activations, one estimator against the other, and where each
of them leads from a minimum that another one has found."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import Run
from . import comparison as compared
from .style import draw_line, estimator_style, figure, in_order

KIND = compared.by_bits(compared.net_on_data)


def comparison(run: Run) -> Figure:
    """The test error and the training loss of every variant."""
    return compared.bars(run, KIND)


def curves(run: Run) -> Figure:
    """The loss and the test error of every run over its epochs."""
    return compared.curves(run, KIND)


def instability(run: Run) -> Figure:
    """The losses and the test error of the training that goes on with each estimator at a tiny rate."""
    names = run.names("instability", "ste")
    bits, step = run.table("instability", "bits", "step")
    quantities = {
        "loss": "mean loss of the batches (1)",
        "train_loss": "loss of all training images (1)",
        "test_accuracy": "test error (%)",
    }
    fig, axes = figure(columns=3, width=13, height=3.8)
    for ax, (column, label) in zip(axes, quantities.items()):
        (values,) = run.table("instability", column)
        for name in in_order(dict.fromkeys(names)):
            rows = (names == name) & np.isfinite(values)
            shown = 100 * (1 - values[rows]) if column == "test_accuracy" else values[rows]
            style = estimator_style(name)
            points = {} if column == "loss" else {"marker": style[2], "markerfacecolor": "white"}
            draw_line(ax, step[rows], shown, style, f"instability/{column}/{name}", **points)
        ax.set_xlabel("step")
        ax.set_ylabel(label)
    axes[-1].legend(handlelength=3.2, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    start = estimator_style(run.config.get("instability-from", "?"))[0]
    rate = run.config.get("instability-lr")
    fig.suptitle(
        f"{compared.net_on_data(run)}, {compared.bits_heading(bits[0])}: from the minimum of {start}"
        + (f" on, learning rate {rate:g}" if rate is not None else " on"),
        fontsize=10.5,
    )
    return fig


FIGURES = {"comparison": comparison, "curves": curves, "instability": instability}
