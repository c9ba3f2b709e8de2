"""Figures of `asymptotic_maps`: smooth maps that become quantizers, their slopes, and how far they still are."""
import numpy as np

from style import BLACK, CYCLE, DASHES, GREY, MARKERS, figure


def _rows(run):
    """level set -> T times the least step -> rows of the table."""
    names, (sharpness,) = run.names("maps", "levels"), run.table("maps", "sharpness")
    return {
        name: {value: (names == name) & (sharpness == value) for value in np.unique(sharpness[names == name])}
        for name in dict.fromkeys(names)
    }


def _label(value):
    return rf"$T\Delta$ = {value:g}"


def maps(run):
    """The maps (above) and their slopes (below), one column for each level set."""
    x, value, slope, level = run.table("maps", "x", "value", "slope", "level")
    sets = _rows(run)
    fig, axes = figure(columns=len(sets), rows=2, width=3.6 * len(sets), height=6.2, sharex=True, squeeze=False)
    for (above, below), (name, curves) in zip(axes.T, sets.items()):
        for index, (sharpness, rows) in enumerate(curves.items()):
            style = {"color": CYCLE[index % len(CYCLE)], "linestyle": DASHES[index % len(DASHES)]}
            for ax, quantity, values in ((above, "value", value), (below, "slope", slope)):
                (line,) = ax.plot(x[rows], values[rows], label=_label(sharpness), linewidth=1.3, **style)
                line.set_gid(f"{name}/{sharpness:g}/{quantity}")
        rows = next(iter(curves.values()))
        (steps,) = above.plot(x[rows], level[rows], color=BLACK, linewidth=0.8, alpha=0.7, zorder=1, label="levels")
        steps.set_gid(f"{name}/level")
        above.set_title(name)
        below.set_yscale("function", functions=(np.cbrt, lambda y: y**3))
        below.set_ylim(bottom=0)
        below.set_yticks([0, 0.1, 1, 2, 5, 10, 20, 50, 100], ["0", "0.1", "1", "2", "5", "10", "20", "50", "100"])
        below.set_xlabel("$x$ (1)")
    for row in axes:
        for ax in row[1:]:
            ax.sharey(row[0])
            ax.tick_params(labelleft=False)
    axes[0][0].set_ylabel("$A_T(x)$ (1)")
    axes[1][0].set_ylabel("$A_T'(x)$ (1)")
    axes[0][0].legend(loc="upper left", fontsize=8, handlelength=2.6)
    return fig


def distances(run):
    """The integral of |A_T - q| over T times the least step, beside ln 2 / T times the sum of the steps."""
    names = run.names("distances", "levels")
    sharpness, distance, law = run.table("distances", "sharpness", "distance", "law")
    fig, ax = figure(height=4.4)
    for index, name in enumerate(dict.fromkeys(names)):
        rows = names == name
        colour = CYCLE[index % len(CYCLE)]
        style = {"color": colour, "markerfacecolor": "white", "linestyle": "none"}
        (points,) = ax.plot(sharpness[rows], distance[rows], marker=MARKERS[index], label=name, **style)
        points.set_gid(f"{name}/distance")
        (line,) = ax.plot(sharpness[rows], law[rows], color=colour, linestyle=DASHES[index], linewidth=1)
        line.set_gid(f"{name}/law")
    ax.plot([], [], color=GREY, linewidth=1, label=r"$\frac{\ln 2}{T}\sum\Delta_i$")
    ax.set(xscale="log", yscale="log", xlabel=r"$T\Delta$ (1)", ylabel=r"$\int_{-3}^{3}|A_T-q|\,dx$ (1)")
    ax.legend()
    return fig


FIGURES = {"maps": maps, "distances": distances}
