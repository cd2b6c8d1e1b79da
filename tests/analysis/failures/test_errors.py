import contextlib

import pytest

from namel3ss_debug import TraceAnalyzer, initialize_tracing, shutdown_tracing
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


def test_a_failure_inside_a_span_whose_start_was_rotated_away_is_one(tmp_path):
    """The end names the lost start, and so does the call that failed inside it."""
    tracer = initialize_tracing(trace_output_dir=str(tmp_path), rotate_max_bytes=20_000, rotate_keep=1)

    def search():
        with tracer.span("tool", "search"):
            raise TimeoutError("no answer after 3 s")

    with contextlib.suppress(TimeoutError), tracer.span("agent", "Desk"):
        for _ in range(200):
            tracer.emit("decision", component="agent", component_name="next", outputs={"text": "x" * 200})
        search()
    shutdown_tracing()
    document = TraceAnalyzer(min(tmp_path.glob("trace_2*.jsonl"))).analyze()
    found = document["errors"]
    assert (found["total_errors"], found["failed_spans"]) == (1, 2)
    assert document["execution_overview"]["orphan_ends"] == len(found["failures"][0]["propagated_to"]) == 1


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


LONG = "the prompt is too long\n  of 9 lines"
CAUSED = "\n\nThe above exception was the direct cause of the following exception:\n\n"
TRACED = 'Traceback (most recent call last):\n  File "sdk.py", line 7, in ask\n'
NAMING = {
    "in its text": {"error": f"Error code: 400 - {LONG}", "error_type": "sdk.BadRequestError"},
    "as its cause": {
        "error": "Request failed.",
        "error_type": "sdk.APIError",
        "stack_trace": f"{TRACED}http.StatusError: {LONG}{CAUSED}{TRACED}sdk.APIError: Request failed.",
    },
    "without words": {
        "error": "Request failed.",
        "error_type": "sdk.APIError",
        "stack_trace": f"{TRACED}KeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n"
        f"{TRACED}http.StatusError{CAUSED}{TRACED}sdk.APIError: Request failed.",
    },
}


@pytest.mark.parametrize("where", ["beside", "around"])
@pytest.mark.parametrize("how", NAMING)
def test_an_exception_that_a_library_raises_for_that_of_a_call_is_the_same_failure(
    how, where, recording, errors
):
    """Whether it ends the program or the agent around, and whether its text or its stack trace names the other one."""
    agent = recording.start("agent", "root", 0)
    inner, words = None if how == "without words" else LONG, NAMING[how]
    recording.span("llm", "gpt", 1, 2, agent, status="failed", error=inner, error_type="http.StatusError")
    if where == "beside":
        recording.add("error_occurred", 3, parent_event_id=agent, **words)
    recording.end(agent, 4, **({"status": "failed"} | words if where == "around" else {}))
    found = errors(recording)
    assert [failure["component"] for failure in found["failures"]] == ["llm"]
    assert found["failures"][0]["propagated_to"] == [4 if where == "beside" else 1]


def test_a_group_of_exceptions_is_the_failure_of_its_member(recording, errors):
    """However many branches were cancelled because of it; these are failures of their own."""
    branches = [recording.start("llm", "gpt", 0) for _ in range(12)]
    recording.end(branches[0], 1, status="failed", error=LONG, error_type="http.StatusError")
    for branch in branches[1:]:
        recording.end(branch, 1.1, status="cancelled", error_type="asyncio.exceptions.CancelledError")
    text = LONG.replace("\n", "\n    | ")
    trace = f"  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: 1 of 12\n    | sdk.BadRequestError: 400 - {text}"
    recording.add("error_occurred", 2, error="1 of 12", error_type="ExceptionGroup", stack_trace=trace)
    found = errors(recording)
    assert found["error_categories"] == {"cancelled": 11, "context_overflow": 1}
    assert found["failures"][0]["propagated_to"] == [25]


def test_an_exception_while_another_is_handled_is_a_failure_of_its_own(recording, errors):
    """Only what is said to be the direct cause is the same failure."""
    trace = f"{TRACED}http.StatusError: no route\n\nDuring handling of the above exception, another exception occurred:\n\n"
    recording.span("llm", "gpt", 1, 2, status="failed", error="no route", error_type="http.StatusError")
    recording.add(
        "error_occurred",
        3,
        error="'name'",
        error_type="KeyError",
        stack_trace=f"{trace}{TRACED}KeyError: 'name'",
    )
    assert errors(recording)["total_errors"] == 2


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


def test_a_failure_fails_what_depends_on_it(recording, analysed):
    """Each names what it needed, its origin is that failure, and the impact counts them all; others are not touched."""
    first = recording.start("tool", "fetch", 0)
    recording.end(first, 1, status="failed", error="no route to host", error_type="OSError")
    second = recording.start("chain", "parse", 1, kind="chain_step", depends_on=[first])
    recording.end(second, 2, status="failed", error="nothing to parse", error_type="ValueError")
    third = recording.start("chain", "store", 2, kind="chain_step", depends_on=[second])
    recording.end(third, 3, status="failed", error="nothing to store", error_type="ValueError")
    apart = recording.start("tool", "greet", 3)
    recording.end(apart, 4, status="failed", error="hoarse", error_type="VoiceError")
    section = analysed(recording.events, ["errors"])["errors"]
    assert [(row["number"], row["needs"]) for row in section["dependency_failures"]] == [(3, [1]), (5, [3])]
    assert [row["impact"]["dependents_failed"] for row in section["failures"]] == [2, 1, 0, 0]
    origin = section["failures"][1]["origins"][0]
    assert (origin["number"], origin["kind"]) == (1, "dependency_failed")
    assert section["failures"][2]["origins"][0]["number"] == 1
