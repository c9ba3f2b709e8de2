"""Figures of `ste_diagnostics`: what the coarse gradient of each layer is like while a network trains."""
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from ..logs import Run
from ..statistics import student_t_95
from . import comparison as compared
from .style import GREY, draw_line, estimator_style, figure, in_order

QUANTITIES = {
    "cosine_to_clipped": "cosine to the coarse\ngradient of clipped ReLU",
    "cosine_to_descent": "cosine to the estimated\ndescent direction",
    "gradient_norm": "norm of the\ncoarse gradient",
    "active_share": "share of inputs in\nthe active range",
}
NOISY = "cosine_to_descent"  # estimated along so few directions that a single layer tells next to nothing


class Diagnostics:
    """The table `diagnostics`, by estimator and bits."""

    def __init__(self, run: Run) -> None:
        self.names = run.names("diagnostics", "ste")
        self.layers = [name.removeprefix("stages.") for name in run.labels["tables/diagnostics/layer"]]
        self.bits, self.layer, self.epoch = run.table("diagnostics", "bits", "layer", "epoch")
        self.values = dict(zip(QUANTITIES, run.table("diagnostics", *QUANTITIES)))
        pairs = set(zip(self.names, self.bits))
        self.runs = [
            (name, bits)
            for bits in np.unique(self.bits)
            for name in in_order(dict.fromkeys(self.names))
            if (name, bits) in pairs
        ]

    def grid(self, quantity: str, name: str, bits: float) -> tuple[np.ndarray, np.ndarray]:
        """The epochs, and an array of layers and epochs, which is NaN where nothing was measured."""
        rows = (self.names == name) & (self.bits == bits)
        epochs = np.unique(self.epoch)
        grid = np.full((len(self.layers), len(epochs)), np.nan)
        grid[self.layer[rows].astype(int), np.searchsorted(epochs, self.epoch[rows])] = self.values[quantity][rows]
        return epochs, grid

    def last(self, quantity: str, name: str, bits: float) -> tuple[float, np.ndarray] | None:
        """The last epoch in which something was measured, and what was in each layer; None where nothing was."""
        epochs, grid = self.grid(quantity, name, bits)
        measured = np.flatnonzero(np.any(np.isfinite(grid), axis=0))
        return (epochs[measured[-1]], grid[:, measured[-1]]) if len(measured) else None

    def norm(self, quantity: str) -> Normalize:
        """One scale of colours for all panels of a quantity."""
        finite = self.values[quantity][np.isfinite(self.values[quantity])]
        if len(finite) == 0:
            return Normalize(0, 1)
        if quantity == "gradient_norm":
            return LogNorm(finite[finite > 0].min(), finite.max())
        return Normalize(min(0, finite.min()), finite.max())


def _edges(centres: np.ndarray) -> np.ndarray:
    """Where the cells around these centres end."""
    middle = (centres[1:] + centres[:-1]) / 2
    first = middle[0] - centres[0] if len(middle) else 0.5
    last = centres[-1] - middle[-1] if len(middle) else 0.5
    return np.concatenate([[centres[0] - first], middle, [centres[-1] + last]])


def _ticks(layers: list[str]) -> range:
    """The layers that get their names beside the axis, not more than a dozen."""
    return range(0, len(layers), -(-len(layers) // 12))


def maps(run: Run) -> Figure:
    """Layers against epochs, in one panel for each quantity, estimator and number of bits; a quantity has one scale."""
    data = Diagnostics(run)
    fig, axes = figure(
        columns=len(data.runs),
        rows=len(QUANTITIES),
        squeeze=False,
        sharex=True,
        sharey=True,
        width=2.2 + 2.5 * len(data.runs),
        height=2.3 * len(QUANTITIES),
    )
    for line, (quantity, meaning) in zip(axes, QUANTITIES.items()):
        norm = data.norm(quantity)
        for ax, (name, bits) in zip(line, data.runs):
            epochs, grid = data.grid(quantity, name, bits)
            edges = np.arange(len(data.layers) + 1) - 0.5
            mesh = ax.pcolormesh(_edges(epochs), edges, grid, norm=norm, cmap="viridis")
            mesh.set_gid(f"diagnostics/{quantity}/{name}/{int(bits)}")
            ax.grid(visible=False)
        fig.colorbar(mesh, ax=list(line), aspect=12, pad=0.01).set_label(meaning, fontsize=9)
        line[0].set_yticks(_ticks(data.layers), [data.layers[k] for k in _ticks(data.layers)], fontsize=8)
    axes[0][0].invert_yaxis()  # the first layer on top; the panels share their axes
    for ax, (name, bits) in zip(axes[0], data.runs):
        ax.set_title(f"{estimator_style(name)[0]}, {compared.bits_heading(bits)}")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    fig.suptitle(compared.net_on_data(run), fontsize=10.5)
    return fig


def _draw_chance(ax: Axes, directions: int) -> None:
    """Draws the cosines within which 95 % of the gradients lie that know nothing of so many random directions."""
    if directions > 1:
        t = student_t_95(directions - 1)
        reach = t / np.sqrt(t**2 + directions - 1)
        ax.axhspan(-reach, reach, color=GREY, alpha=0.2, linewidth=0, zorder=0)
        ax.text(0, -reach, "95 % of random ones", va="bottom", fontsize=8)


def depth(run: Run) -> Figure:
    """What was measured last of each quantity, against the depth of the layer."""
    data = Diagnostics(run)
    widths = np.unique(data.bits)
    fig, axes = figure(
        columns=len(QUANTITIES), rows=len(widths), squeeze=False, sharex=True, width=16, height=0.8 + 3.4 * len(widths)
    )
    layers = np.arange(len(data.layers))
    for line, bits in zip(axes, widths):
        for ax, (quantity, meaning) in zip(line, QUANTITIES.items()):
            for name in [n for n, b in data.runs if b == bits]:
                last = data.last(quantity, name, bits)
                if last is None:
                    continue
                style = estimator_style(name)
                points = {"marker": style[2], "markersize": 4, "markerfacecolor": "white", "linewidth": 1.2}
                gid = f"diagnostics/{quantity}/{name}/{int(bits)}/last"
                drawn = draw_line(ax, layers, last[1], style, gid, f"{style[0]}, epoch {last[0]:g}", **points)
                if quantity == NOISY:
                    drawn.set_linestyle("none")
            if quantity == NOISY:
                _draw_chance(ax, int(run.config.get("directions", 0)))
            if quantity == "gradient_norm" and ax.get_lines():
                ax.set_yscale("log")
            ax.set_title(meaning, fontsize=9.5)
            ticks = _ticks(data.layers)
            ax.set_xticks(ticks, [data.layers[k] for k in ticks], rotation=60, ha="right", fontsize=8)
        line[0].set_ylabel(compared.bits_heading(bits))
        line[-1].legend(handlelength=3, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.suptitle(compared.net_on_data(run), fontsize=10.5)
    return fig


FIGURES = {"maps": maps, "depth": depth}
