"""Figures of `binary_relax_regression`: least squares with quantized weights under BinaryConnect and BinaryRelax."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ..logs import Run
from .style import BLACK, BLUE, CYCLE, GREY, VERMILLION, draw_line, figure

STYLES = {
    "binary_connect": ("BinaryConnect", VERMILLION, "s", (0, (5, 1.5))),
    "binary_relax": ("BinaryRelax", BLUE, "o", "-"),
}


def _phase_two(run: Run) -> int:
    """The step that phase II begins with."""
    return run.config["steps"]


def _mark_phase_two(ax: Axes, run: Run) -> None:
    """A dotted line where phase II begins."""
    ax.axvline(_phase_two(run), color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)


def wins(run: Run) -> Figure:
    """One point for each problem: the lowest objective with BinaryConnect and with BinaryRelax."""
    names = run.names("runs", "rule")
    (best,) = run.table("runs", "best_loss")
    x, y = best[names == "binary_connect"], best[names == "binary_relax"]
    count = min(len(x), len(y))  # the last problem may be under way
    x, y = x[:count], y[:count]
    fig, ax = figure(width=5.4, height=5.0)
    (points,) = ax.plot(x, y, "o", color=BLUE, markerfacecolor="white", markersize=3.5, markeredgewidth=0.8)
    points.set_gid("runs/best_loss")
    ends = (0.9 * min(x.min(), y.min()), 1.1 * max(x.max(), y.max()))
    ax.plot(ends, ends, color=BLACK, linewidth=0.8, zorder=0)
    ax.set(xlim=ends, ylim=ends, xscale="log", yscale="log", aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("best $f$ of BinaryConnect in phase II (1)")
    ax.set_ylabel("best $f$ of BinaryRelax in phase II (1)")
    share = 100 * np.mean(y < x)
    ax.set_title(f"BinaryRelax is better in {share:.1f} % of {count} problems\nmeans {y.mean():.2f} and {x.mean():.2f}")
    return fig


def path(run: Run) -> Figure:
    """Float weights against the step, and as an image, with one row for each weight, what the gradient is taken at."""
    names = run.names("path", "rule")
    step, weight, value, used = run.table("path", "step", "weight", "value", "used")
    fig, axes = figure(columns=2, rows=2, width=12, height=7, sharex=True)
    largest = np.max(np.abs(used))
    for (left, right), rule in zip(axes, STYLES):
        rows = names == rule
        first = value[rows & (step == 0)]
        for number in np.unique(weight):
            mine = rows & (weight == number)
            (curve,) = left.plot(step[mine], value[mine], color=CYCLE[int(number) % len(CYCLE)], linewidth=0.8)
            curve.set_gid(f"path/{rule}/value/{int(number)}")
        steps = np.unique(step[rows])
        grid = np.full((len(first), len(steps)), np.nan)
        grid[weight[rows].astype(int), np.searchsorted(steps, step[rows])] = used[rows]
        mesh = right.imshow(
            grid[np.argsort(first)],
            extent=(steps[0] - 0.5, steps[-1] + 0.5, -0.5, len(first) - 0.5),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="viridis",
            vmin=-largest,
            vmax=largest,
        )
        mesh.set_gid(f"path/{rule}/used")
        right.grid(visible=False)
        right.set_ylabel("weight, by its first value")
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_yscale("symlog", linthresh=0.5)
        left.set_ylabel(f"{STYLES[rule][0]}: float weight $w$ (1)")
        for ax in (left, right):
            _mark_phase_two(ax, run)
    axes[1][0].sharey(axes[0][0])
    fig.colorbar(mesh, ax=list(axes[:, 1]), aspect=30, pad=0.01).set_label(
        "weight $x$ that the gradient is taken at (1)"
    )
    for ax in axes[-1]:
        ax.set_xlabel("step (phase II from the dotted line on)")
    return fig


def descent(run: Run) -> Figure:
    """The objective at the weights in use and at the quantized ones, and lambda."""
    names = run.names("descent", "rule")
    step, strength, used, quantized = run.table("descent", "step", "lambda", "loss_used", "loss_quantized")
    fig, axes = figure(columns=3, width=13, height=3.9)
    for rule, style in STYLES.items():
        rows = names == rule
        draw_line(axes[0], step[rows], used[rows], style, f"descent/{rule}/loss_used", linewidth=1.1)
        draw_line(axes[1], step[rows], quantized[rows], style, f"descent/{rule}/loss_quantized", linewidth=0.9)
    rows = (names == "binary_relax") & np.isfinite(strength)
    draw_line(axes[2], step[rows], strength[rows], STYLES["binary_relax"], "descent/binary_relax/lambda")
    for ax, label in zip(axes, ("$f$ of the weights in use (1)", "$f$ of the quantized weights (1)", r"$\lambda$ (1)")):
        ax.set(xlabel="step", ylabel=label, yscale="log")
        _mark_phase_two(ax, run)
    axes[1].sharey(axes[0])
    axes[0].legend()
    return fig


FIGURES = {"wins": wins, "path": path, "descent": descent}
