"""What the commands of the debugger answer: plain records, which a shell draws and a script reads as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire.conversations import MessageChange

Numbered = tuple[int, Event]


class Frame(NamedTuple):
    """An open span on the stack: the number of its start, and what it is."""

    number: int
    event_type: str
    component: str
    name: str | None


class Changed(NamedTuple):
    """What a watched expression was before the event, and what it is after it."""

    old: Any
    new: Any


class Found(NamedTuple):
    """Where an event holds what was searched for: the path of the value, and in it what fits, with what stands around."""

    path: str
    before: str
    text: str
    after: str


class Displayed(NamedTuple):
    """An expression shown at every stop: its number, its value, or why it has none here."""

    number: int
    expression: str
    value: Any
    problem: str | None = None


@dataclass(frozen=True)
class Stopped:
    """The walk stands at an event now.

    `reason` is `step`, `return`, `until`, `goto`, `search`, `breakpoint`, `watch`, `interrupt` (where Ctrl-C
    stopped a live program), `start` (before the first event) or `end` (at the last one); `breakpoint` is the number of
    the breakpoint or watch, `place` its text; `total` is how many events the recording has. `changed` tells the old and
    the new value where a watch stopped the walk, `displayed` what `display` shows at every stop. `waiting` is true
    where a live program waits before the call that starts here. `found` tells where the event holds what was searched
    for.
    """

    number: int
    event: Event | None
    reason: str
    total: int
    breakpoint: int | None = None
    place: str | None = None
    changed: Changed | None = None
    displayed: tuple[Displayed, ...] = ()
    waiting: bool = False
    found: Found | None = None


@dataclass(frozen=True)
class Listing:
    """Some events in order, where the walk stands among them, and how many further ones of a span are not listed."""

    rows: tuple[Numbered, ...]
    current: int
    left_out: int = 0


@dataclass(frozen=True)
class Stack:
    """The spans that the current event is inside, outermost first, and the event itself.

    `selected` is the place in `frames` of the span that `up` and `down` chose; None where that is the event itself. Of
    a very deep stack the innermost spans are given; `left_out` is how many there are further out.
    """

    frames: tuple[Frame, ...]
    current: int
    event: Event | None
    selected: int | None = None
    left_out: int = 0


@dataclass(frozen=True)
class OpenSpans:
    """The spans that are open at the current event, oldest first; of very many the latest, and how many more."""

    frames: tuple[Frame, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Value:
    """The value of an expression; `pretty` asks for it over several lines, `number` is the event it was read from."""

    expression: str
    value: Any
    pretty: bool = False
    number: int = 0


@dataclass(frozen=True)
class Displays:
    """The expressions that are shown at every stop, with their values here."""

    rows: tuple[Displayed, ...]


@dataclass(frozen=True)
class Source:
    """The user's code at the call site of an event: numbered lines around `line`, or why it cannot be shown.

    `newer` says that the file was changed after the event, so that other lines may have run.
    """

    file: str
    line: int
    rows: tuple[tuple[int, str], ...]
    problem: str | None = None
    newer: bool = False


@dataclass(frozen=True)
class Messages:
    """What the model read at a call: the number of its start, the model, the messages, the tools it was offered."""

    number: int
    model: str | None
    messages: tuple[Any, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class MessageChanges:
    """What the model read at a call against the call before (`before`, None at the first).

    Each change has a `kind`: `same`, `added`, `dropped`, `changed` or `truncated`; `before` and `after` are the places
    of the message in both, `old` and `new` the message.
    """

    number: int
    before: int | None
    changes: tuple[MessageChange, ...]


class CallRow(NamedTuple):
    """The calls of one tool or model so far; `total_ms` of those that ended, `latest` the number of the last start.

    `cost` is in US dollars, without the calls of which nobody knows what they cost: `calls_without_price`.
    """

    name: str
    calls: int
    failed: int
    total_ms: float
    tokens: int
    cost: float | None
    latest: int
    calls_without_price: int = 0


@dataclass(frozen=True)
class Calls:
    """Calls up to the current event by name; `kind` is `tools` or `cost` (by model)."""

    kind: str
    rows: tuple[CallRow, ...]


@dataclass(frozen=True)
class Failures:
    """The latest events up to the current one that say something failed, and how many came before those."""

    rows: tuple[Numbered, ...]
    earlier: int = 0


class BookmarkRow(NamedTuple):
    """A name for an event."""

    name: str
    number: int
    event: Event | None


@dataclass(frozen=True)
class Bookmarks:
    """The events that were given names."""

    rows: tuple[BookmarkRow, ...]


class MockRow(NamedTuple):
    """An answer given in place of the recorded one: for which name, which call of it (None: all), how often shown."""

    name: str
    nth: int | None
    answer: Any


@dataclass(frozen=True)
class MocksInForce:
    """The answers that are given in place of recorded ones."""

    rows: tuple[MockRow, ...]


class BreakpointRow(NamedTuple):
    """A breakpoint or a watch with its number and how often it was hit.

    `kind` is `break` or `watch`; `ignore` how many more hits pass by; `commands` what is done when it stops.
    """

    number: int
    place: str
    temporary: bool
    enabled: bool
    hits: int
    kind: str = "break"
    ignore: int = 0
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Breakpoints:
    """The breakpoints that are set."""

    rows: tuple[BreakpointRow, ...]


@dataclass(frozen=True)
class TotalsSoFar:
    """What the recording has come to at the current event: dollars, tokens, failures and milliseconds.

    The dollars are without the calls of which nobody knows what they cost: `calls_without_price`.
    """

    number: int
    total: int
    cost: float
    tokens: int
    errors: int
    ms: float
    calls_without_price: int = 0


class HelpRow(NamedTuple):
    """One command in the help; `more` is the rest of it, shown when it is asked for by name."""

    name: str
    aliases: tuple[str, ...]
    usage: str
    help: str
    group: str = ""
    more: str = ""


@dataclass(frozen=True)
class Help:
    """The help on commands."""

    rows: tuple[HelpRow, ...]


@dataclass(frozen=True)
class Save:
    """What the session has shown so far is to be written to a file, by whoever shows it and knows how it looked."""

    file: str


@dataclass(frozen=True)
class Rerun:
    """The program of the recording is to run again, up to this event; the session is over."""

    number: int


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


@dataclass(frozen=True)
class Detached:
    """The session is over, and a live program goes on by itself."""


Result = (
    Stopped
    | Listing
    | Stack
    | OpenSpans
    | Value
    | Displays
    | Source
    | Messages
    | MessageChanges
    | Calls
    | Failures
    | Bookmarks
    | MocksInForce
    | Breakpoints
    | TotalsSoFar
    | Help
    | Save
    | Rerun
    | Message
    | Mistake
    | Quit
    | Detached
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
