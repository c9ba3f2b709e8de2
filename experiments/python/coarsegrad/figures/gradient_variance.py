"""Figures of `gradient_variance`: what quantizers add to the variance of gradients, exact and by Monte Carlo."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..logs import Run
from .style import (
    Style,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    draw_line,
    draw_points,
    figure,
    legend_entry,
    own_style,
)

QUANTIZERS = {
    "dorefa": ("DoReFa", PURPLE, "D", (0, (1.2, 1.2))),
    "ptq": ("PTQ, per tensor", VERMILLION, "s", (0, (5, 1.5))),
    "psq": ("PSQ, per sample", BLUE, "o", "-"),
    "bhq": ("BHQ, block Householder", GREEN, "^", (0, (6, 1.5, 1.2, 1.5))),
}
LAYER_MARKERS = {"bottom": "v", "middle": "o", "top": "^"}
FILLS = {"dorefa": "none", "ptq": "full", "psq": "left", "bhq": "right"}  # of markers that stand for layers


def quantizers(run: Run, table: str) -> list[tuple[str, np.ndarray]]:
    """The quantizers that a table has rows of, in the order of the legend, unknown ones last, with their rows."""
    names = run.names(table, "quantizer")
    return [(name, names == name) for name in dict.fromkeys([*QUANTIZERS, *names]) if name in set(names)]


def style_of(name: str) -> Style:
    """The label, colour, marker and dashes of a quantizer."""
    return QUANTIZERS.get(name) or own_style(name)


def draw_variances(ax: Axes, run: Run, table: str, x: str, rows: np.ndarray, name: str, gid: str) -> None:
    """The exact variance as a line, the measured one as points."""
    at, exact, measured, error = (column[rows] for column in run.table(table, x, "exact", "measured", "measured_se"))
    draw_line(ax, at, exact, style_of(name), f"{gid}/exact", label="_nolegend_")
    draw_points(ax, at, measured, error, style_of(name), f"{gid}/measured", label="_nolegend_")


def laws(run: Run) -> Figure:
    """Variance over the scale of the rows beside one outlier, with its law, and over the bits."""
    fig, (left, right) = figure(columns=2, height=4.3)
    for name, rows in quantizers(run, "outlier"):
        draw_variances(left, run, "outlier", "epsilon", rows, name, f"outlier/{name}")
        epsilon, law = (column[rows] for column in run.table("outlier", "epsilon", "law"))
        (line,) = left.plot(epsilon, law, color=GREY, linewidth=0.9, zorder=1)
        line.set_gid(f"outlier/{name}/law")
    left.set(xscale="log", yscale="log", xlabel="scale ε of all samples but one", ylabel="variance (sum over entries)")
    left.set_title("one outlier among the samples; grey: its law")
    for name, rows in quantizers(run, "bits"):
        draw_variances(right, run, "bits", "bits", rows, name, f"bits/{name}")
    bits, exact = run.table("bits", "bits", "exact")
    b = np.arange(1, 9)
    scale = np.max(exact[bits == 8]) * 255.0**2
    right.plot(b, scale / (2.0**b - 1) ** 2, color=BLACK, linewidth=0.8, zorder=0, label=r"$\propto (2^b - 1)^{-2}$")
    right.set(yscale="log", xlabel="bits b")
    right.set_title("samples of log-normal scales")
    right.legend(loc="lower left")
    left.legend(
        handles=[legend_entry(style_of(name)) for name, _ in quantizers(run, "outlier")],
        loc="upper left",
        bbox_to_anchor=(0, 0.84),
    )
    return fig


def cases(run: Run) -> Figure:
    """Variance over the bits in the reference cases."""
    case = run.names("cases", "case")
    names = list(dict.fromkeys(case))
    fig, axes = figure(columns=len(names), height=3.9, sharey=True, squeeze=False)
    for ax, which in zip(axes[0], names):
        for name, rows in quantizers(run, "cases"):
            draw_variances(ax, run, "cases", "bits", rows & (case == which), name, f"cases/{which}/{name}")
        ax.set(yscale="log", xlabel="bits", title=which)
    axes[0][0].set_ylabel("variance (sum over entries)")
    axes[0][-1].legend(handles=[legend_entry(style_of(name)) for name, _ in quantizers(run, "cases")])
    return fig


def layers(run: Run) -> Figure:
    """Measured variance of each layer's weight gradient against the sum of the shares of the quantizers above."""
    layer = run.names("layers", "layer")
    measured, predicted, bits = run.table("layers", "measured", "predicted", "bits")
    fig, (left, right) = figure(columns=2, height=4.3)
    for name, rows in quantizers(run, "layers"):
        for which, marker in LAYER_MARKERS.items():
            chosen = rows & (layer == which)
            if not chosen.any():
                continue
            label, colour, _, _ = style_of(name)
            look = {
                "marker": marker,
                "color": colour,
                "linestyle": "none",
                "fillstyle": FILLS.get(name, "top"),
                "markersize": 7,
            }
            (points,) = left.plot(predicted[chosen], measured[chosen], **look)
            points.set_gid(f"layers/{name}/{which}")
            (ratio,) = right.plot(
                bits[chosen] + 0.12 * (list(LAYER_MARKERS).index(which) - 1),
                measured[chosen] / predicted[chosen],
                label=f"{label}, {which}",
                **look,
            )
            ratio.set_gid(f"layers/{name}/{which}/ratio")
    ends = [0.5 * np.min(predicted), 2 * np.max(predicted)]
    left.plot(ends, ends, color=BLACK, linewidth=0.8, zorder=0)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="sum over the quantizers at and above the layer",
        ylabel="measured variance of the weight's gradient",
    )
    right.axhline(1, color=BLACK, linewidth=0.8, zorder=0)
    spread = 1.3 * np.max(np.abs(measured / predicted - 1))
    right.set(
        xlabel="bits of the activations' gradient", ylabel="measured / predicted", ylim=(1 - spread, 1 + 2.2 * spread)
    )
    right.set_xticks(sorted(set(bits)))
    right.legend(fontsize=8, ncol=2)
    return fig


FIGURES = {"laws": laws, "cases": cases, "layers": layers}
