"""Verify that this user recorded a trace, and find the lines that were changed since.

A line counts as changed if a reader finds an event on it and its signature is not that of its execution, process and
segment. So does a number that appears twice, and whatever is before the signed first line of a file. What is missing is
no change: a gap in the numbers is a loss, and a trace without an end is of a process that was killed. Notes of lost
events and torn lines hold no event, and are not signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from orjson import loads

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.decoding import decode, looks_like_event
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems, first_line, read_batches
from namel3ss_debug.traces.loss_notes import ROOM
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.signing import MAC, derive_key, line_verifier
from namel3ss_debug.traces.store import ProcessFiles

MOST_CHANGES: Final = 100
"""How many changed lines are kept."""


class ChangedLine(NamedTuple):
    """A line that this user did not record as it is.

    Attributes:
        file: the name of its file.
        line: its number in the file, from 1.
        event: the event that a reader finds there.
        twice: whether only its number is wrong, because it appears in the trace before.
    """

    file: str
    line: int
    event: Event
    twice: bool = False


@dataclass(frozen=True)
class Verification:
    """Whether this user recorded a trace.

    Attributes:
        flaw: why it is not one of this user's, as a clause; "" if it is, changed or not.
        changes: the lines of a trace of this user that were changed since.
    """

    flaw: str = ""
    changes: tuple[ChangedLine, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether this user recorded every event of the trace as it is."""
        return not self.flaw and not self.changes


def verify(processes: Iterable[ProcessFiles], key: bytes | None) -> Verification:
    """Verify every line of a trace.

    Args:
        processes: its files.
        key: the user's key.
    """
    processes = tuple(processes)
    first = processes[0].files[0]
    head = first_line(first)
    start = _event_on(head)
    if start is None or start.get("event_type") != "trace_start":
        return Verification("it does not name its program")
    if MAC not in start:
        return Verification("it is not signed")
    if key is None:
        return Verification("this user has no key to check its signature with")
    execution = derive_key(key, str(start.get("execution_id")))
    changes: list[ChangedLine] = []
    signed = 0
    for process in processes:
        numbers = _Numbers()
        for path in process.files:
            for found in _read_lines(path, process.number, execution, numbers):
                signed += found is None
                if found is not None and len(changes) < MOST_CHANGES:
                    changes.append(found)
    if not signed:
        return Verification("its signatures are of somebody else")
    return Verification("", tuple(changes))


class _Numbers:
    """The numbers of the events of one process, which are almost always read in order."""

    def __init__(self) -> None:
        self._next = -1
        self._later: set[int] = set()

    def take(self, number: int) -> bool:
        """Take a number, and return whether it is new."""
        if self._next < 0:  # earlier segments may have been rotated away
            self._next = number
        if number < self._next or number in self._later:
            return False
        if number > self._next:
            self._later.add(number)
            return True
        self._next += 1
        while self._next in self._later:
            self._later.remove(self._next)
            self._next += 1
        return True


def _read_lines(path: Path, process: int, key: bytes, numbers: _Numbers) -> Iterator[ChangedLine | None]:
    """Yield for each event of a file the change, or None for one as it was recorded."""
    name = parse_name(path.name)
    is_valid = line_verifier(key, process, 0 if name is None else name.segment)
    began = False
    try:
        for batch in read_batches(path, Problems()):
            for number, line in enumerate(batch.lines, batch.number):
                if not began and line.endswith(_BLANKS):  # the room after a first line
                    line = line[: -len(_BLANKS)] + b"\n"  # noqa: PLW2901
                if is_valid(line):
                    event = loads(line)
                    began = began or event["event_type"] == "trace_start"
                    is_new = numbers.take(event["seq"])
                    yield None if began and is_new else ChangedLine(path.name, number, event, not is_new)
                else:
                    values, _ = decode(line.removesuffix(b"\n"), whole=batch.whole)
                    for event in filter(looks_like_event, values):
                        yield ChangedLine(path.name, number, event)
    except (TraceNotFoundError, UnreadableTraceError):
        return  # readers leave it out, too


_BLANKS: Final = b" " * ROOM + b"\n"


def _event_on(line: bytes) -> Event | None:
    values, _ = decode(line)
    return values[0] if len(values) == 1 and looks_like_event(values[0]) else None
