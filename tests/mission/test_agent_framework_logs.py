"""Every example of agent-framework-logs.txt works with its import line changed."""

from __future__ import annotations

import ast
import json
import logging
from types import SimpleNamespace

import pytest

from namel3ss_debug import LogAnalyzer, initialize_tracing, setup_logging, shutdown_tracing
from namel3ss_debug.capture.seams.logs import files
from namel3ss_debug.traces.reader import open_trace

BASIC = """
from namel3ss_debug import AgentLogger, LearningLogger, PerformanceLogger

agent_logger = AgentLogger(agent_id="creator_001", agent_role="creator")

agent_logger.log_action(
    action_type="create_content",
    action_data={"content_type": "video", "duration": 30},
    decision_context={"trending_topic": "AI"}
)

agent_logger.log_decision(
    decision_type="content_timing",
    decision_data={"scheduled_time": "2025-01-15 18:00"},
    reasoning="Peak audience activity time"
)

agent_logger.log_learning_update(
    learning_stage="bandit",
    update_data={"epsilon": 0.1, "best_arm": "video_content"}
)
"""

LEARNING = """
from namel3ss_debug import LearningLogger
learning_logger = LearningLogger(learning_type="bandit", agent_id="creator_001")

learning_logger.log_training_step(
    step=100,
    metrics={"loss": 0.25, "accuracy": 0.85},
    model_state={"learning_rate": 0.001}
)

learning_logger.log_reward(
    action_id="action_123",
    reward=1.5,
    cumulative_reward=150.0
)

learning_logger.log_exploration_exploitation(
    action_selected="create_video",
    exploration=True,
    epsilon=0.1
)
"""

PERFORMANCE = """
from namel3ss_debug import measure_performance, trace_performance

with measure_performance("content_generation"):
    content = await generate_content()

@trace_performance("model_inference")
async def run_inference(model, input_data):
    return await model.predict(input_data)
"""

DECORATORS = """
from namel3ss_debug import trace_agent_action, trace_learning_update, trace_errors

class CreatorAgent:
    @trace_agent_action(action_type="create_content")
    async def create_content(self, context):
        content = await self._generate_content(context)
        return content

    @trace_learning_update(update_type="bandit_update")
    async def update_strategy(self, feedback):
        await self.bandit_learner.update(feedback)

    @trace_errors()
    async def risky_operation(self):
        result = await self._complex_operation()
        return result
"""

CONTEXT = """
from namel3ss_debug import trace_context

with trace_context(agent_logger, "viral_optimization", content_id="content_123"):
    optimized_content = optimize_for_virality(content)
"""

ANALYZER = """
from namel3ss_debug import LogAnalyzer

analyzer = LogAnalyzer()

agent_summary = analyzer.analyze_agent_activity("creator_001")
print(f"Total logs: {agent_summary['total_logs']}")
print(f"Actions: {agent_summary['action_counts']}")
print(f"Errors: {agent_summary['errors']}")

learning_progress = analyzer.analyze_learning_progress("creator_001")
print(f"Training steps: {learning_progress['total_training_steps']}")
print(f"Total rewards: {learning_progress['total_rewards']}")

error_patterns = analyzer.find_error_patterns()
print(f"Total errors: {error_patterns['total_errors']}")
print(f"Most common: {error_patterns['most_common_messages']}")

interactions = analyzer.analyze_interactions()
print(f"Total interactions: {interactions['total_interactions']}")
print(f"Viral content: {interactions['top_viral_content']}")

journey = analyzer.trace_agent_journey("creator_001")
for event in journey:
    print(f"{event['timestamp']}: {event['message']}")
"""

QUICK = """
from namel3ss_debug import analyze_session, debug_issue

analysis = analyze_session()
print(analysis)

report = debug_issue("Agent creator_001 not generating content")
print(report)
"""

EXPORT = """
from pathlib import Path

analyzer = LogAnalyzer()

analyzer.export_analysis(Path("trace/analysis_report.json"))
"""

