import pytest

from namel3ss_debug.config.values import TRIGGERS


@pytest.fixture
def found(recording, analysed):
    """The section; keyword arguments are thresholds."""

    def found(**thresholds):
        events, asked = recording.events, {"triggers": {**TRIGGERS, **thresholds}}
        return analysed(events, ["triggers"], **asked)["triggers"]

    return found


def fired(section):
    """The rows by their rule."""
    return {row["rule"]: row for row in section["triggered"]}


def state(section, rule):
    """The state of a rule with its reason."""
    return next((row["state"], row["reason"]) for row in section["rules"] if row["rule"] == rule)


def test_an_empty_recording_passes_no_threshold(found):
    """Each rule says what it is not told."""
    section = found()
    assert section["triggered"] == []
    assert {row["rule"]: row["state"] for row in section["rules"]} == {
        "error_rate": "unknown",
        "timeouts": "ok",
        "blocked": "ok",
        "context": "unknown",
        "loop": "ok",
        "cpu": "unknown",
        "memory_growth": "unknown",
        "response_time": "unknown",
    }


def test_a_rule_without_a_threshold_is_off(recording, found):
    """Null switches it off."""
    recording.span("tool", "t", 0, 60)
    assert fired(found()).keys() == {"blocked"}
    assert state(found(blocked_seconds=None), "blocked") == ("off", None)
    assert fired(found(blocked_seconds=None)) == {}


def test_the_error_rate_is_that_of_a_window(recording, found):
    """Two failures among forty calls are allowed; three in a window of the last 300 seconds with 20 calls are not."""
    for n in range(80):
        failed = n in {10, 30, 60, 62, 65}
        recording.span(
            "tool", "t", 20 * n, 20 * n + 1, **({"status": "failed", "error": "no"} if failed else {})
        )
    assert state(found(), "error_rate") == ("unknown", "never 20 calls in 300 s")
    section = found(error_window_seconds=400, error_rate=0.1)
    row = fired(section)["error_rate"]
    assert (row["value"], row["times"], row["numbers"]) == (0.15, 1, [121, 125, 131])
    assert row["timestamp"] == 1_700_000_000 + 65 * 20 + 1
    assert state(found(error_window_seconds=400, error_rate=0.15), "error_rate") == ("ok", None)


def test_too_few_calls_have_no_rate(recording, found):
    """One failure of one call is not a rate of 100 %."""
    recording.span("tool", "t", 0, 1, status="failed", error="no")
    assert state(found(), "error_rate")[0] == "unknown"


def test_response_times_are_compared_with_the_usual(recording, found):
    """One slow call is none of it; three of five in a row are, from twice the median on."""
    lasts = [0.125] * 30
    lasts[5] = 3.0
    for n, seconds in enumerate(lasts):
        recording.span("tool", "steady", 10 * n, 10 * n + seconds)
    for n in range(30):
        recording.span("llm", "m", 10 * n + 5, 10 * n + 5 + (0.4375 if n in {20, 22, 23} else 0.125))
    row = fired(found())["response_time"]
    assert (row["component_name"], row["value"], row["times"]) == ("m", 3.5, 1)
    assert row["timestamp"] == 1_700_000_000 + 205
    assert state(found(response_time=3.6), "response_time") == ("ok", None)


def test_quick_operations_are_not_slow(recording, found):
    """A baseline below ten milliseconds is taken as that, and zero divides nothing."""
    for n in range(30):
        recording.span("tool", "t", n, n + (0.019 if n > 20 else 0))
    assert state(found(), "response_time") == ("ok", None)


def test_timeouts_count_once_for_those_who_pass_them_on(recording, found):
    """Four HTTP calls in four tools that time out as well are four."""
    agent = recording.start("agent", "a", 0)
    for n in range(4):
        tool = recording.start("tool", f"t{n}", 10 * n, agent)
        recording.span("http", "GET", 10 * n, 10 * n + 5, tool, status="failed", error_type="ReadTimeout")
        recording.end(tool, 10 * n + 6, status="failed", error="timed out", error_type="TimeoutError")
    recording.end(agent, 50, status="timeout")
    row = fired(found())["timeouts"]
    assert (row["value"], row["times"], row["numbers"]) == (4, 4, [3, 7, 11, 15])
    assert row["timestamp"] == 1_700_000_000 + 35
    assert state(found(timeouts=4), "timeouts") == ("ok", None)


