import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.totals import LISTED


@pytest.fixture(scope="session")
def performance(analysed):
    """The section `performance` of a recording."""

    def performance(recording, **options):
        return analysed(recording.events, ["performance"], **options)["performance"]

    return performance


def test_slow_operations_are_those_over_the_limit_slowest_first(recording, performance):
    """The limit itself is not slow."""
    for name, seconds in (("a", 0.5), ("b", 2), ("c", 1), ("d", 3)):
        recording.span("tool", name, 0, seconds, call_site="app.py:9")
    found = performance(recording)
    assert [row["component_name"] for row in found["slow_operations"]] == ["d", "b"]
    assert found["slow_operations"][0] == {
        "number": 7,
        "component": "tool",
        "component_name": "d",
        "duration_ms": 3000.0,
        "self_ms": 3000.0,
        "failed": False,
        "call_site": "app.py:9",
    }
    assert performance(recording, slow_ms=400)["slow_operation_count"] == 4


@given(data=st.data())
def test_the_listed_operations_are_the_slowest_of_all(performance, data):
    """Of many slow operations the slowest are listed, of equal ones the earlier."""
    seconds = data.draw(st.lists(st.integers(0, 9), min_size=LISTED, max_size=LISTED + 30))
    events = []
    for place, second in enumerate(seconds):
        start = {"event_type": "tool_call_start", "event_id": str(place), "component": "tool"}
        end = {"event_type": "tool_call_end", "parent_event_id": str(place), "component": "tool"}
        events += [start, end | {"event_id": f"{place}!", "duration_ms": second * 1000.0}]

    class Recording:
        pass

    recorded = Recording()
    recorded.events = events
    found = performance(recorded)
    slow = sorted((-second, 2 * place + 1) for place, second in enumerate(seconds) if second > 1)
    assert [row["number"] for row in found["slow_operations"]] == [number for _, number in slow[:LISTED]]
    assert found["slow_operation_count"] == len(slow)


def test_a_model_has_its_speed_and_its_time_to_the_first_token(recording, performance):
    """Output tokens by the seconds of the calls that tell them; retries and failures beside."""
    usage = {"input_tokens": 100, "output_tokens": 30}
    first = recording.span("llm", "gpt", 0, 2, usage=usage, metadata={"time_to_first_token_ms": 250})
    recording.span("llm", "gpt", 2, 4, status="failed", retry_count=1, metadata={"retry_of": first})
    recording.span("llm", "gpt", 4, 5, usage=usage, metadata={"time_to_first_token_ms": 750})
    row = performance(recording)["llm_performance"]["gpt"]
    assert row["tokens_per_second"] == 20
    assert (row["count"], row["errors"], row["retries"], row["tokens"]) == (3, 1, 1, 260)
    assert row["time_to_first_token"] == {
        "count": 2,
        "mean_ms": 500,
        "p50_ms": 500,
        "p95_ms": 725,
        "max_ms": 750,
    }


def test_a_model_without_a_name_takes_it_from_the_request(recording, performance):
    """The payload knows the model; a tool that nothing names is unknown."""
    start = recording.start("llm", None, 0, inputs={"model": "claude"})
    recording.end(start, 1)
    recording.span("tool", None, 1, 2)
    for event in recording.events:
        if event.get("component_name") is None:
            event.pop("component_name", None)
    found = performance(recording)
    assert (list(found["llm_performance"]), list(found["tool_performance"])) == (["claude"], ["unknown"])


def test_spans_without_a_duration_count_and_have_no_figures(recording, performance):
    """Nothing is zero that was not measured."""
    start = recording.start("tool", "t", 0)
    recording.end(start, 1, duration_ms=None)
    for event in recording.events:
        del event["timestamp"]
    row = performance(recording)["tool_performance"]["t"]
    assert (row["count"], row["mean_ms"], row["p50_ms"]) == (1, None, None)


def test_a_call_that_was_not_seen_has_no_figures(recording, performance):
    """The time between its two events is that of writing them."""
    start = recording.start("tool", "t", 0, metadata={"seen": False})
    recording.end(start, 1, duration_ms=None)
    row = performance(recording)["tool_performance"]["t"]
    assert (row["count"], row["total_ms"], row["p50_ms"]) == (1, 0, None)


def test_open_spans_are_counted_apart(recording, performance):
    """A span that never ended has no part in the times."""
    recording.span("tool", "t", 0, 1)
    recording.start("tool", "t", 1)
    row = performance(recording)["tool_performance"]["t"]
    assert (row["count"], row["open"], row["total_ms"]) == (1, 1, 1000)


