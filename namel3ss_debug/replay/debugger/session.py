"""A session of the debugger beside the current event: the selected span, the displays, the last search.

Also how the arguments of its commands are read: numbers, event numbers, nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import Expression, nearest
from namel3ss_debug.replay.debugger.breakpoints import StopPoint
from namel3ss_debug.replay.debugger.results import (
    BookmarkRow,
    Bookmarks,
    CodeFrame,
    Displayed,
    Rerun,
    Result,
    Stack,
    Stopped,
)
from namel3ss_debug.replay.debugger.stepper import Stepper
from namel3ss_debug.replay.overrides.faults import Fault
from namel3ss_debug.replay.overrides.mocks import Mock
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

MOST_DISPLAYED: Final = 100
_MOST_DIGITS: Final = 15


@dataclass
class CommandList:
    """The lines that are being collected as the commands of a breakpoint.

    Attributes:
        stop: the breakpoint.
        lines: the lines so far.
        one_line: whether they end with the line that began them.
    """

    stop: StopPoint
    lines: list[str] = field(default_factory=list)
    one_line: bool = False


@dataclass
class Search:
    """The last search: its text, the test of an event, and where a text has a match."""

    text: str
    test: Callable[[Event], bool]
    span: Callable[[str], tuple[int, int] | None]


class FrameValue(NamedTuple):
    """The value of an expression in a frame of the waiting program, or the problem why there is none."""

    frame: CodeFrame
    value: Any
    problem: str | None


@dataclass
class DebugSession:
    """A stepper, and what its user has set.

    Attributes:
        stepper: the current event and the moves.
        displays: number -> expression that is shown at every stop.
        selected: the start of the span that `up` and `down` selected; 0 for the current event itself.
        listed: the last event that `list` has listed since the last move; 0 for none.
        search: the last search.
        collecting: the commands of a breakpoint that are being typed.
        prepare: prepares a re-run of the program with some overrides, or refuses it.
        rerun: the re-run that the user asked for, which has ended the session.
        prepared: the return value of `prepare` for it.
        find_event: in a re-run, where event numbers differ, finds the event that the first `until` leads to.
    """

    stepper: Stepper
    displays: dict[int, Expression] = field(default_factory=dict)
    selected: int = 0
    listed: int = 0
    search: Search | None = None
    collecting: CommandList | None = None
    prepare: Callable[[tuple[Mock | Fault, ...]], Any] | None = None
    rerun: Rerun | None = None
    prepared: Any = None
    find_event: Callable[[], int] | None = None
    _latest_display: int = 0

    def complete(self, result: Result) -> Result:
        """Return a result as it is shown: a stop resets the selection and has the displays."""
        if not isinstance(result, Stopped):
            return result
        self.reset_selection()
        return replace(result, displayed=self.evaluate_displays()) if self.displays else result

    def reset_selection(self) -> None:
        """Select the current event, and list from there again."""
        self.selected = self.listed = 0

    def display(self, expression: Expression) -> int:
        """Show an expression at every stop, and return its number.

        Raises:
            WrongUsageError: very many are shown already.
        """
        if len(self.displays) >= MOST_DISPLAYED:
            raise WrongUsageError(f"{MOST_DISPLAYED} expressions are displayed; undisplay some first")
        self._latest_display += 1
        self.displays[self._latest_display] = expression
        return self._latest_display

    def copy_displays(self, earlier: DebugSession) -> None:
        """Take over the displays of an earlier session, under the same numbers."""
        self.displays, self._latest_display = dict(earlier.displays), earlier._latest_display

    def evaluate_displays(self) -> tuple[Displayed, ...]:
        """Return the displays with their values at the current event."""
        return tuple(
            Displayed(number, expression.text, self.stepper.value(expression))
            for number, expression in self.displays.items()
        )

    @property
    def looked_at(self) -> int:
        """The selected event: the current one, or the start of the selected span."""
        return self.selected or self.stepper.position

    def selected_event(self) -> tuple[int, Event]:
        """Return the selected event with its number.

        Raises:
            WrongUsageError: the current event is before the first.
        """
        at = self.looked_at
        if not at:
            raise WrongUsageError("the current position is before the first event; step goes to it")
        return at, self.stepper.event_at(at)

    def outer_spans(self) -> list[int]:
        """Return the starts of the spans around the current event, innermost first, without its own span."""
        stepper = self.stepper
        spans = stepper.outline.stack(stepper.position)[::-1]
        own = spans and stepper.position in (spans[0], stepper.outline.end(spans[0]))
        return spans[1:] if own else spans

    def stack(self) -> Stack:
        """Return the stack with the selected span."""
        frames, more = self.stepper.stack()
        code = self.ask_frames("stack") or _recorded_stack(self.stepper.event)
        selected = [index for index, frame in enumerate(frames) if frame.number == self.selected]
        return Stack(
            frames,
            self.stepper.position,
            self.stepper.event,
            selected[0] if selected else None,
            more,
            code[::-1],
        )

    def ask_frames(self, about: str) -> tuple[CodeFrame, ...]:
        """Return the user's frames that wait at the current event, innermost first; none if none wait there."""
        answer = None if self.selected else self.stepper.ask(about)
        return _read_frames(answer or {})

    def value_in_frame(self, expression: str) -> FrameValue | None:
        """Return the value of a Python expression in the frame that waits; None if none waits, or it does not parse."""
        answer = self.stepper.ask("value", expression=expression)
        frames = _read_frames(answer or {})
        if answer is None or not frames:
            return None
        return FrameValue(frames[0], answer.get("value"), answer.get("problem"))

    def bookmarks(self) -> Bookmarks:
        """Return the named events, in order."""
        stepper = self.stepper
        rows = sorted(stepper.bookmarks.items(), key=lambda item: (item[1], item[0]))
        return Bookmarks(
            tuple(
                BookmarkRow(name, number, stepper.event_at(number) if number else None)
                for name, number in rows
            )
        )

    def value(self, expression: Expression) -> Any:
        """Return the value of an expression at the selected event."""
        return self.stepper.value(expression, self.looked_at)


