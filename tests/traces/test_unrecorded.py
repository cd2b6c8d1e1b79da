"""Marks of processes that could not record."""

from __future__ import annotations

import json

from namel3ss_debug.traces.unrecorded import remove_marks, take_marks, unrecorded_path


def test_marks_are_told_once_and_only_those_of_the_run(tmp_path):
    """Marks of an older recording with the name are dropped, and so is what is none."""
    first = tmp_path / "t.jsonl"
    assert take_marks(first, "e1") == []
    rows = [["e0", "/old/python", "x"], ["e1", "/a/python", "No module named 'wrapt'"], ["e1"], 7]
    unrecorded_path(first).write_text("".join(json.dumps(row) + "\n" for row in rows) + "{")
    (told,) = take_marks(first, "e1")
    assert told.startswith(
        "a process of /a/python was not recorded (No module named 'wrapt'): install namel3ss-debug"
    )
    assert list(tmp_path.iterdir()) == []


def test_marks_go_with_their_trace(tmp_path):
    """Also where there are none."""
    first = tmp_path / "t.jsonl"
    unrecorded_path(first).touch()
    for _ in range(2):
        remove_marks(first)
        assert not unrecorded_path(first).exists()


def test_a_link_in_place_of_the_marks_is_not_read(tmp_path):
    """What it leads to is not ours."""
    (tmp_path / "other").write_text('["e1", "/a/python", "x"]\n')
    unrecorded_path(tmp_path / "t.jsonl").symlink_to(tmp_path / "other")
    assert take_marks(tmp_path / "t.jsonl", "e1") == []
