"""Rules on runs made by hand: each kind is kept by a run that keeps it, and broken, with proof, by one that does not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug import check_trace
from namel3ss_debug.analysis.checks import conduct
from namel3ss_debug.analysis.checks.evaluation import observe
from namel3ss_debug.analysis.findings import parse_site
from namel3ss_debug.errors import MissingExtraError, RuleError
from namel3ss_debug.prices import read_table
from namel3ss_debug.traces.reader import open_trace

MODEL = "test-model"
PRICES = {MODEL: {"input": 1, "output": 10}}


class Run:
    """An agent at work: a recording by hand, with the payloads that rules ask for."""

    def __init__(self, recording):
        self.recording = recording
        self.at = 0.0
        self.agents = []

    def begin(self, name):
        """Begin an agent."""
        parent = self.agents[-1] if self.agents else None
        self.agents.append(self.recording.start("agent", name, self.at, parent, call_site="app/main.py:7"))

    def finish(self):
        """End the innermost agent."""
        self.recording.end(self.agents.pop(), self.at)

    def call(self, component, name, seconds, inputs, **end):
        """A call inside the innermost agent."""
        parent = self.agents[-1] if self.agents else None
        site = end.pop("call_site", f"app/main.py:{40 if component == 'llm' else 50}")
        start = self.recording.start(component, name, self.at, parent, inputs=inputs, call_site=site)
        self.at += seconds
        self.recording.end(start, self.at, **end)

    def llm(self, text="", tools=(), seconds=0.5, read=100, written=20, **end):
        """A call of the model."""
        outputs = {"text": text, "tool_calls": [{"id": "c", "name": tool} for tool in tools]}
        outputs |= end.pop("outputs", {})
        usage = {"input_tokens": read, "output_tokens": written}
        fields = {"outputs": outputs, "usage": usage, "tokens_used": read + written} | end
        self.call("llm", MODEL, seconds, {"model": MODEL, "messages": []}, **fields)

    def tool(self, name, seconds=0.1, result="found", **arguments):
        """A call of a tool."""
        end = arguments.pop("end", {})
        self.call("tool", name, seconds, {"arguments": arguments}, outputs={"result": result}, **end)


@pytest.fixture
def run(recording, own_prices):
    """A run to be written, with a price for its model."""
    own_prices(read_table(PRICES))
    return Run(recording)


@pytest.fixture
def reported(recording, tmp_path):
    """Checks what was recorded against one rule, and gives the report."""

    def reported(rule, **options):
        path = tmp_path / "run.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
        return check_trace(path, [rule], **options)

    return reported


@pytest.fixture
def broken(reported):
    """Checks what was recorded against one rule, and gives the findings."""
    return lambda rule, **options: reported(rule, **options).findings


@pytest.fixture
def good(run):
    """A run that does as it should."""
    run.begin("Support")
    run.llm(tools=["search"])
    run.tool("search", query="lamp", result={"price": 39.9})
    run.llm("It costs 39.90 EUR.")
    run.finish()
    return run


KEPT_AND_BROKEN = [
    (
        {"shape": "tool:search", "of": {"price": "number 1 to 100"}},
        {"shape": "tool:search", "of": {"price": "number 100 to 1000"}},
    ),
    ({"shape": "tool", "of": "object"}, {"shape": "tool", "of": ["text"]}),
    ({"forbid": "tool:search", "before": "llm"}, {"forbid": "llm", "before": "tool:search"}),
    ("tokens <= 240", "tokens <= 239"),
    ("errors.total_errors == 0", "errors.total_errors > 0"),
    ("integrity.score >= 0.5 and llm_calls == 2", "integrity.score > 1"),
    ({"assert": "duration_ms <= 500", "on": "llm"}, {"assert": "duration_ms < 500", "on": "llm"}),
    ({"assert": 'status != "failed"', "on": "event"}, {"assert": 'status != "completed"', "on": "event"}),
    (
        {"assert": 'component_name == "search"', "on": 'event if kind == "tool"'},
        {"assert": 'component_name == "x"', "on": 'event if kind == "tool"'},
    ),
    ({"assert": "cost < 1", "on": "span if kind == 'llm'"}, {"assert": "cost > 1", "on": "span if cost > 0"}),
    (
        {"assert": 'arguments.query == "lamp"', "on": "tool:search"},
        {"assert": 'arguments.query == "sofa"', "on": "tool:search"},
    ),
    ({"limit": "duration_ms <= 1100"}, {"limit": "duration_ms < 1100"}),
    ({"limit": "cost <= 0.0006"}, {"limit": "cost <= 0.0005"}),
    ({"limit": "calls <= 3"}, {"limit": "calls <= 2"}),
    ({"limit": "retries == 0"}, {"limit": "retries > 0"}),
    ({"limit": "context_tokens <= 100"}, {"limit": "context_tokens < 100"}),
    ({"limit": "answered and turns <= 2", "by": "agent"}, {"limit": "answered and turns < 2", "by": "agent"}),
    ({"limit": "cost <= 0.0006", "by": "agent"}, {"limit": "cost < 0.0006", "by": "agent"}),
    ({"limit": "longest_ms < 101", "by": "tool"}, {"limit": "longest_ms < 99", "by": "tool"}),
    ({"limit": "tokens <= 240", "by": "model"}, {"limit": "tokens < 240", "by": "model"}),
    (
        {"limit": "calls < 1", "by": "tool", "of": "delete_*"},
        {"limit": "calls < 1", "by": "tool", "of": "sea*"},
    ),
    ({"forbid": "tool:delete_*"}, {"forbid": ["tool:delete_*", "tool:SEA*"]}),
    ({"forbid": "tool", "after": "llm if answered"}, {"forbid": "llm", "after": "tool:search"}),
    ({"require": ["search", "llm if answered"]}, {"require": ["search", "tool:refund"]}),
    (
        {"require": ["tool:search", "llm if answered"], "in_order": True},
        {"require": ["llm if answered", "tool:search"], "in_order": True},
    ),
    ({"calls": "tool:search", "at_most": 1}, {"calls": "tool:search", "at_most": 0}),
    ({"calls": "llm", "at_least": 2}, {"calls": "llm", "at_least": 3}),
    (
        {"schema": {"type": "object", "required": ["price"]}, "on": "tool:search"},
        {"schema": {"type": "object", "properties": {"price": {"type": "string"}}}, "on": "tool:search"},
    ),
    (
        {"schema": {"type": "string"}, "on": "llm if answered", "of": "outputs.text"},
        {"schema": {"type": "object"}, "on": "llm if answered", "of": "outputs.text"},
    ),
]


@pytest.mark.parametrize(("kept", "not_kept"), KEPT_AND_BROKEN, ids=lambda rule: json.dumps(rule)[:60])
def test_a_rule_is_kept_by_a_run_that_keeps_it_and_broken_by_one_that_does_not(good, broken, kept, not_kept):
    """Of two rules that differ in what they allow, the run keeps one and breaks the other."""
    assert broken(kept) == ()
    findings = broken(not_kept)
    assert findings
    assert all(
        finding.evidence and finding.fingerprint and finding.severity == "error" for finding in findings
    )


@pytest.mark.parametrize(
    "rule",
    [
        *(kept for kept, _ in KEPT_AND_BROKEN if isinstance(kept, dict) and "on" in kept),
        {"limit": "calls <= 1", "by": "tool", "of": "sea*"},
        {"limit": "calls <= 3", "by": "agent"},
    ],
    ids=lambda rule: json.dumps(rule)[:60],
)
def test_a_rule_that_was_held_against_something_says_that_it_was_kept(good, reported, rule):
    """It is not told as one that was held against nothing."""
    (result,) = reported(rule).rules
    assert result.to_json()["state"] == "kept"


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"assert": "1 == 2", "on": "tool:delete_*"}, "there was no tool:delete_*"),
        ({"assert": "1 == 2", "on": "span if cost > 5"}, "there was no span if cost > 5"),
        ({"assert": "1 == 2", "on": "event if kind == 'memory'"}, "there was no event if kind == 'memory'"),
        ({"schema": False, "on": "llm if refused"}, "there was no llm if refused with an output"),
        ({"limit": "calls < 1", "by": "tool", "of": "serch"}, "no tool serch; did you mean 'search'?"),
        ({"limit": "calls < 1", "by": "model", "of": "gpt-*"}, "there was no model gpt-*"),
    ],
    ids=lambda given: json.dumps(given)[:60],
)
def test_a_rule_that_is_held_against_nothing_is_not_kept(good, reported, rule, why):
    """Nothing that such a rule is about was there: it has no finding, and says what there was not."""
    (result,) = reported(rule).rules
    assert result.findings == ()
    assert why in result.skipped
    assert result.to_json()["state"] == "skipped"


def test_the_document_of_a_report(good, reported):
    """Each rule with whether it was kept, each finding with its file and its line; null where there is none."""
    report = reported({"name": "once", "calls": "tool:search", "at_most": 0})
    (rule,), (finding,) = ([each.to_json() for each in part] for part in (report.rules, report.findings))
    assert (rule["state"], rule["skipped"], rule["findings"]) == ("broken", None, 1)
    assert (finding["file"], finding["line"], finding["events"]) == ("app/main.py", 50, [4])
    (finding,) = (each.to_json() for each in reported("tokens < 1").findings)
    assert (finding["file"], finding["line"]) == (None, None)
    (rule,) = (each.to_json() for each in reported({"assert": "1 == 2", "on": "tool:delete_*"}).rules)
    assert (rule["state"], rule["skipped"]) == ("skipped", "there was no tool:delete_*")


def test_a_pattern_finds_a_component_of_the_programs_own(run, broken):
    """As in the debugger, its name stands for all its spans; a name of something else is no component."""
    run.call("retrieval", "documents", 0.1, {})
    run.call("mcp", "tools/list", 0.1, {})
    for pattern in ("retrieval", 'retrieval:"doc*"', "documents", "mcp", "mcp:tools/*"):
        (finding,) = broken({"forbid": pattern})
        assert finding.subject in {"retrieval:documents", "mcp:tools/list"}
    for pattern in ("retriev*", "list"):
        assert broken({"forbid": pattern}) == ()


def test_a_finding_has_its_events_its_place_and_its_level(good, broken, recording):
    """What is told of a forbidden call: the rule, the user's words, the event, the line, how often."""
    good.begin("Support")
    good.tool("search", query="sofa")
    good.finish()
    rule = {"name": "no-search", "forbid": "tool:search", "level": "warning", "message": "Ask first"}
    (finding,) = broken(rule)
    assert (finding.id, finding.severity, finding.subject) == ("no-search", "warning", "tool:search")
    assert finding.evidence == "Ask first: tool search is forbidden and was called (2 times)"
    assert [recording.events[n - 1]["event_type"] for n in finding.events] == ["tool_call_start"] * 2
    assert finding.site == ("app/main.py", 50)
    assert finding.count == 2


