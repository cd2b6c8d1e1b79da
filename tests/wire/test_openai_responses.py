"""OpenAI responses: items of a request and of an answer, and streams that were cut."""

from __future__ import annotations

from namel3ss_debug import wire
from namel3ss_debug.wire import framing

FORMAT = wire.FORMATS["openai.responses"]


def test_every_kind_of_item_is_a_message():
    """Instructions are a system message; each input item becomes one message, in order."""
    items = [
        {"role": "user", "content": "hi"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://h/i.png", "detail": "auto"},
                {"type": "input_image", "file_id": "f1"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "e",
        },
        {
            "type": "function_call",
            "id": "fc",
            "call_id": "1",
            "name": "f",
            "arguments": '{"a":1}',
            "status": "completed",
        },
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "custom_tool_call", "call_id": "2", "name": "g", "input": "raw"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "out"},
        {"type": "shell_call", "call_id": "3", "action": {"commands": ["ls"]}},
        {"type": "item_reference", "id": "x"},
    ]
    decoded = FORMAT.codec.decode_request(
        {"model": "m", "instructions": "Be brief.", "input": items, "store": False}
    )
    assert decoded["params"] == {"store": False}
    assert decoded["messages"] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "look"},
                {"type": "uri", "detail": "auto", "modality": "image", "uri": "https://h/i.png"},
                {"type": "file", "modality": "image", "file_id": "f1"},
                {
                    "type": "blob",
                    "filename": "a.pdf",
                    "mime_type": "application/pdf",
                    "modality": "document",
                    "content": "AA",
                },
            ],
        },
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "id": "rs", "encrypted_content": "e", "content": "hm"}],
        },
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "done"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "2", "name": "g", "arguments": "raw"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "2", "response": "out"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "3", "name": "shell", "arguments": {"commands": ["ls"]}}],
        },
        {"role": "assistant", "parts": [{"type": "item_reference", "id": "x"}]},
    ]


def test_a_text_is_the_whole_input():
    """An input that is a text is one message of the user."""
    assert FORMAT.codec.decode_request({"input": "hi"})["messages"] == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]}
    ]


def test_the_finish_reason_is_the_status_or_why_it_is_incomplete():
    """A finished response tells its status, an incomplete one its reason, one in progress nothing."""

    def reason(**body):
        return FORMAT.codec.decode_response(body).finish_reason

    assert reason(status="completed") == "completed"
    assert (
        reason(status="incomplete", incomplete_details={"reason": "max_output_tokens"}) == "max_output_tokens"
    )
    assert reason(status="incomplete") == "incomplete"
    assert reason(status="in_progress") is None
    assert reason(status="queued") is None
    assert reason() is None


def test_a_stream_without_its_last_event_is_put_together_from_its_deltas():
    """Text, reasoning and arguments that had arrived are there although no event repeats them."""
    events = [
        {
            "type": "response.created",
            "response": {"id": "r", "status": "in_progress", "model": "m", "output": []},
        },
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": 0,
            "delta": "hm",
        },
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": 1,
            "delta": "so",
        },
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "lo"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "call_id": "1", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a'},
    ]
    answer = FORMAT.codec.decode_response(
        FORMAT.join_stream(b"".join(framing.encode_sse(event) for event in events))
    )
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Hello", "hm\n\nso", None)
    assert (answer.response_id, answer.response_model) == ("r", "m")
    assert answer.tool_calls == [{"id": "1", "name": "f", "arguments": '{"a'}]


def test_items_missing_in_the_last_event_are_taken_from_the_stream():
    """A gateway may send the final response without its output."""
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
    raw = framing.encode_sse({"type": "response.output_item.done", "output_index": 0, "item": item})
    raw += framing.encode_sse(
        {"type": "response.completed", "response": {"status": "completed", "output": []}}
    )
    answer = FORMAT.codec.decode_response(FORMAT.join_stream(raw))
    assert (answer.text, answer.finish_reason) == ("Hello", "completed")


def test_what_the_program_must_run_is_a_tool_call():
    """Built-in tools that run at the client are tool calls; those that run at the provider are not."""
    output = [
        {"type": "computer_call", "call_id": "1", "action": {"type": "click"}},
        {"type": "apply_patch_call", "call_id": "2", "operation": {"type": "delete_file"}},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
    ]
    assert FORMAT.codec.decode_response({"output": output}).tool_calls == [
        {"id": "1", "name": "computer", "arguments": {"type": "click"}},
        {"id": "2", "name": "apply_patch", "arguments": {"type": "delete_file"}},
    ]


def test_tools_that_the_program_has_looked_for_are_offered():
    """They come in what it sends back; those that OpenAI finds itself were offered before."""
    found = {"type": "tool_search_output", "tools": [{"type": "function", "name": "orders"}]}
    items = [{**found, "execution": "client"}, {**found, "execution": "server"}]
    asked = {"model": "m", "input": items, "tools": [{"type": "tool_search", "execution": "client"}]}
    offered = FORMAT.codec.decode_request(asked)["tools"]
    assert [tool.get("name") for tool in offered] == [None, "orders"]
