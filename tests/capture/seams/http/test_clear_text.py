"""A document is stored as its text where nothing in it is secret."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.seams.http.chunks import find_clear_text
from namel3ss_debug.traces.redaction.redactor import Redactor

TOKEN = "sk-" + "proj-" + "aB3dE5gH7jK9mN2pQ4sT6vW8xY" * 2
CARD = 4111111111111111
TEXTS = [
    "hello", "", "x" * 300, "é", "a\nb", 'she said "no"', "back\\slash", TOKEN, f"it is {TOKEN}.", "hunter2hunter",
    "Bearer " + TOKEN[8:40], "Digest abcdefgh12", "sid=" + TOKEN[8:40] + "; Path=/", "4111 1111 1111 1111", "12345678",
    f'{{"password": "{TOKEN[8:30]}"}}', "-u", "me:hunter2hunter", "AKIA", "u:secret12@h",
]  # fmt: skip
NAMES = [
    "a", "role", "content", "prompt_tokens", "password", "api_key", "the key", "x/token", "cookie", "Set-Cookie", "authorization",
    "auth", "aws secret access key", "n\n", 'q"', "é", "tokens", "token", "client secret", "input_tokens_details", "-u", "--user",
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([CARD, 12345678, 1234567890123])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)


def known_text(payloads: Payloads, document: str, value: object) -> str | None:
    """The text of a document where it is known to have no secrets; texts in pieces do not count."""
    return find_clear_text(payloads, document.encode(), value)


OBJECTS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), JSON, max_size=4)


@settings(max_examples=400)
@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
@example({"a": TOKEN}, None, True)
@example({"aws secret access key": "q7Rk29xLm4Tz81Wvq7Rk29xLm4Tz81Wvq7Rk29xL"}, None, True)
def test_a_document_that_is_known_to_be_clear_has_nothing_that_a_search_would_find(value, indent, escaped):
    """Law: what is known of the names and texts of a document tells what a search in its text would find.

    But where a text ends like `password=`: what follows it in the document is no value of it, though a search takes it
    for one.
    """
    document = json.dumps(value, indent=indent, ensure_ascii=escaped)
    assert known_text(Payloads(Redactor()), document, value) in (None, Redactor().text(document))


def harmless(value: object) -> object:
    """The same with other texts and numbers."""
    if isinstance(value, dict):
        return {name: harmless(one) for name, one in value.items()}
    if isinstance(value, list):
        return [harmless(one) for one in value]
    return "x" if isinstance(value, str) else 1 if type(value) in (int, float) else value


@given(OBJECTS, st.booleans())
@example({"a": "\\u0073" + TOKEN[1:]}, True)
@example({"a": CARD}, True)
def test_a_document_that_is_written_like_a_clear_one_may_have_secrets_of_its_own(value, escaped):
    """Law: that the names and the places of texts are known says nothing of the texts and numbers."""
    payloads = Payloads(Redactor())
    for one in (harmless(value),) * 2:
        known_text(payloads, json.dumps(one, ensure_ascii=escaped), one)
    document = json.dumps(value, ensure_ascii=escaped)
    assert known_text(payloads, document, value) in (None, Redactor().text(document))


def test_a_text_of_a_document_counts_as_it_is_read():
    """However it is written: what is written like a clear document may spell a secret with escapes."""
    payloads = Payloads(Redactor())
    for _ in range(2):
        assert known_text(payloads, '{"a": "x"}', {"a": "x"}) is not None
    document = '{"a": "' + "".join(f"\\u{ord(letter):04x}" for letter in TOKEN) + '"}'
    assert orjson.loads(document) == {"a": TOKEN}
    assert known_text(payloads, document, {"a": TOKEN}) is None


@pytest.mark.parametrize(
    "document",
    [
        f'{{"a": "{TOKEN}", "a": "x"}}',
        f'{{"a": {{"b": "{TOKEN}"}}, "a": 1}}',
        f'{{"a": ["{TOKEN}"], "b": "\\\\", "a": 1}}',
        f'{{"b": "\\"\\"\\"\\"", "a": "{TOKEN}", "a": 1}}',
        f'{{"password": {CARD}, "password": 1}}',
    ],
)
def test_a_name_that_stands_twice_hides_no_secret(document):
    """Only the last is read, and the text has both."""
    assert known_text(Payloads(Redactor()), document, orjson.loads(document)) is None


def test_rules_of_the_user_are_looked_for_in_the_whole_text():
    """They may know a secret by what stands around it in the document."""
    payloads = Payloads(Redactor(patterns={"badge": r'"badge": "(\d+)"'}))
    document = '{"badge": "12345", "text": "' + "x" * 300 + '"}'
    assert known_text(payloads, document, orjson.loads(document)) is None
