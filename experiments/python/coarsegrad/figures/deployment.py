"""What packed models cost: accuracy against latency and against bytes, drawn from a report of deploy_report."""
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ..deployment import FLOAT, PACKED, Condition, Report, condition_in_words, spread
from .comparison import NAMES
from .style import GREY, cycle_style, figure

ONE_IMAGE = 1
Panels = list[tuple[Axes, list[dict[str, Any]]]]  # axes, and the networks that are shown there


def _latencies(rounds: list[float], batch: int) -> tuple[float, float, float]:
    """Milliseconds of a batch: median, least and most of the rounds."""
    times = spread([1000 * batch / speed for speed in rounds])
    return times.median, times.least, times.most


def _log_axis(ax: Axes, label: str) -> None:
    """Makes the x axis one of ratios."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)


def _panels(report: Report) -> tuple[Figure, Panels]:
    """A panel for each data set with networks whose accuracy is known."""
    known = [network for network in report.networks if network["accuracy"] is not None]
    sets = list(dict.fromkeys(network["dataset"] for network in known)) or [""]
    fig, axes = figure(columns=len(sets), height=4.6)
    panels = list(zip([axes] if len(sets) == 1 else axes, sets))
    for ax, name in panels:
        ax.set_title(NAMES.get(name, name))
        ax.set_ylabel("test accuracy (%)")
        ax.margins(x=0.18, y=0.12)
    return fig, [(ax, [network for network in known if network["dataset"] == name]) for ax, name in panels]


def _draw(
    report: Report, place: Callable[[dict[str, Any]], tuple[float, float, float]], axis: str, gid: str
) -> tuple[Figure, Panels]:
    """Each packed model as a point, `place` says where on the x axis: value, least and most."""
    fig, panels = _panels(report)
    for ax, networks in panels:
        _log_axis(ax, axis)
        for k, net in enumerate(report.architectures):
            mine = [network for network in networks if network["net"] == net]
            label, colour, marker, _ = cycle_style(NAMES.get(net, net), k)
            for network in mine:
                value, least, most = place(network)
                point = ax.errorbar(
                    [value],
                    [100 * network["accuracy"]],
                    xerr=[[value - least], [most - value]] if least < most else None,
                    color=colour,
                    marker=marker,
                    markersize=7,
                    linestyle="none",
                    capsize=2.5,
                    label=label if network is mine[0] else None,
                )
                point.lines[0].set_gid(f"{gid}/{network['name']}")
                ax.annotate(
                    network["bits"], (value, 100 * network["accuracy"]), (6, 6), textcoords="offset points", fontsize=9
                )
    return fig, panels


def _add_legends(panels: Panels) -> None:
    """Where there is something to explain, in a frame: a sample alone would look like a network. In the corner of low
    accuracy at high cost, where few are."""
    for ax, _ in panels:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="lower right", frameon=True, edgecolor=GREY)


def _fastest_peer(report: Report, net: str, condition: Condition) -> tuple[str, float] | None:
    """The name and the median latency of the fastest of the others that are not ours; None where there is none."""
    measured = {side: report.rounds(net, side, condition) for side in report.others if side != FLOAT}
    times = {side: _latencies(rounds, condition[1])[0] for side, rounds in measured.items() if rounds}
    return min(times.items(), key=lambda item: item[1]) if times else None


def latency(report: Report) -> Figure | None:
    """Accuracy against the latency of one image with the most threads; lines say where the fastest peer stands. None
    where single images were not timed."""
    single = [condition for condition in report.conditions if condition[1] == ONE_IMAGE]
    if not single:
        return None
    condition = max(single)

    def place(network: dict[str, Any]) -> tuple[float, float, float]:
        return _latencies(report.rounds(network["name"], PACKED, condition), ONE_IMAGE)

    fig, panels = _draw(report, place, f"latency in ms ({condition_in_words(condition)})", "latency")
    for ax, networks in panels:
        for k, net in enumerate(report.architectures):
            shown = any(network["net"] == net for network in networks)
            if shown and (peer := _fastest_peer(report, net, condition)):
                label, colour, _, dashes = cycle_style(NAMES.get(net, net), k)
                line = ax.axvline(peer[1], color=colour, linestyle=dashes if k else (0, (4, 2)), linewidth=1.2)
                line.set_gid(f"latency/peer/{net}")
                line.set_label(f"{label}, {peer[0]}")
    _add_legends(panels)
    fig.supxlabel("points: median of the rounds, bars: least to most; lines: the fastest peer", fontsize=8, color=GREY)
    return fig


def size(report: Report) -> Figure:
    """Accuracy against the bytes of the file."""

    def place(network: dict[str, Any]) -> tuple[float, float, float]:
        kib = network["bytes"] / 1024
        return kib, kib, kib

    fig, panels = _draw(report, place, "packed model in KiB", "bytes")
    _add_legends(panels)
    return fig


FIGURES = {"latency": latency, "bytes": size}
