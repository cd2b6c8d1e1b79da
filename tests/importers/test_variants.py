"""What real files of the formats have that the samples lack: other versions, missing fields, parts that arrive twice."""

from __future__ import annotations

import json
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.opening import load_spans, open_trace

ROOT, OTHER = "20261125T100000000000Zr1", "20261125T100001000000Zr2"
PHOENIX = {
    "context": {"trace_id": "t", "span_id": "s"},
    "start_time": "2026-11-25T10:00:00Z",
    "status_code": "OK",
}
OBSERVATION = {
    "traceId": "t",
    "startTime": "2026-11-25T10:00:00Z",
    "level": "DEFAULT",
    "parentObservationId": None,
}
GENERATION = {
    **OBSERVATION,
    "id": "g",
    "type": "GENERATION",
    "model": "gpt-4o",
    "input": "hi",
    "output": "ho",
}
TURN = {"type": "user", "uuid": "1", "message": {"role": "user", "content": "hi"}}
ANSWER = {
    "type": "assistant",
    "uuid": "2",
    "message": {"role": "assistant", "content": "ho", "model": "claude-opus-4-6"},
}
PRINTED = {"type": "assistant", "session_id": "s"}
BLOB = {"trace_id": "t", "start_time": "2025-11-25 10:00:00.000000", "parent_observation_id": None}
OLD = {"id": 0, "source": "user", "message": "go", "action": "message", "timestamp": "2024-08-01T10:00:00"}
RUN = {**OLD, "id": 1, "source": "agent", "action": "run"}
ACTION = {"kind": "ActionEvent", "id": "a1", "timestamp": "2026-11-25T10:00:01", "tool_name": "terminal"}


def report(span_id, parent_id=None, **more):
    """Return a span as Zipkin has it."""
    return {"traceId": "t", "id": span_id, "parentId": parent_id, "name": span_id, **more}


def at(service):
    """Return the endpoint of a service."""
    return {"localEndpoint": {"serviceName": service}}


