"""Figures of `coarse_gradient`: expected coarse gradients over the angle, in closed form or by quadrature and by Monte
Carlo."""
import numpy as np
from matplotlib.figure import Figure

from ..logs import LogError, Run
from .style import BLACK, GREY, angle_axis, draw_line, draw_points, estimator_style, figure, in_order, legend_entry

OF_PAPER = ("identity", "relu", "clipped_relu")


def estimators(run: Run) -> list[str]:
    """The estimators that the log has a table of, those of the paper first."""
    names = [name for name, table in run.tables.items() if "theta" in table and "correlation_mc" in table]
    if not names:
        raise LogError(f"{run.path}: no table of an estimator (columns theta, correlation_mc)")
    return in_order(names)


def _over_angle(run: Run, quantity: str, label: str) -> Figure:
    """One panel for the estimators of the paper, a second one for all others: lines where the expectation was computed."""
    names = estimators(run)
    groups = [[n for n in names if n in OF_PAPER], [n for n in names if n not in OF_PAPER]]
    panels = [group for group in groups if group]
    fig, axes = figure(columns=len(panels), squeeze=False, sharey=True, height=4.6)
    for ax, group in zip(axes[0], panels):
        handles = []
        for name in group:
            theta, expected, mean, error = run.table(name, "theta", quantity, f"{quantity}_mc", f"{quantity}_se")
            style = estimator_style(name)
            known = np.isfinite(expected).any()
            if known:
                draw_line(ax, theta, expected, style, f"{name}/{quantity}")
            draw_points(ax, theta, mean, error, style, f"{name}/{quantity}_mc", markersize=3.5, alpha=0.75)
            handles.append(legend_entry(style, with_line=known))
        computed = "closed form" if group is groups[0] else "closed form or quadrature"
        points = "Monte Carlo (points, ±2 SE)"
        title = f"{computed} (lines), {points}" if any(h.get_linestyle() != "None" for h in handles) else points
        ax.legend(
            handles=handles,
            title=title,
            handlelength=3.4,
            ncol=len(group) if len(group) < 4 else 2,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            columnspacing=1.4,
            handletextpad=0.5,
        )
        angle_axis(ax)
    axes[0][0].set_ylabel(label)
    return fig


def correlation(run: Run) -> Figure:
    """Inner product of the expected coarse gradient with the true population gradient."""
    fig = _over_angle(run, "correlation", r"correlation $\langle E\,g_\mu,\ \partial f/\partial w\rangle$ (1)")
    for ax in fig.axes:
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    return fig


def norm(run: Run) -> Figure:
    """Length of the expected coarse gradient; with v at its minimiser the identity's does not vanish at pi."""
    fig = _over_angle(run, "norm", r"length $\|E\,g_\mu\|$ (1)")
    for ax in fig.axes:
        ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    return fig


def bound_ratio(run: Run) -> Figure:
    """Squared length over the descent that it buys: bounded for ReLU and clipped ReLU alone."""
    fig, ax = figure(width=7.6, height=4.2)
    for name in estimators(run):
        theta, ratio = run.table(name, "theta", "bound_ratio")
        if np.isfinite(ratio).any():
            style = estimator_style(name)
            line = draw_line(ax, theta, ratio, style, f"{name}/bound_ratio")
            line.set(marker=style[2], markerfacecolor="white", markevery=max(1, len(theta) // 12))
    ax.set_yscale("log")
    ax.set_ylabel(
        r"$\|E\,g_\mu\|^2\,/\,(\|\partial f/\partial v\|^2 + \langle E\,g_\mu,\partial f/\partial w\rangle)$  (1)"
    )
    angle_axis(ax)
    ax.legend(handlelength=3.4, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def saddle_angle(v_star: np.ndarray) -> float | None:
    """Angle of the saddle points, or None where the landscape has none (Yin et al. 2019, saddle points of f)."""
    m, total, squared = len(v_star), np.sum(v_star), np.dot(v_star, v_star)
    if total**2 >= (m + 1) / 2 * squared:
        return None
    return np.pi / 2 * (m + 1) * squared / ((m + 1) * squared - total**2)


def landscape(run: Run) -> Figure:
    """Population loss over the angle: the same for every estimator, only the forward pass enters."""
    name = estimators(run)[0]
    theta, loss, mean, error = run.table(name, "theta", "loss", "loss_mc", "loss_se")
    v, v_star = run.inputs.get("v"), run.inputs.get("v_star")
    optimal = v is not None and v.ndim == 2
    fig, ax = figure()
    style = ("closed form", BLACK, "o", "-")
    draw_line(ax, theta, loss, style, f"{name}/loss")
    draw_points(ax, theta, mean, error, style, f"{name}/loss_mc", label="Monte Carlo ±2 SE")
    saddle = saddle_angle(v_star) if optimal and v_star is not None else None
    if saddle is not None:
        ax.axvline(saddle, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label=rf"saddle, $\theta$ = {saddle:.3f}")
    ax.set_ylabel(r"$f(v(c(\theta)),\theta)$ (1)" if optimal else r"$f(v,\theta)$ (1)")
    ax.set_title("population loss, v at its minimiser for each angle" if optimal else "population loss, v fixed")
    angle_axis(ax)
    ax.legend()
    return fig


def sample_size(run: Run) -> Figure:
    """Error of the sampled coarse gradient over the number of samples, with the law N^(-1/2)."""
    samples, rms, error = run.table("sample_size", "samples", "rms_error", "rms_error_se")
    ste = run.names("sample_size", "ste")
    fig, ax = figure(height=4.2)
    for name in dict.fromkeys(ste):
        rows = ste == name
        style = estimator_style(name)
        draw_points(ax, samples[rows], rms[rows], error[rows], style, f"sample_size/{name}")
        law = rms[rows][0] * np.sqrt(samples[rows][0] / samples[rows])
        ax.plot(samples[rows], law, color=style[1], linestyle=style[3], linewidth=1)
    ax.plot([], [], color=GREY, linewidth=1, label=r"law $N^{-1/2}$")
    ax.set(
        xscale="log", yscale="log", xlabel="number of samples $N$ (1)", ylabel=r"RMS error of the sampled $g_\mu$ (1)"
    )
    ax.legend(title="±2 SE")
    return fig


FIGURES = {
    "correlation": correlation,
    "norm": norm,
    "bound_ratio": bound_ratio,
    "landscape": landscape,
    "sample_size": sample_size,
}
