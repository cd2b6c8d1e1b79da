"""Numbered points, quotes and code, on the terminal and in Markdown."""

from typing import get_args

import pytest

from namel3ss_debug.views.blocks import Block, ForWidth, Heading, Note, Points, Quote
from namel3ss_debug.views.renderers import html, screen
from namel3ss_debug.views.renderers import markdown as markdown_renderer
from namel3ss_debug.views.renderers.markdown import escape, markdown, paragraph
from namel3ss_debug.views.renderers.screen import lines

LONG = "the tool place_order failed because there was no supplier to order from"


def shown(*blocks, width=40):
    """The lines on a terminal."""
    return [line.plain for line in lines(blocks, width)]


def test_every_renderer_knows_every_kind_of_block():
    """A kind that one of them lacks would fail only where a report has it; the others are resolved before."""
    kinds = set(get_args(Block)) - {ForWidth}
    assert set(screen._RENDERERS) == kinds
    assert set(markdown_renderer._RENDERERS) == set(html._RENDERERS) == kinds - {Heading}


def test_points_are_wrapped_and_followed_by_their_command():
    """The number stands before the first line, the command below the last."""
    assert shown(Points([(LONG, "namel3ss debug explain 25"), ("short", "")])) == [
        "  1  the tool place_order failed",
        "     because there was no supplier to",
        "     order from",
        "     namel3ss debug explain 25",
        "  2  short",
    ]


def test_wide_characters_fit():
    """Characters of two cells are counted as such."""
    assert all(len(line) <= 20 + 5 for line in shown(Points([("漢字" * 30, "")]), Quote("漢字" * 30)))


def test_points_in_markdown():
    """A list with the command as code, in which no data becomes markup."""
    assert list(markdown([Points([("a *b* <i>", "run `x`"), ("c", "")])])) == [
        "1. a \\*b\\* \\<i\\>: `` run `x` ``",
        "2. c",
    ]


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("12) no list", "12\\) no list"),
        ("+ no list", "\\+ no list"),
        ("=== no heading", "\\=== no heading"),
        ("# no heading", "\\# no heading"),
        ("    no code", "no code"),
        ("3.5 s is a number", "3\\.5 s is a number"),
        ("12 pieces", "12 pieces"),
        ("", ""),
    ],
)
def test_a_paragraph_stays_one_whatever_it_begins_with(words, written):
    """What Markdown takes for a list, a heading or code at the beginning of a line is escaped."""
    assert paragraph(words) == written


def test_nobody_is_told_by_a_report():
    """What looks like the name of somebody is none to a tracker of issues; an address stays what it is."""
    assert escape("ask @everyone or a@example.org") == "ask @<!-- -->everyone or a@example.org"
    assert paragraph("@here") == "@<!-- -->here"


def test_a_quote_keeps_its_lines():
    """Somebody's words are theirs, and none of them is markup."""
    quote = Quote("It fails.\n\n# not a heading\n\x1b[31mred")
    assert list(markdown([quote])) == ["> It fails.", ">", "> \\# not a heading", "> ^\\[\\[31mred"]
    assert shown(quote) == ["  It fails.", "", "  # not a heading", "  ^[[31mred"]


def test_code_cannot_leave_its_fence():
    """The fence has more backticks than anything inside."""
    assert list(markdown([Heading("x"), Quote("a\n````\n# b", is_code=True)]))[2:] == [
        "`````",
        "a",
        "````",
        "# b",
        "`````",
    ]
    assert shown(Quote("x" * 60, is_code=True)) == ["  " + "x" * 37 + "…"]


def test_a_title_wider_than_the_screen_is_cut_in_its_middle():
    """The words behind it stay; Markdown has it whole."""
    head = Heading("event 25  " + "漢" * 50 + " end", "failed")
    assert shown(head) == ["event 25  漢漢漢…漢漢漢漢漢 end  failed"]
    assert "漢" * 50 in next(iter(markdown([head])))


def test_words_behind_a_short_title_go_below_it_where_they_do_not_fit():
    """The title stays whole, and no line is wider than the screen."""
    kinds = "1 arguments, 1 result, 1 path, 1 model, 2 prompt, 2 context, 1 status, 6 added"
    assert shown(Heading("The runs diverge", "1 result"), width=80) == ["The runs diverge  1 result"]
    title, *below = shown(Heading("What sets the failing run apart", kinds), width=80)
    assert title == "What sets the failing run apart"
    assert " ".join(line.strip() for line in below) == kinds
    assert all(len(line) <= 80 for line in below)


def test_words_that_leave_no_title_any_room_go_below_it():
    """A long title is cut to the screen alone, and no line is wider than that."""
    assert shown(Heading("a" * 50, "b " * 30)) == [
        f"{'a' * 20}…{'a' * 19}",
        "  " + " ".join("b" * 19),
        "  " + " ".join("b" * 11),
    ]
    assert all(len(line) <= 40 for line in shown(Heading("a\x1b[31m" * 50, "b" * 40)))


def test_a_note_is_wrapped_unless_it_has_a_command():
    """A sentence takes as many lines as it needs; a command stays whole, so that it can be pasted."""
    words = "debug/traces/trace_20261121_210013_d373deeb.jsonl: 2 places cannot be read, so something may be missing."
    rows = shown(Note(words), width=80)
    assert " ".join(row.strip() for row in rows) == words
    assert all(len(row) <= 80 and row.startswith("  ") for row in rows)
    command = f"how it came to the first of them: namel3ss debug explain 25 {'folder/' * 10}run.jsonl"
    assert shown(Note(command), width=80) == [f"  {command}"]
