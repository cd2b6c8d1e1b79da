"""Record variables as differences: each event has what changed since an earlier event of the same scope.

A scope is a function, a module, or the session of a notebook. Its first event in a segment, and every `WHOLE_EVERY`-th
after that, has all variables (a whole record); the others name the event before (`since`), and have what changed, and the
names that are gone. The globals of a module are recorded once for all its functions, and as differences where the module
itself makes a call. `traces.variables` reads it.

A variable counts as unchanged only if its whole value was converted and is the same JSON. Reading a list of a million
items at every call would cost more than the program, so a large value is recorded by its shape: type, length, first items,
and a digest of at most `SAMPLED` of its items. Where neither the identity of the object, nor its length, nor those items
differ, its name stands in `not_compared`. The same holds for a value of which only a part fits into `VALUE_BYTES`, for
one with a redacted secret, and for an object of which only the `repr` is known.

Nothing here keeps a value of the program alive: what is remembered is JSON, digests and identities. Threads need no lock: a
record says which event it differs from, so two that begin from the same one are both right.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from hashlib import blake2b
from itertools import islice
from math import isfinite
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from orjson import dumps

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.payloads.conversion import CARD_LIKE, JsonValue, Payloads, Ready
from namel3ss_debug.capture.payloads.introspection import full_name
from namel3ss_debug.capture.payloads.texts import take_start
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.traces.writer import TraceWriter

VALUE_BYTES: Final = 2048
"""How much of one value is recorded; a larger one is recorded by its shape."""

LARGE_ITEMS: Final = 256
"""A container of more items is recorded by its shape, without converting it first."""

SAMPLED: Final = 64
"""How many items of a large container are compared."""

WHOLE_DIGEST: Final = 1024 * 1024
"""A longer text is sampled as a list is. Python keeps the hash of a text, so comparing a shorter one costs once."""

WHOLE_EVERY: Final = 64
"""After how many records of a scope all variables are recorded again, so that a reader need not go far back."""

FARTHEST: Final = 1000
"""The same in events of the process."""

MOST_VARIABLES: Final = 500
"""How many variables of a scope are looked at."""

MOST_SCOPES: Final = 4096
_START = 3
_START_BYTES = 256
_TEXT_READ = 8192
_CODE_TYPES = (ModuleType, FunctionType, type, type(annotations))  # the last is what `__future__` imports
_IPYTHON_NAMES = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
_CELL_INPUTS = "_ih"  # IPython keeps the source of all cells among the variables of each
_NO_MARKS: Mapping[str, bytes] = {}
_TEXTS = frozenset({str, bytes, bytearray})
_PLAIN_KEYS = frozenset({str, int, float, bool, bytes, type(None)})
_SIZED = frozenset({*_TEXTS, list, tuple, dict, set, frozenset, deque})


class Known(NamedTuple):
    """What the trace holds of the variables of a scope.

    Attributes:
        event_id: the latest event with a record of the scope.
        place: generation and segment of the writer then; a record never refers to another file.
        records: how many records there were since the last whole one.
        event: how many events the process had recorded at the last whole one.
        marks: name -> digest of the value.
    """

    event_id: str
    place: tuple[int, int]
    records: int
    event: int
    marks: Mapping[str, bytes]


class Changes(NamedTuple):
    """The record of one event: what to write, and what is known once it is written."""

    metadata: dict[str, Any]
    known: dict[str, Known]


class VariableRecorder:
    """Records the variables of the user's code as differences, within a budget for each event and for the run.

    Args:
        payloads: makes JSON of the program's values.
        writer: writes the trace.
        config: the settings in force, which have the two budgets.
    """

    def __init__(self, payloads: Payloads, writer: TraceWriter, config: DebugConfiguration) -> None:
        self._payloads = Payloads(payloads.redactor, min(VALUE_BYTES, payloads.max_size or VALUE_BYTES))
        self._starts = Payloads(payloads.redactor, 2 * _START_BYTES)
        self._writer = writer
        self._event_bytes, self._run_bytes = config.variables_event_bytes, config.variables_run_bytes
        self._written = 0
        self._known: dict[str, Known] = {}

    def compare_frame(self, frame: FrameType, sites: CallSites) -> Changes:
        """Return the record of a frame: its locals, and the globals of its module where the trace has none yet."""
        module = _scope_of_module(frame, sites)
        if frame.f_locals is frame.f_globals or frame.f_code.co_name == "<module>":
            return self.compare(module, read_variables(frame.f_locals))
        written = self._written
        changes = self.compare(f"{module}:{frame.f_code.co_qualname}", read_variables(frame.f_locals))
        if "locals" not in changes.metadata:
            return changes
        record = changes.metadata["locals_record"]
        known = self._known.get(module)
        if known is not None and known.place == self._place():
            record["module"] = known.event_id
            return changes
        room = max(self._event_bytes - (self._written - written), 0)
        outer = self.compare(module, read_variables(frame.f_globals), room)
        record["globals"] = outer.metadata["locals_record"] | {"values": outer.metadata.get("locals", {})}
        changes.known.update(outer.known)
        return changes

    def compare(self, scope: str, values: Mapping[str, Any], room: int | None = None) -> Changes:
        """Return the record of the variables of a scope: what differs from the latest record, or all of them.

        Args:
            scope: the function, module or session.
            values: name -> value.
            room: how many bytes of values the record may have; those of an event if left out.
        """
        if self._run_bytes and self._written >= self._run_bytes:
            return Changes({"locals_record": {"scope": scope, "stopped": True}}, {})
        place = self._place()
        known = self._known.get(scope)
        if known is not None and (
            known.place != place
            or known.records >= WHOLE_EVERY
            or self._writer.events - known.event >= FARTHEST
        ):
            known = None
        before = _NO_MARKS if known is None else known.marks
        changed: dict[str, JsonValue] = {}
        marks: dict[str, bytes] = {}
        not_compared: list[str] = []
        further = list(islice(values, MOST_VARIABLES, None))
        omitted = [name for name in further if name in before]
        left = room = self._event_bytes if room is None else room
        for name, value in islice(values.items(), MOST_VARIABLES):
            mark, is_compared, described = self._describe(name, value, before.get(name))
            if described is None:
                marks[name] = mark
                if not is_compared:
                    not_compared.append(name)
                continue
            size = len(dumps(described))
            if size > left:
                omitted.append(name)
                continue
            left -= size
            marks[name] = mark
            changed |= described
        self._written += room - left
        record: dict[str, Any] = {"scope": scope}
        removed = [name for name in before if name not in marks and name not in omitted]
        if known is not None:
            record["since"] = known.event_id
        for key, names in (("removed", removed), ("not_compared", not_compared), ("omitted", omitted)):
            if names:
                record[key] = list(map(self._payloads.text, names))
        if further:
            record["further"] = len(further)
        now = Known(
            "",
            place,
            0 if known is None else known.records + 1,
            self._writer.events if known is None else known.event,
            marks,
        )
        return Changes({"locals": changed, "locals_record": record}, {scope: now})

    def _place(self) -> tuple[int, int]:
        return self._writer.generation, self._writer.segment

    def commit(self, changes: Changes, event_id: str) -> None:
        """Remember that an event with this record was written."""
        if len(self._known) > MOST_SCOPES:
            self._known.clear()
        for scope, known in changes.known.items():
            self._known[scope] = known._replace(event_id=event_id)

    def _describe(
        self, name: str, value: Any, before: bytes | None
    ) -> tuple[bytes, bool, dict[str, JsonValue] | None]:
        """Return what is remembered of a value, whether that is all of it, and its JSON under its name.

        Args:
            name: the name of the variable.
            value: its value.
            before: what was remembered of the value before; where that is the same, the JSON is `None`.
        """
        kind = type(value)
        payloads = self._payloads
        is_plain = (
            value is None
            or kind is bool
            or (kind is int and -CARD_LIKE < value < CARD_LIKE)
            or (kind is float and isfinite(value))
        )
        if is_plain and name in payloads.clear_names:
            mark = dumps(value)
            return mark, True, None if mark == before else {name: value}
        if kind in _SIZED and len(value) > (VALUE_BYTES if kind in _TEXTS else LARGE_ITEMS):
            return self._describe_large(name, value, before)
        converted = payloads.convert({name: value})
        form = converted.value
        if type(form) is not dict or len(form) != 1:  # the value could not be read
            form = {name: form}
        data = dumps(form)
        # An object may have changed behind the same `repr`.
        is_compared = converted.whole and b'"repr":' not in data
        if is_plain:
            mark = dumps(value)
        else:
            mark = _digest(data) if is_compared else b"%s %d" % (_digest(data), id(value))
        return mark, is_compared, None if mark == before else form

    def _describe_large(
        self, name: str, value: Any, before: bytes | None
    ) -> tuple[bytes, bool, dict[str, JsonValue] | None]:
        """Do the same for a large value: its JSON is its shape."""
        kind, length = type(value), len(value)
        is_compared = kind in (str, bytes) and length <= WHOLE_DIGEST
        start: Any = []
        digest = b""
        if is_compared:
            mark = b"%d %d" % (length, hash(value))
        else:
            try:
                sample, identities = _sample(value)
                digest = _digest(b"\0".join(map(_fingerprint, sample)))
                mark = b"%d %d %s %s" % (id(value), length, digest, _digest(identities))
                if kind is dict:  # a key of the program's own class may run code when it is hashed
                    start = {key: item for key, item in sample[:_START] if type(key) in _PLAIN_KEYS}
                elif kind not in _TEXTS:
                    start = sample[:_START]
            except RuntimeError:  # another thread changed the container meanwhile
                mark = os.urandom(16)
        if mark == before:
            return mark, is_compared, None
        if kind in _TEXTS:  # cut in a way that leaves no part of a secret
            text = value if kind is str else bytes(value[:_TEXT_READ]).decode("latin-1")
            start = Ready(take_start(text, self._payloads.redactor, _START_BYTES))
        form = self._starts.convert({name: start}).value
        shape: dict[str, JsonValue] = {
            "$type": kind.__name__,
            "length": length,
            "start": form.get(name) if type(form) is dict else None,
        }
        if is_compared:
            raw = value.encode("utf-8", "surrogatepass") if kind is str else value
            shape["digest"] = _digest(raw).hex()
        elif digest:
            shape["sampled_digest"] = digest.hex()
        described = self._payloads.convert({name: Ready(shape)}).value  # hides what a secret name stands for
        return mark, is_compared, described if type(described) is dict else {name: shape}


def read_variables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables among the names of a scope: all but code, and what Python or IPython keeps there.

    In a cell of a notebook, names with a leading underscore are left out too, as in its `%who`.
    """
    of_cell = _CELL_INPUTS in values
    return {
        name: value
        for name, value in list(values.items())
        if type(name) is str
        and not name.startswith("_" if of_cell else "__")
        and not issubclass(type(value), _CODE_TYPES)
        and not (of_cell and name in _IPYTHON_NAMES)
    }


