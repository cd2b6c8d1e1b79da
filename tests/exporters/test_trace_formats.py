"""A trace in the format of another tool has the spans, times, tokens, costs and failures of the trace."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from namel3ss_debug.cli.main import debug
from namel3ss_debug.exporters import TRACE_EXPORTERS
from namel3ss_debug.importers.opening import load_spans

RECORDINGS = sorted((Path(__file__).parent.parent / "data" / "recordings").glob("*.jsonl"))
SECRET = "sk-proj-" + "a1B2c3D4" * 6


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request):
    """Each recorded trace."""
    return request.param


def export(path, name, *options):
    """Return what `export` writes for a trace."""
    result = CliRunner().invoke(debug, ["export", str(path), "--format", name, "-o", "-", *options])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def rows_of(spans):
    """Return the rows that are exported."""
    return [row for row in range(len(spans)) if not spans.background[row]]


def any_value(value):
    """Return a value of OTLP/JSON as the value that it stands for."""
    ((kind, found),) = value.items()
    if kind == "arrayValue":
        return [any_value(each) for each in found["values"]]
    return int(found) if kind == "intValue" else found


def otlp_spans(written):
    """Return the spans of OTLP/JSON, their attributes as a dict."""
    found = []
    for line in written.splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += [
                    {
                        **span,
                        "attributes": {each["key"]: any_value(each["value"]) for each in span["attributes"]},
                    }
                    for span in scope["spans"]
                ]
    return found


def test_otlp_has_the_spans_of_the_trace(recording):
    """Structure, times to the nanosecond, tokens, failures and messages."""
    spans, found = load_spans(recording), otlp_spans(export(recording, "otlp"))
    rows = rows_of(spans)
    assert len(found) == len(rows)
    by_start = {int(span["startTimeUnixNano"]): span for span in found}
    ids = {row: by_start[spans.began[row]]["spanId"] for row in rows}
    for row in rows:
        span = by_start[spans.began[row]]
        attributes = span["attributes"]
        assert int(span["endTimeUnixNano"]) - spans.began[row] == max(spans.duration[row], 0)
        assert span.get("parentSpanId") == ids.get(spans.parent[row])
        assert (span.get("status", {}).get("code") == 2) == bool(spans.failed[row])
        if spans.component(row) == "llm":
            start, end = spans.events(row)
            assert attributes["gen_ai.request.model"] == start["inputs"]["model"]
            assert json.loads(attributes["gen_ai.input.messages"]) == start["inputs"]["messages"]
            for ours in ("input_tokens", "output_tokens"):
                assert attributes.get(f"gen_ai.usage.{ours}") == end.get("usage", {}).get(ours)
            texts = [
                part["content"]
                for message in json.loads(attributes.get("gen_ai.output.messages", "[]"))
                for part in message["parts"]
                if part["type"] == "text"
            ]
            assert "".join(texts) == (end.get("outputs", {}).get("text") or "")


def test_protobuf_is_what_the_package_of_opentelemetry_reads(recording):
    """The same spans as in JSON, with binary ids."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(export(recording, "otlp-proto"))
    found = [span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans]
    wanted = otlp_spans(export(recording, "otlp"))
    assert [
        (
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.start_time_unix_nano,
        )
        for span in found
    ] == [
        (
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            span["name"],
            int(span["startTimeUnixNano"]),
        )
        for span in wanted
    ]
    assert [len(span.attributes) for span in found] == [len(span["attributes"]) for span in wanted]


def test_ids_are_the_same_each_time(recording):
    """A receiver that only appends has each span once."""
    assert export(recording, "otlp") == export(recording, "otlp")


