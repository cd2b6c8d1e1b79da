"""The variables and memory values that events report: the `state` of the expression language."""

from __future__ import annotations

from typing import Any, Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

STATE_EVENTS: Final = frozenset({"state_change", "memory_operation"})
"""The types of the events that report any."""


def read_state(event: Event) -> dict[str, Any]:
    """Return the values that an event reports: changed variables, or the memory key that was written or read.

    A deleted key is null from then on.
    """
    if event["event_type"] == "state_change":
        return lenient.mapping(event.get("outputs"))
    if event["event_type"] != "memory_operation":
        return {}
    inputs = lenient.mapping(event.get("inputs"))
    key = lenient.string(inputs.get("key"))
    if key is None:
        return {}
    if lenient.mapping(event.get("metadata")).get("operation") == "delete":
        return {key: None}
    return {key: inputs["value"]} if "value" in inputs else {}
