"""One run of a program on the answers of a recording: each of its calls is answered, or the run cannot go on.

A pass asks the matcher for each call, keeps the order in which answers are delivered, and knows what became of it all.
It knows no process and no socket: whoever runs the program tells it every event and hands its words on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.errors import DebugError
from namel3ss_debug.replay.rerunning.boundaries import (
    CONNECT,
    HTTP,
    LIST_TOOLS,
    MCP,
    TOOL,
    VALUED,
    Question,
    asked_again,
    question_of,
)
from namel3ss_debug.replay.rerunning.codes import CHANGED, UNKNOWN, StaleTool, ToolCodes
from namel3ss_debug.replay.rerunning.deliveries import recorded_word
from namel3ss_debug.replay.rerunning.divergences import (
    MISSING,
    NEW,
    RESULT,
    Difference,
    Divergence,
    Match,
    in_order,
)
from namel3ss_debug.replay.rerunning.foretelling import Foretelling
from namel3ss_debug.replay.rerunning.impasses import CannotGoOnError, Stop
from namel3ss_debug.replay.rerunning.matching import Matcher
from namel3ss_debug.replay.rerunning.ordering import Order
from namel3ss_debug.replay.rerunning.own_servers import Listens, answers_itself, response_changes, told_apart
from namel3ss_debug.replay.rerunning.plans import ALL, ANSWER, Plan
from namel3ss_debug.replay.rerunning.recorded import END, HEAD, Boundary, Step
from namel3ss_debug.replay.rerunning.recorded_answers import BEARER, outputs_of
from namel3ss_debug.replay.rerunning.verdicts import Answer, New, Restart
from namel3ss_debug.replay.words import Ahead, given_word
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.value_changes import PathChange, diff_values

if TYPE_CHECKING:  # imported where somebody gives answers
    from namel3ss_debug.replay.given.answers import Mocks

_PARTS: Final = {"head": HEAD, "end": END}


@dataclass
class Seen:
    """What a pass has seen of its run.

    Attributes:
        first: the metadata of the first process' `trace_start`.
        last: that of its `trace_end`; None as long as there is none.
        refused: the events that tell of a refused way to the network.
        new_inputs: what was read that the recording has not: source and call site, and how often.
        real: the numbers of the questions that were asked for real.
        live_since: the number of the first of them behind which the recording counts no more; 0 for none.
    """

    first: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] | None = None
    refused: list[Event] = field(default_factory=list)
    new_inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    real: set[int] = field(default_factory=set)
    live_since: int = 0


class Pass:
    """Answers the calls of one run.

    Args:
        plan: by what it runs.
        mocks: what the user gives; None for nothing.
        reserved: numbers of recorded boundaries that are only given to their own questions.
        on_guess: called before an answer is given by a guess, which may turn out to be wrong.
        on_event: told every event and its number.

    Attributes:
        mocks: what the user gives; None for nothing.
        matcher: what became of the questions.
        order: in which order answers were delivered.
        seen: what else was seen.
        restart: the first guess that was wrong: the pass does not count.
        foretells: whether answers are told before they are asked for.
        misled: whether one that was foretold was taken where another one belongs: the pass does not count either.
        listens: tells whether the program waits for connections on a port; None where it has no server.
    """

    def __init__(
        self,
        plan: Plan,
        mocks: Mocks | None,
        reserved: frozenset[int] = frozenset(),
        on_guess: Callable[[], None] = lambda: None,
        on_event: Callable[[int, Event], None] = lambda _number, _event: None,
    ) -> None:
        self.plan = plan
        self.seen = Seen()
        self.restart: Restart | None = None
        self.misled = False
        self.listens: Listens | None = None
        recorded = plan.recorded
        strands = {
            number: boundary.question.strand
            for number, boundary in recorded.boundaries.items()
            if boundary.question.strand not in recorded.crowded
        }
        self.matcher = Matcher(recorded, mocks, reserved, self._runs)
        self.order = Order(recorded.steps, strands)
        self._ordered = plan.ordered
        self.mocks, self._on_guess, self._on_event = mocks, on_guess, on_event
        self.foretells = mocks is None and plan.answers_calls_only
        self._foretelling: Foretelling | None = None
        self._servers: set[str] = set()  # ids of connections to MCP servers that are there for real
        self._delivered: dict[str, int] = {}  # id of the start event -> recorded boundary
        self._inside: set[str] = set()  # ids of open spans in tools that are run for real
        self._run: dict[str, tuple[Question, Boundary | None]] = {}
        self._valued: dict[str, tuple[Question, Boundary]] = {}  # calls of tools that the recording answers
        self._run_for: set[int] = set()  # recorded boundaries of these tools
        self._told_apart = told_apart(recorded)
        self._calls: Counter[str] = Counter()
        self._results: list[Divergence] = []
        self._given_up: dict[str, Stop] = {}  # calls without an end, by the ids of their start events
        self._held_up: dict[int, Answer | New] = {}  # what could not be answered yet
        self._told_of: set[int] = set()  # questions at which `strict` has ended the run; a debugger may go on
        self._codes = ToolCodes()
        # the calls of tools that were answered from the trace, by the name of the tool
        self._answered: dict[str, list[int]] = {}
        self._of_servers: set[str] = set()  # those of these tools that an MCP server has
        self._live: set[int] = set()  # processes that know that the recording counts no more

    # --- what the run tells

    def heard(self, number: int, event: Event) -> None:
        """An event has come, as the one with this number."""
        self._on_event(number, event)
        event_type, metadata = event["event_type"], lenient.mapping(event.get("metadata"))
        if event_type[-6:] == "_start":
            self._codes.add(event)
            if event_type == "trace_start":
                self.seen.first = self.seen.first or metadata
            self._calls[str(event.get("component"))] += 1
            self._calls[f"tool:{event.get('component_name')}"] += 1
            if event.get("parent_event_id") in self._inside:
                self._inside.add(event["event_id"])
        elif event_type == "trace_end":
            if "." not in str(event.get("event_id")):
                self.seen.last = metadata
        elif event_type[-4:] == "_end":
            self._ended(event)
        elif event_type == "divergence":
            self.seen.refused.append(event)
        elif event_type == "inputs_read":
            for source, sites in lenient.mapping(metadata.get("new")).items():
                for site, times in lenient.mapping(sites).items():
                    self.seen.new_inputs[source, site] += lenient.count(times) or 0

    def _ended(self, event: Event) -> None:
        begun = event.get("parent_event_id", "")
        self._given_up.pop(begun, None)
        if begun in self._delivered:  # also where the program did not read its answer to the end
            self.order.leave_out([self._delivered.pop(begun)])
        if begun not in self._servers:
            self._inside.discard(begun)
        valued = self._valued.pop(begun, None)
        what = lenient.string(lenient.mapping(event.get("metadata")).get("not_made"))
        if valued is not None and what is not None:
            said = PathChange("$.result", "changed", what, "cannot be made here")
            self._results.append(Divergence(RESULT, valued[0].number, *valued, Difference(paths=(said,))))
        if begun in self._run:
            question, found = self._run.pop(begun)
            now = outputs_of(event)
            self.matcher.replaced(question, found, now)
            if found is not None:
                self.order.leave_out([found.number])
                changes_of = response_changes if question.kind == HTTP else diff_values
                changes = changes_of(outputs_of(self.plan.recorded.end(found.number)), now)
                if changes:
                    difference = Difference(paths=changes)
                    self._results.append(Divergence(RESULT, question.number, question, found, difference))

    # --- what it is told

    def word(self, number: int, event: Event) -> dict[str, Any]:
        """What a process is told that waits at an event.

        Raises:
            CannotGoOnError: there is no answer to the call that begins with it.
            MockError: the user's answer does not fit the call.
        """
        if (
            event["event_type"] == "trace_start"
        ):  # a process of a tool that is run for real may reach the network too
            return self._left(event) | ({"run": True} if event.get("parent_event_id") in self._inside else {})
        question = question_of(number, event)
        if question is None:
            return self._left(event) | given_word(self.mocks, number, event)
        word = self._of_question(question, event)
        return self._left(event) | word

    def foretell(self) -> Ahead | None:
        """The word for what the run asks next, if it asks what was recorded; None where that is not known."""
        if not self.foretells:
            return None
        plan = self.plan
        if self._foretelling is None:
            self._foretelling = Foretelling(
                plan.recorded, self.matcher, strict=plan.strict, realtime=plan.realtime
            )
        return self._foretelling.next()

    def put_back(self, ahead: Ahead) -> None:
        """What was foretold last is not told, but comes again."""
        if self._foretelling is not None:
            self._foretelling.put_back(ahead)

    def taken(self, number: int, event: Event, ahead: int) -> None:
        """A call of the run has taken what was foretold; it is what the matcher would have given, or the pass does not count."""
        if self._foretelling is not None:
            self._foretelling.taken(ahead)
        recorded = self.plan.recorded.boundaries[ahead]
        answer = self.matcher.answer(asked_again(recorded.question, number, event))
        if not isinstance(answer, Answer) or answer.recorded is not recorded:
            self.misled = True
            return
        self._follow(answer, event)

    def void(self) -> None:
        """What was foretold and is not taken yet will not be taken."""
        if self._foretelling is not None:
            self._foretelling.void()

    def may(self, asked: dict[str, Any]) -> bool:
        """Whether a step of an answer's delivery may go now."""
        number = self._delivered.get(str(asked.get("at")))
        if number is None:
            return True
        part = _PARTS.get(str(asked.get("step")), lenient.count(asked.get("index")) or 0)
        return self.order.take(Step(number, part), float(asked.get("waited") or 0.0))

    def longest_silence(self) -> float:
        """For how many seconds nothing happened in the recording, at most."""
        return self.plan.recorded.longest_silence()

    def never_answered(self) -> CannotGoOnError | None:
        """Why nothing comes any more: a call waits that was never answered, and all that was recorded has been asked."""
        stop = next(iter(self._given_up.values()), None)
        return None if stop is None or not self.matcher.is_exhausted else CannotGoOnError(stop)

    def matches(self) -> list[Match]:
        """What became of each question, in the order in which they were asked."""
        held_up, real = self._held_up, self.seen.real
        return [
            match._replace(unanswered=match.number in held_up, real=match.number in real)
            for match in self.matcher.matches
        ]

    def is_stuck(self) -> bool:
        """Whether a call waits whose recorded answer cannot be given; `strict` alone is no such reason."""
        return any(
            isinstance(held, Answer) and held.recorded is not None and number not in self._told_of
            for number, held in self._held_up.items()
        )

    def stale_tools(self) -> tuple[StaleTool, ...]:
        """Return the tools that were answered from the trace although their code has changed."""
        found = []
        for name, numbers in self._answered.items():
            comparison = self.plan.code.compare(name, self._codes.by_name.get(name, ()))
            if comparison.state == CHANGED:
                kept = self.plan.declared(name) == ANSWER
                found.append(StaleTool(name, comparison.reasons, tuple(numbers), kept))
        return tuple(found)

    def not_verified(self, *, wholly: bool = False) -> dict[str, tuple[str, ...]]:
        """Return, of the tools that were answered from the trace, why their code is not verified, or what of it.

        Args:
            wholly: whether to leave out tools of whose code only a part is not verified.
        """
        found: dict[str, tuple[str, ...]] = {}
        for name in self._answered:
            comparison = self.plan.code.compare(name, self._codes.by_name.get(name, ()))
            if name in self._of_servers:
                found[name] = ("it runs in an MCP server",)
            elif comparison.state == UNKNOWN:
                found[name] = comparison.reasons
            elif comparison.state != CHANGED and comparison.not_verified and not wholly:
                found[name] = comparison.not_verified
        return found

    def divergences(self, *, ended: bool) -> tuple[Divergence, ...]:
        """Where the code and the recording have parted; what was asked for real is none.

        Args:
            ended: whether the program has ended by itself.
        """
        parted = filter(self._counts, self.matcher.divergences(ended=ended))
        return in_order([*parted, *self._results])

    def _counts(self, found: Divergence) -> bool:
        if found.kind == NEW:
            return found.number not in self.seen.real
        if found.kind != MISSING or found.recorded is None:
            return True
        number, kind = found.recorded.number, found.recorded.question.kind
        if kind == MCP and found.recorded.question.name == LIST_TOOLS:  # asked by the package as it sees need
            return False
        if self.seen.live_since and number >= self.plan.live_from:
            return False
        within = (inner for begun in self._run_for for inner in self.plan.recorded.within(begun))
        return kind != HTTP or number not in within

    # --- answering

    def _left(self, event: Event) -> dict[str, Any]:
        """The word that leaves the recording behind, once for each process."""
        if not self.seen.live_since:
            return {}
        head, dot, _ = str(event.get("event_id")).partition(".")
        process = int(head[1:]) if dot and head[1:].isdigit() else 0
        if process in self._live:
            return {}
        self._live.add(process)
        return {"live": True}

    def _of_question(self, question: Question, event: Event) -> dict[str, Any]:
        held_up = self._held_up.pop(question.number, None)
        if held_up is not None:
            return self._of_held_up(held_up, event)
        if self._is_real(question, event):
            self.seen.real.add(question.number)
            return {"run": True} | given_word(self.mocks, question.number, event)
        result = self.matcher.answer(question, guesses=self._may_guess(question))
        if isinstance(result, Restart):
            self.restart = self.restart or result
            result = result.answer
        if answers_itself(result, self.plan.recorded, self.listens):
            return self._of_own_server(result, event)
        return self._without(result) if isinstance(result, New) else self._of_answer(result, event)

    def _of_own_server(self, result: Answer | New, event: Event) -> dict[str, Any]:
        """The word for a request to a server of the program: it is made, and no part of it waits for its turn."""
        question, found = result.question, result.recorded if isinstance(result, Answer) else None
        self.seen.real.add(question.number)
        if found is not None:
            self.order.began(found.number)
            self.order.leave_out([found.number])
            # of mocks and faults, what is given may be in any response
            if self.mocks is None and found.number in self._told_apart:
                self._run[event["event_id"]] = (question, found)
            if self._foretelling is not None:
                self._foretelling.void(found.number)
        return given_word(self.mocks, question.number, event)

    def _of_held_up(self, held_up: Answer | New, event: Event) -> dict[str, Any]:
        """The word for what could not be answered before, with what the user gives by now."""
        before = held_up if isinstance(held_up, Answer) else Answer(held_up.question, NEW)
        answer = self.matcher.given_now(before)
        try:
            if answer.recorded is None and not (answer.runs or answer.replaced):
                word = self._without(held_up)
            else:
                word = self._of_answer(answer, event)
        except DebugError:
            self._held_up[answer.question.number] = held_up
            raise
        self.matcher.answered_later(answer)
        return word

    def _runs(self, question: Question) -> bool:
        """Whether a tool is run for real, or a server of one is there; then what else it is asked is asked of it."""
        if question.kind == TOOL:
            return self.plan.runs(question) or self._runs_as_changed(question.name)
        if question.name == CONNECT:
            tools = set().union(*(self.plan.recorded.servers.get(key, set()) for key in question.keys))
            return ALL in self.plan.run_tools or not self.plan.run_tools.isdisjoint(tools)
        metadata = lenient.mapping((question.event or {}).get("metadata"))
        return lenient.mapping(metadata.get("mcp")).get("connection") in self._servers

    def _runs_as_changed(self, name: str) -> bool:
        """Return whether a tool is run because its code has changed."""
        if not self.plan.runs_when_changed(name):
            return False
        return self.plan.code.compare(name, self._codes.by_name.get(name, ())).state == CHANGED

    def _is_real(self, question: Question, event: Event) -> bool:
        """Whether a request goes to the network: in a tool that is run for real, or behind the event from which on it is open."""
        if question.kind in VALUED or self.matcher.given_now(Answer(question, NEW)).replaced:
            return False
        found, same = self.matcher.likely(question)
        if event.get("parent_event_id") in self._inside:
            return question.kind == HTTP or found is None
        plan = self.plan
        if not plan.live_from:
            return False
        if found is not None and found.number < plan.live_from and (same or not self.seen.live_since):
            return False
        if found is None and not self.seen.live_since and self._comes_before(question):
            return False
        if plan.offline:
            there, call = self.matcher.expected_next(question), self._call(question)
            raise CannotGoOnError(Stop("new", question, there, call=call, offline=True))
        self.seen.live_since = self.seen.live_since or question.number
        return True

    def _comes_before(self, question: Question) -> bool:
        """Whether the recording still holds something of this line of work before the event from which on it does not count."""
        there = self.matcher.expected_next(question)
        return there is not None and there.number < self.plan.live_from

    def _may_guess(self, question: Question) -> bool:
        """Whether an answer may be given to a question that is not the recorded one: behind the event of a fork it may not."""
        if self.seen.live_since:
            return False
        if not self.plan.live_from:
            return True
        found, _ = self.matcher.likely(question)
        return found is None or found.number < self.plan.live_from

    def _without(self, new: Answer | New) -> dict[str, Any]:
        question, divergence = new.question, new.divergence
        self._held_up[question.number] = new
        there = self.matcher.expected_next(question) if divergence is None else divergence.recorded
        reserved = len(new.held_back) if isinstance(new, New) else 0
        raise CannotGoOnError(
            Stop("new", question, there, divergence, call=self._call(question), reserved=reserved)
        )

    def _call(self, question: Question) -> str:
        """How a mock names a call that has just begun."""
        kind, name = question.kind, question.name
        if kind != TOOL:
            return f"{kind}@{self._calls[kind]}"
        return f"{name}@{self._calls[f'tool:{name}']}" if name.isidentifier() else f'"{name}"'

    def _of_answer(self, answer: Answer, event: Event) -> dict[str, Any]:
        question, found = answer.question, answer.recorded
        try:
            word = self._told(answer, event)
        except DebugError:
            self._held_up[question.number] = answer
            raise
        self._follow(answer, event)
        if found is not None:
            self.order.began(found.number)
            if self._foretelling is not None:
                self._foretelling.void(found.number)
            if answer.runs:
                self._run_for.add(found.number)
                self.order.leave_out([found.number])
            else:
                self._deliver(found, word, event["event_id"], left_out=answer.given)
            if "given_up" in word.get("http", word):
                self._given_up[event["event_id"]] = Stop("open", question, found)
        if answer.runs:
            self._inside.add(event["event_id"])
            if question.kind == MCP and question.name == CONNECT:
                self._servers.add(event["event_id"])
            self._run[event["event_id"]] = (question, found)
            self.seen.real.add(question.number)
        return word

    def _follow(self, answer: Answer, event: Event) -> None:
        """A call of a tool is answered; its end tells whether the program has what the answer is made of."""
        question, found = answer.question, answer.recorded
        if question.kind in VALUED and found is not None:
            self._valued[event["event_id"]] = (question, found)
            if question.kind == TOOL and not (answer.runs or answer.replaced):
                self._answered.setdefault(question.name, []).append(question.number)
                if "mcp" in lenient.mapping(event.get("metadata")):
                    self._of_servers.add(question.name)

    def _deliver(self, found: Boundary, word: dict[str, Any], event_id: str, *, left_out: bool) -> None:
        """Let the parts of an answer come in their turn, where several lines of work could come in another."""
        self.order.leave_out(self.plan.recorded.within(found.number))
        told = word.get("http", word)
        if left_out or ("given_up" in told and "raised" not in told):
            self.order.leave_out([found.number])
        elif self._ordered:
            self._delivered[event_id] = found.number
            word["ordered"] = True

    def _told(self, answer: Answer, event: Event) -> dict[str, Any]:
        """The word for an answer; that it is a guess is announced first.

        Raises:
            CannotGoOnError: it cannot be given, or is not to be because of `strict`.
            MockError: the user's answer does not fit the call.
        """
        question, found, plan = answer.question, answer.recorded, self.plan
        parted = answer.divergence is not None or answer.overtook is not None
        if plan.strict and parted and not answer.given and question.number not in self._told_of:
            self._told_of.add(question.number)
            raise CannotGoOnError(Stop("strict", question, answer.overtook or found, answer.divergence))
        if answer.how != "exact" and found is not None:
            self._on_guess()
        if answer.runs:
            return {"run": True} | given_word(self.mocks, question.number, event)
        recorded = {} if found is None else outputs_of(plan.recorded.end(found.number))
        given = given_word(self.mocks, question.number, event, recorded) if answer.given else {}
        if "answer" in given or answer.fails or found is None:
            return given
        findings = tuple(
            finding
            for finding in plan.recorded.findings_of(found.number)
            if finding.kind != BEARER or not plan.asks_nobody
        )
        if findings and not self._is_open(found, question):
            call = self._call(question)
            raise CannotGoOnError(Stop("unusable", question, found, answer.divergence, findings, call))
        return recorded_word(plan.recorded, found, question, realtime=plan.realtime) | given

    def _is_open(self, found: Boundary, question: Question) -> bool:
        """Whether a call never ended, so that nothing comes; not where the recording has lost its end.

        Raises:
            CannotGoOnError: the recording ends inside of it.
        """
        boundaries = self.plan.recorded.boundaries
        if found.end or any(
            number > found.number and later.question.strand == found.question.strand
            for number, later in boundaries.items()
            if later.inside != found.number
        ):
            return False
        if found.number == max(boundaries):
            raise CannotGoOnError(Stop("open", question, found))
        return True
