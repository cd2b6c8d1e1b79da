"""A run against earlier ones: what is worse is found, what lies in their spread is not."""

import json
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import check_trace
from namel3ss_debug.analysis.checks.baselines import compute_allowed


@pytest.fixture
def recorded(tmp_path):
    """Writes a small run: seconds of its tool, tokens of its model call, an error, further tools."""

    def recorded(name, seconds=1.0, tokens=100, error=None, tools=("search",)):
        events, at = [], 1_700_000_000.0

        def add(event_type, component, component_name, **fields):
            events.append(
                {
                    "event_type": event_type,
                    "event_id": f"e{len(events)}",
                    "seq": len(events),
                    "timestamp": at,
                    "execution_id": name,
                    "component": component,
                    "component_name": component_name,
                }
                | fields
            )
            return f"e{len(events) - 1}"

        call = add("llm_call_start", "llm", "m", inputs={"model": "m", "messages": []})
        add(
            *("llm_call_end", "llm", "m"),
            parent_event_id=call,
            status="completed",
            usage={"input_tokens": tokens, "output_tokens": 0},
            outputs={"text": name},
            duration_ms=0.0,
            cost_estimate=tokens / 1e6,
        )
        for tool in tools:
            call = add("tool_call_start", "tool", tool, inputs={"arguments": {}}, call_site="app.py:3")
            at += seconds
            failed = {"status": "failed", "error": error, "error_type": "ValueError"} if error else {}
            add(
                *("tool_call_end", "tool", tool),
                parent_event_id=call,
                **({"status": "completed", "duration_ms": seconds * 1000} | failed),
            )
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        return path

    return recorded


def found(path, aspects, baselines, **more):
    """The messages of a rule about baselines."""
    report = check_trace(path, [{"baseline": aspects, **more}], baseline=baselines)
    return [finding.evidence for finding in report.findings]


def test_a_run_is_no_worse_than_itself(recorded):
    """Held against a recording of the same, nothing is found."""
    aspects = ["failures", "duration", "cost", "tokens", "calls", "retries", "path", "divergence"]
    assert found(recorded("a"), aspects, recorded("a")) == []


@pytest.mark.parametrize(
    ("aspect", "changes", "said"),
    [
        ("duration", {"seconds": 1.5}, "slower than the baseline: duration_ms is 1,500"),
        ("cost", {"tokens": 130}, "dearer than the baseline: cost is $0.00013"),
        ("tokens", {"tokens": 130}, "more tokens than the baseline: tokens is 130"),
        ("calls", {"tools": ("search", "search")}, "more calls than the baseline: calls is 3"),
        ("failures", {"error": "no such order"}, "tool search failed in a way that no baseline has"),
        ("path", {"tools": ("search", "refund")}, "tool refund is not in the baseline"),
        ("divergence", {"tools": ("refund",)}, "diverges from the baseline"),
    ],
)
def test_what_is_worse_is_found(recorded, aspect, changes, said):
    """Each aspect finds the change it is about."""
    (message,) = found(recorded("b", **changes), aspect, recorded("a"))
    assert said in message


def test_a_margin_of_ones_own_is_a_share_of_the_median(recorded):
    """Half as many tokens again are allowed where the rule says so."""
    assert found(recorded("b", tokens=150), "tokens", recorded("a"), margin=0.5) == []
    assert found(recorded("b", tokens=151), "tokens", recorded("a"), margin=0.5)


def test_a_failure_that_a_baseline_had_is_not_new(recorded):
    """The same failure with other numbers in it is known."""
    before, now = recorded("a", error="no order 17"), recorded("b", error="no order 2345")
    assert found(now, "failures", before) == []


def test_other_answers_of_the_model_are_no_other_path(recorded):
    """What the model says differs from run to run; only a comparison of everything minds."""
    assert found(recorded("b"), "path", recorded("a")) == []
    assert found(recorded("b"), "divergence", recorded("a"))


def test_a_run_that_did_as_one_of_its_baselines_did_not_part_from_them(recorded):
    """One baseline that did the same is enough."""
    others = [recorded("a"), recorded("c", tools=("search", "refund"))]
    assert found(recorded("b", tools=("search", "refund")), "path", others) == []


def test_where_a_run_parts_is_told_of_the_nearest_baseline(recorded):
    """The first difference that lasts, with its event, its line and how many there are; not one that the run got over."""
    far, near = recorded("a", tools=("mail",)), recorded("b", tools=("one", "two", "three", "refund"))
    run = recorded("c", tools=("audit", "one", "two", "three", "ship"))
    for baselines in ([far, near], [near, far]):
        (told,) = check_trace(run, [{"baseline": "path"}], baseline=baselines).findings
        assert told.evidence == (
            "diverges from the baseline: tool ship was called in place of refund; the first of 2 differences"
        )
        assert (told.subject, told.events, told.site) == ("tool:ship", (11,), ("app.py", 3))


