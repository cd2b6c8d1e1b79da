"""Read a run as a conversation: what each model read that was new to it, wrote and called, and what each tool returned.

A request to a model repeats the conversation so far. Of its messages, those that an earlier request of the same agent had
are folded, and so are answers of the model and results of tools that the transcript has already: what is left is new. A
message that was dropped, changed or cut since the request before is named, because a model that no longer reads it often
does the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event, begins_span
from namel3ss_debug.traces.span_table import EVERY_EVENT, SpanTable, SpanTableBuilder, SpanWatcher
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conversations import MessageChange, diff_messages

READS: Final = "reads"
WRITES: Final = "writes"
CALLS: Final = "calls"
RETURNS: Final = "returns"
FAILS: Final = "fails"
BEGINS: Final = "begins"
ENDS: Final = "ends"
SENDS: Final = "sends"
HANDLED: Final = "handled"
WARNS: Final = "warns"
OPEN: Final = "never ended"

PROBLEMS: Final = frozenset({FAILS, HANDLED, WARNS, OPEN})
"""What `--errors` shows."""

_REMEMBERED = 16
"""How many conversations of one agent are remembered, the latest ones."""
_OF_SYSTEM = frozenset({"system", "developer"})
_SHOWN = frozenset({"agent", "llm", "tool"})
_LOUD = frozenset({"warning", "warn", "error", "critical", "fatal"})


@dataclass(frozen=True)
class ReadMessage:
    """A message that a model read for the first time.

    Attributes:
        role: the role of its author.
        message: the message itself.
        how: `added`, or `changed`, `truncated` or `dropped` since the request before.
    """

    role: str
    message: Any
    how: str = "added"


class TranscriptStep(NamedTuple):
    """One line of a transcript.

    Attributes:
        number: the event that it shows; `end_number` the end of its span, 0 where it is not a part of the line.
        depth: how many agents are around it.
        component, name: those of the event.
        what: `reads`, `writes`, `calls`, `returns`, `fails`, `begins`, `ends`, `sends`, `handled`, `warns` or `never ended`.
        event: the event; `end` the end of its span where the line shows both.
        messages: what a model read that is new.
        changes: all changes of its request from the one before, also messages that lines of their own show.
        before: how many messages it had read before.
        agent: the nearest agent around it; empty at the top.
        at: seconds since the first event; None where that is not known.
        beside: whether another call ran at the same time.
        retries: how many failed attempts came before, which have no lines of their own.
        row: the row of the span that it belongs to, in the table of spans; negative for none.
        row_before: of what a model read, the row of the call with the request before; negative for none.
    """

    number: int
    depth: int
    component: str
    name: str
    what: str
    event: Event
    end_number: int = 0
    end: Event | None = None
    messages: tuple[ReadMessage, ...] = ()
    changes: tuple[MessageChange, ...] = ()
    before: int = 0
    agent: str = ""
    at: float | None = None
    beside: bool = False
    retries: int = 0
    row: int = -1
    row_before: int = -1


@dataclass
class RunTranscript:
    """A run as a conversation.

    Attributes:
        steps: the lines in time order.
        exit_status: that of the program; None where it is not known.
        uncaught: the event of the exception that ended it.
        ended: whether the trace has an end.
    """

    steps: list[TranscriptStep] = field(default_factory=list)
    exit_status: int | None = None
    uncaught: Event | None = None
    ended: bool = False


def read_transcript(events: Iterable[Event]) -> RunTranscript:
    """Read the transcript of a trace."""
    watcher = TranscriptWatcher()
    builder = SpanTableBuilder(watchers={"transcript": watcher}, costs=False)
    builder.add(events)
    return watcher.result(builder.settle(), {})


class _Conversations:
    """The latest requests that the models of one agent have got."""

    def __init__(self) -> None:
        self._requests: list[tuple[Sequence[Any], frozenset[bytes], int]] = []

    def add(self, messages: Sequence[Any], row: int) -> tuple[tuple[MessageChange, ...], int]:
        """Return the changes from the request before in the same conversation, and its row; of a new one, each message is added.

        A request goes on with a conversation if at least half of its messages are in it, without those of the system,
        which several conversations often share.
        """
        own = frozenset(
            lenient.dump(each, ordered=True) for each in messages if _role(each) not in _OF_SYSTEM
        )
        found = max(
            (each for each in self._requests if own & each[1] and 2 * len(own & each[1]) >= len(each[1])),
            key=lambda each: len(own & each[1]),
            default=None,
        )
        self._requests = [*(each for each in self._requests if each is not found), (messages, own, row)][
            -_REMEMBERED:
        ]
        if found is None:
            return diff_messages((), messages), -1
        return diff_messages(found[0], messages), found[2]


class TranscriptWatcher(SpanWatcher):
    """Reads the transcript of a trace while its table of spans is made.

    Attributes:
        steps: the lines so far. Only the last one may change until `result` completes them.
    """

    events = EVERY_EVENT

    def __init__(self) -> None:
        self._spans = SpanTable()
        self._transcript = RunTranscript()
        self.steps: list[TranscriptStep] = []
        self._begun: dict[int, int] = {}  # row -> the index of the step of its start
        self._conversations: dict[str, _Conversations] = {}  # by agent
        self._shown: set[str] = set()  # answers and results that the transcript has
        self._first_at: float | None = None

    def event(self, number: int, event: Event) -> None:
        """Take an event that is no part of a span, or the time of the first event."""
        if self._first_at is None:
            at = event.get("timestamp")
            self._first_at = at if isinstance(at, int | float) else None
        event_type = event["event_type"]
        if event_type == "exception_handled":
            self._step(number, event, HANDLED, self.find_parent(event))
        elif event_type == "agent_message":
            self._step(number, event, SENDS, self.find_parent(event))
        elif event_type == "trace_end":
            metadata = lenient.mapping(event.get("metadata"))
            self._transcript.ended = True
            if not metadata.get("process"):
                self._transcript.exit_status = lenient.count(metadata.get("exit_status"))
        elif event_type == "error_occurred":
            if lenient.mapping(event.get("metadata")).get("uncaught"):
                self._transcript.uncaught = event
        elif event.get("component") == "log":
            metadata = lenient.mapping(event.get("metadata"))
            if str(metadata.get("level", "")).lower() in _LOUD:
                self._step(number, event, WARNS, self.find_parent(event))

    def _step(
        self,
        number: int,
        event: Event,
        what: str,
        row: int,
        *,
        start: TranscriptStep | None = None,
        **more: Any,
    ) -> None:
        """Add a line.

        Args:
            number: the number of the event.
            event: the event.
            what: what it shows.
            row: the row of the span that it is of; of an event that is of none, that of the span around it.
            start: the line of the start of this span.
            **more: further attributes.
        """
        if start is not None:
            depth, agent, component, name = start.depth, start.agent, start.component, start.name
        else:
            depth, agent = self._agents(self._spans.parent[row] if begins_span(event["event_type"]) else row)
            component = str(event.get("component"))
            name = str(event.get("component_name") or component)
        at = event.get("timestamp")
        since = at - self._first_at if self._first_at is not None and isinstance(at, int | float) else None
        self.steps.append(
            TranscriptStep(
                number, depth, component, name, what, event, agent=agent, at=since, row=row, **more
            )
        )

    def _agents(self, row: int) -> tuple[int, str]:
        """Return how many agents are around what happens in a span, and the name of the nearest."""
        depth, name = 0, ""
        while row >= 0:
            begun = self._begun.get(row)
            if begun is not None and self.steps[begun].component == "agent":
                name = name or self.steps[begun].name
                depth += 1
            row = self._spans.parent[row]
        return depth, name

    def begin(self, spans: SpanTable, row: int, start: Event) -> None:
        """Take a call, or an agent that begins."""
        self._spans = spans
        component = start["component"]
        if component not in _SHOWN or start["event_type"] == "agent_turn_start":
            return
        number = spans.number[row]
        if component == "llm":
            inputs = lenient.mapping(start.get("inputs"))
            messages = lenient.sequence(inputs.get("messages"))
            conversations = self._conversations.setdefault(
                self._agents(spans.parent[row])[1], _Conversations()
            )
            compared, row_before = conversations.add(messages, row)
            changes = tuple(change for change in compared if change.kind != "same")
            new = tuple(
                ReadMessage(_role(message), message, change.kind)
                for change in changes
                for message in [change.old if change.kind == "dropped" else change.new]
                if change.kind != "added" or not self._is_shown(message)
            )
            known = len(messages) - sum(each.how != "dropped" for each in new)
            self._step(
                number, start, READS, row,
                messages=new, changes=changes, before=known, row_before=row_before,
            )  # fmt: skip
        else:
            self._step(number, start, BEGINS if component == "agent" else CALLS, row)
        self._begun[row] = len(self.steps) - 1

    def _is_shown(self, message: Any) -> bool:
        """Return whether the answers and results of a message are on lines of their own already."""
        parts = lenient.sequence(lenient.mapping(message).get("parts"))
        return bool(parts) and all(not self._shown.isdisjoint(_forms(part)) for part in parts)

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take the end of a span whose begin has a line."""
        del start
        self._spans = spans
        begun = self._begun.get(row)
        if begun is None or not end:
            return
        number, step = spans.end[row], self.steps[begun]
        outputs = lenient.mapping(end.get("outputs"))
        failed = spans.failed[row]
        if step.component == "llm":
            self._shown.add(_of_text(outputs.get("text")))
            self._shown.update(_of_call(each) for each in lenient.sequence(outputs.get("tool_calls")))
        elif step.component == "tool" and not failed:
            self._shown.add(_of_value(outputs.get("result")))
        what = FAILS if failed else {"llm": WRITES, "tool": RETURNS}.get(step.component, ENDS)
        if begun == len(self.steps) - 1 and not step.messages and step.component != "agent":
            self.steps[begun] = step._replace(what=what, end_number=number, end=end)
        else:
            self._step(number, end, what, row, start=step)

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> RunTranscript:
        """Return the transcript, with what is known only at its end."""
        beside = _find_beside(spans)
        steps: list[TranscriptStep | None] = []
        for step in self.steps:
            is_open = step.what == CALLS and not spans.end[step.row]
            if is_open or step.row in beside:
                what = OPEN if is_open else step.what
                steps.append(step._replace(what=what, beside=step.row in beside and step.row in self._begun))
            else:
                steps.append(step)
        self._fold_retries(spans, steps)
        self._transcript.steps = [step for step in steps if step is not None]
        return self._transcript

    def _fold_retries(self, spans: SpanTable, steps: list[TranscriptStep | None]) -> None:
        """Leave out the failures of a call that was tried again, and what the next attempt read; it counts them."""
        of_row: dict[int, list[int]] = {}
        for index, each in enumerate(self.steps):
            of_row.setdefault(each.row, []).append(index)
        failed: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # of a parent and operation: the row, and its attempts
        for row in sorted(self._begun):
            key = (spans.parent[row], spans.operation[row])
            before, attempts = failed.pop(key, (-1, 0))
            if before >= 0 and spans.retried[row]:
                for index in of_row[before]:
                    if (step := steps[index]) is not None and step.what == FAILS:
                        steps[index] = None
                for index in of_row[row]:
                    if (step := steps[index]) is not None:
                        again = step.what == READS and not step.messages
                        steps[index] = None if again else step._replace(retries=attempts)
            else:
                attempts = 0
            if spans.failed[row]:
                failed[key] = (row, attempts + 1)