WORKFLOW = """
report = debug_issue("Description of the issue")
print(report)

analyzer = LogAnalyzer()
errors = analyzer.find_error_patterns()

recent_errors = analyzer.get_errors()[-1]
causes = analyzer.find_causality_chain(recent_errors, lookback_seconds=60)

journey = analyzer.trace_agent_journey("creator_001")
"""

PRACTICES = """
from namel3ss_debug import AgentLogger, trace_agent_action
agent_logger = AgentLogger("creator_001", "creator")

agent_logger.log_action(
    action_type="create_content",
    action_data={
        "content_type": "video",
        "target_audience": "tech_enthusiasts",
        "estimated_reach": 10000
    },
    decision_context={
        "trending_topics": ["AI", "ML"],
        "audience_activity": "high",
        "time_of_day": "evening"
    }
)

agent_logger.info("Content generated", extra={
    "content_id": "c123",
    "content_type": "video",
    "duration": 30
})

agent_logger.info(f"Generated video content c123 with duration 30")

agent_logger.log_state_change(
    old_state={"learning_stage": "bandit", "follower_count": 100},
    new_state={"learning_stage": "reinforcement", "follower_count": 500},
    trigger="threshold_reached"
)

@trace_agent_action()
async def perform_action(self, context):
    pass
"""

COMPLETE = """
from namel3ss_debug import AgentLogger, PerformanceLogger, trace_agent_action, measure_performance

class CreatorAgent:
    def __init__(self, agent_id: str):
        self.agent_id = agent_id
        self.logger = AgentLogger(agent_id, "creator")
        self.performance_logger = PerformanceLogger()

        self.logger.info("Agent initialized", extra={
            "agent_type": "creator",
            "initial_state": {"followers": 0, "content_count": 0}
        })

    @trace_agent_action(action_type="create_content")
    async def create_content(self, context):
        with measure_performance("content_generation"):
            content = await self._generate_content(context)

        self.logger.log_content_generation(
            content_type=content.type,
            content_id=content.id,
            metadata=content.metadata
        )

        return content

    async def update_from_feedback(self, feedback):
        self.logger.log_learning_update(
            learning_stage=self.learning_stage,
            update_data={
                "reward": feedback.reward,
                "action": feedback.action
            }
        )

        await self.evolve_strategy()
"""


def read_events():
    """End the trace, and return its events as JSON."""
    return list(open_trace(shutdown_tracing()).events())


@pytest.fixture(autouse=True)
def traced(run_example, tmp_path):
    """Trace as `namel3ss debug trace` does, into the folder of the settings in force."""
    initialize_tracing(trace_output_dir=str(tmp_path / "debug" / "traces"))


ACTIONS = {
    "create_content": 2,
    "Content generated": 1,
    "Generated video content c123 with duration 30": 1,
    "the studio is closed": 1,
}


async def answer(*_arguments):
    """Stand for what the examples leave out."""
    return SimpleNamespace(type="video", id="c123", metadata={"length": 30})


async def fail(*_arguments):
    """Stand for an operation that fails."""
    raise ConnectionError("no route to the studio")


def test_basic_logging_is_recorded(run_example):
    """The action has its type, data and context; the decision its type, data and reason."""
    run_example(BASIC)
    records = read_events()
    action, update = (event["metadata"] for event in records if event["event_type"] == "log_record")
    assert (action["message"], action["category"]) == ("create_content", "agents")
    assert action["extra"] == {
        "content_type": "video",
        "duration": 30,
        "decision_context": {"trending_topic": "AI"},
        "agent_role": "creator",
    }
    (decision,) = (event for event in records if event["event_type"] == "decision")
    assert decision["outputs"] == {"decision": "content_timing"}
    assert decision["inputs"] == {
        "decision_data": {"scheduled_time": "2025-01-15 18:00"},
        "reasoning": "Peak audience activity time",
    }
    assert (update["category"], update["extra"]["best_arm"]) == ("learning", "video_content")


