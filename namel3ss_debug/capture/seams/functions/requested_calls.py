"""Match the tool calls that models request with the functions that run and the results that the program sends back.

A model requests calls of the tools it was offered, each with an id. The program runs a function and sends the result
back under that id. This table joins the three: a tool span names the model call that requested it, and a result whose
function no seam has seen is recorded all the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from namel3ss_debug.capture.core.announced import is_prefixed
from namel3ss_debug.wire.lenient import load_arguments
from namel3ss_debug.wire.tools import find_tool_results

_MOST_IDS = 4096
_MOST_OF_AN_ID = 1024
_MOST_TAKEN = 256
_COMPARABLE = (str, int, float, bool, type(None))


@dataclass(frozen=True, eq=False)
class RequestedCall:
    """A call that a model requested.

    Attributes:
        call_id: the id that the provider gave it, or "".
        name: the tool.
        arguments: its arguments, parsed.
        asked_in: the id of the model call that requested it.
        inside: the id of the span that the model call ran in.
        awaits_consent: whether a person has to allow it. A function may take it later; a result without a function
            means that it was refused.
    """

    call_id: str
    name: str
    arguments: Any
    asked_in: str
    inside: str | None
    awaits_consent: bool = False


class ToolCalls:
    """The requested calls of this process that no function has taken. Safe in threads and signal handlers.

    Providers give every call an id of its own, but servers that imitate them repeat ids or leave them empty.

    Args:
        on_offer: called with the tools that a model is offered: the name of each and its JSON schema, or None.
        on_unseen: called with a call and its result when the result is sent back and no function was seen.
        on_request: called with the names of tools when a model requests calls of them.
    """

    def __init__(
        self,
        on_offer: Callable[[Mapping[str, Any]], None],
        on_unseen: Callable[[RequestedCall, Any], None],
        on_request: Callable[[set[str]], None] = lambda _names: None,
    ) -> None:
        self._on_offer = on_offer
        self._on_unseen = on_unseen
        self._on_request = on_request
        self._waiting: OrderedDict[str, list[RequestedCall]] = OrderedDict()
        self._taken: OrderedDict[str, RequestedCall] = OrderedDict()  # a framework may retry these
        # Calls that were taken by name and arguments, and whose results were not sent back yet.
        self._guessed: list[RequestedCall] = []
        self._ignored: set[str] = set()
        self._lock = threading.RLock()

    def renew(self) -> None:
        """Make a new lock after a fork, because the thread that may hold the old one does not exist here."""
        self._lock = threading.RLock()

    def offer(self, tools: Mapping[str, Any]) -> None:
        """Note the tools that a model is offered: the name of each and its JSON schema, or None if it is unknown."""
        self._on_offer(tools)

    def ignore(self, name: str) -> None:
        """Do not report the calls of this name: no function is a tool of it."""
        self._ignored.add(name)

    def add_requested(
        self,
        calls: Iterable[Mapping[str, Any]],
        asked_in: str,
        inside: str | None,
        earlier: Sequence[RequestedCall] = (),
    ) -> list[RequestedCall]:
        """Add the calls in a model's answer.

        Args:
            calls: the calls, each `{id, name, arguments}`.
            asked_in: the id of the model call.
            inside: the span that the model was called in.
            earlier: what this method returned when less of the answer had arrived. The calls in it are not added
                again. One that was incomplete then is replaced, because no function can have taken it yet.

        Returns:
            All calls of the answer.
        """
        requested = [
            RequestedCall(
                call.get("id") or "", str(call.get("name")), call.get("arguments"), asked_in, inside
            )
            for call in calls
        ]
        with self._lock:
            for position, known in enumerate(earlier[: len(requested)]):
                is_waiting = known in self._waiting.get(known.call_id, ())
                if is_waiting and not _is_same_request(known, requested[position]):
                    self._remove(known)
                    self._add(requested[position])
                else:
                    requested[position] = known
            for call in requested[len(earlier) :]:
                self._add(call)
            while len(self._waiting) > _MOST_IDS:
                self._waiting.popitem(last=False)
        if names := {call.name for call in requested[len(earlier) :]} - self._ignored:
            self._on_request(names)
        return requested

    def _add(self, call: RequestedCall) -> None:
        waiting = self._waiting.setdefault(call.call_id, [])
        waiting.append(call)
        del waiting[:-_MOST_OF_AN_ID]

    def take(
        self,
        name: str,
        arguments: Mapping[str, Any],
        inside: str | None,
        *,
        only_inside: bool = False,
        call_id: str | None = None,
        served: bool = False,
    ) -> RequestedCall | None:
        """Take the waiting call that a function of this name answers.

        Args:
            name: the name of the tool.
            arguments: the arguments of the function, by name.
            inside: the span that the function was called in.
            only_inside: whether the call must have been requested inside that span. Otherwise calls with the same
                arguments, and then calls requested inside that span, are only preferred.
            call_id: the id of the call, if a framework reports it. The model may know the function by another name,
                and a framework that retries a failed function means the same call.
            served: whether an MCP server has the tool. The model may know it with a prefix, the server's name.
        """
        with self._lock:
            known = self._take_by_id(call_id, arguments, inside) if call_id else None
            if known is not None:
                return known
            found, best = None, -1
            for call in (call for calls in self._waiting.values() for call in calls):
                if call.name != name and not (served and is_prefixed(call.name, name)):
                    continue
                here, same = call.inside == inside, is_passed(call.arguments, arguments)
                rank = 4 * (call.name == name) + 2 * same + here
                if rank > best and (here or not only_inside) and (same or call.name == name):
                    found, best = call, rank
            if found is not None:
                self._remove(found)
                self._guessed.append(found)
                del self._guessed[:-_MOST_TAKEN]
            return found

    def take_fitting(
        self,
        names: Collection[str],
        passed: Mapping[str, Any],
        inside: str | None,
        *,
        only_inside: bool = False,
        again: bool = True,
        accepts_empty: bool = True,
    ) -> RequestedCall | None:
        """Take the waiting call of one of these tools whose arguments a function got, in whatever form.

        Args:
            names: the names of the tools that the function may be.
            passed: the arguments of the function, by name.
            inside: the span that the function was called in. Calls that were requested there are preferred.
            only_inside: whether the call must have been requested there.
            again: whether a call that was taken and whose result was not sent back yet may be taken once more, because
                a program may retry a function that failed.
            accepts_empty: whether a call without arguments may be taken by a function that got some.
        """
        with self._lock:
            waiting = [call for calls in self._waiting.values() for call in calls]
            for calls in (waiting, self._guessed) if again else (waiting,):
                fitting = [
                    call
                    for call in calls
                    if call.name in names
                    and _fits(call.arguments, passed)
                    and (accepts_empty or call.arguments or not passed)
                ]
                found = next((call for call in fitting if call.inside == inside), None)
                if found is None and fitting and not only_inside:
                    found = fitting[0]
                if found is None:
                    continue
                if calls is waiting:
                    self._remove(found)
                    self._guessed.append(found)
                    del self._guessed[:-_MOST_TAKEN]
                return found
            return None

    def await_consent(self, name: str, arguments: Mapping[str, Any], inside: str | None) -> None:
        """Mark the call that `take` would find as one that a person has to allow."""
        with self._lock:
            found = self.take(name, arguments, inside)
            if found is not None:
                self._guessed.remove(found)
                self._waiting.setdefault(found.call_id, []).append(replace(found, awaits_consent=True))

    def add_results(self, messages: list[Any], inside: str | None) -> None:
        """Match the tool results in the messages of a request, which is sent inside the span `inside`."""
        if self._guessed:
            returned = {
                call_id
                for call_id, _name, _result in find_tool_results(_messages_after_last_answer(messages))
            }
            with self._lock:
                self._guessed = [call for call in self._guessed if call.call_id not in returned]
        if not self._waiting:
            return
        for call_id, result in self._pair_results(messages):
            with self._lock:
                waiting = self._waiting.get(call_id) if call_id else None
                if not waiting:
                    continue
                call = next((call for call in waiting if call.inside == inside), waiting[0])
                self._remove(call)
                was_answered = self._was_answered_by_twin(call)
            if not call.awaits_consent and not was_answered and call.name not in self._ignored:
                self._on_unseen(call, result)

    def _pair_results(self, messages: list[Any]) -> list[tuple[str, Any]]:
        """Return the last result of each call id, or one for each call if a model gave one id to all of its calls."""
        last = {call_id: result for call_id, _name, result in find_tool_results(messages)}
        latest: dict[str, list[Any]] = {}
        for call_id, _name, result in find_tool_results(_messages_after_last_answer(messages)):
            latest.setdefault(call_id, []).append(result)
        pairs: list[tuple[str, Any]] = []
        for call_id, result in last.items():
            results = latest.get(call_id, [])
            one_each = len(results) > 1 and len(results) == len(self._waiting.get(call_id, ()))
            pairs += [(call_id, each) for each in (results if one_each else [result])]
        return pairs

    def _was_answered_by_twin(self, call: RequestedCall) -> bool:
        """Return whether the function that took an equal call of another answer has answered this one.

        A program may request an answer twice and use only one. The other call waits again, because its own result may
        still be sent.
        """
        for other in self._guessed:
            same = other.name == call.name and other.inside == call.inside and not other.awaits_consent
            if same and other.asked_in != call.asked_in and is_equal(other.arguments, call.arguments):
                self._guessed.remove(other)
                self._waiting.setdefault(other.call_id, []).append(other)
                return True
        return False

    def _take_by_id(
        self, call_id: str, arguments: Mapping[str, Any], inside: str | None
    ) -> RequestedCall | None:
        waiting = self._waiting.get(call_id)
        if not waiting:
            taken = self._taken.get(call_id)
            return taken if taken is not None and is_passed(taken.arguments, arguments) else None
        found = next((call for call in waiting if call.inside == inside), waiting[0])
        self._remove(found)
        self._taken[call_id] = found
        if len(self._taken) > _MOST_TAKEN:
            self._taken.popitem(last=False)
        return found

    def _remove(self, call: RequestedCall) -> None:
        waiting = self._waiting[call.call_id]
        waiting.remove(call)
        if not waiting:
            del self._waiting[call.call_id]


def _messages_after_last_answer(messages: list[Any]) -> list[Any]:
    """Return the messages after the model's last one. Only these can hold results that were not sent before."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, dict) and message.get("role") == "assistant":
            return messages[index + 1 :]
    return messages


