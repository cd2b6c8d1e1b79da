"""Read the recorded calls of a trace with their answers, and report what cannot be replayed.

One pass over the events keeps a small record of each call. Bodies and values stay in the file, and are read when a call
is answered. An answer that is incomplete is reported as a `ReplayFlaw`, with the setting that would have kept it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice, pairwise
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.decoded_failures import read_failure
from namel3ss_debug.replay.rerun.requests import (
    ANSWERED,
    COMMAND,
    CONNECT,
    LIST_TOOLS,
    MCP,
    MODEL,
    TOOL,
    VALUED,
    Request,
    TaskKey,
    command_without_port,
    local_port,
    ports_in,
    read_request,
    read_task_key,
    reads_commands,
)
from namel3ss_debug.replay.rerun.tool_code import CodeByTool
from namel3ss_debug.traces.events import (
    CANCELLATIONS,
    NO_PROGRESS,
    SPAN_FAILURES,
    Event,
    NumberedEvents,
    ends_span,
)
from namel3ss_debug.traces.facts import is_background
from namel3ss_debug.wire import event_stream, lenient
from namel3ss_debug.wire.values import SETTINGS, Flaw, find_flaws, revive

INTERRUPT = "KeyboardInterrupt"
"""The type of the exception that Ctrl-C raises."""

BEARER = "token"
"""The kind of a flaw: the token is missing from the answer of an authorization server.

Programs pass such a token on unread, so it matters only if a server gets it.
"""
UNRECORDED: Final = "unrecorded"
"""The kind of a flaw: the trace does not hold all that a command has given the program."""

_PASSED_ON = {"$.access_token", "$.refresh_token"}
"""Where a token response (it has a `token_type`) holds its tokens (RFC 6749, 5.1), which clients do not read (1.4)."""

_OTHER_VERSIONS = ("HTTP/0.9", "HTTP/1.0", "HTTP/2", "HTTP/3")

_NOT_ON_THE_WIRE = {"content-length", "transfer-encoding"}
"""Headers that describe the body as it was sent, which is sent again in other pieces."""


class Raised(NamedTuple):
    """An exception that ended a call.

    Attributes:
        type: `module.Class`; the bare name of a built-in one.
        text: its message.
        sent: false if the request had not been sent yet, where that makes a difference.
        state: what else is known of the exception of a request.
    """

    type: str
    text: str
    sent: bool = True
    state: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class HttpAnswer:
    """A response as it was received.

    Attributes:
        status: the HTTP status; 0 if no head arrived.
        headers: the recorded ones, without those about the length of the body.
        chunks: the body: the chunks of a stream, else one.
        raised: the exception that ended it, after the head and the chunks if there are any.
        abandoned: whether the program gave it up, by its own timeout or by cancelling.
        whole: whether the body was received to its end.
        reason: the reason phrase, if it was not the usual one.
        encoding: how the chunks were encoded on the wire; "" for not at all.
        version: the version of HTTP, if it was not 1.1.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    raised: Raised | None
    abandoned: bool
    whole: bool
    reason: str = ""
    encoding: str = ""
    version: str = ""


@dataclass(frozen=True)
class ToolAnswer:
    """The return value of a tool, or the exception it raised; with flaws, `value` is not the original one."""

    value: Any
    raised: Raised | None
    abandoned: bool
    flaws: tuple[Flaw, ...]


def outputs_of(end: Event) -> dict[str, Any]:
    """Return the outputs in an end event, with the error of a failed call."""
    failure = {name: end[name] for name in ("error_type", "error") if name in end}
    return lenient.mapping(end.get("outputs")) | failure


def exchange_of(event: Event) -> dict[str, Any]:
    """Return the HTTP exchange in the metadata of an event."""
    return lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange"))


