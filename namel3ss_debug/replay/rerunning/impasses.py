"""Why a program that runs again cannot go on, in one line: what its code asks, what the recording holds, and what can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.rerunning.boundaries import CONNECT, HTTP, MCP, MODEL, TOOL, Question
from namel3ss_debug.replay.rerunning.divergences import Divergence
from namel3ss_debug.replay.rerunning.recorded import Boundary, Finding
from namel3ss_debug.replay.rerunning.recorded_answers import BEARER


@dataclass(frozen=True)
class Stop:
    """Why a run could not go on, or was not to.

    Attributes:
        kind: `new`: the recording holds no answer; `unusable`: it does not hold the answer as it was; `open`: the
            recording ends inside this call; `strict`: the first divergence.
        question: what was asked.
        recorded: what the recording holds for it, or there.
        divergence: how the two part.
        findings: of `unusable`, what is not as it was.
        call: how a call is named that is answered in its place, such as `llm@3`.
        offline: of `new`, whether it would be asked for real if the network were open.
        reserved: of `new`, how many recorded answers came through the same functions and belong to other questions.
    """

    kind: Literal["new", "unusable", "open", "strict"]
    question: Question
    recorded: Boundary | None = None
    divergence: Divergence | None = None
    findings: tuple[Finding, ...] = ()
    call: str = ""
    reserved: int = 0
    offline: bool = False


class CannotGoOnError(RerunError):
    """A run cannot go on at a call; it still waits there.

    Attributes:
        stop: why.
    """

    def __init__(self, stop: Stop) -> None:
        super().__init__(told(stop))
        self.stop = stop


def told(stop: Stop) -> str:
    """Why a run cannot go on, in one line: what the code asks, what the recording holds, what to do."""
    asks, there = asked(stop.question), stop.recorded
    if stop.kind == "new":
        holds = (
            "holds nothing more" if there is None else f"holds {held(there)} there, at event {there.number}"
        )
        return f"{asks}, and the recording holds no answer to that; it {holds}: {_ways_out(stop)}"
    number = 0 if there is None else there.number
    if stop.kind == "open":
        given_up = there is not None and there.end
        came = "the program gave this call up then" if given_up else "the recording ends inside this call"
        return f"{asks}, which was never answered: {came}, at event {number}"
    if stop.kind == "strict":
        return f"{asks} otherwise than the recording, which holds {'nothing' if there is None else held(there)} at event {number}"
    return f"{flawed(stop)}: {_instead(stop.findings[0], stop)}"


def flawed(stop: Stop) -> str:
    """Of an answer that is not in the recording as it was: what the code asks, and what has become of the answer."""
    flaw, there = stop.findings[0], stop.recorded
    number = 0 if there is None else there.number
    return f"{asked(stop.question)} as recorded at event {number}, but {_FLAWS.get(flaw.kind, flaw.kind)} ({flaw.what})"


def wanted_setting(flaw: Finding) -> str:
    """The setting with which it would be recorded as it was, with its value; empty where none is to blame."""
    return f"{flaw.setting} {_VALUES.get(flaw.setting, 'changed')}" if flaw.setting else ""


def asked(question: Question) -> str:
    """What the code asks, and where: `app.py:42 asks gpt-4o`."""
    return f"{question.call_site or 'the program'} {VERBS.get(question.kind, 'asks')} {question.name or question.kind}"


def held(there: Boundary) -> str:
    """What the recording holds: `the question to gpt-4o from app.py:42`."""
    question = there.question
    what = {TOOL: "the call of", HTTP: "the request to", MCP: "the MCP request"}.get(
        question.kind, "the question to"
    )
    return f"{what} {question.name or question.kind}" + (
        f" from {question.call_site}" if question.call_site else ""
    )


VERBS: Final = {MODEL: "asks", HTTP: "requests", TOOL: "calls", MCP: "asks an MCP server:"}
_FLAWS: Final = {
    "cut": "the answer was cut",
    "redacted": "a secret in the answer was left out",
    BEARER: "a secret in the answer was left out",
    "opaque": "the value is no plain data",
    "damaged": "the answer is damaged",
    "open": "the end of the call is missing in the recording",
}
_VALUES: Final = {"max_payload_size": "0", "redact": "false"}


def _instead(flaw: Finding, stop: Stop) -> str:
    """What can be done where an answer is not in the recording as it was."""
    ways = [] if stop.question.kind == MCP else [f"give an answer with {_mock(stop)}"]
    if stop.question.kind == TOOL:
        ways.insert(0, f"run the tool with --run-tools {stop.question.name}")
    if flaw.setting:
        ways.append(f"record it again with {wanted_setting(flaw)}")
    return _or(ways or ["record it again"])


def _ways_out(stop: Stop) -> str:
    if stop.question.kind == MCP:
        server = (
            "--run-tools all" if stop.question.name == CONNECT else "--run-tools with a tool of this server"
        )
        return f"start the server with {server}, or record the program again"
    ways = [f"give an answer with {_mock(stop)}"]
    if stop.question.kind == TOOL:
        ways.append(f"run the tool with --run-tools {stop.question.name}")
    elif stop.offline:
        ways.append("ask for real without --offline")
    elif stop.recorded is not None:
        ways.append(f"ask for real with --from {stop.recorded.number}")
    return _or([*ways, "record the program again"])


def _mock(stop: Stop) -> str:
    call = stop.call or stop.question.name
    return f"--mock '{call}.text=...'" if stop.question.kind == MODEL else f"--mock '{call}:JSON'"


def _or(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