def test_of_very_many_findings_the_rest_is_counted(run, broken, monkeypatch):
    """A run that breaks a rule over and over has them all in the count, and no more of them in memory than are told."""
    monkeypatch.setattr(conduct, "_KEPT", 3)
    for _ in range(8):
        run.tool("search")
    (finding,) = broken({"forbid": "tool:search"})
    assert finding.count == 8


def test_everything_that_is_missing_is_named_or_the_first_of_an_order(good, broken):
    """Without an order each is a finding of its own; with one, what would come after the first tells nothing."""
    missing = ["tool:refund", "search", "tool:ship"]
    findings = broken({"require": missing})
    assert [finding.subject for finding in findings] == ["tool:refund", "tool:ship"]
    assert all("there was no tool:" in finding.evidence for finding in findings)
    (first,) = broken({"require": missing, "in_order": True})
    assert first.subject == "tool:refund"
    assert broken({"require": ["llm if answered", "tool:search"]}) == ()


def test_too_many_calls_name_those_beyond_and_the_line_of_the_last(run, broken):
    """The events are the calls that were one too many."""
    for line in (50, 60, 70):
        run.tool("search", end={"call_site": f"app/main.py:{line}"})
    (finding,) = broken({"calls": "tool:search", "at_most": 1})
    assert (finding.events, finding.site) == ((3, 5), ("app/main.py", 70))
    assert "tool:search: 3 times; at most 1 are allowed" in finding.evidence


