"""Spans of OpenTelemetry are read by their attributes, in four conventions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import conventions

KEYS = (
    "gen_ai.operation.name",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.response.finish_reasons",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.tool_calls.0.arguments",
    "gen_ai.usage.input_tokens",
    "llm.input_messages.0.message.contents.0.message_content.image.image.url",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
    "llm.tools.0.tool.json_schema",
    "llm.invocation_parameters",
    "llm.cost.total",
    "embedding.embeddings.0.embedding.text",
    "embedding.embeddings.0.embedding.vector",
    "openinference.span.kind",
    "output.value",
)


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
        ("trip.session", {"agentops.span.kind": "session", "operation.name": "trip"}, "chain", "trip"),
        ("plan.operation", {"agentops.span.kind": "operation", "operation.name": "plan"}, "step", "plan"),
        ("openai.chat.completion", {"gen_ai.request.type": "chat"}, "model", "openai.chat.completion"),
        ("workflow.run", {"workflow.name": "trip"}, "chain", "trip"),
        ("executor.process ask", {"executor.id": "ask"}, "step", "ask"),
        ("openai.chat", {"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o"}, "model", "gpt-4o"),
        ("llm_call", {"gen_ai.operation.name": "llm_call", "gen_ai.request.model": "g"}, "model", "g"),
        (
            "ChatCompletion",
            {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "gpt-4o"}'},
            "model",
            "gpt-4o",
        ),
    ],
)
def test_a_span_is_read_by_its_operation_its_kind_or_its_name(name, attributes, kind, called):
    """Attributes win over the beginning of the name."""
    assert conventions.interpret(name, attributes) == (kind, called)


@pytest.mark.parametrize("name", ["GET /", "execute_tool (merged)"])
def test_other_spans_have_no_meaning(name):
    """A request is none of an agent's steps, and a span of google-adk merges the results of other calls."""
    assert conventions.interpret(name, {}) is None


def test_arguments_and_results_are_json_or_text():
    """Text that is not JSON is taken as it is."""
    assert conventions.read_arguments({"gen_ai.tool.call.arguments": '{"word": "snow"}'}) == {"word": "snow"}
    assert conventions.read_arguments({"input.value": "snow"}) == {"input": "snow"}
    assert conventions.read_arguments({}) is None
    assert conventions.read_result({"output.value": "[1]"}) == [1]
    assert conventions.read_result({}) is None


@pytest.mark.parametrize("key", ["input.value", "traceloop.entity.input", "agentops.operation.input"])
def test_inputs_are_a_mapping(key):
    """Any other value is its `input`."""
    assert conventions.read_inputs({key: '{"word": "snow"}'}) == {"word": "snow"}
    assert conventions.read_inputs({key: "snow"}) == {"input": "snow"}
    assert conventions.read_inputs({}) == {}


def test_an_answer_is_put_together():
    """Texts are joined, and calls are listed."""
    calls = [{"type": "tool_call", "id": "1", "name": "lookup", "arguments": {}}]
    texts = [{"type": "text", "content": text} for text in ("It ", "snows.")]
    written = json.dumps([{"role": "assistant", "parts": texts + calls, "finish_reason": "stop"}])
    assert conventions.read_answer({"gen_ai.output.messages": written}) == {
        "text": "It snows.",
        "tool_calls": [{"id": "1", "name": "lookup", "arguments": {}}],
        "finish_reason": "stop",
    }
    assert conventions.read_answer({"output.value": "It snows."}) == {"text": "It snows."}
    assert conventions.read_answer({}) == {}


def test_the_first_finish_reason_and_the_model_that_answered_belong_to_an_answer():
    """Python's SDK makes a tuple of the list of reasons."""
    attributes = {"gen_ai.response.finish_reasons": ("length",), "gen_ai.response.model": "gpt-4o-mini"}
    assert conventions.read_answer(attributes) == {"finish_reason": "length", "response_model": "gpt-4o-mini"}


def test_tokens_are_read_in_each_convention():
    """Deprecated names are read as well; a value that is no number of tokens is left out."""
    cached = {"gen_ai.usage.cache_read.input_tokens": 2, "llm.token_count.prompt_details.cache_write": 1}
    reasoning = {"llm.token_count.completion_details.reasoning": 4}
    assert conventions.read_usage(cached | reasoning) == {
        "cache_read_tokens": 2,
        "cache_write_tokens": 1,
        "reasoning_tokens": 4,
    }
    expected = {"input_tokens": 3, "output_tokens": 2}
    assert (
        conventions.read_usage({"gen_ai.usage.input_tokens": 3, "llm.token_count.completion": 2}) == expected
    )
    old = {"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 2}
    assert conventions.read_usage(old) == expected
    assert conventions.read_usage({"gen_ai.usage.input_tokens": "three"}) == {}


GEN_AI = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]',
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "1", "name": "lookup", "arguments": {"city": "Oslo"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "result": "snow"}]},
        ]
    ),
    "gen_ai.tool.definitions": '[{"type": "function", "name": "lookup", "parameters": {"type": "object"}}]',
}
OPEN_INFERENCE = {
    "llm.model_name": "gpt-4o",
    "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 0.5}',
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Weather?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "lookup",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"city": "Oslo"}',
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.tool_call_id": "1",
    "llm.input_messages.3.message.content": "snow",
    "llm.tools.0.tool.json_schema": (
        '{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}'
    ),
}
OPEN_LLMETRY = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Weather?",
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "1",
    "gen_ai.prompt.2.tool_calls.0.name": "lookup",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"city": "Oslo"}',
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "1",
    "gen_ai.prompt.3.content": "snow",
    "llm.request.functions.0.name": "lookup",
    "llm.request.functions.0.parameters": '{"type": "object"}',
}


