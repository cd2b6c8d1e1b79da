"""The user's judgement of a run, beside its trace."""

import os
import shutil
import stat

import orjson
import pytest

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.marks import Mark, clear_mark, find_mark, mark_of, write_mark
from namel3ss_debug.traces.names import mark_path
from namel3ss_debug.traces.store import Kept, clean, list_traces

NOW = 1_763_720_100.0


def record(directory, id8="ab12cd34", suffix="", at=NOW):
    """Write a segment of a trace of ours, last changed at a time, and return its path."""
    path = directory / f"trace_20251121_101500_{id8}{suffix}.jsonl"
    start = {"event_type": "trace_start", "component": "app", "event_id": "1", "seq": 0, "timestamp": at}
    path.write_bytes(orjson.dumps(start | {"execution_id": id8 + "-rest", "metadata": {"format": 2}}) + b"\n")
    os.utime(path, (at, at))
    return path


def test_a_mark_is_kept_beside_the_trace_and_not_inside(tmp_path):
    """What was written is read again, from a private file; the trace has the same bytes as before."""
    trace = record(tmp_path)
    before = trace.read_bytes()
    written = write_mark(trace, Mark("bad", "wrong city", 7, NOW))
    assert mark_of(trace) == written == Mark("bad", "wrong city", 7, NOW, "ab12cd34-rest")
    assert trace.read_bytes() == before
    assert stat.S_IMODE(mark_path(trace).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".trace_20251121_101500_ab12cd34.mark.json",
        trace.name,
    ]
    assert [info.path for info in list_traces(tmp_path)] == [trace]


def test_a_later_mark_replaces_an_earlier_one_and_can_be_cleared(tmp_path):
    """There is one mark for a trace, or none."""
    trace = record(tmp_path)
    write_mark(trace, Mark("bad", "wrong city"))
    write_mark(trace, Mark("good"))
    assert mark_of(trace).describe() == "marked good"
    assert clear_mark(trace)
    assert mark_of(trace) is None
    assert not clear_mark(trace)


def test_every_file_of_a_trace_leads_to_its_mark(tmp_path):
    """The mark is that of the whole trace: of later segments and other processes as well."""
    first = record(tmp_path)
    child = record(tmp_path, suffix=".p1")
    second = record(tmp_path, suffix=".s1")
    write_mark(child, Mark("bad"))
    assert mark_of(first) == mark_of(second) == mark_of(child) is not None
    first.unlink()  # rotated away
    assert mark_of(second).judgement == "bad"


def test_a_mark_that_is_copied_to_another_trace_has_no_effect(tmp_path):
    """A mark names the run that it judges; beside another trace it is reported and ignored."""
    judged, other = record(tmp_path), record(tmp_path, "ffff0000")
    write_mark(judged, Mark("bad"))
    shutil.copy(mark_path(judged), mark_path(other))
    assert mark_of(other) is None
    assert "is of another run (ab12cd34), so it has no effect" in find_mark(other, "ffff0000-rest")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"judgement": "good"}',
        b'{"schema": "namel3ss-debug/mark/1", "judgement": "great"}',
        b" " * 100_000,
    ],
)
def test_a_file_that_holds_no_mark_is_reported_and_ignored(tmp_path, content):
    """A damaged or foreign file never judges a run."""
    trace = record(tmp_path)
    mark_path(trace).write_bytes(content)
    assert mark_of(trace) is None
    assert "not a mark" in find_mark(trace, "ab12cd34-rest")


def test_a_link_in_place_of_a_mark_is_not_followed(tmp_path):
    """Whoever can write to the folder cannot make the reader open another file."""
    trace = record(tmp_path)
    mark_path(trace).symlink_to("/dev/zero")
    assert mark_of(trace) is None
    assert "cannot be read" in find_mark(trace, "ab12cd34-rest")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to every folder")
def test_a_folder_that_cannot_be_written_to_gives_one_line(tmp_path):
    """Marking a trace in a read-only folder names the folder, the reason and what to do, and leaves no file."""
    trace = record(tmp_path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WrongUsageError, match=r"cannot be changed: Permission denied; .*copy the trace"):
            write_mark(trace, Mark("good"))
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == [trace]


def test_cleaning_removes_a_mark_with_its_trace_and_keeps_the_others(tmp_path):
    """A mark lives as long as its trace; one whose trace somebody else has removed goes as well."""
    old, new = record(tmp_path, "aaaa0000", at=NOW - 90 * 86400), record(tmp_path, "bbbb0000")
    gone = record(tmp_path, "cccc0000")
    for trace in (old, new, gone):
        write_mark(trace, Mark("good"))
    gone.unlink()
    clean(tmp_path, keep=lambda _: Kept(30), max_bytes=None, now=NOW)
    assert not old.exists()
    assert [path for path in tmp_path.iterdir() if path != new] == [mark_path(new)]


def test_a_mark_that_cannot_be_written_leaves_no_file_behind(tmp_path):
    """Where the name is taken by a folder, the error names the reason, and the temporary file is removed."""
    trace = record(tmp_path)
    mark_path(trace).mkdir()
    with pytest.raises(WrongUsageError, match=f"{tmp_path}: the mark cannot be changed: Is a directory"):
        write_mark(trace, Mark("good"))
    with pytest.raises(WrongUsageError, match="the mark cannot be changed"):
        clear_mark(trace)
    assert sorted(tmp_path.iterdir()) == [mark_path(trace), trace]
