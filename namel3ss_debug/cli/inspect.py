"""`debug inspect`: the events of a trace as a table, a tree, bars over time, or one of them in full."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    limit_option,
    open_reference,
    reading,
    report_problems,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.views.report import Records, Report

if TYPE_CHECKING:
    from rich.text import Text

    from namel3ss_debug.inspection import Selection, Surroundings
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.traces.source_files import SourceLines
    from namel3ss_debug.views.blocks import Block

SCHEMA = "namel3ss-debug/inspect/1"
LIMIT = 1000
"""The rows that are shown if the user sets no limit: of a tree and of bars always, of a table on a terminal."""

CALLS = frozenset({"llm_call_start", "llm_call_end", "tool_call_start", "tool_call_end"})
"""The events that are shown as what was read and written."""

COUNTED = 10_000
"""The rows that are counted behind the last one shown; what comes after them need not be read to say that there is more."""

EVENT_COLUMNS = [
    "number",
    "event_type",
    "component",
    "component_name",
    "timestamp",
    "duration_ms",
    "status",
    "tokens_used",
    "cost_estimate",
    "error_type",
    "error",
    "call_site",
    "event_id",
    "parent_event_id",
    "inputs",
    "outputs",
    "metadata",
]


def report_event(trace: Trace, number: int, *, raw: bool) -> Report:
    """Return the report on one event in full, with what is around it; a call as what was read and written unless `raw`.

    Raises:
        UnreadableTraceError: there is no event of this number.
    """
    from namel3ss_debug.inspection import find_surroundings
    from namel3ss_debug.traces.costs import span_cost
    from namel3ss_debug.traces.variables import read_variables
    from namel3ss_debug.views.blocks import Lines
    from namel3ss_debug.views.details import call_in_full, event_in_full

    with reading(trace):
        around = find_surroundings(trace, number)
        variables = read_variables(trace, number)
    half = around.other_half
    cost = span_cost(half[1] if half else {}, around.event)
    document = {
        "schema": SCHEMA,
        "trace": str(trace.path),
        "number": number,
        "event": around.event,
        "other_half": half[0] if half else None,
        "above": [place for place, _ in around.above],
        "inside": [place for place, _ in around.inside],
        "inside_total": around.inside_total,
        "cost": cost.dollars if cost else None,
        "priced_by": cost.source if cost else None,
        "variables": variables and asdict(variables),
    }
    is_call = around.event["event_type"] in CALLS and not raw
    source = find_source(trace, around) if is_call else None

    def draw(width: int) -> Iterator[Text]:
        if is_call:
            return call_in_full(around, width, find_start(trace), source)
        return event_in_full(around, width, find_start(trace), variables)

    drawn = Lines(draw)
    row = {"number": number} | around.event
    return Report([drawn], document, rows=[around.event], tables={"events": Records([row], EVENT_COLUMNS)})


def find_source(trace: Trace, around: Surroundings) -> SourceLines | None:
    """Return the function of the tool that an event called; None where the trace does not name it, or it is not here."""
    from namel3ss_debug.traces.source_files import read_source
    from namel3ss_debug.wire import lenient

    halves = (around.event, around.other_half[1] if around.other_half else {})
    sites = (lenient.mapping(each.get("metadata")).get("defined_at") for each in halves)
    site = next((each for each in sites if isinstance(each, str)), None)
    if site is None:
        return None
    start = lenient.mapping(trace.event(1).get("metadata"))
    return read_source(site, [start.get("cwd")], around.event.get("timestamp"), body=True)


def report_events(trace: Trace, wanted: Selection, limit: int | None, *, chunks: bool, quiet: bool) -> Report:
    """Return the report on the wanted events, which are read while it is written."""

    def read() -> Iterator[tuple[int, Event]]:
        from namel3ss_debug.inspection import select

        with reading(trace):
            yield from select(trace, wanted, limit=limit or None)

    document = {
        "schema": SCHEMA,
        "trace": str(trace.path),
        "events": (with_number(number, event) for number, event in read()),
        "problems": trace.problems_document,
    }
    return Report(
        event_blocks(trace, wanted, limit, chunks=chunks, quiet=quiet),
        document,
        rows=map(itemgetter(1), read()),
        tables={"events": Records((with_number(*item) for item in read()), EVENT_COLUMNS)},
    )


def event_blocks(
    trace: Trace, wanted: Selection, limit: int | None, *, chunks: bool, quiet: bool
) -> Iterator[Block]:
    """Yield the wanted events as rows, and a note on what was left out."""
    from namel3ss_debug.inspection import FoldedEvents
    from namel3ss_debug.views.blocks import ForWidth, Lines
    from namel3ss_debug.views.inspection import event_table, more_events
    from namel3ss_debug.views.replay import left_out

    most = LIMIT if limit is None and sys.stdout.isatty() else limit or None
    folded = FoldedEvents(trace, wanted, chunks=chunks, quiet=quiet)
    with reading(trace):
        found = iter(folded)
        started_at = find_start(trace)
        first = next(found, None)
        if first is None and not folded.left_out:
            report_no_match(trace, wanted, folded.left_out_quiet)
            return
        if first is not None:
            rows = islice(chain([first], found), most)
            yield ForWidth(lambda width: [event_table(rows, width, started_at)])
        if left := sum(1 for _ in islice(found, COUNTED + 1)):
            yield more_events(left, COUNTED)
        else:
            yield Lines(lambda _: left_out(folded.left_out))


def report_spans(trace: Trace, wanted: Selection, limit: int | None, *, bars: bool, quiet: bool) -> Report:
    """Return the report on the spans of the wanted events, as a tree or as bars."""
    from namel3ss_debug.inspection import make_rows, read_halves, select_forest, sort_by_start

    def blocks() -> Iterator[Block]:
        from namel3ss_debug.views.inspection import timeline_blocks, tree_blocks

        with reading(trace):
            most = LIMIT if limit is None else limit or None
            chosen = select_forest(trace, wanted, limit=most, quiet=quiet)
        if chosen.total:
            with reading(trace):
                yield from (
                    timeline_blocks(chosen) if bars else tree_blocks(chosen, read_halves(trace, chosen))
                )
        else:
            report_no_match(trace, wanted)

    def rows() -> Iterator[dict[str, Any]]:
        with reading(trace):
            found = make_rows(select_forest(trace, wanted, limit=limit or None, quiet=quiet))
        yield from map(asdict, sort_by_start(found) if bars else found)

    head = {"schema": SCHEMA, "trace": str(trace.path)}
    return Report(
        blocks(), head | {"spans": lambda: list(rows())}, rows=rows(), tables={"spans": Records(rows())}
    )


def with_number(number: int, event: Event) -> Event:
    """Return the event with its number as the first key."""
    return {"number": number} | event | {"number": number}


def find_start(trace: Trace) -> float | None:
    """Return when the trace began, in seconds since the epoch."""
    return next((event.get("timestamp") for event in trace.events()), None)


def report_no_match(trace: Trace, wanted: Selection, left_out: int = 0) -> None:
    """Print that no events match, and which name or which expression may have been meant, or what `--all` shows."""
    from namel3ss_debug.inspection import describe_unknown_name
    from namel3ss_debug.views.quantities import count

    hint = describe_unknown_name(trace, wanted) or (
        wanted.condition.hint if wanted.condition is not None else ""
    )
    if left_out:
        hint = f"{count(left_out, 'record')} of inputs and of commands of libraries would, with --all"
    notify("no events match" + (f"; {hint}" if hint else ""))


def report_mismatches(wanted: Selection) -> None:
    """Print which comparisons of `--where` had operands of different types."""
    mismatches = wanted.condition.describe_mismatches() if wanted.condition is not None else ""
    if mismatches:
        notify(f"--where: {mismatches}")


@click.command("inspect")
@trace_argument
@click.option(
    "--event", type=click.IntRange(min=1), metavar="N", help="Event N in full, with what is around it."
)
@click.option("--raw", is_flag=True, help="With --event: its fields as they are in the trace.")
@click.option("--tree", is_flag=True, help="The spans inside one another.")
@click.option("--timeline", is_flag=True, help="The spans as bars over time.")
@click.option("--agent", metavar="NAME", help="What this agent did; * and ? stand for anything in a name.")
@click.option("--chain", metavar="NAME", help="What happened in this chain.")
@click.option("--prompt", metavar="NAME", help="What happened with this prompt.")
@click.option("--tool", metavar="NAME", help="The calls of this tool.")
@click.option("--llm", metavar="NAME", help="The calls of this model.")
@click.option("--errors-only", is_flag=True, help="Failures only.")
@click.option("--where", metavar="EXPR", help="Events of which this is true, such as 'duration_ms > 500'.")
@click.option("--chunks", is_flag=True, help="Show the chunks of streamed answers too.")
@click.option(
    "--all", "everything", is_flag=True, help="Show chunks, records of inputs and commands of libraries too."
)
@limit_option("Show at most this many events or spans; 0 for all.")
@reporting()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    reference: str | None,
    *,
    event: int | None,
    raw: bool,
    tree: bool,
    timeline: bool,
    where: str | None,
    limit: int | None,
    chunks: bool,
    everything: bool,
    **names: Any,
) -> Report:
    """Look at the events of a trace: as a table, or one of --event, --tree and --timeline.

    The other options choose the events of a table, tree or timeline; every one of them must hold. The names of an
    expression are the fields of an event, and kind, name, llm, tool, agent and n: --where 'tool == "search" and
    duration_ms > 500'. A text anywhere in a payload is found by --where '"S-00" in text(outputs)'.
    """
    from namel3ss_debug.expressions import compile_expression
    from namel3ss_debug.inspection import CHUNK, Selection
    from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ

    shapes = {"event": event, "tree": tree, "timeline": timeline}
    chosen = [name for name, value in shapes.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other", ctx)
    if raw and event is None:
        raise click.UsageError("--raw shows the fields of one event; give it with --event N", ctx)
    wanted = Selection(
        where=compile_expression(where, notes_mismatches=True) if where is not None else None, **names
    )
    try:
        trace = open_reference(reference)
    except TraceNotFoundError as error:
        if event is not None or not (reference or "").isdecimal():
            raise
        raise TraceNotFoundError(f"{error}; an event is shown by --event {reference}") from None
    if event is not None:
        report = report_event(trace, event, raw=raw)
    elif tree or timeline:
        report = report_spans(trace, wanted, limit, bars=timeline, quiet=everything)
    else:
        chunks = chunks or everything or CHUNK in (where or "")
        everything = everything or INPUTS_READ in (where or "")
        report = report_events(trace, wanted, limit, chunks=chunks, quiet=everything)

    def notices() -> None:
        report_problems(trace)
        report_mismatches(wanted)

    return replace(report, notices=notices)
