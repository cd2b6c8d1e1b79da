"""Describe why a re-run cannot answer a call, in one line: the call, what the trace holds, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.rerun.divergences import Divergence
from namel3ss_debug.replay.rerun.recorded_calls import BEARER, UNRECORDED, RecordedCall, ReplayFlaw
from namel3ss_debug.replay.rerun.requests import COMMAND, CONNECT, HTTP, MCP, MODEL, TOOL, Request

NO_OUTPUT: Final = "it wrote to the program's own stdout"
"""Why the output of an answered command is missing: the trace does not hold it."""


@dataclass(frozen=True)
class UnansweredCall:
    """A call that was not answered.

    Attributes:
        kind: `new`: the trace holds no answer; `unusable`: it does not hold the whole answer; `open`: the trace ends
            inside this call; `strict`: the first divergence.
        request: the live request.
        recorded: the recorded call, or the one at its place.
        divergence: how the two diverge.
        flaws: of `unusable`, why the answer cannot be replayed.
        call: how an override names the call, such as `llm@3`.
    """

    kind: Literal["new", "unusable", "open", "strict"]
    request: Request
    recorded: RecordedCall | None = None
    divergence: Divergence | None = None
    flaws: tuple[ReplayFlaw, ...] = ()
    call: str = ""


class CannotGoOnError(RerunError):
    """A run cannot go on at a call; it is still blocked there.

    Attributes:
        stop: the call.
    """

    def __init__(self, stop: UnansweredCall) -> None:
        super().__init__(describe_unanswered(stop))
        self.stop = stop


def describe_unanswered(stop: UnansweredCall) -> str:
    """Describe why a run cannot go on, in one line: the call, what the trace holds, what to do."""
    asks, there = describe_request(stop.request), stop.recorded
    if stop.kind == "new":
        holds = (
            "holds nothing more"
            if there is None
            else f"holds {describe_recorded(there)} there, at event {there.number}"
        )
        return f"{asks}, and the trace holds no answer for this call; it {holds}: {_ways_out(stop)}"
    number = 0 if there is None else there.number
    if stop.kind == "open":
        abandoned = there is not None and there.end
        outcome = (
            "the program abandoned this call when it was recorded"
            if abandoned
            else "the trace ends inside this call"
        )
        return f"{asks}, which was never answered: {outcome}, at event {number}"
    if stop.kind == "strict":
        return f"{asks}, but the trace holds {'nothing' if there is None else describe_recorded(there)} at event {number}"
    return f"{describe_flaw(stop)}: {_ways_around(stop.flaws[0], stop)}"


def describe_hang(seconds: float, longest: float, server: str) -> str:
    """Describe a program that waits for something that never happens, in one line, and what to do.

    Args:
        seconds: for how long it has done nothing.
        longest: the longest such time in the trace.
        server: which server of it listens; "" for none.
    """
    waits = (
        f"the program has done nothing for {seconds:.0f} s, at most {longest:.0f} s in the trace, "
        "and would wait forever"
    )
    if not server:
        return f"{waits}: the setting hang_seconds lets it wait longer"
    return (
        f"{waits}: {server}, and a re-run does not repeat requests from outside; "
        "send the requests from within the program, for example by the test client of its framework, "
        "or step through the trace with debug replay --step"
    )


def describe_flaw(stop: UnansweredCall) -> str:
    """Describe an unusable answer: the call, and what is wrong with its recorded answer."""
    flaw, there = stop.flaws[0], stop.recorded
    recorded = "" if there is None else f" as recorded at event {there.number}"
    what = flaw.what.removeprefix("$: ")
    why = _FLAWS.get(flaw.kind, flaw.kind)
    if stop.request.kind == COMMAND and flaw.kind == "open":
        why, what = "it had not ended when the trace ended", ""
    shown = f"{why} ({what})" if why and what else why or what
    return f"{describe_request(stop.request)}{recorded}, but {shown}"


def describe_setting(flaw: ReplayFlaw) -> str:
    """Return the setting that would record the answer whole, with its value; "" for none."""
    return f"{flaw.setting} {_VALUES.get(flaw.setting, 'changed')}" if flaw.setting else ""


def describe_request(request: Request) -> str:
    """Describe a live call, and where it is made: `app.py:42 calls gpt-4o`."""
    return f"{request.call_site or 'the program'} {VERBS.get(request.kind, 'calls')} {request.name or request.kind}"


def describe_recorded(there: RecordedCall) -> str:
    """Describe a recorded call: `the call of gpt-4o from app.py:42`."""
    request = there.request
    what = {HTTP: "the request to", MCP: "the MCP request", COMMAND: "the command"}.get(
        request.kind, "the call of"
    )
    return f"{what} {request.name or request.kind}" + (
        f" from {request.call_site}" if request.call_site else ""
    )


VERBS: Final = {
    MODEL: "calls",
    HTTP: "requests",
    TOOL: "calls",
    MCP: "requests from an MCP server:",
    COMMAND: "runs",
}
_FLAWS: Final = {
    "cut": "the answer was cut",
    "redacted": "a secret in the answer was redacted",
    BEARER: "a secret in the answer was redacted",
    "opaque": "the value is not plain data",
    "damaged": "the answer is damaged",
    "open": "the end of the call is missing in the trace",
    UNRECORDED: "",
}
_VALUES: Final = {"max_payload_size": "0", "redact": "false"}


def _ways_around(flaw: ReplayFlaw, stop: UnansweredCall) -> str:
    """Return what to do about an unusable answer."""
    ways = [] if stop.request.kind == MCP else [f"give an answer with {_mock(stop)}"]
    if stop.request.kind == TOOL:
        ways.insert(0, f"run the tool with --run-tools {stop.request.name}")
    if stop.request.kind == COMMAND:
        ways.insert(0, f"run the command with --run-commands {stop.request.name}")
    if flaw.setting:
        ways.append(f"record it again with {describe_setting(flaw)}")
    return _join_ways(ways or ["record it again"])


def _ways_out(stop: UnansweredCall) -> str:
    if stop.request.kind == MCP:
        server = (
            "--run-tools all" if stop.request.name == CONNECT else "--run-tools with a tool of this server"
        )
        return f"start the server with {server}, or record the program again"
    ways = [f"give an answer with {_mock(stop)}"]
    if stop.request.kind == TOOL:
        ways.append(f"run the tool with --run-tools {stop.request.name}")
    elif stop.request.kind == COMMAND:
        ways.append(f"run the command with --run-commands {stop.request.name}")
    elif stop.recorded is not None:
        ways.append(f"call it for real with --live-from {stop.recorded.number}")
    return _join_ways([*ways, "record the program again"])


def _mock(stop: UnansweredCall) -> str:
    call = stop.call or stop.request.name
    return f"--mock '{call}.text=...'" if stop.request.kind == MODEL else f"--mock '{call}:JSON'"


def _join_ways(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