def is_passed(requested: Any, passed: Mapping[str, Any]) -> bool:
    """Return whether a function got the requested arguments. It may have got defaults besides."""
    return isinstance(requested, dict) and all(
        key in passed and is_equal(requested[key], passed[key]) for key in requested
    )


def _fits(requested: Any, passed: Mapping[str, Any]) -> bool:
    """Return whether a function got the requested arguments: by name, in a dict, its JSON or an object, or renamed."""
    if is_passed(requested, passed):
        return True
    if not isinstance(requested, dict) or not requested:
        return False
    for value in passed.values():
        if type(value) is str and value.lstrip()[:1] == "{":
            value = load_arguments(value)  # noqa: PLW2901  (the argument as the function reads it)
        if is_passed(requested, value if type(value) is dict else attributes_of(value)):
            return True
    if any(key in passed and not is_equal(value, passed[key]) for key, value in requested.items()):
        return False
    values = [value for key, value in passed.items() if key not in requested]
    values += [item for value in values if type(value) is tuple for item in value]  # of `*args`
    for wanted in (value for key, value in requested.items() if key not in passed):
        found = next((place for place, value in enumerate(values) if is_equal(wanted, value)), None)
        if found is None:
            return False
        del values[found]  # `n=1` and `k=1` are not both the argument 1
    return True


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, such as a dataclass or a model of pydantic, without running its code."""
    try:
        attributes = object.__getattribute__(value, "__dict__")  # without `__getattr__` of the program
    except Exception:  # it has none; or a property of this name raises
        return {}
    return dict(attributes) if type(attributes) is dict else {}


def _is_same_request(one: RequestedCall, other: RequestedCall) -> bool:
    same = one.call_id == other.call_id and one.name == other.name
    return same and is_equal(one.arguments, other.arguments)


def is_equal(requested: Any, passed: Any) -> bool:
    """Compare JSON values. Any other value is unequal, because comparing it could run the program's code."""
    if type(passed) is dict and type(requested) is dict:
        return requested.keys() == passed.keys() and all(
            is_equal(requested[key], passed[key]) for key in requested
        )
    if type(passed) is list and type(requested) is list:
        return len(requested) == len(passed) and all(map(is_equal, requested, passed))
    return type(passed) in _COMPARABLE and bool(requested == passed)
