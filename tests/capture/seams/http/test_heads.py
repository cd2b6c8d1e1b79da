"""What is read of the head of a response."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.seams.http import heads

NAMES = st.sampled_from(
    [
        "Content-Type",
        "content-type",
        "CONTENT-ENCODING",
        "Content-Length",
        "Set-Cookie",
        "x-ratelimit-a",
        "ETag",
        "Server",
    ]
)


@given(st.lists(st.tuples(NAMES, st.text(max_size=3)), max_size=6))
def test_a_head_tells_the_first_of_each_header_and_keeps_the_last(headers):
    """Law: whatever the case of their names, in the order in which they came."""
    head = heads.read(iter(headers))
    lower = [(name.lower(), value) for name, value in headers]
    first = dict(reversed(lower))
    assert head.content_type == first.get("content-type")
    assert head.encoding == first.get("content-encoding")
    assert head.length == first.get("content-length")
    kept = {name: value for name, value in lower if name not in ("content-length", "set-cookie", "server")}
    assert list(head.kept.items()) == list(kept.items())


def test_what_a_server_tells_programs_is_kept():
    """Whatever its name: how an error is called, where an upload goes, what comes next."""
    names = ["x-amzn-ErrorType", "x-goog-upload-url", "X-Next-Page", "x-ms-continuationtoken", "retry-after"]
    head = heads.read((name, "1") for name in names)
    assert list(head.kept) == [name.lower() for name in names]


def test_credentials_and_words_to_browsers_are_not_kept():
    """Nor is what speaks of the connection."""
    names = [
        "Set-Cookie",
        "X-Auth-Token",
        "x-session-secret",
        "Date",
        "alt-svc",
        "Access-Control-Allow-Origin",
    ]
    assert heads.read((name, "1") for name in names).kept == {}


def test_a_phrase_is_the_usual_one():
    """None where the number is no status that is known."""
    assert (heads.phrase(404), heads.phrase(529)) == ("Not Found", "")
