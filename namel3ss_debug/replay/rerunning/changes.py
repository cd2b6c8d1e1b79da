"""What the user changes in a re-run: seen to fit the recording, put in force, and written down in the new recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.replay.given.answers import Mocks, calls_of
from namel3ss_debug.replay.given.calls import in_line, parts
from namel3ss_debug.replay.given.faults import Fault, write_fault
from namel3ss_debug.replay.given.mocks import Mock, write_mock
from namel3ss_debug.replay.recording.breakpoints import Known, Place, know
from namel3ss_debug.replay.rerunning.boundaries import ANSWERED
from namel3ss_debug.replay.rerunning.entries import Entries
from namel3ss_debug.replay.rerunning.passes import Pass
from namel3ss_debug.replay.rerunning.plans import ALL, Plan
from namel3ss_debug.replay.unused import describe_unused
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient

_OTHER_FUNCTION: Final = "tool:NAME names a function that the recording holds no call of"
_UNSEEN: Final = "no function of the program was seen to run in these calls"
_RUNS_AGAIN: Final = f"{_UNSEEN}; they are made again, and nothing is given to them"
_NOT_ANSWERED: Final = "a re-run answers calls of models, tools, HTTP and MCP; agents and steps run"


class _Events(Protocol):
    def events(self) -> Iterator[Event]: ...


def checked_names(mocks: Sequence[Mock | Fault], run_tools: Iterable[str], trace: Trace) -> Iterator[str]:
    """Refuse answers that calls cannot have, and names that no call in the recording has that a re-run answers.

    New code may call more: what it is asked of is allowed with a note where a call of this name is recorded, only fewer
    of them, where a model was offered such a tool, and where a component is named, as in `tool:search`.

    Args:
        mocks: answers and faults.
        run_tools: the names of the tools that are run for real.
        trace: the recording.

    Raises:
        MockError: an answer is not one that the calls it is for can have, or there is no call of its name.

    Returns:
        What the user should know: names of which new code has to make more calls, and calls that no answer reaches.
    """
    whole = know(trace.events())
    known = _answered(whole)
    for what in mocks:
        try:
            calls = calls_of(what, known)
        except MockError as problem:
            why = _not_to_come(what.name, whole, known, trace)
            if why is not None:
                raise MockError(f"{problem} ({why})") from None
            yield str(problem)
            continue
        if calls is not None:
            what.check(calls.components)
            if _runs_again(calls.place, trace):
                yield f"{in_line(what.name)}: {_RUNS_AGAIN}"
    for name in run_tools:
        if name != ALL and name not in known.names.get("tool", ()):
            yield f"--run-tools {name}: the recording holds no call of such a tool"


def unreached(given: Sequence[Mock | Fault], trace: _Events) -> Iterator[str]:
    """Yield a line for each mock and fault that reached no call of a program that has ended, with the reason.

    Args:
        given: those that were given beforehand.
        trace: the events of the program.
    """
    known = _answered(know(trace.events()))
    yield from describe_unused(given, known)
    for what in given:
        with suppress(MockError):
            calls = calls_of(what, known)
            if calls is not None and _runs_again(calls.place, trace):
                noun = "Fault" if isinstance(what, Fault) else "Mock"
                yield f"{noun} {in_line(what.name)} was never used; {_UNSEEN}."


def _answered(known: Known) -> Known:
    """What a recording holds of the components whose calls get answers."""
    return known._replace(
        components=Counter({each: times for each, times in known.components.items() if each in ANSWERED}),
        names={each: names for each, names in known.names.items() if each in ANSWERED},
    )


def _runs_again(place: Place, trace: _Events) -> bool:
    """Whether nobody saw any of these calls where it was made, so that no answer reaches it."""
    starts = [
        event for event in trace.events() if event["event_type"][-6:] == "_start" and place.enters(event)
    ]
    seen = [lenient.mapping(event.get("metadata")).get("seen") for event in starts]
    return bool(seen) and all(each is False for each in seen)


def _not_to_come(name: str, whole: Known, known: Known, trace: Trace) -> str | None:
    """What to say where new code makes no calls of a name either; None where it may well make some, or more of them."""
    component, plain = parts(name, whole)
    if component in ANSWERED:
        return None
    if component is not None or plain is None:
        return _NOT_ANSWERED
    if _holds(known, plain) or any(name_fits(tool, plain) for tool in _offered(trace)):
        return None
    return _NOT_ANSWERED if _holds(whole, plain) else _OTHER_FUNCTION


def _holds(known: Known, plain: str) -> bool:
    """Whether there is anything of a name."""
    return any(name_fits(held, plain) for names in known.names.values() for held in names)


def _offered(trace: Trace) -> Iterator[str]:
    """The names of the tools that models were offered, as often as they were."""
    for event in trace.events():
        if event["event_type"] == "llm_call_start":
            for tool in lenient.sequence(lenient.mapping(event.get("inputs")).get("tools")):
                yield lenient.string(lenient.mapping(tool).get("name")) or ""


def pass_with(
    given: Iterable[Mock | Fault], plan: Plan, reserved: frozenset[int], on_guess: Callable[[], None]
) -> Pass:
    """A run in which these answers and faults are in force; the rest is as for `Pass`."""
    entries = Entries()
    mocks = Mocks(lambda: None, entries.find)
    for what in given:
        mocks.add(what)
    return Pass(plan, mocks, reserved, on_guess, entries.heard)


def written(given: Sequence[Mock | Fault]) -> dict[str, list[str]]:
    """Answers and faults as the user writes them."""
    return {
        "mocks": [write_mock(each) for each in given if isinstance(each, Mock)],
        "faults": [write_fault(each) for each in given if isinstance(each, Fault)],
    }
