"""What decided how long a run took, as a report: violated dependencies first, then the critical path, then savings."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.quantities import count, duration, is_number, milliseconds, percent, tokens
from namel3ss_debug.views.tables import Column, name, number, prose
from namel3ss_debug.views.terminal import DIM, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, more, operation_cell

_NUMBER = Column("n", align="right", style=DIM)


def dependencies(section: Section) -> Iterator[Block]:
    """Violations, the critical path by operation and by span, and what could have run at the same time."""
    if not section.get("spans"):
        return
    yield from _violations(section.get("violations") or {})
    yield from _critical_path(section)
    yield from _schedule(section)
    yield from _parallel(section.get("parallel") or {})
    if section.get("spans_left_out"):
        yield Note(f"{tokens(section['spans_left_out'])} shorter spans were left out")


def _violations(violations: Section) -> Iterator[Block]:
    total = violations.get("count") or 0
    if not total:
        return
    yield Heading(count(total, "span") + " began before what it needs had ended", style=WARNING)
    rows = violations.get("listed") or []
    yield Table(
        (_NUMBER, name("span", 16), number("needs"), number("early ms")),
        [
            (
                text(row.get("number"), DIM),
                operation_cell(row),
                tokens(row.get("needs")),
                milliseconds(row.get("early_ms")) if row.get("needed_ended") else "never ended",
            )
            for row in rows[:SHOWN]
        ],
    )
    yield from more(total, len(rows[:SHOWN]))


def _critical_path(section: Section) -> Iterator[Block]:
    path = section.get("critical_path") or {}
    operations = path.get("operations") or []
    edges = section.get("edges") or {}
    found = [f"{tokens(edges[kind])} {kind}" for kind in ("recorded", "inferred") if edges.get(kind)]
    yield Heading("Critical path", f"what the {duration(section.get('wall_ms'))} were made of")
    parallelism = section.get("parallelism")
    yield Facts(
        [
            ("work", duration(section.get("work_ms"))),
            ("at once", f"{parallelism:.2f} on average" if is_number(parallelism) else ""),
            ("needs", ", ".join(found)),
        ]
    )
    if operations:
        yield Table(
            (name("operation", 16), number("spans"), number("ms"), number("share")),
            [
                (
                    operation_cell(row) if row.get("component") else text("outside of any span", DIM),
                    tokens(row.get("spans")) if row.get("spans") else "",
                    milliseconds(row.get("ms")),
                    percent(row.get("share")),
                )
                for row in operations[:SHOWN]
            ],
        )
        yield from more(len(operations), len(operations[:SHOWN]))


def _schedule(section: Section) -> Iterator[Block]:
    rows = section.get("schedule") or []
    longest = sorted(
        rows,
        key=lambda row: (
            -(row.get("critical_ms") or 0),
            -(row.get("duration_ms") or 0),
            row.get("number") or 0,
        ),
    )[:SHOWN]
    if not longest:
        return
    yield Heading("Spans on the path", "slack: how much longer without delaying the run")
    yield Table(
        (
            _NUMBER,
            name("span", 16),
            number("ms"),
            number("on the path"),
            number("slack ms"),
            prose("needs", 6),
        ),
        [
            (
                text(row.get("number"), DIM),
                operation_cell(row),
                milliseconds(row.get("duration_ms")),
                milliseconds(row.get("critical_ms")),
                milliseconds(row.get("slack_ms")),
                text(_numbers(row.get("needs") or ()), DIM, 40),
            )
            for row in longest
        ],
    )
    yield from more(section.get("spans"), len(longest))


def _parallel(parallel: Section) -> Iterator[Block]:
    saves = parallel.get("saves_ms")
    if not is_number(saves):
        reason = parallel.get("reason")
        if reason:
            yield Note(f"what could have run at the same time is not known: {reason}")
        return
    chances = parallel.get("chances") or []
    if not chances:
        return
    yield Heading(
        f"{duration(saves)} could be saved in parallel",
        f"{percent(parallel.get('share'))} of the run, by what was recorded",
    )
    yield Table(
        (_NUMBER, name("inside", 14), number("saves ms"), prose("could have run at the same time", 16)),
        [
            (
                text(row.get("number") or "", DIM),
                operation_cell(row) if row.get("component") else text("the run", DIM),
                milliseconds(row.get("saves_ms")),
                text("; ".join(_numbers(group) for group in row.get("groups") or ()), limit=120),
            )
            for row in chances[:SHOWN]
        ],
    )
    yield from more(len(chances), len(chances[:SHOWN]))


def _numbers(events: object) -> str:
    return ", ".join(map(str, events)) if isinstance(events, list) else ""