VARIANTS = {
    "Claude Code, without ids of a session": ([TURN, ANSWER], "agent(turn(llm))", 0),
    "LangSmith's SDK for JavaScript: a patch without id": (
        [
            {
                "post": [{"id": "r1", "run_type": "llm", "dotted_order": ROOT, "start_time": 1_764_064_800_000}],
                "patch": [
                    {
                        "dotted_order": ROOT,
                        "end_time": 1_764_064_801_000,
                        "outputs": {"usage_metadata": {"input_tokens": 9, "output_tokens": 2}},
                    }
                ],
            }
        ],
        "llm",
        11,
    ),
    "LangSmith: the parent is in the order only": (
        [
            {"id": "r1", "run_type": "chain", "dotted_order": ROOT, "start_time": 1, "end_time": 9},
            {"id": "r2", "run_type": "tool", "dotted_order": f"{ROOT}.{OTHER}", "start_time": 2, "end_time": 3},
        ],
        "chain(tool)",
        0,
    ),
    "Langfuse before 3: counts beside the details": (
        [{"observations": [{**GENERATION, "usageDetails": None, "inputUsage": 5, "outputUsage": 2}]}],
        "llm",
        7,
    ),
    "Langfuse: observations inside of the trace": (
        [{"trace": {"observations": [{**GENERATION, "usageDetails": {"input": 5}}]}}],
        "llm",
        5,
    ),
    "Langfuse: a call without an end, as some SDKs send it": (
        [{"observations": [{**GENERATION, "endTime": None, "usageDetails": {"input": 5}}]}],
        "llm",
        5,
    ),
    "OpenHands' API: items without a source, results by the id of the action": (
        [
            {
                "items": [
                    None,
                    {
                        **ACTION,
                        "kind": "MessageEvent",
                        "id": "m",
                        "source": "user",
                        "llm_message": {"content": [{"type": "text", "text": "go"}]},
                    },
                    ACTION,
                    {**ACTION, "kind": "ObservationEvent", "id": "o", "action_id": "a1", "observation": {"is_error": True}},
                ]
            }
        ],
        "agent(turn(llm tool))",
        0,
    ),
    "SWE-agent: a demonstration with a history only": (
        [
            {
                "history": [
                    {"role": "system", "content": "be short"},
                    {"role": "assistant", "content": "look", "action": "ls", "message_type": "action"},
                    {"role": "user", "content": "notes.txt", "message_type": "observation"},
                ]
            }
        ],
        "agent(llm tool)",
        0,
    ),
    "Inspect AI: a tool in a span of its own, with an agent inside": (
        [
            {
                "eval": {"task": "t"},
                "samples": [
                    {
                        "id": 1,
                        "events": [
                            {"event": "span_begin", "id": "x", "type": "tool", "name": "ask"},
                            {"event": "tool", "function": "ask", "id": "call1", "result": "ho"},
                            {"event": "span_begin", "id": "y", "parent_id": "x", "type": "agent", "name": "helper"},
                            {"event": "model", "span_id": "y", "output": {"usage": {"input_tokens": 4, "output_tokens": 1}}},
                            {"event": "span_end", "id": "y"},
                            {"event": "span_end", "id": "x"},
                        ],
                    }
                ],
            }
        ],
        "chain(tool(agent(llm)))",
        5,
    ),
    "Zipkin: one message for two receivers, and what one of them called": (
        [
            [
                report("a", timestamp=1_764_064_800_000_000, duration=9, **at("shop")),
                report("b", "a", shared=True, timestamp=1_764_064_800_000_001, duration=1, **at("mail")),
                report("b", "a", timestamp=1_764_064_800_000_001, duration=5, **at("shop")),
                report("b", "a", shared=True, timestamp=1_764_064_800_000_002, duration=1, **at("stock")),
                report("b", "a", annotations=[], **at("shop")),
                report("c", "b", timestamp=1_764_064_800_000_003, duration=1, **at("stock")),
            ]
        ],
        "span(span(span span(span)))",
        0,
    ),
    "Phoenix: the kind stands beside the attributes": (
        [
            {
                **PHOENIX,
                "span_kind": "LLM",
                "end_time": "2026-11-25T10:00:01Z",
                "attributes": {"llm.token_count.prompt": 3, "llm.token_count.completion": 2},
            }
        ],
        "llm",
        5,
    ),
    "Jaeger's API 3: OTLP below `result`": (
        [{"result": {"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "a" * 16, "endTimeUnixNano": "9"}]}]}]}}],
        "span",
        0,
    ),
    "Gemini CLI's telemetry": (
        [
            {
                **PHOENIX,
                "end_time": "2026-11-25T10:00:01Z",
                "attributes": {
                    "gen_ai.operation.name": "llm_call",
                    "gen_ai.usage.input_tokens": 3,
                    "gen_ai.input.messages": '[{"role": "user", "parts": [{"text": "hi"}]}]',
                    "gen_ai.output.messages": '{"parts": [{"text": "ho"}]}',
                },
            }
        ],
        "llm",
        3,
    ),
    "Langfuse: an export to blob storage, whose fields have underscores and whose times no zone": (
        [
            {**BLOB, "id": "a", "type": "AGENT", "end_time": "2025-11-25 10:00:04.000000"},
            {
                **BLOB,
                "id": "g",
                "type": "GENERATION",
                "parent_observation_id": "a",
                "end_time": "2025-11-25 10:00:02.000000",
                "provided_model_name": "gpt-4o-mini",
                "usage_details": {"input": 10, "output": 5, "total": 15},
            },
        ],
        "agent(llm)",
        15,
    ),
    "Langfuse: traces in an answer of the API, each with its observations": (
        [{"data": [{"id": name, "observations": [{**GENERATION, "id": name, "usageDetails": {"input": 5}}]} for name in "ab"]}],
        "2 llm",
        10,
    ),
    "Phoenix: a data frame, each attribute of which is a column": (
        [
            [
                {
                    "context.span_id": "s",
                    "context.trace_id": "t",
                    "span_kind": "LLM",
                    "start_time": 1_764_064_800_000,
                    "end_time": 1_764_064_801_000,
                    "attributes.llm.token_count.prompt": 5,
                    "attributes.llm.input_messages": [{"message.role": "user", "message.content": "hi"}],
                    "attributes.tool.name": None,
                }
            ]
        ],
        "llm",
        5,
    ),
    "claude -p, stream-json of versions without ids of rows and totals by model": (
        [
            {"type": "system", "subtype": "init", "session_id": "s"},
            {**PRINTED, "message": {**ANSWER["message"], "id": "m1", "usage": {"input_tokens": 4, "output_tokens": 1}}},
            {"type": "result", "session_id": "s", "num_turns": 1, "usage": {"input_tokens": 4, "output_tokens": 30}},
        ],
        "agent(llm)",
        34,
    ),
    "claude -p --output-format json: the last row alone": (
        [{"type": "result", "session_id": "s", "num_turns": 1, "result": "ho", "usage": {"input_tokens": 4, "cache_read_input_tokens": 5}}],
        "agent(llm)",
        9,
    ),
    "codex exec --json": (
        [
            {"type": "thread.started", "thread_id": "t"},
            {"type": "turn.started"},
            {"type": "item.started", "item": {"id": "1", "type": "command_execution", "command": "ls", "status": "in_progress"}},
            {"type": "item.completed", "item": {"id": "1", "type": "command_execution", "command": "ls", "exit_code": 2, "status": "failed"}},
            {"type": "item.completed", "item": {"id": "2", "type": "agent_message", "text": "Done."}},
            {"type": "turn.completed", "usage": {"input_tokens": 20, "cached_input_tokens": 9, "output_tokens": 3}},
        ],
        "agent(2 llm tool)",
        23,
    ),
    "MLflow 2: the model and the tokens stand in the request and the answer only": (
        [
            {
                "spans": [
                    {
                        "name": "Completions",
                        "context": {"span_id": "0xa", "trace_id": "0xb"},
                        "start_time": 1_732_500_000_000_000_000,
                        "end_time": 1_732_500_001_000_000_000,
                        "attributes": {
                            "mlflow.spanType": '"CHAT_MODEL"',
                            "mlflow.spanInputs": '{"model": "gpt-4o-mini", "messages": []}',
                            "mlflow.spanOutputs": '{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
                        },
                    }
                ]
            }
        ],
        "llm",
        5,
    ),
    "OpenHands' evaluations: a run on each line, before 0.9 with pairs of an action and what was observed": (
        [
            {"instance_id": "i", "history": [[OLD, {"observation": "null"}], [RUN, {**RUN, "id": 2, "observation": "run", "cause": 1}]]},
            {"instance_id": "j", "history": [OLD, {**OLD, "id": 1, "source": "agent", "action": "finish"}]},
        ],
        "agent(turn(llm tool)) agent(turn(llm))",
        0,
    ),
}  # fmt: skip
"""What is special -> the JSON of the lines, the tree, the tokens."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_its_tree_and_tokens(name, tmp_path, draw):
    """And it has an end."""
    documents, tree, tokens = VARIANTS[name]
    path = tmp_path / "file"
    path.write_text("\n".join(map(json.dumps, documents)))
    table = load_spans(path)
    assert draw(table) == tree
    assert sum(table.input_tokens) + sum(table.output_tokens) == tokens
    assert all(table.end)


def test_documents_one_after_another_are_read_and_what_is_printed_between_them_is_not(tmp_path):
    """As the console exporter of OpenTelemetry prints spans, while the program prints too."""
    span = {**PHOENIX, "end_time": "2026-11-25T10:00:01Z", "attributes": {}}
    others = [{**span, "context": {"trace_id": "t", "span_id": name}} for name in "ab"]
    path = tmp_path / "console.txt"
    path.write_text(f"{json.dumps(others[0], indent=4)}\nhello {{}}\n{json.dumps(others[1], indent=4)}\n")
    trace = open_trace(path)
    assert {event["event_id"] for event in trace.events()} == {
        "trace",
        "a",
        "a.end",
        "b",
        "b.end",
        "trace.end",
    }
    assert [problem.what for problem in trace.problems.first] == ["not JSON"]


def test_the_agent_that_writes_a_summary_joins_below_its_session(tmp_path, draw):
    """No call of a tool started it."""
    rows = [{**row, "sessionId": "s1", "parentUuid": None} for row in (TURN, ANSWER)]
    folder = tmp_path / "s1" / "subagents"
    folder.mkdir(parents=True)
    (tmp_path / "s1.jsonl").write_text("\n".join(map(json.dumps, rows)))
    inner = [{**row, "uuid": f"x{row['uuid']}", "agentId": "acompact-1", "isSidechain": True} for row in rows]
    (folder / "agent-acompact-1.jsonl").write_text("\n".join(map(json.dumps, inner)))
    assert draw(load_spans(tmp_path / "s1.jsonl")) == "agent(agent(turn(llm)) turn(llm))"


def test_a_file_without_calls_is_refused_in_one_line(tmp_path):
    """As a log of Inspect AI is whose samples were not kept."""
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"eval": {"task": "t"}, "status": "cancelled"}))
    with pytest.raises(UnreadableTraceError, match="no agent, model or tool was called in it"):
        load_spans(path)


def test_traces_of_langfuse_without_their_observations_are_refused_in_one_line(tmp_path):
    """As a list of traces has them: it says what to export."""
    path = tmp_path / "traces.json"
    path.write_text(json.dumps({"data": [{"id": "t", "name": "x", "observations": ["a", "b"]}]}))
    with pytest.raises(UnreadableTraceError, match="traces without their observations"):
        list(open_trace(path).events())


def test_a_log_of_inspect_ai_compressed_with_zstd_is_read(tmp_path):
    """As its newer versions write logs."""
    if sys.version_info < (3, 14):
        import_module("zipfile_zstd")
    sample = Path(__file__).parent.parent / "data/imports/inspect-ai/log_streaming.eval"
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(sample) as plain, zipfile.ZipFile(path, "w", 93) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert list(open_trace(path).events()) == list(open_trace(sample).events())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python reads zstd itself")
def test_without_zipfile_zstd_the_refusal_says_what_to_install(tmp_path, monkeypatch):
    """In one line."""
    import_module("zipfile_zstd")
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", 93) as packed:
        packed.writestr("samples/1_epoch_1.json", "{}")
    monkeypatch.setitem(sys.modules, "zipfile_zstd", None)
    with pytest.raises(UnreadableTraceError, match=r"pip install 'namel3ss-debug\[inspect\]'"):
        list(open_trace(path).events())


def test_a_number_larger_than_any_float_is_left_out(tmp_path):
    """In documents one after another, which another parser than that of whole documents reads."""
    span = {**PHOENIX, "end_time": "2026-11-25T10:00:01Z", "span_kind": "LLM"}
    rows = [
        {
            **span,
            "context": {"trace_id": "t", "span_id": name},
            "attributes": {"llm.token_count.prompt": count},
        }
        for name, count in (("a", 10**400), ("b", 3))
    ]
    path = tmp_path / "console.txt"
    path.write_text("\n".join(json.dumps(row, indent=1) for row in rows))
    assert sum(load_spans(path).input_tokens) == 3
