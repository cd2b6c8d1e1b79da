"""What a span of OpenTelemetry stands for, by its words."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.capture.frameworks import conventions


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "called"),
    [
        ("invoke_agent ada", {}, "agent", "ada"),
        ("agent_run [ada]", {}, "agent", "ada"),
        ("a run", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "ada"}, "agent", "ada"),
        ("execute_tool lookup", {}, "tool", "lookup"),
        ("chat gpt", {"gen_ai.request.model": "gpt-4o"}, "model", "gpt-4o"),
        ("Ada.run", {"openinference.span.kind": "AGENT"}, "agent", "Ada.run"),
        ("plan", {"traceloop.span.kind": "task"}, "step", "plan"),
        ("polite", {"openinference.span.kind": "GUARDRAIL"}, "validation", "polite"),
    ],
)
def test_a_span_is_read_by_its_operation_its_kind_or_its_name(name, attributes, kind, called):
    """Attributes win over what the name begins with."""
    assert conventions.interpret("loom", name, attributes) == (kind, called)


@pytest.mark.parametrize(
    ("scope", "name"),
    [("loom", "GET /"), ("gcp.vertex.agent", "execute_tool (merged)"), ("pydantic-ai", "invoke_agent ada")],
)
def test_other_spans_stand_for_nothing(scope, name):
    """Nor do those of a framework that is followed otherwise."""
    assert conventions.interpret(scope, name, {}) is None


def test_what_a_tool_was_given_and_gave_is_json_or_text():
    """Text that is no JSON is taken as it is."""
    assert conventions.read_arguments({"gen_ai.tool.call.arguments": '{"word": "snow"}'}) == {"word": "snow"}
    assert conventions.read_arguments({"input.value": "snow"}) == {"input": "snow"}
    assert conventions.read_arguments({}) is None
    assert conventions.read_result({"output.value": "[1]"}) == [1]
    assert conventions.read_result({}) is None


def test_what_a_model_answered_is_put_together():
    """Texts are joined, calls are listed, tokens are those of either convention."""
    calls = [{"type": "tool_call", "id": "1", "name": "lookup", "arguments": {}}]
    texts = [{"type": "text", "content": text} for text in ("It ", "snows.")]
    said = json.dumps([{"role": "assistant", "parts": texts + calls}])
    told = conventions.read_answer({"gen_ai.output.messages": said})
    assert told == {"text": "It snows.", "tool_calls": [{"id": "1", "name": "lookup", "arguments": {}}]}
    assert conventions.read_answer({"output.value": "It snows."}) == {"text": "It snows."}
    assert conventions.read_answer({}) == {}
    cached = {"gen_ai.usage.cache_read.input_tokens": 2, "llm.token_count.prompt_details.cache_write": 1}
    thought = {"llm.token_count.completion_details.reasoning": 4}
    assert conventions.read_usage(cached | thought) == {
        "cache_read_tokens": 2,
        "cache_write_tokens": 1,
        "reasoning_tokens": 4,
    }
    assert conventions.read_usage({"gen_ai.usage.input_tokens": 3, "llm.token_count.completion": 2}) == {
        "input_tokens": 3,
        "output_tokens": 2,
    }