def test_the_figures_of_learning_reach_the_analyses(run_example):
    """A training step counts, its metrics are figures, and a reward and an exploration are what they are."""
    run_example(LEARNING)
    progress = LogAnalyzer().analyze_learning_progress("creator_001")
    assert (progress["total_training_steps"], progress["total_rewards"]) == (1, 1)
    (row,) = progress["agents"]
    assert {
        name: row["figures"][name]["last"] for name in ("loss", "accuracy", "reward", "cumulative_reward")
    } == {
        "loss": 0.25,
        "accuracy": 0.85,
        "reward": 1.5,
        "cumulative_reward": 150.0,
    }
    assert (row["exploration"], row["exploitation"]) == (1, 0)


def test_performance_is_measured(run_example):
    """The block is a marker with its time, the decorated call a step."""
    names = run_example(PERFORMANCE, generate_content=answer)
    model = SimpleNamespace(predict=answer)
    run_example("result = await run_inference(model, 1)", model=model)
    assert names["result"].id == "c123"
    trace = read_events()
    (marker,) = (event for event in trace if event["event_type"] == "performance_marker")
    assert marker["component_name"] == "content_generation"
    assert marker["metadata"]["duration_ms"] > 0
    assert any(event.get("component_name") == "model_inference" for event in trace if "duration_ms" in event)


def test_decorated_methods_are_recorded_and_their_errors_with_context(run_example):
    """The action and the update are steps; the error is an event with its stack, and still reaches the caller."""
    agent = run_example(DECORATORS)["CreatorAgent"]()
    agent._generate_content = agent._complex_operation = fail
    agent.bandit_learner = SimpleNamespace(update=answer)
    run_example("await agent.update_strategy('more')", agent=agent)
    for method in ("create_content('x')", "risky_operation()"):
        with pytest.raises(ConnectionError):
            run_example(f"await agent.{method}")
    trace = read_events()
    steps = {
        event["component_name"]: event["status"]
        for event in trace
        if event["event_type"].endswith("step_end")
    }
    assert steps == {"create_content": "failed", "bandit_update": "completed"}
    (error,) = (event for event in trace if event["event_type"] == "error_occurred")
    assert (error["error_type"], error["error"]) == ("ConnectionError", "no route to the studio")
    assert "in risky_operation" in error["stack_trace"]


def test_records_in_a_context_get_its_data(run_example):
    """All records inside have the id of the content; entry and exit are logged, with the elapsed time."""
    run_example(BASIC)
    logger = run_example("")["agent_logger"]
    run_example(CONTEXT, content="x", optimize_for_virality=lambda _content: logger.info("optimizing"))
    logger.info("done")
    records = {
        event["metadata"]["message"]: event["metadata"].get("extra", {})
        for event in read_events()
        if event["event_type"] == "log_record"
    }
    assert records["optimizing"]["content_id"] == "content_123"
    assert records["entering viral_optimization"]["content_id"] == "content_123"
    assert records["leaving viral_optimization"]["elapsed_ms"] > 0
    assert "content_id" not in records["done"]


def test_the_log_analyzer_answers_under_the_documented_keys(run_example, capsys):
    """Each line of the example prints what was logged in this session."""
    run_example(BASIC + LEARNING + PRACTICES)
    run_example("agent_logger.error('the studio is closed')")
    logging.getLogger("feed").warning("liked", extra={"category": "interactions", "content_id": "c123"})
    run_example(ANALYZER)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:4] == [
        "Total logs: 11",
        f"Actions: {ACTIONS}",
        "Errors: 1",
        "Training steps: 1",
    ]
    assert printed[4:9] == [
        "Total rewards: 1",
        "Total errors: 1",
        "Most common: [{'message': 'the studio is closed', 'count': 1}]",
        "Total interactions: 1",
        "Viral content: [{'content_id': 'c123', 'interactions': 1}]",
    ]
    journey = printed[9:]
    assert len(journey) == 11
    assert "create_content" in journey[0]
    assert "the studio is closed" in journey[-1]


