"""Figures of `train`: one training, step by step and epoch by epoch, or several over each other."""
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..logs import Columns, LogError, Run
from ..runs import run_labels
from . import comparison as compared
from .style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Style,
    data_name,
    draw_line,
    figure,
    legend_entry,
    numbered_style,
)

PARTS: dict[str, Style] = {  # of the data
    "": ("batches, training mode", BLUE, "o", "-"),
    "train_": ("trained on", ORANGE, "v", (0, (3, 1, 1, 1))),
    "held_out_": ("held out", GREEN, "^", (0, (6, 1.5, 1.2, 1.5))),
    "test_": ("test", VERMILLION, "s", (0, (5, 1.5))),
}


def curves(*runs: Run) -> Figure:
    """Loss of the batches and learning rate over the steps, and losses and errors over the epochs."""
    fig, ((batches, losses), (rates, errors)) = figure(columns=2, rows=2, height=6.4)
    batches.set_ylabel("loss of the batch (1)")
    rates.set_ylabel("learning rate (1)")
    losses.set_ylabel("loss (1)")
    errors.set_ylabel("error (%)")
    for ax in (batches, rates):
        ax.set_xlabel("step")
    for ax in (losses, errors):
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw = _draw_one if len(runs) == 1 else _draw_several
    draw(runs, batches, rates, losses, errors)
    batches.set_yscale("log")
    trained = ", ".join(dict.fromkeys(map(compared.net_on_data, runs)))
    fig.suptitle(f"{trained}, {runs[0].status if len(runs) == 1 else f'{len(runs)} runs'}", fontsize=10.5)
    return fig


def _series(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values of a series. Raises LogError where there are none yet."""
    series = run.series.get(name)
    if series is None or len(series["step"]) == 0:
        raise LogError(f"{run.path}: no series {name} with values yet")
    return series["step"], series["value"]


def _running_mean(step: np.ndarray, loss: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The length of a window, and its centres and the means in it."""
    window = min(100, max(1, len(loss) // 10))
    mean = np.convolve(loss, np.full(window, 1 / window), mode="valid")
    return window, step[: len(mean)] + (window - 1) / 2, mean


def _draw_one(runs: tuple[Run], batches: Axes, rates: Axes, losses: Axes, errors: Axes) -> None:
    """Draws one run, whose parts differ by colour, marker and dashes, with a star where the held-out accuracy is best."""
    (run,) = runs
    step, loss = _series(run, "loss")
    (line,) = batches.plot(step, loss, color=GREY, alpha=0.45, linewidth=0.6, rasterized=True, label="each batch")
    line.set_gid("series/loss")
    window, centre, mean = _running_mean(step, loss)
    draw_line(batches, centre, mean, PARTS[""], "series/loss/mean", label=f"mean of {window} around it")
    batches.legend()
    step, rate = _series(run, "learning_rate")
    draw_line(rates, step, rate, PARTS[""], "series/learning_rate", label="")
    table = run.tables.get("epochs", {})
    if not len(table.get("epoch", ())):
        return
    _draw_epochs(table, losses, errors, PARTS, lambda name: f"epochs/{name}")
    held_out, test = table.get("held_out_accuracy"), table.get("test_accuracy")
    if held_out is not None and test is not None and np.any(np.isfinite(held_out)):
        best = np.nanargmax(held_out)
        place, error = table["epoch"][best], 100 * (1 - test[best])
        errors.plot(place, error, "*", color=VERMILLION, markersize=13, label=f"best held out: test {error:.2f} %")
    losses.legend(handlelength=3)
    errors.legend(handlelength=3)


def _draw_several(runs: tuple[Run, ...], batches: Axes, rates: Axes, losses: Axes, errors: Axes) -> None:
    """Draws several runs, which differ by colour and marker; their parts differ by dashes. A run that has not taken a
    step yet is in the legend alone. Raises LogError where none has."""
    if not any(map(_has_steps, runs)):
        raise LogError(f"{', '.join(run.path for run in runs)}: no series loss with values yet")
    handles = []
    for number, (run, label) in enumerate(zip(runs, run_labels(runs))):
        style = (label if _has_steps(run) else f"{label} (no step yet)", *numbered_style(number))
        handles.append(legend_entry(style))
        if not _has_steps(run):
            continue
        _, centre, mean = _running_mean(*_series(run, "loss"))
        draw_line(batches, centre, mean, style, data_name(runs, run, "series/loss/mean"))
        draw_line(rates, *_series(run, "learning_rate"), style, data_name(runs, run, "series/learning_rate"))
        table = run.tables.get("epochs", {})
        if len(table.get("epoch", ())):
            styles = {part: (*style[:3], dashes) for part, (_, _, _, dashes) in PARTS.items()}
            _draw_epochs(table, losses, errors, styles, lambda name: data_name(runs, run, f"epochs/{name}"))
    parts = [Line2D([], [], color=BLACK, linestyle=dashes, label=name) for name, _, _, dashes in PARTS.values()]
    errors.legend(handles=parts, handlelength=3.4)
    losses.legend(handles=handles, handlelength=3.4, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _has_steps(run: Run) -> bool:
    """Has the training taken a step?"""
    return "loss" in run.series and len(run.series["loss"]["step"]) > 0


def _draw_epochs(
    table: Columns, losses: Axes, errors: Axes, styles: dict[str, Style], gid: Callable[[str], str]
) -> None:
    """Draws what there is of the losses and accuracies of each part of the data."""
    epoch = table["epoch"]
    for part, style in styles.items():
        points = {"marker": style[2], "markersize": 4, "markerfacecolor": "white", "linewidth": 1.2}
        for ax, quantity in ((losses, "loss"), (errors, "accuracy")):
            values = table.get(part + quantity)
            if values is not None and np.any(np.isfinite(values)):
                rows = np.isfinite(values)
                shown = values[rows] if quantity == "loss" else 100 * (1 - values[rows])
                draw_line(ax, epoch[rows], shown, style, gid(part + quantity), **points)
    losses.set_yscale("log")


FIGURES = {"curves": curves}
