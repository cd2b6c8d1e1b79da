import pytest

from namel3ss_debug.analysis.totals import LISTED

LATE = {"status": "failed", "error": "no answer after 3 s", "error_type": "TimeoutError"}


@pytest.fixture
def errors(analysed):
    """The section `errors` of a recording."""

    def errors(recording):
        return analysed(recording.events, ["errors"])["errors"]

    return errors


def test_a_failure_seen_at_three_levels_is_one(recording, errors):
    """The innermost span is the failure, the others are where it went."""
    agent = recording.start("agent", "root", 0)
    step = recording.start("chain", "step", 1, agent)
    recording.span("tool", "search", 2, 3, step, call_site="app.py:7", **LATE)
    recording.end(step, 4, status="failed", error="search: no answer after 3 s", error_type="StepError")
    recording.end(agent, 5, status="failed")
    found = errors(recording)
    assert (found["total_errors"], found["failed_spans"], found["error_rate"]) == (1, 3, 1.0)
    assert found["error_categories"] == {"timeout": 1}
    (failure,) = found["failures"]
    assert (failure["number"], failure["component_name"]) == (3, "search")
    assert failure["propagated_to"] == [2, 1]
    assert failure["call_site"] == "app.py:7"


def test_two_different_failures_are_two(recording, errors):
    """A parent that fails with words of its own has failed itself."""
    agent = recording.start("agent", "root", 0)
    recording.span("tool", "search", 1, 2, agent, **LATE)
    recording.end(agent, 3, status="failed", error="the plan makes no sense", error_type="PlanError")
    assert errors(recording)["total_errors"] == 2


def test_an_attempt_that_was_made_good_is_no_error(recording, errors):
    """Two refused attempts and a good one are two recovered errors, and none in the total."""
    agent = recording.start("agent", "root", 0)
    busy = {"status": "failed", "error": "429", "error_type": "RateLimitError"}
    first = recording.span("llm", "gpt", 1, 2, agent, **busy)
    recording.span("llm", "gpt", 2, 3, agent, retry_count=1, metadata={"retry_of": first}, **busy)
    recording.span("llm", "gpt", 3, 4, agent, retry_count=2, metadata={"retry_of": first})
    recording.end(agent, 5)
    found = errors(recording)
    assert (found["total_errors"], found["recovered_errors"], found["retries"]) == (0, 2, 2)
    assert (found["failed_spans"], found["error_rate"], found["failures"]) == (2, 0.0, [])


def test_attempts_that_all_failed_are_one_error(recording, errors):
    """The last attempt stands for the call and names the others."""
    first = recording.span("llm", "gpt", 1, 2, **LATE)
    recording.span("llm", "gpt", 2, 3, retry_count=1, metadata={"retry_of": first}, **LATE)
    found = errors(recording)
    assert (found["total_errors"], found["recovered_errors"], found["error_rate"]) == (1, 0, 1.0)
    assert (found["failures"][0]["number"], found["failures"][0]["attempts"]) == (3, [1, 3])


@pytest.mark.parametrize("inside", [True, False])
def test_an_error_reported_by_the_program_is_not_counted_twice(inside, recording, errors):
    """A report of an error in the span that fails with it, or beside it, belongs to that failure."""
    agent = recording.start("agent", "root", 0)
    tool = recording.start("tool", "search", 1, agent)
    words = {"error": LATE["error"], "error_type": LATE["error_type"]}
    if inside:
        recording.add("error_occurred", 2, parent_event_id=tool, **words)
    recording.end(tool, 2, **LATE)
    if not inside:
        recording.add("error_occurred", 3, parent_event_id=agent, **words)
    recording.end(agent, 4)
    found = errors(recording)
    assert (found["total_errors"], found["reported_errors"]) == (1, 1)
    assert found["failures"][0]["component_name"] == "search"
    assert found["failures"][0]["propagated_to"] == [3 if inside else 4]


def test_an_error_only_reported_is_an_error(recording, errors):
    """An `error_occurred` that no span failed with counts, and does not lower the share of good spans."""
    agent = recording.start("agent", "root", 0)
    recording.add("error_occurred", 1, parent_event_id=agent, error="disk", error_type="OSError")
    recording.end(agent, 2)
    found = errors(recording)
    assert (found["total_errors"], found["error_rate"]) == (1, 0.0)


def test_open_spans_say_which_was_innermost(recording, errors):
    """The latest comes first, and the one with nothing open inside it is where the program was."""
    agent = recording.start("agent", "root", 0)
    recording.span("llm", "gpt", 1, 2, agent)
    recording.start("tool", "search", 3, agent)
    rows = errors(recording)["open_spans"]
    assert [(row["number"], row["innermost"]) for row in rows] == [(4, True), (1, False)]


def test_a_list_is_cut_and_its_count_is_not(recording, errors):
    """More failures than are listed are still counted."""
    for at in range(LISTED + 20):
        recording.span("tool", "t", at, at + 1, status="failed", error=f"number {at}")
    found = errors(recording)
    assert found["total_errors"] == LISTED + 20
    assert [failure["error"] for failure in found["failures"]] == [f"number {at}" for at in range(LISTED)]
