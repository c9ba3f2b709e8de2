"""Figures of `spurious_minimum`: runs that start beside the spurious minimum, and how well the escape is predicted."""
import numpy as np

from reader import LogError
from style import BLACK, GREY, draw_line, estimator_style, figure, in_order

QUANTITIES = {"loss": r"loss $f(v,w)$ (1)", "theta": r"angle $\theta$ (rad)", "norm_w": r"$\|w\|$ (1)"}
TITLES = {0: "w as the step leaves it", 1: r"w rescaled to $\|w\| = 1$ after each step"}


def estimators(run):
    """The estimators that the log has runs of."""
    names = [name for name, table in run.tables.items() if "norm_w" in table and "step" in table]
    if not names:
        raise LogError(f"{run.path}: no table of a run (columns rescaled, step, loss, theta, norm_w)")
    return in_order(names)


def predicted_steps(run, rescaled):
    """Escape steps predicted for the runs that are drawn: the first step size and start length in the table."""
    eta, norm_w0, predicted, flag = run.table("escape", "eta", "norm_w0", "predicted_step", "rescaled")
    rows = (flag == rescaled) & (eta == eta[0]) & (norm_w0 == norm_w0[0]) & np.isfinite(predicted)
    return np.unique(predicted[rows])


def escape(run):
    """Loss, angle and length over the step, with w free and with w rescaled; dashed: the predicted escape."""
    names = estimators(run)
    modes = sorted({int(mode) for name in names for mode in run.table(name, "rescaled")[0]})
    fig, axes = figure(columns=len(modes), rows=3, sharex="col", sharey="row", squeeze=False, height=7.2)
    for column, mode in zip(axes.T, modes):
        for ax, (quantity, axis_label) in zip(column, QUANTITIES.items()):
            for index, name in enumerate(names):
                rescaled, step, values = run.table(name, "rescaled", "step", quantity)
                rows = rescaled == mode
                draw_line(ax, step[rows], values[rows], estimator_style(name, index), f"{name}/{quantity}/{mode}")
            for k, step in enumerate(predicted_steps(run, mode)):
                ax.axvline(step, color=GREY, linestyle=(0, (4, 3)), linewidth=1,
                           label="predicted escape" if k == 0 else None)
            if ax in axes[:, 0]:
                ax.set_ylabel(axis_label)
        column[1].set_ylim(-0.1, np.pi + 0.1)
        column[1].set_yticks([0, np.pi / 2, np.pi], ["0", "π/2", "π"])
        column[0].set_title(TITLES[mode])
        column[-1].set_xlabel("step")
    axes[0][0].legend(handlelength=3.4)
    return fig


def prediction(run):
    """Measured against predicted escape step and jump; a point on the line is a prediction that came true."""
    ste = run.names("escape", "ste")
    fig, axes = figure(columns=2, height=3.9)
    pairs = (("predicted_step", "escape_step", "escape step (1)"), ("predicted_jump", "jump", "jump of the loss (1)"))
    for ax, (expected, measured, quantity) in zip(axes, pairs):
        x, y = run.table("escape", expected, measured)
        known = np.isfinite(x) & np.isfinite(y)
        for index, name in enumerate(dict.fromkeys(ste[known])):
            label, colour, marker, _ = estimator_style(name, index)
            rows = known & (ste == name)
            (points,) = ax.plot(x[rows], y[rows], marker=marker, color=colour, markerfacecolor="white", linestyle="none",
                                markersize=7, label=label)
            points.set_gid(f"escape/{name}/{measured}")
        low, high = (np.nanmin(x[known]), np.nanmax(x[known])) if known.any() else (0, 1)
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1
        ax.plot([low - margin, high + margin], [low - margin, high + margin], color=BLACK, linewidth=0.8, zorder=0,
                label="measured = predicted")
        ax.set(xlabel=f"predicted {quantity}", ylabel=f"measured {quantity}")
        ax.legend()
    return fig


FIGURES = {"escape": escape, "prediction": prediction}
