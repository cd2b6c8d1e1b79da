"""Show what makes a program non-deterministic, as a table and as a document."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from namel3ss_debug.replay.debugger.replies import describe_exit
from namel3ss_debug.replay.rerun.doctor_findings import ERROR as HEAVY
from namel3ss_debug.replay.rerun.doctor_findings import INFO, SEVERITIES, DoctorFinding
from namel3ss_debug.replay.rerun.doctor_findings import WARNING as LIGHT
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, Column, name, number, prose, table
from namel3ss_debug.views.terminal import (
    DIM,
    ERROR,
    HEADING,
    WARNING,
    Piece,
    clean,
    fitted,
    line,
    piece,
    wrapped_lines,
)

_STYLES = {HEAVY: ERROR, LIGHT: WARNING, INFO: DIM}
_REACHES = {
    "llm": "a request to a model",
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


def doctor_document(
    target: str, found: Sequence[DoctorFinding], runs: int, status: int, kept: Sequence[str] = ()
) -> dict[str, Any]:
    """Return everything that was found, as JSON.

    Args:
        target: the program.
        found: the findings, the most important first.
        runs: how often the program was run.
        status: its exit status in the first run.
        kept: the traces of the first run and of those that differed.
    """
    return {
        "schema": "namel3ss-debug/doctor/2",
        "target": target,
        "runs": runs,
        "status": status,
        "traces": list(kept),
        "findings": [_row(each) for each in found if each.severity != INFO],
        "inputs": [_row(each) for each in found if each.severity == INFO],
    }


def _row(found: DoctorFinding) -> dict[str, Any]:
    row = asdict(found)
    row["times"] = found.times or None
    return row | {"advice": found.advice or None}


def doctor_lines(
    found: Sequence[DoctorFinding], runs: int, status: int, kept: Sequence[str], width: int
) -> Iterator[Text]:
    """Yield the findings with their lines of code, other inputs that are read, and a summary.

    Args:
        found: the findings, the most important first.
        runs: how often the program was run.
        status: its exit status in the first run.
        kept: the traces of the first run, which event numbers belong to, and of those that differed.
        width: the cells a line may take.
    """
    findings = [each for each in found if each.severity != INFO]
    inputs = [each for each in found if each.severity == INFO]
    if findings:
        rows = iter(table(_COLUMNS, map(_cells, findings), width))
        yield next(rows)
        for each, row in zip(findings, rows, strict=True):
            yield row
            yield from _details(each, width)
        yield line("")
    if inputs:
        yield fitted([Piece("replayed by a re-run, without effect on what the program does", DIM)], width)
        yield from table(_READ, map(_read_cells, inputs), width, indent=_INDENT)
        yield line("")
    yield fitted([_sum(findings, runs, status)], width)
    for path in kept[1:]:
        yield line(f"kept: namel3ss debug diff {shlex.quote(kept[0])} {shlex.quote(path)}")


def _cells(found: DoctorFinding) -> list[Cell]:
    return [
        Piece(found.severity, _STYLES[found.severity]),
        found.source,
        short_site(found.call_site) if found.call_site else "not known",
        str(found.times) if found.times else "",
        " and ".join(_REACHES[each] for each in found.reaches if each in _REACHES),
    ]


def _read_cells(found: DoctorFinding) -> list[Cell]:
    what = found.what or found.code
    return [found.source, short_site(found.call_site) if found.call_site else "", str(found.times), what]


def _details(found: DoctorFinding, width: int) -> Iterator[Text]:
    """Yield the line of code, where it shows, both sides of the difference, and what to do."""
    where = [short_site(each) for each in found.shown_at if each != found.call_site]
    shows = f"at {', '.join(where[:2])}{', ...' if len(where) > 2 else ''}" if where else ""
    rows = [
        piece(f"{found.what}: {found.code}" if found.what else found.code, "", 200),
        piece(": ".join(filter(None, (shows, found.example))), DIM, 400),
    ]
    for row in rows:
        if row.plain:
            yield fitted([Piece(_INDENT), row], width)
    request = found.race or (f"event {found.request} changed" if found.request else "")
    if request:
        yield from wrapped_lines(clean(request), width, first=_INDENT, further=_INDENT)
    if found.advice:
        yield fitted([Piece(_INDENT), piece(found.advice, HEADING)], width)


def _sum(findings: Sequence[DoctorFinding], runs: int, status: int) -> Piece:
    times = f"run {count(runs, 'time')}" + (f", ended {describe_exit(status)}" if status else "")
    if not findings:
        return Piece(f"no findings, the runs did not differ; {times}")
    severities = Counter(each.severity for each in findings)
    parts = [count(severities[severity], severity) for severity in SEVERITIES if severities[severity]]
    return Piece(f"{', '.join(parts)}; {times}", ERROR if severities[HEAVY] else WARNING)
