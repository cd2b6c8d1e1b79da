"""The journey of one agent or component as a story: short sentences in the order of the events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from namel3ss_debug.inspection.journey import Story, StoryStep, find_message_ends
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
"""Component -> the verb in its own story; others begin."""


def story(told: Story) -> Iterator[Block]:
    """The story as a report."""
    named = ", ".join(told.names[:3]) + (f" and {len(told.names) - 3:,} more" if len(told.names) > 3 else "")
    failed = f", {count(told.failures, 'failure')}" if told.failures else ""
    components = ", ".join(clean(component, _NAME_LIMIT) for component in told.components)
    aside = f"{components}; {count(told.spans, 'span')}, {count(told.total, 'step')}{failed}"
    yield Heading(f"Journey of {named}", aside)
    yield Facts([("calls", _calls(told))])
    yield steps(told)
    left = told.total - len(told.steps)
    if left:
        yield Note(f"… {left:,} more; --limit 0 shows all")


def steps(told: Story) -> Table:
    """The steps of a story, one after the other."""
    rows = [row for step in told.steps for row in _rows(step, told.began_at)]
    return Table((Column("n", align="right", style=DIM), Column("at s", "right"), Column("took", "right"), prose("story", 24)), rows)  # fmt: skip


def _calls(told: Story) -> str:
    ordered = sorted(told.calls.items(), key=lambda item: (-item[1][0], item[0]))
    parts = [
        f"{name or component} {tokens(made)}" + (f" ({tokens(failed)} failed)" if failed else "")
        for (component, name), (made, failed) in ordered[:8]
    ]
    return ", ".join(parts) + (", ..." if len(ordered) > 8 else "")


def _rows(step: StoryStep, began_at: float | None) -> Iterator[tuple[Any, ...]]:
    """One row for the step, and one for its outcome."""
    indent = "  " * min(step.depth, _DEEPEST)
    event = step.event
    style = COMPONENT_STYLES.get(str(event.get("component")), "")
    at = event.get("timestamp")
    offset = f"{at - began_at:.3f}" if is_number(at) and is_number(began_at) else ""
    came = outcome(step)
    took = duration((step.end or {}).get("duration_ms")) if came else ""
    if step.closing:
        yield (
            _numbered(step),
            offset,
            took,
            line((indent, ""), (_name(step), style), (f" {came}", _style(step))),
        )
        return
    said, given = did(step), gave(step)
    first = line(
        (indent, ""),
        (said, style),
        (f": {given}" if given else "", ERROR if step.failed and not came else ""),
    )
    yield _numbered(step), offset, "", first
    if came:
        yield "", "", took, line((f"{indent}  ", ""), (came, _style(step)))


def _numbered(step: StoryStep) -> Any:
    return text(step.number, DIM)


def _style(step: StoryStep) -> str:
    return ERROR if step.failed else WARNING if step.end is None else ""


def did(step: StoryStep) -> str:
    """A step without its inputs: `asks gpt-4o`, `search is called by Support`."""
    event = step.event
    component, name = str(event.get("component")), _name(step)
    if any(find_message_ends(event)):
        sender, receiver = (clean(end, _NAME_LIMIT) for end in find_message_ends(event))
        return f"message from {sender or 'somebody'}" + (f" to {receiver}" if receiver else "")
    if not step.is_span:
        kind = clean(event["event_type"], _NAME_LIMIT).replace("_", " ")
        return kind if name == component else f"{name}: {kind}"
    if step.own:
        happens = _PASSIVE.get(component)
        by = f" by {clean(step.caller, _NAME_LIMIT)}" if step.caller else ""
        return f"{name} {happens}{by}" if happens else f"{name} begins" + (f", in {clean(step.caller, _NAME_LIMIT)}" if step.caller else "")  # fmt: skip
    kind = event["event_type"].removesuffix("_start").removesuffix("_end").replace("_", " ")
    return f"{_VERBS.get(component) or clean(kind, _NAME_LIMIT)} {name}"


def gave(step: StoryStep) -> str:
    """The inputs of a step, in a few words."""
    event = step.event
    return "" if step.is_span and event is step.end else summary(event)


def outcome(step: StoryStep) -> str:
    """The outcome of a step; empty for a point event, and for a span whose end is a later step."""
    if not step.is_span or (step.opening and not step.closing):
        return ""
    if step.end is None:
        return "never ended"
    said = summary(step.end)
    if step.failed:
        status = step.end.get("status")
        word = "fails" if status in {None, "failed"} else clean(status, 20)
        return f"{word}: {said}" if said else word
    if step.closing:
        return f"ends with: {said}" if said else "ends"
    verb = "answers" if step.event.get("component") == "llm" else "gives"
    return f"{verb}: {said}" if said else "done"


def _name(step: StoryStep) -> str:
    event = step.event
    return clean(event.get("component_name") or event.get("component"), _NAME_LIMIT)


def document(told: Story) -> dict[str, Any]:
    """The story as JSON, without schema and trace."""
    return {
        "names": told.names,
        "components": told.components,
        "spans": told.spans,
        "steps_total": told.total,
        "steps_left_out": told.total - len(told.steps),
        "failures": told.failures,
        "calls": [
            {"component": component, "component_name": name or None, "count": made, "failed": failed}
            for (component, name), (made, failed) in sorted(told.calls.items())
        ],
        "steps": [_step(step, told.began_at) for step in told.steps],
    }


def _step(step: StoryStep, began_at: float | None) -> dict[str, Any]:
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
        "did": f"{_name(step)} ends" if step.closing else did(step),
        "given": None if step.closing else gave(step) or None,
        "outcome": outcome(step) or None,
    }
