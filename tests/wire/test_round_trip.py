"""Laws of reading and writing: what a format writes, it reads back; and reading never raises."""

from __future__ import annotations

import copy

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug import wire
from namel3ss_debug.wire.framing import FRAMINGS, SERVER_SENT

CHATS = [name for name, known in wire.FORMATS.items() if known.operation == "chat"]
FINISHES = {
    "openai.chat": ["stop", "length", "tool_calls", "content_filter"],
    "openai.responses": [
        "completed",
        "failed",
        "cancelled",
        "incomplete",
        "max_output_tokens",
        "content_filter",
    ],
    "anthropic.messages": ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"],
    "anthropic.hosted": ["end_turn", "max_tokens", "tool_use"],
    "gemini.generate_content": ["STOP", "MAX_TOKENS", "SAFETY"],
    "bedrock.converse": ["end_turn", "max_tokens", "tool_use", "guardrail_intervened"],
    "ollama.chat": ["stop", "length"],
    "cohere.chat": ["COMPLETE", "MAX_TOKENS", "TOOL_CALL"],
}
ALWAYS_TOLD = {"openai.responses": ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")}
"""The parts of the token counts that a provider never leaves out."""
NEVER_TOLD = {
    "gemini.generate_content": ("cache_write_tokens", "refusal"),
    "bedrock.converse": ("reasoning_tokens", "response_model", "response_id", "refusal"),
    "ollama.chat": (
        *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
        *("response_id", "refusal"),
    ),
    "cohere.chat": ("cache_write_tokens", "reasoning_tokens", "response_model", "refusal"),
}
"""What a provider has no word for."""

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(
    lambda call_id, name, arguments: {"id": call_id, "name": name, "arguments": arguments},
    texts,
    texts,
    st.dictionaries(texts, json_values, max_size=3),
)


@st.composite
def answers(draw, name):
    """An answer that the provider of a format could have given."""
    read, written, plain, made = (draw(st.integers(0, 10**6)) for _ in range(4))
    parts = {
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": draw(st.integers(0, made)),
    }
    always, never = ALWAYS_TOLD.get(name, ()), NEVER_TOLD.get(name, ())
    told = {
        part: value
        for part, value in parts.items()
        if part not in never and (part in always or draw(st.booleans()))
    }
    cached = sum(told.get(part, 0) for part in ("cache_read_tokens", "cache_write_tokens"))
    answer = wire.Answer(
        text=draw(st.none() | texts),
        tool_calls=draw(st.lists(calls, max_size=3)),
        finish_reason=draw(st.sampled_from(FINISHES[name])),
        response_model=None if "response_model" in never else draw(texts),
        usage={"input_tokens": plain + cached, "output_tokens": made, **told},
        reasoning=draw(st.none() | texts),
        response_id=None if "response_id" in never else draw(texts),
        refusal=None if "refusal" in never else draw(st.none() | texts),
    )
    if name == "ollama.chat" and answer.text is None and not (answer.tool_calls or answer.reasoning):
        return answer._replace(text="")  # it always has a text, which means none beside something else
    return answer


def join(known, raw):
    """A stream that was written in this format, joined and decoded."""
    return known.codec.decode_response(known.join_stream(raw, known.stream_type))


@pytest.mark.parametrize("name", CHATS)
@given(data=st.data())
def test_a_written_response_is_read_back(name, data):
    """What `encode_response` writes, `decode_response` reads as the same answer."""
    known, answer = wire.FORMATS[name], data.draw(answers(name))
    body = known.codec.encode_response(
        answer, {"model": "m"}, response_id=answer.response_id or "r", created=1
    )
    assert known.codec.decode_response(orjson.loads(orjson.dumps(body))) == answer


@pytest.mark.parametrize("name", CHATS)
@given(data=st.data(), counted=st.booleans())
def test_a_written_stream_is_read_back(name, data, counted):
    """A written stream, joined, is the same answer; OpenAI chat tells tokens only where the request asks."""
    known, answer = wire.FORMATS[name], data.draw(answers(name))
    request = {"model": "m", "stream_options": {"include_usage": counted}}
    chunks = known.codec.encode_stream(answer, request, response_id=answer.response_id or "r", created=1)
    expected = answer._replace(usage={}) if name == "openai.chat" and not counted else answer
    assert join(known, b"".join(chunks)) == expected


@pytest.mark.parametrize("name", CHATS)
@given(data=st.data())
def test_a_stream_says_the_same_as_the_whole_response(name, data):
    """Joining a stream in which nothing is missing gives the content of the response without streaming."""
    known, answer = wire.FORMATS[name], data.draw(answers(name))
    request = {"model": "m", "stream_options": {"include_usage": True}}
    body = known.codec.encode_response(answer, request, response_id="r", created=1)
    joined = join(known, b"".join(known.codec.encode_stream(answer, request, response_id="r", created=1)))
    assert joined == known.codec.decode_response(orjson.loads(orjson.dumps(body)))


@pytest.mark.parametrize("name", CHATS)
@given(data=st.data())
def test_a_cut_stream_gives_what_had_arrived(name, data):
    """A stream cut anywhere gives a beginning of each text and never more tool calls than there were."""
    known, answer = wire.FORMATS[name], data.draw(answers(name))
    raw = b"".join(known.codec.encode_stream(answer, {"model": "m"}, response_id="r", created=1))
    cut = data.draw(st.integers(0, len(raw)))
    part = join(known, raw[:cut])
    assert (answer.text or "").startswith(part.text or "")
    assert (answer.reasoning or "").startswith(part.reasoning or "")
    assert [call["name"] for call in part.tool_calls] == [c["name"] for c in answer.tool_calls][
        : len(part.tool_calls)
    ]
    assert part.finish_reason in (None, answer.finish_reason)


@given(data=st.data(), name=st.sampled_from(CHATS))
def test_how_a_stream_is_chunked_does_not_count(data, name):
    """The incremental decoder of a framing gives the same events however the bytes are split, with any line end."""
    known, answer = wire.FORMATS[name], data.draw(answers(name))
    framing = wire.find_framing(known.stream_type)
    raw = b"".join(known.codec.encode_stream(answer, {"model": "m"}, response_id="r", created=1))
    if framing is SERVER_SENT:
        raw = raw.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r", b"\r\n"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder, events = framing.decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        events += decoder.feed(raw[start:end])
    assert events == framing.parse(raw)
    assert b"".join(framing.split(raw)) == raw
    assert framing.find_last_end(raw) == len(raw)


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "text",
                    "id",
                    "name",
                    "input",
                    "output",
                    "choices",
                    "message",
                    "messages",
                    "delta",
                    "tool_calls",
                    "function",
                    "index",
                    "arguments",
                    "usage",
                    "error",
                    "model",
                    "item",
                    "response",
                    "data",
                    "embedding",
                    "system",
                    "instructions",
                    "summary",
                    "thinking",
                    "output_index",
                    "content_index",
                    "event",
                    "call_id",
                    "source",
                    "tool_use_id",
                    "content_block",
                    "partial_json",
                    "tools",
                    "detail",
                    "logprobs",
                    "prompt_tokens_details",
                    "x_groq",
                    "stop_details",
                    "image_url",
                    "file",
                    *("contents", "parts", "candidates", "functionCall", "functionResponse", "usageMetadata"),
                    *("inlineData", "toolUse", "toolResult", "toolConfig", "toolSpec", "contentBlockDelta"),
                    *(
                        "contentBlockStart",
                        "contentBlockIndex",
                        "start",
                        "prompt",
                        "done",
                        "images",
                        "tool_plan",
                    ),
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


def read_everything(known, body):
    """Call every function of a format that reads."""
    wire.recognise(known.paths[0], body)
    if isinstance(body, dict):
        known.complete("/models/m:generateContent", body)
    request = known.codec.decode_request(body)
    wire.find_tool_results(request["messages"])
    wire.list_tool_names(body)
    known.codec.decode_response(body).to_outputs()
    known.codec.is_content(body)
    wire.decode_error(body)
    wire.canonical_hash("POST", "https://host/path", body)
    events = [item for item in body if isinstance(item, dict)] if isinstance(body, list) else [body]
    known.codec.decode_response(
        known.codec.join_events([event for event in events if isinstance(event, dict)])
    )


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
@given(body=hostile)
def test_reading_never_raises_on_arbitrary_json(known, body):
    """Whatever JSON a body holds, it is read without an exception and left as it was."""
    before = repr(body)
    read_everything(known, body)
    assert repr(body) == before


CLAUDE = {
    "model": "m",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "be brief"}],
    "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text"}]}],
        },
    ],
}
REQUESTS = {
    "openai.chat": {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            },
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    },
    "openai.responses": {
        "model": "m",
        "instructions": "be brief",
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "x"},
        ],
    },
    "openai.embeddings": {"model": "m", "input": ["a", [1, 2]]},
    "openai.completions": {"model": "m", "prompt": ["a", [1, 2]], "suffix": "b"},
    "mistral.fim": {"model": "m", "prompt": "a", "suffix": "b"},
    "anthropic.messages": CLAUDE,
    "anthropic.hosted": {**CLAUDE, "anthropic_version": "bedrock-2023-05-31"},
    "gemini.generate_content": {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "x"}],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": 1}}}]},
            {"role": "user", "parts": [{"fileData": {"fileUri": "gs://x", "mimeType": "video/mp4"}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}}]}, {"googleSearch": {}}],
    },
    "bedrock.converse": {
        "system": [{"text": "be brief"}],
        "messages": [
            {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "AA=="}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}]},
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "1", "content": [{"json": {"a": 1}}]}}],
            },
            {"role": "user", "content": [{"video": {"source": {"s3Location": {"uri": "s3://x"}}}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]},
    },
    "ollama.chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi", "images": ["AA=="]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "tool_name": "f", "content": "x"},
        ],
    },
    "ollama.generate": {"model": "m", "prompt": "hi", "system": "be brief", "images": ["AA=="]},
    "cohere.chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "tool_plan": "I ask",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
            },
            {
                "role": "tool",
                "tool_call_id": "1",
                "content": [{"type": "document", "document": {"data": "x"}}],
            },
        ],
    },
}


