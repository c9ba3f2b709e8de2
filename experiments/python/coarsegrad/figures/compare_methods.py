"""Figures of `compare_methods`: what every method reaches at which bits, from one float net with one budget."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..logs import Run
from . import comparison as compared
from .comparison import CONTROL, net_on_data
from .style import BLUE, Style, figure, numbered_style

FAILED = "◀ failed: less than half of the best"
OTHERS = "other bits, one method each"
COLUMNS = 3


def _setting(weights: float, activations: float) -> str:
    """The bits of a cell in words, 2W4A; what is float is not named."""
    return "".join(f"{int(bits)}{what}" for bits, what in ((weights, "W"), (activations, "A")) if bits > 0)


def _settings(run: Run, table: str) -> np.ndarray:
    """The bits of each row of a table in words; "" for the float control."""
    return np.array([_setting(*bits) for bits in zip(*run.table(table, "weight_bits", "activation_bits"))])


def _style(name: str, index: int) -> Style:
    """The label, colour, marker and dashes of a method."""
    return name.replace("_", " "), *numbered_style(index)


KIND = compared.Kind("method", _settings, str, net_on_data, "bits of weights (W) and activations (A)", _style)


def _limits(percent: np.ndarray) -> tuple[float, float]:
    """Ends of an axis of accuracies on which failures do not flatten the rest."""
    top, low = np.nanmax(percent), np.nanpercentile(percent, 10, method="higher")
    floor = max(np.nanmin(percent) - 0.5, 2 * low - top)
    return floor, top + 0.05 * (top - floor)


def _questions(run: Run) -> dict[str, list[int]]:
    """The rows of the summary that answer one question: which method at these bits? Weights alone come first, fewer bits
    before more; bits that one method alone has are gathered behind them."""
    names, settings = run.names("summary", "method"), _settings(run, "summary")
    weights, activations = run.table("summary", "weight_bits", "activation_bits")
    order = sorted(np.flatnonzero(names != CONTROL), key=lambda row: (activations[row], weights[row]))
    questions: dict[str, list[int]] = {}
    for row in order:
        alone = np.sum(settings == settings[row]) == 1
        questions.setdefault(OTHERS if alone else settings[row], []).append(int(row))
    if OTHERS in questions:
        questions[OTHERS] = questions.pop(OTHERS)
    return questions


def _heading(setting: str) -> str:
    """What stands above a panel."""
    if setting == OTHERS:
        return OTHERS
    return (
        f"{setting}: weights only"
        if "A" not in setting
        else f"{setting}: activations too"
        if "W" in setting
        else (f"{setting}: activations only")
    )


def accuracy(run: Run) -> Figure:
    """Test accuracy of the methods, the best one on top, with one panel for each question; the float net beside them."""
    questions = _questions(run)
    mean, seeds = run.table("summary", "test_best_mean", "seeds")
    columns = min(COLUMNS, len(questions))
    lines = [list(questions.items())[at : at + columns] for at in range(0, len(questions), columns)]
    heights = [1.2 + max(len(rows) for _, rows in line) for line in lines]
    fig, axes = figure(
        columns=columns,
        rows=len(lines),
        squeeze=False,
        width=5.2 * columns,
        height=1.3 + 0.3 * sum(heights),
        gridspec_kw={"height_ratios": heights},
    )
    for ax in axes.flat[len(questions) :]:
        ax.set_visible(False)
    for ax, (setting, rows) in zip(axes.flat, questions.items()):
        _draw_question(ax, run, setting, sorted(rows, key=lambda row: (np.isnan(mean[row]), -mean[row])))
    handles = axes.flat[0].get_legend_handles_labels()
    fig.legend(*handles, ncol=2, loc="lower center", fontsize=9)
    bottom = 0.3 / fig.get_figheight()
    fig.get_layout_engine().set(rect=(0, bottom, 1, 1 - bottom))
    fig.suptitle(
        f"{net_on_data(run)}, {int(run.config['epochs'])} epochs from one float net; {compared.spread(seeds)}; "
        "test accuracy, best held-out epoch",
        fontsize=10.5,
    )
    return fig


def _draw_question(ax: Axes, run: Run, setting: str, rows: list[int]) -> None:
    """Draws the methods of one question, the first row on top."""
    names, settings = run.names("summary", "method"), _settings(run, "summary")
    (mean,) = run.table("summary", "test_best_mean")
    around = 100 * compared.half_widths(run, "test_best")
    percent = 100 * mean
    float_test, _ = compared.float_net(run)
    beside = percent[names == CONTROL]
    best = max((percent[row] for row in rows if np.isfinite(percent[row])), default=np.nan)
    failed = np.isnan(percent) | ((percent < best / 2) & (setting != OTHERS))
    shown = [row for row in rows if not failed[row]]
    ax.set_xlim(*_ends(percent[shown], np.nan_to_num(around[shown]), np.array([*beside, 100 * float_test])))
    compared.draw_float(ax, run, "method", "test_best", float_test, lambda share: 100 * share, across=True)
    for y, row in enumerate(reversed(rows)):
        if not failed[row]:
            bars = ax.errorbar(
                percent[row],
                y,
                xerr=around[row] if np.isfinite(around[row]) else None,
                color=BLUE,
                marker="o",
                markersize=5,
                capsize=3,
                linestyle="none",
            )
            bars.lines[0].set_gid(f"summary/test_best/{names[row]}/{settings[row]}")
        ax.text(1.02, y, _value(percent[row], around[row]), transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        if failed[row] and np.isfinite(percent[row]):
            ax.text(0.01, y, FAILED, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    labels = [names[row].replace("_", " ") + (f" {settings[row]}" if setting == OTHERS else "") for row in rows]
    ax.set_yticks(range(len(rows)), labels[::-1])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(axis="y", visible=False)
    ax.set_title(_heading(setting))
    ax.set_xlabel("test accuracy (%)")


def _ends(percent: np.ndarray, around: np.ndarray, beside: np.ndarray) -> tuple[float, float]:
    """Ends of an axis on which accuracies, their intervals and the float net are seen; wide intervals are cut off."""
    points = np.concatenate([percent, beside])
    if not np.isfinite(points).any():
        return 0, 100
    lowest, highest = np.nanmin(points), np.nanmax(points)
    margin = max(0.1, (highest - lowest) / 2)
    low = max(min(percent - around, default=lowest), lowest - margin)
    high = min(max(percent + around, default=highest), highest + margin)
    return max(0, min(low, lowest) - 0.1 * margin), min(100.5, max(high, highest) + 0.1 * margin)


def _value(percent: float, around: float) -> str:
    """A mean with half the width of its interval in words."""
    if np.isnan(percent):
        return "diverged"
    return f"{percent:.2f} ± {around:.2f}" if np.isfinite(around) else f"{percent:.2f}"


def search(run: Run) -> Figure | None:
    """The accuracies of every method at every rate, with one column for each bits."""
    return compared.search(run, KIND)


def cost(run: Run) -> Figure:
    """Images trained on in a second, and bytes of the deployed network, against the accuracy."""
    names = run.names("summary", "method")
    weights, activations, mean, speed, size = run.table(
        "summary", "weight_bits", "activation_bits", "test_best_mean", "images_per_second", "deployed_bytes"
    )
    methods = list(dict.fromkeys(names))
    fig, axes = figure(columns=2, height=5, sharey=True)
    fig.set_figwidth(12)
    for ax, values, label in (
        (axes[0], speed, "images trained on per second (1/s)"),
        (axes[1], size / 1024, "deployed network (KiB)"),
    ):
        for k, method in enumerate(methods):
            colour, marker, _ = numbered_style(k)
            rows = np.flatnonzero(names == method)
            order = rows[np.lexsort((activations[rows], weights[rows]))]
            (line,) = ax.plot(
                values[order],
                100 * mean[order],
                color=colour,
                marker=marker,
                linestyle="none",
                label=method.replace("_", " "),
            )
            line.set_gid(f"summary/{'speed' if ax is axes[0] else 'size'}/{method}")
        ax.set_xscale("log")
        ax.set_xlabel(label)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    axes[0].set_ylim(*_limits(100 * mean))
    axes[0].set_ylabel("test accuracy, best held-out epoch (%)")
    fig.suptitle(net_on_data(run), fontsize=10.5)
    return fig


FIGURES = {"accuracy": accuracy, "search": search, "cost": cost}
