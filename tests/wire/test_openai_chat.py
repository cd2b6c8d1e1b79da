"""OpenAI chat completions: messages of a request, and what other servers do differently."""

from __future__ import annotations

import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire import framing

FORMAT = wire.FORMATS["openai.chat"]


def answer_of(message, **rest):
    """The answer in a response with one message."""
    return FORMAT.codec.decode_response({"choices": [{"message": message}], **rest})


def test_every_kind_of_message_is_decoded():
    """Text, images, sound, files, calls and results become the parts of OpenTelemetry; the rest is kept whole."""
    messages = [
        {"role": "developer", "content": "rules"},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://h/i.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}},
                {"type": "hologram", "depth": 3},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "think",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "2", "type": "custom", "custom": {"name": "g", "input": "1"}},
                {"id": "3", "type": "function", "function": {"name": "h", "arguments": '{"a": '}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "done"}]},
        {
            "role": "tool",
            "tool_call_id": "3",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "function", "name": "old", "content": "x"},
        {"role": "assistant", "refusal": "no", "content": ""},
    ]
    text = {"type": "text", "content": "a"}
    assert FORMAT.codec.decode_request({"messages": messages})["messages"] == [
        {"role": "developer", "parts": [{"type": "text", "content": "rules"}]},
        {
            "name": "ann",
            "role": "user",
            "parts": [
                {"type": "text", "content": "look"},
                {"type": "uri", "detail": "low", "modality": "image", "uri": "https://h/i.png"},
                {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "AAAA"},
                {"type": "blob", "mime_type": "audio/wav", "modality": "audio", "content": "BBBB"},
                {"type": "file", "filename": "a.pdf", "file_id": "f1"},
                {"type": "hologram", "depth": 3},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "think"},
                {"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}},
                {"type": "tool_call", "id": "2", "name": "g", "arguments": "1"},
                {"type": "tool_call", "id": "3", "name": "h", "arguments": '{"a": '},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "done"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "2", "response": "done"}]},
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": "3",
                    "response": [text, {"type": "text", "content": "b"}],
                }
            ],
        },
        {
            "name": "old",
            "role": "function",
            "parts": [{"type": "tool_call_response", "name": "old", "response": "x"}],
        },
        {"role": "assistant", "parts": [{"type": "refusal", "refusal": "no"}]},
    ]


def test_everything_else_of_a_request_is_a_parameter():
    """Model, messages and tools have their places; every other field is a parameter, known or not."""
    request = {"model": "m", "messages": [], "temperature": 0, "stream": True, "x_new": {"a": 1}}
    assert FORMAT.codec.decode_request(request) == {
        "model": "m",
        "messages": [],
        "tools": [],
        "params": {"temperature": 0, "stream": True, "x_new": {"a": 1}},
    }


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
            {"input_tokens": 9, "output_tokens": 3},
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            {
                "input_tokens": 9,
                "output_tokens": 3,
                "cache_read_tokens": 4,
                "cache_write_tokens": 2,
                "reasoning_tokens": 1,
            },
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "prompt_cache_hit_tokens": 5,
                "prompt_cache_miss_tokens": 4,
            },
            {"input_tokens": 9, "output_tokens": 3, "cache_read_tokens": 5},
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "total_tokens": 32,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            {"input_tokens": 9, "output_tokens": 23, "reasoning_tokens": 20},
        ),
        (
            {"prompt_tokens": 20, "completion_tokens": 424, "total_tokens": 1016},
            {"input_tokens": 20, "output_tokens": 996},
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 52, "cached_tokens": 40},
            {"input_tokens": 9, "output_tokens": 3, "cache_read_tokens": 40},
        ),
        ({"prompt_tokens": 9.0, "completion_tokens": True}, {"input_tokens": 9}),
        ({"prompt_tokens": -1, "completion_tokens": "3"}, {}),
        (None, {}),
    ],
)
def test_tokens_are_counted_once(usage, told):
    """Cached and reasoning tokens are parts of input and output, also where a server counts reasoning apart."""
    assert answer_of({}, usage=usage).usage == told


def test_reasoning_and_text_in_blocks_are_read():
    """`reasoning_content`, `reasoning` and a content in blocks, as other servers send, are read."""
    assert answer_of({"content": "a", "reasoning_content": "r"}).reasoning == "r"
    assert answer_of({"content": "a", "reasoning": "r"}).reasoning == "r"
    blocks = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    assert answer_of({"content": blocks}).text == "ab"
    assert answer_of({"content": blocks}).reasoning is None
    for thought in ([{"type": "text", "text": "h"}, {"text": "m"}, {"text": 5}], "hm"):
        blocks[0]["thinking"] = thought
        answer = answer_of({"content": blocks})
        assert (answer.reasoning, answer.text) == ("hm", "ab")
    assert answer_of({"content": None, "audio": {"id": "1", "transcript": "spoken"}}).text == "spoken"


def test_an_empty_text_beside_tool_calls_is_none():
    """Servers send "" where they mean no text; an answer that is nothing but "" stays so."""
    call = {"id": "1", "function": {"name": "f", "arguments": ""}}
    answer = answer_of({"content": "", "tool_calls": [call]})
    assert answer.text is None
    assert answer.tool_calls == [{"id": "1", "name": "f", "arguments": {}}]
    assert answer_of({"content": ""}).text == ""


