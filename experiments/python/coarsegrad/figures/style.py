"""How every figure looks: each estimator has one colour, marker and dash pattern, and all is legible without colours."""
import functools
import itertools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..logs import Run

Style = tuple[str, str, str, Any]  # label, colour, marker, dashes

logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on the dates inside the fonts that it embeds

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#7F7F7F",
)

# Colours of Okabe and Ito; lines differ by dashes and points by markers as well, so that colour is never needed.
ESTIMATORS = {
    "identity": ("identity", VERMILLION, "s", (0, (5, 1.5))),
    "relu": ("ReLU", BLUE, "o", "-"),
    "clipped_relu": ("clipped ReLU", GREEN, "^", (0, (6, 1.5, 1.2, 1.5))),
    "tanh": ("tanh", PURPLE, "D", (0, (1.2, 1.2))),
    "sigmoid": ("sigmoid", ORANGE, "v", (0, (3, 1, 1, 1, 1, 1))),
    "leaky_relu": ("leaky ReLU", SKY, "P", (0, (8, 2))),
    "swish_sign": ("swish sign", BLACK, "X", (0, (2, 2))),
    "hard_tanh": ("hard tanh", GREY, "<", (0, (4, 1, 1, 1))),
    "triangular": ("triangular", PURPLE, ">", (0, (3, 3))),
    "polynomial": ("polynomial", ORANGE, "h", (0, (7, 1, 2, 1))),
    "arctan": ("arctan", SKY, "*", (0, (1, 3))),
}
# Estimators of one's own: colours (Tol's, of another set) and markers that no estimator above has.
OWN_COLOURS = ["#332288", "#44AA99", "#882255", "#999933", "#661100"]
OWN_MARKERS = ["p", "d", "H", "8", "1"]
OWN_DASHES = [(0, (9, 1.5)), (0, (3, 1.5)), (0, (9, 1.5, 3, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1, 1, 1))]
CYCLE = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<"]
DASHES = [
    "-",
    (0, (5, 1.5)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (1.2, 1.2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
    (0, (2, 2)),
    (0, (4, 1, 1, 1)),
]

matplotlib.rcdefaults()  # figures do not depend on a matplotlibrc, whose text.usetex needs TeX
plt.rcParams.update(
    {
        "figure.dpi": 100,
        "savefig.dpi": 180,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.labelsize": 10.5,
        "legend.fontsize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "legend.frameon": False,
        "mathtext.fontset": "cm",
        "pdf.fonttype": 42,
    }
)


def cycle_style(name: str, index: int) -> Style:
    """The label, colour, marker and dashes of something that has no style of its own."""
    k = index % len(CYCLE)
    return name.replace("_", " "), CYCLE[k], MARKERS[k], DASHES[k]


def numbered_style(k: int) -> tuple[str, str, Any]:
    """The colour, marker and dashes of number k, one of many; no two of the first 64 agree in all three."""
    turn = k // len(CYCLE)
    return CYCLE[k % len(CYCLE)], MARKERS[(k + 3 * turn) % len(MARKERS)], DASHES[(k + turn) % len(DASHES)]


_met = itertools.count()


@functools.cache
def own_style(name: str) -> Style:
    """The label, colour, marker and dashes of an unknown name, the same in every figure. The first five names differ in
    each of the three."""
    k = next(_met)
    colour, marker, dashes = (kind[k % len(kind)] for kind in (OWN_COLOURS, OWN_MARKERS, OWN_DASHES))
    return name.replace("_", " "), colour, marker, dashes


def estimator_style(name: str) -> Style:
    """The label, colour, marker and dashes of an estimator."""
    return ESTIMATORS.get(name) or own_style(name)


def in_order(names: Iterable[str]) -> list[str]:
    """The names in the order of ESTIMATORS, unknown ones last."""
    order = list(ESTIMATORS)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def figure(
    columns: int = 1, rows: int = 1, width: float | None = None, height: float | None = None, **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, which are an array where there are several."""
    return plt.subplots(
        rows, columns, figsize=(width or (6.4 if columns == 1 else 4.6 * columns), height or 4.0 * rows), **options
    )


def angle_axis(ax: Axes, label: str = r"angle $\theta$ between $w$ and $w^*$ (rad)") -> None:
    """Makes the x axis one of angles from 0 to pi."""
    ax.set_xlim(-0.03, np.pi + 0.03)
    ax.set_xticks(np.linspace(0, np.pi, 5), ["0", "π/4", "π/2", "3π/4", "π"])
    ax.set_xlabel(label)


def draw_line(
    ax: Axes, x: np.ndarray, y: np.ndarray, style: Style, gid: str, label: str | None = None, **options: Any
) -> Line2D:
    """Draws a line in a style; `gid` names the log data that it shows."""
    name, colour, _, dashes = style
    (line,) = ax.plot(
        x,
        y,
        color=colour,
        linestyle=dashes,
        label=name if label is None else label,
        zorder=2 if dashes == "-" else 3,
        **options,
    )  # dashes on top: both show where they coincide
    line.set_gid(gid)
    return line


def draw_points(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    standard_error: np.ndarray,
    style: Style,
    gid: str,
    label: str | None = None,
    **options: Any,
) -> ErrorbarContainer:
    """Draws points with bars of two standard errors in a style; `gid` names the log data that they show."""
    name, colour, marker, _ = style
    bars = ax.errorbar(
        x,
        y,
        yerr=2 * np.asarray(standard_error),
        color=colour,
        marker=marker,
        linestyle="none",
        markerfacecolor="white",
        capsize=2.5,
        elinewidth=1.1,
        label=name if label is None else label,
        **options,
    )
    bars.lines[0].set_gid(gid)
    return bars


def data_name(runs: Sequence[Run], run: Run, name: str) -> str:
    """The gid of logged data, with the path of its log where several runs are drawn over each other."""
    return name if len(runs) == 1 else f"{run.path}:{name}"


def legend_entry(style: Style, with_line: bool = True) -> Line2D:
    """What a legend shows where both a line and points are drawn in a style."""
    name, colour, marker, dashes = style
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markerfacecolor="white",
        label=name,
        linestyle=dashes if with_line else "none",
    )


def save(fig: Figure, directory: Path, stem: str) -> list[Path]:
    """Writes stem.png and stem.pdf, and returns their paths."""
    paths = [directory / f"{stem}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        fig.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    plt.close(fig)
    return paths
