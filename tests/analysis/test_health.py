"""How well a run went."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings

from namel3ss_debug.analysis.computing import needed_sections
from namel3ss_debug.analysis.health import LEVELS, WEIGHTS, WORST, health
from namel3ss_debug.analysis.sections.table import SECTIONS


@pytest.fixture
def told(analysed):
    """The section of some events."""
    return lambda events: analysed(events, ["health"])["health"]


@pytest.fixture
def good_run(recording):
    """An agent that asked a model and a tool, and all went well."""
    agent = recording.start("agent", "Support", 0)
    recording.span("llm", "gpt-4o", 0.1, 1, agent, tokens_used=100)
    recording.span("tool", "lookup", 1, 1.1, agent)
    recording.end(agent, 1.2)
    return recording


def test_a_run_without_a_fault(told, good_run):
    """Every part of which something is known is whole, and so is the score."""
    found = told(good_run.events)
    assert (found["score"], found["level"], found["findings"]) == (1.0, "negligible", [])
    assert found["parts"]["quality"] == {"score": 1.0, "weight": 1.0, "lowered_by": []}
    assert found["decided_by"] == []
    assert found["statement"] == "no errors seen; outcome not judged"


def test_a_failure_that_ended_the_run(told, recording):
    """The score lies half way between the mean of the parts and the weakest; the level is what the severity allows."""
    agent = recording.start("agent", "Support", 0)
    recording.span("tool", "pay", 0.1, 0.2, agent, status="failed", error="declined", error_type="ValueError")
    recording.end(agent, 0.3, status="failed", error="declined", error_type="ValueError")
    found = told(recording.events)
    severity = found["measures"]["severity"]
    assert found["parts"]["quality"]["score"] == pytest.approx(1 - severity)
    known = {part: row["score"] for part, row in found["parts"].items() if row["score"] is not None}
    mean = sum(WEIGHTS[part] * score for part, score in known.items()) / sum(WEIGHTS[part] for part in known)
    weakest = min(1 - WEIGHTS[part] * (1 - score) for part, score in known.items())
    assert found["score"] == pytest.approx((mean + weakest) / 2, abs=0.001)
    assert found["level"] == WORST  # no span did its work
    assert found["decided_by"] == ["success_rate"]
    first = found["findings"][0]
    assert (first["id"], first["events"], first["suggestion"]) == ("failure", [2], "namel3ss debug explain 2")
    assert first["weight"] == pytest.approx(severity * WEIGHTS["quality"])


def test_what_knows_nothing_counts_neither_way(told, recording):
    """A section without anything to look at has no score, nor has a part of such sections alone."""
    recording.span("tool", "lookup", 0, 1)
    found = told(recording.events)
    assert found["sections"]["performance"]["score"] == 0.9  # a tool took all of the run
    assert found["sections"]["interactions"] == {"score": None, "lowered_by": []}
    assert found["parts"]["interactions"] == {"score": None, "weight": 0.6, "lowered_by": []}
    assert [part for part, row in found["parts"].items() if row["score"] is None] == [
        "resources",
        "interactions",
    ]
    known = sum(WEIGHTS[part] for part in ("quality", "stability", "performance"))
    assert found["score"] == pytest.approx((1 - WEIGHTS["performance"] * 0.1 / known + 0.94) / 2, abs=0.001)


@pytest.mark.parametrize("component", ["http", "log", "app"])
def test_a_run_without_work_has_no_score(told, recording, component):
    """Nothing went well where no agent, model or tool ran."""
    recording.span(component, "x", 0, 1)
    found = told(recording.events)
    assert (found["score"], found["level"], found["measures"]["score"]) == (None, None, None)
    assert found["reason"] == "no agent, model or tool ran"
    assert told([])["score"] is None


def test_a_loop_is_told_once_however_many_sections_tell_it(told, recording):
    """The threshold for loops tells the same calls as the pattern does: one finding, which counts once in its part."""
    call = {"inputs": {"arguments": {"q": "the same question"}}}
    for at in range(12):
        begun = recording.start("tool", "search", at, **call)
        recording.end(begun, at + 0.9, outputs={"result": "the same answer"})
    found = told(recording.events)
    loops = [row for row in found["findings"] if row["id"] == "loop"]
    assert len(loops) == 1
    assert loops[0]["suggestion"] == "namel3ss debug replay --step -b 3"
    (lowered,) = [row for row in found["parts"]["quality"]["lowered_by"] if row["id"] == "loop"]
    assert found["parts"]["quality"]["score"] <= 1 - lowered["weight"]


SOUND = {
    "component_breakdown": {"llm": {}},
    "execution_overview": {"success_rate": 1.0, "status": "completed"},
    "errors": {"error_rate": 0.0, "severity": 0.0, "total_errors": 0, "open_span_count": 0},
}


def test_a_run_that_is_marked_bad_has_no_high_score_however_little_was_seen():
    """The user's judgement is the first finding, with the event that shows it, and decides the score."""
    mark = {"judgement": "bad", "why": "wrong city", "event": 7, "when": 0.0}
    found = health(SOUND | {"mark": mark}, SECTIONS, 1000.0)
    assert (found["score"], found["level"]) == (0.3, "critical")
    assert found["statement"] == "marked bad: wrong city (event 7); no errors seen"
    first = found["findings"][0]
    assert (first["id"], first["evidence"], first["events"], first["suggestion"]) == (
        "marked_bad",
        "marked bad: wrong city (event 7)",
        [7],
        "namel3ss debug explain 7",
    )


