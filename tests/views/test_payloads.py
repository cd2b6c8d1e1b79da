"""Payloads on the screen, and documents as JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from namel3ss_debug.views.payloads import json_bytes, json_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def plain(value, width=60):
    """The lines without their colours."""
    return [line.plain for line in json_text(value, width)]


def test_small_values_stand_on_one_line_and_large_ones_are_laid_out():
    """An object that fits a line takes one; otherwise each key begins a line."""
    value = {"model": "gpt-4o", "params": {"temperature": 0, "seed": None}, "messages": ["a" * 30, "b" * 30]}
    assert plain(value) == [
        "{",
        '  "model": "gpt-4o",',
        '  "params": {"temperature": 0, "seed": null},',
        '  "messages": [',
        f'    "{"a" * 30}",',
        f'    "{"b" * 30}"',
        "  ]",
        "}",
    ]


@pytest.mark.parametrize("length", range(20, 60))
def test_a_text_with_a_comma_behind_it_stays_within_the_line(length):
    """Whatever its length, what stands behind a text has room on its last line."""
    shown = plain({"first": "x" * length, "second": ["y" * length, "z"], "third": 1}, 40)
    assert all(len(line) <= 40 for line in shown)


def test_a_long_text_keeps_its_lines_and_is_wrapped():
    """A text with line ends shows them; a line that is too long goes on below."""
    assert plain(
        {"text": "You are helpful.\nBe brief, be polite, and look things up before you answer."}, 40
    ) == [
        "{",
        '  "text": "You are helpful.',
        "     Be brief, be polite, and look",
        '     things up before you answer."',
        "}",
    ]


@given(st.text(st.sampled_from("ab 漢é"), max_size=300))
def test_wrapping_loses_nothing_but_blanks_at_a_break(value):
    """The words of a wrapped text are those of the text; a word is cut only where it fills a line by itself."""
    shown = plain({"key": value}, 40)
    joined = "".join(line.strip() for line in shown)
    assert joined.replace(" ", "") == f'{{"key":"{value}"}}'.replace(" ", "")


def test_a_blank_between_two_words_is_a_break_or_a_blank():
    """No two words run together where the first line is narrower than the others."""
    words = " ".join(f"word{number}" for number in range(60))
    assert (
        " ".join(line.strip() for line in plain({"a long key": words}, 50)[1:-1])
        == f'"a long key": "{words}"'
    )


@given(VALUES)
def test_any_value_is_shown_without_controls(value):
    """Whatever a payload holds, keys included, only printable text comes out."""
    assert all(line.isprintable() for line in plain(value))


def test_endless_nesting_ends():
    """A value deeper than the screen is cut, not an error."""
    value = []
    for _ in range(900):
        value = [value]
    assert any("…" in line for line in plain(value))
    assert json.loads(json_bytes(value))


@given(VALUES)
def test_documents_are_json_of_the_same_value(value):
    """What is written reads back as it was, and holds nothing a terminal would obey."""
    for indent in (False, True):
        written = json_bytes(value, indent=indent)
        assert json.loads(written) == value
        assert not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in written)


@pytest.mark.parametrize("character", ["\x7f", "\x9b", "\u202e", "\u200b", "\U000e0041", "\ud800", "\ufeff"])
def test_dangerous_characters_are_escapes(character):
    """Controls, direction marks, invisible characters and lone surrogates are written as escapes."""
    written = json_bytes({"a" + character: character})
    assert written.isascii()
    assert json.loads(written) == {"a" + character: character}


def test_letters_stay_readable():
    """Text of any language is written as it is."""
    assert json_bytes({"a": "漢字 é"}) == '{"a":"漢字 é"}'


def test_what_json_lacks_becomes_null():
    """NaN and infinity have no word in JSON."""
    assert json_bytes([math.nan, math.inf, 2**70]) == f"[null,null,{2**70}]"


@given(st.text(), st.integers(30, 100))
def test_payload_lines_fit_the_screen(value, width):
    """A wrapped text is no wider than the screen."""
    assert all(cell_len(line) <= width for line in plain({"key": value}, width))


def test_a_tuple_looks_as_a_list():
    """On one line and over several, at any depth."""

    def tupled(*items):
        return {"$type": "tuple", "items": list(items)}

    for items in ([1, 2], ["word " * 20] * 5):
        shown = [line.plain for line in json_text({"a": tupled(*items, tupled())}, 60)]
        assert shown == [line.plain for line in json_text({"a": [*items, []]}, 60)]


def test_what_only_a_re_run_needs_of_an_object_is_not_shown():
    """Its class, its fields, and what else it holds are."""
    form = {"$type": "app.Wind", "fields": {"speed": 1}, "given": ["speed"], "made": "model", "same": 1}
    shown = "".join(line.plain for line in json_text(form | {"private": {"_seen": 2}}, 200))
    assert shown == '{"$type": "app.Wind", "fields": {"speed": 1}, "private": {"_seen": 2}}'
