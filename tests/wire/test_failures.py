"""Errors of providers and of servers that imitate them."""

from __future__ import annotations

import orjson
import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire import decode_failure, framing

WORDLESS = {"ollama.chat", "ollama.generate", "cohere.chat"}
"""Formats whose errors are a message alone."""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "x"}},
            ("invalid_request_error", "no"),
        ),
        ({"error": {"message": "no", "type": None, "code": "429"}}, ("429", "no")),
        (
            {"error": {"message": "no", "code": 429, "status": "RESOURCE_EXHAUSTED"}},
            ("RESOURCE_EXHAUSTED", "no"),
        ),
        (
            {"message": "Too many tokens", "__type": "ThrottlingException"},
            ("ThrottlingException", "Too many tokens"),
        ),
        ({"Message": "no such model"}, ("error", "no such model")),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "full"}},
            ("overloaded_error", "full"),
        ),
        (
            {"type": "error", "code": "server_error", "message": "sorry", "param": None},
            ("server_error", "sorry"),
        ),
        (
            {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
            ("BadRequestError", "too long"),
        ),
        ({"error": "model not found"}, ("error", "model not found")),
        ({"error": {"reason": 1}}, ("error", '{"reason":1}')),
        ([{"error": {"code": 400, "message": "bad key"}}], ("400", "bad key")),
        ({"detail": "Not Found"}, ("error", "Not Found")),
        ({"detail": [{"msg": "field required"}]}, ("error", '[{"msg":"field required"}]')),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}},
            ("server_error", "x"),
        ),
        ("<html>502</html>\n", ("error", "<html>502</html>")),
        ({"error": None, "status": "completed"}, None),
        ({"choices": []}, None),
        ("", None),
        (None, None),
        ([], None),
        (5, None),
    ],
)
def test_errors_are_read(body, told):
    """Each known shape of an error gives its type and message; what is no error gives None."""
    assert wire.decode_error(body) == told


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
def test_written_errors_are_read_back(known, status):
    """An error a format writes is read with the given type, or with the provider's word for the status."""
    kind, message = wire.decode_error(known.codec.encode_error(status, "my_error", "why"))
    assert (kind, message) == ("error" if known.name in WORDLESS else "my_error", "why")
    kind, message = wire.decode_error(known.codec.encode_error(status, "", "why"))
    assert kind.endswith(("error", "Exception")) or kind.isupper()
    assert message == "why"


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("openai.chat", {"error": {"type": "server_error", "message": "lost"}}),
        ("openai.responses", {"type": "error", "code": "server_error", "message": "lost", "param": None}),
        (
            "openai.responses",
            {
                "type": "response.failed",
                "response": {
                    "status": "failed",
                    "output": [],
                    "error": {"code": "server_error", "message": "lost"},
                },
            },
        ),
        ("anthropic.messages", {"type": "error", "error": {"type": "server_error", "message": "lost"}}),
    ],
)
def test_an_error_inside_a_stream_is_read_from_the_joined_body(name, last):
    """A stream that ends with an error keeps what had arrived and tells the error."""
    known = wire.FORMATS[name]
    answer = wire.Answer(text="half of it")
    chunks = known.codec.encode_stream(answer, {"model": "m"}, response_id="r", created=1)
    begun = (b"".join(chunks[:number]) for number in range(len(chunks)))
    cut = next(
        raw for raw in begun if known.codec.decode_response(known.join_stream(raw)).text == answer.text
    )
    body = known.join_stream(cut + framing.encode_sse(last))
    assert wire.decode_error(body) == ("server_error", "lost")
    assert known.codec.decode_response(body).text == "half of it"
    assert orjson.loads(orjson.dumps(body)) == body


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": {"message": "Provider returned error", "code": 429}}, ("429", "Provider returned error")),
        ({"choices": [{"error": {"code": 502, "message": "no"}, "finish_reason": "error"}]}, ("502", "no")),
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, ("server_error", "x")),
        ({"error": None, "message": "success", "detail": "d", "choices": [{"error": None}]}, None),
        ({"error": {}, "choices": "x"}, None),
        ([], None),
    ],
)
def test_a_success_may_tell_of_a_failure(body, told):
    """In an `error` of its own, or in that of the choice; what else stands there is none."""
    assert decode_failure(body) == told
