"""Figures of the experiments that compare variants of a training (tables `epochs`, `float_epochs`, `summary`): what
is drawn is the same, what tells the variants apart is a Kind."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..logs import LogError, Run
from .style import BLACK, Style, estimator_style, figure, in_order

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


def _gid(group: Any) -> str:
    """A group in the name of what is drawn."""
    return str(int(group)) if isinstance(group, (float, np.floating)) else str(group)


def bars(run: Run, kind: Kind) -> Figure:
    """Test error and training loss of every variant, with the standard deviation over seeds."""
    names, groups = run.names("summary", kind.key), kind.groups(run, "summary")
    (seeds,) = run.table("summary", "seeds")
    best, best_sd, loss, loss_sd = run.table(
        "summary", "test_best_mean", "test_best_sd", "train_loss_mean", "train_loss_sd"
    )
    float_test, float_loss = float_net(run)
    runs = int(max(seeds))
    variants, places = in_order(dict.fromkeys(names)), list(np.unique(groups))
    fig, (left, right) = figure(columns=2, height=4.2)
    panels = (
        (left, "test_best", 100 * (1 - best), 100 * best_sd, 100 * (1 - float_test)),
        (right, "train_loss", loss, loss_sd, float_loss),
    )
    for ax, quantity, mean, deviation, float_value in panels:
        for k, name in enumerate(variants):
            label, colour, _, _ = kind.style(name, k)
            rows = np.flatnonzero(names == name)
            x = np.array([places.index(g) for g in groups[rows]]) + (k - (len(variants) - 1) / 2) * 0.8 / len(variants)
            drawn = ax.bar(
                x,
                mean[rows],
                0.72 / len(variants),
                yerr=deviation[rows] if runs > 1 else None,
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
        if np.isfinite(float_value):
            ax.axhline(float_value, color=BLACK, linestyle=(0, (5, 2)), linewidth=1.2, label="float")
        ax.set_xticks(range(len(places)), [kind.heading(g) for g in places])
        ax.set_xlim(-0.8, len(places) - 0.2)
        ax.grid(axis="x", visible=False)
        ax.set_xlabel(kind.xlabel)
    left.set_ylabel("test error, best held-out epoch (%)")
    right.set_ylabel("training loss, last epoch (1)")
    spread = f"mean ± standard deviation over {runs} seeds" if runs > 1 else "one run each"
    fig.suptitle(f"{kind.title(run)}, {spread}", fontsize=10.5)
    left.set_ylim(top=1.3 * left.get_ylim()[1])
    left.legend(ncol=2, loc="upper left", handlelength=1.8)
    return fig


def float_net(run: Run) -> tuple[float, float]:
    """The float net's test accuracy in its best held-out epoch, and its training loss after the last one; NaN where
    there is no float net."""
    try:
        test, held_out, loss = run.table("float_epochs", "test_accuracy", "held_out_accuracy", "train_loss")
    except LogError:
        return np.nan, np.nan
    best = len(test) - 1 if np.all(np.isnan(held_out)) else np.nanargmax(held_out)
    return test[best], loss[-1]


def curves(run: Run, kind: Kind) -> Figure:
    """The loss that every run trains on, and its test error, over the epochs, with one column for each group."""
    names, groups = run.names("epochs", kind.key), kind.groups(run, "epochs")
    seed, epoch, loss, test = run.table("epochs", "seed", "epoch", "loss", "test_accuracy")
    float_test, _ = float_net(run)
    places = np.unique(groups)
    fig, axes = figure(columns=len(places), rows=2, sharex=True, sharey="row", squeeze=False, height=6.2)
    if len(places) == 1:
        fig.set_figwidth(6.4)
    for column, group in zip(axes.T, places):
        for k, name in enumerate(in_order(dict.fromkeys(names))):
            label, colour, marker, dashes = kind.style(name, k)
            for number in np.unique(seed):
                rows = (names == name) & (groups == group) & (seed == number)
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
            column[1].axhline(100 * (1 - float_test), color=BLACK, linestyle=(0, (5, 2)), linewidth=1, label="float")
        column[0].set_title(kind.heading(group))
        if np.nanmax(loss) > 4 * np.nanmin(loss):
            column[0].set_yscale("log")
        column[1].set_xlabel("epoch of the fine-tuning")
        column[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("mean loss of the batches (1)")
    axes[1][0].set_ylabel("test error (%)")
    axes[1][0].legend(handlelength=3)
    fig.suptitle(kind.title(run), fontsize=10.5)
    return fig
