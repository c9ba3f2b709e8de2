"""How every figure looks: one colour, marker and dash pattern per estimator, legible in grey and without colours."""
import functools
import itertools
import logging

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

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


def cycle_style(name, index):
    """(label, colour, marker, dashes) of something that has no style of its own."""
    k = index % len(CYCLE)
    return name.replace("_", " "), CYCLE[k], MARKERS[k], DASHES[k]


_met = itertools.count()


@functools.cache
def own_style(name):
    """(label, colour, marker, dashes) of an unknown name, the same in every figure: the first five differ in each."""
    k = next(_met)
    return tuple([name.replace("_", " ")] + [kind[k % len(kind)] for kind in (OWN_COLOURS, OWN_MARKERS, OWN_DASHES)])


def estimator_style(name):
    """(label, colour, marker, dashes) of an estimator."""
    return ESTIMATORS.get(name) or own_style(name)


def in_order(names):
    """The names in the order of ESTIMATORS, unknown ones last."""
    order = list(ESTIMATORS)
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def figure(columns=1, rows=1, width=None, height=None, **options):
    """A figure and its axes (an array when there are several)."""
    return plt.subplots(
        rows, columns, figsize=(width or (6.4 if columns == 1 else 4.6 * columns), height or 4.0 * rows), **options
    )


def angle_axis(ax, label=r"angle $\theta$ between $w$ and $w^*$ (rad)"):
    """An x axis from 0 to pi."""
    ax.set_xlim(-0.03, np.pi + 0.03)
    ax.set_xticks(np.linspace(0, np.pi, 5), ["0", "π/4", "π/2", "3π/4", "π"])
    ax.set_xlabel(label)


def draw_line(ax, x, y, style, gid, label=None, **options):
    """A line in the style of estimator_style(); `gid` names the log data that it shows."""
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


def draw_points(ax, x, y, standard_error, style, gid, label=None, **options):
    """Points with bars of two standard errors in the style of estimator_style(); `gid` names their log data."""
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


def legend_entry(style, with_line=True):
    """What a legend shows for an estimator of which both a line and points are drawn."""
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


def save(fig, directory, stem):
    """Writes stem.png and stem.pdf; returns their paths."""
    paths = [directory / f"{stem}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        fig.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    plt.close(fig)
    return paths
