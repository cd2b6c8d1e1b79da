"""Make the trace of what an importer read: its events between the start and the end of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from namel3ss_debug.traces.decoding import is_sound, normalise
from namel3ss_debug.traces.events import FORMAT_VERSION, Event
from namel3ss_debug.traces.span_events import SpanFacts, make_events

Item = TypeVar("Item")


def make_trace(
    source: Mapping[str, Any], spans: Iterable[SpanFacts], others: Iterable[Event] = ()
) -> Iterator[Event]:
    """Yield the events of a trace of another tool, from `trace_start`, which names the source, to `trace_end`.

    A trace with a span that never ended has no `trace_end`, as one of a program that was killed: its outcome is not known.

    Args:
        source: the name of the `format`, and what is known of the whole, such as a `title`.
        spans: the spans.
        others: events that are no spans.
    """
    spans = [_close(span) for span in count_once(spans)]
    if not spans:
        return
    seq, is_open = 1, any(span.is_open for span in spans)
    events = make_events(spans, others)
    del spans
    first = next(events)
    start: Event = {"event_type": "trace_start", "event_id": "trace", "seq": 0, "component": "app"}
    begun: Event = {name: first[name] for name in ("timestamp", "execution_id") if name in first}
    yield {**start, **begun, "metadata": {"format": FORMAT_VERSION, "source": dict(source)}}
    yield _normalise({**first, "seq": seq})
    latest = first.get("timestamp")
    for seq, event in enumerate(events, 2):
        latest = event.get("timestamp", latest)
        yield _normalise({**event, "seq": seq})
    if not is_open:
        end = {"event_type": "trace_end", "event_id": "trace.end", "seq": seq + 1, "component": "app"}
        yield {**end, **({} if latest is None else {"timestamp": latest})}


def drain(items: list[Item]) -> Iterator[Item]:
    """Yield the items of a list, and remove them: an importer that goes on holding its spans would hold the whole file."""
    items.reverse()
    while items:
        yield items.pop()


def _normalise(event: Event) -> Event:
    """Return the event with its fields of the right types and in range, as an event that is read from a file of ours."""
    if not is_sound(event):
        normalise(event)
    return event


def _close(span: SpanFacts) -> SpanFacts:
    """Return the span as ended where it has a result, and only the time of its end is missing."""
    has_result = span.outputs or span.usage or span.failure is not None or span.cost is not None
    return replace(span, is_open=False) if span.is_open and has_result else span


def count_once(spans: Iterable[SpanFacts]) -> list[SpanFacts]:
    """Return the spans with each token and each dollar once.

    A model call inside of another is the same call, seen by two instrumentations (LangChain's and OpenAI's), or one of
    several that the outer one sums up (the Vercel AI SDK). The outer one becomes a step, unless only it has the amounts.
    What the only inner one lacks is added to it.
    """
    spans = list(spans)
    parents = {span.span_id: span.parent_id for span in spans}
    models = {span.span_id: span for span in spans if span.kind == "model"}
    inner: dict[str, list[SpanFacts]] = {}
    for span in models.values():
        parent, seen = span.parent_id, {span.span_id}
        while parent is not None and parent not in seen and parent not in models:
            seen.add(parent)
            parent = parents.get(parent)
        if parent is not None and parent in models and parent != span.span_id:
            inner.setdefault(parent, []).append(span)
    changed: dict[str, SpanFacts] = {}
    for span_id, calls in inner.items():
        outer = changed.get(span_id, models[span_id])
        if len(calls) == 1:
            changed[calls[0].span_id] = _fill(changed.get(calls[0].span_id, calls[0]), outer)
        if len(calls) == 1 or any(call.usage for call in calls) or not outer.usage:
            changed[span_id] = replace(outer, kind="step", usage={}, cost=None)
    return [changed.get(span.span_id, span) for span in spans] if changed else spans


def _fill(call: SpanFacts, outer: SpanFacts) -> SpanFacts:
    # The spans that the SDK of Anthropic makes itself have the type of an error, and not its text.
    has_text = call.failure is not None and call.failure.text
    return replace(
        call,
        inputs={**outer.inputs, **call.inputs},
        outputs={**outer.outputs, **call.outputs},
        usage=call.usage or outer.usage,
        cost=outer.cost if call.cost is None else call.cost,
        failure=call.failure if has_text else outer.failure or call.failure,
    )
