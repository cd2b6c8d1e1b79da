"""The questions of older guides: each is answered by the analysis that the commands use."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import (
    AgentLogger,
    LearningLogger,
    LogAnalyzer,
    TraceAnalyzer,
    analyze_session,
    debug_issue,
    initialize_tracing,
    shutdown_tracing,
)
from namel3ss_debug.analysis.failures.explain import explain
from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError, WrongUsageError
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of two agents: one acts, learns and fails, the other is only called."""
    tracer = initialize_tracing(trace_output_dir=str(tmp_path_factory.mktemp("traces")))
    planner, learner = AgentLogger("Planner"), LearningLogger("Planner")
    with tracer.span("agent", "Planner"):
        planner.log_action("look around")
        planner.log_action("look around")
        planner.log_action("give up", level="error")
        planner.log_decision("ask", options=["ask", "wait"])
        planner.log_state_change("idle", "busy")
        for step, loss in enumerate([0.75, 0.5, 0.25]):
            learner.log_training_step(step, loss=loss)
        learner.log_reward(2.0)
        learner.log_exploration_exploitation("exploration", epsilon=0.5)
        learner.log_exploration_exploitation("exploitation", epsilon=0.25)
        tracer.emit(
            "agent_message", component="agent", metadata={"from": "Planner", "to": "Helper", "text": "?"}
        )
        with (
            tracer.span("agent", "Helper"),
            pytest.raises(ValueError, match="empty"),
            tracer.span("tool", "search", {"q": ""}),
        ):
            raise ValueError("the question is empty")
    return shutdown_tracing()


def test_what_agents_did_is_counted(recorded):
    """Actions by their words, and what each agent decided, called and ended with."""
    helper, planner = LogAnalyzer(recorded).analyze_agent_activity()["agents"]
    assert planner["agent"] == "Planner"
    assert planner["actions"] == [{"action": "look around", "count": 2}, {"action": "give up", "count": 1}]
    assert (planner["decisions"], planner["state_changes"], planner["messages"]) == (1, 1, 1)
    assert (planner["executions"], planner["failed_executions"]) == (1, 0)
    assert planner["records"] == {"info": 8, "error": 1}
    assert helper["calls"] == [{"component": "tool", "component_name": "search", "count": 1}]
    assert (helper["failed_calls"], helper["executions"]) == (1, 1)
    assert [row["agent"] for row in LogAnalyzer(recorded).analyze_agent_activity("help*")["agents"]] == [
        "Helper"
    ]


def test_how_an_agent_learnt_is_told_by_its_figures(recorded):
    """Each figure from its first to its last, and how often something new was tried."""
    (row,) = LogAnalyzer(recorded).analyze_learning_progress()["agents"]
    assert (row["agent"], row["training_steps"], row["records"]) == ("Planner", 3, 6)
    assert row["figures"]["loss"] == {
        "count": 3, "first": 0.75, "last": 0.25, "min": 0.25, "max": 0.75, "mean": 0.5,
    }  # fmt: skip
    assert row["figures"]["reward"]["last"] == 2.0
    assert (row["exploration_share"], row["exploration"], row["exploitation"]) == (0.5, 1, 1)
    assert LogAnalyzer(recorded).analyze_learning_progress("Nobody")["agents"] == []


def test_sections_are_those_of_analyze(recorded):
    """Errors, patterns and interactions are not counted in another way."""
    document = TraceAnalyzer(recorded, sections=["errors", "patterns", "interactions"]).analyze()
    analyzer = LogAnalyzer(recorded)
    assert analyzer.find_error_patterns().items() >= {n: document[n] for n in ("errors", "patterns")}.items()
    assert analyzer.analyze_interactions().items() >= document["interactions"].items()


def test_errors_are_listed_in_order(recorded):
    """What was logged from the level error on, and what ended failed; by agent, and at most so many."""
    found = LogAnalyzer(recorded).get_errors()
    assert [(row["source"], row["message"]) for row in found] == [
        ("Planner", "give up"),
        ("search", "the question is empty"),
    ]
    assert [row["agent"] for row in found] == ["Planner", "Helper"]
    assert LogAnalyzer(recorded).get_errors("Helper") == found[1:]
    assert LogAnalyzer(recorded).get_errors(limit=1) == found[:1]


def test_the_worst_failure_is_explained_where_none_is_named(recorded):
    """As `debug explain` does with its number."""
    analyzer = LogAnalyzer(recorded)
    number = analyzer.find_error_patterns()["errors"]["failures"][0]["number"]
    assert analyzer.find_causality_chain() == explain(open_trace(recorded), number)
    assert analyzer.find_causality_chain(2) == explain(open_trace(recorded), 2)
    told = debug_issue(recorded)
    assert told["causality"]["number"] == number
    assert told["errors"]["total_errors"] == 1


def test_a_journey_is_that_of_the_command(recorded):
    """Its steps in order; a name that is not there is told."""
    told = LogAnalyzer(recorded).trace_agent_journey("Helper")
    own = [step["component_name"] for step in told if step["depth"] == 0]
    assert "Helper" in own
    assert [step["status"] for step in told if step["component_name"] == "search"] == ["failed"]
    assert any(step["message"].startswith("Helper begins") for step in told)
    with pytest.raises(WrongUsageError, match="nothing in this trace is called"):
        LogAnalyzer(recorded).trace_agent_journey("Nobody")


def test_everything_is_exported_as_one_document(recorded, tmp_path):
    """The same for the file, whose folder is made, and for the program; a recording without failures has nothing to explain."""
    file = tmp_path / "trace" / "all.json"
    written = LogAnalyzer(recorded).export_analysis(file)
    assert json.loads(file.read_text()) == written == analyze_session(recorded)
    assert written["schema"] == "namel3ss-debug/log-analysis/1"
    with pytest.raises(WrongUsageError, match="cannot write"):
        LogAnalyzer(recorded).export_analysis(file / "all.json")
    tracer = initialize_tracing(trace_output_dir=str(tmp_path / "traces"))
    tracer.emit("decision", component="app")
    assert analyze_session(shutdown_tracing())["causality"] is None


def test_a_recording_is_found_as_by_the_commands(recorded, tmp_path):
    """By its folder as well; what is not there is one line."""
    assert LogAnalyzer(recorded.parent).trace.path.resolve() == recorded
    with pytest.raises(TraceNotFoundError):
        LogAnalyzer(tmp_path / "none.jsonl")


@pytest.mark.parametrize("ask", [LogAnalyzer, analyze_session, debug_issue])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"a": 1}\n', "line 1: not an event"),
        ("", "it is empty"),
        ('{"event_type":"trace_start","event_id":"1","se', "only the beginning of a line"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, ask, content, why):
    """A file without an event has no clean bill: it is refused as by the commands."""
    (tmp_path / "other.jsonl").write_text(content)
    with pytest.raises(UnreadableTraceError, match=rf"there is no event in it \({why}\)"):
        ask(tmp_path / "other.jsonl")