def test_the_users_judgement_stands_before_heavier_findings():
    """What was computed never pushes it down the list."""
    failure = {"number": 3, "severity": 1.0, "component": "tool", "component_name": "pay", "fingerprint": "f"}
    errors = SOUND["errors"] | {"total_errors": 1, "severity": 1.0, "failures": [failure]}
    mark = {"judgement": "bad", "why": None, "event": None, "when": 0.0}
    found = health(SOUND | {"errors": errors, "mark": mark}, SECTIONS, 1000.0)
    assert [row["id"] for row in found["findings"]] == ["marked_bad", "failure"]
    assert found["findings"][0]["suggestion"] == "namel3ss debug inspect --tree"


def test_a_run_that_is_marked_good_keeps_its_findings():
    """A mark adds the judgement; it hides no error."""
    mark = {"judgement": "good", "why": None, "event": None, "when": 0.0}
    assert health(SOUND | {"mark": mark}, SECTIONS, 1.0)["statement"] == "no errors seen; marked good"
    errors = SOUND["errors"] | {"total_errors": 1, "weak_errors": 2}
    found = health(SOUND | {"errors": errors, "mark": mark}, SECTIONS, 1.0)
    assert found["statement"] == "1 error, 2 possible errors seen; marked good"


@pytest.mark.parametrize(
    ("overview", "statement"),
    [
        ({"status": "killed"}, "killed, no errors seen; outcome not judged"),
        ({"status": "failed", "exit_status": 3}, "exit status 3, no errors seen; outcome not judged"),
    ],
)
def test_the_statement_says_how_a_run_ended_that_did_not_complete(overview, statement):
    """No errors in a trace that stops early do not read as a run without errors."""
    found = health(
        SOUND | {"execution_overview": {"success_rate": 1.0, "events": 5} | overview}, SECTIONS, 1.0
    )
    assert found["statement"] == statement


def test_a_killed_run_is_not_well(told, good_run):
    """What never ended lowers the stability, with the place where the program was."""
    good_run.start("tool", "stuck", 2)
    found = told(good_run.events)
    (row,) = [row for row in found["findings"] if row["id"] == "never_ended"]
    assert (row["events"], row["part"]) == ([7], "stability")
    assert found["parts"]["stability"]["score"] == 0.5


@pytest.mark.parametrize(
    ("measure", "value", "level"),
    [
        ("success_rate", 0.95, "negligible"), ("success_rate", 0.949, "minor"), ("success_rate", 0.4, "critical"),
        ("integrity", 0.9, "negligible"), ("integrity", 0.59, "serious"), ("severity", 0.1, "negligible"),
        ("severity", 0.31, "moderate"), ("severity", 0.8, "serious"), ("severity", 0.81, "critical"),
    ],
)  # fmt: skip
def test_the_worst_measure_decides_the_level(measure, value, level):
    """Each measure has its limits, which are allowed themselves."""
    sections = {
        "component_breakdown": {"llm": {}},
        "execution_overview": {"success_rate": value if measure == "success_rate" else 1.0},
        "integrity": {"score": value if measure == "integrity" else 1.0, "lowered_by": [], "findings": []},
        "errors": {"error_rate": 0.0, "severity": value if measure == "severity" else 0.0},
    }
    found = health(sections, SECTIONS, 1000.0)
    assert found["level"] == level
    assert found["decided_by"] == ([] if level == "negligible" else [measure])


def test_the_levels_go_down_in_every_measure():
    """A worse level asks less of everything, and allows a greater severity."""
    limits = list(LEVELS.values())
    for better, worse in pairwise(limits):
        assert better["severity"] < worse["severity"]
        assert all(better[key] > worse[key] for key in ("success_rate", "integrity", "score"))


def test_it_reads_every_other_section():
    """A section that is added to the table is one that the health has to know of."""
    assert needed_sections(["health"]) == tuple(SECTIONS)


def test_any_trace_gives_a_score_between_0_and_1(analysed, traces):
    """However damaged a trace is, every score is a share, every weight too, and the findings go down."""

    @settings(max_examples=40, deadline=None)
    @given(traces)
    def holds(events):
        found = analysed(events, ["health"])["health"]
        parts = [*found["parts"].values(), *found["sections"].values()]
        scores = [row["score"] for row in parts if row["score"] is not None]
        scores += [found["score"]] if found["score"] is not None else []
        weights = [row["weight"] for row in found["findings"]]
        assert all(math.isfinite(each) and 0 <= each <= 1 for each in (*scores, *weights))
        of_cost = [row["part"] in {"performance", "resources"} for row in found["findings"]]
        assert list(zip(of_cost, weights, strict=True)) == sorted(
            zip(of_cost, weights, strict=True), key=lambda each: (each[0], -each[1])
        )
        assert all(row["suggestion"].startswith("namel3ss debug ") for row in found["findings"])
        assert found["level"] in {None, WORST, *LEVELS}

    holds()