def test_a_schema_is_held_against_what_came_out(run, broken):
    """Of a model its text, of a tool its result, of an agent all that it gave; what failed or never ended gave nothing."""
    run.begin("Support")
    run.llm("[]")
    run.tool("search", result=[])
    run.tool("search", end={"status": "failed", "error": "timed out"})
    run.recording.start("tool", "search", run.at, run.agents[0])
    run.recording.end(run.agents.pop(), run.at, outputs={"answer": 1})
    for on, kind in (("llm", "string"), ("tool:search", "array"), ("agent", "object")):
        assert broken({"schema": {"type": kind}, "on": on}) == ()
        (finding,) = broken({"schema": {"type": "number"}, "on": on})
        assert "is not of type 'number'" in finding.evidence
        assert {run.recording.events[n - 1]["event_type"].rpartition("_")[2] for n in finding.events} == {
            "end"
        }
    (finding,) = broken({"schema": {}, "on": "tool:search", "of": "outputs.price"})
    assert "outputs.price: there is no value to compare with the schema" in finding.evidence


def test_a_fingerprint_stays_the_same_in_another_run(good, broken, recording):
    """Numbers, times and lines move; the finding is still the same one, and another one has another fingerprint."""
    (before,) = broken({"name": "x", "forbid": "tool:search"})
    good.begin("Support")
    good.llm("More words than before")
    good.tool("search", query="sofa", end={"call_site": "app/other.py:50"})
    good.finish()
    for event in recording.events:
        if event.get("call_site") == "app/main.py:50":
            event["call_site"] = "app/main.py:58"
    again, other = broken({"name": "x", "forbid": "tool:search"})
    assert again.fingerprint == before.fingerprint != other.fingerprint
    assert again.site != before.site


def test_no_tool_may_follow_a_refusal_of_the_same_agent(run, broken):
    """A tool call after a refusal is found; one of another agent is not."""
    run.begin("Boss")
    run.begin("Careful")
    run.llm(outputs={"finish_reason": "content_filter"})
    run.finish()
    run.tool("search")
    run.finish()
    rule = {"forbid": "tool", "after": "llm if refused"}
    assert broken(rule) == ()
    run.begin("Careful")
    run.tool("delete_all")
    run.finish()
    (finding,) = broken(rule)
    assert finding.subject == "tool:delete_all"
    assert "tool delete_all was called after llm if refused had happened" in finding.evidence
    assert len(finding.events) == 2


