"""Whole analyses of real recordings against numbers worked out from their events in another way: plain loops.

The recordings are those of the examples and of programs that use the SDKs of OpenAI and Anthropic.
"""

import json
import math
import statistics
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from namel3ss_debug.analysis.analyzer import TraceAnalyzer

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "recordings").glob("*.jsonl"))
FAILED = {"failed", "timeout", "cancelled"}


class Plain:
    """A recording read in the plainest way: its events, and its spans as pairs of events."""

    def __init__(self, path):
        self.events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        self.document = TraceAnalyzer(path).analyze()
        self.spans = []
        for number, start in enumerate(self.events, 1):
            if not start["event_type"].endswith("_start") or start["event_type"] == "trace_start":
                continue
            ends = [
                event
                for event in self.events
                if event["event_type"].endswith("_end") and event.get("parent_event_id") == start["event_id"]
            ]
            self.spans.append((number, start, ends[0] if ends else None))

    def ended(self, component=None):
        """(number, start, end) of the spans that ended, of one component if it is given."""
        return [span for span in self.spans if span[2] and component in {None, span[1]["component"]}]

    def inside(self, number):
        """The spans that ran directly inside another."""
        parent = self.events[number - 1]["event_id"]
        return [span for span in self.ended() if span[1].get("parent_event_id") == parent]


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.stem)
def plain(request):
    """One recording, read plainly, with its analysis."""
    return Plain(request.param)


def test_there_are_recordings():
    """The examples and the SDK programs are both among them."""
    names = {path.stem for path in RECORDINGS}
    assert {"support_agent", "failing_agent", "research_agent", "openai_threads", "anthropic_tools"} <= names


def test_the_overview(plain):
    """How much there was, how long it took, and how it ended."""
    told = plain.document["execution_overview"]
    times = [event["timestamp"] for event in plain.events]
    assert told["events"] == len(plain.events)
    assert told["spans"] == len(plain.spans)
    assert told["open_spans"] == len(plain.spans) - len(plain.ended())
    assert told["duration_ms"] == pytest.approx((max(times) - min(times)) * 1000, abs=0.01)
    assert told["llm_calls"] == sum(start["component"] == "llm" for _, start, _ in plain.spans)
    assert told["tool_calls"] == sum(start["component"] == "tool" for _, start, _ in plain.spans)
    exit_status = next(event for event in plain.events if event["event_type"] == "trace_end")["metadata"][
        "exit_status"
    ]
    assert (told["exit_status"], told["status"]) == (exit_status, "failed" if exit_status else "completed")


def test_the_counts(plain):
    """Events by type, spans and time by component."""
    assert plain.document["event_type_breakdown"] == Counter(event["event_type"] for event in plain.events)
    for component, row in plain.document["component_breakdown"].items():
        ended = plain.ended(component)
        assert row["count"] == len(ended)
        assert row["errors"] == sum(end.get("status") in FAILED for _, _, end in ended)
        assert row["total_ms"] == pytest.approx(sum(end["duration_ms"] for _, _, end in ended), abs=0.001)


def test_the_tokens(plain):
    """Those that the calls of models state, by model."""
    told = plain.document["resource_usage"]["tokens"]
    used = Counter()
    models = Counter()
    for _, start, end in plain.ended("llm"):
        for key, number in end.get("usage", {}).items():
            used[key] += number
        models[start["component_name"]] += end.get("tokens_used", 0)
    assert told["total"] == sum(models.values())
    for key in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"):
        assert told[key] == used[key]
    assert {model: row["total"] for model, row in told["by_model"].items() if row["total"]} == +models


