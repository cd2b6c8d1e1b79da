import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.analysis.aggregate import many
from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, TraceGroup, analyze_many, read_recording
from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.sections.optimizations import sum_savings
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.errors import UnreadableTraceError, WrongUsageError
from namel3ss_debug.traces.span_table import read_spans


@pytest.fixture
def write(tmp_path):
    """Write events as a recording of that name."""

    def write(name, events):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        return path

    return write


@pytest.fixture
def week(write):
    """Six recordings, a day apart, of a run that gets slower; the third fails, the fourth is cut short."""

    def run(place):
        at = 86_400.0 * place
        recording = []

        def add(kind, number, **fields):
            recording.append(
                {
                    "event_type": kind,
                    "event_id": str(number),
                    "seq": len(recording),
                    "timestamp": at + number / 10,
                    "component": "tool",
                }
                | fields
            )

        version = {"format": 2, "process": 0, "agent_version": f"v{place // 3}"}
        add("trace_start", 1, component="app", metadata=version)
        add("agent_execution_start", 2, component="agent", component_name="Desk" if place else "Clerk")
        add("tool_call_start", 3, component_name="search", parent_event_id="2")
        took = {"duration_ms": 100.0 * (place + 1), "parent_event_id": "3", "component_name": "search"}
        failure = {"status": "failed", "error": f"no {place}", "error_type": "KeyError"} if place == 2 else {}
        add("tool_call_end", 4 + place, **took, **failure)
        if place != 3:
            add("agent_execution_end", 5 + place, component="agent", parent_event_id="2", status="completed")
            add("trace_end", 6 + place, component="app")
        return recording

    return [write(f"run{place}", run(place)) for place in range(6)]


@pytest.mark.parametrize(
    ("recordings", "size", "processes"),
    [(1000, 1 << 30, many.MOST_PROCESSES), (2, 1 << 30, 2), (1000, many.WORTH_A_PROCESS, 1), (1000, 1, 0)],
)
def test_processes_stay_few_on_a_large_machine(monkeypatch, recordings, size, processes):
    """However many processors there are, no more processes read than memory allows and than there is work for."""
    monkeypatch.setattr(many, "_processors", lambda: 64)
    assert many.count_useful_processes(recordings, size) == processes


def test_processes_change_nothing(week):
    """Two processes give, to the byte, what one after the other gives."""
    request = AnalysisRequest(by="day", documents=True)
    one, two = analyze_many(week, request, processes=1), analyze_many(week, request, processes=2)
    assert json.dumps(one.document) == json.dumps(two.document)
    assert (one.rows, one.groups, one.traces) == (two.rows, two.groups, two.traces)


def test_the_documents_of_the_recordings_are_those_of_each_alone(week):
    """What `traces` holds is what the analysis of one recording gives."""
    many = analyze_many(week, AnalysisRequest(documents=True))
    assert [json.loads(trace) for trace in many.traces] == [
        json.loads(json.dumps(TraceAnalyzer(path).analyze())) for path in week
    ]


def test_percentiles_are_those_of_all_spans_together(week):
    """The durations are pooled, and an operation that is far out says where it was."""
    document = analyze_many(week, AnalysisRequest(sections=("performance",), options=slow(450))).document
    row = document["performance"]["tool_performance"]["search"]
    assert (row["count"], row["p50_ms"], row["max_ms"], row["errors"]) == (6, 350, 600, 1)
    assert [(each["trace"], each["number"]) for each in document["performance"]["slow_operations"]][:2] == [
        (str(week[5]), 2),
        (str(week[4]), 2),
    ]
    assert "concurrency" not in document["performance"]
    assert list(document) == ["schema", "aggregate", "performance", "problems"]


def slow(milliseconds):
    """Options in which so many milliseconds are slow."""
    from namel3ss_debug.analysis.totals import Options

    return Options(slow_ms=milliseconds)


def test_failures_say_of_which_recording_they_are(week):
    """Ids and numbers are the same in all of them, and still nothing is mixed up."""
    errors = analyze_many(week, AnalysisRequest(sections=("errors",))).document["errors"]
    assert (errors["total_errors"], errors["open_span_count"]) == (1, 1)
    assert [(row["trace"], row["number"], row["error"]) for row in errors["failures"]] == [
        (str(week[2]), 3, "no 2")
    ]
    assert [row["trace"] for row in errors["open_spans"]] == [str(week[3])]
    assert errors["error_rate"] == 1 / 11
    alone = TraceAnalyzer(week[2], sections=["errors"]).analyze()["errors"]
    assert list(errors) == [*(key for key in alone if key in errors), "recurring"]


@pytest.fixture
def failing(write):
    """Write a recording in which calls of a tool fail, one after the other, with these errors."""

    def failing(name, *errors):
        events = [{"event_type": "trace_start", "event_id": "1", "component": "app", "timestamp": 1.0}]
        for place, error in enumerate(errors):
            tool = {"component": "tool", "timestamp": 2.0 + place}
            begun = {"event_type": "tool_call_start", "event_id": f"t{place}", "component_name": "search"}
            failed = {"status": "failed", "error_type": "OSError", "error": error}
            ended = {"event_type": "tool_call_end", "event_id": f"e{place}", "parent_event_id": f"t{place}"}
            events += [tool | begun, tool | ended | failed]
        return write(name, events)

    return failing


