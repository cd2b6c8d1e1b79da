"""The results of debugger commands: plain records, which the shell draws and `--format jsonl` prints as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.source_files import SourceLines
from namel3ss_debug.wire.conversations import MessageChange

Numbered = tuple[int, Event]
"""An event with its number."""


class Frame(NamedTuple):
    """An open span on the stack, with the number of its start."""

    number: int
    event_type: str
    component: str
    name: str | None


class CodeFrame(NamedTuple):
    """A call on the Python stack of the user's code: its line, its function, the text of the line, and its variables.

    Of a trace only the functions are known, and the line of the innermost one; its variables only while it waits.
    """

    at: str
    function: str
    text: str = ""
    values: dict[str, Any] | None = None


class ValueChange(NamedTuple):
    """The value of a watched expression before an event and after it."""

    old: Any
    new: Any


class SearchMatch(NamedTuple):
    """Where an event holds the text of a search: the path of the value, the match, and the text around it."""

    path: str
    before: str
    text: str
    after: str


class Displayed(NamedTuple):
    """An expression shown at every stop: its number and its value, or the problem why it has none here."""

    number: int
    expression: str
    value: Any
    problem: str | None = None


@dataclass(frozen=True)
class Stopped:
    """The current event, and why stepping stopped there.

    `reason` is `step`, `return`, `until`, `goto`, `search`, `breakpoint`, `watch`, `interrupt` (Ctrl-C stopped a live
    program), `start` (before the first event) or `end` (at the last one). `breakpoint` is the number of the breakpoint
    or watch, `location` its text, and `total` the number of events in the trace. `changed` has the old and the new
    value if a watch stopped, `displayed` the expressions of `display`. `waiting` is true if a live program waits before
    the call that starts here. `found` is where the event holds the text of a search.
    """

    number: int
    event: Event | None
    reason: str
    total: int
    breakpoint: int | None = None
    location: str | None = None
    changed: ValueChange | None = None
    displayed: tuple[Displayed, ...] = ()
    waiting: bool = False
    found: SearchMatch | None = None


@dataclass(frozen=True)
class Listing:
    """Some events in order, the number of the current one, and how many further events of a span are not listed."""

    rows: tuple[Numbered, ...]
    current: int
    left_out: int = 0


@dataclass(frozen=True)
class Stack:
    """The spans that the current event is inside, outermost first, and the event itself.

    `selected` is the index in `frames` of the span that `up` and `down` selected; null for the event itself. Of a very
    deep stack only the innermost spans are listed; `left_out` is how many there are further out. `code` is the Python
    stack of the user's code there, outermost first.
    """

    frames: tuple[Frame, ...]
    current: int
    event: Event | None
    selected: int | None = None
    left_out: int = 0
    code: tuple[CodeFrame, ...] = ()


@dataclass(frozen=True)
class OpenSpans:
    """The spans that are open at the current event, oldest first; of very many only the latest, and how many more."""

    frames: tuple[Frame, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Value:
    """The value of an expression; `pretty` shows it over several lines, `number` is the event it was read from.

    `frame` is the frame of the waiting program that it was evaluated in, null if it is of the event.
    """

    expression: str
    value: Any
    pretty: bool = False
    number: int = 0
    frame: CodeFrame | None = None


@dataclass(frozen=True)
class Locals:
    """The variables of the user's code at an event, those of its module at an earlier one, and what they do not show."""

    number: int
    scope: str
    values: dict[str, Any]
    module: dict[str, Any] | None = None
    module_number: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameVariables:
    """The variables of the waiting program at an event: of the frame that waits, and of its callers up to the entry."""

    number: int
    frames: tuple[CodeFrame, ...]


@dataclass(frozen=True)
class Displays:
    """The expressions that are shown at every stop, with their values here."""

    rows: tuple[Displayed, ...]