def test_an_issue_in_words_finds_its_agent(run_example, capsys):
    """The report names the agent, its errors and its last actions, and explains the last of its failures."""
    run_example(BASIC)
    run_example("agent_logger.error('the studio is closed')")
    names = run_example(QUICK)
    analysis, report = (ast.literal_eval(line) for line in capsys.readouterr().out.splitlines())
    assert analysis["agent_activity"]["total_logs"] == 4
    assert report == names["report"]
    assert report["agents"] == ["creator_001"]
    activity = report["activity"]["creator_001"]
    assert [row["message"] for row in activity["errors"]] == ["the studio is closed"]
    assert activity["last_actions"][0]["message"] == "create_content"
    assert report["causality"]["number"] == activity["errors"][0]["number"]


def test_the_workflow_leads_from_an_error_to_what_came_before_it(run_example, log_files):
    """The chain of the last error has the log lines of the last minute; the export is one document."""
    run_example(BASIC)
    run_example("agent_logger.error('the studio is closed')")
    names = run_example("from namel3ss_debug import debug_issue, LogAnalyzer\n" + WORKFLOW)
    preceding = [row["message"] for row in names["causes"]["preceding"]]
    assert preceding == ["create_content", "content_timing", "learning update bandit"]
    assert names["report"]["agents"] == []
    run_example(EXPORT)
    assert json.loads((log_files / "analysis_report.json").read_text())["error_patterns"]["total_errors"] == 1


def test_the_complete_agent_runs(run_example):
    """Its initialization, its content with the figures of its making, and its update are recorded."""
    agent = run_example(COMPLETE)["CreatorAgent"]("creator_001")
    agent._generate_content, agent.evolve_strategy, agent.learning_stage = answer, answer, "bandit"
    run_example(
        "await agent.create_content('x'); await agent.update_from_feedback(feedback)",
        agent=agent,
        feedback=SimpleNamespace(reward=1.5, action="video"),
    )
    summary = LogAnalyzer().analyze_agent_activity("creator_001")
    assert summary["action_counts"] == {"Agent initialized": 1, "generated video": 1}
    content = [
        event["metadata"]["extra"]
        for event in read_events()
        if event["event_type"] == "log_record" and event["metadata"]["message"] == "generated video"
    ]
    assert content == [
        {"kind": "video", "content_id": "c123", "metadata": {"length": 30}, "agent_role": "creator"}
    ]


@pytest.fixture
def log_files(tmp_path):
    """Write log files into `trace` until the test ends."""
    root = logging.getLogger()
    level = root.level
    handler = setup_logging(directory=tmp_path / "trace")
    yield tmp_path / "trace"
    root.removeHandler(handler)
    root.setLevel(level)
    files.ACTIVE = None