def test_changed_arguments_and_results_are_named_with_both_values(recorded):
    """Each one, as `diff` lists them; the first that lasts comes first."""
    run, baseline = recorded("b", tools=("search", "refund")), recorded("a", tools=("search", "refund"))
    lines = [json.loads(line) for line in run.read_text().splitlines()]
    for line in lines:
        if line.get("component_name") == "refund":
            key, name = (
                ("inputs", "arguments") if line["event_type"] == "tool_call_start" else ("outputs", "result")
            )
            line[key] = {name: {"amount": 399}}
    run.write_text("".join(json.dumps(line) + "\n" for line in lines))
    evidence = [
        finding.evidence
        for finding in check_trace(run, [{"baseline": "divergence"}], baseline=baseline).findings
    ]
    for words in ("tool refund was called with other arguments: ", "tool refund returned another result: "):
        assert any(words in each and "399" in each for each in evidence), evidence


def test_a_call_that_only_the_baseline_made_has_no_event(recorded):
    """What is not in the run stands on no line of it."""
    run, baseline = recorded("a", tools=()), recorded("b", tools=("mail",))
    (told,) = check_trace(run, [{"baseline": "path"}], baseline=baseline).findings
    assert told.evidence == "diverges from the baseline: tool mail is in the baseline only"
    assert (told.events, told.site) == ((), None)


def test_a_new_failure_is_told_with_its_words_and_events(recorded):
    """Behind failures that a baseline had as well; one without a text by its type."""
    before, now = recorded("a", error="no order"), recorded("b", error="no order", tools=("search", "mail"))
    (told,) = check_trace(now, [{"baseline": "failures"}], baseline=before).findings
    assert told.evidence.startswith("tool mail failed in a way that no baseline has (")
    assert told.evidence.endswith("): no order")
    assert (told.subject, told.events, told.site) == ("tool:mail", (5, 6), ("app.py", 3))
    now.write_text(now.read_text().replace('"error": "no order", ', ""))
    told = check_trace(now, [{"baseline": "failures"}], baseline=before).findings
    assert [each.evidence.rpartition(": ")[2] for each in told] == ["ValueError"] * 2


def test_a_figure_is_told_with_the_median_and_the_call_that_has_the_most(recorded):
    """Of how many baselines, and how much would have been allowed."""
    run, one = recorded("x", tokens=130), recorded("a")
    said = "more tokens than the baseline: tokens is 130, the median {} is 100, allowed is {}"
    (told,) = check_trace(run, [{"baseline": "tokens"}], baseline=one).findings
    assert told.evidence == said.format("of the baseline", 120)
    assert told.events == (1,)
    (message,) = found(run, "tokens", [one, recorded("b"), recorded("c")])
    assert message == said.format("of 3 baselines", 105)


def test_without_a_baseline_the_rule_is_skipped_and_says_so(recorded):
    """A rule that could not be evaluated is not one that was kept."""
    (rule,) = check_trace(recorded("a"), [{"baseline": "cost"}]).rules
    assert "give --baseline" in rule.skipped
    assert rule.to_json()["state"] == "skipped"


def test_what_no_baseline_tells_is_not_checked(recorded):
    """Nothing can be more than what is not known; the answer says so where the rule is about nothing else."""
    now, before = recorded("a"), recorded("b")
    before.write_text(before.read_text().replace("cost_estimate", "billed_otherwise"))
    (cost, both) = check_trace(
        now, [{"baseline": "cost"}, {"baseline": ["cost", "calls"]}], baseline=before
    ).rules
    assert cost.skipped == "no baseline has its cost"
    assert (both.skipped, both.findings) == ("", ())


figures = st.lists(st.floats(0, 1e9), min_size=1, max_size=30)


@given(figures)
def test_what_a_baseline_reached_is_never_too_much(values):
    """No baseline is itself worse than the baselines."""
    assert compute_allowed(values, "tokens") >= max(values)


@given(figures, st.floats(0.5, 100))
def test_the_margin_follows_the_scale(values, scale):
    """Ten times the figures allow ten times as much."""
    scaled = compute_allowed([value * scale for value in values], "tokens")
    assert scaled == pytest.approx(compute_allowed(values, "tokens") * scale, rel=1e-9, abs=1e-12)


def test_the_margin_is_that_of_the_documentation():
    """One baseline: 20 %; several that do not differ: 5 %; several that do: three deviations."""
    assert compute_allowed([100], "tokens") == pytest.approx(120)
    assert compute_allowed([100, 100, 100], "tokens") == pytest.approx(105)
    values = [80.0, 90, 100, 110, 120]
    assert compute_allowed(values, "tokens") == pytest.approx(median(values) + 3 * 1.4826 * 10)
    assert compute_allowed([10.0], "duration_ms") == 110
