"""Figures of `spurious_minimum`: runs that start beside the spurious minimum, and how well the escape is predicted."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import LogError, Run
from .style import BLACK, GREY, draw_line, estimator_style, figure, in_order

QUANTITIES = {"loss": r"loss $f(v,w)$ (1)", "theta": r"angle $\theta$ (rad)", "norm_w": r"$\|w\|$ (1)"}
TITLES = {0: "w as the step leaves it", 1: r"w rescaled to $\|w\| = 1$ after each step"}


def estimators(run: Run) -> list[str]:
    """The estimators that the log has runs of."""
    names = [name for name, table in run.tables.items() if "norm_w" in table and "step" in table]
    if not names:
        raise LogError(f"{run.path}: no table of a run (columns rescaled, step, loss, theta, norm_w)")
    return in_order(names)


def predicted_steps(run: Run, rescaled: int) -> np.ndarray:
    """Escape steps predicted for the runs that are drawn: the first step size and start length in the table."""
    eta, norm_w0, predicted, flag = run.table("escape", "eta", "norm_w0", "predicted_step", "rescaled")
    rows = (flag == rescaled) & (eta == eta[0]) & (norm_w0 == norm_w0[0]) & np.isfinite(predicted)
    return np.unique(predicted[rows])


def escape(run: Run) -> Figure:
    """Loss, angle and length over the step, with w free and with w rescaled, and the predicted escape as a dashed line."""
    names = estimators(run)
    modes = sorted({int(mode) for name in names for mode in run.table(name, "rescaled")[0]})
    fig, axes = figure(columns=len(modes), rows=3, sharex="col", sharey="row", squeeze=False, height=7.2)
    for column, mode in zip(axes.T, modes):
        for ax, (quantity, axis_label) in zip(column, QUANTITIES.items()):
            for name in names:
                rescaled, step, values = run.table(name, "rescaled", "step", quantity)
                rows = rescaled == mode
                draw_line(ax, step[rows], values[rows], estimator_style(name), f"{name}/{quantity}/{mode}")
            for k, step in enumerate(predicted_steps(run, mode)):
                ax.axvline(
                    step, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="predicted escape" if k == 0 else None
                )
            if ax in axes[:, 0]:
                ax.set_ylabel(axis_label)
        column[1].set_ylim(-0.1, np.pi + 0.1)
        column[1].set_yticks([0, np.pi / 2, np.pi], ["0", "π/2", "π"])
        column[0].set_title(TITLES[mode])
        column[-1].set_xlabel("step")
        if len(predicted_steps(run, 0)):
            column[-1].set_xlim(0, 6 * predicted_steps(run, 0)[0])  # the rest is quiet
    axes[0][0].legend(handlelength=3.4)
    return fig


def prediction(run: Run) -> Figure:
    """Measured escape steps against predicted ones, and the measured jumps beside the predicted height."""
    ste = run.names("escape", "ste")
    predicted, step, predicted_jump, jump = run.table(
        "escape", "predicted_step", "escape_step", "predicted_jump", "jump"
    )
    escaped = np.isfinite(predicted) & np.isfinite(step)
    if not escaped.any():
        raise LogError(f"{run.path}: no run in table escape left the spurious minimum")
    fig, (left, right) = figure(columns=2, height=3.9)
    for name in in_order(set(ste[escaped])):
        style = estimator_style(name)
        rows = escaped & (ste == name)
        for ax, x, y, gid in ((left, predicted, step, "escape_step"), (right, step, jump, "jump")):
            (points,) = ax.plot(
                x[rows],
                y[rows],
                marker=style[2],
                color=style[1],
                markerfacecolor="white",
                linestyle="none",
                markersize=7,
                label=style[0],
            )
            points.set_gid(f"escape/{name}/{gid}")
    end = 1.15 * np.max(predicted[escaped])
    left.plot([0, end], [0, end], color=BLACK, linewidth=0.8, zorder=0, label="measured = predicted")
    left.set(xlim=(0, end), ylim=(0, end), xlabel="predicted escape step", ylabel="measured escape step")
    for k, height in enumerate(np.unique(predicted_jump[escaped])):
        right.axhline(height, color=BLACK, linewidth=0.8, zorder=0, label="predicted" if k == 0 else None)
    top = max(np.max(jump[escaped]), np.max(predicted_jump[escaped]))
    right.set(xlim=(0, end), ylim=(0, 1.3 * top), xlabel="measured escape step", ylabel="jump of the loss (1)")
    left.legend(loc="upper left")
    right.legend(loc="lower right")
    return fig


FIGURES = {"escape": escape, "prediction": prediction}
