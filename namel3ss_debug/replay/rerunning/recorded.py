"""What a recording holds of answers: every boundary in order, with what was answered read from the trace when it is asked for.

One pass over the events leaves a small record of each boundary; bodies and values stay in the file. What cannot be
given again, or not as it was, is told as findings, with the setting that would have kept it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.replay.rerunning.boundaries import (
    CONNECT,
    HTTP,
    LIST_TOOLS,
    MCP,
    MODEL,
    TOOL,
    VALUED,
    Question,
    Strand,
    question_of,
)
from namel3ss_debug.replay.rerunning.codes import ToolCode, ToolCodes
from namel3ss_debug.replay.rerunning.recorded_answers import (
    INTERRUPT,
    HttpAnswer,
    exchange_of,
    flaws_of_chunk,
    flaws_of_end,
    http_answer,
)
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.values import SETTINGS, Flaw, find_flaws

if TYPE_CHECKING:
    from namel3ss_debug.replay.recording.history import Recording

AGENT: Final = "agent"
"""The component of agents and of what they say to each other."""

START: Final = -3
HEAD: Final = -2
END: Final = -1
"""The parts of a delivery that are no chunk; chunks are counted from 0."""

_LONGEST_PATH: Final = 70


class Step(NamedTuple):
    """One step of an answer's delivery: `part` is `START`, `HEAD`, the number of a chunk, or `END`."""

    boundary: int
    part: int


class Finding(NamedTuple):
    """Something in a recording that cannot be given again, or not as it was.

    Attributes:
        kind: `cut redacted token opaque damaged` of one answer; `open`: a call that never ended; `level filtered
            rotated lost inputs unseen spans chains` of the recording as a whole.
        number: the number of the boundary; 0 for the recording as a whole.
        what: the name of what is meant, such as a path into the answer or a count of events.
        setting: the setting that would have kept it; "" where there is none.
    """

    kind: str
    number: int
    what: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Boundary:
    """A recorded call at a boundary.

    Attributes:
        number: the number of its start event.
        question: what was asked.
        end: the number of its end event; 0 where the call never ended.
        inside: the number of the tool call it happened inside; 0 for none.
        chunks: the numbers of the events that hold the chunks of a stream, in order.
        asked: what tells its question from others; "" where that was not wanted, or cannot be told.
    """

    number: int
    question: Question
    end: int = 0
    inside: int = 0
    chunks: array[int] = field(default_factory=lambda: array("Q"), compare=False)
    asked: str = field(default="", compare=False)


