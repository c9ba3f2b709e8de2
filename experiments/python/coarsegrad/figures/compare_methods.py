"""Figures of `compare_methods`: what every method reaches at which bits, from one float net with one budget."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..logs import Run
from ..summaries import CONTROL, float_net, half_widths, mean_in_words, settings_of
from . import comparison as compared
from .comparison import net_on_data
from .style import BLUE, GREY, Style, figure, numbered_style

FAILED = "◀ failed: less than half of the best"
OTHERS = "other bits, one method each"
COLUMNS = 3
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)  # ticks, in KiB


def _style(name: str, index: int) -> Style:
    """The label, colour, marker and dashes of a method."""
    return name.replace("_", " "), *numbered_style(index)


KIND = compared.Kind("method", settings_of, str, net_on_data, "bits of weights (W) and activations (A)", _style)


def _limits(percent: np.ndarray) -> tuple[float, float]:
    """Ends of an axis of accuracies on which failures do not flatten the rest."""
    top, low = np.nanmax(percent), np.nanpercentile(percent, 10, method="higher")
    floor = max(np.nanmin(percent) - 0.5, 2 * low - top)
    return floor, top + 0.05 * (top - floor)


def _questions(run: Run) -> dict[str, list[int]]:
    """The rows of the summary that answer one question: which method at these bits? Weights alone come first, fewer bits
    before more; bits that one method alone has are gathered behind them."""
    names, settings = run.names("summary", "method"), settings_of(run, "summary")
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
        else f"{setting}: weights and activations"
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
    fig.get_layout_engine().set(rect=(0, bottom, 1, 1 - bottom), w_pad=0.12)
    fig.suptitle(
        f"{net_on_data(run)}, {int(run.config['epochs'])} epochs from one float net; {compared.spread(seeds)}; "
        "test accuracy, best held-out epoch",
        fontsize=10.5,
    )
    return fig


def _draw_question(ax: Axes, run: Run, setting: str, rows: list[int]) -> None:
    """Draws the methods of one question, the first row on top."""
    names, settings = run.names("summary", "method"), settings_of(run, "summary")
    (mean,) = run.table("summary", "test_best_mean")
    around = 100 * half_widths(run, "test_best")
    percent = 100 * mean
    float_test, _ = float_net(run)
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
        ax.text(
            1.02,
            y,
            mean_in_words(percent[row], around[row]),
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
        if failed[row] and np.isfinite(percent[row]):
            ax.text(0.01, y, FAILED, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    labels = [names[row].replace("_", " ") + (f" {settings[row]}" if setting == OTHERS else "") for row in rows]
    ax.set_yticks(range(len(rows)), labels[::-1])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(axis="y", visible=False)
    ax.set_title(_heading(setting))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("test accuracy (%)")


def _ends(percent: np.ndarray, around: np.ndarray, beside: np.ndarray) -> tuple[float, float]:
    """Ends of an axis on which accuracies, their intervals and the float net are seen; wide intervals are cut off."""
    points = np.concatenate([percent, beside])
    if not np.isfinite(points).any():
        return 0, 100
    lowest, highest = np.nanmin(points), np.nanmax(points)
    margin = max(0.1, (highest - lowest) / 2, np.median(around) if len(around) else 0)
    low = max(min(percent - around, default=lowest), lowest - margin)
    high = min(max(percent + around, default=highest), highest + margin)
    return max(0, min(low, lowest) - 0.1 * margin), min(100.5, max(high, highest) + 0.1 * margin)


def search(run: Run) -> Figure | None:
    """The accuracies of every method at every rate, with one column for each bits."""
    return compared.search(run, KIND)


def cost(run: Run) -> Figure:
    """How fast each method trains, the fastest on top, and the accuracy that networks of a size reach."""
    timed = list(dict.fromkeys(run.names("summary", "method")[run.table("summary", "images_per_second")[0] > 0]))
    fig, (left, right) = figure(columns=2, width=14, height=1.8 + 0.24 * max(12, len(timed)))
    _draw_speeds(left, run, timed)
    _draw_sizes(right, run)
    fig.suptitle(net_on_data(run), fontsize=10.5)
    return fig


def _draw_speeds(ax: Axes, run: Run, methods: list[str]) -> None:
    """Draws the images/s of each method, one point with the range of its rounds for each of its bits."""
    names = run.names("summary", "method")
    speed, slowest, fastest = run.table("summary", "images_per_second", "slowest", "fastest")
    methods = sorted(methods, key=lambda method: np.nanmedian(speed[names == method]))
    for y, method in enumerate(methods):
        rows = np.flatnonzero((names == method) & (speed > 0))
        bars = ax.errorbar(
            speed[rows],
            y + np.linspace(-0.25, 0.25, len(rows) + 2)[1:-1],
            xerr=(speed[rows] - slowest[rows], fastest[rows] - speed[rows]),
            color=BLUE,
            marker="o",
            markersize=4,
            elinewidth=0.8,
            linestyle="none",
        )
        bars.lines[0].set_gid(f"summary/speed/{method}")
    ax.set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
    ax.set_ylim(-0.7, len(methods) - 0.3)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("images trained on per second (1/s), median and range of the rounds")
    ax.set_title("How fast does a method train?")


def _draw_sizes(ax: Axes, run: Run) -> None:
    """Draws the accuracy of every network over its size, and names those to which no smaller one comes up."""
    names, settings = run.names("summary", "method"), settings_of(run, "summary")
    mean, size = run.table("summary", "test_best_mean", "deployed_bytes")
    kib, percent = size / 1024, 100 * mean
    quantized = names != CONTROL
    for method in dict.fromkeys(names[quantized]):
        rows = np.flatnonzero(names == method)
        (line,) = ax.plot(kib[rows], percent[rows], color=GREY, marker="o", markersize=4, linestyle="none")
        line.set_gid(f"summary/size/{method}")
    front = _front(kib, np.where(quantized, percent, np.nan))
    (line,) = ax.plot(kib[front], percent[front], color=BLUE, marker="o", linestyle="none")
    line.set_gid("summary/size/front")
    said = [
        f"{kib[row]:.1f} KiB: {names[row].replace('_', ' ')} {settings[row]}, {percent[row]:.2f} %" for row in front
    ]
    said.insert(0, "No smaller network has\nas high a mean (blue):")
    ax.text(1.03, 1, "\n".join(said), transform=ax.transAxes, va="top", fontsize=9, linespacing=1.5)
    compared.draw_float(ax, run, "method", "test_best", float_net(run)[0], lambda share: 100 * share)
    ax.legend(loc="lower right", fontsize=9)
    ax.set_xscale("log")
    low, high = np.nanmin(kib[quantized]), np.nanmax(kib[quantized])
    ticks = [tick for tick in SIZES if low / 1.3 <= tick <= 1.3 * high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(low / 1.4, 1.4 * high)
    ax.set_ylim(*_limits(percent[quantized]))
    ax.set_xlabel("deployed network (KiB)")
    ax.set_ylabel("test accuracy, best held-out epoch (%)")
    ax.set_title("What does a network of a size reach?")


def _front(size: np.ndarray, percent: np.ndarray) -> list[int]:
    """The rows that no row of the same or a smaller size comes up to, from small to large."""
    front: list[int] = []
    for row in np.lexsort((-percent, size)):
        if np.isfinite(percent[row]) and (not front or percent[row] > percent[front[-1]]):
            front.append(int(row))
    return front


FIGURES = {"accuracy": accuracy, "search": search, "cost": cost}
