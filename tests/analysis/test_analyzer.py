import fcntl
import gc
import gzip
import json
from collections import Counter
from statistics import pstdev, quantiles

import pytest

from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.health import LEVELS
from namel3ss_debug.errors import TraceNotFoundError, WrongUsageError


@pytest.fixture
def trace(recording, tmp_path):
    """A support agent: one answer, a search tried twice at the same time as a lookup, and an answer that fails."""
    recording.add("trace_start", 0, metadata={"format": 2, "process": 0, "segment": 0, "python": "3.11.7"})
    agent = recording.start("agent", "support", 0.125)
    usage = {"input_tokens": 40, "output_tokens": 8}
    recording.span("llm", "gpt", 0.25, 0.75, agent, tokens_used=48, usage=usage, cost_estimate=0.002)
    search = recording.start("tool", "search", 1, agent, call_site="app.py:12")
    lookup = recording.start("tool", "lookup", 1.25, agent)
    recording.end(search, 2, status="failed", error="no answer", error_type="TimeoutError")
    again = recording.start("tool", "search", 2.125, agent, retry_count=1)
    recording.end(lookup, 2.5)
    recording.end(again, 4, retry_count=1, metadata={"retry_of": search})
    recording.span("llm", "gpt", 4.5, 5, agent, status="failed", error="maximum context length is 8")
    recording.end(agent, 5.5, status="failed", error="gave up: maximum context length is 8")
    recording.add("trace_end", 5.625, metadata={"events": 14, "bytes": 1, "tracing_us": 9.0, "dropped": 0})
    path = tmp_path / "trace_20260101_120000_abcdef12.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    return path


@pytest.fixture
def killed(trace):
    """The same, killed between two calls: nothing is open, and the end of the process is missing."""
    lines = trace.read_text().splitlines(keepends=True)[:-1]
    trace.write_text("".join(line for line in lines if "support" not in line))
    return trace


def test_a_killed_run_is_at_most_poor(killed):
    """Whatever else went well: the health says that the run never ended, and where."""
    document = TraceAnalyzer(killed).analyze()
    last = document["trace"]["events"]
    overview, found = document["execution_overview"], document["health"]
    assert (overview["status"], overview["open_spans"]) == ("killed", 0)
    (row,) = [row for row in found["findings"] if row["id"] == "unfinished"]
    assert (row["part"], row["events"]) == ("stability", [last])
    assert row["suggestion"] == f"namel3ss debug inspect --event {last}"
    assert found["parts"]["stability"]["score"] < 0.5
    assert found["score"] < LEVELS["moderate"]["score"]


@pytest.mark.parametrize(("name", "status"), [("trace", "failed"), ("killed", "killed")])
def test_a_compressed_recording_tells_how_its_run_ended(request, name, status):
    """Its last line cannot be read alone; whether the process said that it ended is known when all has been read."""
    path = request.getfixturevalue(name)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert TraceAnalyzer(packed).analyze()["execution_overview"]["status"] == status


def test_a_run_that_is_still_recorded_is_open(killed):
    """Somebody writes to it: nobody can say yet how it ends."""
    with killed.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        document = TraceAnalyzer(killed).analyze()
    assert document["execution_overview"]["status"] == "open"
    assert "unfinished" not in [row["id"] for row in document["health"]["findings"]]


def ended(events):
    """Start and end of each whole span, found by looking through all events for each end."""
    for end in events:
        for start in events:
            if end["event_type"].endswith("_end") and start["event_id"] == end.get("parent_event_id"):
                yield start, end


