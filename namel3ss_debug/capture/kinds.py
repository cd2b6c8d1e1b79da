"""The constant part of the events of spans with the same type, component and name, made once."""

from __future__ import annotations

from typing import TypeAlias

from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.traces.events import EXECUTION_PREFIX, Event

_MOST = 1024
_ROOM = 11


Kind: TypeAlias = tuple[str | None, Event, Event]
"""The name as it is shown, and a start and an end event in which everything that differs is still empty."""


class Kinds(dict[tuple[str | None, str, str | None], Kind]):
    """`kinds[prefix, component, name]` makes a kind when it is first asked for.

    The prefix is that of the event types; `None` means the execution pair of the component.

    Args:
        execution_id: the run.
        payloads: redacts the names.
    """

    def __init__(self, execution_id: str, payloads: Payloads) -> None:
        self._execution_id = execution_id
        self._payloads = payloads

    def __missing__(self, key: tuple[str | None, str, str | None]) -> Kind:
        given, component, name = key
        prefix = given or EXECUTION_PREFIX.get(component, component)
        shown = None if name is None else self._payloads.text(name)
        kind = (
            shown,
            self._event(f"{prefix}_start", component, shown, "started"),
            self._event(f"{prefix}_end", component, shown, "completed"),
        )
        if len(self) >= _MOST:
            self.clear()
        self[key] = kind
        return kind

    def _event(self, event_type: str, component: str, name: str | None, status: str) -> Event:
        """The fields in the order in which they are written, with room for those that are set later.

        A dict of more than ten keys has a larger table, and keeps it when keys are taken away; a copy has the same, so
        that it need not grow.
        """
        event: Event = {
            "event_type": event_type,
            "event_id": None,
            "seq": 0,
            "timestamp": 0.0,
            "parent_event_id": None,
            "execution_id": self._execution_id,
            "component": component,
            "component_name": name,
            "status": status,
        }
        if name is None:
            del event["component_name"]
        spare = [str(number) for number in range(len(event), _ROOM)]
        event |= dict.fromkeys(spare)
        for key in spare:
            del event[key]
        return event