def test_failures_are_findings_unless_another_attempt_made_them_good(run, broken):
    """What failed for good is found with its category; what a retry mended is not."""
    run.llm(status="failed", error="Rate limit reached", error_type="RateLimitError")
    first = run.recording.events[0]["event_id"]
    run.llm("fine", retry_count=1, metadata={"retry_of": first})
    assert broken({"no": "failures"}) == ()
    run.tool("search", end={"status": "failed", "error": "timed out", "error_type": "TimeoutError"})
    (finding,) = broken({"no": "failures"})
    assert "tool search failed (timeout): TimeoutError: timed out" in finding.evidence
    assert finding.events == (5, 6)
    assert broken({"no": "failures", "of": "timeout"})
    assert broken({"no": "failures", "of": ["rate_limit"]}) == ()
    assert broken({"limit": "retries < 1"})


def test_the_innermost_open_span_is_found(run, broken):
    """A run that was killed shows where."""
    run.begin("Support")
    run.recording.start("tool", "search", 1, run.agents[0], call_site="app/main.py:50")
    (finding,) = broken({"no": "open_spans"})
    assert finding.subject == "tool:search"
    assert finding.site == ("app/main.py", 50)


def test_a_run_that_was_killed_between_two_calls_did_not_come_to_its_end(run, broken):
    """Nothing was open when it was killed: what is missing is the end of the run itself."""
    run.recording.add("trace_start", 0, metadata={"format": 2, "process": 0})
    run.tool("search")
    (finding,) = broken({"no": "open_spans"})
    assert (finding.subject, finding.events) == ("run", (3,))
    assert "the run never ended: the last event is 3" in finding.evidence
    run.recording.add("trace_end", 9, metadata={})
    assert broken({"no": "open_spans"}) == ()


@pytest.fixture
def retried(run):
    """Two calls of the model and a tool that comes through at its second attempt."""
    run.begin("Support")
    run.llm(tools=["search"], read=100, written=20)
    run.tool("search", 0.25, end={"status": "failed", "error": "slow", "error_type": "TimeoutError"})
    first = run.recording.events[-1]["parent_event_id"]
    run.tool("search", 0.125, end={"retry_count": 1, "metadata": {"retry_of": first}})
    run.llm("It costs 39.90 EUR.", seconds=1, read=300, written=40, memory_usage_mb=70.5)
    run.finish()
    return run


@pytest.mark.parametrize(
    ("by", "measures"),
    [
        ("run", {"calls": 4, "llm_calls": 2, "tool_calls": 2, "retries": 1, "turns": 2, "failures": 0}),
        ("run", {"duration_ms": 1875, "longest_ms": 1000}),
        ("agent", {"duration_ms": 1875, "longest_ms": 1875}),
        ("agent", {"calls": 4, "llm_calls": 2, "tool_calls": 2, "retries": 1, "turns": 2, "failures": 1}),
        ("model", {"calls": 2, "failures": 0, "retries": 0, "duration_ms": 1500, "longest_ms": 1000}),
        ("tool", {"calls": 2, "failures": 1, "retries": 1, "duration_ms": 375, "longest_ms": 250}),
        *(
            (by, {"tokens": 460, "input_tokens": 400, "output_tokens": 60, "context_tokens": 300, "memory_mb": 70.5})
            for by in ("run", "agent", "model")
        ),
    ],
)  # fmt: skip
def test_each_measure_is_what_the_calls_of_its_subject_add_up_to(retried, broken, by, measures):
    """Of the run, of an agent with all inside it, of a model and of a tool; a retry mends a failure of the run alone."""
    for measure, value in measures.items():
        assert broken({"limit": f"{measure} == {value}", "by": by}) == (), measure


