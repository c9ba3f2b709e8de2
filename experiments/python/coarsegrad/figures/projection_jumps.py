"""Figures of `projection_jumps`: how far quantized weights jump, over how far the float ones were moved."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import Run
from .style import CYCLE, DASHES, figure

LEAST = 1e-4  # that is drawn: below, no weight has crossed a threshold
TITLES = {"exact": "exact", "twn": "TWN", "power_of_two": "powers of two"}


def _panels(run: Run) -> dict[tuple[str, int], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Maps each projection and number of bits, and each network, to steps and jumps, with one row for each layer."""
    names, projections, layers = (run.names("jumps", column) for column in ("network", "projection", "layer"))
    bits, step, jump = run.table("jumps", "bits", "step", "jump")
    panels = {}
    for name, projection, b in dict.fromkeys(zip(names, projections, bits)):
        rows = (names == name) & (projections == projection) & (bits == b)
        steps = np.unique(step[rows])
        jumps = [
            [jump[rows & (layers == layer) & (step == s)][0] for s in steps] for layer in dict.fromkeys(layers[rows])
        ]
        panels.setdefault((projection, int(b)), {})[name] = steps, np.array(jumps)
    return panels


def jumps(run: Run) -> Figure:
    """Jumps over steps: each layer is a thin line, the median over the layers a thick one, and the square root of the step
    a dotted one."""
    panels = _panels(run)
    fig, axes = figure(columns=len(panels), width=max(4.4, 3.5 * len(panels)), height=3.9, sharey=True, squeeze=False)
    networks = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    for ax, ((projection, bits), panel) in zip(axes[0], panels.items()):
        for name, (steps, by_layer) in panel.items():
            index = networks.index(name)
            colour, dashes = CYCLE[index % len(CYCLE)], DASHES[index % len(DASHES)]
            shown = np.where(by_layer >= LEAST, by_layer, np.nan)
            for layer in shown:
                ax.plot(steps, layer, color=colour, linewidth=0.6, alpha=0.35)
            median = np.median(by_layer, axis=0)
            (line,) = ax.plot(
                steps,
                np.where(median >= LEAST, median, np.nan),
                color=colour,
                linestyle=dashes,
                linewidth=2.4,
                label=name.replace("_", " "),
            )
            line.set_gid(f"{projection}/{bits}/{name}")
        ax.plot(steps, np.sqrt(steps), color="black", linewidth=1, linestyle=(0, (1, 2)))
        ax.set(
            xscale="log",
            yscale="log",
            ylim=(LEAST, 2),
            xlabel="step of the float weights / RMS (1)",
            title=f"{TITLES.get(projection, projection)}, {bits} bit{'s' if bits > 1 else ''}",
        )
        ax.legend(loc="lower right", handlelength=3)
    axes[0][0].set_ylabel(r"jump $\|P(w+d)-P(w)\|\,/\,\|P(w)\|$ (1)")
    return fig


FIGURES = {"jumps": jumps}
