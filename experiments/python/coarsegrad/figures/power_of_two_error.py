"""Figures of `power_of_two_error`: what weights lose to powers of two, over the one parameter of the thresholds."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import Run
from .style import BLUE, DASHES, GREEN, GREY, MARKERS, PURPLE, VERMILLION, figure

COLOURS = (VERMILLION, BLUE, GREEN, PURPLE)
DEFAULT = 0.75  # of mu / max|w|
TITLES = {"gaussian": "Gaussian", "laplace": "Laplace", "uniform": "uniform", "network": "network's"}


def _panels(run: Run) -> dict[str, dict[int, tuple]]:
    """Maps each source of weights and each number of bits to mu / max, errors, zeros, exact error and exact zeros."""
    names, exact_names = run.names("by_ratio", "weights"), run.names("exact", "weights")
    bits, ratio, error, zeros = run.table("by_ratio", "bits", "mu_over_max", "error", "zeros")
    exact_bits, exact_error, exact_zeros = run.table("exact", "bits", "error", "zeros")
    panels = {}
    for name, b, e, z in zip(exact_names, exact_bits, exact_error, exact_zeros):
        rows = (names == name) & (bits == b)
        panels.setdefault(name, {})[int(b)] = (ratio[rows], error[rows], zeros[rows], e, z)
    return panels


def error_and_zeros(run: Run) -> Figure:
    """Relative error and share of zeros over mu / max (lines), beside those of the exact minimum (at the right)."""
    panels = _panels(run)
    fig, axes = figure(
        columns=len(panels), rows=2, width=3.9 * len(panels), height=6.6, sharex=True, sharey="row", squeeze=False
    )
    for column, (name, by_bits) in zip(axes.T, panels.items()):
        for index, (bits, (ratio, error, zeros, exact_error, exact_zeros)) in enumerate(sorted(by_bits.items())):
            colour, dashes, marker = COLOURS[index % 4], DASHES[index % len(DASHES)], MARKERS[index % len(MARKERS)]
            right = ratio.max() + 0.04 * np.ptp(ratio) * (1 + index)
            quantities = (("error", error, exact_error), ("zeros", zeros, exact_zeros))
            for ax, (quantity, values, exact) in zip(column, quantities):
                (line,) = ax.plot(ratio, values, color=colour, linestyle=dashes, label=f"{bits} bits")
                line.set_gid(f"{name}/{bits}/{quantity}")
                (point,) = ax.plot([right], [exact], marker, color=colour, markerfacecolor="white", zorder=4)
                point.set_gid(f"{name}/{bits}/exact_{quantity}")
                ax.axhline(exact, color=colour, linewidth=0.7, alpha=0.35, zorder=1)
        for ax in column:
            ax.axvline(DEFAULT, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
        column[0].set_title(f"{TITLES.get(name, name)} weights")
        column[0].set_yscale("log")
        column[1].set_xlabel(r"$\mu\,/\,\max|w|$ (1)")
    axes[0][0].set_ylabel(r"relative error $\|2^sQ-w\|^2/\|w\|^2$ (1)")
    axes[1][0].set_ylabel("share of zeros (1)")
    axes[0][0].set_yticks([0.03, 0.05, 0.1, 0.2, 0.5, 1], ["0.03", "0.05", "0.1", "0.2", "0.5", "1"])
    axes[0][0].minorticks_off()
    room = axes[1][list(panels).index("uniform")]  # where there is room
    room.plot([], [], "o", color=GREY, markerfacecolor="white", label="exact minimum over all scales")
    room.plot([], [], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), label="0.75, the default")
    room.legend(loc="upper left", handlelength=3.4, frameon=True, framealpha=1, edgecolor="none")
    return fig


FIGURES = {"error_and_zeros": error_and_zeros}
