"""Whether a trace can be trusted, as a report: what lowers the score first, then the events that show it."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.analysis.sections.integrity import EVIDENCE_TABLE
from namel3ss_debug.views.blocks import Block, Heading, Table
from namel3ss_debug.views.quantities import count, is_number, percent, tokens
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.tables import name, number, prose
from namel3ss_debug.views.terminal import DIM, WARNING, text
from namel3ss_debug.views.usage import Section


def integrity(section: Section) -> Iterator[Block]:
    """Yield the score with what lowers it, and what was found at which event."""
    score = section.get("score")
    lowered = section.get("lowered_by") or []
    if not is_number(score):
        return
    if not lowered:
        yield Heading("Integrity 100 %", "no event is missing, cut or impossible")
        return
    yield Heading(f"Integrity {percent(score)}", "how far the trace can be trusted", WARNING)
    yield Table(
        (name("found", 14), number("how many"), number("lowers by"), prose("because", 16)),
        [
            (
                text(str(entry.get("check", "")).replace("_", " "), limit=40),
                f"{tokens(entry.get('count'))} of {_with_noun(entry)}",
                percent(entry.get("lowered_by")),
                text(entry.get("why", ""), DIM, 120),
            )
            for entry in lowered
        ],
    )
    yield from listing(section, EVIDENCE_TABLE)


def _with_noun(entry: Section) -> str:
    unit = str(entry.get("unit", ""))
    of = entry.get("of")
    return (
        count(of, "process" if unit == "processes" else unit.removesuffix("s"), unit)
        if isinstance(of, int)
        else ""
    )