def _find_beside(spans: SpanTable) -> set[int]:
    """Return the rows of calls during which another call, not inside them, ran as well."""
    beside: set[int] = set()
    running: list[int] = []
    for row in spans.of("agent", "llm", "tool"):
        if spans.turn[row]:
            continue
        number = spans.number[row]
        running = [each for each in running if not spans.end[each] or spans.end[each] > number]
        around = set()
        above = spans.parent[row]
        while above >= 0:
            around.add(above)
            above = spans.parent[above]
        overlapping = [each for each in running if each not in around and spans.end[each]]
        if overlapping:
            beside.update((*overlapping, row))
        running.append(row)
    return beside


def _role(message: Any) -> str:
    return str(lenient.mapping(message).get("role") or "message")


def _of_text(text: Any) -> str:
    return f"text {text}" if isinstance(text, str) else ""


def _of_call(call: Any) -> str:
    known = lenient.mapping(call)
    return f"call {known.get('id')} {known.get('name')}"


def _of_value(value: Any) -> str:
    return "value " + lenient.dump(value, ordered=True).decode()


def _forms(part: Any) -> set[str]:
    """Return what may stand for a part of a message among the texts that are shown already."""
    known = lenient.mapping(part)
    if known.get("type") == "tool_call":
        return {_of_call(known)}
    if known.get("type") == "tool_call_response":
        response = known.get("response", known.get("result"))
        forms = {_of_value(response)}
        if isinstance(response, str):
            value = lenient.load(response)
            forms |= {_of_value(value)} if value is not None else set()
        return forms
    return {_of_text(known.get("content", known.get("text")))} - {""}