def read_lines(path):
    """Return the JSON of each line of a log file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("is_traced", [True, False])
def test_log_files_have_the_documented_folders_and_fields(run_example, log_files, is_traced):
    """Each log has a folder, each agent a file in its session, and a line the fields of the document."""
    if not is_traced:
        shutdown_tracing()
    run_example(BASIC + LEARNING + PRACTICES)
    agent = run_example(DECORATORS)["CreatorAgent"]()
    agent._generate_content = fail
    with pytest.raises(ConnectionError):
        run_example("await agent.create_content('x')", agent=agent)
    logging.getLogger("framework").warning("loaded %s modules", 3)
    assert sorted(path.name for path in log_files.iterdir() if not path.name.startswith("session_")) == [
        "agents", "errors", "events", "interactions", "learning", "performance", "system",
    ]  # fmt: skip
    lines = read_lines(log_files / "agents" / "agents.log")
    assert list(lines[0]) == ["timestamp", "session_id", "level", "logger", "message", "extra"]
    assert (lines[0]["logger"], lines[0]["message"], lines[0]["level"]) == (
        "agent.creator",
        "Agent action: create_content",
        "INFO",
    )
    assert lines[0]["extra"] == {
        "agent_id": "creator_001",
        "agent_role": "creator",
        "event_type": "agent_action",
        "action_type": "create_content",
        "action_data": {
            "content_type": "video",
            "duration": 30,
            "decision_context": {"trending_topic": "AI"},
        },
    }
    (session,) = log_files.glob("session_*")
    assert session.name == f"session_{lines[0]['session_id']}"
    own = read_lines(session / "agents" / "creator_001.log")
    assert {line["extra"]["agent_id"] for line in own} == {"creator_001"}
    assert {line["extra"]["event_type"] for line in read_lines(log_files / "learning" / "learning.log")} == {
        "learning_update",
        "training_step",
        "reward",
        "exploration_exploitation",
    }
    assert [line["message"] for line in read_lines(log_files / "system" / "system.log")] == [
        "loaded 3 modules"
    ]
    (error,) = read_lines(log_files / "errors" / "errors.log")
    assert error["extra"]["error"] == "no route to the studio"
    files.ACTIVE.close()
    summary = json.loads((session / "trace_summary.json").read_text())
    assert summary["logs"]["agents"] == len(lines)
    assert summary["agents"]["creator_001"] == len(own)


@pytest.mark.parametrize("is_traced", [True, False])
def test_measured_blocks_and_watched_errors_are_in_the_log_files(run_example, log_files, is_traced):
    """`measure_performance` has its line in `performance`, and `trace_errors` one in `errors` with the stack."""
    if not is_traced:
        shutdown_tracing()
    run_example(PERFORMANCE, generate_content=answer)
    (measured,) = read_lines(log_files / "performance" / "performance.log")
    assert (measured["message"], measured["level"]) == ("performance: content_generation", "INFO")
    assert measured["extra"]["elapsed_ms"] >= 0
    agent = run_example(DECORATORS)["CreatorAgent"]()
    agent._complex_operation = fail
    with pytest.raises(ConnectionError):
        run_example("await agent.risky_operation()", agent=agent)
    (error,) = read_lines(log_files / "errors" / "errors.log")
    assert (error["level"], error["extra"]["error_type"]) == ("ERROR", "ConnectionError")
    assert error["message"].endswith("risky_operation: no route to the studio")
    assert "in fail" in error["extra"]["exception"]


def test_log_files_hold_no_secrets_and_only_their_user_reads_them(log_files, run_example):
    """What a trace would redact is redacted, and the mode is 0600."""
    run_example(
        "from namel3ss_debug import AgentLogger\nAgentLogger('a').info('key', extra={'password': 'hunter2'})"
    )
    path = log_files / "agents" / "agents.log"
    assert "hunter2" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_log_files_rotate_at_the_documented_sizes(log_files, run_example, monkeypatch):
    """Agents 200 MB with 10 backups, learning 100 MB with 10, errors 50 MB with 5; a full file is moved aside."""
    sizes = {name: (size // files.MB, backups) for name, (size, backups) in files.FOLDERS.items()}
    assert (sizes["agents"], sizes["learning"], sizes["errors"]) == ((200, 10), (100, 10), (50, 5))
    monkeypatch.setitem(files.FOLDERS, "agents", (2000, 2))
    run_example(
        "from namel3ss_debug import AgentLogger\nfor n in range(100): AgentLogger('a').info(f'line {n}')"
    )
    names = sorted(path.name for path in (log_files / "agents").iterdir())
    assert names == ["agents.log", "agents.log.1", "agents.log.2"]
    assert "line 99" in (log_files / "agents" / "agents.log").read_text()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    """The message names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match=r"cannot make .*file.*; name another directory"):
        setup_logging(directory=tmp_path / "file")
