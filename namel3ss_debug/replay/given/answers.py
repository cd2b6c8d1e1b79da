"""Answers and faults that the user gives in place of recorded answers, and which call gets which.

How they are written is in `grammar`. Nothing is executed here: a mocked answer is shown where the recorded one would be
and marked, with what was recorded beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from namel3ss_debug.config import SETTINGS, Loaded
from namel3ss_debug.errors import MockError, SettingError
from namel3ss_debug.replay.given.calls import Calls, find_calls, parse_name, same_calls
from namel3ss_debug.replay.given.faults import Fault, faulted, parse_fault, write_effect
from namel3ss_debug.replay.given.members import write_path
from namel3ss_debug.replay.given.mocks import Mock, add_change, mocked, parse_mock
from namel3ss_debug.replay.recording.breakpoints import Known, Place
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.results import MockRow, Numbered
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient


def configured_answers(
    loaded: Loaded, given_mocks: Iterable[str] = (), given_faults: Iterable[str] = ()
) -> tuple[Mock | Fault, ...]:
    """The answers and faults of the settings and then those given, so that these go before.

    Those of the settings are passed over where a recording has no such call. The path of a file in them is relative to
    the folder that holds `.namel3ss`.

    Args:
        loaded: the settings in force.
        given_mocks: as `--mock` writes them.
        given_faults: as `--fault` writes them.

    Raises:
        SettingError: one of the settings does not parse.
        MockError: one of those given does not parse.
    """
    config, file = loaded.config, loaded.file
    in_file = file is not None and loaded.sources["mocks"] == str(file)
    folder = file.parent.parent if file is not None and in_file else None
    return (
        *_read_setting(lambda text: parse_mock(text, folder), config.mocks, loaded, "mocks"),
        *_read_setting(parse_fault, config.faults, loaded, "faults"),
        *map(parse_mock, given_mocks),
        *map(parse_fault, given_faults),
    )


_What = TypeVar("_What", Mock, Fault)


class _InForce(NamedTuple, Generic[_What]):
    """A mock or fault in force, with the place of its calls, and the one call of them that is meant, if only one is."""

    what: _What
    place: Place
    nth: Nth | None


_Key = tuple[str, int | None]
_Given = dict[_Key, _InForce[_What]]


class Mocks:
    """The answers and faults in force, in the order in which they were given.

    Where several answers fit a call, one for the N-th call goes before one for every call, and of those left the latest
    goes before the earlier ones; the same holds for faults. An answer takes the place of one in force for the same name
    and the same N, but a change is made to it; a fault takes the place of a fault. Where a call has both, a fault that
    replaces the answer goes before it, unless the answer alone is for the N-th call; latency and truncation come to it.

    Args:
        known: gives what the recording holds, or None while the program still runs: then every name is taken.
        find: the call that a place with an occurrence means; None where there is none (yet).
    """

    def __init__(self, known: Callable[[], Known | None], find: Callable[[Place], Nth | None]) -> None:
        self._known = known
        self._find = find
        self._mocks: _Given[Mock] = {}
        self._faults: _Given[Fault] = {}

    def __len__(self) -> int:
        return len(self._mocks) + len(self._faults)

    @property
    def given(self) -> tuple[Mock | Fault, ...]:
        """The answers and the faults in force."""
        return (*(given.what for given in self._mocks.values()), *self.faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults in force."""
        return tuple(given.what for given in self._faults.values())

    def add(self, what: Mock | Fault) -> bool:
        """Put an answer or a fault in force.

        Returns:
            Whether it is: what is passed over where the recording holds no such call is not.

        Raises:
            MockError: the recording holds no such call, a model's answer does not have its shape, or the call cannot go
                wrong so.
        """
        calls = calls_of(what, self._known())
        if calls is None:
            return False
        key = (same_calls(what.name), what.nth)
        nth = None if what.nth is None else self._find(calls.place)
        if isinstance(what, Fault):
            what.check(calls.components)
            _put(self._faults, key, _InForce(what, calls.place, nth))
            return True
        before = self._mocks.get(key)
        if what.changes and before is not None:
            what = add_change(before.what, what)
        what.check(calls.components)
        _put(self._mocks, key, _InForce(what, calls.place, nth))
        return True

    def remove(self, name: str = "") -> int:
        """Take answers and faults out of force and tell how many: those of a name, `NAME@N` only those of that call; "" is all.

        Raises:
            MockError: the name does not parse.
        """
        before = len(self)
        calls, nth = (None, None) if not name.strip() else parse_name(name)
        for given in (self._mocks, self._faults):
            for key in list(given):
                if calls is None or (key[0] == same_calls(calls) and nth in (None, key[1])):
                    del given[key]
        return before - len(self)

    def rows(self) -> tuple[MockRow, ...]:
        """The answers and faults in force; a fault as `{"fault": "timeout"}`, changes as `{"result.temp_c": -30}`."""
        return tuple(_rows(self.given))

    def answer_for(self, number: int, start: Event) -> Mock | None:
        """The answer to the call which begins with this event; None where none is given.

        Args:
            number: the number of the event.
            start: the event; what is no start begins no call.
        """
        return self._given_for(self._mocks, number, start)

    def fault_for(self, number: int, start: Event) -> Fault | None:
        """What goes wrong at the call which begins with this event; None where nothing does.

        Args:
            number: the number of the event.
            start: the event; what is no start begins no call.
        """
        found = self._given_for(self._faults, number, start)
        if found is None or not found.replaces or found.nth is not None:
            return found
        mock = self.answer_for(number, start)
        return found if mock is None or mock.nth is None else None

    def changes(self, number: int, start: Event) -> bool:
        """Whether the call which begins with this event is given an answer or a fault."""
        given = self.answer_for(number, start)
        return given is not None or self.fault_for(number, start) is not None

    def answered(self, number: int, event: Event, start: Numbered | None) -> Event:
        """An event of a recording as it is shown: the end of a call with the mock's answer and the fault, else the event itself.

        What was recorded stands in `metadata.recorded`, beside `metadata.mocked`. Where the answer cannot be given,
        because the recorded one is no such thing, `metadata.mock_problem` says why. Where a program still runs, the
        events tell what was really answered, and `answer_for` says what will be.

        Args:
            number: the number of the event.
            event: the event.
            start: for an end, the number of the start it belongs to, and the start; None where there is none.
        """
        if not len(self) or start is None or number == start[0] or event["event_type"][-4:] != "_end":
            return event
        mock, fault = self.answer_for(*start), self.fault_for(*start)
        try:
            if mock is None or (fault is not None and fault.replaces):
                return event if fault is None else faulted(fault, event, start[1])
            given = mocked(mock, event, start)
            return given if fault is None else faulted(fault, event, start[1], given)
        except MockError as problem:
            metadata = lenient.mapping(event.get("metadata")) | {"mock_problem": str(problem)}
            return event | {"metadata": metadata}

    def _given_for(self, all_given: _Given[_What], number: int, start: Event) -> _What | None:
        """The mock or fault for a call: one for just this call first, then the latest one."""
        if start["event_type"][-6:] != "_start":
            return None
        found: _What | None = None
        for key, given in all_given.items():
            if not given.place.enters(start) or not _fits(given.what, start):
                continue
            if given.what.nth is None:
                found = given.what if found is None or found.nth is None else found
                continue
            nth = given.nth
            if nth is None and self._known() is None:  # the program has made further calls since
                nth = self._find(given.place)
                all_given[key] = _InForce(given.what, given.place, nth)
            if nth is not None and nth.number == number:
                found = given.what
        return found


