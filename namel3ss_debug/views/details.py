"""One event in full."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from namel3ss_debug.fields import FIELD_NAMES
from namel3ss_debug.inspection import Surroundings, read_first_token_ms
from namel3ss_debug.prices import is_extra_installed
from namel3ss_debug.traces.costs import call_cost, seller_of, terms_of
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.source_files import SourceLines
from namel3ss_debug.traces.variables import Variables
from namel3ss_debug.views.cleaning import cells
from namel3ss_debug.views.conversations import message_lines, message_text
from namel3ss_debug.views.events import LINE_NAME_CELLS, facts, offset, status_style, titled
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.paths import whole_site
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import count, duration, is_number, moment, money, tokens
from namel3ss_debug.views.renderers.screen import GUIDE_LEVELS
from namel3ss_debug.views.source import source_lines
from namel3ss_debug.views.tables import pairs
from namel3ss_debug.views.terminal import (
    DIM,
    ERROR,
    HEADING,
    STATUS_STYLES,
    Piece,
    clean,
    console,
    fitted,
    line,
    shorten,
    text,
    wrapped_lines,
)
from namel3ss_debug.views.usage import price_hint, price_source
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.tools import list_tool_names

SITE_CELLS = 60
INDENT: Final = "  "
MOST_LINES: Final = 10_000
"""The lines of one message: it is shown in full, but a hostile one ends."""


def call_in_full(
    around: Surroundings, width: int, started_at: float | None, source: SourceLines | None
) -> Iterator[Text]:
    """Yield a call of a model as a conversation, and one of a tool as its arguments, result and source.

    Args:
        around: the start or the end of the call.
        width: the cells a line may take.
        started_at: the timestamp from which times are counted.
        source: the function of the tool, where that is known.
    """
    start, end = _halves(around)
    yield from _head(around, width)
    yield from pairs(_call_facts(around, start, end, started_at), width, indent=INDENT)
    inputs, outputs = lenient.mapping(start.get("inputs")), lenient.mapping(end.get("outputs"))
    if around.event.get("component") == "llm":
        messages = lenient.sequence(inputs.get("messages"))
        yield from _section(f"read {count(len(messages), 'message')}")
        yield from message_lines(messages, around.number, width, most=MOST_LINES, indent=INDENT)
        if outputs:
            yield from _section("wrote")
            yield from _answer(outputs, width)
    else:
        yield from _section("arguments")
        yield from json_text(inputs.get("arguments", inputs), width, indent=INDENT)
        if outputs:
            yield from _section("result")
            yield from json_text(outputs.get("result", outputs), width, indent=INDENT)
    yield from _error(end, width)
    if source is not None:
        yield from _section("source")
        for row in source_lines(source, width - len(INDENT)):
            yield Text(INDENT, end="").append_text(row)
    yield Text("", end="")
    yield line((f"--raw shows the fields of event {around.number} as they are", DIM))


def _halves(around: Surroundings) -> tuple[Event, Event]:
    """Return the start and the end of a call, empty where the trace does not have it."""
    other = around.other_half[1] if around.other_half else {}
    return (other, around.event) if ends_span(around.event["event_type"]) else (around.event, other)


def _head(around: Surroundings, width: int) -> Iterator[Text]:
    """Yield the number, the type and the name of the event."""
    numbered = Piece(f"event {around.number}  ", DIM)
    room = width - cells(numbered.plain) - cells(clean(around.event.get("event_type") or "event", 60)) - 1
    yield fitted([numbered, *titled(around.event, max(room, LINE_NAME_CELLS))], width)


def _call_facts(
    around: Surroundings, start: Event, end: Event, started_at: float | None
) -> list[tuple[str, Text | str]]:
    """Return the facts of a call that help to read it; the others are in the raw form."""
    inputs, outputs = lenient.mapping(start.get("inputs")), lenient.mapping(end.get("outputs"))
    rows = dict(_envelope(dataclasses.replace(around, event=end or start), started_at))
    since = offset((start or end).get("timestamp"), started_at)
    params = lenient.mapping(inputs.get("params"))
    numbers = (around.number, around.other_half[0] if around.other_half else 0)
    first, last = numbers if start is around.event else numbers[::-1]
    site = (start or end).get("call_site") or ""
    if not (first and last):
        numbers_shown = f"{first}, never ended" if first else f"{last}, without a start"
    else:
        numbers_shown = f"{first} and {last}"
    above = (
        f"{clean(each.get('component_name') or each['event_type'], 40)} (event {n})"
        for n, each in around.above
    )
    finish = outputs.get("finish_reason")
    return [
        ("status", rows["status"] if end else text("open", STATUS_STYLES.get("open", ""))),
        ("at", f"{since} s" if since else ""),
        ("took", rows["took"]),
        ("first token", rows["first token"]),
        ("tokens", rows["tokens"]),
        ("cost", rows["cost"]),
        ("retry", tokens(start.get("retry_count"))),
        ("tools", ", ".join(clean(name, 60) for name in list_tool_names(inputs))),
        ("parameters", gist(params) if params else ""),
        (
            "ended by",
            clean(finish, 60) if finish not in (None, "stop", "tool_calls", "end_turn", "tool_use") else "",
        ),
        ("call site", text(shorten(clean(whole_site(site)), SITE_CELLS, middle=True))),
        ("inside", ", ".join(above)),
        ("events", numbers_shown),
    ]


def _answer(outputs: dict[str, Any], width: int) -> Iterator[Text]:
    """Yield what a model wrote and called; an answer of another shape as JSON."""
    calls = lenient.mappings(outputs.get("tool_calls"))
    parts = (
        [{"type": "reasoning", "content": outputs["reasoning"]}]
        if isinstance(outputs.get("reasoning"), str)
        else []
    )
    if isinstance(outputs.get("text"), str) and outputs["text"]:
        parts.append({"type": "text", "content": outputs["text"]})
    parts += [{"type": "tool_call", **each} for each in calls]
    if not parts:
        yield from json_text(outputs, width, indent=INDENT)
    for part in parts:
        whole = message_text({"parts": [part]})
        room = max(width - len(INDENT), 20)
        for row in whole.wrap(console(width=room), room, overflow="fold"):
            row.rstrip()
            yield Text(INDENT, end="").append_text(row)


def event_in_full(
    around: Surroundings,
    width: int,
    started_at: float | None = None,
    variables: Variables | None = None,
) -> Iterator[Text]:
    """Yield everything about one event: what and when, the spans around it, its neighbours, its payloads and variables."""
    place, event = around.number, around.event
    yield from _head(around, width)
    yield from pairs(_envelope(around, started_at), width, indent="  ")
    yield from _error(event, width)
    if around.above:
        yield from _section("inside")
        for depth, (number_above, start) in enumerate(around.above):
            yield _one_line(number_above, start, width, depth)
    if around.before or around.after:
        yield from _section("beside")
        for beside, neighbour in around.before:
            yield _one_line(beside, neighbour, width)
        yield Text(end="").append(f"> {place:>5}  ", DIM).append("this event", HEADING)
        for beside, neighbour in around.after:
            yield _one_line(beside, neighbour, width)
    if around.inside:
        yield from _section(count(around.inside_total, "event") + " directly inside")
        for inner, inside in around.inside:
            yield _one_line(inner, inside, width)
        if around.inside_total > len(around.inside):
            yield line((f"  … {around.inside_total - len(around.inside):,} more", DIM))
    shown = {label: event.get(label) for label in ("inputs", "outputs", "metadata")}
    if variables is not None:
        shown["metadata"] = {
            key: value for key, value in event["metadata"].items() if key not in ("locals", "locals_record")
        }
        shown["variables"] = variables.values
        if variables.module is not None:
            shown[f"variables of the module, at event {variables.module.number}"] = variables.module.values
    for label, value in shown.items():
        if value:
            yield from _section(label)
            yield from json_text(value, width, indent="  ")
    for note in variables.notes() if variables is not None else ():
        yield line((clean(note), DIM))
    further = {key: value for key, value in event.items() if key not in FIELD_NAMES}
    if further:
        yield from _section("further fields")
        yield from json_text(further, width, indent="  ")
    if not around.complete:
        yield Text("", end="")
        yield line(("this trace is large: events far from this one were not read", DIM))


def _section(heading: str) -> Iterator[Text]:
    yield Text("", end="")
    yield Text(heading, HEADING, end="")


def _one_line(place: int, event: Event, width: int, depth: int = 0) -> Text:
    parts = [Piece(f"  {place:>5}  {'  ' * min(depth, GUIDE_LEVELS)}", DIM), *titled(event, LINE_NAME_CELLS)]
    parts.extend(Piece(f"  {fact}") for fact in facts(event))
    if gist := summary(event):
        parts.append(Piece(f"  {gist}", ERROR if status_style(event) == ERROR else DIM))
    return fitted(parts, width)


def _envelope(around: Surroundings, started_at: float | None) -> list[tuple[str, Text | str]]:
    event = around.event
    status = event.get("status")
    half = "its end" if str(event.get("event_type", "")).endswith("_start") else "its start"
    when = moment(event.get("timestamp"))
    since = offset(event.get("timestamp"), started_at)
    usage, memory = event.get("usage"), event.get("memory_usage_mb")
    used = ", ".join(f"{clean(key, 40)} {tokens(amount)}" for key, amount in usage.items()) if usage else ""
    other = around.other_half[1] if around.other_half else {}
    site = event.get("call_site") or other.get("call_site") or ""
    rows: list[tuple[str, Text | str]] = [
        ("status", text(status or "", STATUS_STYLES.get(str(status), ""))),
        ("when", f"{when} UTC  {since} s" if when and since else when),
        ("took", duration(event.get("duration_ms"))),
        ("paused before", duration(event.get("paused_before_ms"))),
        ("first token", duration(read_first_token_ms(event))),
        ("tokens", f"{tokens(event.get('tokens_used'))}  {used}".strip()),
        ("cost", _cost(event, other)),
        ("memory", f"{memory:,.1f} MB" if is_number(memory) else ""),
        ("CPU", duration(event.get("cpu_time_ms"))),
        ("retry", tokens(event.get("retry_count"))),
        ("call site", text(shorten(clean(whole_site(site)), SITE_CELLS, middle=True))),
        (half, f"event {around.other_half[0]}" if around.other_half else ""),
    ]
    plain = (
        "step_type",
        "thread",
        "task",
        "event_id",
        "parent_event_id",
        "seq",
        "execution_id",
        "session_id",
    )
    rows += [(key, text("" if event.get(key) is None else event[key], DIM, 200)) for key in plain]
    if event.get("depends_on"):
        rows.append(("depends_on", text(", ".join(map(str, event["depends_on"][:20])), DIM, 200)))
    return rows


def _cost(event: Event, start: Event) -> str:
    """Return the recorded cost of an event, or that of its tokens, or how to find it out."""
    if "cost_estimate" in event:
        return money(event["cost_estimate"])
    cost = call_cost(event, seller_of(start.get("metadata")))
    terms = ", ".join(f"{clean(name, 40)} {clean(word, 40)}" for name, word in terms_of(event))
    if cost is not None:
        return f"{money(cost.dollars)}  {price_source(cost.source)}{terms and '  '}{terms}"
    if terms and is_extra_installed():
        return f"not known; billed on other terms: {terms}"
    sold = event.get("component") == "llm" and event.get("usage")
    return f"not known; {price_hint()}" if sold and not is_extra_installed() else ""


def _error(event: Event, width: int) -> Iterator[Text]:
    """Yield the failure and its traceback, with their own line ends."""
    if event.get("error") is None and not event.get("stack_trace"):
        return
    yield from _section("error")
    kind = event.get("error_type")
    message = clean(
        f"{kind}: {event.get('error', '')}" if kind else event.get("error", ""), 4000, multiline=True
    )
    for row in message.split("\n"):
        yield from wrapped_lines(row, width, ERROR, first="  ", further="  ")
    traceback = clean(event.get("stack_trace") or "", 20_000, multiline=True).rstrip()
    for row in traceback.removesuffix(f"\n{message}").split("\n"):
        if row:
            yield from wrapped_lines(row, width, DIM, first="  ", further="  ")