@pytest.mark.parametrize(
    ("rule", "message", "events"),
    [
        ({"limit": "tokens < 9"}, "the run: tokens is 460; the limit is tokens < 9", (8,)),
        (
            {"limit": "tokens < 9 or calls < 2", "by": "agent"},
            "agent Support: calls is 4, tokens is 460; the limit is tokens < 9 or calls < 2",
            (8,),
        ),
        ({"limit": "retries < 1"}, "the run: retries is 1; the limit is retries < 1", (6,)),
        (
            {"limit": "failures < 1", "by": "tool"},
            "tool search: failures is 1; the limit is failures < 1",
            (4,),
        ),
        ({"limit": "tool_calls < 2"}, "the run: tool_calls is 2; the limit is tool_calls < 2", (6,)),
        (
            {"limit": "calls < 2", "by": "tool"},
            "tool search: calls is 2; the limit is calls < 2",
            (6,),
        ),
        (
            {"limit": "longest_ms < 250", "by": "tool"},
            "tool search: longest_ms is 250; the limit is longest_ms < 250",
            (4,),
        ),
        (
            {"limit": "duration_ms < 300", "by": "tool"},
            "tool search: duration_ms is 375; the limit is duration_ms < 300",
            (4,),
        ),
        ({"limit": "cost < 0.0001"}, "the run: cost is $0.001; the limit is cost < 0.0001", (8,)),
        (
            {"limit": "context_tokens < 99 or turns < 2"},
            "the run: context_tokens is 300, turns is 2; the limit is context_tokens < 99 or turns < 2",
            (8,),
        ),
        ({"limit": "llm_calls < 2"}, "the run: llm_calls is 2; the limit is llm_calls < 2", (8,)),
        (
            {"limit": "memory_mb < 70"},
            "the run: memory_mb is 70.5; the limit is memory_mb < 70",
            (8,),
        ),
    ],
)
def test_a_limit_tells_whose_it_is_and_which_call_has_the_most(retried, broken, rule, message, events):
    """What was measured beside what is allowed; the run as a whole stands on no line."""
    (finding,) = broken(rule)
    assert (finding.evidence, finding.events) == (message, events)
    assert (finding.site is None) == ("by" not in rule)


def test_a_limit_knows_the_tokens_and_the_cost_by_both_names(good, broken):
    """The names of the fields of an event mean the measures, and those of the measures the fields."""
    assert broken({"limit": "tokens_used < 1 or cost_estimate < 0"})
    assert broken({"limit": "tokens_used > 1"}) == ()
    assert broken({"assert": "tokens == tokens_used and tokens > 1", "on": "llm"}) == ()


def test_tokens_that_are_told_in_parts_only_are_added_up(run, broken):
    """Where a call tells no total, and where it tells one part only; what is no number of tokens is none."""
    for usage in ({"input_tokens": 30, "output_tokens": 4}, {"input_tokens": 6}, {"output_tokens": 2}):
        run.call("llm", MODEL, 0.1, {}, outputs={"text": "x"}, usage=usage | {"reasoning_tokens": -1})
    assert (
        broken({"limit": "tokens == 42 and input_tokens == 36 and output_tokens == 6", "by": "model"}) == ()
    )


def test_a_call_that_failed_leaves_the_tokens_known(run, broken):
    """It was answered with none; and vectors are no answer whose parts would have to be known."""
    run.llm("fine")
    run.call("llm", MODEL, 0.1, {}, status="failed", error="slow")
    run.call("llm", "embedder", 0.1, {}, outputs={"vectors": 1}, tokens_used=5)
    assert broken({"limit": "tokens == 125 and input_tokens == 100 and output_tokens == 20"}) == ()
    assert broken({"limit": "input_tokens == 100", "by": "model", "of": MODEL}) == ()


def test_an_answer_is_a_text_that_asks_for_no_tool(run, broken):
    """Words beside a request for a tool, of a call that failed, or of a refusal are none."""
    run.llm("Let me look.", tools=["search"])
    run.llm("It co", status="failed", error="cut off")
    run.llm("I cannot.", outputs={"refusal": "I cannot."})
    run.llm("")
    assert broken({"forbid": "llm if answered"}) == ()
    run.call("tool", "search", 0.1, {}, outputs={"text": "found"})
    assert broken({"forbid": "tool if answered or refused"}) == ()
    run.llm("It costs 39.90 EUR.")
    (finding,) = broken({"forbid": "llm if answered"})
    assert finding.count == 1


def test_an_expression_on_spans_knows_whose_they_are(good, broken):
    """By the name of the model, of the tool or of the agent, which the others do not have, and by who owns them."""
    names = {"llm": MODEL, "tool": "search", "agent": "Support"}
    for kind, name in names.items():
        others = " and ".join(f"{other} == null" for other in names if other != kind)
        assert broken({"assert": f'{kind} == "{name}" and {others}', "on": f"span if kind == '{kind}'"}) == ()
    assert broken({"assert": 'owner == "Support" and n > 0 and not open and not failed', "on": "tool"}) == ()


def test_a_cost_that_a_tool_tells_is_its_own(run, broken):
    """Where a recording holds it."""
    run.tool("search", end={"cost_estimate": 0.25})
    run.tool("mail")
    assert broken({"assert": "cost == 0.25", "on": "tool:search"}) == ()
    assert broken({"assert": "cost == null", "on": "tool:mail"}) == ()


def test_an_assertion_about_failures_names_them(run, broken):
    """The rows of the sections it reads are its proof; the whole run has no other."""
    run.llm("fine")
    run.tool("search", end={"status": "failed", "error": "no"})
    run.tool("mail", end={"status": "failed", "error": "no"})
    (finding,) = broken("errors.total_errors == 0")
    assert finding.events == (3, 5)
    (finding,) = broken("tokens < 1")
    assert finding.events == ()