def _read_frames(answer: dict[str, Any]) -> tuple[CodeFrame, ...]:
    return tuple(CodeFrame(**frame) for frame in answer.get("frames", ()))


def _recorded_stack(event: Event | None) -> tuple[CodeFrame, ...]:
    """Return the functions that a trace has of the stack at an event, innermost first."""
    metadata = lenient.mapping((event or {}).get("metadata"))
    chain = [name for name in lenient.sequence(metadata.get("chain")) if isinstance(name, str)]
    site = lenient.string((event or {}).get("call_site")) or ""
    frames: list[CodeFrame] = []
    for name in reversed(chain):
        path, _, function = name.rpartition(":")
        frames.append(CodeFrame(path if frames or not site.startswith(path) else site, function))
    return tuple(frames)


def refuse_argument(argument: str, name: str) -> None:
    """Refuse an argument of a command that takes none.

    Raises:
        WrongUsageError: there is one.
    """
    if argument:
        raise WrongUsageError(f"{name} takes no argument, not {quote(argument)}")


def parse_count(argument: str) -> int:
    """Parse how many times; without an argument, once.

    Raises:
        WrongUsageError: it is no number from 1.
    """
    if not argument:
        return 1
    found = parse_number(argument, "how many as a number from 1")
    if found < 1:
        raise WrongUsageError(f"{argument} times is not possible; write how many as a number from 1")
    return found


def parse_number(word: str, usage: str) -> int:
    """Parse a whole number from 0.

    Raises:
        WrongUsageError: it is none; the message shows the usage.
    """
    if not (word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS):
        raise WrongUsageError(f"{quote(word)} is not a number; write {usage}" if word else f"write {usage}")
    return int(word)


def parse_event_number(stepper: Stepper, word: str, usage: str) -> int:
    """Parse the number of an event of the trace, `start`, `end`, or the name of a bookmark.

    Raises:
        WrongUsageError: there is no such event; while a program runs, the message says how to get there.
    """
    if not word:
        raise WrongUsageError(f"write {usage}")
    total = stepper.total
    names = {"start": 0, "end": total} | stepper.bookmarks
    if word in names:
        return names[word]
    if not (word.isascii() and word.isdecimal()):
        hint = nearest(word, list(names)) or f"; write {usage}"
        raise WrongUsageError(f"{quote(word)} is not a number or a bookmark{hint}")
    found = parse_number(word, usage)
    if found <= total:
        return found
    if stepper.live:
        raise WrongUsageError(
            f"event {found} has not happened yet; the latest event is {total}, and until {found} lets the program go on"
        )
    raise WrongUsageError(f"there is no event {found}; the trace has {total} events, numbered from 1")


def quote(word: str, most: int = 60) -> str:
    """Return a word of the user in quotes, cut if it is long."""
    return repr(word if len(word) <= most else f"{word[:most]}…")
