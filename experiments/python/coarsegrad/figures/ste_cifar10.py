"""Figures of `ste_cifar10`: a deep network with quantized activations, one estimator against the other, at which rates,
and where each of them leads from a minimum that another one has found."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..logs import Run
from ..statistics import mean_and_half_width
from . import comparison as compared
from .style import BLACK, Style, draw_line, estimator_style, figure, in_order

KIND = compared.by_bits(compared.net_on_data)
EQUAL_LENGTH = "_equal_length"  # behind the name of the estimator in that of its control
LEAST_SPAN = 2.0  # points of test error; 10,000 images tell 0.6 apart
QUANTITIES = {
    "loss": "mean loss of the batches (1)",
    "train_loss": "loss of all training images (1)",
    "test_accuracy": "test error (%)",
}


def comparison(run: Run) -> Figure:
    """The test error and the training loss of every variant."""
    return compared.bars(run, KIND)


def curves(run: Run) -> Figure:
    """The loss and the test error of every run over its epochs."""
    return compared.curves(run, KIND)


def search(run: Run) -> Figure | None:
    """The accuracies of every estimator at every rate, with one column for each number of bits."""
    return compared.search(run, KIND)


def instability(run: Run) -> Figure | None:
    """The losses and the test error of the training that goes on with each estimator at a tiny rate, and with the control
    whose steps are as long as the identity's; one column for each number of bits. None for a run without it."""
    if run.config.get("instability") == 0:
        return None
    names = run.names("instability", "ste")
    (bits,) = run.table("instability", "bits")
    seed, rate = (_setting_of_each(run, column, key) for column, key in (("seed", "seed"), ("lr", "instability-lr")))
    control = np.array([name.endswith(EQUAL_LENGTH) for name in names])
    places = np.unique(bits)
    fig, axes = figure(
        columns=len(places), rows=3, sharex=True, sharey="row", squeeze=False, height=8.4, width=3.2 + 4 * len(places)
    )
    for column, place in zip(axes.T, places):
        for ax, quantity in zip(column, QUANTITIES):
            for name in in_order(dict.fromkeys(names)):
                rows = (names == name) & (bits == place)
                if rows.any():
                    _draw_over_seeds(ax, run, quantity, rows, seed, _style(name), f"{quantity}/{name}/{int(place)}")
        as_long = "".join(
            f"; steps as long at rate {value:.2g}" for value in np.unique(rate[control & (bits == place)])
        )
        column[0].set_title(compared.bits_heading(place) + as_long)
        column[-1].set_xlabel("step")
        _widen(column[-1], LEAST_SPAN)
    for ax, label in zip(axes[:, 0], QUANTITIES.values()):
        ax.set_ylabel(label)
    axes[0][-1].legend(handlelength=3.2, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    start = estimator_style(run.config.get("instability-from", "?"))[0]
    runs = len(np.unique(seed))
    fig.suptitle(
        f"{compared.net_on_data(run)}: from the minimum of {start} on, learning rate {rate[~control][0]:g}\n"
        + compared.spread(np.array([runs]))
        + ("" if control.any() else "; no control with steps as long"),
        fontsize=10.5,
    )
    return fig


def _setting_of_each(run: Run, column: str, key: str) -> np.ndarray:
    """A column of the table `instability`; the setting of all rows in a log of one seed and one rate, without it."""
    rows = run.tables["instability"]
    return rows[column] if column in rows else np.full(len(rows["step"]), float(run.config[key]))


def _widen(ax: Axes, span: float) -> None:
    """Makes the y axis at least as wide as this, so that what is small looks small."""
    low, high = ax.get_ylim()
    missing = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - missing, high + missing)


def _style(name: str) -> Style:
    """The label, colour, marker and dashes of an estimator, or of the control of one."""
    if not name.endswith(EQUAL_LENGTH):
        return estimator_style(name)
    return f"{estimator_style(name.removesuffix(EQUAL_LENGTH))[0]}, steps as long", BLACK, "X", (0, (1, 1))


def _draw_over_seeds(
    ax: Axes, run: Run, quantity: str, rows: np.ndarray, seed: np.ndarray, style: Style, gid: str
) -> None:
    """Draws the mean of a quantity over the seeds against the steps that all seeds have, and its interval as a band."""
    step, values = run.table("instability", "step", quantity)
    shown = compared.error_percent(values) if quantity == "test_accuracy" else values
    of_seeds = [
        dict(
            zip(
                step[rows & (seed == number) & np.isfinite(values)],
                shown[rows & (seed == number) & np.isfinite(values)],
            )
        )
        for number in np.unique(seed[rows])
    ]
    steps = np.array(sorted(set.intersection(*(set(of_seed) for of_seed in of_seeds))))
    mean, around = mean_and_half_width(np.array([[of_seed[at] for at in steps] for of_seed in of_seeds]))
    points = {} if quantity == "loss" else {"marker": style[2], "markerfacecolor": "white"}
    draw_line(ax, steps, mean, style, f"instability/{gid}", **points)
    if np.isfinite(around).any():
        ax.fill_between(steps, mean - around, mean + around, color=style[1], alpha=0.18, linewidth=0)


FIGURES = {"comparison": comparison, "curves": curves, "search": search, "instability": instability}