def test_failures_of_some_categories_only(run, broken):
    """Behind those of others as well; two that differ are two findings of the one rule."""
    run.tool("search", end={"status": "failed", "error": "x"})
    for words in ("no such order", "no such customer"):
        run.tool("find", end={"status": "timeout", "error": words})
    findings = broken({"no": "failures", "of": ["timeout"]})
    assert [finding.evidence for finding in findings] == [
        "tool find failed (timeout): no such order",
        "tool find failed (timeout): no such customer",
    ]
    assert [finding.events for finding in findings] == [(3, 4), (5, 6)]
    assert len({finding.fingerprint for finding in findings}) == 2


def test_turns_of_an_agent_are_those_it_tells_else_its_model_calls(run, broken):
    """A turn may ask the model twice; attempts that were made again are no turns of their own."""
    rules = [{"limit": "turns == {}"}, {"limit": "turns == {}", "by": "agent"}]
    run.begin("Support")
    run.llm(status="failed", error="slow")
    first = run.recording.events[-1]["parent_event_id"]
    run.llm(tools=["search"], retry_count=1, metadata={"retry_of": first})
    run.llm("fine")
    assert [broken(rule | {"limit": rule["limit"].format(2)}) for rule in rules] == [(), ()]
    run.recording.end(
        run.recording.start("agent", "Support", run.at, run.agents[0], kind="agent_turn"), run.at
    )
    assert [broken(rule | {"limit": rule["limit"].format(1)}) for rule in rules] == [(), ()]


def test_what_began_before_is_not_after(run, broken, recording):
    """A call that was under way when the other ended is not one that came after it, whenever it ends itself."""
    run.begin("Support")
    slow = recording.start("tool", "pay", run.at, run.agents[0])
    run.tool("approve")
    recording.end(slow, run.at)
    rule = {"forbid": "tool:pay", "after": "tool:approve"}
    assert broken(rule) == ()
    run.tool("pay")
    (finding,) = broken(rule)
    assert (finding.events, finding.count) == ((4, 6), 1)


def test_an_order_that_is_broken_names_the_call_that_came_too_early_and_the_one_before_it(run, broken):
    """Both are the proof."""
    for tool in ("mail", "search", "refund"):
        run.tool(tool)
    (finding,) = broken({"require": ["search", "tool:refund", "tool:mail"], "in_order": True})
    assert finding.evidence == "tool:mail came before tool:refund and not after it"
    assert finding.events == (1, 5)


def test_an_event_that_breaks_a_rule_is_named_with_its_line(good, broken):
    """By its type and its name, and by the type alone where it has no name."""
    rule = {"assert": 'inputs.arguments.query == "x"', "on": 'event if event_type == "tool_call_start"'}
    (finding,) = broken(rule)
    assert finding.evidence.startswith("tool_call_start search: not ")
    assert (finding.subject, finding.events, finding.site) == ("tool_call_start", (4,), ("app/main.py", 50))
    for event in good.recording.events:
        event.pop("component_name", None)
        event.pop("call_site", None)
    (finding,) = broken(rule)
    assert finding.evidence.startswith("tool_call_start: not ")
    assert finding.site is None


def test_a_loop_is_found(run, broken):
    """The same call with the same arguments over and over is a loop."""
    run.begin("Support")
    for _ in range(2):
        run.tool("search", query="lamp")
    assert broken({"no": "loops"}) == ()
    for _ in range(8):
        run.llm(tools=["search"])
        run.tool("search", query="lamp")
    run.finish()
    assert any("loop" in finding.evidence for finding in broken({"no": "loops"}))


def test_a_handled_exception_is_found_unless_it_is_allowed(run, broken):
    """Each type in each function once, at its line; edits of other lines do not change its name."""
    for line, error_type in ((17, "ValueError"), (17, "ValueError"), (30, "KeyError")):
        run.recording.add(
            "exception_handled",
            run.at,
            error_type=error_type,
            error="no",
            call_site=f"app/rates.py:{line}",
            metadata={"function": "convert", "exit": "return", "until": line},
            outputs={"result": 0},
        )
    found = broken({"no": "handled_exceptions"})
    assert [(each.subject, each.evidence, each.events, each.site) for each in found] == [
        (
            "function:convert",
            "convert handled ValueError: no and returned 0 (2 times)",
            (1, 2),
            ("app/rates.py", 17),
        ),
        ("function:convert", "convert handled KeyError: no and returned 0", (3,), ("app/rates.py", 30)),
    ]
    (found,) = broken({"no": "handled_exceptions", "except": ["ValueError in convert"]})
    assert "KeyError" in found.evidence
    assert (
        broken({"no": "handled_exceptions", "except": ["ValueError in convert", "KeyError in convert"]}) == ()
    )


