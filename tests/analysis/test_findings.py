"""What lowers the health of a run, section by section."""

import pytest

from namel3ss_debug.analysis.findings import EXCEEDED, HALF, LEAST, UNFINISHED, RunAmounts, sort_findings
from namel3ss_debug.analysis.health import find_findings
from namel3ss_debug.analysis.sections.resources import FILLS_FROM
from namel3ss_debug.analysis.sections.table import SECTIONS

WALL = RunAmounts(1000.0, 10_000, 0.5)


def findings(sections, run):
    """The findings of some sections, the heaviest first."""
    return sort_findings(find_findings(sections, SECTIONS, sections, run))


def failure(number, severity, fingerprint="f", **more):
    """A row of the section errors."""
    return {"number": number, "component": "tool", "component_name": "search", "severity": severity,
            "fingerprint": fingerprint, "error_type": "ValueError", "error": "no", "origins": []} | more  # fmt: skip


def errors(*rows, severity=0.6, **more):
    """The section errors."""
    return {
        "errors": {"severity": severity, "failures": list(rows), "weak_failures": [], "open_spans": []} | more
    }


def pattern(kind, **more):
    """Something found in the section patterns."""
    row = {"kind": kind, "component": "tool", "component_name": "poll", "count": 4, "numbers": [3, 5, 7, 9],
           "confidence": 0.9, "cost": {"ms": 500.0, "tokens": 0, "usd": None}}  # fmt: skip
    return {"patterns": {"found": [row | more]}}


def test_failures_weigh_in_proportion_to_the_severity_of_the_run():
    """The worst failure takes what the run's severity is, half as bad a one half of it; those alike are one finding."""
    found = findings(errors(failure(9, 0.8), failure(4, 0.4, "g"), failure(12, 0.8)), WALL)
    assert [
        (each.weight, each.events, each.suggestion.removeprefix("namel3ss debug ")) for each in found
    ] == [
        (0.6, (9, 12), "explain 9"),
        (0.3, (4,), "explain 4"),
    ]
    assert found[0].evidence == "tool search failed (2 times): ValueError: no"


def test_a_failure_tells_where_it_began():
    """The likeliest origin stands in the words and among the events, where it is another event."""
    origin = {"number": 4, "component": "llm", "component_name": "m", "reason": "wrote x='1'"}
    (found,) = findings(errors(failure(9, 0.8, origins=[origin])), WALL)
    assert (found.evidence.partition("; ")[2], found.events) == ("it began at 4: llm m wrote x='1'", (9, 4))
    (itself,) = findings(errors(failure(9, 0.8, origins=[origin | {"number": 9}])), WALL)
    assert itself.events == (9,)


def test_an_end_nobody_explains_and_a_span_that_never_ended():
    """An exit status without a failure, and the innermost open spans, take half."""
    rows = [failure(7, 0, innermost=True), failure(2, 0, innermost=False)]
    told = errors(severity=0.0, open_spans=rows) | {"execution_overview": {"exit_status": 3}}
    found = {each.id: each for each in findings(told, WALL)}
    assert {slug: each.weight for slug, each in found.items()} == {"exit_status": HALF, "never_ended": HALF}
    assert found["never_ended"].events == (7,)
    assert "status 3" in found["exit_status"].evidence
    assert not findings(errors(severity=0.0), WALL)
    running = told | {"execution_overview": {"outcome": "running"}}
    assert not findings(running, WALL)  # its open spans may still end


@pytest.mark.parametrize(("logged", "look"), [(True, "logs"), (False, "inspect --tree")])
def test_an_end_nobody_explains_is_looked_up_where_something_stands(recording, analysed, logged, look):
    """In the logs, but not of a run that has none."""
    recording.add("trace_start", 0)
    recording.span("tool", "count", 1, 2)
    if logged:
        recording.add("log_record", 3, component="log", metadata={"level": "info", "message": "three"})
    recording.add("trace_end", 4, metadata={"exit_status": 3})
    found = analysed(recording.events)["health"]["findings"]
    assert [each["suggestion"] for each in found if each["id"] == "exit_status"] == [f"namel3ss debug {look}"]


def test_words_tell_no_more_than_is_known():
    """One failure was not several; one without a text has its type alone; open spans are counted; line ends are spaces."""
    rows = [
        failure(7, 0.5, error=None, origins=None),
        failure(9, 0.5, "g", error="no\n  route", error_type=None),
    ]
    inner = [failure(number, 0, innermost=True) for number in (11, 12, 13)]
    words = [each.evidence for each in findings(errors(*rows, open_spans=inner), WALL)]
    assert words == [
        "tool search failed: ValueError",
        "tool search failed: no route",
        "tool search and 2 more never ended: the program was inside it when the trace ended",
    ]
    (alone,) = findings(errors(severity=0.0, open_spans=inner[:1]), WALL)
    assert alone.evidence.startswith("tool search never ended")
    assert findings(errors(failure(7, 0.0), severity=0.0), WALL) == []