class Recorded:
    """The answers of a recording.

    Attributes:
        boundaries: number -> boundary, in the order of the recording.
        findings: what cannot be given again.
        servers: the key of the question that connects to an MCP server -> the names of its tools.
        steps: the steps of all deliveries in the order in which they happened.
        codes: the name of a tool -> the code behind it; {} in a trace made by an earlier version.
    """

    def __init__(
        self,
        recording: Recording,
        boundaries: Mapping[int, Boundary],
        findings: tuple[Finding, ...] = (),
        steps: tuple[Step, ...] = (),
        servers: Mapping[str, set[str]] | None = None,
        lost: Mapping[int, int] | None = None,
        codes: Mapping[str, list[ToolCode]] | None = None,
    ) -> None:
        self.codes = codes or {}
        self._recording = recording
        self.boundaries = boundaries
        self.findings = findings
        self.servers = servers or {}
        self.steps = steps
        self._lost = lost or {}
        self._last: tuple[int, Event] = (0, {})  # one answer is looked at several times in a row
        self._within: dict[int, list[int]] = {}
        self._findings: dict[int, list[Finding]] = {}
        for finding in findings:
            self._findings.setdefault(finding.number, []).append(finding)
        for number, boundary in boundaries.items():
            if boundary.inside:
                self._within.setdefault(boundary.inside, []).append(number)

    def within(self, number: int) -> Iterator[int]:
        """The boundaries inside a tool call, also those inside tool calls in it."""
        pending = [number]
        while pending:
            inner = self._within.get(pending.pop(), [])
            yield from inner
            pending += inner

    def findings_of(self, number: int) -> tuple[Finding, ...]:
        """What cannot be given again of one boundary."""
        return tuple(self._findings.get(number, ()))

    def longest_silence(self) -> float:
        """For how many seconds no event came, at most; that something was read from outside is none."""
        times = [
            event.get("timestamp")
            for event in self._recording.events()
            if event.get("event_type") != INPUTS_READ
        ]
        known = [time for time in times if isinstance(time, int | float)]
        return max((later - time for time, later in pairwise(known)), default=0.0)

    def http_answer(self, number: int) -> HttpAnswer:
        """The response to a request."""
        pieces = tuple(event.get("outputs") for event in self.chunks(number))
        return http_answer(self.end(number), pieces)

    @cached_property
    def crowded(self) -> frozenset[Strand]:
        """The strands in which calls are made at once, as by tasks of Trio, which are not told apart: one began while another waited.

        What is inside of a tool is not beside it, and of a stream the program may have asked for the rest later.
        """
        found: set[Strand] = set()
        waiting: dict[Strand, set[int]] = {}
        for number, part in self.steps:
            boundary = self.boundaries[number]
            beside = waiting.setdefault(boundary.question.strand, set())
            if part == END:
                beside.discard(number)
            elif part == START and boundary.question.kind != MCP and boundary.end and not boundary.chunks:
                if beside.difference(self._around(boundary)):
                    found.add(boundary.question.strand)
                beside.add(number)
        return frozenset(found)

    def _around(self, boundary: Boundary) -> Iterator[int]:
        """The tool calls that a boundary is inside of."""
        while boundary.inside:
            yield boundary.inside
            boundary = self.boundaries[boundary.inside]

    def start(self, number: int) -> Event:
        """The start event of a boundary."""
        return self._recording.event(number)

    def end(self, number: int) -> Event:
        """The end event of a boundary, not to be changed; {} where it never ended."""
        end = self.boundaries[number].end
        if end and self._last[0] != end:
            self._last = end, self._recording.event(end)
        return self._last[1] if end else {}

    def lost_by(self, number: int) -> Event | None:
        """What tells of the failure of its connection, for which a boundary was given up; None where that was not so."""
        return self._recording.event(self._lost[number]) if number in self._lost else None

    def chunks(self, number: int) -> Iterator[Event]:
        """The events that hold the chunks of a stream, in order; read in one go where they lie close together."""
        chunks = self.boundaries[number].chunks
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
    recording: Recording,
    events: Iterable[Event] | None = None,
    asked: Callable[[Event], str] = lambda _event: "",
) -> Recorded:
    """Read what a recording holds of answers, in one pass.

    Args:
        recording: the recording.
        events: all its events, where whoever calls reads them for something else as well.
        asked: what tells one question from another, of the start event of its call.
    """
    reader = _Reader(asked)
    for number, event in enumerate(recording.events() if events is None else events, 1):
        reader.feed(number, event)
    if reader.boundaries:
        recording.count()  # the places of the events are found now, not at the first answer
    findings = tuple(reader.all_findings(recording))
    return Recorded(
        recording,
        reader.boundaries,
        findings,
        reader.steps(),
        reader.servers,
        reader.lost,
        reader.codes.by_name,
    )


