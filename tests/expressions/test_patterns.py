"""Regular expressions that cannot run away."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from namel3ss_debug.errors import ExpressionError
from namel3ss_debug.expressions.patterns import MAX_TEXT, Pattern, compile_pattern

ATOMS = [
    r"a",
    r"b",
    r"c",
    r".",
    r"\w",
    r"\d",
    r"\s",
    r"[ab]",
    r"[^a]",
    r"\b",
    r"\B",
    r"^",
    r"$",
    r"\Z",
    r"\A",
    r"(a|b)",
    r"(ab|a)",
    r"(a|)",
    r"é",
    r"_",
    r"\n",
    r"(?i:A)",
    r"(?m:^)",
    r"(?m:$)",
    r"(?s:.)",
    r"(?a:\b)",
    r"(?:a?b){2}",
]
COUNTS = ["", "", "", "*", "+", "?", "{2}", "{1,3}", "*?", "{2,}"]
PATTERNS = st.builds(
    lambda flag, one, other: flag + "".join(one) + ("|" + "".join(other) if other else ""),
    st.sampled_from(["", "", "(?i)", "(?m)"]),
    st.lists(st.builds(str.__add__, st.sampled_from(ATOMS), st.sampled_from(COUNTS)), min_size=1, max_size=5),
    st.lists(st.sampled_from(ATOMS), max_size=2),
)


def compiled(text):
    """The pattern, where the rules allow it."""
    try:
        return Pattern(text)
    except ExpressionError:
        assume(False)


@given(PATTERNS, st.text("abcA1 _\né", max_size=8))
@example("^a{1,3}$", "aaaa")
@example("ba{1,3}c", "baac")
@example("ba?c", "bac")
@example("^b", "a\nb")
@example("(?m)^b", "a\nb")
@example("(?m)^b", "ab")
@example("(?m)a$", "a\nb")
@example("a$", "a\nb")
@example("a$", "a\n")
@example(r"(?a)\bb", "éb")
@example(r"\bb", "éb")
@example(r"(?a)\Bb", "éb")
@example(r"\Ba", "")
@example(r"\B", "")
def test_the_table_of_states_agrees_with_pythons_engine(pattern, text):
    """Where the rules allow a pattern, the answer is the one `re.search` gives, whichever way it is found."""
    checked = compiled(pattern)
    expected = re.search(pattern, text) is not None
    assert (checked._walk(text) >= 0, checked.search(text)) == (expected, expected)
    assert (checked.span(text) is not None) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_an_error(text):
    """Nothing but ExpressionError comes out of a text that is no pattern."""
    try:
        Pattern(text).search("some text\n")
    except ExpressionError:
        return


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a*a*a*a*a*b", "a" * MAX_TEXT),
        ("(a|a)*b", "a" * MAX_TEXT),
        ("(a|ab|b)*c", "ab" * 2048),
        ("a?" * 60 + "a" * 60 + "b", "a" * MAX_TEXT),
        (".*.*.*.*x", "a" * MAX_TEXT),
        ("(?:ab|ab)" * 20 + "c", "ab" * 2048),
        ("(ab|ab)" * 20 + "c", "ab" * 2048),
        (".*" + "a" * 200 + "b", "a" * MAX_TEXT),
        (r"(.|\n)*x", "a" * MAX_TEXT),
        (r"^(\w|\d|_)*$", "a" * (MAX_TEXT - 1) + "!"),
        (r"\s+\s+\s+$", " " * (MAX_TEXT - 1) + "x"),
        (r"([\w.]|-|_)+@([\w.])+\.com", "a." * 2048),
    ],
)
def test_patterns_that_hang_other_engines_are_answered(pattern, text):
    """Patterns that take a backtracking engine years are answered in one pass over the text."""
    assert Pattern(pattern).search(text) is False


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(a+)+b", "inside another"),
        (r"(\w+\s?)*$", "inside another"),
        ("((a*))*", "inside another"),
        ("(?:(?:x{2,})+)", "inside another"),
        ("(?:a+|b)*c", "inside another"),
        ("a|b(?=c)", "look-ahead"),
        (r"(a)\1", "backreferences"),
        ("(?P<q>a)(?P=q)", "backreferences"),
        ("(?=a)a", "look-ahead"),
        ("(?<!a)b", "look-ahead and look-behind"),
        ("(a)?(?(1)b|c)", "conditional"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("a" * 257, "at most 256"),
        ("(a{100}){100}", "300 states"),
        ("(", "not a regular expression"),
        ("a{99999999999}", "not a regular expression"),
        ("(?L)a", "not a regular expression"),
    ],
)
def test_what_the_rules_leave_out_is_refused(pattern, says):
    """A pattern outside the rules is refused with the rule it breaks."""
    with pytest.raises(ExpressionError, match=re.escape(says)):
        compile_pattern(pattern)


def test_only_the_first_characters_of_a_text_are_searched():
    """A match past the first 4,096 characters is not seen, so that a long text costs no more than a short one."""
    text = "a" * MAX_TEXT + "b"
    assert (compile_pattern("b").search(text), compile_pattern("a*b").search(text[1:])) == (False, True)
    assert (compile_pattern("b").span(text), compile_pattern("b").span(text[1:])) == (None, (4095, 4096))


def test_memory_stays_bounded_on_text_of_many_characters():
    """The table of moves is emptied before it grows past its bound."""
    pattern = Pattern("(.|x)*.*y")
    pattern.search("".join(map(chr, range(0x4E00, 0x4E00 + MAX_TEXT))))
    pattern.search("".join(map(chr, range(0x6E00, 0x6E00 + MAX_TEXT))))
    assert len(pattern._moves) <= 4096


def test_where_a_pattern_occurs():
    """Of alternatives that take long it is the shortest that ends first; with a position in it only its end is told."""
    assert Pattern("b.a").span("aabbabba") == (2, 5)
    assert Pattern("b.a").span("aac") is None
    assert Pattern("R[EF]+").span("the REFUND") == (4, 6)
    assert Pattern("x*").span("axx") == (0, 0)
    assert Pattern("(a|b)*c").span("--abc--") == (4, 5)
    assert Pattern("^a*b").span("aab--") == (3, 3)
    assert Pattern("^a*b").span("-aab--") is None