def http_answer(end: Event, pieces: tuple[Any, ...]) -> HttpAnswer:
    """Return a response.

    Args:
        end: the end event of the exchange, {} if there is none.
        pieces: the outputs of the events that hold the chunks of a stream, in order.
    """
    exchange = exchange_of(end)
    headers = lenient.mapping(exchange.get("headers"))
    raised, abandoned = raised_by(end, is_http=True)
    return HttpAnswer(
        status=lenient.count(exchange.get("status")) or 0,
        headers=tuple((name, str(value)) for name, value in headers.items() if name not in _NOT_ON_THE_WIRE),
        chunks=tuple(map(_chunk, pieces)) if pieces else tuple(filter(None, [_body(exchange, end)])),
        raised=raised,
        abandoned=abandoned or not end,
        whole=bool(end) and raised is None and not abandoned and end.get("status") != "partial",
        reason=lenient.string(exchange.get("reason")) or "",
        encoding=lenient.string(exchange.get("body_coding") or headers.get("content-encoding")) or "",
        version=version if (version := exchange.get("http_version")) in _OTHER_VERSIONS else "",
    )


def tool_answer(end: Event) -> ToolAnswer:
    """Return the answer of a tool.

    Args:
        end: the end event of the call, {} if there is none.
    """
    raised, abandoned = raised_by(end, is_http=False)
    if raised is not None:
        return ToolAnswer(
            None, raised, abandoned, find_flaws(raised.text) + _flaws_of_state(state_raised(end))
        )
    value, flaws = revive(lenient.mapping(end.get("outputs")).get("result"))
    return ToolAnswer(
        value, None, abandoned or not end, flaws + _inexact(lenient.mapping(end.get("metadata")))
    )


def flaws_of_end(kind: str, end: Event, *, streamed: bool) -> tuple[Flaw, ...]:
    """Return the flaws in the end event of a call; the chunks of a stream have their own events."""
    if kind == COMMAND:
        missing = lenient.sequence(lenient.mapping(end.get("metadata")).get("unrecorded"))
        return (*(Flaw(UNRECORDED, "$", str(each)) for each in missing), *tool_answer(end).flaws)
    if kind in VALUED:
        return tool_answer(end).flaws
    if streamed:
        return ()
    exchange = exchange_of(end)
    if kind == MODEL and not exchange:
        return _flaws_of_decoded(end)
    if "body" in exchange or kind == MODEL:
        return flaws_of_chunk(exchange.get("body"))
    return _flaws_of_body(lenient.mapping(end.get("outputs")).get("body"))


def _flaws_of_decoded(end: Event) -> tuple[Flaw, ...]:
    """Return the flaws in the answer of a model in a trace of another tool, which is encoded again."""
    outputs = lenient.mapping(end.get("outputs"))
    if end.get("status") in SPAN_FAILURES:
        is_known = read_failure(end) is not None
        return () if is_known else (Flaw(UNRECORDED, "$", "the trace holds its error, and not the response"),)
    content = ("text", "tool_calls", "refusal", "reasoning", "embeddings")
    if not any(outputs.get(name) not in (None, []) for name in content):
        return (Flaw(UNRECORDED, "$", "the trace does not hold the content of the answer"),)
    return find_flaws(outputs)


def _flaws_of_body(body: Any) -> tuple[Flaw, ...]:
    """Return the flaws in the body of a response that is not a model's."""
    flaws = find_flaws(body)
    if not flaws or not isinstance(lenient.mapping(body).get("token_type"), str):
        return flaws
    return tuple(
        flaw._replace(kind=BEARER) if flaw.kind == "redacted" and flaw.path in _PASSED_ON else flaw
        for flaw in flaws
    )


def flaws_of_chunk(payload: Any) -> tuple[Flaw, ...]:
    """Return the flaws in recorded bytes."""
    form = lenient.mapping(payload)
    text = form.get("text", form.get("messages"))
    return revive(form.get("data")).flaws if text is None else find_flaws(text)


def state_raised(end: Event) -> dict[str, Any]:
    """Return the recorded state of the exception that ended a tool call, beside its type and text."""
    return lenient.mapping(lenient.mapping(end.get("metadata")).get("raised"))


def _flaws_of_state(state: dict[str, Any]) -> tuple[Flaw, ...]:
    """Return the flaws in the state of an exception; what is marked `lost` is no flaw, the exception is made without it."""
    parts = (revive(state.get(name)).flaws for name in ("args", "attributes"))
    members = chain.from_iterable(map(_flaws_of_state, lenient.mappings(state.get("exceptions"))))
    return (*chain.from_iterable(parts), *_inexact(state), *members)


