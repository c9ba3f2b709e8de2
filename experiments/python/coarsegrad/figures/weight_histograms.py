"""Figures of `weight_histograms`: how the float weights of a layer evolve, and what the network computes with."""
import numpy as np
from matplotlib.figure import Figure
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from ..logs import Run
from . import comparison as compared
from .style import BLUE, CYCLE, DASHES, MARKERS, VERMILLION, draw_line, figure

KINDS = {"float_share": "float weights", "used_share": "weights in use"}
SIZES = {
    "float_rms": "root mean square\nof the float weights (1)",
    "distance": "squared distance of float weights\nfrom multiples of those in use (1)",
    "flips": "share of weights that\nchanged their sign (%)",
}
PANELS = 5  # epochs that `evolution` shows


def _title(method: str) -> str:
    """The name of a method as text."""
    return method.replace("_", " ")


class Histograms:
    """The table `histograms` of one layer, in the middle of the network's depth."""

    def __init__(self, run: Run) -> None:
        self.layers = run.labels["tables/histograms/layer"]
        names = run.names("histograms", "method")
        layer, epoch, centre = run.table("histograms", "layer", "epoch", "centre")
        self.methods = list(dict.fromkeys(names))
        common = set.intersection(*(set(layer[names == m].astype(int)) for m in self.methods))
        self.layer = sorted(common)[len(common) // 2]  # every method has it
        self.centres = np.unique(centre)
        shares = run.table("histograms", *KINDS)
        self.grids = {}
        for method in self.methods:
            rows = (names == method) & (layer == self.layer)
            epochs = np.unique(epoch[rows])
            for kind, share in zip(KINDS, shares):
                grid = np.full((len(epochs), len(self.centres)), np.nan)
                grid[np.searchsorted(epochs, epoch[rows]), np.searchsorted(self.centres, centre[rows])] = share[rows]
                self.grids[method, kind] = (epochs, grid)

    def heading(self, run: Run) -> str:
        """Which layer of which network is shown."""
        return f"{compared.net_on_data(run)}, layer {self.layers[self.layer]}"


def shown_epochs(count: int, columns: int) -> np.ndarray:
    """The epochs of `count` that are shown: all, or the first and the last, and more of the early ones."""
    if count <= columns:
        return np.arange(count)
    return np.unique(np.round((count - 1) * np.linspace(0, 1, columns) ** 1.5).astype(int))


def evolution(run: Run) -> Figure:
    """Methods against epochs, as small multiples; the scale is logarithmic, for quantized weights fill few bins."""
    data = Histograms(run)
    width = data.centres[1] - data.centres[0]
    columns = min(PANELS, max(len(data.grids[m, "float_share"][0]) for m in data.methods))
    fig, axes = figure(
        columns=columns,
        rows=len(data.methods),
        squeeze=False,
        sharex=True,
        sharey=True,
        width=1.2 + 2.5 * columns,
        height=0.9 + 1.6 * len(data.methods),
    )
    for line, method in zip(axes, data.methods):
        epochs, floats = data.grids[method, "float_share"]
        _, used = data.grids[method, "used_share"]
        for ax, k in zip(line, shown_epochs(len(epochs), columns)):
            edges = np.append(data.centres - width / 2, data.centres[-1] + width / 2)
            filled = ax.stairs(floats[k], edges, fill=True, color=BLUE, alpha=0.45, label=KINDS["float_share"])
            filled.set_gid(f"histograms/{method}/float_share/{epochs[k]:g}")
            outline = ax.stairs(used[k], edges, color=VERMILLION, linewidth=1.1, label=KINDS["used_share"])
            outline.set_gid(f"histograms/{method}/used_share/{epochs[k]:g}")
            ax.set_title(f"epoch {epochs[k]:g}", fontsize=9, pad=2)
            ax.set(yscale="log", ylim=(3e-4, 1), xlim=(-3.2, 3.2))
        for ax in line:
            ax.set_visible(len(ax.patches) > 0)
        line[0].set_ylabel(_title(method))
    for ax in axes[-1]:
        ax.set_xlabel("weight / root mean square")
    axes[0][-1].legend(*axes[0][0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.suptitle(f"{data.heading(run)}: share of the weights in bins of {width:.1f}", fontsize=10.5)
    return fig


def maps(run: Run) -> Figure:
    """The histograms of every epoch as images, with epochs to the right and weights upwards."""
    data = Histograms(run)
    fig, axes = figure(
        columns=2,
        rows=len(data.methods),
        squeeze=False,
        sharex=True,
        sharey=True,
        width=9,
        height=1 + 1.7 * len(data.methods),
    )
    norm = LogNorm(3e-4, 0.5, clip=True)
    half = (data.centres[1] - data.centres[0]) / 2
    for line, method in zip(axes, data.methods):
        for ax, kind in zip(line, KINDS):
            epochs, grid = data.grids[method, kind]
            image = ax.imshow(
                np.maximum(grid.T, norm.vmin),
                extent=(epochs[0] - 0.5, epochs[-1] + 0.5, data.centres[0] - half, data.centres[-1] + half),
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                norm=norm,
                cmap="viridis",
            )
            image.set_gid(f"histograms/{method}/{kind}")
            ax.grid(visible=False)
            ax.set_ylim(-3.2, 3.2)
        line[0].set_ylabel(f"{_title(method)}\nweight / rms")
    for ax, meaning in zip(axes[0], KINDS.values()):
        ax.set_title(meaning)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    fig.colorbar(image, ax=list(axes.ravel()), aspect=40, pad=0.01).set_label("share of the weights in a bin")
    fig.suptitle(data.heading(run), fontsize=10.5)
    return fig


def sizes(run: Run) -> Figure:
    """Sizes, distances and changes of sign against the epoch, means over the layers."""
    names = run.names("sizes", "method")
    epoch, *columns = run.table("sizes", "epoch", *SIZES)
    fig, axes = figure(columns=len(SIZES), width=13.5, height=3.9)
    for ax, (quantity, label), values in zip(axes, SIZES.items(), columns):
        for k, method in enumerate(dict.fromkeys(names)):
            rows = names == method
            epochs = np.unique(epoch[rows])
            mean = np.array([np.mean(values[rows & (epoch == e)]) for e in epochs])
            style = (_title(method), CYCLE[k % len(CYCLE)], MARKERS[k % len(MARKERS)], DASHES[k % len(DASHES)])
            shown = 100 * mean if quantity == "flips" else mean
            points = {"marker": style[2], "markersize": 4, "markerfacecolor": "white", "linewidth": 1.2}
            draw_line(ax, epochs, shown, style, f"sizes/{quantity}/{method}", **points)
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(handlelength=3.2, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.suptitle(f"{compared.net_on_data(run)}, means over the quantized layers", fontsize=10.5)
    return fig


FIGURES = {"evolution": evolution, "maps": maps, "sizes": sizes}
