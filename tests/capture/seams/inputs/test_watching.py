"""Which line prints what and which opens a file, as far as somebody asks."""

from __future__ import annotations

import io
import sqlite3
import sys

import pytest

from namel3ss_debug.capture.seams.inputs.watching import watch_files, watch_output


def test_each_line_of_output_is_told_once_with_the_frame_that_began_it(monkeypatch):
    """The text arrives unchanged, and afterwards the stream is as it was."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    told = []
    (put_back,) = watch_output(lambda number, frame: told.append((number, frame.f_code.co_name)))
    print("one", "two")
    print("three\nfour")
    put_back()
    print("five")
    stream.flush()
    assert stream.buffer.getvalue() == b"one two\nthree\nfour\nfive\n"
    name = "test_each_line_of_output_is_told_once_with_the_frame_that_began_it"
    assert told == [(0, name), (1, name)]
    assert "write" not in vars(stream)


def test_a_stream_that_does_not_let_itself_be_watched_is_left_alone(monkeypatch):
    """As one without attributes of its own."""

    class Closed:
        __slots__ = ()

        def write(self, text):
            return len(text)

    monkeypatch.setattr(sys, "stdout", Closed())
    assert watch_output(lambda _number, _frame: None) == []


def test_files_are_told_by_path_and_by_what_for(tmp_path):
    """Files of the system are not; nothing is told any more when it is put back."""
    told = []
    (put_back,) = watch_files(lambda path, use, frame: told.append((path, use, frame.f_code.co_name)))
    path = tmp_path / "data.txt"
    for mode in ("w", "r", "a"):
        open(path, mode).close()
    with pytest.raises(FileNotFoundError):
        open(tmp_path / "no.txt")  # noqa: SIM115  (it does not open)
    open("/dev/null").close()
    put_back()
    open(path).close()
    name = "test_files_are_told_by_path_and_by_what_for"
    uses = ("written", "read", "written")
    assert told == [*((str(path), use, name) for use in uses), (str(tmp_path / "no.txt"), "missing", name)]


@pytest.mark.parametrize(
    ("database", "options", "file"),
    [
        ("a b.db", {}, "a b.db"),
        ("file:a%20b.db?mode=rwc", {"uri": True}, "a b.db"),
        (":memory:", {}, None),
        ("", {}, None),
        ("file:x?mode=memory&cache=shared", {"uri": True}, None),
    ],
)
def test_a_database_of_sqlite_is_a_file_that_is_read(tmp_path, monkeypatch, database, options, file):
    """One that is in memory alone is none."""
    monkeypatch.chdir(tmp_path)
    told = []
    (put_back,) = watch_files(lambda path, use, _frame: told.append((path, use)))
    sqlite3.connect(database, **options).close()
    put_back()
    assert told == ([] if file is None else [(str(tmp_path / file), "read")])


def test_what_goes_wrong_in_watching_does_not_reach_the_program(tmp_path):
    """The file opens all the same."""

    def opened(*_words):
        raise ValueError

    (put_back,) = watch_files(opened)
    (tmp_path / "data.txt").write_text("there")
    assert (tmp_path / "data.txt").read_text() == "there"
    put_back()