def test_the_same_failure_in_several_traces_is_one_row(failing):
    """Those in most traces come first, with the first occurrence; a failure that occurred once is no such row."""
    first = failing("first", "no route", "no route", "only once")
    paths = [
        first,
        failing("second", "disk is full", "disk is full", "disk is full"),
        failing("third", "no route"),
    ]
    errors = analyze_many(paths, AnalysisRequest(sections=("errors",))).document["errors"]
    rows = [
        (row["error"], row["count"], row["traces"], row["trace"], row["number"])
        for row in errors["recurring"]
    ]
    assert rows == [("no route", 3, 2, str(first), 2), ("disk is full", 3, 1, str(paths[1]), 2)]
    assert (errors["total_errors"], errors["failed_spans"], errors["error_rate"]) == (7, 7, 1.0)


def test_many_failures_are_counted_and_the_first_hundred_listed(failing):
    """A thousand traces with a hundred failures each make no endless list."""
    paths = [failing(f"run{run}", *(f"{run} {place}" for place in range(60))) for run in range(2)]
    errors = analyze_many(paths, AnalysisRequest(sections=("errors",))).document["errors"]
    assert (errors["total_errors"], len(errors["failures"])) == (120, 100)


def test_the_overview_of_several_traces_is_the_sum_and_the_worst(week):
    """It says how long they took together, when the first began and the last ended, and how many went how."""
    overview = analyze_many(week, AnalysisRequest()).document["execution_overview"]
    alone = [TraceAnalyzer(path).analyze()["execution_overview"] for path in week]
    assert list(overview)[:2] == ["status", "statuses"]
    assert overview["statuses"] == {"completed": 5, "killed": 1}
    for name in ("spans", "events", "tool_calls", "errors", "open_spans"):
        assert overview[name] == sum(row[name] for row in alone)
    assert overview["duration_ms"] == pytest.approx(sum(row["duration_ms"] for row in alone))
    assert (overview["started_at"], overview["ended_at"]) == (alone[0]["started_at"], alone[5]["ended_at"])
    assert overview["success_rate"] == pytest.approx(1 - 1 / 11)
    assert "agent_version" in overview
    assert overview["agent_version"] is None  # the traces are of two versions
    assert not {"exit_status", "outcome", "tracing"} & overview.keys()


def test_an_overview_of_traces_without_times_and_ended_spans(write):
    """What no trace has stays unknown: it is no zero."""
    path = write("bare", [{"event_type": "tool_call_start", "event_id": "1", "component": "tool"}])
    overview = analyze_many([path, path], AnalysisRequest()).document["execution_overview"]
    unknown = ("duration_ms", "started_at", "ended_at", "success_rate", "cost")
    assert [overview[name] for name in unknown] == [None] * 5
    assert (overview["spans"], overview["open_spans"]) == (2, 2)


def test_savings_of_several_traces_have_the_largest_first(week):
    """Each kind is the sum, whatever the order of the traces; what saves most is listed first, with its trace."""
    request = AnalysisRequest(sections=("optimizations",), options=slow(250))
    savings = analyze_many(week, request).document["optimizations"]
    slow_tools = next(row for row in savings["kinds"] if row["kind"] == "slow_tools")
    assert (slow_tools["count"], slow_tools["saves"]["ms"]) == (3, 150 + 250 + 350)
    assert [row["trace"] for row in savings["listed"]] == [str(week[place]) for place in (5, 2, 4, 3)]
    assert (savings["listed_of"], savings["saves"]["cost"]) == (4, None)
    assert analyze_many(week[::-1], request).document["optimizations"] == savings


@pytest.mark.parametrize(
    ("reasons", "shown"), [(["why", None, "why"], "why"), (["why", "other"], None), ([None, None], None)]
)
def test_a_reason_is_kept_where_no_trace_has_another(reasons, shown):
    """Otherwise the reason of one trace would be shown as that of all."""
    nothing = {"ms": 0.0, "tokens": 0, "cost": None}
    kind = {"kind": "parallel", "what": "...", "count": 0, "saves": nothing}
    sections = [
        {"saves": nothing, "kinds": [kind | {"reason": reason}], "listed": [], "listed_of": 0}
        for reason in reasons
    ]
    savings = sum_savings(read_spans([]), sections)
    assert savings == {
        "saves": nothing,
        "kinds": [kind | {"reason": shown}],
        "listed": [],
        "listed_of": 0,
    }


def test_the_whole_has_what_means_something_of_several(week):
    """What is of one recording only, such as its critical path, is in its own document."""
    many = analyze_many(week, AnalysisRequest(documents=True))
    assert {"performance", "errors", "resource_usage", "execution_overview"} <= many.document.keys()
    assert not {"integrity", "dependencies"} & many.document.keys()
    assert {"integrity", "dependencies"} <= json.loads(many.traces[0]).keys()
    assert [row["scores"]["integrity"] < 1 for row in many.rows] == [place == 3 for place in range(6)]
    overview = many.document["execution_overview"]
    assert (overview["status"], overview["statuses"]["killed"], overview["events"]) == ("killed", 1, 34)