def test_outliers_are_beyond_the_outer_fence(recording, performance):
    """Of ten equal calls and one long one, the long one; of fewer than ten, none."""
    for place in range(9):
        recording.span("tool", "t", place, place + 0.5 + place / 100)
    recording.span("tool", "t", 10, 19)
    recording.span("tool", "few", 20, 21)
    found = performance(recording)["outliers"]
    assert (found["count"], [row["number"] for row in found["listed"]]) == (1, [19])
    assert "Tukey" in found["method"]


def test_a_duration_little_above_equal_ones_is_no_outlier(recording, performance):
    """Neither less than twice the median, nor less than 10 ms more."""
    for place in range(10):
        recording.span("tool", "slow", place, place + 0.5)
        recording.span("tool", "fast", place, place + 0.0001)
    recording.span("tool", "slow", 20, 20.9)
    recording.span("tool", "fast", 20, 20.005)
    assert performance(recording)["outliers"]["count"] == 0


def test_call_sites_are_told_apart(recording, performance):
    """The same tool called from two places is two rows, the longest self time first."""
    for site, seconds in (("a.py:1", 1), ("a.py:1", 3), ("b.py:2", 5)):
        start = recording.start("tool", "t", 0, call_site=site)
        recording.end(start, seconds)
    assert [
        (row["call_site"], row["count"], row["total_ms"], row["max_ms"])
        for row in performance(recording)["call_sites"]
    ] == [("b.py:2", 1, 5000, 5000), ("a.py:1", 2, 4000, 3000)]


def test_innermost_spans_run_at_once_and_those_around_them_wait(recording, performance):
    """Two tools in an agent are two at once, and the time before them is none."""
    agent = recording.start("agent", "a", 0)
    one = recording.start("tool", "one", 1, agent)
    two = recording.start("tool", "two", 2, agent)
    recording.end(one, 3)
    recording.end(two, 5)
    recording.end(agent, 6)
    found = performance(recording)
    assert found["concurrency"]["levels"] == [{"running": 1, "ms": 3000}, {"running": 2, "ms": 1000}]
    assert (found["concurrency"]["most"], found["concurrency"]["idle_ms"]) == (2, 2000)
    assert [(row["component"], row["ms"]) for row in found["wall_shares"]] == [
        ("agent", 6000),
        ("tool", 4000),
    ]
    assert [row["component_name"] for row in found["bottlenecks"]] == ["two", "a", "one"]


def computed_and_waited(performance, recording, name):
    """What a bottleneck tells of its own time: seconds, those computed and waited in it, and the cause."""
    (row,) = (row for row in performance(recording)["bottlenecks"] if row["component_name"] == name)
    times = (row["self_ms"], row["working_ms"], row["waiting_ms"])
    return (*(None if time is None else time / 1000 for time in times), row["cause"])


def test_what_an_operation_computed_is_told_of_its_own_time(recording, performance):
    """That the model inside an agent lets the process wait is no waiting of the agent."""
    agent = recording.start("agent", "a", 0)
    recording.span("llm", "m", 1, 5, agent, cpu_time_ms=500.0)
    recording.span("llm", "m", 5, 9, agent, cpu_time_ms=500.0)
    recording.end(agent, 10, cpu_time_ms=2800.0)
    assert computed_and_waited(performance, recording, "a") == (2, 1.8, pytest.approx(0.2), "cpu")
    assert computed_and_waited(performance, recording, "m") == (8, 1, 7, "model")


@pytest.mark.parametrize("second", [(2, {"cpu_time_ms": 500.0}), (5, {})])
def test_what_was_computed_is_not_known_where_calls_inside_do_not_tell_it(recording, performance, second):
    """Calls that ran beside each other saw the same CPU time, and one may have none at all."""
    begins, told = second
    agent = recording.start("agent", "a", 0)
    recording.span("llm", "m", 1, 5, agent, cpu_time_ms=500.0)
    recording.span("llm", "m", begins, begins + 4, agent, **told)
    recording.end(agent, 10, cpu_time_ms=2800.0)
    assert computed_and_waited(performance, recording, "a")[1:] == (None, None, "unknown")


def test_other_threads_do_not_make_waiting_negative_nor_take_it_from_other_calls(recording, performance):
    """What they computed beside one call counts for no more than the time of that call."""
    recording.span("tool", "t", 0, 1, cpu_time_ms=3000.0)
    recording.span("tool", "t", 1, 2, cpu_time_ms=0.0)
    assert computed_and_waited(performance, recording, "t") == (2, 1, 1, "tool")
