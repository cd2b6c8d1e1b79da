"""Read back what our own exports keep under `namel3ss.*` where a format takes fields of any name.

They have what the format has no field for, in sight of its readers: the kind and status of a span, its thread, the type of
an error. `exporters.span_export.own_fields` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from namel3ss_debug.importers.values import parse_count, parse_number
from namel3ss_debug.traces.decoding import component_of
from namel3ss_debug.traces.events import EVENT_TYPES, Event
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient

PREFIX: Final = "namel3ss."
STATUSES: Final = frozenset({"completed", "failed", "cancelled", "timeout", "skipped", "partial"})
_TEXTS: Final = ("call_site", "thread", "task", "step_type")


def restore(facts: SpanFacts, fields: Mapping[str, Any]) -> SpanFacts:
    """Return the facts of a span with what the fields of our own export add; of another's, as they are."""
    ours = select(fields)
    if not ours:
        return facts
    texts = {name: text for name, value in ours.items() if (text := lenient.string(value)) is not None}
    status, failure = texts.get("status"), facts.failure
    if failure is not None:
        kind = texts.get("error_type")
        text = "" if failure.text == kind else failure.text.removeprefix(f"{kind}: ")
        failure = failure._replace(kind=kind, text=text, stack_trace=texts.get("stack_trace"))
    further = {name: texts.get(name) for name in _TEXTS} | {
        "retry_count": parse_count(ours.get("retry_count"))
    }
    provider = {"provider": texts["provider"]} if "provider" in texts else {}
    return replace(
        facts,
        kind=texts.get("kind") or facts.kind,
        failure=failure,
        duration_ms=parse_number(ours.get("duration_ms")) if facts.started is None else facts.duration_ms,
        status=status if status in STATUSES else None,
        is_open=status == "open" or (facts.is_open and status not in STATUSES),
        metadata={**provider, **facts.metadata},
        fields={**facts.fields, **lenient.drop_none(further)},
    )


def select(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of our own export, without the prefix."""
    return {name.removeprefix(PREFIX): value for name, value in fields.items() if name.startswith(PREFIX)}


def others(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not those of our own export."""
    return {name: value for name, value in fields.items() if not name.startswith(PREFIX)}


def restore_point(
    event: Event, event_type: object, component: object, payloads: Mapping[str, Any]
) -> Event | None:
    """Return an event that is no span, with its type and payloads of our own export; None where it has no known type."""
    if not isinstance(event_type, str) or event_type not in EVENT_TYPES:
        return None
    objects = {name: lenient.mapping(payloads.get(name)) for name in ("inputs", "outputs", "metadata")}
    kept = lenient.drop_empty({**objects, "error": lenient.string(payloads.get("error"))})
    return {
        **event,
        "event_type": event_type,
        "component": lenient.string(component) or component_of(event_type),
        **kept,
    }
