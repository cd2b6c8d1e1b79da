"""Describe the activity of one agent or component in short sentences, in the order of the events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from namel3ss_debug.inspection.activity import Activity, ActivityStep, find_message_ends
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.gists import summary
from namel3ss_debug.views.quantities import count, duration, is_number, tokens
from namel3ss_debug.views.tables import Column, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, WARNING, clean, line, text

_DEEPEST = 6
_NAME_LIMIT = 60

_VERBS = {
    "agent": "runs agent",
    "llm": "asks",
    "tool": "calls",
    "prompt": "uses prompt",
    "chain": "runs",
    "memory": "uses memory",
    "validation": "checks",
    "http": "requests",
    "log": "logs",
}
"""Component -> the verb for a call of it."""

_PASSIVE = {"llm": "is asked", "tool": "is called", "http": "is requested", "prompt": "is used"}
"""Component -> the verb in its own activity; others begin."""


def describe_activity(activity: Activity) -> Iterator[Block]:
    """Yield the activity as a report."""
    named = ", ".join(activity.names[:3]) + (
        f" and {len(activity.names) - 3:,} more" if len(activity.names) > 3 else ""
    )
    failed = f", {count(activity.failures, 'failure')}" if activity.failures else ""
    components = ", ".join(clean(component, _NAME_LIMIT) for component in activity.components)
    aside = f"{components}; {count(activity.spans, 'span')}, {count(activity.total, 'step')}{failed}"
    yield Heading(f"Activity of {named}", aside)
    yield Facts([("calls", _calls(activity))])
    yield steps(activity)
    left = activity.total - len(activity.steps)
    if left:
        yield Note(f"… {left:,} more; --limit 0 shows all")


def steps(activity: Activity) -> Table:
    """Return a table of the steps, one after the other."""
    rows = [row for step in activity.steps for row in _rows(step, activity.began_at)]
    return Table((Column("n", align="right", style=DIM), Column("at s", "right"), Column("took", "right"), prose("activity", 24)), rows)  # fmt: skip


def _calls(activity: Activity) -> str:
    ordered = sorted(activity.calls.items(), key=lambda item: (-item[1][0], item[0]))
    parts = [
        f"{name or component} {tokens(made)}" + (f" ({tokens(failed)} failed)" if failed else "")
        for (component, name), (made, failed) in ordered[:8]
    ]
    return ", ".join(parts) + (", ..." if len(ordered) > 8 else "")


def _rows(step: ActivityStep, began_at: float | None) -> Iterator[tuple[Any, ...]]:
    """Yield one row for the step, and one for its outcome."""
    indent = "  " * min(step.depth, _DEEPEST)
    event = step.event
    style = COMPONENT_STYLES.get(str(event.get("component")), "")
    at = event.get("timestamp")
    offset = f"{at - began_at:.3f}" if is_number(at) and is_number(began_at) else ""
    result = describe_outcome(step)
    took = duration((step.end or {}).get("duration_ms")) if result else ""
    if step.closing:
        yield (
            _numbered(step),
            offset,
            took,
            line((indent, ""), (_name(step), style), (f" {result}", _style(step))),
        )
        return
    inputs = describe_inputs(step)
    first = line(
        (indent, ""),
        (describe_action(step), style),
        (f": {inputs}" if inputs else "", ERROR if step.failed and not result else ""),
    )
    yield _numbered(step), offset, "", first
    if result:
        yield "", "", took, line((f"{indent}  ", ""), (result, _style(step)))


def _numbered(step: ActivityStep) -> Any:
    return text(step.number, DIM)


def _style(step: ActivityStep) -> str:
    return ERROR if step.failed else WARNING if step.end is None else ""


def describe_action(step: ActivityStep) -> str:
    """Describe a step without its inputs: `asks gpt-4o`, `search is called by Support`."""
    event = step.event
    component, name = str(event.get("component")), _name(step)
    if any(find_message_ends(event)):
        sender, receiver = (clean(end, _NAME_LIMIT) for end in find_message_ends(event))
        return f"message from {sender or 'an unknown sender'}" + (f" to {receiver}" if receiver else "")
    if not step.is_span:
        kind = clean(event["event_type"], _NAME_LIMIT).replace("_", " ")
        return kind if name == component else f"{name}: {kind}"
    if step.own:
        happens = _PASSIVE.get(component)
        by = f" by {clean(step.caller, _NAME_LIMIT)}" if step.caller else ""
        return f"{name} {happens}{by}" if happens else f"{name} begins" + (f", in {clean(step.caller, _NAME_LIMIT)}" if step.caller else "")  # fmt: skip
    kind = event["event_type"].removesuffix("_start").removesuffix("_end").replace("_", " ")
    return f"{_VERBS.get(component) or clean(kind, _NAME_LIMIT)} {name}"


def describe_inputs(step: ActivityStep) -> str:
    """Describe the inputs of a step in a few words."""
    event = step.event
    return "" if step.is_span and event is step.end else summary(event)


def describe_outcome(step: ActivityStep) -> str:
    """Describe the outcome of a step; empty for a point event, and for a span whose end is a later step."""
    if not step.is_span or (step.opening and not step.closing):
        return ""
    if step.end is None:
        return "never ended"
    outputs = summary(step.end)
    if step.failed:
        status = step.end.get("status")
        word = "fails" if status in {None, "failed"} else clean(status, 20)
        return f"{word}: {outputs}" if outputs else word
    if step.closing:
        return f"ends with: {outputs}" if outputs else "ends"
    verb = "answers" if step.event.get("component") == "llm" else "gives"
    return f"{verb}: {outputs}" if outputs else "done"


def _name(step: ActivityStep) -> str:
    event = step.event
    return clean(event.get("component_name") or event.get("component"), _NAME_LIMIT)


def to_json(activity: Activity) -> dict[str, Any]:
    """Return the activity as JSON, without schema and trace."""
    return {
        "names": activity.names,
        "components": activity.components,
        "spans": activity.spans,
        "steps_total": activity.total,
        "steps_left_out": activity.total - len(activity.steps),
        "failures": activity.failures,
        "calls": [
            {"component": component, "component_name": name or None, "count": made, "failed": failed}
            for (component, name), (made, failed) in sorted(activity.calls.items())
        ],
        "steps": [_step(step, activity.began_at) for step in activity.steps],
    }


def _step(step: ActivityStep, began_at: float | None) -> dict[str, Any]:
    event, end = step.event, step.end or {}
    at = event.get("timestamp")
    status = end.get("status") if step.is_span else event.get("status")
    return {
        "number": step.number,
        "end_number": step.end_number,
        "depth": step.depth,
        "own": step.own,
        "at_ms": round((at - began_at) * 1000, 3) if is_number(at) and is_number(began_at) else None,
        "duration_ms": end.get("duration_ms"),
        "event_type": event["event_type"],
        "component": event.get("component"),
        "component_name": event.get("component_name"),
        "caller": step.caller or None,
        "status": "open" if step.is_span and step.end is None else status,
        "failed": step.failed,
        "did": f"{_name(step)} ends" if step.closing else describe_action(step),
        "inputs": None if step.closing else describe_inputs(step) or None,
        "outcome": describe_outcome(step) or None,
    }
