"""Training curves: every series of a log against its step, one panel for each measured quantity."""
from reader import LogError
from style import CYCLE, DASHES, figure


def _panels(run):
    """quantity (last part of the name) -> names of the series that measure it, empty ones left out."""
    panels = {}
    for name, series in run.series.items():
        if len(series["step"]):
            panels.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    if not panels:
        raise LogError(f"{run.path}: no series with values yet")
    return panels


def curves(run):
    """Series against step."""
    panels = _panels(run)
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    fig, axes = figure(columns=columns, rows=rows, squeeze=False, height=3.4 * rows)
    for ax, (quantity, names) in zip(axes.flat, panels.items()):
        for k, name in enumerate(names):
            series = run.series[name]
            label = name.rpartition("/")[0] or quantity
            (line,) = ax.plot(series["step"], series["value"], color=CYCLE[k % 8], linestyle=DASHES[k % 8], label=label)
            line.set_gid(f"series/{name}")
        unit = run.units[f"series/{names[0]}"]
        ax.set_xlabel("step")
        ax.set_ylabel(f"{quantity.replace('_', ' ')} ({unit or '1'})")
        if any(name.rpartition("/")[0] for name in names):
            ax.legend(handlelength=3.2)
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_visible(False)
    return fig


FIGURES = {"curves": curves}