def test_an_exit_status_that_a_failure_explains_is_no_finding():
    """The failure is told instead."""
    told = errors(failure(7, 0.5)) | {"execution_overview": {"exit_status": 1}}
    assert [each.id for each in findings(told, WALL)] == ["failure"]


def test_findings_that_weigh_the_same_stand_in_the_order_of_their_events():
    """Not in that of the sections."""
    found = findings(errors(failure(9, 0.8), failure(4, 0.8, "g")), WALL)
    assert [each.events for each in found] == [(4,), (9,)]


def test_a_weaker_sign_weighs_its_own_severity():
    """What only claims to have failed takes what it is worth."""
    weak = failure(5, 0.15, weak=True)
    (found,) = findings(errors(severity=0.0, weak_failures=[weak]), WALL)
    assert (found.id, found.weight, found.part) == ("claimed_failure", 0.15, "quality")


def test_what_is_wrong_with_the_recording():
    """Each check takes what it takes from the integrity; open spans are told by the errors."""
    rows = [
        {"check": check, "count": 1, "of": 1200, "unit": "events", "lowered_by": 0.2, "why": "why"}
        for check in ("open_spans", "lost_events", "open_processes")
    ]
    places = [{"check": "open_spans", "number": 2}, {"check": "lost_events", "number": 8}]
    (found,) = findings({"integrity": {"lowered_by": rows, "findings": places}}, WALL)
    assert (found.id, found.weight, found.events, found.suggestion.removeprefix("namel3ss debug ")) == (
        "lost_events",
        0.2,
        (8,),
        "inspect --event 8",
    )
    assert found.evidence == "integrity: lost events, 1 of 1,200 events: why"


@pytest.mark.parametrize(
    ("kind", "more", "by", "step"),
    [
        ("loop", {}, 0.9 * (0.1 + 0.6 * 0.5), "replay --step -b 5"),
        ("stall", {}, 0.9 * 0.6 * 0.5, "inspect --event 3"),
        ("retries", {"outcome": "completed"}, 0.02 + 0.4 * 0.5, "inspect --event 3"),
    ],
)
def test_patterns_weigh_by_their_share_of_the_run(kind, more, by, step):
    """Half of the run's time, and how sure it is; the next step goes to where it began to repeat."""
    (found,) = findings(pattern(kind, **more), WALL)
    assert (found.id, found.suggestion.removeprefix("namel3ss debug ")) == (kind, step)
    assert found.weight == pytest.approx(by, abs=0.001)


def test_what_is_no_trouble_is_no_finding():
    """Paging is no loop, retries that all failed are told by the failure, a thousandth of the time is left out."""
    assert not findings(pattern("paging"), WALL)
    assert not findings(pattern("retries", outcome="failed"), WALL)
    assert not findings(pattern("stall", cost={"ms": 1.0, "tokens": 0, "usd": None}), WALL)
    assert LEAST > 0.9 * 0.6 * 0.001


def test_a_model_that_thinks_is_no_fault():
    """A bottleneck counts where the program can do something about it, from a fifth of the run on."""
    rows = [
        {"component": component, "component_name": "x", "cause": cause, "share": share, "self_ms": 500.0}
        for component, cause, share in (("llm", "model", 0.9), ("tool", "tool", 0.5), ("http", "io", 0.1))
    ]
    slow = [
        {"component": component, "component_name": "x", "number": number}
        for component, number in (("llm", 5), ("tool", 11))
    ]
    (found,) = findings({"performance": {"bottlenecks": rows, "slow_operations": slow}}, WALL)
    assert (found.weight, found.events, found.suggestion.removeprefix("namel3ss debug ")) == (
        0.05,
        (11,),
        "inspect --event 11",
    )
    assert found.evidence == "tool x took 0.50 s, 50.0 % of the run"


@pytest.mark.parametrize(("share", "by"), [(FILLS_FROM, 0.1), (0.9, 0.3), (0.95, 0.45), (1.0, 0.6)])
def test_a_context_that_fills(share, by):
    """It weighs more the nearer it is to what the model can take."""
    usage = {"context": {"by_model": {"m": {"max_share": share, "max_number": 4}}}}
    (found,) = findings({"resource_usage": usage}, WALL)
    assert (found.id, found.weight, found.events) == ("context", pytest.approx(by), (4,))


def test_memory_that_grows():
    """A process whose memory surely grows is a finding; a steady one is none."""
    rows = [
        {"peak_number": number, "leak": {"verdict": verdict, "mb_per_hour": rate}}
        for number, verdict, rate in ((3, "grows", 80.0), (4, "steady", 80.0), (5, "grows", 50.0))
    ]
    found = findings({"resource_usage": {"memory": {"processes": [*rows, {"leak": None}]}}}, WALL)
    assert [(each.weight, each.evidence, each.events) for each in found] == [
        (0.3, "memory grew by 80.0 MB per hour", (3,)),
        (0.1, "memory grew by 50.0 MB per hour", (5,)),
    ]


