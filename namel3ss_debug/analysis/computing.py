"""Compute the sections of the table of sections: one pass over the events makes the table of spans, the sections read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVERY_OTHER_SECTION, ComputedSections, Section
from namel3ss_debug.analysis.sections.table import SECTIONS, in_order
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.span_table import SpanTableBuilder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


def needed_sections(
    sections: Collection[str] | None, table: Mapping[str, Section] = SECTIONS
) -> tuple[str, ...]:
    """Return these sections, all for None, and those that they read.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    waiting = list(table if sections is None else in_order(sections, table))
    needed = set(waiting)
    while waiting:
        others = set(_needs(waiting.pop(), table)) - needed
        needed |= others
        waiting += others
    return in_order(needed, table)


def _needs(name: str, table: Mapping[str, Section]) -> tuple[str, ...]:
    """Return the sections that a section reads."""
    needs = table[name].needs
    return tuple(other for other in table if other != name) if needs == EVERY_OTHER_SECTION else needs


def start_table(
    path: str, sections: Collection[str] | None, options: Options, table: Mapping[str, Section] = SECTIONS
) -> SpanTableBuilder:
    """Return the builder of a table of spans that has what some sections read.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    rows = [table[name] for name in needed_sections(sections, table)]
    facts = {fact.name: fact for row in rows for fact in row.facts}
    points = sorted({event_type for row in rows for event_type in row.points})
    watchers = {row.name: row.watch(options) for row in rows if row.watch is not None}
    return SpanTableBuilder(path, tuple(facts.values()), points, watchers)


def compute_sections(
    spans: SpanTable,
    sections: Collection[str] | None,
    options: Options,
    table: Mapping[str, Section] = SECTIONS,
) -> dict[str, Any]:
    """Return some sections, all for None, in the order of the table."""
    done = ComputedSections()
    done.rows = table
    wanted = tuple(table) if sections is None else in_order(sections, table)
    for name in wanted:
        _compute(name, spans, options, table, done)
    return {name: done[name] for name in wanted}


def _compute(
    name: str, spans: SpanTable, options: Options, table: Mapping[str, Section], done: ComputedSections
) -> None:
    if name in done:
        return
    row, needs = table[name], _needs(name, table)
    if spans.names_traces and callable(row.pooling):
        done[name] = row.pooling(spans, [about["sections"][name] for about in spans.about])
        return
    for needed in needs:
        _compute(needed, spans, options, table, done)
    if row.watch is not None:
        done[name] = spans.watchers[name].result(spans, done)
    elif row.compute is not None:
        done[name] = row.compute(spans, options, done) if needs else row.compute(spans, options)


def analyze_events(
    events: Iterable[Event],
    sections: Collection[str] | None = None,
    options: Options | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Return the sections of some events.

    Args:
        events: all events of a trace, in order.
        sections: the names of the sections; None for all.
        options: the user's settings of the analyses.
        **about: what is known of the trace besides: `problems`, `ending`, `noted_status`, `mark`.
    """
    options = options or Options()
    builder = start_table("", sections, options)
    builder.add(events)
    spans = builder.settle()
    spans.about[0] |= about
    return compute_sections(spans, sections, options)
