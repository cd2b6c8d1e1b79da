"""What the user changes in a re-run: seen to fit the recording, put in force, and written down in the new recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.replay.given.answers import Fault, Mock, Mocks, calls_of, write_fault, write_mock
from namel3ss_debug.replay.given.calls import parts
from namel3ss_debug.replay.recording.breakpoints import Known, know
from namel3ss_debug.replay.rerunning.entries import Entries
from namel3ss_debug.replay.rerunning.passes import Pass
from namel3ss_debug.replay.rerunning.plans import ALL, Plan
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient


def checked_names(mocks: Sequence[Mock | Fault], run_tools: Iterable[str], trace: Trace) -> Iterator[str]:
    """Refuse answers that calls cannot have, and names that nothing in the recording has.

    New code may call more: what it is asked of is allowed with a note where a call of this name is recorded, only fewer of
    them, where a model was offered such a tool, and where a component is named, as in `tool:search`.

    Args:
        mocks: answers and faults.
        run_tools: the names of the tools that are run for real.
        trace: the recording.

    Raises:
        MockError: an answer is not one that the calls it is for can have, or there is nothing of its name.
    """
    known = know(trace.events())
    for what in mocks:
        try:
            calls = calls_of(what, known)
        except MockError as problem:
            if not may_be_called(what.name, known, trace):
                raise MockError(f"{problem} (tool:NAME names a tool that only new code calls)") from None
            yield str(problem)
            continue
        if calls is not None:
            what.check(calls.components)
    for name in run_tools:
        if name != ALL and name not in known.names.get("tool", ()):
            yield f"--run-tools {name}: the recording holds no call of such a tool"


def may_be_called(name: str, known: Known, trace: Trace) -> bool:
    """Whether new code may well make calls of a name that the recording does not hold, or not so often."""
    component, plain = parts(name, known)
    if component is not None or plain is None:
        return True
    if any(name_fits(held, plain) for names in known.names.values() for held in names):
        return True
    return any(name_fits(tool, plain) for tool in _offered(trace))


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