def calls_of(what: Mock | Fault, known: Known | None) -> Calls | None:
    """The calls that an answer or a fault is for; None where it is passed over, because the recording has no such call.

    Args:
        what: the answer or the fault.
        known: what the recording holds; None while the program still runs, when every name is taken.

    Raises:
        MockError: the recording holds no such call, or fewer.
    """
    try:
        return find_calls(what.name, what.nth, known)
    except MockError:
        if what.passes:
            return None
        raise


def _put(given: _Given[_What], key: _Key, what: _InForce[_What]) -> None:
    """Put something in force as the latest; it replaces what was in force for the same calls."""
    given.pop(key, None)
    given[key] = what


def _fits(what: Mock | Fault, start: Event) -> bool:
    return not isinstance(what, Fault) or what.fits(str(start.get("component")))


def _rows(all_given: Iterable[Mock | Fault]) -> Iterator[MockRow]:
    """Mocks and faults as they are listed."""
    for each in all_given:
        if isinstance(each, Fault):
            yield MockRow(each.name, each.nth, {"fault": write_effect(each.effect)})
        elif each.changes:
            values = {write_path(path).removeprefix("."): value for path, value in each.changes}
            yield MockRow(each.name, each.nth, values)
        else:
            yield MockRow(each.name, each.nth, each.answer)


def _read_setting(
    parse: Callable[[str], _What], texts: Iterable[str], loaded: Loaded, key: str
) -> Iterator[_What]:
    """The mocks or faults of a setting; it is no mistake if some of them fit no call."""
    for text in texts:
        try:
            what = parse(text)
        except MockError as problem:
            allowed = next(setting.allowed for setting in SETTINGS if setting.key == key)
            raise SettingError(f"{loaded.sources[key]}: {key}: {problem}; allowed is {allowed}") from None
        yield replace(what, passes=True)
