"""One event in full."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from namel3ss_debug.fields import FIELD_NAMES
from namel3ss_debug.inspection import Surroundings, read_first_token_ms
from namel3ss_debug.prices import is_extra_installed
from namel3ss_debug.traces.costs import call_cost, seller_of, terms_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.variables import Variables
from namel3ss_debug.views.cleaning import cells
from namel3ss_debug.views.events import LINE_NAME_CELLS, facts, offset, status_style, titled
from namel3ss_debug.views.gists import summary
from namel3ss_debug.views.paths import whole_site
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import count, duration, is_number, moment, money, tokens
from namel3ss_debug.views.renderers.screen import GUIDE_LEVELS
from namel3ss_debug.views.tables import pairs
from namel3ss_debug.views.terminal import (
    DIM,
    ERROR,
    HEADING,
    STATUS_STYLES,
    Piece,
    clean,
    fitted,
    line,
    shorten,
    text,
    wrapped_lines,
)
from namel3ss_debug.views.usage import price_hint, price_source

SITE_CELLS = 60


def event_in_full(
    around: Surroundings,
    width: int,
    started_at: float | None = None,
    variables: Variables | None = None,
) -> Iterator[Text]:
    """Yield everything about one event: what and when, the spans around it, its neighbours, its payloads and variables."""
    place, event = around.number, around.event
    numbered = Piece(f"event {place}  ", DIM)
    room = width - cells(numbered.plain) - cells(clean(event.get("event_type") or "event", 60)) - 1
    yield fitted([numbered, *titled(event, max(room, LINE_NAME_CELLS))], width)
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
