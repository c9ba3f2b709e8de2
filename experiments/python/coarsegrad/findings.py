"""Prints what the logs of the three theory experiments say, as numbers: python3 -m coarsegrad.findings DIR, where
DIR/<experiment>.h5 are."""
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np

from .figures import coarse_descent, coarse_gradient
from .figures.style import estimator_style
from .logs import LogError, Run, read_run

Finding = tuple[str, str]  # a question and its answer


def label(name: str) -> str:
    """What an estimator is called."""
    return estimator_style(name)[0]


def agreement(run: Run) -> Iterator[Finding]:
    """How far Monte Carlo is from closed forms and quadrature, in standard errors."""
    worst, count = 0.0, 0
    for name in coarse_gradient.estimators(run):
        for quantity in ("correlation", "norm", "loss"):
            closed, mean, error = run.table(name, quantity, f"{quantity}_mc", f"{quantity}_se")
            known = np.isfinite(closed) & np.isfinite(mean) & (error > 0)
            if known.any():
                worst = max(worst, np.max(np.abs(mean - closed)[known] / error[known]))
                count += int(known.sum())
    chance = NormalDist().inv_cdf(1 - 0.5 / max(count, 1))
    answer = f"{count} values, largest distance {worst:.1f} standard errors (by chance about {chance:.1f})"
    yield "Monte Carlo against closed forms and quadrature", answer


def near_pi(run: Run) -> Iterator[Finding]:
    """What is left of each coarse gradient at the last angle before pi."""
    lengths = []
    for name in coarse_gradient.estimators(run):
        theta, closed, mean = run.table(name, "theta", "norm", "norm_mc")
        last = np.argmax(theta)
        lengths.append(f"{label(name)} {closed[last] if np.isfinite(closed[last]) else mean[last]:.3f}")
    yield f"length of E g at θ = {theta[last]:.3f}, v optimal", ", ".join(lengths)


def signs(run: Run) -> Iterator[Finding]:
    """The least correlation with the true gradient over the angles, where it was computed."""
    least = []
    for name in coarse_gradient.estimators(run):
        (expected,) = run.table(name, "correlation")
        if np.isfinite(expected).all():
            least.append(f"{label(name)} {np.min(expected):.1e}")
    yield "least correlation with ∂f/∂w over all θ", ", ".join(least)


def ends(run: Run) -> Iterator[Finding]:
    """Where descent ends and whether the loss ever rose."""
    for name in coarse_descent.estimators(run):
        end = run.names(f"{name}_runs", "end")
        (monotone,) = run.table(f"{name}_runs", "monotone")
        shares = [
            f"{100 * np.mean(end == key):.1f} % {text[0]}"
            for key, text in coarse_descent.ENDS.items()
            if (end == key).any()
        ]
        shares.append(f"loss never rose in {100 * np.mean(monotone):.1f} %")
        yield f"descent with {label(name)}, {len(end)} runs", ", ".join(shares)


def theorem2(run: Run) -> Iterator[Finding]:
    """What became of the starts that fulfil the conditions of Theorem 2, for the longest and the shortest w."""
    ste, end = run.names("theorem2_runs", "ste"), run.names("theorem2_runs", "end")
    length, kept = run.table("theorem2_runs", "norm_w0", "kept")
    for norm_w0 in (np.max(length), np.min(length)):
        shares = []
        for name in dict.fromkeys(ste):
            rows = (ste == name) & (length == norm_w0)
            shares.append(
                f"{label(name)} {100 * np.mean(end[rows] == 'global_minimum'):.0f} % ({100 * np.mean(kept[rows]):.0f} %)"
            )
        yield f"Theorem 2, |w⁰| = {norm_w0:g}: global minimum (inequalities kept)", ", ".join(shares)


def escapes(run: Run) -> Iterator[Finding]:
    """Predicted against measured escape from the spurious minimum."""
    ste = run.names("escape", "ste")
    columns = ("rescaled", "eta", "norm_w0", "predicted_step", "escape_step", "predicted_jump", "jump")
    for name, rescaled, eta, norm_w0, expected, step, expected_jump, jump in zip(ste, *run.table("escape", *columns)):
        if not rescaled and np.isfinite(expected):
            found = f"step {step:.0f}, jump {jump:.4f}" if np.isfinite(step) else "stays"
            yield (
                f"escape, {label(name)}, η = {eta:g}, |w⁰| = {norm_w0:g}",
                f"{found} (predicted {expected:.0f}, {expected_jump:.4f})",
            )
    stays = [
        label(name)
        for name, step, rescaled in zip(ste, *run.table("escape", "escape_step", "rescaled"))
        if not rescaled and np.isnan(step)
    ]
    yield "never escape", ", ".join(dict.fromkeys(stays)) or "none"


FINDINGS = (
    ("coarse_gradient", (agreement, signs)),
    ("coarse_gradient_optimal", (near_pi,)),
    ("coarse_descent", (ends, theorem2)),
    ("spurious_minimum", (escapes,)),
)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if len(arguments) != 1:
        print("findings: expected one argument, DIR", file=sys.stderr)
        return 2
    try:
        rows = []
        for stem, findings in FINDINGS:
            run = read_run(Path(arguments[0]) / f"{stem}.h5")
            for finding in findings:
                rows.extend(finding(run))
    except LogError as error:
        print(f"findings: {error}", file=sys.stderr)
        return 1
    width = max(len(question) for question, _ in rows)
    for question, answer in rows:
        print(f"{question:<{width}}  {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