def _inexact(holder: dict[str, Any]) -> tuple[Flaw, ...]:
    """Return the flaws that the trace itself notes for a value: its JSON form is not exact."""
    form = holder.get("inexact")
    return tuple(Flaw("opaque", "$", str(one)) for one in form) if isinstance(form, list) else ()


def raised_by(end: Event, *, is_http: bool) -> tuple[Raised | None, bool]:
    """Return the exception that ended a call, and whether the program gave the call up.

    A response of status 400 or more is a failure but no exception, and so is an error inside a stream. An interrupt
    from the keyboard is an exception: nobody would press Ctrl-C again in the re-run.
    """
    kind = lenient.string(end.get("error_type")) or ""
    form = exchange_of(end).get("raised")
    is_cancellation = not kind or kind.rpartition(".")[2] in CANCELLATIONS
    if end.get("status") == "cancelled" and is_cancellation and form is None:
        return None, True
    if isinstance(form, dict):
        sent = form.get("sent") is not False
        more = lenient.mapping(form.get("state"))
        return Raised(str(form.get("type", "")), str(form.get("text", "")), sent, more), False
    state = {} if is_http else state_raised(end)
    if isinstance(state.get("type"), str):  # it controls a framework, and is no failure
        return Raised(state["type"], str(state.get("text", ""))), False
    if end.get("status") not in SPAN_FAILURES:
        return None, False
    if not is_http and _is_error_value(end):
        return None, False
    if is_http and exchange_of(end).get("status") is not None and "stack_trace" not in end:
        return None, False
    return Raised(kind, str(end.get("error", ""))), False


def _is_error_value(end: Event) -> bool:
    """Return whether a failure is an ordinary result, such as a tool error or an error code of MCP."""
    outputs = lenient.mapping(end.get("outputs"))
    return (end.get("error_type") == "tool_error" and "result" in outputs) or "code" in lenient.mapping(
        outputs.get("error")
    )


def _chunk(payload: Any) -> bytes:
    """Return bytes that were recorded as text, as messages of a binary stream, or in the JSON form of bytes."""
    form = lenient.mapping(payload)
    if "messages" in form:
        return event_stream.from_json(form["messages"])
    text = form.get("text")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    value = revive(form.get("data")).value
    return value if isinstance(value, bytes) else b""


def _body(exchange: dict[str, Any], end: Event) -> bytes:
    """Return the body of a response: the recorded bytes, else its decoded form encoded again."""
    if "body" in exchange:
        return _chunk(exchange["body"])
    body = lenient.mapping(end.get("outputs")).get("body")
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, dict) and body.get("$type") == "bytes":
        return _chunk({"data": body})
    return lenient.dump(body)


AGENT: Final = "agent"
"""The component of agents and of their messages to each other."""

START: Final = "start"
END: Final = "end"

_LONGEST_PATH: Final = 70


class Step(NamedTuple):
    """One step of a call: `part` is `START` or `END`."""

    call_number: int
    part: str


class ReplayFlaw(NamedTuple):
    """Something in a trace that cannot be replayed, or not exactly.

    Attributes:
        kind: `cut redacted token opaque damaged unrecorded` of one answer; `open` of a call that never ended; `level
            filtered rotated lost inputs unseen spans` of the whole trace.
        number: the number of the call; 0 for the whole trace.
        what: what is affected, such as a path into the answer or a count of events.
        setting: the setting that would have kept it; "" for none.
    """

    kind: str
    number: int
    what: str
    setting: str = ""