def frame_of_failure(error: BaseException, sites: CallSites) -> FrameType | None:
    """Return the innermost user frame that an exception passed."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if sites.shown(trace.tb_frame.f_code.co_filename) is not None:
            found = trace.tb_frame
        trace = trace.tb_next
    return found


def user_frame(frame: FrameType | None, sites: CallSites) -> FrameType | None:
    """Return this frame, or the innermost user frame above it."""
    while frame is not None and sites.shown(frame.f_code.co_filename) is None:
        frame = frame.f_back
    return frame


def _scope_of_module(frame: FrameType, sites: CallSites) -> str:
    """Return the scope of the globals of a frame: the file, or for all cells of a notebook their session."""
    return "notebook" if _CELL_INPUTS in frame.f_globals else str(sites.shown(frame.f_code.co_filename))


def _sample(value: Any) -> tuple[list[Any], bytes]:
    """Return at most `SAMPLED` items of a large container and their identities; of a text, pieces of it.

    Raises:
        RuntimeError: the container changed meanwhile.
    """
    kind, length = type(value), len(value)
    if kind in _TEXTS:
        return [value[at : at + 32] for at in range(0, length, -(-length // SAMPLED))], b""
    if kind in (list, tuple):
        step = -(-length // (SAMPLED - _START - 1))
        sample = [*value[:_START], *value[_START::step], *value[-1:]]
    else:
        sample = list(islice(value.items() if kind is dict else value, SAMPLED // 2))
        if kind in (dict, deque):
            sample += islice(reversed(value.items() if kind is dict else value), SAMPLED // 2)
    compared = (item[1] for item in sample) if kind is dict else sample
    return sample, b",".join(b"%d" % id(item) for item in compared)


def _fingerprint(item: Any) -> bytes:
    """Return what the digest has of one sampled item: a plain value itself, of any other its type and length."""
    kind = type(item)
    if kind is str:
        return item[:64].encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]
    if kind is bytes or kind is bytearray:
        return bytes(item[:64])
    if kind in (bool, float, type(None)) or (kind is int and item.bit_length() < 64):
        return repr(item).encode()
    if kind is tuple and len(item) == 2:  # an item of a dict
        return _fingerprint(item[0]) + b":" + _fingerprint(item[1])
    return b"%s %d" % (full_name(kind).encode("utf-8", "surrogatepass"), len(item) if kind in _SIZED else 0)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