def test_integers_beyond_64_bits_survive_in_arguments():
    """Arguments are read without rounding, however long a number is."""
    call = {"id": "1", "function": {"name": "f", "arguments": '{"n": 123456789012345678901234567890}'}}
    assert answer_of({"tool_calls": [call]}).tool_calls[0]["arguments"] == {
        "n": 123456789012345678901234567890
    }


def joined(*deltas):
    """The message of a stream with these deltas."""
    events = b"".join(framing.encode_sse({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas)
    return FORMAT.join_stream(events)["choices"][0]["message"]


def test_parallel_tool_calls_with_one_index_are_kept_apart():
    """A server that gives every call the index 0, or none, still gives as many calls as there are ids."""

    def begin(call_id, **index):
        return {"tool_calls": [{**index, "id": call_id, "function": {"name": "f", "arguments": '{"a":'}}]}

    for index in ({"index": 0}, {}):
        rest = {"tool_calls": [{**index, "function": {"arguments": "1}"}}]}
        message = joined(begin("x", **index), rest, begin("y", **index), rest)
        calls = answer_of(message).tool_calls
        assert calls == [
            {"id": "x", "name": "f", "arguments": {"a": 1}},
            {"id": "y", "name": "f", "arguments": {"a": 1}},
        ]


def test_names_and_ids_that_a_server_repeats_are_taken_once():
    """Some servers send id and name with every piece of the arguments."""
    piece = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": "1"}}
    message = joined({"tool_calls": [piece]}, {"tool_calls": [piece]})
    assert answer_of(message).tool_calls == [{"id": "x", "name": "f", "arguments": 11}]


def test_several_choices_stay_apart():
    """A stream of several choices is joined by their index; the answer is the first."""
    raw = b"".join(
        framing.encode_sse({"choices": [{"index": index, "delta": {"content": text}}]})
        for index, text in [(1, "b"), (0, "a"), (1, "c")]
    )
    body = FORMAT.join_stream(raw)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["a", "bc"]
    assert FORMAT.codec.decode_response(body).text == "a"


def test_a_request_for_counts_is_needed_to_get_them():
    """Without `include_usage` no chunk of a written stream has a usage, as with OpenAI."""
    answer = wire.Answer(text="a", usage={"input_tokens": 1, "output_tokens": 1})
    plain = b"".join(FORMAT.codec.encode_stream(answer, {}, response_id="r", created=1))
    assert b"usage" not in plain
    assert plain.endswith(b"data: [DONE]\n\n")


def test_blocks_before_text_in_a_stream_are_kept():
    """A server that streams blocks of thinking and then text gives both, in order."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    message = joined({"content": [thinking]}, {"content": "a"}, {"content": "b"}, {"content": [thinking]})
    assert message["content"][0] == message["content"][-1] == thinking
    assert answer_of(message).text == "ab"


def test_counts_that_stand_in_the_choice_of_a_stream_are_read():
    """As Moonshot sends them, in the chunk with the finish reason."""
    usage = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10, "cached_tokens": 3}
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
    raw = framing.encode_sse({"choices": [{"index": 0, "delta": {"content": "a"}}]}) + framing.encode_sse(
        {"choices": [last]}
    )
    answer = FORMAT.codec.decode_response(FORMAT.join_stream(raw))
    assert answer.usage == {"input_tokens": 8, "output_tokens": 2, "cache_read_tokens": 3}


def test_remarks_of_a_filter_leave_the_answer_its_model():
    """Azure's filter, where it runs beside the stream, adds chunks that name no id and no model, also as the last."""
    chunk = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    remark = {"id": "", "model": "", "created": 0, "choices": [{"index": 0, "content_filter_results": {}}]}
    answer = FORMAT.codec.decode_response(
        FORMAT.join_stream(b"".join(map(framing.encode_sse, (remark, chunk, remark))))
    )
    assert (answer.response_model, answer.response_id, answer.text) == ("gpt-4o", "c", "a")


def test_a_call_in_a_written_stream_comes_in_one_piece():
    """The name stands beside all of the arguments, as Mistral's SDK reads it; that of others reads it as well."""
    answer = wire.Answer(tool_calls=[{"name": "add", "arguments": {"a": 1, "text": "long" * 10}}])
    events = framing.SERVER_SENT.parse(
        b"".join(FORMAT.codec.encode_stream(answer, {}, response_id="r", created=1))
    )
    deltas = [event["choices"][0]["delta"] for event in events]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["function"]["name"] for call in calls] == ["add"]
    assert FORMAT.codec.decode_response(FORMAT.codec.join_events(events)).tool_calls[0]["arguments"]["a"] == 1


def test_details_of_reasoning_are_kept_in_order():
    """OpenRouter streams them as a list beside the text, an item with each chunk."""
    details = [{"type": "reasoning.text", "text": text} for text in "abc"]
    message = joined(
        *({"content": "", "reasoning": one["text"], "reasoning_details": [one]} for one in details)
    )
    assert message["reasoning_details"] == details
    assert answer_of(message).reasoning == "abc"


def test_a_long_stream_is_joined():
    """Ten thousand deltas are one text."""
    raw = framing.encode_sse({"choices": [{"index": 0, "delta": {"content": "ab"}}]}) * 10_000
    assert FORMAT.codec.decode_response(FORMAT.join_stream(raw)).text == "ab" * 10_000
