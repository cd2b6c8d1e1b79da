"""Tests of what data files hold without comments and layout."""

from __future__ import annotations

import pytest

from namel3ss_debug.traces.data_formats import is_reducible, reduce


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("a.toml", "# ct/kWh\n[green]\n\nprice = 1\n", "[green]\nprice = 1\n"),
        ("a.yaml", "# of today\ngreen:\n  # ct\n  price: 1\n", "green:\n  price: 1\n"),
        ("a.ini", "[fees]\n; a month\nmeter = 1\n", "[fees]\nmeter = 1\n"),
        (
            "a.sql",
            "-- on a Monday\nCREATE TABLE a (b);\n\n-- rows\nINSERT;\n",
            "CREATE TABLE a (b);\nINSERT;\n",
        ),
        ("a.json", '{"a": 1,\n "b": [2]}', '{"a":1,"b":[2]}'),
    ],
)
def test_comments_and_layout_are_left_out(name, one, other):
    """Of the formats that are known."""
    assert is_reducible(name)
    assert reduce(name, one.encode()) == reduce(name, other.encode())


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("a.toml", 'a = """\n# one\n"""\n', 'a = """\n# two\n"""\n'),
        ("a.yaml", "a: |\n  # one\n", "a: |\n  # two\n"),
        ("a.yaml", "a: 'x\n\n  y'\n", "a: 'x\n  y'\n"),
        ("a.sql", "CREATE TABLE a (\n-- one\nb);\n", "CREATE TABLE a (\n-- two\nb);\n"),
        ("a.sql", "INSERT INTO a VALUES (';\n-- one\n');\n", "INSERT INTO a VALUES (';\n-- two\n');\n"),
        ("a.json", '{"a": 1}', '{"a": 1.0}'),
        ("a.json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
        ("a.json", "{", "{ "),
    ],
)
def test_contents_are_kept(name, one, other):
    """Also lines of texts that look like comments, comments that SQLite keeps, and what cannot be parsed."""
    assert reduce(name, one.encode()) != reduce(name, other.encode())
    assert not is_reducible("a.csv")
