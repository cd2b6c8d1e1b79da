"""The commands that move: forwards as in pdb, backwards as in gdb and rr."""

from __future__ import annotations

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.replay.results import Result
from namel3ss_debug.replay.walking.commands.arguments import count, event_number, nothing, number
from namel3ss_debug.replay.walking.session import Session


def step(session: Session, argument: str) -> Result:
    """To the next event, into spans."""
    return session.walk.step(count(argument))


def step_over(session: Session, argument: str) -> Result:
    """To the next event at this level, past what happens inside spans."""
    return session.walk.next(count(argument), session.selected)


def finish(session: Session, argument: str) -> Result:
    """To the end of the current span."""
    nothing(argument, "return")
    return session.walk.finish(session.selected)


def until(session: Session, argument: str) -> Result:
    """Forwards to an event, or to the next one that is not deeper inside."""
    walk = session.walk
    if not argument:
        return walk.until(chosen=session.selected)
    if session.lead is not None:
        find, session.lead = session.lead, None
        return walk.on_to(find)
    named = argument in walk.bookmarks or argument in ("start", "end") or not walk.live
    usage = "until, until N or until BOOKMARK"
    target = event_number(walk, argument, usage) if named else number(argument, usage)
    if target <= walk.position:
        raise WrongUsageError(
            f"event {target} does not come after event {walk.position}; goto {target} moves back to it"
        )
    return walk.until(target)


def run_on(session: Session, argument: str) -> Result:
    """Forwards to the next breakpoint, or to the end."""
    nothing(argument, "continue")
    return session.walk.run()


def jump(session: Session, argument: str) -> Result:
    """To an event, whatever lies between."""
    return session.walk.go(event_number(session.walk, argument, "jump N, jump start or jump end"))


def goto(session: Session, argument: str) -> Result:
    """To an event, whatever lies between."""
    return session.walk.go(event_number(session.walk, argument, "goto N, goto start or goto end"))


def restart(session: Session, argument: str) -> Result:
    """Before the first event."""
    nothing(argument, "restart")
    return session.walk.go(0)


def step_back(session: Session, argument: str) -> Result:
    """To the event before, into spans."""
    return session.walk.step(-count(argument))


def step_back_over(session: Session, argument: str) -> Result:
    """To the event before at this level, past what happened inside spans."""
    return session.walk.next(-count(argument), session.selected)


def finish_back(session: Session, argument: str) -> Result:
    """To the start of the current span."""
    nothing(argument, "reverse-finish")
    return session.walk.finish_back(session.selected)


def run_back(session: Session, argument: str) -> Result:
    """Backwards to the breakpoint before, or to the start."""
    nothing(argument, "reverse-continue")
    return session.walk.run_back()
