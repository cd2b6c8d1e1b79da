"""Which words of a command line are ours and which are the program's."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.cli.main import debug
from namel3ss_debug.cli.program import split

VALUED = frozenset({"-o", "--output", "--level"})
FLAGS = frozenset({"-m", "--live", "--help"})


def sort(*words):
    """Sort words by a small table of options."""
    return split(words, VALUED, FLAGS, frozenset({"-m"}))


@pytest.mark.parametrize(
    ("words", "ours", "target", "theirs"),
    [
        ("app.py", "", "app.py", ""),
        ("-o out app.py a b", "-o out", "app.py", "a b"),
        ("app.py a -o out b", "-o out", "app.py", "a b"),
        ("app.py --level=basic --name=x", "--level=basic", "app.py", "--name=x"),
        ("app.py -v -rf --unknown 3", "", "app.py", "-v -rf --unknown 3"),
        ("app.py -- -o out --live", "", "app.py", "-o out --live"),
        ("app.py a -- b -- c", "", "app.py", "a b -- c"),
        ("-m pkg -m sub", "-m", "pkg", "-m sub"),
        ("--live -- -strange.py -o x", "--live", "-strange.py", "-o x"),
        ("-oout app.py", "-oout", "app.py", ""),
        ("app.py -oout", "", "app.py", "-oout"),
        ("--bogus app.py", "--bogus", "app.py", ""),
        ("app.py -", "", "app.py", "-"),
        ("- a", "", "-", "a"),
        ("app.py -o", "-o", "app.py", ""),
        ("", "", None, ""),
        ("--", "", None, ""),
    ],
)
def test_words_are_sorted(words, ours, target, theirs):
    """Before TARGET all options are ours, after it those we know, and nothing behind `--`."""
    assert sort(*words.split())[:3] == (ours.split(), target, theirs.split())


@pytest.mark.parametrize(
    ("words", "lacking"),
    [("app.py -o", "-o"), ("app.py a --level", "--level"), ("app.py -o -o", None), ("app.py --level=", None)],
)
def test_an_option_at_the_end_lacks_its_value(words, lacking):
    """It is named, where the word behind it is none."""
    assert sort(*words.split()).lacking == lacking


def test_an_option_without_its_value_is_an_error():
    """What stands before it is not taken for its value."""
    done = CliRunner().invoke(debug, ["trace", "app.py", "--flow"])
    assert "option '--flow' requires an argument" in done.output


@given(st.lists(st.sampled_from(["a", "-o", "--live", "--level=x", "-z", "--", "-m", "-"])))
def test_the_program_gets_its_words_in_their_order(words):
    """Everything behind `--` arrives as it stands, and no word is lost but the first `--`."""
    found = sort("app.py", *words)
    assert found.target == "app.py"
    assert sorted(
        [*found.ours, *found.theirs, *(["--"] if len(found.ours) + len(found.theirs) < len(words) else [])]
    ) == sorted(words)
    if "--" in words and "-o" not in words:
        behind = words[words.index("--") + 1 :]
        assert found.theirs[len(found.theirs) - len(behind) :] == behind
