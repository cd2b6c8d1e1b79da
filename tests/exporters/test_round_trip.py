"""A trace that was exported and is opened again is the same run, but for what its format is known to leave out.

The report of what a format leaves out (`LEFT_OUT` of its exporter) is taken at its word: each of its lines is a function
here that removes just that from the trace and from its copy. Whatever still differs then is a loss that nobody reported.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.exporters import TRACE_EXPORTERS, atif, span_export
from namel3ss_debug.importers.messages import load, read_arguments
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.events import begins_span
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.traces.span_table import read_spans

DATA = Path(__file__).parent.parent / "data"
RECORDINGS = sorted((DATA / "recordings").glob("*.jsonl"))
SAMPLES = [
    path
    for path in sorted((DATA / "imports").glob("*/*"))
    if path.is_file()
    and path.parent.name != "LICENSES"
    and not path.name.startswith("agent-")  # a subagent, which is read with its session
    and path.name != "opencode-B.doStream.json"  # attributes alone
]
QUICK = {
    *("failing_agent.jsonl", "research_agent.jsonl", "openai_threads.jsonl", "subagent_trajectories.json"),
    *("edge_cases.jsonl", "test-repo.traj", "yelp.json", "rag_earnings_agent.json", "log_streaming.eval"),
    "google-adk-2025-08-28.trace.json",
}
FORMATS = ("otlp", "otlp-proto", "langfuse", "atif", "chrome", "zipkin")
MICROSECONDS = 3_000
"""How far times may be apart, in nanoseconds, where a format has whole microseconds: two of them are rounded."""

_PAYLOADS = ("inputs", "outputs", "metadata")
_KEPT_METADATA = ("source", "provider")


def is_span(event):
    """Return whether an event begins or ends a span."""
    return event["event_type"].endswith(("_start", "_end"))


def of_spans(change):
    """Make a function over a trace of one over a start event and its end event, which may be None."""

    def project(events):
        starts = {event["event_id"]: event for event in events if begins_span(event["event_type"])}
        for event in events:
            if event["event_type"].endswith("_end"):
                start = starts.pop(event.get("parent_event_id"), None)
                if start is not None:
                    change(start, event)
        for start in starts.values():
            change(start, None)
        return events

    return project


def without_program(events):
    """Leave out the process: its start and end, its reads and output, and spans in its background."""
    table = read_spans(events)
    background = {
        number
        for row in range(len(table))
        if table.background[row]
        for number in (table.number[row], table.end[row])
    }
    own = {"trace_start", "trace_end", "inputs_read", "resource_sample", "output"}
    return [
        event
        for number, event in enumerate(events, 1)
        if event["event_type"] not in own and number not in background
    ]


def without_outside(events):
    """Leave out events that are no spans and lie inside of none that is open."""
    open_spans, kept = set(), []
    for event in events:
        if begins_span(event["event_type"]):
            open_spans.add(event["event_id"])
        elif event["event_type"].endswith("_end"):
            open_spans.discard(event.get("parent_event_id"))
        elif event.get("parent_event_id") not in open_spans:
            continue
        kept.append(event)
    return kept


def without_rerun(events):
    """Leave out the metadata of spans, but for those of the tool that they come from, and measurements."""
    for event in events:
        if is_span(event):
            metadata = event.pop("metadata", {})
            kept = {name: metadata[name] for name in _KEPT_METADATA if name in metadata}
            if kept and not event["event_type"].endswith("_end"):
                event["metadata"] = kept
        for name in ("memory_usage_mb", "cpu_time_ms", "billing"):
            event.pop(name, None)
    return events


def without_chunks(events):
    """Leave out pieces of streams."""
    return [event for event in events if event["event_type"] != "stream_chunk"]


def without_untimed(events):
    """Leave out spans whose start is not known, and what happened right inside of them."""
    ends = {event.get("parent_event_id"): event for event in events if event["event_type"].endswith("_end")}
    gone = {
        event["event_id"]
        for event in events
        if begins_span(event["event_type"])
        and "timestamp" not in event
        and not {"timestamp", "duration_ms"} <= ends.get(event["event_id"], {}).keys()
    }
    kept = [
        event
        for event in events
        if event["event_id"] not in gone
        and (begins_span(event["event_type"]) or event.get("parent_event_id") not in gone)
    ]
    for event in kept:
        if event.get("parent_event_id") in gone:
            del event["parent_event_id"]
    return kept


@of_spans
def with_both_times(start, end):
    """Let a span of which one time is known take no time."""
    if end is not None and "duration_ms" not in end and ("timestamp" in start) != ("timestamp" in end):
        start["timestamp"] = end["timestamp"] = start.get("timestamp", end.get("timestamp"))
        end["duration_ms"] = 0.0


@of_spans
def with_one_model(start, end):
    """Let the model that answered be the one that was asked."""
    if start["component"] != "llm":
        return
    outputs = {} if end is None else end.setdefault("outputs", {})
    model = (
        outputs.pop("response_model", None)
        or start.get("inputs", {}).get("model")
        or start.get("component_name")
    )
    for event in (start, end):
        if event is not None and model is not None:
            event["component_name"] = model
    if model is not None:
        start.setdefault("inputs", {})["model"] = model


@of_spans
def with_results_as_objects(start, end):
    """Read arguments and results of tools that are texts of JSON."""
    if start["component"] != "tool":
        return
    if "arguments" in start.get("inputs", {}):
        start["inputs"]["arguments"] = read_arguments(start["inputs"]["arguments"])
    if end is not None and "result" in end.get("outputs", {}):
        end["outputs"]["result"] = load(end["outputs"]["result"])


@of_spans
def with_texts(start, end):
    """Write numbers among the fields of another tool as texts."""
    source = start.get("metadata", {}).get("source", {})
    for name, value in source.items():
        if isinstance(value, (bool, int, float)):
            source[name] = json.dumps(value)


def only_calls(events):
    """Leave calls of models, in order, each with the tools that it asked for, and what ATIF has of them."""
    table = read_spans(events)
    spans = [
        (events[table.number[row] - 1], events[table.end[row] - 1] if table.end[row] else {})
        for row in sorted(range(len(table)), key=lambda row: table.number[row])
    ]
    tools = [span for span in spans if span[0]["component"] == "tool"]
    kept = []

    def keep(prefix, name, start, end):
        place = len(kept)
        common = {"component": prefix.split("_")[0]} | ({} if name is None else {"component_name": name})
        kept.append(
            {**common, "event_type": f"{prefix}_start", "event_id": f"{place}", "seq": place, **start}
        )
        kept.append(
            {
                **common,
                "event_type": f"{prefix}_end",
                "event_id": f"{place}.end",
                "seq": place + 1,
                "parent_event_id": f"{place}",
                **{field: value for field, value in end.items() if value not in (None, {})},
            }
        )

    for start, end in spans:
        if start["component"] != "llm":
            continue
        outputs, inputs = end.get("outputs", {}), start.get("inputs", {})
        calls = outputs.get("tool_calls") or []
        model = inputs.get("model") or start.get("component_name")
        answer = {
            "text": outputs.get("text") or "",
            "reasoning": outputs.get("reasoning") or None,
            "tool_calls": [
                (call["name"], call["arguments"] if isinstance(call["arguments"], dict) else {})
                for call in calls
            ],
        }
        fields = ("call_site", "thread", "task", "retry_count", "metadata")
        facts = ("usage", "cost_estimate", "error", "error_type", "stack_trace", "status")
        keep(
            "llm_call",
            model,
            {"inputs": {"model": model}} | {name: start[name] for name in fields if name in start},
            {"outputs": answer, "timestamp": end.get("timestamp", start.get("timestamp"))}
            | {name: end.get(name) for name in facts},
        )
        for call in calls:
            wanted = call.get("id")
            found = [span for span in tools if wanted and span[0]["inputs"].get("call_id") == wanted]
            result = failure = None
            if found:
                tools.remove(found[0])
                failure = span_export.failure_of(span_export.read_facts(*found[0]))
                result = found[0][1].get("outputs", {}).get("result")
            keep(
                "tool_call",
                call["name"],
                {},
                {
                    "outputs": {"result": atif.as_text(result) if failure is None else failure},
                    "status": "completed",
                },
            )
    return kept


def unchanged(events):
    """Leave all events."""
    return events


PROJECTIONS = {
    span_export.PROGRAM: without_program,
    span_export.OUTSIDE: without_outside,
    span_export.RERUN: without_rerun,
    span_export.CHUNKS: without_chunks,
    span_export.UNTIMED: without_untimed,
    span_export.KNOWN_TIMES: with_both_times,
    span_export.MODEL: with_one_model,
    span_export.JSON_TEXT: with_results_as_objects,
    span_export.TYPES: with_texts,
    span_export.FINE_TIMES: unchanged,  # the comparison of times takes it into account
    atif.ONLY_CALLS: only_calls,
}


def run(*words):
    """Return the result of a command."""
    return CliRunner().invoke(debug, [*map(str, words)])


def project(path, left_out):
    """Return the events of a trace without what its copy cannot have."""
    events = [json.loads(json.dumps(event)) for event in open_trace(path).events()]
    for what in left_out:
        events = PROJECTIONS[what](events)
    for seq, event in enumerate(events):
        event["seq"] = seq
    return events


def describe(events):
    """Return what is known of each span, by its path and place, in a form that can be compared: exact facts, and times."""
    table, found = read_spans(events), []
    for row in sorted(range(len(table)), key=lambda row: table.number[row]):
        start = events[table.number[row] - 1]
        end = events[table.end[row] - 1] if table.end[row] else {}
        path, parent = [], row
        while parent >= 0:
            path.insert(0, (table.component(parent), table.name(parent)))
            parent = table.parent[parent]
        exact = {
            "path": path,
            "status": table.status_of(row) if hasattr(table, "status_of") else end.get("status"),
            **{
                name: end.get(name)
                for name in ("error", "error_type", "stack_trace", "usage", "cost_estimate")
            },
            **{name: start.get(name) for name in ("call_site", "thread", "task", "step_type", "retry_count")},
            "metadata": start.get("metadata"),
        }
        # The recorded end of a span is the moment of its event, which is some microseconds after what its duration gives.
        began = since_epoch(start["timestamp"]) if "timestamp" in start else None
        found.append((json.dumps(exact, sort_keys=True), (began, table.duration[row])))
    return sorted(found, key=lambda each: (each[0], each[1][0] or 0, each[1][1]))


def check(path, name, folder):
    """Export a trace and compare its copy with it."""
    row = next(row for row in TRACE_EXPORTERS if row.name == name)
    left_out = row.load().LEFT_OUT
    copy = folder / f"copy{row.ending}"
    result = run("export", path, "--format", name, "-o", copy)
    assert result.exit_code == 0, result.output
    before = project(path, left_out)
    after = project(copy, left_out)
    if not before:
        assert not after
        return
    for events, side in ((before, "before"), (after, "after")):
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    difference = run("diff", folder / "before.jsonl", folder / "after.jsonl", "--format", "json")
    assert difference.exit_code == 0, difference.output[:3000]
    tolerance = MICROSECONDS if span_export.FINE_TIMES in left_out else 0
    pairs = list(zip(describe(before), describe(after), strict=True))
    for (facts, (began, lasted)), (facts_again, (began_again, lasted_again)) in pairs:
        assert facts == facts_again
        assert (began is None) == (began_again is None), facts
        assert began is None or abs(began - began_again) <= tolerance, facts
        assert abs(lasted - lasted_again) <= tolerance, (facts, lasted, lasted_again)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=f"{path.parent.name}-{path.stem}", marks=() if path.name in QUICK else pytest.mark.slow
        )
        for path in [*RECORDINGS, *SAMPLES]
    ],
)
def test_a_copy_differs_by_what_its_format_leaves_out(path, name, tmp_path):
    """In nothing else: structure, kinds, messages, tools, usage, costs, errors, times and the fields of other tools."""
    check(path, name, tmp_path)


@pytest.mark.parametrize("path", [*RECORDINGS, *SAMPLES], ids=lambda path: path.stem)
def test_our_own_format_leaves_nothing_out(path, tmp_path):
    """Each event is the same."""
    copy = tmp_path / "copy.jsonl"
    assert run("export", path, "--format", "jsonl", "-o", copy).exit_code == 0
    assert list(open_trace(copy).events()) == list(open_trace(path).events())