def test_the_triggers_are_built_in_rules(run, broken, reported):
    """A check evaluates them as the section does, by their names; one that could not look is not kept."""
    run.begin("Support")
    for _ in range(8):
        run.llm(tools=["search"])
        run.tool("search", query="lamp")
    run.finish()
    (finding,) = broken({"trigger": "loop"})
    assert (finding.subject, finding.severity) == ("tool:search", "error")
    assert finding.evidence.startswith("loop: 2 is over 0 loops")
    assert finding.suggestion == f"namel3ss debug inspect --event {finding.events[0]}"
    report = reported({"trigger": ["cpu"]})
    assert report.rules[0].skipped == "the trace holds no CPU time"


def test_a_secret_is_found_and_not_told(run, broken):
    """What redaction would have taken out is found with its place; a placeholder is not, and the secret is not told."""
    secret = "sk-proj-" + "Ab3xYz9Qw7" * 6
    run.tool("fetch", headers={"authorization": "[REDACTED:key]"}, api_key="[REDACTED:key]")
    assert broken({"no": "secrets"}) == ()
    run.tool("fetch", text=f"use {secret}, not [REDACTED:key]", nested=[{"password": "hunter2hunter2"}])
    run.tool("fetch", db={"password": 123456}, flags={"password": True}, none={"password": ""})
    findings = broken({"no": "secrets"})
    assert {finding.subject for finding in findings} == {"tool:fetch"}
    assert {finding.site for finding in findings} == {("app/main.py", 50)}
    assert {finding.evidence.split(") in ")[1] for finding in findings} == {
        "inputs.arguments.text",
        "inputs.arguments.nested[].password",
        "inputs.arguments.db.password",
    }
    assert len(findings) == 3
    assert all(secret not in finding.evidence and "hunter2" not in finding.evidence for finding in findings)


def test_an_embedding_is_no_answer_and_no_turn(good, broken):
    """An agent that puts its answer into a memory at the end has answered, in as many turns as without."""
    good.begin("Support")
    good.call("llm", "embedder", 0.1, {}, outputs={"vectors": 1, "dimensions": 8}, tokens_used=5)
    good.finish()
    for by in ({}, {"by": "agent"}):
        assert broken({"limit": "answered and turns == 2 and llm_calls == 3", **by}) == ()


def test_what_is_not_known_breaks_a_limit(run, broken):
    """A call without usage or price leaves a budget undecided, which is a finding that says so."""
    run.llm("fine")
    run.call("llm", "unheard-of-model", 0.1, {}, outputs={"text": "x"}, usage={"input_tokens": 5})
    (finding,) = broken({"limit": "cost < 100"})
    assert "cost is not known: 1 call has no price" in finding.evidence
    assert broken({"limit": "cost < 100", "by": "model", "of": MODEL}) == ()
    (finding,) = broken({"limit": "memory_mb < 100"})
    assert "memory_mb is not known: no memory was recorded" in finding.evidence
    run.call("llm", "unheard-of-model", 0.1, {}, outputs={"text": "x"})
    (finding,) = broken({"limit": "tokens < 100", "by": "model", "of": "un*"})
    assert "model unheard-of-model: tokens is not known: 1 call has no usage" in finding.evidence
    (finding,) = broken({"limit": "tokens < 1000 and output_tokens < 1000"})
    assert "the run: output_tokens, tokens are not known: 1 call has no usage" in finding.evidence


@pytest.mark.parametrize("by", ["run", "agent", "model"])
def test_a_total_of_tokens_does_not_tell_how_many_were_read(run, broken, by):
    """Of a call that tells nothing but a total, what it read and wrote is not known, and so no limit of that is kept."""
    run.begin("Support")
    run.call("llm", MODEL, 0.1, {}, outputs={"text": "x"}, tokens_used=5000)
    run.finish()
    assert broken({"limit": "tokens == 5000", "by": by}) == ()
    for measure in ("input_tokens", "output_tokens", "context_tokens"):
        (finding,) = broken({"limit": f"{measure} < 1000", "by": by})
        assert f"{measure} is not known: 1 call has only a total of tokens" in finding.evidence


def test_a_cost_without_any_price_asks_for_the_extra(run, broken, own_prices, no_published_prices):
    """Where no cost is known because the prices are not installed, the check cannot be done."""
    own_prices({})
    run.llm("fine")
    for rule in ({"limit": "cost < 1"}, {"limit": "cost < 1", "by": "model"}, "cost < 1"):
        with pytest.raises(MissingExtraError, match=r"pip install 'namel3ss-debug\[prices\]'"):
            broken(rule)
    with pytest.raises(MissingExtraError, match="prices"):
        broken("resource_usage.cost.total < 1")


