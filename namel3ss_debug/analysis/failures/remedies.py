"""Propose remedies for a failure by its category, and judge by a re-run with one whether the failure went away.

A remedy is a change of the settings. It is tried on the recorded program, which fails again as it was recorded. What cannot be
decided by the trace alone is no proof: it is proposed with the reason, and the command that tries it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.config.guarding import BREAKERS, RetryRule
from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.wire import lenient

SCHEMA: Final = "namel3ss-debug/suggest/1"

WENT_AWAY: Final = "went_away"
REMAINS: Final = "remains"
ANOTHER: Final = "another_failure"
NOT_TRIED: Final = "not_tried"

OUTCOMES: Final[Mapping[str, str]] = {
    WENT_AWAY: "the failure did not happen, was recovered, or no longer ended the program, and nothing else failed",
    REMAINS: "the failure happened again",
    ANOTHER: "something else failed that did not fail before",
    NOT_TRIED: "no re-run could decide it",
}
"""What a re-run with a remedy showed -> what it means."""

ACTS: Final = frozenset({"retried", "fallback_used", "limit_reached"})
"""The events by which a remedy shows that it acted."""

STAND_IN: Final = "(stand-in answer)"
"""The answer of a model that the trace does not hold."""

_LONG_DELAY: Final = 5
_LONGEST_ERROR: Final = 120
_WITHOUT_EFFECT: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EMPTY: Final[Mapping[type, Any]] = {list: [], dict: {}}
_IN_PROGRAM: Final = "it is set in the program, and"


@dataclass(frozen=True)
class Remedy:
    """A proposal for a failure.

    Attributes:
        name: its name, as `--apply` takes it.
        what: what it does, a clause.
        settings: the settings that it adds, as the file has them; {} if it is a change of the program.
        needs: why a re-run cannot decide it; "" if it can.
        assumes: what a re-run takes for granted, because the trace does not hold it; "" for nothing.
        mocks: the answers that stand in for what the trace does not hold, as `--mock` takes them.
    """

    name: str
    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    assumes: str = ""
    mocks: tuple[str, ...] = ()


class TrialResult(NamedTuple):
    """What a re-run with a remedy showed: one of `OUTCOMES`, and the details in a sentence."""

    outcome: str
    detail: str


class Trial(NamedTuple):
    """A remedy, what its re-run showed, and the trace of that; None if there was no re-run."""

    remedy: Remedy
    result: TrialResult
    trace: Path | None = None


class AppliedRemedy(NamedTuple):
    """The name of a remedy that was written to a file of settings, and the lines of the difference."""

    remedy: str
    file: Path
    difference: tuple[str, ...]


@dataclass(frozen=True)
class FailureCase:
    """A failure, and what else of its trace decides about remedies.

    Attributes:
        failure: the failure, as the section `errors` has it.
        alike: all failures with its fingerprint, in order.
        loop: the first loop of equal calls, as the section `patterns` has it; None for none.
        starts: component -> the numbers of the events at which its calls begin.
        results: the last answers of calls that succeeded, by component and name.
        methods: the methods of HTTP requests, by the number of the start event.
        reference: the name of the trace in a command; "" for the latest.
    """

    failure: Mapping[str, Any]
    alike: Sequence[Mapping[str, Any]]
    loop: Mapping[str, Any] | None
    starts: Mapping[str, Sequence[int]]
    results: Mapping[tuple[str, str], Any]
    methods: Mapping[int, str]
    reference: str = ""

    @property
    def component(self) -> str:
        """The component of the call that failed."""
        return str(self.failure["component"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.failure["component_name"] or "")

    def further_calls(self) -> list[int]:
        """Return the occurrence numbers that one more attempt of each of these failures has among the calls of its component."""
        places = {number: place for place, number in enumerate(self.starts.get(self.component, ()), 1)}
        last = (max(row["attempts"] or [row["number"]]) for row in self.alike)
        return [places[number] + 1 + more for more, number in enumerate(last) if number in places]


def read_case(
    events: Iterable[Event],
    failures: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    number: int = 0,
    reference: str = "",
) -> FailureCase | None:
    """Return what decides about remedies for a failure; None if none of the failures is at this event.

    Args:
        events: the events of the trace.
        failures: the failures in the section `errors`.
        found: what the section `patterns` found.
        number: the event of the failure; 0 for the first that has remedies, or else the first.
        reference: the name of the trace in a command; "" for the latest.
    """
    wanted = [row for row in failures if number in {0, row["number"], row["end_number"], *row["attempts"]}]
    failure = next((row for row in wanted if row["category"] in REMEDIES), next(iter(wanted), None))
    if failure is None:
        return None
    starts: dict[str, list[int]] = {}
    results: dict[tuple[str, str], Any] = {}
    methods: dict[int, str] = {}
    for place, event in enumerate(events, 1):
        component, name = str(event.get("component")), str(event.get("component_name") or "")
        if begins_span(event["event_type"]):
            starts.setdefault(component, []).append(place)
            if component == "http":
                methods[place] = str(lenient.mapping(event.get("inputs")).get("method"))
        elif ends_span(event["event_type"]) and event.get("status") == "completed":
            outputs = lenient.mapping(event.get("outputs"))
            results[component, name] = outputs.get("body" if component == "http" else "result")
    return FailureCase(
        failure,
        [row for row in failures if row["fingerprint"] == failure["fingerprint"]],
        next((row for row in found if row["kind"] == "loop" and row.get("form") == "same call"), None),
        starts,
        results,
        methods,
        reference,
    )


def propose(case: FailureCase) -> list[Remedy]:
    """Return the remedies for a failure, the likeliest first; none if no setting helps against its category."""
    made = (make(case) for make in REMEDIES.get(str(case.failure["category"]), ()))
    return [remedy for remedy in made if remedy is not None]


def _retry(case: FailureCase) -> Remedy | None:
    """Make a request again: of a model, or one that changes nothing, because a failed call may have taken effect."""
    kind = {"llm": "model", "http": "host"}.get(case.component)
    if kind is None:
        return None
    made = max(len(row["attempts"]) for row in case.alike)
    attempts = max(RetryRule(kind, "").attempts, made + 1)
    # Where the program has made several attempts in vain, the pauses between them were too short.
    row = {"attempts": attempts} | ({"delay": _LONG_DELAY} if made > 1 else {})
    # The setting takes patterns, and there are models with names such as `claude-opus[1m]`.
    settings = {"retries": {f"{kind}:{escape(case.name)}": row}}
    what = f"make the request up to {attempts} times, with growing pauses"
    if kind == "model":
        stand_in = f".text={STAND_IN}"
        assumes = "the model answers the further attempt; here a stand-in did, or what --mock names"
    else:
        if case.methods.get(case.alike[0]["number"]) not in _WITHOUT_EFFECT:
            return Remedy(
                "retry", what, settings, "the request may have taken effect, so look first whether it did"
            )
        if case.results.get((case.component, case.name)) is None:
            needs = f"the trace holds no answer of {case.name} that a further attempt could get"
            return Remedy("retry", what, settings, f"{needs}; name one with --mock")
        stand_in = ":" + lenient.dump(case.results[case.component, case.name]).decode()
        assumes = "the server answers the further attempt, as here it answered another request or --mock says"
    calls = case.further_calls()
    return Remedy(
        "retry", what, settings, "", assumes, tuple(f"{case.component}@{n}{stand_in}" for n in calls)
    )


def _fall_back(case: FailureCase) -> Remedy | None:
    """Answer a tool that keeps failing; a circuit breaker lets the first failures pass."""
    if case.component != "tool" or len(case.alike) < 2:
        return None
    threshold = min(BREAKERS["tool"][0], len(case.alike) - 1)
    result = case.results.get(("tool", case.name))
    fallback = _EMPTY.get(type(result), f"{case.name} is not available")
    row = {"failure_threshold": threshold, "fallback": fallback}
    times = "1 failure" if threshold == 1 else f"{threshold} failures in a row"
    what = f"after {times}, answer {case.name} by {lenient.dump(fallback).decode()} in place of calling it"
    return Remedy("fallback", what, {"circuit_breakers": {f"tool:{escape(case.name)}": row}})


def _other_model(case: FailureCase) -> Remedy | None:
    if case.component != "llm":
        return None
    what = "another model, by fallback_model of a circuit breaker, or in the program"
    if case.failure["category"] == "context_overflow":
        what = "another model with a larger context window, in the program"
    return Remedy("other-model", what, {}, _live(case, "--model NAME"))


def _ask_again(case: FailureCase) -> Remedy | None:
    if case.component != "llm":
        return None
    return Remedy(
        "ask-again", "ask the model for another answer, in the program", {}, _live(case, "--samples 3")
    )


def _longer_timeout(case: FailureCase) -> Remedy:
    took = case.failure.get("duration_ms")
    after = f", which ended this call after {took / 1000:.3g} s" if lenient.is_number(took) else ""
    needs = f"{_IN_PROGRAM} the trace does not hold when the answer would have arrived"
    return Remedy("longer-timeout", f"a longer timeout{after}", {}, needs)


def _limit_context(case: FailureCase) -> Remedy | None:
    if case.component != "llm":
        return None
    what = "refuse the call before the context is full, so that the program can shorten it"
    return Remedy("limit-context", what, {"limits": [{"context": 0.9}]})


def _limit_repeats(case: FailureCase) -> Remedy | None:
    """Stop a loop of equal calls after fewer rounds."""
    loop = case.loop
    if loop is None or loop["component"] not in ("tool", "llm"):
        return None
    most = max(2, min(3, loop["count"] - 1))
    name = loop["component_name"]
    by = {"tool": "tool", "llm": "model"}[loop["component"]]
    what = (
        f"refuse further calls of {name} after {most} with the same input, of which {loop['count']} were made"
    )
    return Remedy("limit-repeats", what, {"limits": [{"repeats": most, "by": by, "name": escape(name)}]})


def _higher_limit(_case: FailureCase) -> Remedy:
    needs = "it needs live calls: the trace does not hold what the program does beyond the limit"
    return Remedy("higher-limit", "a higher limit, if each step still makes progress", {}, needs)


def _live(case: FailureCase, option: str) -> str:
    words = ("namel3ss debug resend", str(case.failure["number"]), case.reference, option)
    return f"it needs a live call: {' '.join(filter(None, words))}"


REMEDIES: Final[Mapping[str, tuple[Callable[[FailureCase], Remedy | None], ...]]] = {
    "rate_limit": (_retry, _fall_back, _other_model),
    "dependency": (_retry, _fall_back, _other_model),
    "network": (_retry, _fall_back),
    "timeout": (_retry, _fall_back, _longer_timeout),
    "tool": (_fall_back,),
    "context_overflow": (_limit_context, _other_model),
    "step_limit": (_limit_repeats, _higher_limit),
    "malformed_output": (_ask_again,),
    "model_refusal": (_ask_again, _other_model),
}
"""Category of a failure -> what makes each remedy for it, or None where it does not fit; no setting helps against the others."""


class TrialRun(NamedTuple):
    """How a re-run ended.

    Attributes:
        failures: the failures in its trace, as the section `errors` has them.
        status: the exit status of the program.
        acts: how often a limit, a circuit breaker or a retry acted in it.
        stopped: why the re-run could not go on, in one line; "" if the program ended by itself.
        is_past: whether it made a new call, which is no further attempt, behind the last one that the trace holds.
    """

    failures: Sequence[Mapping[str, Any]]
    status: int
    acts: int = 0
    stopped: str = ""
    is_past: bool = False


def judge(fingerprint: str, before: TrialRun, after: TrialRun) -> TrialResult:
    """Return what a re-run with a remedy shows.

    Args:
        fingerprint: that of the failure.
        before: the re-run without the remedy.
        after: the one with it.
    """
    if after.stopped and not after.is_past:
        return TrialResult(NOT_TRIED, f"the program could not go on: {after.stopped}")
    times, now = (sum(row["fingerprint"] == fingerprint for row in run.failures) for run in (before, after))
    has_acted = after.acts > before.acts
    if now >= times:
        why = "as without the remedy" if has_acted else "and the remedy did not act"
        return TrialResult(REMAINS, f"the failure happened {_times(now)}, {why}")
    known = {row["fingerprint"] for row in before.failures}
    new = next((row for row in after.failures if row["fingerprint"] not in known), None)
    if new is not None:
        error = ": ".join(str(new[key]) for key in ("error_type", "error") if new[key])
        where = f"{new['component']} {new['component_name']}"
        return TrialResult(ANOTHER, f"{where} failed: {short(error, _LONGEST_ERROR)}")
    if after.status and not after.is_past:
        return TrialResult(ANOTHER, f"the program ended with status {after.status}")
    end = "the program went on to a call that the trace does not hold"
    if not after.is_past:
        end = "the program ended with status 0"
    if not has_acted:
        return TrialResult(NOT_TRIED, f"{end}, but the remedy did not act, so this shows nothing")
    if not now:
        return TrialResult(WENT_AWAY, end)
    # Behind a circuit breaker the first failures stay; it helps where these alone do not end the program.
    rest = f"{end}; the failure happened {_times(now)} in place of {times:,}"
    return TrialResult(WENT_AWAY if before.status else REMAINS, rest)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
