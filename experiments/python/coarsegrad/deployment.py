"""Reads what experiments/tools/deploy_report measured of packed models, and says it in Markdown.

from coarsegrad.deployment import markdown, read_report
print(markdown(read_report("experiments/results/deployment/deployment.json")))
"""
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .markdown_table import markdown_table

SCHEMA = "coarsegrad-deployment/1"
PACKED, FLOAT = "packed", "our float network"  # the two sides that are ours
Condition = tuple[int, int]  # threads, images that go in together


class ReportError(Exception):
    """Says in one line why a file is no report."""


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and the least and the greatest of them."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


class Report:
    """What was measured. `facts` is the file: processor, kernels, versions, conditions. Each of the `networks` has name,
    net (its architecture), bits, dataset, accuracy (a share, or None), bytes and float_bytes."""

    def __init__(self, facts: dict[str, Any]) -> None:
        if facts.get("schema") != SCHEMA:
            raise ReportError(f"given the schema {facts.get('schema')!r}, expected {SCHEMA}")
        self.facts = facts
        self.networks: list[dict[str, Any]] = facts["networks"]
        self._speeds: dict[tuple[str, str, Condition], list[float]] = {
            (entry["of"], entry["side"], (entry["threads"], entry["batch"])): entry["images_per_second"]
            for entry in facts["speeds"]
        }

    @property
    def conditions(self) -> list[Condition]:
        """In ascending order, as they were measured."""
        return sorted({condition for _, _, condition in self._speeds})

    @property
    def others(self) -> list[str]:
        """The sides that packed models are compared with, our own first, in the order of the file."""
        sides = dict.fromkeys(side for _, side, _ in self._speeds if side not in (PACKED, FLOAT))
        return ([FLOAT] if any(side == FLOAT for _, side, _ in self._speeds) else []) + list(sides)

    @property
    def architectures(self) -> list[str]:
        """In the order of the networks."""
        return list(dict.fromkeys(network["net"] for network in self.networks))

    def rounds(self, of: str, side: str, condition: Condition) -> list[float]:
        """Images per second in each round: of a network by its name where the side is PACKED, of an architecture
        otherwise. Empty where it was not measured."""
        return self._speeds.get((of, side, condition), [])

    def gain(self, network: dict[str, Any], side: str, condition: Condition) -> Spread | None:
        """How many times as fast a packed model is as a side, round by round; None where one was not measured."""
        ours = self.rounds(network["name"], PACKED, condition)
        theirs = self.rounds(network["net"], side, condition)
        ratios = [a / b for a, b in zip(ours, theirs)]
        return spread(ratios) if ratios else None


def read_report(path: str | os.PathLike[str]) -> Report:
    """Raises ReportError, which begins with the file's name, for a file that is missing or no report."""
    try:
        with open(path, encoding="utf-8") as file:
            return Report(json.load(file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ReportError) as error:
        raise ReportError(f"{path}: no report of deploy_report: {error}") from None


def condition_in_words(condition: Condition) -> str:
    """The condition (2, 128) is: batch 128, 2 threads."""
    threads, batch = condition
    return f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}"


def _speed(values: Sequence[float]) -> str:
    """In a cell, empty where nothing was measured."""
    if not values:
        return ""
    s = spread(values)
    return f"{s.median:,.0f} ({s.least:,.0f} to {s.most:,.0f})"


def _gain(gain: Spread | None) -> str:
    """In a cell, empty where nothing was measured."""
    return f"**{gain.median:.2f}** ({gain.least:.2f} to {gain.most:.2f})" if gain else ""


def sizes_and_speeds(report: Report) -> str:
    """A line for each packed model: accuracy, bytes on disk, images per second."""
    rows = [["network", "bits", "test %", "bytes", "smaller", *map(condition_in_words, report.conditions)]]
    for network in report.networks:
        accuracy, size = network["accuracy"], network["bytes"]
        rows.append(
            [
                f"`{network['name']}`",
                network["bits"],
                "" if accuracy is None else f"{100 * accuracy:.2f}",
                f"{size:,}",
                f"{network['float_bytes'] / size:.1f}",
                *(_speed(report.rounds(network["name"], PACKED, c)) for c in report.conditions),
            ]
        )
    return markdown_table(rows)


def gains(report: Report) -> str:
    """A line for each packed model and condition: how many times as fast as each other side it is."""
    rows = [["network", "bits", "", *report.others]]
    for network in report.networks:
        for condition in report.conditions:
            cells = [_gain(report.gain(network, side, condition)) for side in report.others]
            if any(cells):
                rows.append([f"`{network['name']}`", network["bits"], condition_in_words(condition), *cells])
    return markdown_table(rows)


def other_speeds(report: Report) -> str:
    """A line for each architecture and other side: images per second."""
    rows = [["network", "side", *map(condition_in_words, report.conditions)]]
    for net in report.architectures:
        for side in report.others:
            cells = [_speed(report.rounds(net, side, c)) for c in report.conditions]
            if any(cells):
                rows.append([f"`{net}`", side, *cells])
    return markdown_table(rows)


def markdown(report: Report) -> str:
    """All tables, and what was left out."""
    parts = [
        "Images/s; medians of the rounds (least to most):",
        sizes_and_speeds(report),
        "Times as fast as each other side, medians of the ratios of single rounds (least to most):",
        gains(report),
        "The other sides, images/s:",
        other_speeds(report),
    ]
    if skipped := report.facts["skipped"]:
        parts.append("\n".join(f"* skipped: {why}" for why in skipped))
    return "\n\n".join(parts)


PAGE = """# Packed models beside other runtimes

Written, with its figures, by `experiments/tools/deploy_report` from [deployment.json](deployment.json) alone:

```sh
experiments/tools/deploy_report --data data --peers DIR --python VENV/bin/python --rounds {rounds} --seconds {seconds:g}
experiments/tools/deploy_report --from experiments/results/deployment/deployment.json  # draws it again
```

{cpu}, {cores} cores, kernel table `{kernels}`, version {version}, commit {git_commit}, {created}. {rounds} rounds, in each of
which every side was timed once after the other; ours for {seconds:g} s or more, the peers as their scripts do it. Peers: {peers}.

* Images/s are those of the median latency of a round. Only ratios carry over to other machines.
* "Bits" are those of most weights and of most activations; the first or the last layer may have more.
* "Our float network" is the one of the same architecture without quantizers, frozen and run by the same program: the faster of
  our two float paths, since it needs neither autograd nor a loader. "Smaller" compares the bytes of the two files.
* The peers run networks of the same architecture with weights of their own: right for speed, nothing about accuracy.
* Every packed model was compared with its network, layer by layer and bit for bit, before it was timed.

{tables}

| | |
| --- | --- |
| ![accuracy against latency](deployment-latency.png) | ![accuracy against bytes](deployment-bytes.png) |
"""


def page(report: Report) -> str:
    """The page of results: conditions, tables and figures."""
    peers = ", ".join(f"{name} {version}" for name, version in report.facts["peer_versions"].items()) or "none"
    return PAGE.format(**report.facts | {"peers": peers, "tables": markdown(report)})
