"""Tables at a given width."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.views.tables import Column, name, number, pairs, prose, table


def plain(lines):
    """The lines without their colours."""
    return [line.plain for line in lines]


def test_columns_are_aligned_and_numbers_stand_right():
    """Text begins where its header begins, numbers end where theirs ends."""
    rows = [("lookup_order", "1,234", "fine"), ("x", "5", "")]
    assert plain(table((name("tool"), number("ms"), prose("what")), rows, 80)) == [
        "tool             ms  what",
        "lookup_order  1,234  fine",
        "x                 5",
    ]


def test_an_empty_column_is_left_out():
    """A column in which nothing stands takes no room."""
    assert plain(table((name("tool"), number("ms")), [("a", ""), ("b", "")], 80)) == ["tool", "a", "b"]


def test_wide_cells_are_cut_where_their_column_says():
    """Names lose their middle, prose its end, numbers nothing."""
    rows = [("lookup_order_by_customer_number", "1,234,567", "the quick brown fox jumps over the lazy dog")]
    assert plain(table((name("tool", 10), number("ms"), prose("what", 12)), rows, 40)) == [
        "tool                  ms  what",
        "lookup…number  1,234,567  the quick bro…",
    ]


def test_columns_that_do_not_fit_go_below_with_the_first():
    """On a narrow screen nothing is lost: each part has the first column, its headers, and room on the line."""
    columns = (name("model"), number("calls"), number("p50 ms"), number("cost"), number("tokens"))
    rows = [
        ("gpt-4o-mini", "6", "79.2", "$0.00040", ""),
        ("x", "1", "1,234", "", ""),
        ("y", "", "", "", "12,345"),
    ]
    assert plain(table(columns, rows, 28, indent="  ")) == [
        "  model        calls  p50 ms",
        "  gpt-4o-mini      6    79.2",
        "  x                1   1,234",
        "  y",
        "",
        "  model            cost",
        "  gpt-4o-mini  $0.00040",
        "",
        "  model  tokens",
        "  y      12,345",
    ]


def test_a_table_of_two_columns_is_in_one_part():
    """What fits nowhere is wider than the screen, and stands there once."""
    rows = [("time", "1,234,567,890 ms")]
    assert plain(table((number("n"), number("took")), rows, 10)) == [
        "   n              took",
        "time  1,234,567,890 ms",
    ]


def test_a_long_table_is_in_one_part():
    """A table that streams does not wait for its end, however narrow the screen."""
    rows = [("1", "2", "3" * 40)] * 600
    assert len(plain(table((number("a"), number("b"), number("c")), rows, 20))) == 601


WORDS = st.text(st.characters(categories=["L", "N", "Zs", "Cc", "So", "Mn"]), max_size=60)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=8))
def test_no_row_is_wider_than_the_screen(rows):
    """Whatever stands in the cells, wide characters and controls too, a row fits and stays one line."""
    columns = (name("a", 8), prose("b", 8), prose("c", 8))
    for row in plain(table(columns, rows, 40)):
        assert cell_len(row) <= 40
        assert "\n" not in row


def test_rows_after_the_measured_ones_are_cut_to_fit():
    """A long table streams: its widths are set by the first rows."""
    rows = [("short",)] * 600 + [("a very long name indeed",)]
    assert plain(table((name("n", 4),), rows, 80))[-1] == "a …ed"


def test_a_number_after_the_measured_rows_is_never_cut():
    """The table goes on wider from the first row that needs it."""
    rows = [("1", "x" * 30)] * 600 + [("1,234,567", "y" * 30), ("2", "z" * 30)]
    shown = plain(table((number("n"), prose("what", 4)), rows, 24))
    assert shown[-3:] == ["1  xxxxxxxxxxxxxxxxxxxx…", "1,234,567  yyyyyyyyyyyy…", "        2  zzzzzzzzzzzz…"]


def test_a_column_that_is_filled_late_is_not_lost():
    """A column that was left out comes with a new header when a row has something in it."""
    rows = [("a", "")] * 600 + [("b", "$1.00"), ("c", "")]
    assert plain(table((name("name"), number("cost")), rows, 40))[-4:] == [
        "a",
        "name   cost",
        "b     $1.00",
        "c",
    ]


def test_a_long_table_leaves_room_for_its_numbers():
    """The room a column asks for is kept where not all rows were measured, and only there."""
    columns = (Column("n", align="right", room=4), name("name"))
    rows = [(str(place), "x") for place in range(1, 1001)]
    assert plain(table(columns, rows, 40))[-2:] == [" 999  x", "1000  x"]
    assert plain(table(columns, rows[:3], 40)) == ["n  name", "1  x", "2  x", "3  x"]


def test_data_is_cleaned_and_styles_stay():
    """A string is data and is cleaned; a text keeps its style."""
    rows = list(table((Column("a"), Column("b")), [("\x1b[31m", Text("x", "red"))], 80))
    assert rows[1].plain == "^[[31m  x"
    assert any(span.style == "red" for span in rows[1].spans)


def test_pairs_align_their_values_and_leave_out_empty_ones():
    """Labels and values; what has no value is not there."""
    assert plain(pairs([("status", "failed"), ("cost", ""), ("took", "5 ms")], 80, indent="  ")) == [
        "  status  failed",
        "  took    5 ms",
    ]