@pytest.mark.parametrize(
    ("by", "groups", "over"),
    [
        ("day", [(f"1970-01-0{place + 1}", 1) for place in range(6)], "days"),
        ("version", [("v0", 3), ("v1", 3)], "versions"),
        ("agent", [("Clerk", 1), ("Desk", 5)], "traces"),
    ],
)
def test_groups_have_documents_of_their_own(week, by, groups, over):
    """Each group holds what its recordings alone come to."""
    many = analyze_many(week, AnalysisRequest(by=by))
    document = many.document
    assert [(group["group"], group["traces"]) for group in document["groups"]] == groups
    assert [(group["group"], group["traces"]) for group in many.groups] == groups
    assert document["trends"]["over"] == over
    last = document["groups"][-1]
    alone = analyze_many(week[-groups[-1][1] :], AnalysisRequest()).document
    assert last["component_breakdown"] == alone["component_breakdown"]
    assert last["errors"] == alone["errors"]


def test_a_run_that_gets_slower_day_by_day_is_a_trend(week):
    """Over recordings and over days, the response time rises by the same."""
    for by in (None, "day"):
        told = analyze_many(week, AnalysisRequest(by=by)).document["trends"]["figures"]["response_time_ms"]
        assert (told["direction"], told["points"]) == ("rising", 6)
        assert told["slope_per_day"] == pytest.approx(100, rel=0.2)


def test_a_trend_is_that_of_one_program(week, write):
    """Programs have nothing to do with each other: the one with the most recordings counts, over days as well."""
    other = [
        {"event_type": "trace_start", "event_id": "1", "component": "app", "metadata": {"target": "b.py"}}
        | {"timestamp": 86_400.0 * 9 + place}
        for place in range(2)
    ]
    more = [write(f"other{place}", [event]) for place, event in enumerate(other)]
    for by in (None, "day"):
        told = analyze_many([*week, *more], AnalysisRequest(by=by)).document["trends"]
        assert (told["target"], told["targets"]) == (None, 2)
        alone = analyze_many(week, AnalysisRequest(by=by)).document["trends"]
        assert told["figures"] == alone["figures"]
        assert alone["targets"] == 1


def test_a_recording_that_cannot_be_read_does_not_end_the_others(week, write, tmp_path):
    """It is named with the reason; where none can be read, that is the answer."""
    empty = write("empty", [])
    many = analyze_many([empty, *week, tmp_path / "gone.jsonl"], AnalysisRequest())
    unreadable = many.document["aggregate"]["unreadable"]
    assert [row["path"] for row in unreadable] == [str(empty), str(tmp_path / "gone.jsonl")]
    assert "there is no event in it" in unreadable[0]["error"]
    assert many.document["aggregate"]["count"] == 6
    with pytest.raises(UnreadableTraceError, match="there is no event in it"):
        analyze_many([empty], AnalysisRequest())


def test_a_section_that_is_not_there_is_told_at_once(week):
    """Nothing is read for it."""
    with pytest.raises(WrongUsageError, match="did you mean performance"):
        analyze_many(week, AnalysisRequest(sections=("performanc",)))


def test_progress_is_told_after_each_recording(week):
    """The last word is that all bytes were read."""
    told = []
    analyze_many(week, AnalysisRequest(sections=("errors",)), lambda done, total: told.append((done, total)))
    total = sum(path.stat().st_size for path in week)
    assert (len(told), told[-1]) == (6, (total, total))


def test_a_thing_that_was_read_can_go_to_another_process(week):
    """What a process hands back survives pickling, and taking it twice counts it twice."""
    found = pickle.loads(pickle.dumps(read_recording(AnalysisRequest(), SECTIONS, str(week[0]))))
    together = TraceGroup(AnalysisRequest(), SECTIONS)
    together.add(found)
    together.add(found)
    assert together.count() == 2
    rows = together.sections()["component_breakdown"]
    assert rows["tool"]["count"] == 2


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_several_traces_give_what_one_table_of_all_their_spans_gives(traces, data):
    """Tables may be put together in groups first; every span is in it once, under its trace."""
    events = [data.draw(traces) for _ in range(3)]
    row = SECTIONS["performance"]

    def tables():
        return [read_spans(each, str(place), row.facts, row.points) for place, each in enumerate(events)]

    one, two, three = tables()
    two.extend(three)
    one.extend(two)
    first, *rest = tables()
    for each in rest:
        first.extend(each)
    assert json.dumps(row.compute(first, Options())) == json.dumps(row.compute(one, Options()))
    assert len(first) == sum(map(len, tables()))
    assert [first.paths[trace] for trace in first.trace] == [
        str(place) for place, table in enumerate(tables()) for _ in range(len(table))
    ]
