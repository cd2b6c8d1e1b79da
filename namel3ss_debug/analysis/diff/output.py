"""What two programs printed, compared line by line within each task: which of two threads prints first is chance.

How the text is cut into `output` events is chance as well, so these are no rows of the alignment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import NamedTuple

from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.output import (
    STDERR,
    STDOUT,
    TOOL_CALL,
    OutputPiece,
    ScreenLine,
    draw,
    is_same_line,
    normalise,
    read_pieces,
)
from namel3ss_debug.wire import lenient


@dataclass
class Output:
    """What one run printed.

    Attributes:
        pieces: by process and stream.
        ids: the ids of its processes and threads, as digits.
        is_recorded: whether the trace holds output, if there was any.
        is_rerun: whether its tools may have been answered; those print nothing.
    """

    pieces: dict[tuple[str, str], list[OutputPiece]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    is_recorded: bool = False
    is_rerun: bool = False

    def add_header(self, event: Event) -> None:
        """Note the facts of a `trace_start` event."""
        metadata = lenient.mapping(event.get("metadata"))
        self.ids.update(str(metadata[name]) for name in ("pid", "parent_pid") if name in metadata)
        self.is_recorded |= "output" in lenient.mapping(metadata.get("randomness"))
        self.is_rerun |= "rerun" in metadata

    def add(self, number: int, event: Event) -> None:
        """Add an `output` event."""
        metadata = lenient.mapping(event.get("metadata"))
        self.ids.update(map(str, lenient.sequence(metadata.get("ids"))))
        for piece in read_pieces(number, event):
            self.pieces.setdefault((str(metadata.get("process")), piece.stream), []).append(piece)

    def lines(self, stream: str, *, of_tools: bool) -> dict[str, list[ScreenLine]]:
        """Return task -> the lines that it left on a stream."""
        tasks: dict[str, list[ScreenLine]] = {}
        for (_, name), pieces in self.pieces.items():
            for line in draw(pieces) if name == stream else ():
                if of_tools or not TOOL_CALL.search(line.task):
                    tasks.setdefault(line.task, []).append(line)
        return tasks


class LineDifference(NamedTuple):
    """The first line of a task that differs; None on a side without one. `place` counts from 1 within the task."""

    stream: str
    place: int
    a: ScreenLine | None
    b: ScreenLine | None


def compare_output(a: Output, b: Output, masks: Masks) -> Iterator[LineDifference]:
    """Yield the first difference of each stream."""
    if not (a.is_recorded and b.is_recorded):
        return
    for stream in (STDOUT, STDERR):
        of_tools = not (a.is_rerun or b.is_rerun)
        then, now = a.lines(stream, of_tools=of_tools), b.lines(stream, of_tools=of_tools)
        found = []
        for task in dict.fromkeys((*then, *now)):
            for place, (old, new) in enumerate(zip_longest(then.get(task, ()), now.get(task, ())), 1):
                if not _is_same(old, new, a, b, masks):
                    found.append((task, LineDifference(stream, place, old, new)))
                    break
        # Which thread of a pool takes a job is chance.
        if len(found) > 1 and _texts(then, found, masks) == _texts(now, found, masks):
            continue
        yield from (difference for _, difference in found[:1])


def _is_same(old: ScreenLine | None, new: ScreenLine | None, a: Output, b: Output, masks: Masks) -> bool:
    if old is None or new is None:
        return False
    then, now = (masks.mask_text(line.text, timed=True) for line in (old, new))
    return is_same_line(then, now, a.ids, b.ids)


def _texts(
    tasks: dict[str, list[ScreenLine]], found: list[tuple[str, LineDifference]], masks: Masks
) -> Counter[str]:
    lines = chain.from_iterable(tasks.get(task, ()) for task, _ in found)
    return Counter(normalise(masks.mask_text(line.text, timed=True)) for line in lines)