def test_a_blocked_span_had_nothing_running_inside(recording, found):
    """The longest stretch without a child counts, of spans that did not compute; a model's own time does not."""
    recording.span("tool", "quick", 0, 0.5)
    agent = recording.start("agent", "a", 0)
    recording.span("llm", "m", 1, 21, agent)
    recording.span("tool", "t", 33, 34, agent)
    recording.end(agent, 42)
    recording.span("tool", "computes", 50, 70, cpu_time_ms=15_000.0)
    row = fired(found())["blocked"]
    assert (row["component_name"], row["value"], row["numbers"]) == ("a", 12.0, [3])
    assert row["timestamp"] == 1_700_000_000 + 21


def test_what_never_ended_is_blocked_until_the_recording_ends(recording, found):
    """The innermost span that is open, since the last that ran inside it."""
    recording.span("tool", "quick", 0, 0.5)
    agent = recording.start("agent", "a", 0)
    model = recording.start("llm", "m", 2, agent)
    recording.span("http", "POST", 2, 5, model)
    recording.add("log_record", 30)
    row = fired(found())["blocked"]
    assert (row["component"], row["value"], row["timestamp"]) == ("llm", 25.0, 1_700_000_005)
    assert row["what"] == "never ended, and nothing ran inside"


def test_the_processor_is_busy_by_spans_and_by_samples(recording, found):
    """Stretches that follow each other are one; a pause of more than a second ends it."""
    for n in range(7):
        recording.span("tool", "t", 5 * n, 5 * n + 5, cpu_time_ms=4900.0)
    row = fired(found(blocked_seconds=None))["cpu"]
    assert (row["value"], row["times"], row["timestamp"]) == (35.0, 1, 1_700_000_000)
    recording.events.clear()
    for n, cpu in enumerate([0, 19, 38, 39, 58]):
        recording.add("resource_sample", 20 * n, cpu_time_ms=1000.0 * cpu)
    row = fired(found())["cpu"]
    assert (row["value"], row["times"], row["numbers"]) == (40.0, 1, [1, 2])
    assert state(found(cpu_share=0.96), "cpu") == ("ok", None)
    assert state(found(cpu_share=None), "cpu") == ("unknown", "cpu_share is switched off")


def test_memory_that_grows_fast_is_told_with_its_process(recording, found):
    """60 MB per hour is over 50; a moment of growth is nothing."""
    for n in range(60):
        recording.add("resource_sample", 10 * n, memory_usage_mb=100 + n / 6)
    row = fired(found())["memory_growth"]
    assert (row["value"], row["numbers"], row["unit"]) == (60.0, [1, 60], "MB per hour")
    assert state(found(memory_mb_per_hour=61), "memory_growth") == ("ok", None)


def test_a_full_context_is_told_by_the_calls_that_filled_it(recording, found, own_prices):
    """Over nine tenths of the model's context window."""
    own_prices({"m": {"input": 0, "output": 0, "context_window": 100}})
    for n, tokens in enumerate((50, 91, 95, 90)):
        recording.span("llm", "m", n, n + 1, usage={"input_tokens": tokens, "output_tokens": 1})
    row = fired(found())["context"]
    assert (row["value"], row["times"], row["numbers"]) == (0.95, 2, [3, 5])
    assert row["timestamp"] == 1_700_000_001
    assert fired(found(context_share=0.4))["context"]["times"] == 4


def test_loops_are_those_of_the_patterns(recording, found):
    """The same call with the same result, again and again."""
    agent = recording.start("agent", "a", 0)
    for n in range(6):
        start = recording.start("tool", "search", n + 1, agent, inputs={"arguments": {"q": "the same"}})
        recording.end(start, n + 1.5, outputs={"result": "nothing new here"})
    recording.end(agent, 9)
    row = fired(found())["loop"]
    assert (row["component_name"], row["numbers"][0], row["timestamp"]) == ("search", 2, 1_700_000_001)


def test_a_clock_that_went_back_breaks_nothing(recording, found):
    """Windows are by the second in which calls ended, wherever they stand in the recording."""
    for n in range(40):
        recording.span("tool", "t", 100 - n, 100 - n + 0.5, status="failed", error="no")
    assert fired(found())["error_rate"]["value"] == 1.0
