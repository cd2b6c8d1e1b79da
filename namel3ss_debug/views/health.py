"""What was found wrong with a run, as a report: the score with its parts, and the heaviest findings with commands.

Nothing here praises a run. Without findings it says what was looked for, and that the outcome was not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text

from namel3ss_debug.analysis.health import OF_COST
from namel3ss_debug.traces.marks import BAD, mark_from_json
from namel3ss_debug.views.blocks import Block, Heading, Note, Points, Table
from namel3ss_debug.views.quantities import is_number, percent
from namel3ss_debug.views.tables import Column, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section

MOST_IMPORTANT = 3
MOST_SHOWN = 6
"""As many findings as the first screen has at most."""

_STYLES = {"moderate": WARNING, "serious": ERROR, "critical": ERROR}


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
        yield Heading(f"Health {percent(section['score'])}  {_level(section)}", aside, _STYLES.get(level, ""))
    yield _scores("part", section.get("parts") or {})
    yield Heading("Sections")
    yield _scores("section", section.get("sections") or {})
    yield from _findings("Findings", section.get("findings") or [], SHOWN, reference)
    left = int(section.get("finding_count") or 0) - SHOWN
    if left > 0:
        yield Note(f"… {left:,} more; --format json lists them")


def _level(section: Section) -> str:
    """Return how much the findings weigh, in words: `serious findings`, `no findings`."""
    return f"{section.get('level')} findings" if section.get("finding_count") else "no findings"


def judgement(mark: Section) -> Text:
    """Return how the user has marked the run, in red if it is marked bad."""
    return text(mark_from_json(mark).describe(), ERROR if mark["judgement"] == BAD else "", 400)


def matters(
    found: Sequence[Section], reference: str = "", *, width: int | None = None, lines: int = 0
) -> Iterator[Block]:
    """Yield the first findings, each with the command that shows more; where none is about what went wrong, where to look.

    Args:
        found: the findings, the most important first.
        reference: how the trace is named in a command; empty for the latest. A finding may have its own.
        width: the cells of a line, where only some lines are free.
        lines: how many; at least one finding is shown.
    """
    wrong = [row for row in found if row.get("part") not in OF_COST]
    if not wrong:
        yield Heading("No findings" if not found else "Nothing wrong was found")
        yield Note(" ".join(filter(None, ("what it did: namel3ss debug show", reference))))
        yield Note(
            " ".join(filter(None, ("if it is wrong: namel3ss debug diff GOOD", reference or "latest")))
        )
        yield Note(f"or: namel3ss debug mark {reference + ' ' if reference else ''}bad --event N")
        lines -= 3
    most = MOST_IMPORTANT if width is None else _fitting(found, width, lines)
    yield from _findings("Findings" if wrong else "Time and cost", found, most, reference)
    if len(found) > most:
        yield Note(f"… {len(found) - most:,} more: analyze --health")


def _fitting(found: Sequence[Section], width: int, lines: int) -> int:
    """Return how many findings fit into some lines."""
    for shown, row in enumerate(found[:MOST_SHOWN]):
        lines -= 1 + -(-len(describe_finding(row)) // max(width - 8, 1))
        if lines < 0:
            return max(shown, 1)
    return min(len(found), MOST_SHOWN)


def _findings(title: str, found: Iterable[Section], most: int, reference: str) -> Iterator[Block]:
    shown = list(found)[:most]
    if shown:
        yield Heading(title)
        yield Points(
            [
                (
                    describe_finding(row),
                    " ".join(filter(None, (row.get("suggestion"), row.get("reference") or reference))),
                )
                for row in shown
            ]
        )


def describe_finding(row: Section) -> str:
    """Return what was seen, after the event that proves it."""
    evidence, events = str(row.get("evidence") or ""), row.get("events")
    return f"event {events[0]}: {evidence}" if events else evidence


def _deciding(section: Section) -> str:
    """Return the measures that allow no better level, with their values."""
    measures = section.get("measures") or {}
    named = {"success_rate": "of the spans did their work", "integrity": "integrity"}
    described = []
    for measure in section.get("decided_by") or ():
        value = measures.get(measure)
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
