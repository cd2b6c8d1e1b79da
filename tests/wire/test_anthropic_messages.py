"""Anthropic messages: blocks of a request, token counts, and streams."""

from __future__ import annotations

import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire import framing
from namel3ss_debug.wire.anthropic_messages import decode_usage

FORMAT = wire.FORMATS["anthropic.messages"]


def test_every_kind_of_block_is_decoded():
    """Text, thinking, images, documents, calls and results become the parts of OpenTelemetry."""
    cache = {"type": "ephemeral"}
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look", "cache_control": cache},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                {"type": "document", "title": "t", "source": {"type": "url", "url": "https://h/a.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "f1"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "2", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "2", "content": []},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "boom", "is_error": True},
                {"type": "tool_result", "tool_use_id": "3", "content": [{"type": "text", "text": "ok"}]},
                {"type": "tool_result", "tool_use_id": "4"},
            ],
        },
    ]
    decoded = FORMAT.codec.decode_request(
        {"system": [{"type": "text", "text": "Be brief."}], "messages": messages}
    )
    search = {"type": "server_tool_use", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "content": []}
    assert decoded["messages"] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "cache_control": cache, "content": "look"},
                {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "AA"},
                {"type": "uri", "title": "t", "modality": "document", "uri": "https://h/a.pdf"},
                {"type": "file", "modality": "document", "file_id": "f1"},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "signature": "s", "content": "hm"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
                {"type": "server_tool_call", "id": "2", "name": "web_search", "server_tool_call": search},
                {"type": "server_tool_call_response", "id": "2", "server_tool_call_response": found},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"type": "tool_call_response", "is_error": True, "id": "1", "response": "boom"},
                {"type": "tool_call_response", "id": "3", "response": "ok"},
                {"type": "tool_call_response", "id": "4"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"input_tokens": 5, "output_tokens": 2}, {"input_tokens": 5, "output_tokens": 2}),
        (
            {
                "input_tokens": 5,
                "output_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            {
                "input_tokens": 125,
                "output_tokens": 9,
                "cache_read_tokens": 100,
                "cache_write_tokens": 20,
                "reasoning_tokens": 4,
            },
        ),
        ({"cache_read_input_tokens": None, "output_tokens": 1}, {"output_tokens": 1}),
        (
            {
                "input_tokens": 23000,
                "output_tokens": 1000,
                "iterations": [
                    {
                        "type": "compaction",
                        "input_tokens": 180000,
                        "output_tokens": 3500,
                        "cache_read_input_tokens": 7,
                    },
                    {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
                    {"type": "advisor_message", "model": "other", "input_tokens": 5, "output_tokens": 5},
                ],
            },
            {"input_tokens": 203007, "output_tokens": 4500, "cache_read_tokens": 7},
        ),
        ({"output_tokens": 1, "iterations": None}, {"output_tokens": 1}),
        ("much", {}),
    ],
)
def test_counts_include_what_is_told_apart(usage, told):
    """Anthropic counts uncached input apart, and what it took to summarise the conversation; here the input is the whole."""
    assert decode_usage(usage) == told


def test_a_cut_tool_call_keeps_the_text_that_had_arrived():
    """The arguments of a call whose stream was cut are the raw text; the finish reason is unknown."""
    raw = b"".join(
        framing.encode_sse(event)
        for event in (
            {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 3}}},
            {"type": "ping"},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"a": '},
            },
        )
    )
    answer = FORMAT.codec.decode_response(
        FORMAT.join_stream(raw + b'event: content_block_delta\ndata: {"type":"content_bl')
    )
    assert answer.tool_calls == [{"id": "1", "name": "f", "arguments": '{"a": '}]
    assert answer.finish_reason is None
    assert answer.usage == {"input_tokens": 3}


def test_counts_at_the_end_of_a_stream_replace_those_at_its_beginning():
    """Later counts are totals; those the last event leaves out or sends as null stay."""
    raw = framing.encode_sse(
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 7}}}
    )
    raw += framing.encode_sse(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 5, "cache_read_input_tokens": None},
        }
    )
    answer = FORMAT.codec.decode_response(FORMAT.join_stream(raw))
    assert answer.usage == {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 7}
    assert answer.finish_reason == "end_turn"


def test_a_refusal_tells_why():
    """The explanation of a refusal is the refusal; a refusal without one has only its finish reason."""
    body = {
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "explanation": "No."},
        "content": [],
    }
    answer = FORMAT.codec.decode_response(body)
    assert (answer.text, answer.finish_reason, answer.refusal) == (None, "refusal", "No.")
    assert FORMAT.codec.decode_response({"stop_reason": "refusal"}).refusal is None


def test_citations_are_kept_in_a_joined_stream():
    """Citations of a text arrive as deltas of their own and end in its block."""
    raw = b"".join(
        framing.encode_sse(event)
        for event in (
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": "", "citations": None},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "citations_delta", "citation": {"url": "u"}},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        )
    )
    assert FORMAT.join_stream(raw)["content"] == [{"type": "text", "text": "x", "citations": [{"url": "u"}]}]
