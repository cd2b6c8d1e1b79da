"""The gist of an event."""

import pytest

from namel3ss_debug.views.gists import call, chunk_text, gist, summary

ORDER = {
    "$type": "shop.Order",
    "fields": {
        "state": {"$type": "shop.State", "made": "member", "name": "SENT", "value": "sent"},
        "tags": {"$type": "set", "items": ["a"]},
        "by": {"$type": "shop.Clerk", "repr": "<Clerk 7>"},
    },
    "made": "object",
}


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"error": "down", "error_type": "OSError"}, "OSError: down"),
        ({"event_type": "llm_call_start", "inputs": {"messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]}}, "hi"),
        ({"event_type": "llm_call_start", "inputs": {"messages": [{"role": "user", "content": "hello"}]}}, "hello"),
        ({"event_type": "llm_call_end", "outputs": {"text": "fine", "tool_calls": []}}, "fine"),
        ({"event_type": "llm_call_end", "outputs": {"text": None, "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}}, "f(a=1)"),
        ({"event_type": "tool_call_end", "outputs": {"result": [1, None, True]}}, "[1, null, true]"),
        ({"event_type": "tool_call_end", "outputs": {"result": ORDER}}, 'Order {"state": "sent", "tags": set ["a"], "by": <Clerk 7>}'),
        ({"event_type": "tool_call_start", "inputs": {"arguments": {"q": "x"}}}, '{"q": "x"}'),
        ({"event_type": "tool_call_start", "inputs": {"arguments": {"ctx": ORDER, "q": "x"}}}, '{"q": "x", "ctx": Order {"state": "sent", "tags": set ["a"], "by": <Clerk 7>}}'),
        ({"event_type": "trace_start", "metadata": {"target": "app.py"}}, "app.py"),
        ({"event_type": "log_record", "component": "log", "metadata": {"message": "ready"}}, "ready"),
        ({"event_type": "state_change", "component": "app", "metadata": {"x": 1}}, '{"x": 1}'),
        ({"event_type": "agent_turn_end", "component": "agent", "metadata": {"x": 1}}, ""),
        ({"event_type": "llm_call_start", "component": "llm", "metadata": {"prompt": "hi", "result": "no"}}, "hi"),
        ({"event_type": "tool_call_end", "component": "tool", "metadata": {"result": [1], "query": "no"}}, "[1]"),
        ({"event_type": "tool_call_end", "component": "tool", "metadata": [1]}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_gist_of_an_event(event, shown):
    """The error, the answer, the last message, the arguments or the result, whichever the event has."""
    assert summary(event) == shown


PICTURE = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo" * 90}


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (PICTURE, "[image/png]"),
        ({"type": "blob", "modality": "audio", "content": "AAAA"}, "[audio]"),
        (
            {"type": "tool_call_response", "response": [{"type": "text", "content": "the page"}, PICTURE]},
            "the page [image/png]",
        ),
        ({"type": "tool_call_response", "response": [1, {"a": 2}]}, '[1, {"a": 2}]'),
        (
            {"type": "tool_call_response", "response": {"image_url": "data:image/png;base64,iVBORw0KGgo"}},
            '{"image_url": "data:image/png;base64,…"}',
        ),
    ],
)  # fmt: skip
def test_data_of_pictures_and_sounds_are_not_shown(part, shown):
    """What they are is, wherever they stand in a message: in itself, in the result of a tool, in a URL."""
    message = {"role": "user", "parts": [part]}
    assert summary({"event_type": "llm_call_start", "inputs": {"messages": [message]}}) == shown


URL = "https://user@api.example:8080/v1/files?after=a&limit=5"


@pytest.mark.parametrize(
    ("side", "payload", "shown"),
    [
        ("inputs", {"method": "GET", "url": URL, "headers": {}, "body": None}, "GET /v1/files?after=a&limit=5"),
        ("inputs", {"method": "POST", "url": "http://h", "body": {"q": 1}}, 'POST / {"q": 1}'),
        ("inputs", {"method": 5, "url": URL}, '{"method": 5, "url": "https://user@api.example:8080/v1/files?after=a&limit=5"}'),
        ("outputs", {"status": 200, "headers": {}, "body": {"id": "f"}}, '200 {"id": "f"}'),
        ("outputs", {"status": 204, "headers": {}, "body": None}, "204"),
        ("outputs", {"status": 200, "body": {"$type": "bytes", "base64": "AAECAw=="}}, "200 [4 bytes]"),
        ("outputs", {"status": True}, '{"status": true}'),
    ],
)  # fmt: skip
def test_the_gist_of_an_http_exchange(side, payload, shown):
    """What is asked of the host and sent, the status and what came; of binary data how much they are."""
    assert summary({"event_type": "http_exchange", "component": "http", side: payload}) == shown


def test_parts_may_be_nested_without_end():
    """Hostile parts within parts are no failure."""
    part = {"type": "text", "content": "deep"}
    for _ in range(5000):
        part = {"type": "tool_call_response", "response": [part]}
    start = {"event_type": "llm_call_start", "inputs": {"messages": [{"parts": [part]}]}}
    assert summary(start).startswith('[{"type": "tool_call_response"')


def test_only_a_url_that_holds_data_is_cut_there():
    """A text that only begins like one, and an empty one, are shown as they are."""
    assert gist("data: base64, and more") == "data: base64, and more"
    assert gist("data:image/png;base64,") == "data:image/png;base64,"
    assert gist("data:image/png;base64,iVBO") == "data:image/png;base64,…"


def test_a_gist_looks_no_further_than_it_shows():
    """A huge or deep value is not walked through."""
    assert len(gist({"a": ["x" * 1000] * 100_000}, 50)) == 50
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert gist(deep) == "[[[[[[[…]]]]]]]"


def test_a_call_is_cut_inside_its_parentheses():
    """A call with long arguments still ends like one."""
    assert call("search", {"query": "x" * 500}, 30) == 'search(query="xxxxxxxxxxxxxx…)'
    assert call("f", None) == "f()"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n', '"Hi"'),
        ('event: content_block_delta\ndata: {"delta": {"type": "text_delta", "text": "Hi"}}\n\n', '"Hi"'),
        ('data: {"type": "response.output_text.delta", "delta": "Hi"}\n\ndata: {"delta": " you"}\n\n', '"Hi you"'),
        ('data: {"delta": {"type": "input_json_delta", "partial_json": "{\\"a"}}\n\n', '"{\\"a"'),
        ('data: {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{"}}]}}]}\n\n', '"{"'),
        ("event: ping\ndata: {}\n\n", "[ping]"),
        ("data: [DONE]\n\n", "[done]"),
        ("data: {torn", "data: {torn"),
        ("anything", "anything"),
        (None, "null"),
        ({"a": 1}, '{"a": 1}'),
    ],
)  # fmt: skip
def test_a_chunk_says_what_was_in_it(sent, shown):
    """The words of the known wire formats, else the names of the parts, else what was sent."""
    assert chunk_text(sent) == shown


def test_a_chunk_may_be_nested_without_end():
    """Hostile JSON in a chunk is no failure."""
    assert chunk_text("data: " + "[" * 9000) == "data: " + "[" * 9000


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (
            {
                "clock": {"reads": {"0": {"0": [5, 1], "1": [7]}, "0.1": {"0": [9]}}},
                "environment": {"HOME": {"value": "/root"}},
                "stdin": {"text": "y"},
            },
            "4 clock reads, 1 environment variable, standard input",
        ),
        ({"process": "0", "environment_listed": {"app.py:3": 1}}, "all environment variables listed"),
        (
            {"clock": {"reads": {"0": "broken"}}, "environment": []},
            '{"clock": {"reads": {"0": "broken"}}, "environment": []}',
        ),
    ],
)
def test_what_a_program_read_from_outside_is_counted(metadata, told):
    """One line says how many reads of each kind there were, and shows what has another shape as it is."""
    assert summary({"event_type": "inputs_read", "component": "app", "metadata": metadata}) == told


def test_a_tuple_looks_as_a_list():
    """A recording tells tuples and lists apart for a re-run; a reader need not."""
    assert gist({"a": {"$type": "tuple", "items": [1, {"$type": "tuple", "items": []}]}}) == gist(
        {"a": [1, []]}
    )


def test_an_object_is_shown_by_its_class_and_its_fields():
    """A date and a member of an enumeration by what they say."""
    at = {"$type": "datetime", "value": "2026-01-01T00:00:00"}
    sky = {"$type": "app.Sky", "name": "CLEAR", "value": "clear", "made": "member"}
    whole = {"$type": "app.Weather", "fields": {"at": at, "sky": sky}, "given": ["at"], "made": "model"}
    assert gist([whole]) == '[Weather {"at": "2026-01-01T00:00:00", "sky": "clear"}]'