class _Reader:
    """The pass over the events."""

    def __init__(self, asked: Callable[[Event], str]) -> None:
        self._asked = asked
        self.boundaries: dict[int, Boundary] = {}
        self.findings: list[Finding] = []
        self._ids: dict[str, int] = {}  # open boundary, by the id of its start
        self._tools: dict[str, int] = {}  # open span -> the tool call it is inside or is
        self._steps: list[tuple[float, Step]] = []
        self._seqs: dict[int, tuple[array[int], array[int]]] = {}  # process -> seq and number of its steps
        self._settings: dict[str, Any] = {}
        self._shared: dict[Any, Any] = {}
        self._connections: dict[str, str] = {}  # id of the start of a connection -> the key of its question
        self._listing: dict[int, str] = {}  # number of a question for the tools of a server -> that key
        self.servers: dict[str, set[str]] = {}
        self._speaking: dict[int, str] = {}  # open boundary -> the id of its connection to an MCP server
        self._given_up: dict[str, list[int]] = {}  # that id -> what was given up there
        self.lost: dict[int, int] = {}  # what was given up -> what tells by which failure of its connection
        self._cancelled: list[int] = []  # boundaries that were cancelled since the latest question
        self._cut = 0
        self.codes = ToolCodes()
        # tools that the program ran by functions that nobody knew for theirs
        self._unseen: dict[str, None] = {}
        # those that spans of a framework tell of, by the numbers of calls
        self._of_spans: dict[int, str] = {}
        self._within: dict[str, int] = {}  # open span -> the call among these that it is inside or is

    def feed(self, number: int, event: Event) -> None:
        event_type = event["event_type"]
        if event_type[-6:] == "_start":
            self.codes.add(event)
            self._begin(number, event)
        elif ends_span(event_type):
            self._close(number, event)
        elif event_type == "error_occurred":
            self._failed(number, event)
        elif event_type == "agent_message":
            self._look_for_spans(number, event, "")
        elif event_type == "stream_chunk":
            boundary = self.boundaries.get(self._ids.get(event.get("parent_event_id", ""), 0))
            if boundary is not None:
                arrived = lenient.mapping(event.get("metadata")).get("arrived_seq")
                self._step(number, event, Step(boundary.number, len(boundary.chunks)), arrived)
                boundary.chunks.append(number)
                self._note(boundary.number, flaws_of_chunk(event.get("outputs")))

    def _failed(self, number: int, event: Event) -> None:
        """A connection to a server has failed; or Ctrl-C has ended the program.

        What Ctrl-C cancelled has never ended, for nobody would cancel it again.
        """
        if event.get("component") == MCP:
            self.lost |= dict.fromkeys(self._given_up.pop(_connection(event), ()), number)
        elif event.get("component") == "app" and event.get("error_type") == INTERRUPT:
            for cancelled in self._cancelled:
                self.boundaries[cancelled] = replace(self.boundaries[cancelled], end=0)

    def _begin(self, number: int, event: Event) -> None:
        event_id = str(event.get("event_id", ""))
        inside = self._tools.get(event.get("parent_event_id", ""), 0)
        question = question_of(number, event, keep_event=False)
        self._tools[event_id] = number if question is not None and question.kind in VALUED else inside
        self._look_for_spans(number, event, event_id)
        if event["event_type"] == "trace_start":
            self._settings = self._settings or lenient.mapping(
                lenient.mapping(event.get("metadata")).get("settings")
            )
        if self._settings.get("max_payload_size") and event.get("component") in (MODEL, HTTP, TOOL, MCP):
            asked = find_flaws([event.get("inputs"), event.get("metadata")])
            self._cut += any(flaw.kind == "cut" for flaw in asked)
        if question is None:
            if event["event_type"] == "tool_call_start" and _is_unseen(
                lenient.mapping(event.get("metadata"))
            ):
                self._unseen[str(event.get("component_name", ""))] = None
            return
        try:
            told = self._asked(event)
        except TypeError:
            told = ""
        self.boundaries[number] = Boundary(number, self._sharing(question), 0, inside, asked=told)
        self._ids[event_id] = number
        if question.kind == MCP and question.name == CONNECT:
            self._connections[event_id] = question.keys[0]
        elif question.kind in VALUED:
            self._speaks(number, event, question)
        self._step(number, event, Step(number, START))
        self._cancelled.clear()

    def _look_for_spans(self, number: int, event: Event, event_id: str) -> None:
        """A call that only a span tells of is one of a tool, unless an agent is at work in it or hands over: that is asked itself."""
        within = self._within.get(event.get("parent_event_id", ""), 0)
        metadata = lenient.mapping(event.get("metadata"))
        if event["event_type"] == "tool_call_start" and metadata.get("seen") is False and "scope" in metadata:
            within = number
            self._of_spans[number] = str(event.get("component_name", ""))
        elif event.get("component") == AGENT:
            self._of_spans.pop(within, None)
        if within and event_id:
            self._within[event_id] = within

    def _speaks(self, number: int, event: Event, question: Question) -> None:
        """A question goes to an MCP server, if it does: one to a tool tells that the server has it."""
        connection = _connection(event)
        if connection:
            self._speaking[number] = connection
        key = self._connections.get(connection)
        if key is not None and question.kind == TOOL:
            self.servers.setdefault(key, set()).add(question.name)
        elif key is not None and question.name == LIST_TOOLS:
            self._listing[number] = key

    def _answers(self, begun_id: str, begun: int, end: Event) -> None:
        """A question to an MCP server is answered; the processes of a server come when its connection is there already."""
        if self.boundaries[begun].question.name == CONNECT:
            self._tools[begun_id] = begun
        key = self._listing.pop(begun, None)
        if key is not None:
            result = lenient.mapping(lenient.mapping(end.get("outputs")).get("result"))
            listed = lenient.mappings(result.get("tools"))
            self.servers.setdefault(key, set()).update(str(tool.get("name")) for tool in listed)

    def _sharing(self, question: Question) -> Question:
        """The question with its parts that many questions have in common held once."""
        share = self._shared.setdefault
        chain, strand = (
            share(question.chain, question.chain),
            share(("strand", question.strand), question.strand),
        )
        kins = tuple(share(("kin", kin), kin) for kin in question.kins)
        parts = (question.kind, question.name, question.keys, kins, chain, strand, question.call_site)
        return Question(*parts, question.call_id, question.streamed, question.number)

    def _close(self, number: int, event: Event) -> None:
        event_id = event.get("parent_event_id", "")
        self._tools.pop(event_id, None)
        self._within.pop(event_id, None)
        begun = self._ids.pop(event_id, 0)
        if not begun:
            return
        old = self.boundaries[begun]
        if old.question.kind == MCP:
            self._answers(event_id, begun, event)
        connection = self._speaking.pop(begun, "")
        if connection and event.get("status") == "cancelled":
            self._given_up.setdefault(connection, []).append(begun)
        boundary = Boundary(begun, old.question, number, old.inside, old.chunks, old.asked)
        self.boundaries[begun] = boundary
        if event.get("status") == "cancelled" and event.get("error_type") != INTERRUPT:
            self._cancelled.append(begun)
        head = exchange_of(event).get("head_seq")
        if isinstance(head, int):
            self._steps.append((self._place(old.question.strand.process, head), Step(begun, HEAD)))
        elif boundary.question.kind not in VALUED:
            self._steps.append((begun + 0.25, Step(begun, HEAD)))
        self._step(number, event, Step(begun, END))
        self._note(begun, flaws_of_end(boundary.question.kind, event, streamed=bool(boundary.chunks)))

    def _step(self, number: int, event: Event, step: Step, arrived: Any = None) -> None:
        """Note a step of an answer; one that had to wait was made before the event with the number `arrived`."""
        process = self.boundaries[step.boundary].question.strand.process
        if process not in self._seqs:
            self._seqs[process] = array("Q"), array("Q")
        seqs, numbers = self._seqs[process]
        seq = event.get("seq")
        if isinstance(seq, int) and (not seqs or seq > seqs[-1]):
            seqs.append(seq)
            numbers.append(number)
        self._steps.append((self._place(process, arrived) if isinstance(arrived, int) else number, step))

    def _place(self, process: int, seq: int) -> float:
        """The place of something that came right before the event with this number in its process."""
        seqs, numbers = self._seqs[process]
        found = bisect_left(seqs, seq)
        return numbers[found] - 0.5 if found < len(numbers) else numbers[-1] + 0.25

    def _note(self, number: int, flaws: tuple[Flaw, ...]) -> None:
        """Tell of an answer what cannot be given again, each kind once."""
        for flaw in flaws:
            known = any(
                finding.number == number and finding.kind == flaw.kind for finding in self.findings[-4:]
            )
            if not known:
                path = flaw.path if len(flaw.path) <= _LONGEST_PATH else f"{flaw.path[:40]}…{flaw.path[-20:]}"
                what = f"{path}: {flaw.what}"
                self.findings.append(Finding(flaw.kind, number, what, self._keeping(flaw)))

    def _keeping(self, flaw: Flaw) -> str:
        """The setting that would have kept a value; "" where there is none, or where it was in force and has not sufficed."""
        setting = SETTINGS.get(flaw.kind, "")
        return "" if self._settings.get(setting) in (0, False) else setting

    def steps(self) -> tuple[Step, ...]:
        """The steps of all deliveries in their order."""
        return tuple(step for _, step in sorted(self._steps))

    def all_findings(self, recording: Recording) -> Iterator[Finding]:
        """What cannot be given again: first of the recording as a whole, then of each answer, in order."""
        yield from self._of_the_whole(recording)
        opened = [
            Finding("open", number, boundary.question.name)
            for number, boundary in self.boundaries.items()
            if not boundary.end
        ]
        yield from sorted([*self.findings, *opened], key=lambda finding: finding.number)

    def _of_the_whole(self, recording: Recording) -> Iterator[Finding]:
        if self._settings.get("level") == "basic":
            yield Finding("level", 0, "basic", "level")
        components = self._settings.get("default_components")
        if isinstance(components, list) and components:
            missing = [name for name in ("llm", "http", "tool") if name not in components]
            if missing:
                yield Finding("filtered", 0, " ".join(missing), "default_components")
        rotated, lost = getattr(recording, "rotated_away", 0), getattr(recording, "lost", 0)
        if rotated:
            yield Finding("rotated", 0, str(rotated), "rotate_keep")
        if lost > rotated:
            yield Finding("lost", 0, str(lost - rotated))
        if self._cut:
            yield Finding("inputs", 0, str(self._cut), "max_payload_size")
        if self._unseen:
            yield Finding("unseen", 0, ", ".join(self._unseen))
        if self._of_spans:
            yield Finding("spans", 0, ", ".join(dict.fromkeys(self._of_spans.values())))
        without = sum(not boundary.question.kins for boundary in self.boundaries.values())
        if without:
            yield Finding("chains", 0, str(without))


def _is_unseen(metadata: Mapping[str, Any]) -> bool:
    """Whether of a call of a tool the result alone was seen, which the program sent to the model; no framework told of it."""
    return metadata.get("seen") is False and "framework" not in metadata


def _connection(event: Event) -> str:
    """The id of the event with which the connection to an MCP server began that an event is about; "" for none."""
    told = lenient.mapping(lenient.mapping(event.get("metadata")).get("mcp"))
    return lenient.string(told.get("connection")) or ""
