"""Figures of `compare_methods`: what every method reaches at which bits, from one float net with one budget."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import Run
from .comparison import float_net, net_on_data
from .style import BLACK, figure, numbered_style

FLOAT = 32


def _place(weights: float, activations: float) -> tuple[tuple[float, float], str]:
    """Where a cell stands on an axis, fewer bits first and float last, and what the axis says there, 2W4A."""
    return (weights or FLOAT, activations or FLOAT), "".join(
        f"{int(bits)}{what}" for bits, what in ((weights, "W"), (activations, "A")) if bits > 0
    )


def _limits(percent: np.ndarray) -> tuple[float, float]:
    """Ends of an axis of accuracies on which failures do not flatten the rest."""
    top, low = np.nanmax(percent), np.nanpercentile(percent, 10, method="higher")
    floor = max(np.nanmin(percent) - 0.5, 2 * low - top)
    return floor, top + 0.05 * (top - floor)


def accuracy(run: Run) -> Figure:
    """Test accuracy against bits, with float activations on the left and quantized ones on the right."""
    names = run.names("summary", "method")
    weights, activations, seeds, mean, deviation = run.table(
        "summary", "weight_bits", "activation_bits", "seeds", "test_best_mean", "test_best_sd"
    )
    float_test, _ = float_net(run)
    methods = list(dict.fromkeys(names))
    floor, top = _limits(100 * np.append(mean, float_test))
    kinds = [kind for kind in (False, True) if np.any((activations > 0) == kind)]
    ratios = [3 if quantized else 2 for quantized in kinds]
    fig, axes = figure(columns=len(kinds), height=5.4, sharey=True, squeeze=False, gridspec_kw={"width_ratios": ratios})
    axes = axes[0]
    fig.set_figwidth(2.8 * sum(ratios))
    for ax, quantized in zip(axes, kinds):
        shown = [row for row in range(len(names)) if (activations[row] > 0) == quantized]
        places = sorted({_place(weights[row], activations[row]) for row in shown})
        here = [method for method in methods if method in names[shown]]
        for i, method in enumerate(here):
            colour, marker, dashes = numbered_style(methods.index(method))
            place = {row: places.index(_place(weights[row], activations[row])) for row in shown if names[row] == method}
            rows = sorted(place, key=place.get)
            x = np.array([place[row] for row in rows]) + 0.6 * ((i + 0.5) / len(here) - 0.5)
            (line,) = ax.plot(
                x,
                100 * mean[rows],
                color=colour,
                marker=marker,
                linestyle=dashes,
                linewidth=0.8,
                markersize=6,
                label=method.replace("_", " "),
            )
            line.set_gid(f"summary/test_best/{method}/{'quantized' if quantized else 'float'}")
            if np.max(seeds[rows]) > 1:
                ax.errorbar(x, 100 * mean[rows], 100 * deviation[rows], fmt="none", ecolor=colour, capsize=3)
            for at, value in zip(x, 100 * mean[rows]):
                if not value >= floor:
                    text = f"{method.replace('_', ' ')} {value:.0f} %" if np.isfinite(value) else f"{method} diverged"
                    ax.text(at, 0.02, text, rotation=90, va="bottom", fontsize=7, transform=ax.get_xaxis_transform())
        if np.isfinite(float_test):
            ax.axhline(100 * float_test, color=BLACK, linestyle=(0, (5, 2)), linewidth=1.2, label="float")
        ax.set_xticks(range(len(places)), [text for _, text in places])
        ax.set_xlim(-0.5, len(places) - 0.5)
        ax.set_xlabel("bits of weights (W) and activations (A)" if quantized else "bits of the weights (W)")
        ax.legend(
            fontsize=8, ncol=6 if quantized else 4, handlelength=3, loc="upper center", bbox_to_anchor=(0.5, -0.14)
        )
    axes[0].set_ylim(floor, top)
    axes[0].set_ylabel("test accuracy, best held-out epoch (%)")
    runs = int(max(seeds))
    spread = f"mean ± standard deviation over {runs} seeds" if runs > 1 else "one run each"
    fig.suptitle(f"{net_on_data(run)}, {int(run.config['epochs'])} epochs from one float net, {spread}", fontsize=10.5)
    return fig


def cost(run: Run) -> Figure:
    """Images trained on in a second, and bytes of the deployed network, against the accuracy."""
    names = run.names("summary", "method")
    weights, activations, mean, speed, size = run.table(
        "summary", "weight_bits", "activation_bits", "test_best_mean", "images_per_second", "deployed_bytes"
    )
    methods = list(dict.fromkeys(names))
    fig, axes = figure(columns=2, height=5, sharey=True)
    fig.set_figwidth(12)
    for ax, values, label in (
        (axes[0], speed, "images trained on per second (1/s)"),
        (axes[1], size / 1024, "deployed network (KiB)"),
    ):
        for k, method in enumerate(methods):
            colour, marker, _ = numbered_style(k)
            rows = np.flatnonzero(names == method)
            order = rows[np.lexsort((activations[rows], weights[rows]))]
            (line,) = ax.plot(
                values[order],
                100 * mean[order],
                color=colour,
                marker=marker,
                linestyle="none",
                label=method.replace("_", " "),
            )
            line.set_gid(f"summary/{'speed' if ax is axes[0] else 'size'}/{method}")
        ax.set_xscale("log")
        ax.set_xlabel(label)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    axes[0].set_ylim(*_limits(100 * mean))
    axes[0].set_ylabel("test accuracy, best held-out epoch (%)")
    fig.suptitle(net_on_data(run), fontsize=10.5)
    return fig


FIGURES = {"accuracy": accuracy, "cost": cost}