class ChangedFile(NamedTuple):
    """A file that a command has changed, and that the program read later.

    Attributes:
        path: the file.
        command: the number of the recorded command.
        program: the name of its program.
        number: the number of the command in a re-run.
    """

    path: str
    command: int
    program: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A recorded call that a re-run can answer.

    Attributes:
        number: the number of its start event.
        request: what was requested.
        end: the number of its end event; 0 if the call never ended.
        inside: the number of the tool call that it happened inside; 0 for none.
        chunks: the numbers of the events with the chunks of a stream, in order.
    """

    number: int
    request: Request
    end: int = 0
    inside: int = 0
    chunks: array[int] = field(default_factory=lambda: array("Q"), compare=False)


class RecordedCalls:
    """The recorded calls of a trace, and their answers.

    Attributes:
        calls: number -> call, in recorded order.
        flaws: what cannot be replayed.
        servers: the key of the request that connects to an MCP server -> the names of the server's tools.
        steps: the steps of all deliveries, in recorded order.
        codes: the code behind each tool, and the source files.
        changed_files: the files that commands have changed, and that the program read later.
        background: the key of a command that a library ran for its own purposes -> the end event of one that is whole.
            Such a command is no call: a library runs it once a process, and which process that is may change.
        outwaited: the calls that the program may have ceased to wait for, by a timeout of its own.
        source: the format of the trace if another tool wrote it: it holds decoded calls, and no HTTP responses.
    """

    def __init__(
        self,
        recording: NumberedEvents,
        calls: Mapping[int, RecordedCall],
        flaws: tuple[ReplayFlaw, ...] = (),
        steps: tuple[Step, ...] = (),
        servers: Mapping[str, set[str]] | None = None,
        lost: Mapping[int, int] | None = None,
        codes: CodeByTool | None = None,
        joined: Mapping[int, bool] | None = None,
        changed_files: tuple[ChangedFile, ...] = (),
        background: Mapping[str, Event] | None = None,
        outwaited: frozenset[int] = frozenset(),
        source: str = "",
    ) -> None:
        self.outwaited = outwaited
        self.source = source
        self.codes = codes or CodeByTool()
        self.changed_files = changed_files
        self.background = background or {}
        self._joined = joined or {}
        self._recording = recording
        self.calls = calls
        self.flaws = flaws
        self.servers = servers or {}
        self.steps = steps
        self._lost = lost or {}
        self._last: tuple[int, Event] = (0, {})  # each answer is read several times in a row
        self._within: dict[int, list[int]] = {}
        self._flaws: dict[int, list[ReplayFlaw]] = {}
        for noted in flaws:
            self._flaws.setdefault(noted.number, []).append(noted)
        for number, recorded_call in calls.items():
            if recorded_call.inside:
                self._within.setdefault(recorded_call.inside, []).append(number)

    def within(self, number: int) -> Iterator[int]:
        """Yield the calls inside a tool call, also those inside tool calls in it."""
        pending = [number]
        while pending:
            inner = self._within.get(pending.pop(), [])
            yield from inner
            pending += inner

    def holds(self, request: Request) -> bool:
        """Return whether the trace holds this request, anywhere: a command with its environment, a tool under any id."""
        key = request.keys[0 if request.kind == COMMAND else -1]
        return any(key in call.request.keys for call in self.calls.values())

    def flaws_of(self, number: int) -> tuple[ReplayFlaw, ...]:
        """Return the flaws of one call."""
        return tuple(self._flaws.get(number, ()))

    def records_itself(self, number: int) -> bool:
        """Return whether a command is run again, because its process is a part of the trace.

        That is one which made calls of its own, and any other whose output the trace does not hold. A Python process
        which only computed an output that is recorded is answered like any command. A shell to which the program
        wrote its commands is never run again: the trace does not hold them, so nobody has agreed to them.
        """
        if number not in self._joined or reads_commands(self.start(number), self.end(number)):
            return False
        result = lenient.mapping(lenient.mapping(self.end(number).get("outputs")).get("result"))
        return self._joined[number] or "stdout" not in result or bool(self.flaws_of(number))

    def longest_silence(self) -> float:
        """Return the longest time without an event that shows progress, in seconds."""
        times = [
            event.get("timestamp")
            for event in self._recording.events()
            if event.get("event_type") not in NO_PROGRESS
        ]
        known = [time for time in times if isinstance(time, int | float)]
        return max((later - time for time, later in pairwise(known)), default=0.0)

    def http_answer(self, number: int) -> HttpAnswer:
        """Return the response to a request."""
        pieces = tuple(event.get("outputs") for event in self.chunks(number))
        return http_answer(self.end(number), pieces)

    @cached_property
    def concurrent_tasks(self) -> frozenset[TaskKey]:
        """The tasks in which calls overlap, because their tasks cannot be told apart (as of Trio).

        Calls inside a tool call do not overlap with it. Streams are left out: a program may read the rest of one at any
        later time.
        """
        found: set[TaskKey] = set()
        waiting: dict[TaskKey, set[int]] = {}
        for number, part in self.steps:
            recorded_call = self.calls[number]
            beside = waiting.setdefault(recorded_call.request.task_key, set())
            if part == END:
                beside.discard(number)
            elif (
                part == START
                and recorded_call.request.kind != MCP
                and recorded_call.end
                and not recorded_call.chunks
            ):
                if beside.difference(self._around(recorded_call)):
                    found.add(recorded_call.request.task_key)
                beside.add(number)
        return frozenset(found)

    def _around(self, recorded_call: RecordedCall) -> Iterator[int]:
        """Yield the tool calls that a call is inside of."""
        while recorded_call.inside:
            yield recorded_call.inside
            recorded_call = self.calls[recorded_call.inside]

    def start(self, number: int) -> Event:
        """Return the start event of a call."""
        return self._recording.event(number)

    def end(self, number: int) -> Event:
        """Return the end event of a call, which must not be changed; {} if the call never ended."""
        end = self.calls[number].end
        if end and self._last[0] != end:
            self._last = end, self._recording.event(end)
        return self._last[1] if end else {}

    def lost_by(self, number: int) -> Event | None:
        """Return the event of the lost connection that made the program give a call up; None for any other call."""
        return self._recording.event(self._lost[number]) if number in self._lost else None

    def chunks(self, number: int) -> Iterator[Event]:
        """Yield the events with the chunks of a stream, in order."""
        chunks = self.calls[number].chunks
        if not chunks:
            return
        first, last = chunks[0], chunks[-1]
        if last - first >= 4 * len(chunks):
            yield from map(self._recording.event, chunks)
            return
        wanted = set(chunks)
        events = enumerate(islice(self._recording.events(first), last - first + 1), first)
        yield from (event for number, event in events if number in wanted)


def read_recorded(
    recording: NumberedEvents,
    events: Iterable[Event] | None = None,
) -> RecordedCalls:
    """Read the recorded calls of a trace, in one pass.

    Args:
        recording: the trace.
        events: all its events, if the caller reads them for something else as well.
    """
    reader = _Reader()
    for number, event in enumerate(recording.events() if events is None else events, 1):
        reader.feed(number, event)
    if reader.calls:
        recording.count()  # builds the index now, and not while the first call waits
    reader.add_port_keys()
    flaws = tuple(reader.all_flaws(recording))
    return RecordedCalls(
        recording,
        reader.calls,
        flaws,
        () if reader.source else tuple(reader.steps),  # its spans say when they ended, and not what waited
        reader.servers,
        reader.lost,
        reader.codes,
        reader.joined,
        tuple(reader.changed_files),
        reader.background,
        frozenset(reader.outwaited),
        reader.source,
    )


class _Reader:
    """Collect calls, steps and flaws from the events of a trace."""

    def __init__(self) -> None:
        self.calls: dict[int, RecordedCall] = {}
        self.flaws: list[ReplayFlaw] = []
        self.source = ""
        self._ids: dict[str, int] = {}  # id of the start event -> number of an open call
        self._tools: dict[str, int] = {}  # open span -> the tool call it is inside or is
        self.steps: list[Step] = []
        self._settings: dict[str, Any] = {}
        self._shared: dict[Any, Any] = {}
        self._connections: dict[str, str] = {}  # id of the start of a connection -> key of its request
        self._listing: dict[int, str] = {}  # number of a request for the tools of a server -> that key
        self.servers: dict[str, set[str]] = {}
        # Number of an open call -> id of its connection to an MCP server.
        self._connections_used: dict[int, str] = {}
        self._abandoned: dict[str, list[int]] = {}  # that id -> calls that the program gave up there
        self.lost: dict[int, int] = {}  # a call that was given up -> the event of its lost connection
        self._cancelled: list[int] = []  # calls cancelled since the last request
        self._cut = 0
        self.codes = CodeByTool()
        # Tools whose functions were not observed.
        self._unseen_tools: dict[str, None] = {}
        # Number of a call that only a framework reports -> the tool.
        self._framework_only: dict[int, str] = {}
        # Command whose process is a part of the trace -> whether that process has recorded a call or another span.
        self.joined: dict[int, bool] = {}
        self.changed_files: list[ChangedFile] = []
        self._commands: dict[str, int] = {}  # id of the start of a command -> its number
        self.background: dict[str, Event] = {}
        self._local_ports: set[str] = (
            set()
        )  # of the servers on this machine that the program has sent requests to
        self._with_ports: dict[
            int, Event
        ] = {}  # number of a command -> its start event, if it may name a port
        self._in_background: dict[str, Request] = {}  # id of the start of such a command -> its request
        self._open: dict[int, _Task] = {}  # number of an open call -> where it was made
        self._beside: set[int] = set()  # calls that were open when another thread or task made one
        self.outwaited: set[int] = set()  # see `_note_timeout`
        self._within: dict[str, int] = {}  # open span -> the call of these that it is, or is inside of

    def feed(self, number: int, event: Event) -> None:
        event_type = event["event_type"]
        if event.get("error_type") == "TimeoutError" and event.get("parent_event_id") not in self._ids:
            self._note_timeout(event)
        if event_type[-6:] == "_start":
            self.codes.add(event)
            self._begin(number, event)
        elif event_type == "trace_end":
            self.codes.add(event)
        elif ends_span(event_type):
            self._close(number, event)
        elif event_type == "error_occurred":
            self._failed(number, event)
        elif event_type == "state_change":
            self._note_change(event)
        elif event_type == "agent_message":
            self._look_for_spans(number, event, "")
        elif event_type == "stream_chunk":
            recorded_call = self.calls.get(self._ids.get(event.get("parent_event_id", ""), 0))
            if recorded_call is not None:
                recorded_call.chunks.append(number)
                self._note(recorded_call.number, flaws_of_chunk(event.get("outputs")))

    def _note_timeout(self, event: Event) -> None:
        """Note the calls that a program may have ceased to wait for, by a timeout of its own.

        They are those of other threads and tasks that are open now, or were open when a further call began: that may
        be made while the program handles the exception, which is recorded afterwards. In `future.result(timeout)` and
        `wait_for(to_thread(...))`, the call goes on in its thread.
        """
        self.outwaited |= self._beside | self._others(event)
        self._beside.clear()

    def _others(self, event: Event) -> set[int]:
        """Return the open calls of other threads and tasks than that of an event."""
        task = _task_of(event)
        return {number for number, other in self._open.items() if other != task}

    def _note_change(self, event: Event) -> None:
        """Note a file that a command has changed."""
        metadata = lenient.mapping(event.get("metadata"))
        command = self._commands.get(str(metadata.get("command")))
        if event.get("component") == COMMAND and command is not None:
            path = str(metadata.get("file"))
            self.changed_files.append(ChangedFile(path, command, self.calls[command].request.name))

    def _failed(self, number: int, event: Event) -> None:
        """Note that a connection to a server failed, or that Ctrl-C ended the program.

        A call that Ctrl-C cancelled counts as never ended: nobody would cancel it again.
        """
        if event.get("component") == MCP:
            self.lost |= dict.fromkeys(self._abandoned.pop(_connection(event), ()), number)
        elif event.get("component") == "app" and event.get("error_type") == INTERRUPT:
            for cancelled in self._cancelled:
                self.calls[cancelled] = replace(self.calls[cancelled], end=0)

    def _begin(self, number: int, event: Event) -> None:
        event_id = str(event.get("event_id", ""))
        inside = self._tools.get(event.get("parent_event_id", ""), 0)
        request = read_request(number, event, keep_event=False, decoded=bool(self.source))
        if request is not None and is_background(event):
            self._in_background[event_id] = request
            request = None
        self._tools[event_id] = number if request is not None and request.kind in VALUED else inside
        self._look_for_spans(number, event, event_id)
        self._join(inside, event)
        if event["event_type"] == "trace_start":
            metadata = lenient.mapping(event.get("metadata"))
            self._settings = self._settings or lenient.mapping(metadata.get("settings"))
            self.source = self.source or str(lenient.mapping(metadata.get("source")).get("format", ""))
        if self._settings.get("max_payload_size") and event.get("component") in ANSWERED:
            asked = find_flaws([event.get("inputs"), event.get("metadata")])
            self._cut += any(flaw.kind == "cut" for flaw in asked)
        if request is None:
            # Only the result of such a call was observed, in the program's next message to the model.
            metadata = lenient.mapping(event.get("metadata"))
            is_unseen = metadata.get("seen") is False and "framework" not in metadata
            if event["event_type"] == "tool_call_start" and is_unseen:
                self._unseen_tools[str(event.get("component_name", ""))] = None
            return
        self.calls[number] = RecordedCall(number, self._sharing(request), 0, inside)
        if request.kind == COMMAND and ports_in(event):
            self._with_ports[number] = event
        elif port := local_port(event):
            self._local_ports.add(port)
        self._ids[event_id] = number
        if request.kind == COMMAND:
            self._commands[event_id] = number
        if request.kind == MCP and request.name == CONNECT:
            self._connections[event_id] = request.keys[0]
        elif request.kind in VALUED:
            self._note_server(number, event, request)
        self.steps.append(Step(number, START))
        self._cancelled.clear()
        if self._open:
            self._beside |= self._others(event)
        self._open[number] = _task_of(event)

    def add_port_keys(self) -> None:
        """Let a command that starts a server on a port that the program chose match one with another port."""
        for number, event in self._with_ports.items():
            ports = self._local_ports.intersection(ports_in(event))
            if ports:
                call = self.calls[number]
                keys = tuple(command_without_port(event, port) for port in sorted(ports))
                request = replace(call.request, keys=(*call.request.keys, *keys))
                self.calls[number] = replace(call, request=request)

    def _join(self, inside: int, event: Event) -> None:
        """Note that the process of a command is a part of the trace, and whether it does more than run commands."""
        works = event["event_type"] != "trace_start" and event.get("component") != COMMAND
        while inside:
            call = self.calls[inside]
            if call.request.kind == COMMAND:
                self.joined[inside] = self.joined.get(inside, False) or works
            inside = call.inside

    def _look_for_spans(self, number: int, event: Event, event_id: str) -> None:
        """Note a tool call that only a span of a framework reports.

        It is no tool call if an agent works inside it or hands over: then the calls of that agent are answered.
        """
        within = self._within.get(event.get("parent_event_id", ""), 0)
        metadata = lenient.mapping(event.get("metadata"))
        if event["event_type"] == "tool_call_start" and metadata.get("seen") is False and "scope" in metadata:
            within = number
            self._framework_only[number] = str(event.get("component_name", ""))
        elif event.get("component") == AGENT:
            self._framework_only.pop(within, None)
        if within and event_id:
            self._within[event_id] = within

    def _note_server(self, number: int, event: Event, request: Request) -> None:
        """Note the connection that a request to an MCP server uses, and that the server has a requested tool."""
        connection = _connection(event)
        if connection:
            self._connections_used[number] = connection
        key = self._connections.get(connection)
        if key is not None and request.kind == TOOL:
            self.servers.setdefault(key, set()).add(request.name)
        elif key is not None and request.name == LIST_TOOLS:
            self._listing[number] = key

    def _end_server_request(self, start_id: str, start_number: int, end: Event) -> None:
        """Note the answer to an MCP request: the tools in a listing, and where the processes of a started server belong."""
        if self.calls[start_number].request.name == CONNECT:
            self._tools[start_id] = start_number
        key = self._listing.pop(start_number, None)
        if key is not None:
            result = lenient.mapping(lenient.mapping(end.get("outputs")).get("result"))
            listed = lenient.mappings(result.get("tools"))
            self.servers.setdefault(key, set()).update(str(tool.get("name")) for tool in listed)

    def _sharing(self, request: Request) -> Request:
        """Return the request with the parts that many requests have in common stored once."""
        share = self._shared.setdefault
        chain, task_key = (
            share(request.chain, request.chain),
            share(("strand", request.task_key), request.task_key),
        )
        similar_keys = tuple(share(("kin", similar_key), similar_key) for similar_key in request.similar_keys)
        return replace(
            request, keys=request.own_keys, similar_keys=similar_keys, chain=chain, task_key=task_key
        )

    def _close(self, number: int, event: Event) -> None:
        event_id = event.get("parent_event_id", "")
        background = self._in_background.pop(event_id, None)
        if background is not None:
            _, abandoned = raised_by(event, is_http=False)
            if not abandoned and not flaws_of_end(COMMAND, event, streamed=False):
                self.background |= dict.fromkeys(background.keys, event)
        self._tools.pop(event_id, None)
        self._within.pop(event_id, None)
        start_number = self._ids.pop(event_id, 0)
        if not start_number:
            return
        self._open.pop(start_number, None)
        old = self.calls[start_number]
        if old.request.kind == MCP:
            self._end_server_request(event_id, start_number, event)
        connection = self._connections_used.pop(start_number, "")
        if connection and event.get("status") == "cancelled":
            self._abandoned.setdefault(connection, []).append(start_number)
        recorded_call = RecordedCall(start_number, old.request, number, old.inside, old.chunks)
        self.calls[start_number] = recorded_call
        if event.get("status") == "cancelled" and event.get("error_type") != INTERRUPT:
            self._cancelled.append(start_number)
        self.steps.append(Step(start_number, END))
        self._note(
            start_number, flaws_of_end(recorded_call.request.kind, event, streamed=bool(recorded_call.chunks))
        )

    def _note(self, number: int, flaws: tuple[Flaw, ...]) -> None:
        """Add the flaws of an answer, each kind once."""
        for flaw in flaws:
            known = any(noted.number == number and noted.kind == flaw.kind for noted in self.flaws[-4:])
            if not known:
                path = flaw.path if len(flaw.path) <= _LONGEST_PATH else f"{flaw.path[:40]}…{flaw.path[-20:]}"
                what = f"{path}: {flaw.what}"
                setting = SETTINGS.get(flaw.kind, "")
                if self._settings.get(setting) in (0, False):  # it was set, and did not suffice
                    setting = ""
                self.flaws.append(ReplayFlaw(flaw.kind, number, what, setting))

    def all_flaws(self, recording: NumberedEvents) -> Iterator[ReplayFlaw]:
        """Yield the flaws of the whole trace, then those of each answer, in order."""
        yield from self._of_the_whole(recording)
        opened = [
            ReplayFlaw("open", number, recorded_call.request.name)
            for number, recorded_call in self.calls.items()
            if not recorded_call.end
        ]
        yield from sorted([*self.flaws, *opened], key=lambda noted: noted.number)

    def _of_the_whole(self, recording: NumberedEvents) -> Iterator[ReplayFlaw]:
        if self._settings.get("level") == "basic":
            yield ReplayFlaw("level", 0, "basic", "level")
        components = self._settings.get("default_components")
        if isinstance(components, list) and components:
            missing = [name for name in ("llm", "http", "tool") if name not in components]
            if missing:
                yield ReplayFlaw("filtered", 0, " ".join(missing), "default_components")
        rotated, lost = getattr(recording, "rotated_away", 0), getattr(recording, "lost", 0)
        if rotated:
            yield ReplayFlaw("rotated", 0, str(rotated), "rotate_keep")
        if lost > rotated:
            yield ReplayFlaw("lost", 0, str(lost - rotated))
        if self._cut:
            yield ReplayFlaw("inputs", 0, str(self._cut), "max_payload_size")
        if self._unseen_tools:
            yield ReplayFlaw("unseen", 0, ", ".join(self._unseen_tools))
        if self._framework_only:
            yield ReplayFlaw("spans", 0, ", ".join(dict.fromkeys(self._framework_only.values())))


_Task = tuple[int, str, str]


def _task_of(event: Event) -> _Task:
    """Return the process, thread and task of an event by name: only calls have a task path."""
    key = read_task_key(event | {"metadata": {}})
    return key.process, key.thread, key.task


def _connection(event: Event) -> str:
    """Return the id of the event that began the connection to an MCP server which an event uses; "" for none."""
    form = lenient.mapping(lenient.mapping(event.get("metadata")).get("mcp"))
    return lenient.string(form.get("connection")) or ""