def quantile(values, share):
    """Linear interpolation between the two nearest of the sorted values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def test_the_durations(plain):
    """For each operation how many, how long in all, the mean, the deviation and the quantiles."""
    lasted = defaultdict(list)
    for _, start, end in plain.ended():
        lasted[start["component"], start["component_name"]].append(end["duration_ms"])
    operations = plain.document["performance"]["operations"]
    assert {(row["component"], row["component_name"]) for row in operations} == lasted.keys()
    for row in operations:
        values = lasted[row["component"], row["component_name"]]
        assert row["count"] == len(values)
        assert row["total_ms"] == pytest.approx(sum(values), abs=0.001)
        assert row["mean_ms"] == pytest.approx(statistics.fmean(values), abs=0.001)
        assert row["stddev_ms"] == pytest.approx(statistics.pstdev(values), abs=0.001)
        for share in (10, 25, 50, 75, 90, 95, 99):
            assert row[f"p{share}_ms"] == pytest.approx(quantile(values, share / 100), abs=0.001)
        assert (row["min_ms"], row["max_ms"]) == pytest.approx((min(values), max(values)), abs=0.001)


def test_the_time_of_their_own(plain):
    """The duration of a span less what ran inside it, counted microsecond by microsecond as sets of moments."""
    own = Counter()
    for number, start, end in plain.ended():
        begun = round(start["timestamp"] * 1e6)
        moments = set(range(begun, begun + round(end["duration_ms"] * 1e3)))
        for _, inner, inner_end in plain.inside(number):
            at = round(inner["timestamp"] * 1e6)
            moments -= set(range(at, at + round(inner_end["duration_ms"] * 1e3)))
        own[start["component"]] += len(moments) / 1e3
    for component, row in plain.document["component_breakdown"].items():
        assert row["self_ms"] == pytest.approx(own[component], abs=0.05)


def test_how_many_ran_at_once(plain):
    """Counted at the middle of every stretch between two moments at which something begins or ends."""
    leaves = [(number, start, end) for number, start, end in plain.ended() if not plain.inside(number)]
    moments = [
        (round(start["timestamp"] * 1e6), round(start["timestamp"] * 1e6) + end["duration_ms"] * 1e3)
        for _, start, end in leaves
    ]
    edges = sorted({edge for pair in moments for edge in pair})
    most = 0
    for low, high in pairwise(edges):
        if high - low > 1:  # microseconds, which is how exactly timestamps are told
            most = max(most, sum(begin < (low + high) / 2 < end for begin, end in moments))
    assert plain.document["performance"]["concurrency"]["most"] == most


def test_the_failures(plain):
    """The failed spans, without those that another attempt made good and those that pass on another's failure."""
    failed = [(number, start, end) for number, start, end in plain.ended() if end.get("status") in FAILED]
    told = plain.document["errors"]
    assert told["failed_spans"] == len(failed)
    calls = defaultdict(list)
    for number, start, end in plain.ended("llm"):
        calls[start.get("metadata", {}).get("retry_of", start["event_id"])].append((number, end["status"]))
    made_good = [
        number
        for tries in calls.values()
        if tries[-1][1] == "completed"
        for number, status in tries
        if status in FAILED
    ]
    assert told["recovered_errors"] == len(made_good)
    lost = [tries[-1][0] for tries in calls.values() if tries[-1][1] in FAILED]
    tools = [number for number, start, _ in failed if start["component"] == "tool"]
    assert {row["number"] for row in told["failures"]} == {*lost, *tools}
    assert told["total_errors"] == len(told["failures"])
    assert told["retries"] == sum(bool(start.get("retry_count")) for _, start, _ in plain.spans)
    assert told["error_rate"] == pytest.approx((len(failed) - len(made_good)) / len(plain.ended()))


def test_the_recording_is_whole(plain):
    """Every place in the sequence is there, and every event that is named."""
    assert sorted(event["seq"] for event in plain.events) == list(range(len(plain.events)))
    ids = {event["event_id"] for event in plain.events}
    assert all(event.get("parent_event_id", event["event_id"]) in ids for event in plain.events)
    redacted = sum("[REDACTED:" in json.dumps(event) for event in plain.events)
    assert plain.document["integrity"]["checks"]["redacted_payloads"] == redacted
    assert plain.document["integrity"]["checks"]["lost_events"] == 0
    assert plain.document["integrity"]["score"] > 0.99


def test_the_health(plain):
    """The score is what its parts say, by the rule of the guide; what failed is its heaviest finding."""
    told = plain.document["health"]
    scores = [(row["weight"], row["score"]) for row in told["parts"].values() if row["score"] is not None]
    mean = sum(weight * score for weight, score in scores) / sum(weight for weight, _ in scores)
    weakest = min(1 - weight * (1 - score) for weight, score in scores)
    assert told["score"] == pytest.approx((mean + weakest) / 2, abs=0.001)
    if plain.document["errors"]["total_errors"]:
        assert told["level"] in {"moderate", "serious", "critical"}
        assert told["findings"][0]["events"][0] in {
            row["number"] for row in plain.document["errors"]["failures"]
        }
    else:
        assert told["level"] == "negligible"
        assert told["statement"].endswith("seen; outcome not judged")


def test_the_critical_path(plain):
    """It is as long as the time from the first beginning of a span to the last end, and no slack is below zero."""
    told = plain.document["dependencies"]
    begins = [start["timestamp"] * 1000 for _, start, _ in plain.ended()]
    ends = [start["timestamp"] * 1000 + end["duration_ms"] for _, start, end in plain.ended()]
    assert told["wall_ms"] == pytest.approx(max(ends) - min(begins), abs=1.0)
    assert sum(row["ms"] for row in told["critical_path"]["operations"]) == pytest.approx(
        told["wall_ms"], abs=0.1
    )
    assert all(row["slack_ms"] >= 0 for row in told["schedule"])


# recording -> what a person found in it by reading it once
SEEN = {
    "failing_agent": {"failure": 25, "origin": 9, "tool": "place_order", "category": "parameter"},
}


def test_what_a_person_saw(plain, request):
    """The failing example began with the empty result of step 2."""
    seen = SEEN.get(request.node.callspec.id)
    if seen is None:
        assert all(row["origins"] for row in plain.document["errors"]["failures"])
        return
    (failure,) = plain.document["errors"]["failures"]
    assert (failure["number"], failure["component_name"], failure["category"]) == (
        seen["failure"],
        seen["tool"],
        seen["category"],
    )
    assert failure["origins"][0]["number"] == seen["origin"]
    assert plain.document["health"]["findings"][0]["suggestion"] == "namel3ss debug explain 25"
