"""Training curves: every series of a log against its step, with one panel for each measured quantity. Several runs are
drawn over each other."""
from matplotlib.figure import Figure

from ..logs import LogError, Run
from ..runs import run_labels
from .style import CYCLE, DASHES, data_name, figure


def _panels(runs: tuple[Run, ...]) -> dict[str, list[str]]:
    """Maps each quantity, the last part of a name, to the series that measure it and are not empty in all runs."""
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for run in runs for name, series in run.series.items() if len(series["step"])):
        panels.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    if not panels:
        raise LogError(f"{', '.join(run.path for run in runs)}: no series with values yet")
    return panels


def curves(*runs: Run) -> Figure:
    """Series against step. Lines differ by colour and dashes: one run's by its series, several runs' by the run."""
    panels = _panels(runs)
    labels = run_labels(runs) if len(runs) > 1 else [""]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    fig, axes = figure(columns=columns, rows=rows, squeeze=False, height=3.4 * rows)
    for ax, (quantity, names) in zip(axes.flat, panels.items()):
        parts = [name.rpartition("/")[0] for name in names]
        for k, (name, part) in enumerate(zip(names, parts)):
            for number, run in enumerate(runs):
                series = run.series.get(name)
                if series is None or len(series["step"]) == 0:
                    continue
                label = ": ".join(filter(None, (part, labels[number]))) or quantity
                colour = CYCLE[(k if len(runs) == 1 else number) % 8]
                dashes = DASHES[(k * len(runs) + number) % 8]
                (line,) = ax.plot(series["step"], series["value"], color=colour, linestyle=dashes, label=label)
                line.set_gid(data_name(runs, run, f"series/{name}"))
        unit = next(run.units[f"series/{names[0]}"] for run in runs if names[0] in run.series)
        ax.set_xlabel("step")
        ax.set_ylabel(f"{quantity.replace('_', ' ')} ({unit or '1'})")
        if any(parts) or len(runs) > 1:
            ax.legend(handlelength=3.2)
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_visible(False)
    return fig


FIGURES = {"curves": curves}
