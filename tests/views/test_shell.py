"""The transcript of a session."""

from __future__ import annotations

import stat

from rich.text import Text

from namel3ss_debug.replay.debugger.results import Message, Mistake, Save
from namel3ss_debug.views import shell as module
from namel3ss_debug.views.shell import Transcript


def filled():
    """A transcript of one command."""
    found = Transcript()
    found.add_command("(debug 1/8) ", "next\x1b[2J")
    assert [row.plain for row in found.add_all([Text("-> 2", "red")])] == ["-> 2"]
    return found


def test_a_session_is_saved_as_plain_text_for_its_owner(tmp_path):
    """Prompts, commands and answers stand in the file without colours or controls; others cannot read it."""
    path = tmp_path / "session.txt"
    assert filled().save(Save(str(path))) == Message(f"saved 2 lines in {path}")
    assert path.read_text() == "(debug 1/8) next^[[2J\n-> 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_a_file_of_this_session_is_replaced(tmp_path):
    """A file that was there stays as it is; one that this session wrote is written again."""
    (tmp_path / "there").write_text("mine")
    found = filled()
    assert found.save(Save(str(tmp_path / "there"))) == Mistake(
        f"{tmp_path / 'there'} exists already; give the name of a new file"
    )
    assert (tmp_path / "there").read_text() == "mine"
    found.save(Save(str(tmp_path / "new")))
    found.add("more")
    assert isinstance(found.save(Save(str(tmp_path / "new"))), Message)
    assert (tmp_path / "new").read_text().endswith("-> 2\nmore\n")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    """The reason is told, and the session goes on."""
    for file, why in (
        (tmp_path / "no" / "file", "No such file or directory"),
        ("a\0b", "embedded null"),
        ("~nobody of this name/file", "home directory"),
    ):
        answer = filled().save(Save(str(file)))
        assert isinstance(answer, Mistake)
        assert why in answer.text
        assert "\n" not in answer.text
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert isinstance(filled().save(Save(str(tmp_path / "link"))), Mistake)
    assert not (tmp_path / "target").exists()


def test_a_very_long_session_keeps_its_last_lines(tmp_path, monkeypatch):
    """Earlier lines are let go, and the file says how many."""
    monkeypatch.setattr(module, "MOST_LINES", 3)
    found = Transcript()
    for place in range(5):
        found.add(f"line {place}")
    found.save(Save(str(tmp_path / "file")))
    lines = (tmp_path / "file").read_text().splitlines()
    assert lines == ["... 2 earlier lines are left out", "line 2", "line 3", "line 4"]
