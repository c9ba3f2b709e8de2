"""Figures of the experiments that compare variants of a training (tables `epochs`, `float_epochs`, `summary`): what
is drawn is the same, what tells the variants apart is a Kind."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ..logs import Run
from ..summaries import CONTROL, float_net, half_widths
from .style import BLACK, GREY, Style, estimator_style, figure, in_order

CONTROL_STYLE = ("float, trained on as long", BLACK, "X", "-")
START_ALONE = "float start, no control"
START_DASHES = (0, (5, 2))
Shown = Callable[[Any], Any]  # makes what an axis shows of what a log holds
HATCHES = ("//", "", "..", "xx", "\\\\", "++", "oo", "**", "--", "||", "OO")


@dataclass
class Kind:
    """What tells the variants of a comparison apart.

    key      names a column with labels: the variants, each of which has a colour
    groups   gives for each row of a table the number or text that gathers variants side by side
    heading  says what stands above the panel of a group, or below its bars
    title    says what was trained on what
    xlabel   says what the groups are
    style    gives the label, colour, marker and dashes of a variant, for its name and its number
    """

    key: str
    groups: Callable[[Run, str], np.ndarray]
    heading: Callable[[Any], str]
    title: Callable[[Run], str]
    xlabel: str
    style: Callable[[str, int], Style]


def bits_heading(bits: float) -> str:
    """A number of bits in words."""
    return f"{int(bits)} bit{'s' if bits > 1 else ''}"


NAMES = {
    "vgg11": "VGG-11",
    "vgg16": "VGG-16",
    "resnet20": "ResNet-20",
    "resnet32": "ResNet-32",
    "resnet56": "ResNet-56",
    "preresnet20": "pre-activation ResNet-20",
    "preresnet56": "pre-activation ResNet-56",
    "lenet5": "LeNet-5",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}


def net_on_data(run: Run) -> str:
    """What the settings say is trained on what: ResNet-20 on CIFAR-10, or ResNet-20 of width 4 on CIFAR-10."""
    net, data = (run.config.get(name, "?") for name in ("net", "dataset"))
    width = run.config.get("width", 0)
    return f"{NAMES.get(net, net)}{f' of width {width}' if width else ''} on {NAMES.get(data, data)}"


def by_bits(title: Callable[[Run], str]) -> Kind:
    """The kind of an experiment that compares estimators at several numbers of bits."""

    def bits(run: Run, table: str) -> np.ndarray:
        return run.table(table, "bits")[0]

    return Kind("ste", bits, bits_heading, title, "activations", lambda name, _: estimator_style(name))


def error_percent(accuracy: np.ndarray) -> np.ndarray:
    """The error of a share right, in percent."""
    return 100 * (1 - accuracy)


def _gid(group: Any) -> str:
    """A group in the name of what is drawn."""
    return str(int(group)) if isinstance(group, (float, np.floating)) else str(group)


def spread(seeds: np.ndarray) -> str:
    """What a figure says of its intervals, for the numbers of runs of its variants."""
    least, most = int(min(seeds)), int(max(seeds))
    if most == 1:
        return "one run each (n = 1), no interval"
    return f"mean, 95 % interval (t), n = {most if least == most else f'{least} to {most}'}"


def draw_float(ax: Axes, run: Run, key: str, quantity: str, start: float, shown: Shown, across: bool = False) -> None:
    """Draws the float net that all start from as a dashed line, and the float control, where there is one, as a line with
    its interval; across the height of the axes where the quantity is on the x axis."""
    line, band = (ax.axvline, ax.axvspan) if across else (ax.axhline, ax.axhspan)
    rows = np.flatnonzero(run.names("summary", key) == CONTROL)
    if np.isfinite(start):
        label = "float start" if len(rows) else START_ALONE
        line(shown(start), color=BLACK, linestyle=START_DASHES, linewidth=1.2, label=label)
    if len(rows) == 0:
        return
    (mean,) = run.table("summary", f"{quantity}_mean")
    around = half_widths(run, quantity)[rows[0]]
    drawn = line(shown(mean[rows[0]]), color=BLACK, linewidth=1.2, label="float, trained on as long")
    drawn.set_gid(f"summary/{quantity}/{CONTROL}")
    if np.isfinite(around):
        ends = sorted((shown(mean[rows[0]] - around), shown(mean[rows[0]] + around)))
        band(*ends, color=GREY, alpha=0.3, linewidth=0, zorder=0)


def bars(run: Run, kind: Kind) -> Figure:
    """Test error and training loss of every variant, with intervals over seeds."""
    names = run.names("summary", kind.key)
    variant = names != CONTROL
    names, groups = names[variant], kind.groups(run, "summary")[variant]
    seeds, best, loss = (
        column[variant] for column in run.table("summary", "seeds", "test_best_mean", "train_loss_mean")
    )
    float_test, float_loss = float_net(run)
    variants, places = in_order(dict.fromkeys(names)), list(np.unique(groups))
    fig, (left, right) = figure(columns=2, height=4.2)
    panels = (
        (left, "test_best", error_percent, best, 100, float_test),
        (right, "train_loss", lambda loss: loss, loss, 1, float_loss),
    )
    for ax, quantity, shown, mean, unit, float_value in panels:
        around = unit * half_widths(run, quantity)[variant]
        for k, name in enumerate(variants):
            label, colour, _, _ = kind.style(name, k)
            rows = np.flatnonzero(names == name)
            x = np.array([places.index(g) for g in groups[rows]]) + (k - (len(variants) - 1) / 2) * 0.8 / len(variants)
            drawn = ax.bar(
                x,
                shown(mean[rows]),
                0.72 / len(variants),
                yerr=around[rows] if max(seeds) > 1 else None,
                color=colour,
                alpha=0.85,
                hatch=HATCHES[k % len(HATCHES)],
                edgecolor=BLACK,
                linewidth=0.8,
                capsize=4,
                label=label,
            )
            for bar, row in zip(drawn, rows):
                bar.set_gid(f"summary/{quantity}/{name}/{_gid(groups[row])}")
            for place in x[~np.isfinite(mean[rows])]:
                ax.text(place, 0, " diverged", rotation=90, ha="center", va="bottom", fontsize=8.5)
        draw_float(ax, run, kind.key, quantity, float_value, shown)
        ax.set_xticks(range(len(places)), [kind.heading(g) for g in places])
        ax.set_xlim(-0.8, len(places) - 0.2)
        ax.grid(axis="x", visible=False)
        ax.set_xlabel(kind.xlabel)
    left.set_ylabel("test error, best held-out epoch (%)")
    right.set_ylabel("training loss, last epoch (1)")
    fig.suptitle(f"{kind.title(run)}; {spread(seeds)}", fontsize=10.5)
    left.set_ylim(top=1.4 * left.get_ylim()[1])
    left.legend(ncol=2, loc="upper left", handlelength=1.8)
    return fig


def curves(run: Run, kind: Kind) -> Figure:
    """The loss that every run trains on, and its test error, over the epochs, with one column for each group. The float
    control is in every column."""
    names, groups = run.names("epochs", kind.key), kind.groups(run, "epochs")
    seed, epoch, loss, test = run.table("epochs", "seed", "epoch", "loss", "test_accuracy")
    float_test, _ = float_net(run)
    variants = [(name, kind.style(name, k)) for k, name in enumerate(in_order(set(names) - {CONTROL}))]
    if CONTROL in names:
        variants.append((CONTROL, CONTROL_STYLE))
    places = np.unique(groups[names != CONTROL])
    fig, axes = figure(columns=len(places), rows=2, sharex=True, sharey="row", squeeze=False, height=6.2)
    if len(places) == 1:
        fig.set_figwidth(6.4)
    for column, group in zip(axes.T, places):
        for name, (label, colour, marker, dashes) in variants:
            for number in np.unique(seed):
                rows = (names == name) & ((groups == group) | (name == CONTROL)) & (seed == number)
                for ax, values, quantity in ((column[0], loss, "loss"), (column[1], 100 * (1 - test), "test")):
                    (line,) = ax.plot(
                        epoch[rows],
                        values[rows],
                        color=colour,
                        linestyle=dashes,
                        marker=marker,
                        markersize=4,
                        markerfacecolor="white",
                        linewidth=1.1,
                        label=label if number == seed[0] else None,
                    )
                    line.set_gid(f"epochs/{quantity}/{name}/{_gid(group)}/{int(number)}")
        if np.isfinite(float_test):
            column[1].axhline(
                100 * (1 - float_test), color=BLACK, linestyle=START_DASHES, linewidth=1, label="float start"
            )
        column[0].set_title(kind.heading(group))
        if np.nanmax(loss) > 4 * np.nanmin(loss):
            column[0].set_yscale("log")
            column[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            column[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            column[0].yaxis.set_minor_formatter(NullFormatter())
        column[1].set_xlabel("epoch of the fine-tuning")
        column[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("mean loss of the batches (1)")
    axes[1][0].set_ylabel("test error (%)")
    axes[1][0].legend(handlelength=3)
    fig.suptitle(kind.title(run), fontsize=10.5)
    return fig


def search(run: Run, kind: Kind) -> Figure | None:
    """The accuracies in the search of a rate for each variant over the rates, with one column for each group: the best
    weight decay at each rate as a line, all others as points, what was chosen in a ring. None for a run without a
    search."""
    if "search" not in run.tables:
        return None
    names, groups = run.names("search", kind.key), kind.groups(run, "search")
    rate, decay, held_out, test, chosen = run.table(
        "search", "lr", "weight_decay", "held_out_accuracy", "test_accuracy", "chosen"
    )
    variants = [(name, kind.style(name, k)) for k, name in enumerate(in_order(dict.fromkeys(names[names != CONTROL])))]
    if CONTROL in names:
        variants.append((CONTROL, CONTROL_STYLE))
    places = list(dict.fromkeys(groups[names != CONTROL]))
    fig, axes = figure(
        columns=len(places), rows=2, sharex=True, sharey="row", squeeze=False, height=6.6, width=2.2 + 3.4 * len(places)
    )
    for column, group in zip(axes.T, places):
        for name, (label, colour, marker, dashes) in variants:
            here = np.flatnonzero((names == name) & ((groups == group) | (name == CONTROL)))
            if len(here) == 0:
                continue
            best = _best_at_each(rate[here], held_out[here])
            for ax, values, quantity in zip(column, (held_out, test), ("held_out", "test")):
                percent = 100 * values[here]
                (line,) = ax.plot(rate[here][best], percent[best], color=colour, linestyle=dashes, label=label)
                line.set_gid(f"search/{quantity}/{name}/{_gid(group)}")
                ax.plot(rate[here], percent, color=colour, marker=marker, markersize=4, linestyle="none")
                ring = np.flatnonzero(chosen[here] == 1)
                ax.plot(
                    rate[here][ring],
                    percent[ring],
                    color=colour,
                    marker="o",
                    markersize=11,
                    fillstyle="none",
                    linestyle="none",
                )
                lost = rate[here][~np.isfinite(percent)]
                ax.plot(
                    lost,
                    np.full(len(lost), 0.02),
                    color=colour,
                    marker="x",
                    linestyle="none",
                    transform=ax.get_xaxis_transform(),
                )
        column[0].set_title(kind.heading(group))
        column[0].set_xscale("log")
        column[0].set_xticks(np.unique(rate), [f"{value:g}" for value in np.unique(rate)])
        column[0].minorticks_off()
        column[1].set_xlabel("largest learning rate (1)")
    axes[0][0].set_ylabel("held-out accuracy (%)")
    axes[1][0].set_ylabel("test accuracy (%)")
    entries = {label: line for ax in axes[0] for line, label in zip(*ax.get_legend_handles_labels())}
    axes[0][-1].legend(entries.values(), entries.keys(), handlelength=3, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    decays = f", the best of {len(np.unique(decay))} weight decays" if len(np.unique(decay)) > 1 else ""
    fig.suptitle(
        f"{kind.title(run)}, search by {run.config.get('search-epochs', '?')} epochs, one run each (n = 1){decays}\n"
        "ring: chosen, by held-out images; x: diverged",
        fontsize=10.5,
    )
    return fig


def _best_at_each(rate: np.ndarray, held_out: np.ndarray) -> list[int]:
    """For each rate, in ascending order, the place of its best held-out accuracy; rates without one are left out."""
    best = []
    for value in np.unique(rate):
        there = np.flatnonzero((rate == value) & np.isfinite(held_out))
        if len(there):
            best.append(int(there[np.argmax(held_out[there])]))
    return best
