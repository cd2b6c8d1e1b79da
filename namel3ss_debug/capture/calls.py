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

from namel3ss_debug.capture.beneath import is_prefixed
from namel3ss_debug.wire import find_tool_results

_MOST_IDS = 4096
_MOST_OF_AN_ID = 1024
_MOST_TAKEN = 256
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, eq=False)
class AskedCall:
    """One call that a model asked for: in which model call, and inside which span that ran.

    Attributes:
        held: whether it waits for a person's consent: a function may take it yet, and a result without one is that it
            was refused.
    """

    call_id: str
    name: str
    arguments: Any
    asked_in: str
    inside: str | None
    held: bool = False


class ToolCalls:
    """The calls asked for in this process that no function has taken; safe between threads and in signal handlers.

    Providers give every call an id of its own, but servers that imitate them repeat theirs or leave them empty.

    Args:
        on_offer: told the names of tools when a model is offered them.
        on_unseen: told a call and its result when the result returns and no function was seen.
    """

    def __init__(
        self, on_offer: Callable[[Iterable[str]], None], on_unseen: Callable[[AskedCall, Any], None]
    ) -> None:
        self._on_offer = on_offer
        self._on_unseen = on_unseen
        self._waiting: OrderedDict[str, list[AskedCall]] = OrderedDict()
        self._taken: OrderedDict[str, AskedCall] = OrderedDict()  # those that a framework may begin again
        # those that were taken by name and arguments, and have not come back
        self._guessed: list[AskedCall] = []
        self._lock = threading.RLock()

    def renew(self) -> None:
        """After a fork: make a new lock, for the thread that may hold the old one does not exist here."""
        self._lock = threading.RLock()

    def offer(self, names: Iterable[str]) -> None:
        """A model is offered tools of these names."""
        self._on_offer(names)

    def asked(self, calls: Iterable[Mapping[str, Any]], asked_in: str, inside: str | None) -> None:
        """A model has answered with these calls, each `{id, name, arguments}`, in a call made inside this span."""
        with self._lock:
            for call in calls:
                call_id = call.get("id") or ""
                asked = AskedCall(call_id, str(call.get("name")), call.get("arguments"), asked_in, inside)
                waiting = self._waiting.setdefault(call_id, [])
                waiting.append(asked)
                del waiting[:-_MOST_OF_AN_ID]
            while len(self._waiting) > _MOST_IDS:
                self._waiting.popitem(last=False)

    def take(
        self,
        name: str,
        arguments: Mapping[str, Any],
        inside: str | None,
        *,
        only_inside: bool = False,
        call_id: str | None = None,
        served: bool = False,
    ) -> AskedCall | None:
        """Take the waiting call that a function of this name answers.

        Args:
            name: the name of the tool.
            arguments: what the function was called with, by name.
            inside: the span that the function was called in.
            only_inside: whether the call must have been asked for inside that span; else one with the same
                arguments, and then one asked for inside that span, only comes first.
            call_id: the id of the call, where a framework says it: the model may know the function by another name, and
                a framework that tries a failed one again means the same call.
            served: whether a server has the tool: a model may know that with the name of the server before its own.
        """
        with self._lock:
            known = self._of_id(call_id, arguments, inside) if call_id else None
            if known is not None:
                return known
            found, best = None, -1
            for call in (call for calls in self._waiting.values() for call in calls):
                if call.name != name and not (served and is_prefixed(call.name, name)):
                    continue
                here, same = call.inside == inside, _same(call.arguments, arguments)
                rank = 4 * (call.name == name) + 2 * same + here
                if rank > best and (here or not only_inside) and (same or call.name == name):
                    found, best = call, rank
            if found is not None:
                self._remove(found)
                self._guessed.append(found)
                del self._guessed[:-_MOST_TAKEN]
            return found

    def hold(self, name: str, arguments: Mapping[str, Any], inside: str | None) -> None:
        """Hold the waiting call that `take` would find."""
        with self._lock:
            found = self.take(name, arguments, inside)
            if found is not None:
                self._guessed.remove(found)
                self._waiting.setdefault(found.call_id, []).append(replace(found, held=True))

    def returned(self, messages: list[Any], inside: str | None) -> None:
        """A request inside this span carries these messages: results in them belong to calls asked for earlier."""
        if self._guessed:
            back = {call_id for call_id, _name, _result in find_tool_results(_behind_last_answer(messages))}
            with self._lock:
                self._guessed = [call for call in self._guessed if call.call_id not in back]
        if not self._waiting:
            return
        last = {call_id: result for call_id, _name, result in find_tool_results(messages)}
        for call_id, result in last.items():
            with self._lock:
                waiting = self._waiting.get(call_id) if call_id else None
                if not waiting:
                    continue
                call = next((call for call in waiting if call.inside == inside), waiting[0])
                self._remove(call)
                meant = self._was_meant(call)
            if not call.held and not meant:
                self._on_unseen(call, result)

    def _was_meant(self, call: AskedCall) -> bool:
        """Whether the function that took an equal call answered this one: the other answer of the model was not used.

        The other call waits again: its own result may come yet.
        """
        for other in self._guessed:
            same = other.name == call.name and other.inside == call.inside and not other.held
            if same and other.asked_in != call.asked_in and _equal(other.arguments, call.arguments):
                self._guessed.remove(other)
                self._waiting.setdefault(other.call_id, []).append(other)
                return True
        return False

    def _of_id(self, call_id: str, arguments: Mapping[str, Any], inside: str | None) -> AskedCall | None:
        waiting = self._waiting.get(call_id)
        if not waiting:
            taken = self._taken.get(call_id)
            return taken if taken is not None and _same(taken.arguments, arguments) else None
        found = next((call for call in waiting if call.inside == inside), waiting[0])
        self._remove(found)
        self._taken[call_id] = found
        if len(self._taken) > _MOST_TAKEN:
            self._taken.popitem(last=False)
        return found

    def _remove(self, call: AskedCall) -> None:
        waiting = self._waiting[call.call_id]
        waiting.remove(call)
        if not waiting:
            del self._waiting[call.call_id]


def _behind_last_answer(messages: list[Any]) -> list[Any]:
    """The messages after the last one of the model: what comes back for the first time is among them."""
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if isinstance(message, dict) and message.get("role") == "assistant":
            return messages[place + 1 :]
    return messages


def _same(asked: Any, given: Mapping[str, Any]) -> bool:
    """Whether a function got what the model asked for; defaults of the function may stand beside it."""
    return isinstance(asked, dict) and all(key in given and _equal(asked[key], given[key]) for key in asked)


def _equal(asked: Any, given: Any) -> bool:
    """Equality of JSON values; anything else is unequal, because comparing it could run the program's code."""
    if type(given) is dict and type(asked) is dict:
        return asked.keys() == given.keys() and all(_equal(asked[key], given[key]) for key in asked)
    if type(given) is list and type(asked) is list:
        return len(asked) == len(given) and all(map(_equal, asked, given))
    return type(given) in _PLAIN and bool(asked == given)
