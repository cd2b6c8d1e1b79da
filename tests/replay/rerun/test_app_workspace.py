"""What a namel3ss app needs to run again."""

from __future__ import annotations

from pathlib import Path

from namel3ss_debug.replay.rerun.preparation import (
    SNAPSHOT_FILE,
    find_memory,
    is_memory_at_start,
    make_workspace,
)

START = {
    "event_type": "memory_operation",
    "metadata": {"operation": "restore"},
    "outputs": {"snapshot": "{}"},
}
READ = {"event_type": "memory_operation", "metadata": {"operation": "read"}, "outputs": {"snapshot": "no"}}


def test_the_memory_at_the_start_is_told_by_one_event():
    """Reads and writes are none; a recording without it begins with nothing."""
    assert is_memory_at_start(START)
    assert not is_memory_at_start(READ)
    assert find_memory([READ, START]) == "{}"
    assert find_memory([READ]) is None
    assert find_memory([{**START, "outputs": {"snapshot": 3}}]) is None


def test_each_run_has_a_folder_of_its_own(tmp_path):
    """With the memory in it where there is any, and for its user alone."""
    first, second = Path(make_workspace(tmp_path, "{}")), Path(make_workspace(tmp_path, None))
    assert first != second
    assert (first / SNAPSHOT_FILE).read_text() == "{}"
    assert not list(second.iterdir())
    assert first.stat().st_mode & 0o077 == 0
