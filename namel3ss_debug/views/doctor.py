"""What makes a program irreproducible, as a table and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from namel3ss_debug.replay.rerunning.findings import ERROR as HEAVY
from namel3ss_debug.replay.rerunning.findings import INFO, WEIGHTS, Found
from namel3ss_debug.replay.rerunning.findings import WARNING as LIGHT
from namel3ss_debug.replay.words import how_ended
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.recordings import short_site
from namel3ss_debug.views.tables import Cell, Column, name, number, prose, table
from namel3ss_debug.views.terminal import DIM, ERROR, HEADING, WARNING, Piece, fitted, line, piece

_STYLES = {HEAVY: ERROR, LIGHT: WARNING, INFO: DIM}
_REACHES = {
    "llm": "a question to a model",
    "tool": "a call of a tool",
    "http": "a request",
    "status": "the exit status",
    "output": "the output",
}
_COLUMNS = (
    Column(""),
    Column("source"),
    name("where"),
    number("times"),
    prose("reaches", 24),
)
_READ = (Column("source"), name("where"), number("times"), prose("what"))
_INDENT = "  "


def doctor_document(target: str, found: Sequence[Found], runs: int, status: int) -> dict[str, Any]:
    """Everything that was found.

    Args:
        target: the program.
        found: what was found, the most important first.
        runs: how often the program was run.
        status: its exit status in the first run.
    """
    return {
        "schema": "namel3ss-debug/doctor/1",
        "target": target,
        "runs": runs,
        "status": status,
        "findings": [_row(each) for each in found if each.weight != INFO],
        "inputs": [_row(each) for each in found if each.weight == INFO],
    }


def _row(found: Found) -> dict[str, Any]:
    row = asdict(found)
    row["times"] = found.times or None
    return row | {"advice": found.advice or None}


def doctor_lines(found: Sequence[Found], runs: int, status: int, width: int) -> Iterator[Text]:
    """The findings with their lines of code, other inputs that are read, and a summary.

    Args:
        found: what was found, the most important first.
        runs: how often the program was run.
        status: its exit status in the first run.
        width: the cells a line may take.
    """
    findings = [each for each in found if each.weight != INFO]
    inputs = [each for each in found if each.weight == INFO]
    if findings:
        rows = iter(table(_COLUMNS, map(_cells, findings), width))
        yield next(rows)
        for each, row in zip(findings, rows, strict=True):
            yield row
            yield from _details(each, width)
        yield line("")
    if inputs:
        yield fitted([Piece("given back by a re-run, and seen nowhere in what the program does", DIM)], width)
        yield from table(_READ, map(_read_cells, inputs), width, indent=_INDENT)
        yield line("")
    yield fitted([_sum(findings, runs, status)], width)


def _cells(found: Found) -> list[Cell]:
    return [
        Piece(found.weight, _STYLES[found.weight]),
        found.source,
        short_site(found.place) if found.place else "not known",
        str(found.times) if found.times else "",
        " and ".join(_REACHES[each] for each in found.reaches if each in _REACHES),
    ]


def _read_cells(found: Found) -> list[Cell]:
    what = found.what or found.code
    return [found.source, short_site(found.place) if found.place else "", str(found.times), what]


def _details(found: Found, width: int) -> Iterator[Text]:
    """The line of code, where it shows, both sides of the difference, and what can be done."""
    where = [short_site(each) for each in found.seen_at if each != found.place]
    shows = f"at {', '.join(where[:2])}{', ...' if len(where) > 2 else ''}" if where else ""
    rows = [
        piece(f"{found.what}: {found.code}" if found.what else found.code, "", 200),
        piece(": ".join(filter(None, (shows, found.example))), DIM, 400),
        piece(found.advice, HEADING),
    ]
    for row in rows:
        if row.plain:
            yield fitted([Piece(_INDENT), row], width)


def _sum(findings: Sequence[Found], runs: int, status: int) -> Piece:
    times = f"run {count(runs, 'time')}" + (f", ended {how_ended(status)}" if status else "")
    if not findings:
        return Piece(f"no findings, the runs did not differ; {times}")
    weights = Counter(each.weight for each in findings)
    parts = [count(weights[weight], weight) for weight in WEIGHTS if weights[weight]]
    return Piece(f"{', '.join(parts)}; {times}", ERROR if weights[HEAVY] else WARNING)
