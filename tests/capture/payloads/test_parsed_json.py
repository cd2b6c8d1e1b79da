"""JSON that nobody changes stands in an event as it is where nothing in it is secret, and is converted like anything else where not."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads, parsed_json
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


def shown(payloads: Payloads, part: object) -> bytes:
    """What stands in an event for a part of a payload."""
    return orjson.dumps(payloads.value({"part": part}))


@given(JSON, st.sampled_from([0, 200]), st.booleans())
def test_what_was_read_from_json_is_shown_as_any_value_is(value, max_size, redacting):
    """Law: it makes no difference to an event, seen for the first time or again."""
    payloads = Payloads(Redactor() if redacting else None, max_size)
    plain = Payloads(Redactor() if redacting else None, max_size)
    for _ in range(2):
        assert shown(payloads, parsed_json.ready(payloads, value)) == shown(plain, value)


@given(st.lists(st.dictionaries(st.sampled_from(["role", "password", "n"]), JSON, max_size=3), max_size=4))
def test_what_comes_again_is_what_it_was_the_first_time(messages):
    """Law: items that are looked at once and remembered give the payload that they give without."""
    payloads, plain = Payloads(Redactor()), Payloads(Redactor())
    for _ in range(2):
        asked = {"model": "m", "messages": messages}
        assert shown(payloads, parsed_json.ready_request(payloads, asked)) == shown(plain, asked)


def test_what_comes_again_differs_in_what_json_tells_apart():
    """`1`, `1.0` and `true` are equal to Python, and not the same."""
    payloads = Payloads()
    each = [parsed_json.ready_request(payloads, {"a": [{"n": n}]}).value["a"] for n in (1, 1.0, True)]
    assert orjson.dumps(each) == b'[[{"n":1}],[{"n":1.0}],[{"n":true}]]'


def test_what_comes_again_counts_where_a_payload_has_a_bound():
    """Nothing is remembered then, because what is left out depends on what stands before."""
    asked = {"messages": [{"content": "x" * 50}] * 8}
    payloads = Payloads(None, max_size=128)
    assert parsed_json.ready_request(payloads, asked) is asked
    assert payloads.convert(asked).cut


def test_what_is_remembered_is_bounded_in_number_and_in_size():
    """A long run with large messages holds few of them."""
    payloads = Payloads()
    parsed_json.ready_request(payloads, {"messages": [{"content": "x" * 20_000}]})
    assert not payloads.items
    for n in range(2000):
        parsed_json.ready_request(payloads, {"messages": [{"content": f"{n}"}]})
    assert 0 < len(payloads.items) <= 512


def test_a_document_nested_without_end_is_cut_and_does_not_raise():
    """As deep as the parser reads it."""
    deep = orjson.loads("[" * 1000 + "]" * 1000)
    payloads = Payloads(Redactor())
    assert b"$truncated" in shown(payloads, parsed_json.ready(payloads, deep))


def known_text(payloads: Payloads, document: str, value: object) -> str | None:
    """The text of a document where it is known to have no secrets; texts in pieces do not count."""
    return parsed_json.clear_text(payloads, document.encode(), value, frozenset(), lambda _value: False)


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


def test_a_clear_document_is_not_searched(monkeypatch):
    """Once its names and texts are known, neither it is nor they."""
    payloads = Payloads(Redactor())
    value = {"id": "x-1", "choices": [{"text": "It rains. " * 40, "n": 1}], "usage": {"total_tokens": 5}}
    document = json.dumps(value)
    assert known_text(payloads, document, value) == document
    searched: list[str] = []
    monkeypatch.setattr(Redactor, "_scan", lambda _self, text: searched.append(text) or text)
    assert known_text(payloads, document, value) == document
    assert parsed_json.ready(payloads, value).value is value
    assert searched == []


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ({"a": [{"b": "c"}], "vectors": [0.1, 0.2]}, False),
        ({"a": [{"b": ["c", "d"]}]}, True),
        ({"a": {"input": {}}}, True),
    ],
)
def test_a_document_may_be_in_pieces_where_it_has_several_items_or_a_telling_name(value, asked):
    """Only there it is looked at more closely, and may not be known to be clear."""
    document, seen = json.dumps(value).encode(), []

    def may_be(looked_at: object) -> bool:
        seen.append(looked_at)
        return True

    known = parsed_json.clear_text(Payloads(Redactor()), document, value, frozenset({"input"}), may_be)
    assert (known is None) is bool(seen) is asked


def test_texts_stand_as_they_are_where_none_of_them_has_to_change():
    """That is known of an object of them without a look where all have been seen."""
    payloads = Payloads(Redactor())
    for _ in range(2):
        assert parsed_json.texts_are_clear(payloads, {"content-type": "text/plain"})
        assert not parsed_json.texts_are_clear(payloads, {"content-type": TOKEN})
        assert not parsed_json.texts_are_clear(payloads, {"set-cookie": "abc"})


def test_an_object_that_was_made_of_clear_values_may_have_a_name_that_the_user_calls_secret():
    """Its value is replaced then, as that of any such field is."""
    made = {"hash": "abc", "body": {"text": "hello"}}
    payloads = Payloads(Redactor(["text"]))
    assert payloads.value(parsed_json.ready_object(payloads, made, made["body"])) == {
        "hash": "abc",
        "body": {"text": "[REDACTED:key]"},
    }
    assert parsed_json.ready_object(Payloads(Redactor()), made, made["body"]).value is made


def test_an_object_that_was_made_with_texts_is_clear_once_they_have_been_seen():
    """Until then, and where one has to change, it is converted like any other."""
    payloads = Payloads(Redactor())
    for texts in (["a.py:main", "b.py:run"], ["a.py:main", TOKEN]):
        made = {"chain": texts, "hash": "abc"}
        shown = [payloads.value(parsed_json.ready_object(payloads, made, texts=texts)) for _ in range(3)]
        assert (
            shown
            == [{"chain": [text.replace(TOKEN, "[REDACTED:openai]") for text in texts], "hash": "abc"}] * 3
        )
        assert (shown[2] is made) is (TOKEN not in texts)


def test_a_document_written_like_a_clear_one_may_hide_a_secret_behind_an_option():
    """Its texts are looked at one by one, and what one of them makes of the next shows in the list alone."""
    payloads = Payloads(Redactor())

    def written(*words):
        value = {"id": "c", "args": list(words)}
        return known_text(payloads, json.dumps(value), value)

    assert None not in [written("mysql", "--user", "ann"), written("mysql", "--user", "pw")]
    assert written("mysql", "now", "pw") is not None
    assert written("mysql", "--password", "pw") is None
    assert parsed_json.is_clear(payloads, [])