def places(value, path=()):
    """The paths of all values inside a JSON value."""
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(value, path, new):
    """The value with what stands at `path` replaced."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


@pytest.mark.parametrize("name", wire.FORMATS)
@given(data=st.data())
@settings(max_examples=200)
def test_reading_never_raises_on_a_damaged_body(name, data):
    """A request, a response or a stream in which one value is replaced by anything is read without an exception."""
    known = wire.FORMATS[name]
    answer = wire.Answer(
        text="hello",
        reasoning="hm",
        refusal="no",
        tool_calls=[{"id": "1", "name": "f", "arguments": {"a": 1}}],
        usage={"input_tokens": 3, "output_tokens": 2, "cache_read_tokens": 1, "reasoning_tokens": 1},
    )
    asked = REQUESTS[name]
    whole = known.codec.encode_response(answer, asked, response_id="r", created=1)
    raw = b"".join(known.codec.encode_stream(answer, asked, response_id="r", created=1))
    events = wire.find_framing(known.stream_type).parse(raw)
    body = data.draw(st.sampled_from([asked, whole, events]))
    path = data.draw(st.sampled_from(list(places(body))))
    damaged = replaced(body, path, data.draw(hostile))
    before = repr(damaged)
    read_everything(known, damaged)
    assert repr(damaged) == before


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
@given(
    raw=st.binary(max_size=200)
    | st.lists(
        st.sampled_from([b"data:", b"{}", b"\n", b"\r", b":", b"event: e", b"[DONE]", b"\xff", b'{"a":']),
        max_size=20,
    ).map(b"".join)
)
def test_reading_never_raises_on_arbitrary_bytes(known, raw):
    """Whatever bytes a stream holds, they are joined without an exception, and no framing loses a byte."""
    known.codec.decode_response(known.join_stream(raw))
    for content_type, framing in FRAMINGS.items():
        known.codec.decode_response(known.join_stream(raw, content_type))
        assert b"".join(framing.split(raw)) == raw


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
def test_deep_nesting_is_read(known):
    """A body nested as deep as JSON parsers allow is read, hashed and shown without an exception."""
    depth = 500
    for key in ("content", "messages", "input", "output", "error", "detail", "response", "item"):
        raw = f'[{{"type":"tool_result","role":"tool","{key}":' * depth + "null" + "}]" * depth
        deep = orjson.loads(raw)
        for outer in ("messages", "input", "content", "error", "detail", "output"):
            read_everything(known, {outer: deep})
        read_everything(known, deep)


IMAGE = "data:image/png;base64,AAAA"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
WRITTEN = {
    "openai.chat": {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "rules"},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://h/i.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": IMAGE}},
                {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}},
                {"type": "hologram", "depth": 3},
            ]},
            {"role": "assistant", "content": None, "reasoning_content": "think", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "refusal": "no", "content": ""},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
            {"type": "web_search"},
        ],
        "temperature": 0.5,
        "response_format": {"type": "json_object"},
    },
    "anthropic.messages": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}, "title": "a"},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "2", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "2", "content": []},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "bad"}]},
        ],
        "tools": [
            {"name": "f", "description": "d", "input_schema": SCHEMA},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        ],
    },
    "openai.responses": {
        "model": "m",
        "instructions": "rules",
        "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                {"type": "input_file", "file_id": "f1"},
            ]},
            {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "e"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "1", "output": "3"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "three"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}],
        "reasoning": {"effort": "low"},
    },
}  # fmt: skip
"""A request with every kind of message for each format whose requests can be written."""


@pytest.mark.parametrize("name", WRITTEN)
def test_a_decoded_request_is_written_so_that_it_is_read_the_same(name):
    """Nothing of it is lost, so it can be sent again from a trace."""
    form = wire.FORMATS[name]
    decoded = form.codec.decode_request(WRITTEN[name])
    assert form.encode_request is not None
    assert form.codec.decode_request(form.encode_request(decoded)) == decoded


def test_every_format_that_writes_requests_is_tried():
    """A new one needs a request here."""
    assert {name for name, form in wire.FORMATS.items() if form.encode_request is not None} == set(WRITTEN)
