"""Whether a recording holds what its program needs to run again, and what it does not hold as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.rerunning.apps import is_memory_at_start
from namel3ss_debug.replay.rerunning.recorded import Finding, Recorded
from namel3ss_debug.replay.starting import STILL
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient

MOST_NAMED: Final = 3
"""So many files are named that are newer than a recording."""


def ends_of(trace: Trace, events: Iterable[Event] | None = None) -> tuple[Event, dict[str, Any]]:
    """The `trace_start` of the first process, and the metadata of its `trace_end`.

    Args:
        trace: the recording.
        events: its events, or those of these types, where they are at hand.

    Raises:
        RerunError: it has no `trace_start`, or is of several programs.
    """
    first: Event | None = None
    last: dict[str, Any] = {}
    for event in trace.events() if events is None else events:
        if event["event_type"] == "trace_start" and first is None and _is_first(event):
            first = event
        elif event["event_type"] == "trace_end" and "." not in str(event.get("event_id")):
            last = lenient.mapping(event.get("metadata"))
    if first is None:
        raise RerunError(f"{trace.path} does not say which program it is of; {STILL}")
    if lenient.mapping(lenient.mapping(first.get("metadata")).get("settings")).get("join"):
        raise RerunError(
            f"{trace.path} is of several services (join), which cannot be run again together: "
            f"record the one you mean without join; {STILL}"
        )
    return first, last


def keeping(kept: list[Event], events: Iterable[Event]) -> Iterator[Event]:
    """The events as they come; those that tell of the program as a whole are kept, so that one pass is enough."""
    for event in events:
        if event["event_type"] in ("trace_start", "trace_end", INPUTS_READ) or is_memory_at_start(event):
            kept.append(event)
        yield event


def _is_first(start: Event) -> bool:
    """Whether a `trace_start` is that of the first process."""
    return not lenient.mapping(start.get("metadata")).get("process")


def checked(path: Path, recorded: Recorded) -> Iterator[str]:
    """Refuse a recording, by its file, that holds no answers; notes on one that does not hold all.

    Raises:
        RerunError: it cannot be run again.
    """
    for finding in recorded.findings:
        if finding.number:
            return
        if finding.kind == "level":
            raise RerunError(
                f"{path} was recorded at level basic, without answers: record the program again with --level detailed; {STILL}"
            )
        if finding.kind == "rotated":
            raise RerunError(
                f"{path}: the first {finding.what} events were rotated away, and the program cannot run again without them: "
                f"record it again with rotate_keep 0; {STILL}"
            )
        yield _NOTES[finding.kind](finding)


_NOTES: Final[Mapping[str, Callable[[Finding], str]]] = {
    "filtered": lambda finding: (
        f"the recording leaves out {finding.what.replace(' ', ', ')}: such a call stops the run; record it again without --filter"
    ),
    "lost": lambda finding: (
        f"events are missing in the recording ({finding.what}): a call whose answer is among them stops the run"
    ),
    "inputs": lambda finding: (
        f"calls whose inputs were cut ({finding.setting}): {finding.what}; a tool or a word that is missing there is not recognised, "
        f"and a call may find no answer: record it again with {finding.setting} 0"
    ),
    "unseen": lambda finding: (
        f"{in_line(finding.what)}: the program has no function of this name, so only the results were seen, and what gives them runs "
        "again; a function of yours there is answered with trace_tool_call(name=...) on it, and a hand-off or a structured answer "
        "needs nothing"
    ),
    "spans": lambda finding: (
        f"{in_line(finding.what)}: only the framework tells of such calls, so what is behind them runs again; decorate "
        "functions of yours there with trace_tool_call(name=...) to have them answered"
    ),
    "chains": lambda finding: (
        f"{finding.what} calls were recorded by an earlier version, which did not write down the functions they came through: "
        "they are only answered where they are asked in the same words"
    ),
}


def of_inputs(inputs: Inputs) -> Iterator[str]:
    """Notes on inputs that cannot be given again."""
    if not inputs.usable:
        why = (
            "were recorded by another version"
            if inputs.seed
            else "are not in the recording (record_randomness)"
        )
        yield f"clock and random numbers {why}: they are those of now"
    if not inputs.stdin_whole:
        yield "the standard input is not whole in the recording: the program reads what there is of it"


def of_variables(inputs: Inputs, environ: Mapping[str, str]) -> Iterator[str]:
    """Return a note on variables that the program read and that a trace may not supply, where they differ now."""
    names = inputs.not_supplied(environ)
    if names:
        more = ", ..." if len(names) > MOST_NAMED else ""
        why = "a trace does not set" if inputs.trusted else "a trace that is not trusted does not set"
        yield f"{why} {', '.join(names[:MOST_NAMED])}{more}: the program reads the current value, which is another one"


def newer_code(recorded: Recorded, root: Path, script: Path | None, since: float) -> tuple[str, ...]:
    """The files of the user's code that calls were made from and that were changed after a time.

    Args:
        recorded: the calls.
        root: the folder of the user's code, which the names of files are relative to.
        script: the file of the program, where it is one.
        since: seconds since the epoch.
    """
    names = set(_files_of(recorded))
    if script is not None:
        names.add(os.path.relpath(script, root))
    return tuple(sorted(name for name in names if _changed_at(root / name) > since))


def of_code(newer: tuple[str, ...]) -> Iterator[str]:
    """A note on code that is newer than the recording."""
    if newer:
        more = ", ..." if len(newer) > MOST_NAMED else ""
        yield f"newer than the recording: {', '.join(newer[:MOST_NAMED])}{more}"


def _files_of(recorded: Recorded) -> Iterable[str]:
    for boundary in recorded.boundaries.values():
        question = boundary.question
        for place in (*question.chain, question.call_site or ""):
            name = place.rpartition(":")[0]
            if name.endswith((".py", ".ai")):
                yield name


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return 0.0
