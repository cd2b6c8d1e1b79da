"""The history of typed lines."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from namel3ss_debug.views import commandlines
from namel3ss_debug.views.commandlines import history_file, keep_line, kept_lines


def test_the_file_is_in_the_users_state_folder(monkeypatch, tmp_path):
    """XDG_STATE_HOME says where; without it, or where it is relative, it is below the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert history_file() == tmp_path / "state/namel3ss-debug/history"
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", given)
        assert history_file() == tmp_path / "home/.local/state/namel3ss-debug/history"


def test_without_a_home_nothing_is_kept(monkeypatch):
    """A user that the system does not know has no file, and that is no mistake."""

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert history_file() is None


def test_lines_are_kept_for_their_owner_alone(tmp_path):
    """File and folder are closed to others, and a pasted block is one line that does the same; only a line feed ends a line."""
    path = tmp_path / "state" / "history"
    keep_line(path, "break tool")
    keep_line(path, "n\n\n  p inputs\n")
    keep_line(path, "search a\u2028b\x0cc")
    assert kept_lines(path) == ["break tool", "n ;; p inputs", "search a\u2028b\x0cc"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_cannot_be_read_or_written_is_passed_over(tmp_path):
    """A folder in the place of the file, or a file in the place of the folder, keeps nothing and says nothing."""
    (tmp_path / "history").mkdir()
    keep_line(tmp_path / "history", "next")
    assert kept_lines(tmp_path / "history") == []
    (tmp_path / "file").write_text("")
    keep_line(tmp_path / "file" / "history", "next")
    assert kept_lines(tmp_path / "file" / "history") == []


def test_a_long_history_loses_its_oldest_lines(tmp_path, monkeypatch):
    """Past its size the file is written anew with the latest lines."""
    monkeypatch.setattr(commandlines, "MOST_BYTES", 100)
    monkeypatch.setattr(commandlines, "KEPT_LINES", 5)
    path = tmp_path / "history"
    for place in range(40):
        keep_line(path, f"goto {place:03}")
    assert kept_lines(path)[-1] == "goto 039"
    assert path.stat().st_size < 150
    assert [found.name for found in tmp_path.iterdir()] == ["history"]


@pytest.mark.parametrize("text", ['p "\ud800"', 'p "漢字"'])
def test_any_text_can_be_kept(tmp_path, text):
    """What no encoding holds is replaced, and the line is kept."""
    keep_line(tmp_path / "history", text)
    assert len(kept_lines(tmp_path / "history")) == 1
