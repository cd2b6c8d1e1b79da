"""`debug explain`."""

import json
from pathlib import Path
from shlex import quote

import pytest

SAMPLE = Path(__file__).parents[1] / "data/imports/phoenix/weather-agent.spans.json"

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"


def test_a_failure_is_explained(run, trace):
    """From the failed tool to the model that asked for it, and the words of the user, in 80 columns."""
    shown = run("explain", "6", trace).stdout.splitlines()
    assert shown[0] == "event 6  tool_call_end lookup  failed"
    assert any(line.split()[:3] == ["3", "llm", "gpt-4o-mini"] for line in shown)
    assert any("Where is A-17?" in line for line in shown)
    assert shown[-1] == f"  namel3ss debug inspect --event N {quote(str(trace))} shows a step"
    assert all(len(line) <= 80 for line in shown[:-1])
    assert run("explain", "6").stdout.splitlines()[-1] == "  namel3ss debug inspect --event N shows a step"


def test_the_document_has_a_schema(run, trace):
    """As JSON, with the chain and the origins."""
    document = json.loads(run("explain", "6", trace, "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/explain/1")
    assert document["origins"][0]["kind"] == "itself"
    assert [step["number"] for step in document["chain"]] == [5, 3]


@pytest.mark.parametrize("number", range(1, 9))
def test_every_event_can_be_explained(run, trace, number):
    """Starts, ends, points, and the span that never ended; without TRACE it is the latest."""
    assert run("explain", number).exit_code == 0
    assert run("explain", number, trace, "--format", "markdown").stdout.startswith(f"# event {number}")


def test_an_event_that_is_not_there_is_a_mistake(run, trace):
    """One line that says how many there are, and status 2."""
    result = run("explain", "99", trace)
    assert result.exit_code == 2
    assert "there is no event 99" in result.stderr


@pytest.mark.parametrize("words", [["0"], ["six"]])
def test_what_is_no_number_and_no_trace_is_wrong(run, trace, words):
    """It is refused with status 2."""
    assert run("explain", *words).exit_code == 2


def test_without_a_number_the_first_failure_is_explained(run, trace):
    """Of the latest trace, and of one that is named; of two traces, the mistake is named."""
    for words in ([], [trace]):
        assert run("explain", *words).stdout.startswith("event 5  tool_call_start lookup  failed")
    assert run("explain", trace, trace).exit_code == 2


def test_a_file_of_another_tool_may_stand_in_place_of_the_number(run):
    """Whatever its name ends with."""
    result = run("explain", str(SAMPLE))
    assert result.exit_code == 0
    assert "no such station" in result.stdout


def test_without_a_failure_a_number_is_needed(run, trace):
    """The line says which command lists the events."""
    trace.write_bytes(trace.read_bytes().split(b"\n")[0] + b"\n")
    result = run("explain", trace)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nothing failed in" in result.stderr


@pytest.mark.parametrize("number", range(1, 9))
def test_hostile_text_does_no_harm(run, hostile_trace, number):
    """No control sequence of a recording reaches the terminal."""
    shown = run("explain", number, hostile_trace).stdout
    assert "\x1b" not in shown
    assert "\x9b" not in shown


def test_of_a_run_that_is_marked_bad_the_final_answer_is_explained(run, workspace):
    """It ended well; only the user's judgement says that something was wrong."""
    path = workspace / "weather.jsonl"
    path.write_bytes((RECORDINGS / "weather_agent.jsonl").read_bytes())
    assert run("explain", path).exit_code == 2
    run("mark", path, "bad", "--why", "it is summer")
    document = json.loads(run("explain", path, "--format", "json").stdout)
    assert (document["event_type"], document["failed"]) == ("llm_call_start", False)
    assert document["chain"][0]["reason"].startswith("is marked bad: it is summer")
    assert document["chain"][1]["kind"] == "read"
