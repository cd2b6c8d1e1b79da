import pytest


@pytest.fixture
def found(recording, analysed):
    """What is found in the recording, by kind."""

    def found(kind, **options):
        patterns = analysed(recording.events, ["patterns"], **options)["patterns"]["found"]
        return [each for each in patterns if each["kind"] == kind]

    return found


def test_many_calls_in_little_time_are_a_burst(recording, found):
    """Fifteen calls in three seconds, in a run that otherwise makes one in ten."""
    times = (
        [10 * n for n in range(20)] + [200 + 0.2 * n for n in range(15)] + [210 + 10 * n for n in range(20)]
    )
    for time in times:
        recording.span("llm", "m", time, time + 0.1)
    (burst,) = found("burst")
    assert burst["count"] == 15
    assert burst["numbers"][0] == 41
    assert burst["lasted_ms"] == pytest.approx(2800)
    assert burst["per_second"] == pytest.approx(5)
    assert burst["per_second_of_run"] == pytest.approx(54 / 400)


def test_an_even_run_has_no_bursts(recording, found):
    """A hundred calls, one each second."""
    for time in range(100):
        recording.span("tool", "t", time, time + 0.5)
    assert found("burst") == []


def test_calls_all_at_one_instant_have_no_rate(recording, found):
    """Without time there is nothing to be fast against."""
    for _ in range(50):
        recording.span("tool", "t", 5, 5)
    assert found("burst") == found("stall") == []


def test_nothing_happening_inside_an_agent_is_a_stall(recording, found):
    """The agent was open, and nothing in it; the pause is told by the events around it."""
    agent = recording.start("agent", "A", 0)
    for n in range(20):
        recording.span("tool", "t", 0.1 * n, 0.1 * n + 0.05, agent)
    recording.span("tool", "t", 30, 30.1, agent)
    recording.end(agent, 30.2)
    (stall,) = found("stall")
    assert (stall["component_name"], stall["after"], stall["until"], stall["running"]) == ("A", 41, 42, False)
    assert stall["cost"]["ms"] == pytest.approx(28_050)
    assert found("stall", slow_ms=60_000) == []


def test_a_call_that_takes_as_long_as_its_kind_is_no_stall(recording, found):
    """Waiting for a model is what a model call is."""
    agent = recording.start("agent", "A", 0)
    for n in range(6):
        recording.span("llm", "m", 100 * n, 100 * n + 20, agent)
        for k in range(20):
            recording.span("tool", "t", 100 * n + 20 + 4 * k, 100 * n + 20 + 4 * k + 3.9, agent)
    recording.end(agent, 600)
    assert found("stall") == []


def test_a_call_far_longer_than_its_kind_is_a_stall(recording, found):
    """One search of a minute among those of a tenth of a second."""
    agent = recording.start("agent", "A", 0)
    for n in range(20):
        recording.span("tool", "search", n, n + 0.1, agent)
    recording.span("tool", "search", 21, 81, agent)
    recording.end(agent, 81.1)
    (stall,) = found("stall")
    assert (stall["component_name"], stall["numbers"], stall["running"]) == ("search", [42], True)


def test_a_pause_in_which_nothing_was_open_is_no_stall(recording, found):
    """A program that waits for its user does not hang."""
    for n in range(20):
        recording.span("tool", "t", 0.1 * n, 0.1 * n + 0.05)
    recording.span("tool", "t", 500, 500.1)
    assert found("stall") == []
