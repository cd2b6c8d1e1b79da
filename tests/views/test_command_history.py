"""The history of typed lines."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from namel3ss_debug.views import prompt
from namel3ss_debug.views.prompt import append_history, history_file, read_history


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
    append_history(path, "break tool")
    append_history(path, "n\n\n  p inputs\n")
    append_history(path, "search a\u2028b\x0cc")
    assert read_history(path) == ["break tool", "n ;; p inputs", "search a\u2028b\x0cc"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_cannot_be_read_or_written_is_passed_over(tmp_path):
    """A folder in the place of the file, or a file in the place of the folder, keeps nothing and says nothing."""
    (tmp_path / "history").mkdir()
    append_history(tmp_path / "history", "next")
    assert read_history(tmp_path / "history") == []
    (tmp_path / "file").write_text("")
    append_history(tmp_path / "file" / "history", "next")
    assert read_history(tmp_path / "file" / "history") == []


def test_a_long_history_loses_its_oldest_lines(tmp_path, monkeypatch):
    """Past its size the file is written anew with the latest lines."""
    monkeypatch.setattr(prompt, "MOST_BYTES", 100)
    monkeypatch.setattr(prompt, "MOST_LINES", 5)
    path = tmp_path / "history"
    for place in range(40):
        append_history(path, f"goto {place:03}")
    assert read_history(path)[-1] == "goto 039"
    assert path.stat().st_size < 150
    assert [found.name for found in tmp_path.iterdir()] == ["history"]


@pytest.mark.parametrize("text", ['p "\ud800"', 'p "漢字"'])
def test_any_text_can_be_kept(tmp_path, text):
    """What no encoding holds is replaced, and the line is kept."""
    append_history(tmp_path / "history", text)
    assert len(read_history(tmp_path / "history")) == 1
