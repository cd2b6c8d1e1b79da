"""The program's variables and memory as the events report them: the `state` of the expression language."""

from __future__ import annotations

from typing import Any, Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

TELLING: Final = frozenset({"state_change", "memory_operation"})
"""The types of the events that tell any."""


def told(event: Event) -> dict[str, Any]:
    """Name -> value: the variables that changed, or what the memory holds under the key that was written or read.

    What was deleted is null from then on.
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
