"""Prints the summary of a comparison as a table in Markdown, every mean with half the width of its 95 % interval.

python3 -m coarsegrad.result_table results/ste_cifar10.h5
python3 -m coarsegrad.result_table results/ste_cifar10.h5 --against clipped_relu
"""
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .logs import LogError, Run, read_run
from .markdown_table import markdown_table
from .plot import Parser
from .statistics import difference_half_width
from .summaries import float_net, half_widths, key_of, mean_in_words, settings_of

QUANTITIES = {  # heading, unit, decimals
    "test_best": ("test %, best held-out epoch", 100, 2),
    "test_last": ("test %, last epoch", 100, 2),
    "train_loss": ("training loss", 1, 5),
}
HEADINGS = [heading for heading, _, _ in QUANTITIES.values()]


def _costs(run: Run) -> dict[str, list[str]]:
    """What the rows cost, by heading, for a log that says so; speeds are left out where nothing was timed."""
    if "deployed_bytes" not in run.tables["summary"]:
        return {}
    size, speed, slowest, fastest = run.table("summary", "deployed_bytes", "images_per_second", "slowest", "fastest")
    timed = [f"{s:,.0f} ({a:,.0f} to {b:,.0f})" if s > 0 else "" for s, a, b in zip(speed, slowest, fastest)]
    return {"deployed KiB": [f"{bytes_ / 1024:.1f}" for bytes_ in size], "images/s (rounds)": timed}


def markdown(run: Run) -> str:
    """The summary, one line for each variant, the float net that all start from first."""
    key = key_of(run)
    names, bits = run.names("summary", key), settings_of(run, "summary")
    (seeds,) = run.table("summary", "seeds")
    costs = _costs(run)
    cells = [
        [
            mean_in_words(unit * mean, unit * around, decimals)
            for mean, around in zip(run.table("summary", f"{name}_mean")[0], half_widths(run, name))
        ]
        for name, (_, unit, decimals) in QUANTITIES.items()
    ]
    rows = [[key, "bits", "n", *HEADINGS, *costs]]
    test, loss = float_net(run)
    if np.isfinite(test):
        rows.append(["float start", "", "1", f"{100 * test:.2f}", "", f"{loss:.5f}", *("" for _ in costs)])
    for name, *row in zip(names, bits, map(lambda n: str(int(n)), seeds), *cells, *costs.values()):
        rows.append([f"`{name}`", *row])
    return markdown_table(rows)


def differences(run: Run, against: str) -> str:
    """What each variant has more than one of them at the same bits, with half the width of the interval of the
    difference. Raises LogError where no variant is called so."""
    key = key_of(run)
    names, bits = run.names("summary", key), settings_of(run, "summary")
    if against not in names:
        raise LogError(f"{run.path}: no {key} {against} (there are: {', '.join(dict.fromkeys(names))})")
    rows = [[f"{key}, minus `{against}`", "bits", "n", *HEADINGS]]
    (seeds,) = run.table("summary", "seeds")
    base_rows = {bits[row]: row for row in np.flatnonzero(names == against)}
    for row, name in enumerate(names):
        base = base_rows.get(bits[row])
        if base is None or base == row:
            continue
        cells = []
        for quantity, (_, unit, decimals) in QUANTITIES.items():
            mean, deviation = run.table("summary", f"{quantity}_mean", f"{quantity}_sd")
            around = difference_half_width(deviation[row], seeds[row], deviation[base], seeds[base])
            cells.append(mean_in_words(unit * (mean[row] - mean[base]), unit * around, decimals, "+"))
        rows.append([f"`{name}`", bits[row], f"{int(seeds[row])}, {int(seeds[base])}", *cells])
    return markdown_table(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 printed, 1 a log that cannot be read or has no summary."""
    parser = Parser(prog="result_table", description=__doc__)
    parser.add_argument("file", metavar="FILE.h5", type=Path)
    parser.add_argument("--against", metavar="NAME", help="differences from this variant at the same bits instead")
    options = parser.parse_args(arguments)
    try:
        run = read_run(options.file)
        print(differences(run, options.against) if options.against else markdown(run))
    except LogError as error:
        print(f"result_table: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