def test_the_highest_memory_is_that_of_the_subject(run, broken):
    """The memory of the process while a tool ran counts for the tool and for the run."""
    run.tool("small", end={"memory_usage_mb": 50.0})
    run.tool("big", end={"memory_usage_mb": 500.0})
    (finding,) = broken({"limit": "memory_mb < 100", "by": "tool"})
    assert finding.subject == "tool:big"
    assert broken({"limit": "memory_mb < 501"}) == ()
    assert broken({"limit": "memory_mb < 500"})


def test_a_key_that_the_analysis_does_not_have_is_an_error_of_the_rule(good, broken):
    """A misspelt key would be null for ever, so it is refused with what is meant."""
    with pytest.raises(RuleError, match=r"errors has no 'total_erors'; did you mean 'total_errors'"):
        broken("errors.total_erors == 0")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("tokens\n  < 100 and errors.total_errors == 0", ": tokens is 240, errors.total_errors is 0"),
        (
            {"assert": 'arguments.query == "sofa" and len(result) > 3', "on": "tool"},
            'tool search: not (arguments.query == "sofa" and len(result) > 3): arguments.query is "lamp"',
        ),
        ({"assert": "duration_ms < 100 or n > 9", "on": "llm"}, "duration_ms is 500, n is 2"),
        ({"assert": "any(c.name == 'x' for c in outputs.tool_calls)", "on": "llm if not answered"}, '[{"id"'),
        ({"assert": "usage.reasoning_tokens > 0", "on": "llm"}, "usage.reasoning_tokens is not known"),
    ],
)
def test_a_message_tells_what_the_expression_read(good, broken, rule, said):
    """The values that made an expression untrue stand behind it."""
    assert said in broken(rule)[0].evidence


def test_a_schema_fetches_nothing(good, broken):
    """A schema that refers to another one elsewhere is an error of the rule, and no request."""
    with pytest.raises(RuleError, match="schema"):
        broken({"schema": {"$ref": "http://127.0.0.1:9/never.json"}, "on": "tool:search"})


def test_of_many_occurrences_some_are_listed_and_all_are_counted(run, broken):
    """A finding that happens thousands of times is one finding with its first hundred events."""
    for _ in range(150):
        run.tool("search")
    (finding,) = broken({"forbid": "tool"})
    assert len(finding.events) == 100
    assert finding.count == 150


def test_the_same_run_gives_the_same_findings(good, broken):
    """Two checks of one recording give the same document."""
    assert broken({"forbid": "tool"}) == broken({"forbid": "tool"})


@pytest.mark.parametrize(
    ("written", "site"),
    [
        ("/srv/app/main.py:4", ("app/main.py", 4)),
        ("main.py:12", ("main.py", 12)),
        ("/elsewhere/main.py:1", ("/elsewhere/main.py", 1)),
        ("C:\\app\\main.py:3", ("C:/app/main.py", 3)),
        ("main.py", None),
        ("main.py:0", None),
        (None, None),
    ],
)
def test_a_call_site_is_a_file_and_a_line(written, site):
    """Files below the directory of the run are named relative to it; what is no site is none."""
    assert parse_site(written, "/srv") == site


EVERYTHING = [
    *(rule for pair in KEPT_AND_BROKEN for rule in pair),
    *({"no": state} for state in ("failures", "open_spans", "loops", "handled_exceptions", "secrets")),
    {"baseline": ["failures", "duration", "cost", "tokens", "calls", "retries", "path", "divergence"]},
]


@settings(max_examples=10)
@given(data=st.data())
def test_any_recording_can_be_checked(traces, data, tmp_path_factory):
    """Whatever is lost, late or there twice in a recording, the answer is the same each time and names its events."""
    folder = tmp_path_factory.mktemp("any")
    for name in ("a", "b"):
        events = data.draw(traces.filter(bool))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    report = check_trace(folder / "a.jsonl", EVERYTHING, baseline=folder / "b.jsonl")
    assert report == check_trace(folder / "a.jsonl", EVERYTHING, baseline=folder / "b.jsonl")
    for finding in report.findings:
        assert finding.evidence
        assert all(1 <= number <= report.events for number in finding.events)
        assert list(finding.events) == sorted(set(finding.events))
    prints = [(finding.id, finding.fingerprint) for finding in report.findings]
    assert len(prints) == len(set(prints))


def test_the_measures_agree_with_the_analysis(good, broken, recording, tmp_path):
    """Tokens and cost of agents and models are those that the section `resource_usage` tells."""
    good.begin("Other")
    good.llm("more", read=7, written=3)
    good.finish()
    assert broken("tokens == 250") == ()
    run, _ = observe(open_trace(tmp_path / "run.jsonl"), [], None, None, always=True)
    used = run.document["resource_usage"]
    for by, rows in (("agent", "by_agent"), ("model", "by_model")):
        measured = {name: each.values() for name, each in run.measured[by].items()}
        assert {name: row["tokens"] for name, row in measured.items()} == {
            name: row["total"] for name, row in used["tokens"][rows].items()
        }
        assert {name: row["cost"] for name, row in measured.items()} == used["cost"][rows]
