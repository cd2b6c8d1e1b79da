"""Read the variables of the user's code at an event, where they were recorded as differences.

At the level `comprehensive`, an event that holds variables has in its metadata `locals`, the values that it records, and
`locals_record`, what is to know of them:

- `scope`: the function (`app.py:main`), the module (`app.py`), or `notebook`.
- `since`: the event that the values differ from, in the same scope and segment; without it, all values are here.
- `removed`: variables of that event that are gone.
- `not_compared`: variables whose type, length and sampled items are as there; whether the rest is, nobody looked.
- `omitted`: variables whose values did not fit into the budget of the event; `further`: how many more were not looked at.
- `stopped`: the process has used up its budget, and records no variables any more.
- `module`: the event with the globals of the function's module; or `globals`, a record of them that has its `values`.

An event without `locals_record` has all values in `locals`: those of a namel3ss app that is stepped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from namel3ss_debug.traces.events import Event, NumberedEvents
from namel3ss_debug.wire import lenient

FARTHEST: Final = 50_000
"""How many events before an event are looked at for an earlier record; the recorder refers to much closer ones."""

_MOST_REMEMBERED: Final = 4000
"""How many events `VariableHistory` keeps, for the later ones that refer to them."""


@dataclass(frozen=True)
class Variables:
    """The variables of one scope at an event.

    Attributes:
        scope: the function, module or session; empty if the trace does not name it.
        number: the event with the latest record.
        values: name -> value.
        recorded: name -> the event that holds the value.
        not_compared: the variables that may have changed since then unnoticed.
        omitted: the variables whose values did not fit into the budget.
        further: how many more variables there were, which were not looked at.
        missing: whether an earlier record is not in the trace, so that unchanged variables are not known.
        stopped: whether the process had used up its budget, so that nothing is known.
        module: the globals of the function's module, as they were recorded last.
    """

    scope: str
    number: int
    values: dict[str, Any] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    further: int = 0
    missing: bool = False
    stopped: bool = False
    module: Variables | None = None

    def notes(self, names: Collection[str] | None = None) -> tuple[str, ...]:
        """Return what the values do not show, a sentence each; with `names` only of these variables."""
        notes = [
            f"{name} was recorded at event {self.recorded[name]}; since then it was compared only in part"
            for name in self.not_compared
            if name in self.recorded and (names is None or name in names)
        ]
        if names is not None:
            return tuple(notes)
        if self.omitted:
            notes.append(f"not recorded, over variables_event_bytes: {', '.join(self.omitted)}")
        if self.further:
            notes.append(f"not recorded, because there were so many: {self.further:,} more")
        if self.missing:
            notes.append(
                "variables that did not change are missing: the event that holds them is not in the trace"
            )
        if self.stopped:
            notes.append("variables are not recorded here: the process had used up variables_run_bytes")
        return (*notes, *(self.module.notes() if self.module is not None else ()))


def has_variables(event: Event) -> bool:
    """Return whether an event holds variables, or a record about them."""
    metadata = lenient.mapping(event.get("metadata"))
    return isinstance(metadata.get("locals"), dict) or isinstance(metadata.get("locals_record"), dict)


def read_variables(trace: NumberedEvents, number: int) -> Variables | None:
    """Return all variables at an event; `None` if it holds none.

    Args:
        trace: the trace. Only events before this one are read, at most `FARTHEST` of them.
        number: the number of the event.
    """
    event = trace.event(number)
    if not has_variables(event):
        return None
    search = _RecordSearch(trace, number)
    metadata = lenient.mapping(event.get("metadata"))
    record = lenient.mapping(metadata.get("locals_record"))
    module: Variables | None = None
    if "globals" in record:
        scope = lenient.string(lenient.mapping(record["globals"]).get("scope")) or ""
        module = search.read(number, event, scope)
    elif holder := search.find(lenient.string(record.get("module"))):
        scope = (lenient.string(record.get("scope")) or "").rpartition(":")[0]
        module = search.read(*holder, scope)
    found = search.read(number, event, lenient.string(record.get("scope")) or "")
    return replace(found, module=module)


def complete_variables(trace: NumberedEvents, number: int, event: Event) -> Event:
    """Return an event with all variables in `metadata.locals`; the event itself if they are there already."""
    metadata = lenient.mapping(event.get("metadata"))
    if "since" not in lenient.mapping(metadata.get("locals_record")):
        return event
    found = read_variables(trace, number)
    return event if found is None else event | {"metadata": metadata | {"locals": found.values}}


class VariableHistory:
    """Completes the variables of all events of a trace, which are passed in order."""

    def __init__(self) -> None:
        self._values: dict[
            str, tuple[Event, dict[str, Any]]
        ] = {}  # event id -> its record, and all values there

    def complete(self, event: Event) -> Event:
        """Return the event with all variables in `metadata.locals`; the event itself if it holds none."""
        if not has_variables(event):
            return event
        metadata = lenient.mapping(event.get("metadata"))
        record = lenient.mapping(metadata.get("locals_record"))
        values = lenient.mapping(metadata.get("locals"))
        earlier = self._values.get(str(record.get("since")))
        if earlier is not None:
            _, known = _record_of(earlier[0], str(record.get("scope")))
            if earlier[0].get("metadata", {}).get("locals_record", {}).get("scope") == record.get("scope"):
                known = earlier[1]
            gone = {*_names(record, "removed"), *_names(record, "omitted")}
            values = {name: value for name, value in known.items() if name not in gone} | values
        if len(self._values) >= _MOST_REMEMBERED:
            self._values.pop(next(iter(self._values)))
        self._values[str(event.get("event_id"))] = (event, values)
        return event | {"metadata": metadata | {"locals": values}}


class _RecordSearch:
    """A search for the events that hold earlier records, backwards from an event."""

    def __init__(self, trace: NumberedEvents, number: int) -> None:
        self._trace = trace
        self._first = max(1, number - FARTHEST)
        self._read = number
        self._found: dict[str, tuple[int, Event]] = {}

    def find(self, event_id: str | None) -> tuple[int, Event] | None:
        """Return the event with this id and its number."""
        if event_id is None:
            return None
        if event_id.isdecimal() and len(event_id) < 16 and event_id not in self._found:
            # In a trace of one process, ids count like numbers.
            number = int(event_id)
            if 0 < number < self._read:
                event = self._trace.event(number)
                if event.get("event_id") == event_id:
                    return number, event
        size = 256  # a near event needs little reading
        while event_id not in self._found and self._read > self._first:
            begin = max(self._first, self._read - size)
            block = enumerate(islice(self._trace.events(begin), self._read - begin), begin)
            nearer = self._found
            self._found = {event["event_id"]: (at, event) for at, event in block if has_variables(event)}
            self._found |= nearer
            self._read, size = begin, size * 4
        return self._found.get(event_id)

    def read(self, number: int, event: Event, scope: str) -> Variables:
        """Return the variables of a scope at an event with a record of it."""
        records = []
        at: tuple[int, Event] | None = (number, event)
        seen: set[int] = set()
        missing = False
        while at is not None and at[0] not in seen:
            seen.add(at[0])
            record, values = _record_of(at[1], scope)
            records.append((at[0], record, values))
            since = lenient.string(record.get("since"))
            at = self.find(since)
            missing = since is not None and at is None
        known: dict[str, Any] = {}
        recorded: dict[str, int] = {}
        for place, record, values in reversed(records):
            for name in (*_names(record, "removed"), *_names(record, "omitted")):
                known.pop(name, None)
            known |= values
            recorded |= dict.fromkeys(values, place)
        _, record, _ = records[0]
        return Variables(
            scope,
            number,
            known,
            {name: recorded[name] for name in known},
            _names(record, "not_compared"),
            _names(record, "omitted"),
            lenient.count(record.get("further")) or 0,
            missing,
            record.get("stopped") is True,
        )


def _record_of(event: Event, scope: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record of a scope in an event, and the values that it is about."""
    metadata = lenient.mapping(event.get("metadata"))
    record = lenient.mapping(metadata.get("locals_record"))
    of_module = lenient.mapping(record.get("globals"))
    if of_module and of_module.get("scope") == scope:
        return of_module, lenient.mapping(of_module.get("values"))
    return record, lenient.mapping(metadata.get("locals"))


def _names(record: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(name for name in lenient.sequence(record.get(key)) if isinstance(name, str))