@pytest.mark.parametrize("name", [row.name for row in TRACE_EXPORTERS])
def test_content_stays_at_home_if_wanted(name, recording):
    """No message, argument, result or text of an error leaves, in any format; the spans do."""
    spans = load_spans(recording)
    written = export(recording, name, "--no-content")
    texts = set()
    for row in rows_of(spans):
        start, end = spans.events(row)
        text = end.get("outputs", {}).get("text")
        texts |= {text, end.get("error")}
        for message in start.get("inputs", {}).get("messages", ()):
            texts |= {part.get("content") for part in message["parts"] if part["type"] == "text"}
    texts = {text for text in texts if text and len(text) > 8}
    assert texts
    assert not [text for text in texts if json.dumps(text)[1:-1].encode() in written]
    assert written or name == "loki"  # few recordings have log records


def test_secrets_are_replaced_on_the_way_out(tmp_path):
    """Also if the trace was recorded with them."""
    events = [
        {"event_type": "tool_call_start", "event_id": "1", "component": "tool", "component_name": "send",
         "timestamp": 1.0, "inputs": {"arguments": {"text": f"key {SECRET}"}}},
        {"event_type": "tool_call_end", "event_id": "2", "parent_event_id": "1", "component": "tool",
         "component_name": "send", "timestamp": 2.0, "error": SECRET, "error_type": "ValueError", "status": "failed"},
    ]  # fmt: skip
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    for row in TRACE_EXPORTERS:
        assert SECRET.encode() not in export(path, row.name), row.name


