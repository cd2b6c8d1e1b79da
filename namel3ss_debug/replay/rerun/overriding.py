"""Apply the user's overrides to a re-run: check them against the trace, put them in force, and report unused ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from namel3ss_debug.errors import MockError, RerunError
from namel3ss_debug.expressions import name_fits, nearest
from namel3ss_debug.replay.debugger.locations import Location, Occurrence, TraceContents, count_contents
from namel3ss_debug.replay.overrides.active import Overrides, find_override_calls
from namel3ss_debug.replay.overrides.faults import Fault, format_fault
from namel3ss_debug.replay.overrides.grammar import in_line, split_name
from namel3ss_debug.replay.overrides.mocks import Mock, format_mock
from namel3ss_debug.replay.overrides.unused import describe_unused
from namel3ss_debug.replay.rerun.attempts import Attempt
from namel3ss_debug.replay.rerun.plan import ALL, Plan
from namel3ss_debug.replay.rerun.requests import ANSWERED
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient

_OTHER_FUNCTION: Final = "tool:NAME names a function that the trace holds no call of"
_UNSEEN: Final = "the functions behind these calls could not be reached"
_RUNS_AGAIN: Final = f"{_UNSEEN}, so these calls are made again, without overrides"
_NOT_ANSWERED: Final = "a re-run answers calls of models, tools, commands, HTTP and MCP; agents and steps run"


class _Events(Protocol):
    def events(self) -> Iterator[Event]: ...


def checked_names(
    overrides: Sequence[Mock | Fault],
    run_tools: Iterable[str],
    trace: Trace,
    run_commands: Iterable[str] = (),
    *,
    is_new: bool = True,
) -> Iterator[str]:
    """Check overrides against the trace, and yield notes on them.

    New code may make more calls. So a name without a call is allowed, with a note, if the trace holds a call of that
    name with fewer occurrences, if a model was offered such a tool, or if the component is named, as in `tool:search`.

    Args:
        overrides: mocks and faults.
        run_tools: the names of the tools that are run for real.
        trace: the trace.
        run_commands: the names of the programs whose commands are run for real.
        is_new: whether the code may have changed, and call what it did not call.

    Raises:
        MockError: an answer does not fit the calls it is for, there is no call of its name, or no override reaches its
            calls.
        RerunError: unchanged code calls no tool or command of this name.

    Returns:
        Notes for the user: names that need new code to make more calls, and calls that no override of the settings
        reaches.
    """
    whole = count_contents(trace.events())
    known = _answered(whole)
    for what in overrides:
        try:
            calls = find_override_calls(what, known)
        except MockError as problem:
            why = _not_to_come(what.name, whole, known, trace)
            if why is not None:
                raise MockError(f"{problem} ({why})") from None
            yield str(problem)
            continue
        if calls is not None:
            what.check(calls.components)
            if _runs_again(calls.location, trace):
                refused = f"{in_line(what.name)}: {_RUNS_AGAIN}"
                if not what.optional:
                    raise MockError(refused)
                yield refused
    for option, component, names in (
        ("--run-tools", "tool", run_tools),
        ("--run-commands", "command", run_commands),
    ):
        there = list(known.names.get(component, {}))
        for name in names:
            if name == ALL or name in there:
                continue
            if not is_new and not (component == "tool" and _is_offered(name, trace)):
                raise RerunError(
                    f"{option} {in_line(name)}: the trace holds no such {component}, and no code has changed since"
                    f"{nearest(name, there)}"
                )
            yield f"{option} {name}: the trace holds no call of such a {component}"


def unreached(overrides: Sequence[Mock | Fault], trace: _Events) -> Iterator[str]:
    """Yield a line for each mock and fault that reached no call of a program that has ended, with the reason.

    Args:
        overrides: the mocks and faults from the start.
        trace: the events of the program.
    """
    known = _answered(count_contents(trace.events()))
    yield from describe_unused(overrides, known)
    for what in overrides:
        with suppress(MockError):
            calls = find_override_calls(what, known)
            if calls is not None and _runs_again(calls.location, trace):
                noun = "Fault" if isinstance(what, Fault) else "Mock"
                yield f"{noun} {in_line(what.name)} was never used; {_UNSEEN}."


def _answered(known: TraceContents) -> TraceContents:
    """Return what a trace holds of the components whose calls are answered."""
    return known._replace(
        components=Counter({each: times for each, times in known.components.items() if each in ANSWERED}),
        names={each: names for each, names in known.names.items() if each in ANSWERED},
    )


def _runs_again(place: Location, trace: _Events) -> bool:
    """Return whether none of these calls was observed where it was made, so that no override reaches it."""
    starts = [
        event for event in trace.events() if event["event_type"][-6:] == "_start" and place.enters(event)
    ]
    seen = [lenient.mapping(event.get("metadata")).get("seen") for event in starts]
    return bool(seen) and all(each is False for each in seen)


def _not_to_come(name: str, whole: TraceContents, known: TraceContents, trace: Trace) -> str | None:
    """Return why new code cannot make a call of this name either; None if it can."""
    component, plain = split_name(name, whole)
    if component in ANSWERED:
        return None
    if component is not None or plain is None:
        return _NOT_ANSWERED
    if _has_name(known, plain):
        return None
    if _is_offered(plain, trace):
        return None
    return _NOT_ANSWERED if _has_name(whole, plain) else _OTHER_FUNCTION


def _is_offered(plain: str, trace: Trace) -> bool:
    """Return whether a model is offered a tool of this name."""
    for event in trace.events():
        offered = lenient.mappings(lenient.mapping(event.get("inputs")).get("tools"))
        if event["event_type"] == "llm_call_start" and any(
            name_fits(lenient.string(tool.get("name")) or "", plain) for tool in offered
        ):
            return True
    return False


def _has_name(known: TraceContents, plain: str) -> bool:
    """Return whether any call has this name."""
    return any(name_fits(known_name, plain) for names in known.names.values() for known_name in names)


def make_attempt(overrides: Iterable[Mock | Fault], plan: Plan) -> Attempt:
    """Return an attempt with these mocks and faults in force."""
    entries = CallCounter()
    active = Overrides(lambda: None, entries.find)
    for what in overrides:
        active.add(what)
    return Attempt(plan, active, entries.observe)


def written(overrides: Sequence[Mock | Fault]) -> dict[str, list[str]]:
    """Return mocks and faults as the user writes them."""
    return {
        "mocks": [format_mock(each) for each in overrides if isinstance(each, Mock)],
        "faults": [format_fault(each) for each in overrides if isinstance(each, Fault)],
    }


@dataclass(frozen=True)
class _Count:
    """How often a location was entered, and the call with its occurrence number once that was made."""

    place: Location
    times: int = 0
    found: Occurrence | None = None


class CallCounter:
    """Count the calls at locations; each from when it was first looked up.

    Only calls that are answered count: an agent may have the name of a tool.
    """

    def __init__(self) -> None:
        self._counts: dict[Location, _Count] = {}

    def observe(self, number: int, event: Event) -> None:
        """Count an event."""
        if event.get("component") not in ANSWERED:
            return
        for place, count in self._counts.items():
            if count.found is None and place.enters(event):
                times = count.times + 1
                found = Occurrence(number) if times == place.occurrence else None
                self._counts[place] = replace(count, times=times, found=found)

    def find(self, place: Location) -> Occurrence | None:
        """Return the call at a location with an occurrence number; None before there were so many."""
        return self._counts.setdefault(place, _Count(place)).found
