"""Answer the calls of one run of the program.

An attempt asks the matcher about each call, keeps the recorded delivery order, and records the divergences. It knows no
process and no socket: the caller, which runs the program, passes every event in and sends the replies.

Requests to a server of the program itself are not answered: the server runs again as well, and responds itself. Its
responses are not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from namel3ss_debug.errors import DebugError, RerunError
from namel3ss_debug.replay.debugger.replies import override_reply
from namel3ss_debug.replay.rerun.delivery import DeliveryOrder, recorded_reply, tool_reply
from namel3ss_debug.replay.rerun.divergences import (
    EXACT,
    MISSING,
    NEW,
    RESULT,
    Difference,
    Divergence,
    Match,
    in_order,
)
from namel3ss_debug.replay.rerun.effects import Effects
from namel3ss_debug.replay.rerun.file_changes import Descriptions, add_digests
from namel3ss_debug.replay.rerun.matching import MatchedAnswer, Matcher, Unmatched
from namel3ss_debug.replay.rerun.plan import ALL, ANSWER, Plan
from namel3ss_debug.replay.rerun.recorded_calls import (
    BEARER,
    UNRECORDED,
    ChangedFile,
    RecordedCall,
    RecordedCalls,
    ReplayFlaw,
    exchange_of,
    outputs_of,
)
from namel3ss_debug.replay.rerun.requests import (
    COMMAND,
    CONNECT,
    HTTP,
    LIST_TOOLS,
    MCP,
    TOOL,
    VALUED,
    Request,
    command_without_port,
    ports_in,
    read_request,
    starts_server,
)
from namel3ss_debug.replay.rerun.tool_code import CHANGED, UNCHANGED, CodeByTool, CodeComparison, StaleTool
from namel3ss_debug.replay.rerun.unanswered import (
    NO_OUTPUT,
    CannotGoOnError,
    UnansweredCall,
    describe_hang,
    describe_request,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import is_background, is_fixed
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.requests import LOOPBACK
from namel3ss_debug.wire.value_changes import PathChange, diff_values

if TYPE_CHECKING:
    from namel3ss_debug.replay.overrides.active import Overrides


Listens = Callable[[int], bool]
"""Tells whether the program listens on a port."""

_NOT_STARTED: Final = "a trace that is not yours starts no process that it does not hold exactly"
_NOT_SHOWN: Final = "the trace is not yours, and does not hold this call, so the question did not show it"


def loopback_port(request: Request) -> int | None:
    """Return the local port that a request goes to, if it is no request to a model; else None."""
    if request.kind != HTTP:
        return None
    try:
        address = urlsplit(f"//{request.name}")
        return (address.port or 80) if address.hostname in LOOPBACK else None
    except ValueError:
        return None


def answers_itself(
    result: MatchedAnswer | Unmatched, recorded: RecordedCalls, listens: Listens | None
) -> bool:
    """Return whether a request is for a server of the program.

    A request that failed to connect does so again: the server was not up yet, and may be up sooner now.

    Args:
        result: the request, with its match.
        recorded: the recorded calls.
        listens: tells on which ports the program listens; None for none.
    """
    port = loopback_port(result.request)
    if listens is None or port is None:
        return False
    if isinstance(result, MatchedAnswer):
        found = result.recorded
        if result.replaced or (found and exchange_of(recorded.end(found.number)).get("status") is None):
            return False
    return listens(port)


class UnchangedArguments(NamedTuple):
    """An answered call of a tool that changed arguments when it was recorded, and could not change them now.

    Attributes:
        request: the live call.
        recorded: the recorded call.
        names: the arguments.
    """

    request: Request
    recorded: RecordedCall
    names: tuple[str, ...]


@dataclass
class ObservedRun:
    """What an attempt has observed beside its calls.

    Attributes:
        first: the metadata of the first process' `trace_start`.
        last: those of its `trace_end`; None before it arrives.
        refused: the events that report a refused network connection.
        new_inputs: reads of inputs that the trace does not hold: source and call site, and how often.
        files: the files that the program opened, as they were then.
        effects: what the program did by itself.
        real: the numbers of the requests that were made for real.
        live_since: the number of the first request from which on the trace no longer answers; 0 for none.
        started: the commands that were started for real.
        servers: of a started command that is a server: the ids of the recorded and the live start event -> its program.
        server_ports: the ports in the words of these commands.
        not_changed: the answered tools whose changes of their arguments are missing.
    """

    first: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] | None = None
    refused: list[Event] = field(default_factory=list)
    new_inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: Descriptions = field(default_factory=dict)
    effects: Effects = field(default_factory=Effects)
    real: set[int] = field(default_factory=set)
    live_since: int = 0
    started: list[Request] = field(default_factory=list)
    servers: dict[tuple[str, str], str] = field(default_factory=dict)
    server_ports: set[str] = field(default_factory=set)
    not_changed: list[UnchangedArguments] = field(default_factory=list)


class Attempt:
    """Answer the calls of one run.

    Args:
        plan: what answers the calls.
        overrides: the user's overrides; None for none.
        on_event: called with the number of every event and the event.

    Attributes:
        overrides: the user's overrides; None for none.
        matcher: how the requests were matched.
        order: the delivery order.
        seen: what else was observed.
        listens: tells whether the program listens on a port; None if it has no server.
    """

    def __init__(
        self,
        plan: Plan,
        overrides: Overrides | None,
        on_event: Callable[[int, Event], None] = lambda _number, _event: None,
    ) -> None:
        self.plan = plan
        self.seen = ObservedRun()
        self.listens: Listens | None = None
        recorded = plan.recorded
        task_keys = {
            number: recorded_call.request.task_key
            for number, recorded_call in recorded.calls.items()
            if recorded_call.request.task_key not in recorded.concurrent_tasks
        }
        self.matcher = Matcher(recorded, overrides, self._runs_for_real)
        self.order = DeliveryOrder(recorded.steps, task_keys)
        self._ordered = plan.ordered
        self.overrides, self._on_event = overrides, on_event
        self._servers: set[str] = set()  # ids of connections to MCP servers that were started for real
        self._delivered: dict[str, int] = {}  # id of the start event -> number of the recorded call
        self._inside: set[str] = set()  # ids of open spans in tools that are run for real
        self._run: dict[str, tuple[Request, RecordedCall | None]] = {}
        # Tool calls that the trace answers, by the ids of their start events.
        self._answered_tools: dict[str, tuple[Request, RecordedCall]] = {}
        self._names_run: set[tuple[str, str]] = set()  # kind and name of each tool and command that was run
        self._tools_run: set[int] = set()  # numbers of recorded tool calls that were run for real
        self._calls: Counter[str] = Counter()
        self._results: list[Divergence] = []
        # Calls whose recorded answer has no end, by the ids of their start events.
        self._never_ended: dict[str, UnansweredCall] = {}
        self._blocked: dict[int, MatchedAnswer | Unmatched] = {}  # calls that could not be answered yet
        # Requests at which `--strict` stopped the run. A debugger may go on from there, so each stops it once.
        self._strict_stops: set[int] = set()
        self._codes = CodeByTool()
        # The calls of tools that were answered from the trace, by the name of the tool.
        self._answered: dict[str, list[int]] = {}
        self._started_again: set[int] = set()  # numbers of commands whose processes are parts of the trace
        self._silent: set[str] = set()  # answered commands whose output is not in the trace
        self._commands: dict[int, int] = {}  # number of an answered recorded command -> that of the live one
        self._longest: float | None = None  # the longest silence in the trace, in seconds
        # The name of a tool -> why it has to be answered, "" for a call that returned its recorded result when it was tried.
        self._trials: dict[str, list[str]] = {}
        self._live: set[int] = set()  # processes that were informed to leave the trace behind

    # --- observing the run

    def observe(self, number: int, event: Event) -> None:
        """Take an event, and its number."""
        self._on_event(number, event)
        self.seen.effects.observe(number, event)
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
            self._observe_end(event)
        elif event_type == "divergence" and not self._is_awaited(event):
            self.seen.refused.append(event)
        elif event_type == "inputs_read":
            add_digests(self.seen.files, metadata)
            for source, sites in lenient.mapping(metadata.get("new")).items():
                for site, times in lenient.mapping(sites).items():
                    self.seen.new_inputs[source, site] += lenient.count(times) or 0

    def _is_awaited(self, event: Event) -> bool:
        """Return whether nothing listened yet on the port of a server that the program has started.

        The server may have begun to listen between the look at its port and the last try to connect.
        """
        metadata = lenient.mapping(event.get("metadata"))
        port = str(metadata.get("address")).rpartition(":")[2]
        return bool(metadata.get("nobody")) and port in self.seen.server_ports

    def _observe_end(self, event: Event) -> None:
        start_id = event.get("parent_event_id", "")
        self._never_ended.pop(start_id, None)
        if start_id in self._delivered:  # also if the program did not read its answer to the end
            self.order.skip_calls([self._delivered.pop(start_id)])
        if start_id not in self._servers:
            self._inside.discard(start_id)
        answered = self._answered_tools.pop(start_id, None)
        metadata = lenient.mapping(event.get("metadata"))
        if answered is not None and (trial := lenient.string(metadata.get("trial"))) is not None:
            self._trials.setdefault(answered[0].name, []).append(trial)
        what = lenient.string(metadata.get("not_made"))
        if answered is not None and what is not None:
            change = PathChange("$.result", "changed", what, "cannot be made here")
            self._results.append(
                Divergence(RESULT, answered[0].number, *answered, Difference(paths=(change,)))
            )
        missed = lenient.sequence(lenient.mapping(event.get("metadata")).get("not_changed"))
        if answered is not None and missed:
            self.seen.not_changed.append(UnchangedArguments(*answered, tuple(map(str, missed))))
        if start_id in self._run:
            request, found = self._run.pop(start_id)
            then = {} if found is None else outputs_of(self.plan.recorded.end(found.number))
            changes = diff_values(then, outputs_of(event))
            if changes:
                self.matcher.note_replaced(request.number)
            if found is not None:
                self.order.skip_calls([found.number])
                if changes:
                    difference = Difference(paths=changes)
                    self._results.append(Divergence(RESULT, request.number, request, found, difference))

    # --- replies

    def reply(self, number: int, event: Event) -> dict[str, Any]:
        """Return the reply to a process that is blocked at an event.

        Raises:
            CannotGoOnError: there is no answer to the call that it starts.
            MockError: the user's answer does not fit the call.
        """
        # A process that a tool starts may use the network if the tool is run for real.
        if event["event_type"] == "trace_start":
            is_live = bool(self.seen.live_since) and self.plan.supplied is None
            runs = is_live or event.get("parent_event_id") in self._inside
            return self._live_mark(event) | ({"run": True} if runs else {})
        request = read_request(number, event, decoded=bool(self.plan.recorded.source))
        if request is None:
            return self._live_mark(event) | override_reply(self.overrides, number, event)
        reply = self._reply_to_request(request, event)
        return self._live_mark(event) | reply

    def may_end(self, event_id: str, waited: float) -> bool:
        """End the answer to the call that began with an event, if it is its turn, and return whether it ended."""
        number = self._delivered.get(event_id)
        return number is None or self.order.try_deliver(number, waited)

    def check_silence(self, seconds: float, find_server: Callable[[], str]) -> None:
        """Refuse a silence that is longer than any in the trace: the program waits for something that never happens.

        That is an answer that was never recorded, a request from outside, or whatever edited code waits for. One rule
        is enough for all of them: a program that is still at work does something at some time. Real calls may take
        longer than recorded ones, so a program that makes some is never stopped.

        Args:
            seconds: for how long the program has done nothing.
            find_server: returns which server of the program listens, such as `app.py:12 listens on port 80`; "" for none.

        Raises:
            CannotGoOnError: it waits for an answer that was never recorded.
            RerunError: it waits for something else.
        """
        limit = self.plan.hang_seconds
        if not limit or seconds < limit or self._run or self.seen.live_since:
            return
        if self._longest is None:
            self._longest = self.plan.recorded.longest_silence()
        # Half of a long silence more, because a slower machine computes for longer.
        if seconds < self._longest + max(limit, self._longest / 2):
            return
        if self._never_ended:
            raise CannotGoOnError(next(iter(self._never_ended.values())))
        raise RerunError(describe_hang(seconds, self._longest, find_server()))

    def matches(self) -> list[Match]:
        """Return how each request was matched, in the order in which they were made.

        A command that starts again is no answer: the calls of its process are.
        """
        blocked, real = self._blocked, self.seen.real
        return [
            match._replace(unanswered=match.number in blocked, real=match.number in real)
            for match in self.matcher.matches
            if match.number not in self._started_again
        ]

    def is_stuck(self) -> bool:
        """Return whether a call is blocked because its recorded answer is unusable; `strict` alone does not count."""
        return any(
            isinstance(answer, MatchedAnswer)
            and answer.recorded is not None
            and number not in self._strict_stops
            for number, answer in self._blocked.items()
        )

    def stale_tools(self, state: str = CHANGED) -> tuple[StaleTool, ...]:
        """Return the tools that were answered from the trace although their code has changed, or, for `UNKNOWN`, may have."""
        found = []
        for name, numbers in self._answered.items():
            comparison = self._compare_code(name)
            tried = self._trials.get(name, [])
            returned_the_same = len(tried) == len(numbers) and not any(tried)
            if comparison.state == state and not returned_the_same:
                kept = self.plan.declared(name) == ANSWER
                reasons = (*comparison.reasons, *dict.fromkeys(filter(None, tried)))
                found.append(StaleTool(name, reasons, tuple(numbers), kept))
        return tuple(found)

    def not_verified(self) -> dict[str, tuple[str, ...]]:
        """Return the answered commands whose output is not in the trace, because they inherited stdout, with the reason."""
        return dict.fromkeys(sorted(self._silent), (NO_OUTPUT,))

    def unused_names(self) -> Iterator[str]:
        """Yield a line for each tool and command that should be run for real and was not called."""
        for option, kind, names in (
            ("--run-tools", TOOL, self.plan.run_tools),
            ("--run-commands", COMMAND, self.plan.run_commands),
        ):
            for name in sorted(names - {ALL}):
                if (kind, name) not in self._names_run:
                    yield f"{option} {name} was never used: the program made no such call"
        if self.plan.live_from and not self.seen.live_since:
            yield f"--live-from {self.plan.live_from} was never reached: every call of the program came before it"

    def divergences(self, *, ended: bool) -> tuple[Divergence, ...]:
        """Return where the run and the trace diverge; calls that were made for real do not count.

        Args:
            ended: whether the program has ended by itself.
        """
        found = filter(self._counts, self.matcher.divergences(ended=ended))
        return in_order([*found, *self._results])

    def _counts(self, found: Divergence) -> bool:
        if found.kind == NEW:
            return found.number not in self.seen.real
        if found.kind != MISSING or found.recorded is None:
            return True
        number, kind = found.recorded.number, found.recorded.request.kind
        if kind == MCP and found.recorded.request.name == LIST_TOOLS:  # clients list tools whenever they want
            return False
        if self.seen.live_since and number >= self.plan.live_from:
            return False
        within = (inner for start_id in self._tools_run for inner in self.plan.recorded.within(start_id))
        return kind not in (HTTP, COMMAND) or number not in within

    # --- answering

    def _live_mark(self, event: Event) -> dict[str, Any]:
        """Return the reply that makes a process leave the trace behind; {} if it has done so already."""
        if not self.seen.live_since:
            return {}
        head, dot, _ = str(event.get("event_id")).partition(".")
        process = int(head[1:]) if dot and head[1:].isdigit() else 0
        if process in self._live:
            return {}
        self._live.add(process)
        return {"live": True}

    def _reply_to_request(self, request: Request, event: Event) -> dict[str, Any]:
        blocked = self._blocked.pop(request.number, None)
        if blocked is not None:
            return self._reply_to_blocked(blocked, event)
        if self._is_inside_real(request, event):
            return self._reply_for_real(request, event)
        if is_background(event) and (reply := self._reply_to_background(request, event)) is not None:
            return reply
        if self._is_live(request):
            reply = self._reply_for_real(request, event)
            self.seen.live_since = self.seen.live_since or request.number
            return reply
        if request.kind == COMMAND:
            keys = (command_without_port(event, port) for port in ports_in(event))
            request = replace(request, keys=(*request.keys, *keys))
        result = self.matcher.answer(request, guesses=self._may_guess(request))
        if answers_itself(result, self.plan.recorded, self.listens):
            return self._reply_of_own_server(result, event)
        if isinstance(result, MatchedAnswer) and result.is_started_again:
            return self._start_again(result)
        return (
            self._raise_unanswered(result)
            if isinstance(result, Unmatched)
            else self._reply_with(result, event)
        )

    def _reply_for_real(self, request: Request, event: Event) -> dict[str, Any]:
        """Let a call be made for real.

        Raises:
            DebugError: the trace is of somebody else, and supplies the address, or a call that the user did not see.
        """
        if request.kind in VALUED:
            self._check_shown(request)
        else:
            self._check_address(request, event)
        self.seen.real.add(request.number)
        self._names_run.add((request.kind, request.name))
        if request.kind == COMMAND:
            self.seen.started.append(request)
        return {"run": True} | override_reply(self.overrides, request.number, event)

    def _check_shown(self, request: Request) -> None:
        """Refuse a tool or command that a trace of somebody else would run, unless the user saw it or named it.

        Its answers are data of somebody else, and a program computes tool calls and commands from them.

        Raises:
            CannotGoOnError: it is refused.
        """
        if self.plan.supplied is None or self.plan.runs(request):
            return
        inputs = lenient.mapping((request.event or {}).get("inputs"))
        is_fed = (
            lenient.mapping(inputs.get("streams")).get("stdin") in ("pipe", "file") and "input" not in inputs
        )
        if is_fed or not self.plan.recorded.holds(request):
            flaw = ReplayFlaw(UNRECORDED, 0, _NOT_SHOWN)
            raise CannotGoOnError(
                UnansweredCall("unusable", request, flaws=(flaw,), call=self._call(request))
            )

    def _check_address(self, request: Request, event: Event) -> None:
        """Refuse a call for real to an address that a trace of somebody else supplies, except to the program's own server.

        Raises:
            TrustError: it is refused.
        """
        port = loopback_port(request)
        is_own = port is not None and self.listens is not None and self.listens(port)
        if self.plan.supplied is not None and not is_own:
            url = lenient.string(exchange_of(event).get("url")) or ""
            self.plan.supplied.check(url, describe_request(request))

    def _reply_to_background(self, request: Request, event: Event) -> dict[str, Any] | None:
        """Return the reply for a command that a library runs for its own purposes: any answer to an equal one.

        Without an answer it is run. None for one whose words may be those of the program: it is a call like others.
        """
        background = self.plan.recorded.background
        end = next((background[key] for key in request.keys if key in background), None)
        if end is None and not is_fixed(event):
            return None
        runs = end is None or self.plan.runs(request)
        if runs:
            self.seen.started.append(request)
        return ({} if runs else tool_reply(end or {})) | override_reply(self.overrides, request.number, event)

    def _reply_of_own_server(self, result: MatchedAnswer | Unmatched, event: Event) -> dict[str, Any]:
        """Return the reply for a request to a server of the program: it is made, and never waits for its turn."""
        request, found = result.request, result.recorded if isinstance(result, MatchedAnswer) else None
        self.seen.real.add(request.number)
        if found is not None:
            self.order.mark_started(found.number)
            self.order.skip_calls([found.number])
        return override_reply(self.overrides, request.number, event)

    def _start_again(self, result: MatchedAnswer) -> dict[str, Any]:
        """Let a command start whose process is a part of the trace: the calls of that process are answered."""
        assert result.recorded is not None
        request, found = result.request, result.recorded
        if not self.plan.may_start(exact=result.how == EXACT):
            self._blocked[request.number] = result
            flaw = ReplayFlaw(UNRECORDED, found.number, _NOT_STARTED)
            call = self._call(request)
            raise CannotGoOnError(
                UnansweredCall("unusable", request, found, result.divergence, (flaw,), call)
            )
        self._started_again.add(request.number)
        self.seen.started.append(request)
        if starts_server(found.request) and request.event is not None:
            started = self.plan.recorded.start(found.number)["event_id"], request.event["event_id"]
            self.seen.servers[started] = request.name
            self.seen.server_ports.update(ports_in(request.event))
        self.order.mark_started(found.number)
        self.order.skip_calls([found.number])
        return {}

    def _reply_to_blocked(self, blocked: MatchedAnswer | Unmatched, event: Event) -> dict[str, Any]:
        """Return the reply for a call that was blocked before, with the overrides in force now."""
        before = blocked if isinstance(blocked, MatchedAnswer) else MatchedAnswer(blocked.request, NEW)
        answer = self.matcher.with_overrides(before)
        try:
            if answer.recorded is None and not (answer.runs or answer.replaced):
                reply = self._raise_unanswered(blocked)
            else:
                reply = self._reply_with(answer, event)
        except DebugError:
            self._blocked[answer.request.number] = blocked
            raise
        self.matcher.update_answer(answer)
        return reply

    def _runs_for_real(self, request: Request) -> bool:
        """Return whether a tool or command is run for real; all requests to an MCP server that was started are made."""
        if request.kind == COMMAND:
            return self.plan.runs(request)
        if request.kind == TOOL:
            return self.plan.runs(request) or (
                self.plan.runs_when_changed(request.name)
                and self._compare_code(request.name).state != UNCHANGED
            )
        if request.name == CONNECT:
            tools = set().union(*(self.plan.recorded.servers.get(key, set()) for key in request.keys))
            changed = (name for name in tools if self.plan.runs_when_changed(name))
            return (
                bool(self.plan.live_from)  # the live part may call any tool of the server
                or ALL in self.plan.run_tools
                or not self.plan.run_tools.isdisjoint(tools)
                or any(self._compare_code(name).state != UNCHANGED for name in changed)
            )
        metadata = lenient.mapping((request.event or {}).get("metadata"))
        return lenient.mapping(metadata.get("mcp")).get("connection") in self._servers

    def _compare_code(self, name: str) -> CodeComparison:
        """Compare the code of a tool, as far as the run has shown it, with the recorded code."""
        packages = lenient.mapping(self.seen.first.get("packages"))
        return self.plan.code.compare(name, self._codes.by_name.get(name, ()), packages)

    def _is_inside_real(self, request: Request, event: Event) -> bool:
        """Return whether a request is made inside a tool that is run, and is none that the trace answers there."""
        if event.get("parent_event_id") not in self._inside:
            return False
        if request.kind == COMMAND:
            return True
        if request.kind in VALUED or self._is_replaced(request):
            return False
        return request.kind == HTTP or self.matcher.likely(request)[0] is None

    def _is_live(self, request: Request) -> bool:
        """Return whether a request is at or behind the event of `--live-from`.

        Until the trace holds no more calls of its task before that event, it is none: other tasks may be live already.
        """
        plan = self.plan
        if not plan.live_from or request.name == CONNECT or self._is_replaced(request):
            return False
        found, same = self.matcher.likely(request)
        if found is not None:
            return found.number >= plan.live_from or bool(self.seen.live_since and not same)
        if self.seen.live_since:
            return True
        there = self.matcher.expected_next(request)
        return there is None or there.number >= plan.live_from

    def _is_replaced(self, request: Request) -> bool:
        """Return whether an override of the user answers a request."""
        return self.matcher.with_overrides(MatchedAnswer(request, NEW)).replaced

    def _may_guess(self, request: Request) -> bool:
        """Return whether a request may match an edited one; behind the event of `--live-from` it may not."""
        if self.seen.live_since:
            return False
        if not self.plan.live_from:
            return True
        found, _ = self.matcher.likely(request)
        return found is None or found.number < self.plan.live_from

    def _raise_unanswered(self, new: MatchedAnswer | Unmatched) -> dict[str, Any]:
        request, divergence = new.request, new.divergence
        self._blocked[request.number] = new
        there = self.matcher.expected_next(request) if divergence is None else divergence.recorded
        raise CannotGoOnError(UnansweredCall("new", request, there, divergence, call=self._call(request)))

    def _call(self, request: Request) -> str:
        """Return how a mock names a call that has just started."""
        kind, name = request.kind, request.name
        if kind != TOOL:
            return f"{kind}@{self._calls[kind]}"
        return f"{name}@{self._calls[f'tool:{name}']}" if name.isidentifier() else f'"{name}"'

    def _reply_with(self, answer: MatchedAnswer, event: Event) -> dict[str, Any]:
        request, found = answer.request, answer.recorded
        try:
            reply = self._make_reply(answer, event)
        except DebugError:
            self._blocked[request.number] = answer
            raise
        self._follow(answer, event)
        if found is not None:
            self.order.mark_started(found.number)
            if answer.runs:
                self._tools_run.add(found.number)
                self.order.skip_calls([found.number])
            else:
                self._deliver(found, reply, event["event_id"], left_out=answer.overridden)
            if "given_up" in reply.get("http", reply):
                self._never_ended[event["event_id"]] = UnansweredCall("open", request, found)
        if answer.runs:
            self._inside.add(event["event_id"])
            if request.kind == MCP and request.name == CONNECT:
                self._servers.add(event["event_id"])
            self._run[event["event_id"]] = (request, found)
            self._names_run.add((request.kind, request.name))
            self.seen.real.add(request.number)
            self.seen.effects.ran.add(request.name)
            if request.kind == COMMAND:
                self.seen.started.append(request)
        return reply

    def _follow(self, answer: MatchedAnswer, event: Event) -> None:
        """Remember an answered tool call; its end tells whether the program could make the value."""
        request, found = answer.request, answer.recorded
        if request.kind in VALUED and found is not None:
            self._answered_tools[event["event_id"]] = (request, found)
            if request.kind == COMMAND and not (answer.runs or answer.replaced):
                self._follow_command(request, found)
            elif request.kind == TOOL and not (answer.runs or answer.replaced):
                self._answered.setdefault(request.name, []).append(request.number)
                # The commands of a tool that does not run change no file either.
                calls = self.plan.recorded.calls
                inner = (
                    each
                    for each in self.plan.recorded.within(found.number)
                    if calls[each].request.kind == COMMAND
                )
                self._commands.update(dict.fromkeys(inner, request.number))

    def _follow_command(self, request: Request, found: RecordedCall) -> None:
        self._commands[found.number] = request.number
        event = request.event or {}
        streams = lenient.mapping(lenient.mapping(event.get("inputs")).get("streams"))
        started = bool(lenient.mapping(self.plan.recorded.end(found.number).get("outputs")))
        if started and "stdout" not in streams:
            self._silent.add(request.name)

    def changed_files(self) -> tuple[ChangedFile, ...]:
        """Return the files that answered commands have changed in the trace, and that the program read later."""
        return tuple(
            each._replace(number=self._commands[each.command])
            for each in self.plan.recorded.changed_files
            if each.command in self._commands
        )

    def _deliver(self, found: RecordedCall, reply: dict[str, Any], event_id: str, *, left_out: bool) -> None:
        """Let the steps of an answer wait for their turn, if concurrent tasks could change their order."""
        # An answered tool does not run, so no step of a call inside it will happen.
        self.order.skip_calls(self.plan.recorded.within(found.number))
        head = reply.get("http", reply)
        if left_out or ("given_up" in head and "raised" not in head):
            self.order.skip_calls([found.number])
        elif self._ordered:
            self._delivered[event_id] = found.number
            reply["ordered"] = True

    def _make_reply(self, answer: MatchedAnswer, event: Event) -> dict[str, Any]:
        """Return the reply for an answer.

        Raises:
            CannotGoOnError: the answer is unusable, or `--strict` ends the run here.
            MockError: the user's answer does not fit the call.
        """
        request, found, plan = answer.request, answer.recorded, self.plan
        diverges = answer.divergence is not None or answer.overtook is not None
        if plan.strict and diverges and not answer.overridden and request.number not in self._strict_stops:
            self._strict_stops.add(request.number)
            raise CannotGoOnError(
                UnansweredCall("strict", request, answer.overtook or found, answer.divergence)
            )
        if plan.exact_only and answer.divergence is not None and found is not None:
            raise CannotGoOnError(UnansweredCall("strict", request, found, answer.divergence))
        if answer.runs:
            return {"run": True} | override_reply(self.overrides, request.number, event)
        recorded = {} if found is None else outputs_of(plan.recorded.end(found.number))
        override = (
            override_reply(self.overrides, request.number, event, recorded) if answer.overridden else {}
        )
        if "answer" in override or answer.fails or found is None:
            return override
        flaws = tuple(
            flaw for flaw in plan.recorded.flaws_of(found.number) if flaw.kind != BEARER or not plan.is_closed
        )
        if flaws and (request.kind == COMMAND or not self._is_open(found, request)):
            call = self._call(request)
            raise CannotGoOnError(UnansweredCall("unusable", request, found, answer.divergence, flaws, call))
        # A call that the program did not wait for must not be faster than the program's own timeout.
        realtime = plan.realtime or found.number in plan.recorded.outwaited
        tried = {"try": True} if request.kind == TOOL and self._is_tried(request.name) else {}
        return recorded_reply(plan.recorded, found, request, realtime=realtime) | tried | override

    def _is_tried(self, name: str) -> bool:
        """Return whether a tool is tried as well, in a copy of the program."""
        wanted = self.plan.try_tools
        return wanted == ALL or (bool(wanted) and self._compare_code(name).state != UNCHANGED)

    def _is_open(self, found: RecordedCall, request: Request) -> bool:
        """Return whether a call never ended, so that nothing is delivered; not if the trace has only lost its end.

        Raises:
            CannotGoOnError: the trace ends inside the call.
        """
        calls = self.plan.recorded.calls
        if found.end or any(
            number > found.number and later.request.task_key == found.request.task_key
            for number, later in calls.items()
            if later.inside != found.number
        ):
            return False
        if found.number == max(calls):
            raise CannotGoOnError(UnansweredCall("open", request, found))
        return True
