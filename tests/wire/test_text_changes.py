"""What differs between two texts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.text_changes import DiffPiece, diff_texts, shorten_equal_text

texts = st.text("ab .\n", max_size=60) | st.lists(
    st.sampled_from(["one ", "two", "\n", "three, ", "é"]), max_size=30
).map("".join)


def whole(pieces, *, without):
    """The text of all pieces but those of a kind."""
    return "".join(piece.text for piece in pieces if piece.kind != without)


@given(texts, texts)
def test_the_pieces_make_both_texts(old, new):
    """A law: no piece is empty, and no two neighbours are of the same kind."""
    pieces = diff_texts(old, new)
    assert whole(pieces, without="added") == old
    assert whole(pieces, without="dropped") == new
    assert all(piece.text for piece in pieces)
    assert all(one.kind != other.kind for one, other in pairwise(pieces))


@given(texts)
def test_equal_texts_are_one_piece(text):
    """A law: nothing is said to differ."""
    assert diff_texts(text, text) == ((DiffPiece("same", text),) if text else ())


def test_words_are_compared_within_lines():
    """Lines that are equal are left out of it."""
    old = "first\nthe refund takes 30 days\nlast\n"
    new = "first\nthe refund takes 14 working days\nlast\n"
    assert diff_texts(old, new) == (
        ("same", "first\nthe refund takes "),
        ("dropped", "30"),
        ("added", "14 working"),
        ("same", " days\nlast\n"),
    )


def test_two_words_side_by_side_are_one_change():
    """The space between them is no piece of its own."""
    assert diff_texts("send it to Ann Smith today", "send it to Bob Jones today") == (
        ("same", "send it to "),
        ("dropped", "Ann Smith"),
        ("added", "Bob Jones"),
        ("same", " today"),
    )


def test_lines_with_little_in_common_are_changed_as_a_whole():
    """A word here and there would say nothing."""
    old, new = "alpha beta gamma delta, epsilon zeta", "nothing of it; was here, or anywhere"
    assert diff_texts(old, new) == (("dropped", old), ("added", new))


def test_very_many_changes_are_told_in_a_few_hundred_pieces():
    """The rest is dropped and added as a whole, so that both texts still come out."""
    old = "".join(f"line {number}\nkept {number}\n" for number in range(5000))
    new = old.replace("line", "row")
    pieces = diff_texts(old, new)
    assert len(pieces) < 1000
    assert whole(pieces, without="added") == old
    assert whole(pieces, without="dropped") == new


def test_long_texts_are_compared():
    """A changed word in a long line of many lines is found; one line that is very long is taken as a whole."""
    old = "".join(f"{number} of the lines\n" for number in range(20_000))
    new = old.replace("\n9999 of", "\n9999 out of")
    assert [piece for piece in diff_texts(old, new) if piece.kind != "same"] == [("added", "out ")]
    assert {piece.kind for piece in diff_texts("a " * 100_000, "b " * 100_000)} == {"dropped", "added"}


def test_only_what_stands_beside_a_change_is_shown():
    """What is left out is counted."""
    pieces = diff_texts("a" * 500 + " old " + "b" * 500, "a" * 500 + " new " + "b" * 500)
    assert shorten_equal_text(pieces, 10) == (
        ("skipped", "… 491 characters …"),
        ("same", "a" * 9 + " "),
        ("dropped", "old"),
        ("added", "new"),
        ("same", " " + "b" * 9),
        ("skipped", "… 491 characters …"),
    )


@given(texts, texts, st.integers(0, 20))
def test_changes_are_never_left_out(old, new, characters):
    """A law: only equal text is, and only where that makes it shorter."""
    pieces = diff_texts(old, new)
    shown = shorten_equal_text(pieces, characters)
    assert [piece for piece in shown if piece.kind in ("dropped", "added")] == [
        piece for piece in pieces if piece.kind in ("dropped", "added")
    ]
    assert all(len(piece.text) > 0 for piece in shown)