def select_steps(
    transcript: RunTranscript, *, agent: str = "", first: int = 1, errors: bool = False
) -> Iterator[TranscriptStep]:
    """Yield some steps of a transcript.

    Args:
        transcript: the transcript.
        agent: only what this agent did, in upper or lower case; empty for all.
        first: the first event.
        errors: only failures, handled exceptions, warnings, and what never ended.
    """
    for step in transcript.steps:
        of_agent = step.component == "agent" and step.name.casefold() == agent.casefold()
        if (
            max(step.number, step.end_number) >= first
            and (not agent or of_agent or step.agent.casefold() == agent.casefold())
            and (not errors or step.what in PROBLEMS)
        ):
            yield step


def to_json(step: TranscriptStep) -> Mapping[str, Any]:
    """Return a step as JSON, with its event as it is in the trace."""
    return {
        "number": step.number,
        "end_number": step.end_number or None,
        "at_ms": None if step.at is None else round(step.at * 1000, 3),
        "depth": step.depth,
        "agent": step.agent or None,
        "component": step.component,
        "component_name": step.name,
        "what": step.what,
        "parallel": step.beside,
        "retries": step.retries,
        "read_before": step.before,
        "messages": [{"role": each.role, "how": each.how, "message": each.message} for each in step.messages],
        "inputs": None if step.what == READS else step.event.get("inputs"),
        "outputs": (step.end or step.event).get("outputs"),
        "error": (step.end or step.event).get("error"),
    }
