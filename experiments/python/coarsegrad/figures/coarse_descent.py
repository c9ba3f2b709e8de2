"""Figures of `coarse_descent`: how runs move, where they end, what Theorem 2 says of runs that fulfil its conditions, and
what one step does at a finite number of samples."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import LogError, Run
from .style import BLACK, CYCLE, GREY, draw_line, estimator_style, figure, in_order

QUANTITIES = {
    "loss": r"loss $f(v,w)$ (1)",
    "theta": r"angle $\theta$ (rad)",
    "norm_w": r"$\|w\|$ (1)",
    "distance_v": r"$\|v - v^*\|$ (1)",
}
# Where a run can end: fill and hatch tell the four apart without colour.
ENDS = {
    "global_minimum": ("global minimum", "#009E73", ""),
    "spurious_minimum": ("spurious minimum", "#E69F00", "//"),
    "saddle": ("saddle", "#56B4E9", ".."),
    "unsettled": ("unsettled", "#FFFFFF", "xx"),
}

# The quantities of Theorem 2: label, the edge that a run may not cross, and whether it stays above it.
CONDITIONS = {
    "cross": (r"$v^\top v^*$ (1)", 0.0, True),
    "theta": (r"angle $\theta$ (rad)", np.pi / 2, False),
    "slack": (r"$S^2 - S\,1^\top v$ (1)", 0.0, True),
}


def estimators(run: Run) -> list[str]:
    """The estimators that the log has trajectories of."""
    names = [name for name, table in run.tables.items() if "distance_v" in table and "step" in table]
    if not names:
        raise LogError(f"{run.path}: no table of trajectories (columns run, step, loss, theta, norm_w, distance_v)")
    return in_order(names)


def trajectories(run: Run) -> Figure:
    """Every recorded run: one column for each estimator, one row for each quantity, over the step."""
    names = estimators(run)
    fig, axes = figure(
        columns=len(names), rows=4, sharex="col", sharey="row", squeeze=False, width=3.2 * len(names) + 0.8, height=8.6
    )
    for column, name in zip(axes.T, names):
        label, colour, _, _ = estimator_style(name)
        number, step = run.table(name, "run", "step")
        runs = np.unique(number)
        for ax, (quantity, axis_label) in zip(column, QUANTITIES.items()):
            (values,) = run.table(name, quantity)
            for k in runs:
                (line,) = ax.plot(
                    step[number == k],
                    values[number == k],
                    color=colour,
                    linewidth=1,
                    alpha=max(0.15, min(0.9, 8 / len(runs))),
                )
                line.set_gid(f"{name}/{quantity}/{int(k)}")
            if ax in axes[:, 0]:
                ax.set_ylabel(axis_label)
        column[1].set_ylim(-0.05, np.pi + 0.05)
        column[1].set_yticks([0, np.pi / 2, np.pi], ["0", "π/2", "π"])
        column[0].set_title(f"{label}, {len(runs)} runs")
        column[0].set_yscale("log")
        column[0].set_ylim(1e-6, 20)  # a run that has arrived goes on falling to rounding error
        column[-1].set_xscale("symlog", linthresh=10)  # most happens early, and the log is dense there
        column[-1].set_xlim(0, max(1, np.max(step)))
        column[-1].set_xlabel("step")
    return fig


def ends(run: Run) -> Figure:
    """Share of runs by where they end, and the share whose loss never rose."""
    names = [name for name in estimators(run) if f"{name}_runs" in run.tables]
    if not names:
        raise LogError(f"{run.path}: no table of the ends of the runs (<ste>_runs)")
    fig, ax = figure(height=3.2)
    left = np.zeros(len(names))
    found = {name: run.names(f"{name}_runs", "end") for name in names}
    for end, (label, colour, hatch) in ENDS.items():
        share = np.array([np.mean(found[name] == end) for name in names])
        bars = ax.barh(
            range(len(names)), share, left=left, color=colour, hatch=hatch, edgecolor=BLACK, linewidth=0.8, label=label
        )
        bars.set_label(label)
        for bar, name in zip(bars, names):
            bar.set_gid(f"{name}_runs/{end}")
        left += share
    for row, name in enumerate(names):
        (monotone,) = run.table(f"{name}_runs", "monotone")
        ax.text(1.02, row, f"{100 * np.mean(monotone):.1f} %\nof {len(monotone)}", va="center", fontsize=9.5)
    ax.text(1.02, -0.8, "loss never\nrose", va="center", fontsize=9.5)
    ax.set_yticks(range(len(names)), [estimator_style(name)[0] for name in names])
    ax.set_ylim(len(names) - 0.4, -1.0)
    ax.set(xlim=(0, 1), xlabel="share of runs (1)")
    ax.grid(False)
    ax.legend(ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.6, columnspacing=1.2)
    return fig


def theorem2(run: Run) -> Figure | None:
    """The three quantities of Theorem 2 along runs whose starts fulfil its conditions, with the longest w: one column for
    each estimator. Where a run may not be is grey, and runs that were there are dashed."""
    if "theorem2" not in run.tables:
        return None
    number, step, length = run.table("theorem2", "run", "step", "norm_w0")
    ste = run.names("theorem2", "ste")
    longest = length == np.max(length)
    kept = dict(
        zip(
            zip(run.names("theorem2_runs", "ste"), *run.table("theorem2_runs", "norm_w0", "run")),
            run.table("theorem2_runs", "kept")[0],
        )
    )
    names = in_order(dict.fromkeys(ste[longest]))
    fig, axes = figure(
        columns=len(names), rows=3, sharex="col", sharey="row", squeeze=False, width=3.2 * len(names) + 0.8, height=6.6
    )
    for column, name in zip(axes.T, names):
        label, colour, _, _ = estimator_style(name)
        mine = longest & (ste == name)
        runs = np.unique(number[mine])
        for ax, (quantity, (axis_label, edge, above)) in zip(column, CONDITIONS.items()):
            (values,) = run.table("theorem2", quantity)
            for k in runs:
                rows = mine & (number == k)
                stays = kept[name, length[rows][0], k]
                look = (
                    {"color": colour, "alpha": 0.7}
                    if stays
                    else {"color": BLACK, "linestyle": (0, (3, 1.5)), "alpha": 0.6}
                )
                (line,) = ax.plot(step[rows], values[rows], linewidth=1, **look)
                line.set_gid(f"theorem2/{quantity}/{name}/{int(k)}")
            low, high = min(np.min(values[longest]), edge), max(np.max(values[longest]), edge)
            low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
            ax.axhspan(*((low, edge) if above else (edge, high)), color="#E4E4E4", linewidth=0, zorder=0)
            ax.set_ylim(low, high)
            if ax in axes[:, 0]:
                ax.set_ylabel(axis_label)
        column[1].set_yticks([0, np.pi / 4, np.pi / 2], ["0", "π/4", "π/2"])
        stayed = sum(kept[name, np.max(length), k] for k in runs)
        column[0].set_title(f"{label}: {stayed:.0f} of {len(runs)} stay,\n" + rf"$\|w^0\|$ = {np.max(length):g}")
        column[-1].set_xscale("symlog", linthresh=10)
        column[-1].set_xlim(0, max(1, np.max(step)))
        column[-1].set_xlabel("step")
    return fig


def theorem2_shares(run: Run) -> Figure | None:
    """Of the starts that fulfil the conditions of Theorem 2 the share with what it promises, over the length of w there."""
    if "theorem2_runs" not in run.tables:
        return None
    length, kept, monotone = run.table("theorem2_runs", "norm_w0", "kept", "monotone")
    ste, end = run.names("theorem2_runs", "ste"), run.names("theorem2_runs", "end")
    promises = {
        "end": ("ends in a global minimum", end == "global_minimum"),
        "kept": ("keeps the three inequalities", kept > 0),
        "monotone": ("loss never rises", monotone > 0),
    }
    lengths = np.unique(length)
    fig, axes = figure(columns=len(promises), squeeze=False, sharey=True, width=9.6, height=3.4)
    for ax, (what, (title, fulfilled)) in zip(axes[0], promises.items()):
        for name in in_order(dict.fromkeys(ste)):
            style = estimator_style(name)
            shares = np.array([np.mean(fulfilled[(ste == name) & (length == at)]) for at in lengths])
            draw_line(
                ax,
                lengths,
                shares,
                style,
                f"theorem2_runs/{what}/{name}",
                marker=style[2],
                markerfacecolor="none",
                markersize=7,
            )
        ax.set(xscale="log", xlabel=r"$\|w^0\|$ (1)", title=title, ylim=(0, 1.05))
        ax.set_xticks(lengths, [f"{at:g}" for at in lengths])
        ax.minorticks_off()
    axes[0][0].set_ylabel(f"share of {np.sum((ste == ste[0]) & (length == lengths[0]))} runs (1)")
    axes[0][0].legend(loc="lower right", handlelength=3.4)
    return fig


def one_step(run: Run) -> Figure:
    """Empirical loss after one coarse-gradient step against its size, one panel for each number of samples."""
    samples, eta, loss = run.table("one_step", "samples", "eta", "loss")
    sizes = np.unique(samples)
    fig, axes = figure(columns=len(sizes), squeeze=False, width=2.9 * len(sizes) + 0.6, height=3.2)
    for ax, size in zip(axes[0], sizes):
        rows = samples == size
        (line,) = ax.plot(eta[rows], loss[rows], color=CYCLE[0])
        line.set_gid(f"one_step/{int(size)}")
        ax.set_title(f"{int(size)} samples")
        ax.set_xlabel(r"step size $\eta$ (1)")
    axes[0][0].set_ylabel("empirical loss after the step (1)")
    return fig


def one_step_variation(run: Run) -> Figure:
    """How rough the one-step curves are: variation beyond the drop, every draw and the median over draws."""
    samples, variation = run.table("one_step_variation", "samples", "excess_variation")
    sizes = np.unique(samples)
    medians = np.array([np.median(variation[samples == size]) for size in sizes])
    fig, ax = figure(height=3.6)
    for x, y, gid, options in (
        (
            samples,
            variation,
            "one_step_variation/draws",
            {"marker": "o", "linestyle": "none", "color": GREY, "markersize": 4, "alpha": 0.6, "label": "one draw"},
        ),
        (
            sizes,
            medians,
            "one_step_variation/median",
            {"marker": "s", "color": CYCLE[0], "markerfacecolor": "white", "label": "median"},
        ),
    ):
        (line,) = ax.plot(x, y, **options)
        line.set_gid(gid)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=0.01)
    ax.set(xlabel="number of samples $N$ (1)", ylabel="excess variation (1)")
    ax.set_ylim(bottom=-0.002)
    ax.legend()
    return fig


FIGURES = {
    "trajectories": trajectories,
    "ends": ends,
    "theorem2": theorem2,
    "theorem2_shares": theorem2_shares,
    "one_step": one_step,
    "one_step_variation": one_step_variation,
}