@dataclass(frozen=True)
class Messages:
    """The messages that a model read at a call: the number of its start, the model, the messages, the tools it could call."""

    number: int
    model: str | None
    messages: tuple[Any, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class MessageChanges:
    """The messages of a call compared with those of the call before (`before`, null at the first).

    Each change has a `kind`: `same`, `added`, `dropped`, `changed` or `truncated`; `before` and `after` are the indexes
    of the message in both, `old` and `new` the message.
    """

    number: int
    before: int | None
    changes: tuple[MessageChange, ...]


class CallRow(NamedTuple):
    """The calls of one tool or model so far; `total_ms` of those that ended, `latest` the number of the last start.

    `cost` is in US dollars, without the calls whose price is unknown: `calls_without_price`.
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
class CallTable:
    """Calls up to the current event by name; `kind` is `tools` or `cost` (by model)."""

    kind: str
    rows: tuple[CallRow, ...]


@dataclass(frozen=True)
class Failures:
    """The latest events up to the current one that report a failure, and how many there were before those."""

    rows: tuple[Numbered, ...]
    earlier: int = 0


class BookmarkRow(NamedTuple):
    """A named event."""

    name: str
    number: int
    event: Event | None


@dataclass(frozen=True)
class Bookmarks:
    """The events that have names."""

    rows: tuple[BookmarkRow, ...]


class MockRow(NamedTuple):
    """A mock or fault: the name, which call of it (null: all), and the answer or fault."""

    name: str
    nth: int | None
    answer: Any


@dataclass(frozen=True)
class MocksInForce:
    """The mocks and faults that replace recorded answers."""

    rows: tuple[MockRow, ...]


class BreakpointRow(NamedTuple):
    """A breakpoint or a watch with its number and how often it was hit.

    `kind` is `break` or `watch`; `ignore` how many more hits do not stop; `commands` what runs when it stops.
    """

    number: int
    location: str
    temporary: bool
    enabled: bool
    hits: int
    kind: str = "break"
    ignore: int = 0
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Breakpoints:
    """The breakpoints and watches that are set."""

    rows: tuple[BreakpointRow, ...]


@dataclass(frozen=True)
class TotalsSoFar:
    """The running totals up to the current event: US dollars, tokens, failures and milliseconds.

    The dollars are without the calls whose price is unknown: `calls_without_price`.
    """

    number: int
    total: int
    cost: float
    tokens: int
    errors: int
    ms: float
    calls_without_price: int = 0


class HelpRow(NamedTuple):
    """One command in the help; `more` is shown by `help COMMAND` only."""

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
    """A request to write the session so far to a file. The shell does it, because it knows how the session looked."""

    file: str


@dataclass(frozen=True)
class Rerun:
    """The program of the trace is to run again, up to this event; the session has ended."""

    number: int


@dataclass(frozen=True)
class Message:
    """One line to read."""

    text: str


@dataclass(frozen=True)
class Mistake:
    """The reason why a command could not be done, in one line. The session goes on."""

    text: str


@dataclass(frozen=True)
class Quit:
    """The session has ended."""


@dataclass(frozen=True)
class Detached:
    """The session has ended, and a live program runs on by itself."""


Result = (
    Stopped
    | Listing
    | Stack
    | OpenSpans
    | Value
    | Locals
    | FrameVariables
    | Displays
    | SourceLines
    | Messages
    | MessageChanges
    | CallTable
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


RESULT_NAMES: Final[dict[type, str]] = {
    SourceLines: "source",
    CallTable: "calls",
    FrameVariables: "variables",
}
"""The values of `result` that are not simply the name of the class in lower case."""


def to_json(result: Result) -> dict[str, Any]:
    """Return a result as one JSON object, whose first key `result` names its kind."""
    return {"result": result_name(type(result))} | {
        field.name: _to_json(getattr(result, field.name)) for field in fields(result)
    }


def result_name(kind: type) -> str:
    """Return the value of `result` for a class of results."""
    return RESULT_NAMES.get(kind, kind.__name__.lower())


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        if hasattr(value, "_asdict"):
            return {name: _to_json(item) for name, item in value._asdict().items()}
        return [_to_json(item) for item in value]
    return to_json(value) if is_dataclass(value) else value  # type: ignore[arg-type]  # only results are nested
