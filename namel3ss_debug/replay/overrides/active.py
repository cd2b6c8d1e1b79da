"""The overrides in force: which mock and which fault each call gets.

Nothing is executed here. In a trace, a mocked answer is shown in place of the recorded one and marked, with the
recorded values beside it; a running program gets it as the answer to its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from namel3ss_debug.config import SETTINGS, Loaded
from namel3ss_debug.errors import MockError, SettingError
from namel3ss_debug.replay.debugger.locations import Location, Occurrence, TraceContents
from namel3ss_debug.replay.debugger.results import MockRow, Numbered
from namel3ss_debug.replay.overrides.faults import Fault, apply_fault, format_effect, parse_fault
from namel3ss_debug.replay.overrides.grammar import (
    NamedCalls,
    find_calls,
    format_path,
    name_key,
    parse_name,
)
from namel3ss_debug.replay.overrides.mocks import Mock, apply_mock, merge_mocks, parse_mock
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

_Override = TypeVar("_Override", Mock, Fault)


def load_overrides(
    loaded: Loaded, mocks: Iterable[str] = (), faults: Iterable[str] = ()
) -> tuple[Mock | Fault, ...]:
    """Return the overrides of the settings and then those of the command line, which take precedence.

    An override of the settings is optional: it may be for a call that a trace does not have. The path of a file in it
    is relative to the folder that holds `.namel3ss`.

    Args:
        loaded: the settings in force.
        mocks: as `--mock` writes them.
        faults: as `--fault` writes them.

    Raises:
        SettingError: one of the settings does not parse.
        MockError: one of the command line does not parse.
    """
    config, file = loaded.config, loaded.file
    in_file = file is not None and loaded.sources["mocks"] == str(file)
    folder = file.parent.parent if file is not None and in_file else None
    return (
        *_parse_setting(lambda text: parse_mock(text, folder), config.mocks, loaded, "mocks"),
        *_parse_setting(parse_fault, config.faults, loaded, "faults"),
        *map(parse_mock, mocks),
        *map(parse_fault, faults),
    )


def _parse_setting(
    parse: Callable[[str], _Override], texts: Iterable[str], loaded: Loaded, key: str
) -> Iterator[_Override]:
    for text in texts:
        try:
            override = parse(text)
        except MockError as problem:
            allowed = next(setting.allowed for setting in SETTINGS if setting.key == key)
            raise SettingError(f"{loaded.sources[key]}: {key}: {problem}; allowed is {allowed}") from None
        yield replace(override, optional=True)


class _Active(NamedTuple, Generic[_Override]):
    """An override in force, the location of its calls, and the one call that is meant, if only one is."""

    override: _Override
    location: Location
    occurrence: Occurrence | None


_Key = tuple[str, int | None]
_ActiveByCalls = dict[_Key, _Active[_Override]]


class Overrides:
    """The mocks and faults in force, in the order in which they were added.

    If several mocks fit a call, one for the N-th call takes precedence over one for every call, and then a later one
    over an earlier one; the same holds for faults. A mock replaces an earlier one for the same name and the same N, but
    a change is added to it; a fault replaces a fault. If a call has both, a fault that replaces the answer takes
    precedence, unless only the mock is for the N-th call; latency and truncation are applied to the mocked answer.

    Args:
        contents: returns what the trace holds, or None while the program still runs: then every name is accepted.
        find: returns the call that a location with an occurrence means; None if there is none (yet).
    """

    def __init__(
        self, contents: Callable[[], TraceContents | None], find: Callable[[Location], Occurrence | None]
    ) -> None:
        self._contents = contents
        self._find = find
        self._mocks: _ActiveByCalls[Mock] = {}
        self._faults: _ActiveByCalls[Fault] = {}

    def __len__(self) -> int:
        return len(self._mocks) + len(self._faults)

    @property
    def all(self) -> tuple[Mock | Fault, ...]:
        """The mocks and the faults in force."""
        return (*(active.override for active in self._mocks.values()), *self.faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults in force."""
        return tuple(active.override for active in self._faults.values())

    def add(self, override: Mock | Fault) -> bool:
        """Put a mock or a fault in force.

        Returns:
            False if it is optional and the trace has no such call.

        Raises:
            MockError: the trace has no such call, a model's answer does not have its shape, or the call cannot have
                this fault.
        """
        calls = find_override_calls(override, self._contents())
        if calls is None:
            return False
        key = (name_key(override.name), override.nth)
        occurrence = None if override.nth is None else self._find(calls.location)
        # An override that is replaced goes to the end: the latest one takes precedence.
        if isinstance(override, Fault):
            override.check(calls.components)
            self._faults.pop(key, None)
            self._faults[key] = _Active(override, calls.location, occurrence)
            return True
        before = self._mocks.get(key)
        if override.changes and before is not None:
            override = merge_mocks(before.override, override)
        override.check(calls.components)
        self._mocks.pop(key, None)
        self._mocks[key] = _Active(override, calls.location, occurrence)
        return True

    def remove(self, name: str = "") -> int:
        """Remove the overrides of a name, or of that call only for `NAME@N`, or all for ""; return how many.

        Raises:
            MockError: the name does not parse.
        """
        before = len(self)
        calls, nth = (None, None) if not name.strip() else parse_name(name)
        for active in (self._mocks, self._faults):
            for key in list(active):
                if calls is None or (key[0] == name_key(calls) and nth in (None, key[1])):
                    del active[key]
        return before - len(self)

    def rows(self) -> tuple[MockRow, ...]:
        """Return the overrides as they are listed: a fault as `{"fault": "timeout"}`, changes as `{"result.temp_c": -30}`."""
        rows = []
        for each in self.all:
            answer = {"fault": format_effect(each.effect)} if isinstance(each, Fault) else each.answer
            if isinstance(each, Mock) and each.changes:
                answer = {format_path(path).removeprefix("."): value for path, value in each.changes}
            rows.append(MockRow(each.name, each.nth, answer))
        return tuple(rows)

    def mock_for(self, number: int, start: Event) -> Mock | None:
        """Return the mock for the call that begins with this event; None if there is none.

        Args:
            number: the number of the event.
            start: the event; an event that is no start begins no call.
        """
        return self._find_for(self._mocks, number, start)

    def fault_for(self, number: int, start: Event) -> Fault | None:
        """Return the fault for the call that begins with this event; None if there is none.

        Args:
            number: the number of the event.
            start: the event; an event that is no start begins no call.
        """
        found = self._find_for(self._faults, number, start)
        if found is None or not found.replaces or found.nth is not None:
            return found
        mock = self.mock_for(number, start)
        return found if mock is None or mock.nth is None else None

    def has_for(self, number: int, start: Event) -> bool:
        """Return whether the call that begins with this event has a mock or a fault."""
        return self.mock_for(number, start) is not None or self.fault_for(number, start) is not None

    def apply(self, number: int, event: Event, start: Numbered | None) -> Event:
        """Return an event of a trace as it is shown: the end of a call with its mock and fault, else the event itself.

        The recorded values are in `metadata.recorded`, and `metadata.mocked` is true. If the answer cannot be applied,
        because the recorded one has another shape, `metadata.mock_problem` says why.

        Args:
            number: the number of the event.
            event: the event.
            start: for an end, the number of the start it belongs to, and the start; None if there is none.
        """
        if not len(self) or start is None or number == start[0] or event["event_type"][-4:] != "_end":
            return event
        mock, fault = self.mock_for(*start), self.fault_for(*start)
        try:
            if mock is None or (fault is not None and fault.replaces):
                return event if fault is None else apply_fault(fault, event, start[1])
            mocked = apply_mock(mock, event, start)
            return mocked if fault is None else apply_fault(fault, event, start[1], mocked)
        except MockError as problem:
            metadata = lenient.mapping(event.get("metadata")) | {"mock_problem": str(problem)}
            return event | {"metadata": metadata}

    def _find_for(self, all_active: _ActiveByCalls[_Override], number: int, start: Event) -> _Override | None:
        """Return the override for a call: one for just this call first, then the latest one."""
        if start["event_type"][-6:] != "_start":
            return None
        component = str(start.get("component"))
        found: _Override | None = None
        for key, active in all_active.items():
            override = active.override
            if not active.location.enters(start):
                continue
            if isinstance(override, Fault) and not override.fits(component):
                continue
            if override.nth is None:
                found = override if found is None or found.nth is None else found
                continue
            occurrence = active.occurrence
            if occurrence is None and self._contents() is None:  # the program has made further calls since
                occurrence = self._find(active.location)
                all_active[key] = _Active(override, active.location, occurrence)
            if occurrence is not None and occurrence.number == number:
                found = override
        return found


def find_override_calls(override: Mock | Fault, contents: TraceContents | None) -> NamedCalls | None:
    """Return the calls that a mock or a fault is for; None if it is optional and the trace has no such call.

    Args:
        override: the mock or the fault.
        contents: what the trace holds; None while the program still runs, when every name is accepted.

    Raises:
        MockError: the trace has no such call, or fewer.
    """
    try:
        return find_calls(override.name, override.nth, contents)
    except MockError:
        if override.optional:
            return None
        raise