def test_savings_messages_and_thresholds():
    """Half the share that could be saved, half the share of messages without an answer, and each threshold passed."""
    saves = {"ms": 0.0, "tokens": 5000, "cost": None}
    kinds = [{"kind": kind, "count": 2, "saves": saves} for kind in ("failed_calls", "repeated_calls")]
    kinds.append({"kind": "slow_tools", "count": 0, "saves": saves})
    listed = [{"kind": "failed_calls", "numbers": [2]}, {"kind": "repeated_calls", "numbers": [None, 6]}]
    messages = {"count": 4, "unanswered": {"count": 2, "listed": [{"number": 8}]}, "repeated": {"count": 0}}
    calls = [{"component": "agent", "component_name": "A", "failed": 1, "count": 2}]
    triggered = [
        {"rule": "timeouts", "numbers": [3], "component": None, "component_name": None, "what": "4 in a row"}
    ]
    found = findings(
        {
            "optimizations": {"kinds": kinds, "listed": listed},
            "interactions": {"messages": messages, "calls": calls},
            "triggers": {"triggered": triggered},
        },
        WALL,
    )
    assert {each.id: (each.weight, each.events) for each in found} == {
        "repeated_calls": (0.25, (6,)),
        "unanswered": (0.25, (8,)),
        "agent_failed": (0.2, ()),
        "timeouts": (EXCEEDED, (3,)),
    }
    told = {each.id: (each.evidence, each.suggestion.removeprefix("namel3ss debug ")) for each in found}
    assert told["repeated_calls"] == (
        "2 calls repeated a request and got the same answer: 5,000 tokens",
        "inspect --event 6",
    )
    assert told["timeouts"] == ("the threshold timeouts was exceeded, 4 in a row", "inspect --event 3")
    assert [each.weight for each in found] == sorted((each.weight for each in found), reverse=True)


@pytest.mark.parametrize(
    ("saves", "by", "words"),
    [
        ({"ms": 200.0, "tokens": 0, "cost": None}, 0.1, "0.20 s"),
        ({"ms": 1.0, "tokens": 4000, "cost": 0.1}, 0.2, "1.00 ms and 4,000 tokens"),
        ({"ms": 0.9, "tokens": 0, "cost": 0.1}, 0.1, "little"),
        ({"ms": None, "tokens": 0, "cost": 0.1}, 0.1, "little"),
    ],
)
def test_a_saving_is_told_by_what_is_worth_telling(saves, by, words):
    """Time from a millisecond on, and tokens; where no event is listed the section is the next step."""
    kinds = [{"kind": "slow_tools", "count": 3, "saves": saves}]
    (found,) = findings({"optimizations": {"kinds": kinds, "listed": []}}, WALL)
    assert (found.weight, found.suggestion.removeprefix("namel3ss debug ")) == (by, "analyze --optimizations")
    assert found.evidence == f"3 calls of tools took longer than the setting slow_ms: {words}"


def test_what_ran_one_after_the_other():
    """Half the share of the run that running at once would save; and what began before it could."""
    section = {
        "parallel": {"saves_ms": 300.0, "share": 0.3, "chances": [{"number": 2}]},
        "violations": {"count": 1, "listed": [{"number": 9}]},
    }
    found = findings({"dependencies": section}, WALL)
    assert [(each.id, each.weight, each.events) for each in found] == [
        ("one_after_the_other", 0.15, (2,)),
        ("began_too_early", 0.1, (9,)),
    ]
    assert (found[1].evidence, found[1].suggestion.removeprefix("namel3ss debug ")) == (
        "1 began before what they need had ended",
        "inspect --event 9",
    )
    del section["violations"]["listed"][0]["number"]
    assert (
        findings({"dependencies": section}, WALL)[1].suggestion.removeprefix("namel3ss debug ")
        == "analyze --dependencies"
    )


@pytest.mark.parametrize(
    ("ms", "share", "count"), [(99.0, 0.5, 0), (5000.0, 0.04, 0), (100.0, 0.05, 1), (1250.0, 0.143, 1)]
)
def test_a_small_saving_is_no_finding(ms, share, count):
    """Below 100 ms, or 5 % of the run, a saving is in its section only."""
    section = {"parallel": {"saves_ms": ms, "share": share, "chances": [{"number": 2}]}}
    assert len(findings({"dependencies": section}, WALL)) == count


def test_a_run_that_never_ended_weighs_most():
    """The last event is where to look; a run that merely is open says nothing."""
    (told,) = findings({"execution_overview": {"status": "killed", "events": 8}}, WALL)
    assert (told.id, told.part, told.weight, told.events) == ("unfinished", "stability", UNFINISHED, (8,))
    assert (told.evidence.startswith("the run never ended: the last event is 8"), told.suggestion) == (
        True,
        "namel3ss debug inspect --event 8",
    )
    assert findings({"execution_overview": {"status": "open", "events": 8}}, WALL) == []


def test_a_share_of_the_run_is_the_largest_that_is_known():
    """Of time, tokens and money; nothing where nothing is known."""
    assert WALL.share(100, 5000, None) == 0.5
    assert WALL.share(5000) == 1.0
    assert RunAmounts(None, None, None).share(100, 100, 1.0) == 0.0
    assert RunAmounts(0.0, 0, 0.0).share(100, 100, 1.0) == 0.0
