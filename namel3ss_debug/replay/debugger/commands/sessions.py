"""The commands for bookmarks, overrides, the transcript, and the end of the session."""

from __future__ import annotations

import re
from typing import Final

from namel3ss_debug.errors import MockError, WrongUsageError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.debugger.results import Detached, Message, MocksInForce, Quit, Rerun, Result, Save
from namel3ss_debug.replay.debugger.session import DebugSession, parse_event_number, quote, refuse_argument
from namel3ss_debug.replay.debugger.step_channel import CALL_STARTS
from namel3ss_debug.replay.overrides.faults import format_fault, parse_fault
from namel3ss_debug.replay.overrides.grammar import decode_json, find_calls, format_name, in_line
from namel3ss_debug.replay.overrides.mocks import Mock, parse_mock

MOST_BOOKMARKS: Final = 1000
_NAME: Final = re.compile(r"[^\W\d][\w.-]{0,59}")
_ALL: Final = "--all"
_USAGE: Final = "bookmark NAME [N]"


def bookmark(session: DebugSession, argument: str) -> Result:
    """Name an event; without a name, list the bookmarks."""
    stepper, words = session.stepper, argument.split()
    if not words:
        return session.bookmarks()
    name = words[0]
    if len(words) > 2:
        raise WrongUsageError(f"write {_USAGE}")
    if not _NAME.fullmatch(name) or name in ("start", "end"):
        raise WrongUsageError(
            f"{quote(name)} is not a name for a bookmark; write a word of letters and digits, not start or end"
        )
    if name not in stepper.bookmarks and len(stepper.bookmarks) >= MOST_BOOKMARKS:
        raise WrongUsageError(f"{MOST_BOOKMARKS} bookmarks are set, which is the most")
    number = parse_event_number(stepper, words[1], _USAGE) if len(words) == 2 else stepper.position
    stepper.bookmarks[name] = number
    return Message(f"bookmark {name} at event {number}")


def mock(session: DebugSession, argument: str) -> Result:
    """Replace answers: of this call alone, or of all calls of a name; without an argument, list the mocks and faults."""
    overrides = session.stepper.overrides
    if not argument:
        return MocksInForce(overrides.rows())
    first, _, rest = argument.partition(" ")
    words = rest.strip() if first == _ALL else argument
    call = _find_call(session)
    if _has_no_name(words):
        if not call:
            raise MockError(f"no call {'waits' if session.stepper.live else 'is'} here: write mock NAME:JSON")
        words = f"{_name_call(session, call, every=first == _ALL)}:{words}"
    override = parse_mock(words)
    if first == _ALL and override.nth is not None:
        raise MockError(f"{_ALL} is for every call: leave out @{override.nth}")
    overrides.add(override)
    return Message(f"mock for {in_line(override.name)}, {_describe_calls(session, override, call)}")


def _has_no_name(words: str) -> bool:
    """Return whether a mock is nothing but its answer."""
    try:
        decode_json(words)
    except ValueError:
        return words.startswith("@")
    return True


def _find_call(session: DebugSession) -> int:
    """Return the start of the call that a mock without a name is for; 0 for none. A live call must still wait."""
    stepper = session.stepper
    if stepper.live:
        return stepper.position if stepper.waiting and not session.selected else 0
    number = session.selected or stepper.span()
    return number if number and stepper.event_at(number)["event_type"] in CALL_STARTS else 0


def _name_call(session: DebugSession, number: int, *, every: bool) -> str:
    """Return the name of a call as a mock has it; with the count of the call, unless every call of the name is meant."""
    call = session.stepper.event_at(number)
    component, name = str(call["component"]), call.get("component_name")
    if name is None:
        text = component
    elif _NAME.fullmatch(name):
        text = f"{component}:{name}"
    else:
        mark = "'" if '"' in name else '"'
        text = f"{component}:{mark}{name}{mark}"
    if every:
        return text
    location = find_calls(text, None, None).location
    return format_name(text, session.stepper.history.count_entries(location, number))


def _describe_calls(session: DebugSession, override: Mock, call: int) -> str:
    """Return which calls a mock answers, in words."""
    stepper = session.stepper
    is_here = bool(call) and override == stepper.overrides.mock_for(call, stepper.event_at(call))
    if override.nth is not None:
        return f"this call only (event {call})" if is_here else f"call {override.nth} only"
    if not stepper.live:
        return "every call"
    return "this call and every later one" if is_here else "every later call"


def fault(session: DebugSession, argument: str) -> Result:
    """Inject a fault; without an argument, list the mocks and faults."""
    overrides = session.stepper.overrides
    if not argument:
        return MocksInForce(overrides.rows())
    override = parse_fault(argument)
    overrides.add(override)
    return Message(f"fault {in_line(format_fault(override))}")


def rerun(session: DebugSession, argument: str) -> Result:
    """Run the program of the trace again, up to the current event, with the mocks and faults of the session."""
    refuse_argument(argument, "rerun")
    if session.stepper.program is not None:
        raise WrongUsageError("rerun is for stepping through a trace; a program is already running here")
    if session.prepare is not None:
        session.prepared = session.prepare(session.stepper.overrides.all)
    session.rerun = Rerun(max(session.stepper.position, 1))
    return session.rerun


def unmock(session: DebugSession, argument: str) -> Result:
    """Remove mocks and faults: those of a name, or all."""
    overrides = session.stepper.overrides
    names = [row.name for row in overrides.rows()]
    removed = overrides.remove(argument)
    if not removed:
        there = f"; there are {', '.join(names)[:200]}" if names else "; 'mock NAME:JSON' sets one"
        name = f" for {in_line(argument)}" if argument else ""
        raise MockError(f"there is no mock{name}{nearest(argument, names) or there}")
    return Message(f"{removed} mock{'s' * (removed > 1)} removed")


def run_pdb(session: DebugSession, argument: str) -> Result:
    """Run a pdb in the program, at the line that waits."""
    refuse_argument(argument, "pdb")
    return session.stepper.run_pdb()


def save(session: DebugSession, argument: str) -> Result:
    """Ask the shell to write the session to a file."""
    del session
    if not argument or "\0" in argument:
        raise WrongUsageError("save needs the name of a file, such as save session.txt")
    return Save(argument)


def detach(session: DebugSession, argument: str) -> Result:
    """Let a live program run on by itself, and end the session."""
    refuse_argument(argument, "detach")
    if not session.stepper.live:
        ended = "a trace has none" if session.stepper.program is None else "it has ended"
        raise WrongUsageError(f"detach lets a running program go, and {ended}; quit leaves")
    return Detached()


def leave(session: DebugSession, argument: str) -> Result:
    """End the session."""
    del session
    refuse_argument(argument, "quit")
    return Quit()
