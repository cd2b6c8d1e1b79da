"""`debug inspect`: the events of a recording as a table, a tree, bars over time, or one of them in full."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
    format_option,
    limit_option,
    open_reference,
    print_document,
    print_rows,
    reading,
    report_problems,
    trace_argument,
    write_json,
)

if TYPE_CHECKING:
    from namel3ss_debug.inspection import Numbered, Selection
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.reader import Trace

SCHEMA = "namel3ss-debug/inspect/1"
LIMIT = 1000
"""The rows that are shown where nobody said how many: of a tree and of bars always, of a table on a terminal."""

COUNTED = 10_000
"""The rows that are counted behind the last one shown; what comes after them need not be read to say that there is more."""


def show_event(trace: Trace, number: int, output_format: str) -> None:
    """Print one event in full, with what stands around it.

    Raises:
        UnreadableTraceError: there is no event of this number.
    """
    from namel3ss_debug.inspection import find_surroundings
    from namel3ss_debug.traces.costs import call_cost, seller_of
    from namel3ss_debug.views.details import event_in_full
    from namel3ss_debug.views.terminal import console

    if output_format == "jsonl":
        print_rows([trace.event(number)])
        return
    around = find_surroundings(trace, number)
    if output_format == "json":
        half = around.other_half
        cost = call_cost(around.event, seller_of(half[1].get("metadata")) if half else None)
        print_document(
            {
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
            }
        )
        return
    screen = console()
    screen.lines(event_in_full(around, screen.width, began(trace)))


def show_events(
    trace: Trace, wanted: Selection, limit: int | None, output_format: str, *, chunks: bool
) -> None:
    """Print the wanted events as they are read."""
    from namel3ss_debug.inspection import select

    if output_format == "jsonl":
        print_rows(event for _, event in select(trace, wanted, limit=limit or None))
    elif output_format == "json":
        print_events(trace, select(trace, wanted, limit=limit or None))
    else:
        show_table(trace, wanted, limit, chunks=chunks)


def show_table(trace: Trace, wanted: Selection, limit: int | None, *, chunks: bool) -> None:
    """Print the wanted events as rows, and what was left out."""
    from namel3ss_debug.inspection import FoldedEvents
    from namel3ss_debug.views.inspection import event_lines, more_events
    from namel3ss_debug.views.replay import left_out
    from namel3ss_debug.views.terminal import console

    most = LIMIT if limit is None and sys.stdout.isatty() else limit or None
    folded = FoldedEvents(trace, wanted, chunks=chunks)
    found = iter(folded)
    started_at = began(trace)
    first = next(found, None)
    if first is None and not folded.left_out:
        nothing_fits(trace, wanted)
        return
    screen = console()
    if first is not None:
        rows = islice(chain([first], found), most)
        screen.lines(event_lines(rows, screen.width, started_at))
    if left := sum(1 for _ in islice(found, COUNTED + 1)):
        screen.lines(more_events(left, COUNTED))
    else:
        screen.lines(left_out(folded.left_out))


def print_events(trace: Trace, found: Iterator[Numbered]) -> None:
    """Write one JSON document, event by event, so that a long recording needs no memory."""
    from namel3ss_debug.views.payloads import json_bytes

    write_json(f'{{\n  "schema": "{SCHEMA}",\n  "trace": {json_bytes(str(trace.path))},\n  "events": [')
    for place, (number, event) in enumerate(found):
        write_json((",\n    " if place else "\n    ") + json_bytes(numbered(number, event)))
    write_json(f'\n  ],\n  "problems": {json_bytes(trace.problems_document())}\n}}\n')


def show_spans(trace: Trace, wanted: Selection, limit: int | None, output_format: str, *, bars: bool) -> None:
    """Print the spans of the wanted events as a tree or as bars."""
    from namel3ss_debug.inspection import make_rows, select_forest, sort_by_start
    from namel3ss_debug.views.inspection import tree_lines
    from namel3ss_debug.views.terminal import console
    from namel3ss_debug.views.timeline import timeline_lines

    if limit is None and output_format == "table":
        limit = LIMIT
    chosen = select_forest(trace, wanted, limit=limit or None)
    if output_format == "table":
        if not chosen.total:
            nothing_fits(trace, wanted)
            return
        screen = console()
        draw = timeline_lines if bars else tree_lines
        screen.lines(draw(chosen, screen.width))
        return
    found = make_rows(chosen.forest)
    documents: Iterable[dict[str, Any]] = map(asdict, sort_by_start(found) if bars else found)
    if output_format == "jsonl":
        print_rows(documents)
    else:
        print_document({"schema": SCHEMA, "trace": str(trace.path), "spans": list(documents)})


def numbered(number: int, event: Event) -> Event:
    """The event with its number as the first key."""
    return {"number": number} | event | {"number": number}


def began(trace: Trace) -> float | None:
    """When the recording began, in seconds since the epoch."""
    return next((event.get("timestamp") for event in trace.events()), None)


def nothing_fits(trace: Trace, wanted: Selection) -> None:
    """Say that the answer is empty, and which name or which expression may have been meant."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.inspection import describe_unknown_name

    hint = describe_unknown_name(trace, wanted) or (
        wanted.condition.hint if wanted.condition is not None else ""
    )
    tell("nothing in this recording fits" + (f"; {hint}" if hint else ""))


def tell_mismatches(wanted: Selection) -> None:
    """Say on stderr which comparisons of `--where` had operands of different types."""
    mismatches = wanted.condition.describe_mismatches() if wanted.condition is not None else ""
    if mismatches:
        from namel3ss_debug.cli.boundary import tell

        tell(f"--where: {mismatches}")


@click.command("inspect")
@trace_argument
@click.option(
    "--event", type=click.IntRange(min=1), metavar="N", help="Event N in full, with what is around it."
)
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
@limit_option("At most so many events or spans; 0 for all.")
@format_option("table", "json", "jsonl")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    reference: str | None,
    *,
    event: int | None,
    tree: bool,
    timeline: bool,
    where: str | None,
    limit: int | None,
    chunks: bool,
    output_format: str,
    **names: Any,
) -> None:
    """Look at the events of a recording: as a table, or one of --event, --tree and --timeline.

    The other options choose the events of a table, tree or timeline; every one of them must hold. The names of an
    expression are the fields of an event, and kind, name, llm, tool, agent and n: --where 'tool == "search" and
    duration_ms > 500'. A text anywhere in a payload is found by --where '"S-00" in text(outputs)'.
    """
    from namel3ss_debug.errors import TraceNotFoundError
    from namel3ss_debug.expressions import compile_expression
    from namel3ss_debug.inspection import CHUNK, Selection

    shapes = [name for name, given in (("event", event), ("tree", tree), ("timeline", timeline)) if given]
    if len(shapes) > 1:
        raise click.UsageError(f"--{shapes[0]} and --{shapes[1]} exclude each other", ctx)
    wanted = Selection(
        where=compile_expression(where, notes_mismatches=True) if where is not None else None, **names
    )
    try:
        trace = open_reference(reference)
    except TraceNotFoundError as error:
        if event is not None or not (reference or "").isdecimal():
            raise
        raise TraceNotFoundError(f"{error}; an event is shown by --event {reference}") from None
    with reading(trace):
        if event is not None:
            show_event(trace, event, output_format)
        elif tree or timeline:
            show_spans(trace, wanted, limit, output_format, bars=timeline)
        else:
            chunks = chunks or CHUNK in (where or "")
            show_events(trace, wanted, limit, output_format, chunks=chunks)
    report_problems(trace)
    tell_mismatches(wanted)
