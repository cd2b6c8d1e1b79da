"""Tests of what is compared of the output of two runs."""

from __future__ import annotations

import pytest

from namel3ss_debug.traces.output import NORMALISATIONS, OutputPiece, digest_line, draw, is_same_line

SAMPLES = {
    "address": ("<object at 0x7f9732b4d080> 140288345678912", "<object at 0x7f11aab4d0c0> 139788345671111"),
    "line": ('File "app.py", line 12, app.py:12', 'File "app.py", line 7, app.py:7'),
    "file": ("/tmp/tmpabcdef_g/x", "/tmp/tmpzz98yy_1/x"),
    "port": ("http://127.0.0.1:4711/", "http://127.0.0.1:50123/"),
    "progress": ("100%|#| 4/4 [00:01<00:00,  3.9it/s] 0:00:01", "100%|#| 4/4 [00:02<00:00, 2.0it/s] 0:00:02"),
    "duration": ("took 0.51, 12 ms, 1.5 s", "took 0.62, 9 ms, 1.75 s"),
    "spinner": ("\u280b busy", "\u2819 busy"),
}
"""Two lines of an unchanged program, for each row of the table."""


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_each_row_of_the_table_makes_two_lines_equal(name):
    """As text and as digests; a word that differs stays a difference."""
    then, now = SAMPLES[name]
    assert is_same_line(then, now, frozenset(), frozenset())
    assert digest_line(then) == digest_line(now)
    assert not is_same_line(then, f"{now} more", frozenset(), frozenset())


def test_an_id_is_no_difference_where_it_stands_and_a_number_elsewhere():
    """A small id may be an ordinary number in the other run."""
    assert is_same_line("pid 12: 12 items", "pid 5012: 12 items", {"12"}, {"5012"})
    assert not is_same_line("pid 12: 12 items", "pid 5012: 13 items", {"12"}, {"5012"})
    assert is_same_line("12 items", digest_line("12 items", {"99"}), {"12"}, {"99"})
    assert not is_same_line("13 items", digest_line("12 items", {"99"}), {"12"}, {"99"})


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        ([("0", "one\ntw"), ("0", "o\n")], ["one", "two"]),
        ([("0", "10%\r"), ("0", "20%\r100%\n")], ["100%"]),
        ([("0", "one\r\ntwo\r\n\n")], ["one", "two", ""]),
        ([("0", "a\nb\n"), ("0", "\x1b[2A\x1b[2KA\n\x1b[2KB\n")], ["A", "B"]),
        ([("0.1", "frame\nof 1"), ("0", "\r\x1b[2K\x1b[1A\x1b[2Kframe\nof 2\n")], ["frame", "of 2"]),
        (
            [
                ("0", "a"),
                ("0.1", "\r\x1b[2Ka\nb\nc"),
                ("0", "\r\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2KA\nB\nC\n"),
            ],
            ["A", "B", "C"],
        ),
        ([("0", "x"), ("0.1", "y\n"), ("0", "z\n")], ["xz", "y"]),
        ([("0", "ab\b\bcd\n")], ["cd"]),
    ],
)
def test_a_line_that_is_drawn_again_has_its_last_state(texts, left):
    """By a carriage return, by the cursor that goes up, from whichever thread; lines of two threads are not mixed."""
    assert [line.text for line in draw(OutputPiece(task, "stdout", text) for task, text in texts)] == left