def test_a_mark_goes_out_as_an_evaluation(recording, tmp_path):
    """On the span of its event."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(recording.read_bytes())
    spans = load_spans(path)
    row = rows_of(spans)[-1]
    result = CliRunner().invoke(
        debug, ["mark", str(path), "bad", "--why", "wrong city", "--event", str(spans.number[row])]
    )
    assert result.exit_code == 0, result.output
    marked = [
        span
        for span in otlp_spans(export(path, "otlp"))
        if any(each["name"] == "gen_ai.evaluation.result" for each in span.get("events", ()))
    ]
    assert [int(span["startTimeUnixNano"]) for span in marked] == [spans.began[row]]
    event = next(each for each in marked[0]["events"] if each["name"] == "gen_ai.evaluation.result")
    attributes = {each["key"]: any_value(each["value"]) for each in event["attributes"]}
    assert attributes["gen_ai.evaluation.score.label"] == "bad"
    assert attributes["gen_ai.evaluation.explanation"] == "wrong city"


def test_chrome_draws_each_lane_as_a_stack(recording):
    """Every span is there, and spans of one lane lie inside or beside each other."""
    found = [event for event in json.loads(export(recording, "chrome"))["traceEvents"] if event["ph"] == "X"]
    assert len(found) == len(rows_of(load_spans(recording)))
    for lane in {each["tid"] for each in found}:
        open_ends = []
        for each in sorted((each for each in found if each["tid"] == lane), key=lambda each: each["ts"]):
            while open_ends and open_ends[-1] <= each["ts"] + 1e-6:
                open_ends.pop()
            end = each["ts"] + each["dur"]
            assert not open_ends or end <= open_ends[-1] + 1e-3
            open_ends.append(end)


def test_speedscope_closes_what_it_opens(recording):
    """In the order of a stack, with times that never go back."""
    document = json.loads(export(recording, "speedscope"))
    opened = 0
    for profile in document["profiles"]:
        stack, last = [], 0.0
        for event in profile["events"]:
            assert event["at"] >= last
            last = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
                opened += 1
            else:
                assert stack.pop() == event["frame"]
        assert not stack
        assert last <= profile["endValue"]
    assert opened == len(rows_of(load_spans(recording)))


def test_zipkin_has_texts_as_tags(recording):
    """And ids and times in its units."""
    spans = load_spans(recording)
    found = json.loads(export(recording, "zipkin"))
    assert sorted(each["timestamp"] for each in found) == sorted(
        spans.began[row] // 1000 for row in rows_of(spans)
    )
    assert all(type(value) is str for each in found for value in each["tags"].values())
    assert sum("error" in each["tags"] for each in found) == sum(spans.failed[row] for row in rows_of(spans))


def test_langfuse_has_an_observation_for_each_span(recording):
    """With its type, tokens and level."""
    spans = load_spans(recording)
    (document,) = map(json.loads, export(recording, "langfuse").splitlines())
    rows = rows_of(spans)
    assert len(document["observations"]) == len(rows)
    for row, observation in zip(rows, document["observations"], strict=True):
        assert (observation["type"] == "GENERATION") == (spans.component(row) == "llm")
        assert (observation["level"] == "ERROR") == bool(spans.failed[row])
        if spans.counted[row] and spans.component(row) == "llm":
            assert observation["usageDetails"]["input"] == spans.input_tokens[row]


def test_atif_has_a_step_for_each_model_call(recording):
    """With the tools that it asked for, and the tokens of all calls."""
    spans = load_spans(recording)
    document = json.loads(export(recording, "atif"))
    models = [row for row in rows_of(spans) if spans.component(row) == "llm"]
    steps = document["steps"]
    assert [step["step_id"] for step in steps] == list(range(1, len(steps) + 1))
    assert sum(step["source"] == "agent" for step in steps) == len(models)
    assert document["final_metrics"]["total_prompt_tokens"] == sum(spans.input_tokens[row] for row in models)
    asked = sum(len(spans.events(row)[1].get("outputs", {}).get("tool_calls") or ()) for row in models)
    assert sum(len(step.get("tool_calls", ())) for step in steps) == asked


def test_openmetrics_counts_what_the_table_counts(recording):
    """Calls in the last bucket, tokens as sums, failures as a counter."""
    spans = load_spans(recording)
    lines = export(recording, "openmetrics").decode().splitlines()
    assert lines[-1] == "# EOF"
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    models = [row for row in rows_of(spans) if spans.component(row) == "llm"]
    finished = [row for row in models if spans.end[row]]
    counted = sum(
        int(value)
        for name, value in figures.items()
        if name.startswith("gen_ai_client_operation_duration_seconds_count") and '"chat"' in name
    )
    assert counted == len(finished)
    tokens = sum(
        float(value)
        for name, value in figures.items()
        if name.startswith("gen_ai_client_token_usage_sum") and '"input"' in name
    )
    assert tokens == sum(spans.input_tokens[row] for row in models)
    failed = sum(
        int(value)
        for name, value in figures.items()
        if name.startswith("namel3ss_errors_total") and '"chat"' in name
    )
    assert failed == sum(spans.failed[row] for row in models)


def test_an_open_span_is_exported_as_open(tmp_path):
    """With no end that nobody saw."""
    path = tmp_path / "own.jsonl"
    start = {
        "event_type": "llm_call_start",
        "event_id": "1",
        "component": "llm",
        "component_name": "m",
        "timestamp": 5.0,
    }
    path.write_text(json.dumps(start) + "\n")
    (span,) = otlp_spans(export(path, "otlp"))
    assert span["attributes"]["namel3ss.status"] == "open"
    assert span["startTimeUnixNano"] == span["endTimeUnixNano"] == "5000000000"
    assert "status" not in span


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give --format NAME, or --to URL"),
        (["--to", "http://localhost:1", "--format", "zipkin"], "--to sends OTLP"),
        (["--to", "localhost"], "--to localhost: give a URL"),
        (["--to", "http://localhost:1", "--header", "nothing"], "--header nothing: give it as NAME: VALUE"),
    ],
)
def test_wrong_options_are_one_clear_line(options, words):
    """With status 2."""
    result = CliRunner().invoke(debug, ["export", str(RECORDINGS[0]), *options])
    assert result.exit_code == 2
    assert words in result.output


def test_several_traces_go_to_a_folder(tmp_path):
    """A file for each."""
    result = CliRunner().invoke(
        debug, ["export", *map(str, RECORDINGS[:3]), "--format", "chrome", "-o", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"{path.stem}.chrome.json" for path in RECORDINGS[:3]
    ]
    result = CliRunner().invoke(
        debug, ["export", *map(str, RECORDINGS[:2]), "--format", "chrome", "-o", str(tmp_path / "one.json")]
    )
    assert result.exit_code == 2