def test_a_small_trace_is_analysed_as_by_hand(trace, recording):
    """Every figure agrees with one worked out from the events in another way."""
    document = TraceAnalyzer(trace).analyze()
    spans = list(ended(recording.events))
    for component, row in document["component_breakdown"].items():
        own = [(start, end) for start, end in spans if start["component"] == component]
        assert row["count"] == len(own)
        assert row["total_ms"] == sum(end["duration_ms"] for _, end in own)
        assert row["errors"] == sum(end["status"] == "failed" for _, end in own)
    eighths = {
        place
        for start, end in spans
        if start["component"] != "agent"
        for place in range(int(start["timestamp"] * 8), int(end["timestamp"] * 8))
    }
    whole = range(int(1_700_000_000.125 * 8), int(1_700_000_005.5 * 8))
    assert document["component_breakdown"]["agent"]["self_ms"] == len(set(whole) - eighths) * 125

    search = [end["duration_ms"] for start, end in spans if start["component_name"] == "search"]
    row = document["performance"]["tool_performance"]["search"]
    hundredths = quantiles(search, n=100, method="inclusive")
    assert [row["p50_ms"], row["p90_ms"], row["p99_ms"]] == pytest.approx(
        [hundredths[n] for n in (49, 89, 98)]
    )
    assert row["stddev_ms"] == pytest.approx(pstdev(search))
    assert row["retries"] == 1
    assert document["event_type_breakdown"] == Counter(event["event_type"] for event in recording.events)


def test_the_errors_of_a_small_trace_are_those_a_reader_would_name(trace):
    """The search was made good; the overflow is one failure that reached the agent."""
    document = TraceAnalyzer(trace).analyze()
    assert document["errors"]["error_categories"] == {"context_overflow": 1}
    assert (document["errors"]["total_errors"], document["errors"]["recovered_errors"]) == (1, 1)
    assert document["errors"]["failures"][0]["propagated_to"] == [2]
    overview = document["execution_overview"]
    assert (overview["status"], overview["duration_ms"], overview["spans"]) == ("failed", 5625, 6)
    assert overview["success_rate"] == pytest.approx(4 / 6)
    assert (overview["tokens"], overview["cost"], overview["calls_without_price"]) == (48, 0.002, 0)


def test_the_document_says_what_it_is_and_what_was_read(trace):
    """The schema comes first, then the trace; without problems there are none."""
    document = TraceAnalyzer(str(trace)).analyze()
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/analyze/2")
    assert document["trace"] == {
        "path": str(trace),
        "execution_id": "run",
        "mark": None,
        "events": 14,
        "processes": 1,
        "files": [str(trace)],
    }
    assert document["problems"]["total"] == 0


def test_damage_is_told_beside_the_figures(trace):
    """A torn last line is a problem by file and line, and everything else is analysed."""
    with trace.open("a") as file:
        file.write('{"event_type": "tool_call_st')
    document = TraceAnalyzer(trace).analyze()
    assert document["problems"]["total"] >= 1
    assert document["problems"]["first"][0]["line"] == 15
    assert document["trace"]["events"] == 14


def test_only_the_sections_that_were_asked_for(trace):
    """What another section needs is worked out and not shown."""
    document = TraceAnalyzer(trace, sections=["execution_overview"], slow_ms=5).analyze()
    assert list(document) == ["schema", "trace", "execution_overview", "problems"]
    with pytest.raises(WrongUsageError):
        TraceAnalyzer(trace, sections=["mood"]).analyze()


def test_progress_is_told_in_bytes(trace):
    """The last word is that all bytes were read."""
    from namel3ss_debug.analysis.analyzer import analyze
    from namel3ss_debug.traces.reader import open_trace

    told = []
    analyze(open_trace(trace), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (trace.stat().st_size, trace.stat().st_size)


def test_a_missing_trace_is_a_mistake_of_the_user(tmp_path):
    """There is nothing to analyse at that path."""
    with pytest.raises(TraceNotFoundError):
        TraceAnalyzer(tmp_path / "none.jsonl")


def test_the_garbage_collector_is_left_as_it_was(tmp_path):
    """It runs less often while a trace is read, and as before afterwards, even where reading ends in an error."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"event_type": "tool_call_start", "event_id": "1", "component": "tool"}\n')
    before = gc.get_threshold()
    TraceAnalyzer(path).analyze()
    with pytest.raises(WrongUsageError):
        TraceAnalyzer(path, sections=["nothing"]).analyze()
    assert gc.get_threshold() == before
