"""Figures of `train`: one training, step by step and epoch by epoch."""
import numpy as np
from matplotlib.ticker import MaxNLocator

import comparison as compared
from reader import LogError
from style import BLUE, GREEN, GREY, ORANGE, VERMILLION, draw_line, figure

PARTS = {  # of the data: label, colour, marker, dashes
    "": ("batches, training mode", BLUE, "o", "-"),
    "train_": ("trained on", ORANGE, "v", (0, (3, 1, 1, 1))),
    "held_out_": ("held out", GREEN, "^", (0, (6, 1.5, 1.2, 1.5))),
    "test_": ("test", VERMILLION, "s", (0, (5, 1.5))),
}


def _series(run, name):
    series = run.series.get(name)
    if series is None or len(series["step"]) == 0:
        raise LogError(f"{run.path}: no series {name} with values yet")
    return series["step"], series["value"]


def curves(run):
    """Loss of the batches and learning rate over the steps; losses and errors over the epochs."""
    fig, ((batches, losses), (rates, errors)) = figure(columns=2, rows=2, height=6.4)
    step, loss = _series(run, "loss")
    (line,) = batches.plot(step, loss, color=GREY, alpha=0.45, linewidth=0.6, rasterized=True, label="each batch")
    line.set_gid("series/loss")
    window = min(100, max(1, len(loss) // 10))
    mean = np.convolve(loss, np.full(window, 1 / window), mode="valid")
    centre = step[: len(mean)] + (window - 1) / 2
    draw_line(batches, centre, mean, PARTS[""], "series/loss/mean", label=f"mean of {window} around it")
    batches.set_yscale("log")
    batches.set_ylabel("loss of the batch (1)")
    step, rate = _series(run, "learning_rate")
    draw_line(rates, step, rate, PARTS[""], "series/learning_rate", label="")
    rates.set_ylabel("learning rate (1)")
    for ax in (batches, rates):
        ax.set_xlabel("step")
    if "epochs" in run.tables and len(run.tables["epochs"]["epoch"]):
        _draw_epochs(run.tables["epochs"], losses, errors)
    for ax, label in ((losses, "loss (1)"), (errors, "error (%)")):
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    batches.legend()
    fig.suptitle(f"{compared.net_on_data(run)}, {run.status}", fontsize=10.5)
    return fig


def _draw_epochs(table, losses, errors):
    """What there is of the losses and accuracies; a star where the held-out accuracy is best."""
    epoch = table["epoch"]
    for part, style in PARTS.items():
        loss, accuracy = table.get(f"{part}loss"), table.get(f"{part}accuracy")
        points = {"marker": style[2], "markersize": 4, "markerfacecolor": "white", "linewidth": 1.2}
        if loss is not None and np.any(np.isfinite(loss)):
            rows = np.isfinite(loss)
            draw_line(losses, epoch[rows], loss[rows], style, f"epochs/{part}loss", **points)
        if accuracy is not None and np.any(np.isfinite(accuracy)):
            rows = np.isfinite(accuracy)
            draw_line(errors, epoch[rows], 100 * (1 - accuracy[rows]), style, f"epochs/{part}accuracy", **points)
    held_out, test = table.get("held_out_accuracy"), table.get("test_accuracy")
    if held_out is not None and test is not None and np.any(np.isfinite(held_out)):
        best = np.nanargmax(held_out)
        place, error = epoch[best], 100 * (1 - test[best])
        errors.plot(place, error, "*", color=VERMILLION, markersize=13, label=f"best held out: test {error:.2f} %")
    losses.set_yscale("log")
    losses.legend(handlelength=3)
    errors.legend(handlelength=3)


FIGURES = {"curves": curves}
