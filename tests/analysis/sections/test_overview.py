import pytest

from namel3ss_debug.analysis.computing import analyze_events


@pytest.fixture
def overview(analysed):
    """The section `execution_overview` of a recording."""

    def overview(recording):
        return analysed(recording.events, ["execution_overview"])["execution_overview"]

    return overview


def begin(recording, process=0, **metadata):
    """Let a process begin."""
    recording.add("trace_start", 0, metadata={"process": process, **metadata})


@pytest.mark.parametrize(
    ("component", "fields", "ended", "expected"),
    [
        ("agent", {}, True, "completed"),
        ("agent", {}, False, "open"),
        ("agent", {"status": "failed"}, True, "failed"),
        ("llm", {"status": "failed"}, True, "completed"),
        ("command", {"status": "failed"}, True, "completed"),
    ],
)
def test_the_status_tells_how_the_run_ended(component, fields, ended, expected, recording, overview):
    """Killed before it could say that it ended, failed at the top, or neither; a failed call alone is no failed run."""
    begin(recording)
    recording.span(component, "x", 1, 2, **fields)
    if ended:
        recording.add("trace_end", 3, metadata={})
    assert overview(recording)["status"] == expected


@pytest.mark.parametrize(
    ("fields", "ended", "expected"),
    [
        ({"metadata": {"uncaught": True}}, {}, "interrupted"),
        ({"metadata": {"uncaught": True}}, {"exit_status": 0}, "completed"),
        ({}, {}, "completed"),
        ({"metadata": {"uncaught": True}, "call_site": "In[3]:1"}, {}, "completed"),
    ],
)
def test_a_run_that_ctrl_c_ended_is_not_complete(fields, ended, expected, recording, overview):
    """It has no exit status, because it died by the signal; one that caught it goes on, and so does a notebook."""
    recording.add("trace_start", 0)
    recording.add("error_occurred", 1, error_type="KeyboardInterrupt", status="cancelled", **fields)
    recording.add("trace_end", 2, metadata=ended)
    assert overview(recording)["status"] == expected


def test_a_span_without_an_end_leaves_the_run_open(recording, overview):
    """Even where the process has said that it ended."""
    begin(recording)
    recording.start("tool", "t", 1)
    recording.add("trace_end", 3, metadata={})
    assert overview(recording)["status"] == "open"


def test_processes_and_segments_are_told_apart(recording, overview):
    """Each process counts once, and the first says on what the run ran."""
    begin(recording, python="3.11.7", argv=["app.py"], target="app.py")
    begin(recording, process=1, python="3.12.0")
    begin(recording, process=0)
    recording.add("trace_end", 3, metadata={})
    found = overview(recording)
    assert (found["processes"], found["processes_without_end"]) == (2, 1)
    assert (found["python"], found["argv"], found["target"]) == ("3.11.7", ["app.py"], "app.py")


@pytest.mark.parametrize(("ending", "expected"), [("finished", "completed"), ("open", "open")])
def test_a_process_that_was_killed_by_the_program_leaves_the_run_ended(recording, ending, expected):
    """The workers of a pool never say that they ended; the run has, once the program did and nobody writes any more."""
    begin(recording)
    begin(recording, process=1)
    recording.span("tool", "t", 1, 2)
    recording.add("trace_end", 3, metadata={"exit_status": 0})
    found = analyze_events(recording.events, ["execution_overview"], ending=ending)["execution_overview"]
    assert (found["status"], found["processes_without_end"]) == (expected, 1)


def test_the_overview_sums_up_the_other_sections(recording, overview):
    """Calls, tokens, cost, errors and the share of what went well."""
    begin(recording)
    agent = recording.start("agent", "root", 1)
    recording.span("llm", "gpt", 1, 2, agent, tokens_used=30, cost_estimate=0.25)
    recording.span("tool", "t", 2, 3, agent, status="failed", error="no")
    recording.span("tool", "t", 3, 4, agent)
    recording.end(agent, 5)
    found = overview(recording)
    assert (found["agent_executions"], found["llm_calls"], found["tool_calls"]) == (1, 1, 2)
    assert (found["tokens"], found["cost"], found["errors"]) == (30, 0.25, 1)
    assert (found["success_rate"], found["duration_ms"], found["execution_ids"]) == (0.75, 5000, ["run"])
