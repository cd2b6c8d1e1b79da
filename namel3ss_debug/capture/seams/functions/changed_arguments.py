"""Record how a tool changes its arguments, and change them in the same way in a re-run that answers the tool.

Only arguments that can change are looked at: containers, objects of the program's own classes, and such objects in the
attributes of a library's object, as in a context that a framework passes. The receiver of a method is none of them. The
end event of the tool has the new value of each changed argument: a re-run puts its contents into the live object.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from namel3ss_debug.capture.core.callsite import is_library
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, add_metadata
from namel3ss_debug.capture.payloads import data_objects
from namel3ss_debug.capture.payloads.conversion import Ready
from namel3ss_debug.capture.payloads.exact import Exact, exact
from namel3ss_debug.capture.seams.functions.requested_calls import attributes_of
from namel3ss_debug.wire import lenient

CHANGED = "changed_arguments"
"""The key in the `metadata` of the end event for the new values of the changed arguments, by name."""

NOT_CHANGED = "not_changed"
"""The key in the `metadata` of an answered tool for the arguments that the re-run could not change."""

_PLAIN = frozenset({str, int, float, bool, type(None), bytes, complex})
_SEQUENCES = frozenset({list, deque, bytearray})
_MAPPINGS = frozenset({dict, OrderedDict, defaultdict, Counter})
_CONTAINERS = _SEQUENCES | _MAPPINGS | {set}
_OPAQUE = {"$type": "object", "repr": "<cannot be read>"}

_OWN_CLASSES: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


class PassedArguments:
    """The arguments of one call of a tool that may change, as they are before it runs.

    Args:
        tracer: converts them, if it keeps payloads.
        arguments: all arguments by name, as the function got them.
    """

    __slots__ = ("_before", "_tracer", "_values")

    def __init__(self, tracer: ExecutionTracer, arguments: Mapping[str, Any]) -> None:
        self._tracer = tracer
        self._values: dict[str, Any] = {}
        self._before: dict[str, Exact] = {}
        if tracer.keeps_payloads and any(type(value) not in _PLAIN for value in arguments.values()):
            try:
                self._values = dict(_changeable(arguments))
                self._before = self._read()
            except Exception as error:
                tracer.problem("the arguments of a tool could not be read", error)

    def record(self, span: OpenSpan) -> None:
        """Add the arguments that have changed to the end event."""
        if not self._values:
            return
        try:
            after = self._read()
        except Exception as error:
            self._tracer.problem("the arguments of a tool could not be read", error)
            return
        changed = {name: value for name, value in after.items() if not _is_same(value, self._before[name])}
        if changed:
            add_metadata(span, {CHANGED: {name: _restorable(value) for name, value in changed.items()}})

    def change(self, span: OpenSpan, recorded: Mapping[str, Any]) -> None:
        """Change the arguments as the recorded tool did, and add the names of those that cannot be changed to the end event.

        An argument that something else has changed since the call began is left as it is: the recorded value may hold
        that change already.
        """
        missed = []
        for name, form in recorded.items():
            try:
                now = self._form(self._values[name])
                if not _is_same(now, self._before[name]) or not _fill(self._values[name], _revive(form)):
                    missed.append(name)
            except Exception:  # the program has another parameter now, or no such class
                missed.append(name)
        changed = {name: Ready(form) for name, form in recorded.items()}
        add_metadata(span, {CHANGED: changed} | ({NOT_CHANGED: missed} if missed else {}))

    def _read(self) -> dict[str, Exact]:
        return {name: self._form(value) for name, value in self._values.items()}

    def _form(self, value: Any) -> Exact:
        """Return the value as JSON; of an object that is more than data, its attributes, to which it cannot be restored."""
        form = exact(self._tracer.payloads, value)
        if isinstance(form.json, dict) and "$type" in form.json and "repr" in form.json:
            return Exact(exact(self._tracer.payloads, attributes_of(value)).json, ("attributes",))
        return form


def _changeable(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that may change, and the program's objects in attributes of others, as `context.state`."""
    for name, value in arguments.items():
        if _may_change(value):
            yield name, value
        elif type(value) not in _PLAIN:
            for attribute, inner in attributes_of(value).items():
                if _is_own(type(inner)):
                    yield f"{name}.{attribute}", inner


def _may_change(value: Any) -> bool:
    kind = type(value)
    if kind in (tuple, frozenset):
        return any(map(_may_change, value))
    return kind in _CONTAINERS or (kind not in _PLAIN and _is_own(kind))


def _is_own(kind: type) -> bool:
    """Return whether a class is defined in a file of the program."""
    known = _OWN_CLASSES.get(kind)
    if known is None:
        module = sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None) if isinstance(kind.__module__, str) else None
        known = _OWN_CLASSES[kind] = isinstance(file, str) and not is_library(file)
    return known


def _is_same(one: Exact, other: Exact) -> bool:
    """Return whether two values are equal, also in the order of the items of dicts."""
    return one.json == other.json and lenient.dump(one.json) == lenient.dump(other.json)


def _restorable(value: Exact) -> Any:
    """Return the value, or a form that nothing can be made of if it does not hold all."""
    return _OPAQUE if value.inexact else value


def _revive(form: Any) -> Any:
    """Return the value of a form.

    Raises:
        LookupError: it cannot be made.
    """
    from namel3ss_debug.wire.values import revive  # only a re-run needs it

    revived = revive(form, data_objects.make)
    if revived.flaws:
        raise LookupError(revived.flaws[0].what)
    return revived.value


def _fill(live: Any, wanted: Any) -> bool:
    """Give an object the contents of another one, and return whether that is possible.

    Objects inside it stay the same objects where they are at the same place, because the program may hold them too.
    """
    kind = type(live)
    if kind is not type(wanted):
        return False
    if kind in _MAPPINGS:
        kept = {key: _merge(live[key], value) if key in live else value for key, value in wanted.items()}
        live.clear()
        live.update(kept)
        return True
    if kind is set:
        live.clear()
        live.update(wanted)
        return True
    if kind in _SEQUENCES:
        old = list(live)
        items = [
            _merge(old[place], value) if place < len(old) else value for place, value in enumerate(wanted)
        ]
        live.clear()
        live.extend(items)
        return True
    if kind is tuple and len(live) == len(wanted):
        return all(_fill(*pair) for pair in zip(live, wanted, strict=True) if type(pair[0]) not in _PLAIN)
    return _is_own(kind) and hasattr(live, "__dict__") and _fill(vars(live), vars(wanted))


def _merge(live: Any, wanted: Any) -> Any:
    """Return the live object with the contents of the other one; the other one if that is not possible."""
    return live if type(live) not in _PLAIN and _fill(live, wanted) else wanted
