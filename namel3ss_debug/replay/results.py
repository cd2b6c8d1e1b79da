"""What the commands of the debugger answer: plain records, which a shell draws and a script reads as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from namel3ss_debug.traces.events import Event

Numbered = tuple[int, Event]


class Frame(NamedTuple):
    """An open span on the stack: the number of its start, and what it is."""

    number: int
    event_type: str
    component: str
    name: str | None


@dataclass(frozen=True)
class Stopped:
    """The walk stands at an event now.

    `reason` is `step`, `goto`, `breakpoint`, `start` (before the first event) or `end` (at the last one); `breakpoint`
    is the number of the breakpoint, `place` its text; `total` is how many events the recording has.
    """

    number: int
    event: Event | None
    reason: str
    total: int
    breakpoint: int | None = None
    place: str | None = None


@dataclass(frozen=True)
class Listing:
    """Some events in order, and where the walk stands among them."""

    rows: tuple[Numbered, ...]
    current: int


@dataclass(frozen=True)
class Stack:
    """The spans that the current event is inside, outermost first, and the event itself."""

    frames: tuple[Frame, ...]
    current: int
    event: Event | None


@dataclass(frozen=True)
class OpenSpans:
    """All spans that are open at the current event, oldest first."""

    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Value:
    """The value of an expression at the current event."""

    expression: str
    value: Any


class BreakpointRow(NamedTuple):
    """A breakpoint with its number and how often it was hit."""

    number: int
    place: str
    temporary: bool
    enabled: bool
    hits: int


@dataclass(frozen=True)
class Breakpoints:
    """The breakpoints that are set."""

    rows: tuple[BreakpointRow, ...]


@dataclass(frozen=True)
class TotalsSoFar:
    """What the recording has come to at the current event: dollars, tokens, failures and milliseconds."""

    number: int
    total: int
    cost: float
    tokens: int
    errors: int
    ms: float


class HelpRow(NamedTuple):
    """One command in the help."""

    name: str
    aliases: tuple[str, ...]
    usage: str
    help: str


@dataclass(frozen=True)
class Help:
    """The help on commands."""

    rows: tuple[HelpRow, ...]


@dataclass(frozen=True)
class Message:
    """One line to read."""

    text: str


@dataclass(frozen=True)
class Mistake:
    """A command could not be done; one line says why. The session goes on."""

    text: str


@dataclass(frozen=True)
class Quit:
    """The session is over."""


Result = (
    Stopped
    | Listing
    | Stack
    | OpenSpans
    | Value
    | Breakpoints
    | TotalsSoFar
    | Help
    | Message
    | Mistake
    | Quit
)


def as_json(result: Result) -> dict[str, Any]:
    """A result as one JSON object; `result` says which kind it is."""
    return {"result": type(result).__name__.lower()} | {
        field.name: _plain(getattr(result, field.name)) for field in fields(result)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        if hasattr(value, "_asdict"):
            return {name: _plain(item) for name, item in value._asdict().items()}
        return [_plain(item) for item in value]
    return as_json(value) if is_dataclass(value) else value  # type: ignore[arg-type]  # only results are nested
