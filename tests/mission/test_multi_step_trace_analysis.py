"""What multi-step-trace-analysis.txt computes of a trace, this analysis computes too: one trace with each of its figures.

The document has no calls to run, only the classes of its own analyzer; docs/documents.md names the counterpart of each.
"""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import TraceAnalyzer


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """The analysis of ten steps: parallel ones, a retry, a repeated call, a failure and what depends on it, a circle."""
    events = []

    def add(event_type, at, **fields):
        event = {
            "event_type": event_type,
            "event_id": f"e{len(events) + 1}",
            "seq": len(events),
            "timestamp": at,
        }
        events.append(event | {"execution_id": "run", "component": "tool"} | fields)
        return events[-1]["event_id"]

    def step(name, begin, end, **fields):
        finish = {key: fields.pop(key) for key in ("status", "error", "error_type") if key in fields}
        outputs = fields.pop("outputs", {"result": f"{name} done"})
        start = add("tool_call_start", begin, component_name=name, **fields)
        took = {"duration_ms": (end - begin) * 1000, "outputs": outputs, "status": "completed"} | finish
        if "metadata" in fields:
            took["metadata"] = fields["metadata"]
        add("tool_call_end", end, component_name=name, parent_event_id=start, **took)
        return start

    look = {"inputs": {"arguments": {"city": "Oslo"}}}
    first = step("fetch", 0, 1, **look)
    step("fetch", 1, 2, **look)
    step("fetch", 2, 3, **look)
    failed = step("ask", 3, 4, status="failed", error="Rate limit reached", error_type="RateLimitError")
    retry = {"retry_count": 1, "metadata": {"retry_of": failed}}
    step("ask", 4, 5, **retry)
    broken = step("parse", 5, 6, depends_on=[first], status="failed", error="wrong argument", error_type="E")
    step("store", 6, 7, depends_on=[broken], status="failed", error="nothing to store", error_type="E")
    step("near", 7, 9)
    step("far", 9, 11)
    add("tool_call_start", 11, component_name="a", depends_on=["e20"])
    add("tool_call_start", 11, component_name="b", depends_on=["e19"])
    path = tmp_path_factory.mktemp("trace") / "steps.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return TraceAnalyzer(path).analyze()


def test_integrity_finds_circular_dependencies_and_steps_without_an_end(analysis):
    """With the ids of the circle; the score is lower for each issue."""
    section = analysis["integrity"]
    assert section["checks"]["circular_dependencies"] == 1
    assert section["checks"]["open_spans"] == 2
    texts = [row["what"] for row in section["findings"] if row["check"] == "circular_dependencies"]
    assert texts == ["circular dependency: e19 -> e20 -> e19"]
    assert section["score"] < 1


def test_failures_have_categories_rates_and_chains(analysis):
    """A recovered attempt is counted apart; the step that depends on a failed one names it."""
    section = analysis["errors"]
    assert section["error_categories"] == {"parameter": 1, "tool": 1}
    assert (section["recovered_errors"], section["retries"]) == (1, 1)
    (row,) = section["dependency_failures"]
    assert (row["component_name"], row["needs"]) == ("store", [11])
    assert section["failures"][0]["impact"]["dependents_failed"] == 1
    assert 0 < section["error_rate"] < 1


def test_durations_have_their_statistics_by_tool(analysis):
    """Count, total, mean, extremes and the percentiles of the document."""
    (row,) = (row for row in analysis["performance"]["operations"] if row["component_name"] == "fetch")
    assert (row["count"], row["total_ms"], row["mean_ms"], row["min_ms"], row["max_ms"]) == (
        3,
        3000.0,
        1000.0,
        1000.0,
        1000.0,
    )
    assert {f"p{percent}_ms" for percent in (10, 25, 50, 75, 90, 95, 99)} <= row.keys()


def test_dependencies_have_levels_and_a_critical_path(analysis):
    """The schedule has what each step needed."""
    section = analysis["dependencies"]
    assert section["edges"]["recorded"] >= 2
    assert section["critical_path"]["steps"]
    assert {"level", "needs", "slack_ms"} <= section["schedule"][0].keys()


def test_repeated_calls_are_an_opportunity_to_cache(analysis):
    """Two of three equal calls could have been saved."""
    assert "fetch" in json.dumps(analysis["optimizations"])


def test_the_health_weighs_all_of_it(analysis):
    """One level, one score, and what lowered it."""
    health = analysis["health"]
    assert 0 <= health["score"] < 1
    assert health["level"] in {"negligible", "minor", "moderate", "serious", "critical"}
    assert {"circular_dependencies", "failure"} <= {finding["id"] for finding in health["findings"]}
