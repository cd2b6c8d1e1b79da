import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections.fingerprints import Fingerprints, is_significant, is_significant_number

FACT = "Batteries cover the evening peak in California"
STORY = (
    "The committee approved the revised budget on Thursday after hours of heated discussion about the harbour. "
    "Construction of the northern breakwater begins immediately and should finish before winter storms arrive."
)


def keys(payload, most=1000):
    """The keys of one payload."""
    return set(Fingerprints().find_keys(payload, most))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"result": FACT}, {"messages": [{"role": "user", "parts": [{"type": "text", "content": FACT}]}]}),
        ({"result": FACT}, {"q": f"  {FACT.upper()}\n"}),
        ({"text": f"Storage: {FACT}."}, {"q": f"Summarise:\nStorage: {FACT}.\nWind: permits are slow."}),
        ({"text": STORY}, {"prompt": f"<doc>“{STORY}”</doc> Say it in one sentence."}),
        (
            {"result": {"order": "A-10293", "ok": True}},
            {"content": json.dumps({"order": "A-10293", "ok": True})},
        ),
        ({"result": [{"item": "bolt", "left": 2}]}, {"response": [{"left": 2, "item": "bolt"}]}),
        ({"tool_calls": [{"arguments": {"topic": "wind power"}}]}, {"arguments": {"topic": "wind power"}}),
        ({"result": 48213.5}, {"amount": 48213.5}),
        ({"tool_calls": [{"id": "call_a1d84c_0"}]}, {"call_id": "call_a1d84c_0"}),
    ],
)
def test_a_value_is_found_again_where_it_was_used(given, taken):
    """As a whole, in other case and space, as a line, inside a longer text, as JSON in a text, as a number."""
    assert keys(given) & keys(taken)


@pytest.mark.parametrize(
    "value",
    [
        "ok",
        "search",
        "completed",
        "aaaaaaaaaaaaaaaa",
        "1.0",
        0,
        100000,
        2024,
        12.5,
        True,
        None,
        "[REDACTED:key]",
        "",
    ],
)
def test_trivial_values_leave_no_trace(value):
    """What may stand anywhere by chance is no evidence."""
    assert not keys({"result": value})


def test_names_of_kinds_are_no_values():
    """What a payload says of its own form does not flow."""
    assert not keys(
        {"finish_reason": "tool_calls_and_more", "response_model": "gpt-4o-2024-08-06", "type": "text_part_1"}
    )


def test_different_texts_share_nothing():
    """Two stories with common words have no passage in common."""
    other = "Construction workers discussed the budget of the harbour committee immediately before the winter storms."
    assert not keys({"a": STORY}) & keys({"b": other})


def test_there_are_never_more_than_allowed():
    """A large payload is bounded, and whole values come before passages."""
    payload = {"texts": [f"{STORY} number {place}" for place in range(200)], "id": "A-10293-77"}
    found = Fingerprints().find_keys(payload, 50)
    assert len(found) == 50
    assert list(found) == sorted(set(found))
    few = keys({"text": STORY, "id": "A-10293-77"}, 2)
    assert keys({"id": "A-10293-77"}) <= few


def test_what_stands_last_is_kept():
    """Of more values than allowed, those at the end of a payload are among the keys, and so are some of all the others."""
    values = [f"value number {place}" for place in range(500)]
    found = keys({"texts": values}, 100)
    assert keys({"texts": values[-50:]}) <= found
    assert len(found & keys({"texts": values[:400]})) > 10


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        [],
        "text of one payload 12345",
        {"a": "{broken json 12345"},
        {"x": "\ud800 lone surrogate 1"},
    ],
)
def test_any_payload_will_do(payload):
    """Nothing that may stand in a payload raises."""
    assert isinstance(keys(payload), set)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=5))
def test_what_was_read_before_makes_no_difference(payloads):
    """Keys are the same from a fresh reader, from one that has read other payloads, and from one out of another process."""
    used = Fingerprints()
    first = [used.find_keys(payload, 100) for payload in payloads]
    assert [used.find_keys(payload, 100) for payload in payloads] == first
    assert [pickle.loads(pickle.dumps(used)).find_keys(payload, 100) for payload in payloads] == first


@given(st.text())
def test_telling_texts_say_something(text):
    """A text that counts has at least six characters, and more than one of them is different."""
    if is_significant(text):
        assert len(text) >= 6
        assert len(text) >= 32 or len(set(text)) > 1


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_telling_numbers_keep_five_digits(value):
    """Written without zeros at its ends, a number that counts has five digits."""
    digits = f"{value!r}".partition("e")[0].replace(".", "").strip("-").strip("0")
    assert is_significant_number(value) == (len(digits) >= 5)
