"""Bodies as they are read: what a request says by itself, and what its headers say of it."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.bodies import readable_request
from namel3ss_debug.capture.transport.seams import OnDemand

JSON = [("Content-Type", "application/json; charset=utf-8")]


@pytest.mark.parametrize(("body", "value"), [(b'{"a": [1]}', {"a": [1]}), (b'["a"]', ["a"])])
def test_a_request_that_is_json_is_read_without_its_headers(body: bytes, value: object) -> None:
    """A body that is an object or an array says so itself, so its headers are not read from the library."""
    headers = OnDemand(lambda: pytest.fail("the headers were asked for"))
    assert readable_request(body, headers) == value


@pytest.mark.parametrize(
    ("body", "headers", "value"),
    [
        (b'"word"', JSON, "word"),
        (b'"word"', [("content-type", "text/plain")], '"word"'),
        (b"{not json", JSON, "{not json"),
        (b"a=1&b=2", [], "a=1&b=2"),
        (b"\xff\xfe", [], b"\xff\xfe"),
        (b"", JSON, None),
        (None, [], None),
    ],
)
def test_what_headers_say_counts_for_any_other_request(
    body: bytes | None, headers: list[tuple[str, str]], value: object
) -> None:
    """A body that does not look like JSON is JSON where its content type says so, else text, else bytes."""
    assert readable_request(body, headers) == value
