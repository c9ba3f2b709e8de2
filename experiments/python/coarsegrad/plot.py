"""Draws the figures of run logs: plot FILE.h5 [FILE.h5 ...] --out DIR writes DIR/FILE-<figure>.png and .pdf. Runs of one
experiment are drawn over each other, into DIR/FILE+FILE-<figure>.png, with labels that say in which settings they differ;
figures that are made for one run only are refused for several."""
import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .logs import LogError, Run, base_name, read_run

MOST_IN_NAME = 3  # logs that the name of a picture names


class UsageError(Exception):
    """Says in one line what is wrong with what was asked for."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, and ends with 2."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> Parser:
    """What the command takes."""
    parser = Parser(prog="plot", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.h5", type=Path)
    parser.add_argument(
        "--out", type=Path, default=Path("."), metavar="DIR", help="where the pictures go (made if missing)"
    )
    parser.add_argument("--quiet", action="store_true", help="do not list the pictures")
    return parser


def by_experiment(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each experiment."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    return list(groups.values())


def picture_stem(runs: Sequence[Run]) -> str:
    """What the names of the pictures of these runs begin with: a+b for the logs a.h5 and b.h5, a+5_others for many."""
    names = [base_name(run.path) for run in runs]
    return "+".join(names) if len(names) <= MOST_IN_NAME else f"{names[0]}+{len(names) - 1}_others"


def check_names(files: Sequence[Path], groups: Sequence[Sequence[Run]]) -> None:
    """Raises UsageError for a log that is given twice, and for logs whose pictures would overwrite each other's."""
    places = [os.path.realpath(file) for file in files]
    if twice := next((file for file, place in zip(files, places) if places.count(place) > 1), None):
        raise UsageError(f"given {twice} twice, expected each log once")
    stems: dict[str, str] = {}
    for runs in groups:
        other = stems.setdefault(picture_stem(runs), runs[0].path)
        if other != runs[0].path:
            raise UsageError(
                f"given {other} and {runs[0].path}, whose pictures would have the same names, expected two --out"
            )


def figures_for(runs: Sequence[Run]) -> dict[str, Callable[..., Any]]:
    """The figures of the runs of one experiment. Raises UsageError where one of them cannot draw as many."""
    from .figures import figures_of, takes_several

    figures = figures_of(runs[0])
    if other := next((run for run in runs if figures_of(run) is not figures), None):
        raise UsageError(f"given {runs[0].path} and {other.path}, which have other figures, expected them one by one")
    alone = [name for name, figure in figures.items() if not takes_several(figure)]
    if alone and len(runs) > 1:
        raise UsageError(
            f"given {len(runs)} runs of {runs[0].experiment} ({runs[0].path}, ...), expected one at a time: made for one "
            f"run only are {', '.join(alone)}"
        )
    return figures


def draw(runs: Sequence[Run], figures: dict[str, Callable[..., Any]], out: Path) -> Iterator[Path]:
    """Draws what the logs have data for, and yields the paths written. Raises the first LogError when all else is
    drawn."""
    from .figures.style import save

    errors = []
    for name, figure in figures.items():
        try:
            if (drawn := figure(*runs)) is not None:
                yield from save(drawn, out, f"{picture_stem(runs)}-{name}")
        except LogError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 all drawn, 1 a log or a picture that could not be read or written, 2 wrong
    usage, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        groups = by_experiment([read_run(file) for file in options.files])
        check_names(options.files, groups)
        plan = [(runs, figures_for(runs)) for runs in groups]
        options.out.mkdir(parents=True, exist_ok=True)
        for runs, figures in plan:
            for picture in draw(runs, figures, options.out):
                if not options.quiet:
                    print(picture)
    except UsageError as error:
        return _failed(str(error), 2)
    except (LogError, OSError) as error:
        return _failed(str(error), 1)
    except ModuleNotFoundError as error:
        package = (error.name or "?").partition(".")[0]
        return _failed(f"needs {package}, which is not installed (Debian: python3-{package})", 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _failed(message: str, code: int) -> int:
    """Says why the command ends with this code."""
    print(f"plot: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
