"""What a session of the debugger remembers beside where it stands: the chosen span, what is displayed, what was sought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import Expression
from namel3ss_debug.replay.given.faults import Fault
from namel3ss_debug.replay.given.mocks import Mock
from namel3ss_debug.replay.results import Displayed, Rerun, Result, Stack, Stopped
from namel3ss_debug.replay.walking.stops import Stop
from namel3ss_debug.replay.walking.walk import Walk
from namel3ss_debug.traces.events import Event

MOST_DISPLAYED: Final = 100


@dataclass
class Collecting:
    """The lines that are being collected as the commands of a breakpoint.

    Attributes:
        stop: the breakpoint.
        lines: the lines so far.
        one_line: whether they end with the line that began them.
    """

    stop: Stop
    lines: list[str] = field(default_factory=list)
    one_line: bool = False


@dataclass
class Sought:
    """What was last searched for: the words, the test of an event, and where a text holds it."""

    words: str
    test: Callable[[Event], bool]
    span: Callable[[str], tuple[int, int] | None]


@dataclass
class Session:
    """A walk, and what its user has chosen.

    Attributes:
        walk: the walk.
        displays: number -> expression that is shown at every stop.
        selected: the start of the span that `up` and `down` chose; 0 for the current event itself.
        listed: the last event that `list` has listed since the walk moved; 0 for none.
        sought: what was last searched for.
        collecting: the commands of a breakpoint that are being typed.
        prepare: gets the program ready to run again with some answers and faults, or refuses.
        rerun: what has ended the session, where that was the wish to run the program again.
        prepared: what `prepare` has given for it.
        lead: finds the event that `until` leads to next, in a program that runs again, where events have other numbers.
    """

    walk: Walk
    displays: dict[int, Expression] = field(default_factory=dict)
    selected: int = 0
    listed: int = 0
    sought: Sought | None = None
    collecting: Collecting | None = None
    prepare: Callable[[tuple[Mock | Fault, ...]], Any] | None = None
    rerun: Rerun | None = None
    prepared: Any = None
    lead: Callable[[], int] | None = None
    _numbered: int = 0

    def arrived(self, result: Result) -> Result:
        """A result as it is told: a stop begins a new look around and shows what is displayed."""
        if not isinstance(result, Stopped):
            return result
        self.look_anew()
        return replace(result, displayed=self.displayed()) if self.displays else result

    def look_anew(self) -> None:
        """Choose no span, and list from the current event: the walk has moved."""
        self.selected = self.listed = 0

    def display(self, expression: Expression) -> int:
        """Show an expression at every stop, and return its number.

        Raises:
            WrongUsageError: very many are shown already.
        """
        if len(self.displays) >= MOST_DISPLAYED:
            raise WrongUsageError(f"{MOST_DISPLAYED} expressions are displayed; undisplay some first")
        self._numbered += 1
        self.displays[self._numbered] = expression
        return self._numbered

    def display_as(self, earlier: Session) -> None:
        """Show at every stop what an earlier session showed, under the same numbers."""
        self.displays, self._numbered = dict(earlier.displays), earlier._numbered

    def displayed(self) -> tuple[Displayed, ...]:
        """The expressions that are shown at every stop, with their values at the current event."""
        return tuple(
            Displayed(number, expression.text, self.walk.value(expression))
            for number, expression in self.displays.items()
        )

    @property
    def looked_at(self) -> int:
        """The event that is looked at: the current one, or the start of the chosen span."""
        return self.selected or self.walk.position

    def outer_spans(self) -> list[int]:
        """The starts of the spans around the current event, the innermost first, without the one it starts or ends."""
        walk = self.walk
        spans = walk.outline.stack(walk.position)[::-1]
        own = spans and walk.position in (spans[0], walk.outline.end(spans[0]))
        return spans[1:] if own else spans

    def stack(self) -> Stack:
        """The stack with the chosen span."""
        frames, more = self.walk.stack_and_more()
        chosen = [place for place, frame in enumerate(frames) if frame.number == self.selected]
        return Stack(frames, self.walk.position, self.walk.event, chosen[0] if chosen else None, more)

    def value(self, expression: Expression) -> Any:
        """The value of an expression at the event that is looked at."""
        return self.walk.value(expression, self.looked_at)
