"""The tool calls that models asked for: which are waiting, which function took one, which came back unseen.

A model names the tools it was offered and asks for calls by id; the program runs a function and sends the result
back under that id. This table joins the three, so that a tool span names the call that asked for it, and a result
whose function was never seen is recorded all the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from namel3ss_debug.wire import tool_results

_MOST_CALLS = 4096


@dataclass(frozen=True)
class AskedCall:
    """One call that a model asked for: in which model call, and whether a function was seen to take it."""

    call_id: str
    name: str
    arguments: Any
    asked_in: str
    taken: bool = False


class ToolCalls:
    """The calls asked for in this process; safe between threads.

    Args:
        on_offer: told the names of tools when a model is offered them.
        on_unseen: told a call and its result when the result returns and no function was seen.
    """

    def __init__(
        self, on_offer: Callable[[Iterable[str]], None], on_unseen: Callable[[AskedCall, Any], None]
    ) -> None:
        self._on_offer = on_offer
        self._on_unseen = on_unseen
        self._calls: OrderedDict[str, AskedCall] = OrderedDict()
        self._lock = threading.Lock()

    def offer(self, names: Iterable[str]) -> None:
        """A model is offered tools of these names."""
        self._on_offer(names)

    def asked(self, calls: Iterable[Mapping[str, Any]], event_id: str) -> None:
        """A model has answered with these calls, each `{id, name, arguments}`."""
        with self._lock:
            for call in calls:
                call_id = call.get("id")
                if isinstance(call_id, str):
                    name = str(call.get("name"))
                    self._calls[call_id] = AskedCall(call_id, name, call.get("arguments"), event_id)
            while len(self._calls) > _MOST_CALLS:
                self._calls.popitem(last=False)

    def take(self, name: str, arguments: Mapping[str, Any]) -> AskedCall | None:
        """The oldest waiting call of this name, one with the same arguments first; it is taken from now on."""
        with self._lock:
            waiting = [call for call in self._calls.values() if call.name == name and not call.taken]
            if not waiting:
                return None
            call = next((call for call in waiting if _same(call.arguments, arguments)), waiting[0])
            self._calls[call.call_id] = replace(call, taken=True)
            return call

    def returned(self, messages: list[Any]) -> None:
        """A request carries these messages: results in them belong to calls that were asked for earlier."""
        for call_id, _name, result in tool_results(messages):
            with self._lock:
                call = self._calls.pop(call_id, None)
            if call is not None and not call.taken:
                self._on_unseen(call, result)


def _same(asked: Any, given: Mapping[str, Any]) -> bool:
    """Whether a function got what the model asked for; defaults of the function may stand beside it."""
    try:
        return isinstance(asked, dict) and all(key in given and given[key] == asked[key] for key in asked)
    except Exception:  # comparing runs code of the program's own values
        return False