@pytest.mark.parametrize("attributes", [GEN_AI, OPEN_INFERENCE, OPEN_LLMETRY])
def test_a_request_is_the_same_in_each_convention(attributes):
    """Messages, tools and parameters are those of an `llm_call_start`."""
    assert conventions.read_request(attributes) == {
        "model": "gpt-4o",
        "params": {"temperature": 0.5},
        "tools": [{"name": "lookup", "parameters": {"type": "object"}, "type": "function"}],
        "messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "1", "name": "lookup", "arguments": {"city": "Oslo"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "snow"}]},
        ],
    }


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.completion.0.content": "Let me look.",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "1",
            "gen_ai.completion.0.tool_calls.0.name": "lookup",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"city": "Oslo"}',
        },
        {
            "llm.output_messages.0.message.content": "Let me look.",
            "llm.finish_reason": "tool_calls",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "lookup",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city": "Oslo"}',
        },
    ],
)
def test_a_flattened_answer_is_read(attributes):
    """The fields of a message are spread over attributes."""
    assert conventions.read_answer(attributes) == {
        "text": "Let me look.",
        "tool_calls": [{"id": "1", "name": "lookup", "arguments": {"city": "Oslo"}}],
        "finish_reason": "tool_calls",
    }


@pytest.mark.parametrize(
    ("part", "decoded"),
    [
        ({"type": "tool_call", "arguments": '{"a": 1}'}, {"type": "tool_call", "arguments": {"a": 1}}),
        (
            {"type": "tool_call_response", "response": '{"type": "function_result", "result": "ok"}'},
            {"type": "tool_call_response", "response": "ok"},
        ),
        ({"type": "tool_call_response", "result": 1}, {"type": "tool_call_response", "response": 1}),
    ],
)
def test_a_part_of_a_message_is_plain(part, decoded):
    """Microsoft's Agent Framework has arguments and results as texts of JSON."""
    assert conventions.decode_part(part) == decoded


def test_an_image_of_openinference_is_a_part():
    """A `data:` URL becomes a blob."""
    prefix = "llm.input_messages.0.message."
    request = conventions.read_request(
        {
            f"{prefix}role": "user",
            f"{prefix}contents.0.message_content.image.image.url": "data:image/png;base64,AAAA",
        }
    )
    [part] = request["messages"][0]["parts"]
    assert part == {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}


def test_a_tool_that_anthropic_requested_is_no_image():
    """OpenInference writes such a call among the contents of a message, and among its calls."""
    call = {
        "tool_call.id": "c1",
        "tool_call.function.name": "find",
        "tool_call.function.arguments": '{"a": 1}',
    }
    flat = {
        "role": "assistant",
        "contents.0.message_content.type": "tool_use",
        **{
            f"{place}.{key}": value for place in ("contents.0", "tool_calls.0") for key, value in call.items()
        },
    }
    attributes = {f"llm.input_messages.0.message.{key}": value for key, value in flat.items()}
    (message,) = conventions.read_request(attributes)["messages"]
    assert message["parts"] == [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"a": 1}}]


def test_embeddings_have_their_texts_and_vectors():
    """As OpenInference writes them."""
    attributes = {"openinference.span.kind": "EMBEDDING", "output.value": "[0.5, 0.25]"}
    attributes |= {
        f"embedding.embeddings.0.embedding.{key}": value
        for key, value in (("text", "a"), ("vector", [0.5, 0.25]))
    }
    (message,) = conventions.read_request(attributes)["messages"]
    assert message == {"role": "user", "parts": [{"type": "text", "content": "a"}]}
    assert conventions.read_answer(attributes) == {
        "vectors": 1,
        "dimensions": 2,
        "embeddings": [[0.5, 0.25]],
    }
    assert (
        conventions.read_answer({"openinference.span.kind": "EMBEDDING", "output.value": "__REDACTED__"})
        == {}
    )


def test_a_failed_call_has_the_model_of_its_parameters():
    """OpenInference names it nowhere else."""
    attributes = {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "gpt-4o-mini"}'}
    assert conventions.interpret("ChatCompletion", attributes) == ("model", "gpt-4o-mini")
    assert conventions.read_request(attributes)["model"] == "gpt-4o-mini"


def test_identity_and_cost():
    """The conversation, the provider under its old name too, and dollars."""
    assert conventions.read_session_id({"session.id": 7}) == "7"
    assert conventions.read_session_id({}) is None
    assert conventions.read_provider({"gen_ai.system": "openai"}) == "openai"
    assert conventions.read_cost({"llm.cost.total": 0.25}) == 0.25
    assert conventions.read_cost({"llm.cost.total": "much"}) is None


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
    st.sampled_from(["[1]", '{"a": 1}', '[{"parts": 3}]', '[{"parts": [{"type": "tool_call"}]}]', "[" * 9]),
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.text(max_size=5))
def test_nothing_that_a_span_holds_raises(attributes, name):
    """Any value may stand under any key."""
    conventions.interpret(name, attributes)
    for read in (
        conventions.read_arguments,
        conventions.read_request,
        conventions.read_result,
        conventions.read_answer,
        conventions.read_usage,
        conventions.read_cost,
        conventions.read_provider,
        conventions.read_session_id,
    ):
        read(attributes)
