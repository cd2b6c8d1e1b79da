"""Who called whom and the messages between agents, as a report: unanswered messages first."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.analysis.sections.interactions import MESSAGE_TABLE
from namel3ss_debug.views.blocks import Block, Heading, Table
from namel3ss_debug.views.quantities import count, milliseconds, tokens
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, event_numbers, failed, more, operation_cell

_MOST_EVENTS = 8


def interactions(section: Section, *, alone: bool = False) -> Iterator[Block]:
    """Messages without an answer or sent again, who called whom, hand-offs, messages.

    Args:
        section: the section of the document.
        alone: whether the report is about this section only; otherwise a run without agents has no such part.
    """
    messages = section.get("messages") or {}
    yield from _lacking(messages)
    calls = section.get("calls") or []
    if calls and (alone or any(row.get("from") for row in calls)):
        yield Heading("Interactions")
        yield Table(
            (
                name("from", 10),
                name("called", 14),
                number("calls"),
                number("failed"),
                number("open"),
                number("total ms"),
                number("tokens"),
            ),
            [
                (
                    _agent(row.get("from"), "the program"),
                    operation_cell(row),
                    tokens(row.get("count")),
                    failed(row.get("failed")),
                    text(row["open"], WARNING) if row.get("open") else "",
                    milliseconds(row.get("total_ms")),
                    tokens(row.get("tokens")) if row.get("tokens") else "",
                )
                for row in calls[:SHOWN]
            ],
        )
        yield from more(int(section.get("pairs") or 0), len(calls[:SHOWN]))
    elif alone:
        yield Heading("Interactions", "nothing was called")
    yield from _hand_offs(section.get("hand_offs") or [])
    yield from listing(section, MESSAGE_TABLE)


def _lacking(messages: Section) -> Iterator[Block]:
    """Yield the messages that had no answer, and those that were sent again."""
    unanswered, repeated = messages.get("unanswered") or {}, messages.get("repeated") or {}
    rows = [
        (_agent(row.get("from")), _agent(row.get("to")), "no answer", text(row.get("number"), DIM))
        for row in (unanswered.get("listed") or [])[:SHOWN]
    ]
    rows += [
        (
            _agent(row.get("from")),
            _agent(row.get("to")),
            f"the same text {tokens(row.get('count'))} times",
            text(event_numbers(row.get("numbers"), _MOST_EVENTS), DIM, 60),
        )
        for row in (repeated.get("listed") or [])[:SHOWN]
    ]
    if not rows:
        return
    counted = [
        f"{count(int(found.get('count') or 0), 'message')} {what}"
        for found, what in ((unanswered, "without an answer"), (repeated, "sent again"))
        if found.get("count")
    ]
    yield Heading(", ".join(counted), style=WARNING)
    yield Table((name("from", 10), name("to", 10), prose("what", 12), Column("events", least=8)), rows)
    yield from more(int(unanswered.get("count") or 0) + int(repeated.get("count") or 0), len(rows))


def _hand_offs(found: list[Section]) -> Iterator[Block]:
    if not found:
        return
    yield Heading("Hand-offs")
    yield Table(
        (name("from", 10), name("to", 10), number("times"), prose("known by", 8), Column("events", least=8)),
        [
            (
                _agent(row.get("from")),
                _agent(row.get("to")),
                tokens(row.get("count")),
                "a message" if row.get("kind") == "recorded" else "the tool's name",
                text(event_numbers(row.get("numbers"), _MOST_EVENTS), DIM, 60),
            )
            for row in found[:SHOWN]
        ],
    )
    yield from more(len(found), len(found[:SHOWN]))


def _agent(label: object, otherwise: str = "not known") -> Cell:
    return text(label, COMPONENT_STYLES["agent"], 60) if label else text(otherwise, DIM)
