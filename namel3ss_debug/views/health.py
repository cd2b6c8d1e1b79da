"""What was found wrong with a run, as a report: the score with its parts, and the heaviest findings with commands.

Nothing here praises a run. Without findings it says what was looked for, and that the outcome was not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from namel3ss_debug.analysis.health import MARKED_BAD
from namel3ss_debug.views.blocks import Block, Heading, Note, Points, Table
from namel3ss_debug.views.quantities import is_number, percent
from namel3ss_debug.views.tables import Cell, Column, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, line, text
from namel3ss_debug.views.usage import SHOWN, Section

MOST_IMPORTANT = 3

_STYLES = {"moderate": WARNING, "serious": ERROR, "critical": ERROR}
_LOOKED_FOR = (
    "errors, unended spans, loops, stalls, gaps in the trace, passed limits, avoidable time and cost"
)


def health(section: Section, reference: str) -> Iterator[Block]:
    """Yield the score, what lowered each part and each section, and the findings.

    Args:
        section: the section of the document.
        reference: how the trace is named in a command; empty for the latest.
    """
    if section.get("score") is None:
        yield Heading("Health", f"not known: {section.get('reason') or 'nothing tells'}")
    else:
        level = str(section.get("level") or "")
        aside = "; ".join(filter(None, (_deciding(section), str(section.get("statement") or ""))))
        yield Heading(
            f"Health {percent(section['score'])}  {_weight(section)}", aside, _STYLES.get(level, "")
        )
    yield _scores("part", section.get("parts") or {})
    yield Heading("Sections")
    yield _scores("section", section.get("sections") or {})
    yield from _findings("Findings", section.get("findings") or [], SHOWN, reference)
    left = int(section.get("finding_count") or 0) - SHOWN
    if left > 0:
        yield Note(f"… {left:,} more; --format json lists them")


def fact(section: Section) -> Cell:
    """Return the score, how much the findings weigh, and what is known of the outcome; empty without a score."""
    if not is_number(section.get("score")):
        return ""
    level = str(section.get("level") or "")
    why = ", ".join(filter(None, (percent(section["score"]), _deciding(section, beside="success_rate"))))
    return line((_weight(section), _STYLES.get(level, "")), (f"  {why}", DIM))


def outcome(section: Section) -> Cell:
    """Return the errors seen and the user's judgement, in red if the run is marked bad."""
    statement = str(section.get("statement") or "")
    bad = any(row.get("id") == MARKED_BAD for row in section.get("findings") or ())
    return text(statement, ERROR if bad else "", 400)


def _weight(section: Section) -> str:
    """Return how much the findings weigh, in words: `serious findings`, `no findings`."""
    return f"{section.get('level')} findings" if section.get("finding_count") else "no findings"


def matters(found: Sequence[Section], reference: str = "", statement: str = "") -> Iterator[Block]:
    """Yield the heaviest findings, each with the command that shows more.

    Args:
        found: the findings, the heaviest first.
        reference: how the trace is named in a command; empty for the latest. A finding may have its own.
        statement: what is known of the outcome, for a run without findings.
    """
    if not found:
        yield Heading("No findings", statement)
        yield Note(f"looked for: {_LOOKED_FOR}")
        return
    yield from _findings("What matters most", found, MOST_IMPORTANT, reference)


def _findings(title: str, found: Iterable[Section], most: int, reference: str) -> Iterator[Block]:
    shown = list(found)[:most]
    if shown:
        yield Heading(title)
        yield Points(
            [
                (
                    str(row.get("evidence") or ""),
                    " ".join(filter(None, (row.get("suggestion"), row.get("reference") or reference))),
                )
                for row in shown
            ]
        )


def _deciding(section: Section, beside: str = "") -> str:
    """Return the measures that allow no better level, with their values, except one that is shown already."""
    measures = section.get("measures") or {}
    named = {"success_rate": "of the spans did their work", "integrity": "integrity"}
    described = []
    for measure in section.get("decided_by") or ():
        value = measures.get(measure)
        if measure == beside:
            continue
        if measure in named and is_number(value):
            described.append(f"{percent(value)} {named[measure]}")
    return ", ".join(described)


def _scores(header: str, rows: Section) -> Table:
    """Return one row for each part or section, with what lowered it."""
    return Table(
        (Column(header), number("score"), prose("lowered by", 16)),
        [
            (
                text(key.replace("_", " "), limit=40),
                percent(row.get("score")) if row.get("score") is not None else text("not known", DIM),
                text(
                    ", ".join(
                        f"{each['id'].replace('_', ' ')} {percent(each['weight'])}"
                        for each in row.get("lowered_by") or ()
                    ),
                    limit=200,
                ),
            )
            for key, row in rows.items()
        ],
    )


def of_recordings(rows: Iterable[Section]) -> list[dict[str, Any]]:
    """Return the heaviest finding of each trace, the heaviest first; one that several traces share is shown once.

    Args:
        rows: the findings, each with `reference`, the name of its trace.
    """
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: -float(row.get("weight") or 0)):
        kept.setdefault((str(row.get("id")), str(row.get("evidence")).partition(";")[0]), dict(row))
    return list(kept.values())
