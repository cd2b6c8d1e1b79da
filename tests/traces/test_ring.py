"""Rings of traces that early builds made: readers find what they hold."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading

import orjson
import pytest

from namel3ss_debug.traces import ring as rings
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.ring import FIRST, ring_path
from namel3ss_debug.traces.store import clean, list_traces

NAME = "trace_20260101_000000_0123abcd.jsonl"


def line(seq, event_type="decision", **fields):
    """The line of an event."""
    row = {"event_type": event_type, "event_id": str(seq + 1), "seq": seq, "timestamp": 1.0}
    return orjson.dumps(row | {"execution_id": "0123abcd00000000", "component": "app"} | fields) + b"\n"


def texts(path):
    """What the events of a trace say, header aside."""
    return [one["error"] for one in open_trace(path).events() if "error" in one]


def in_file(path):
    """How many lines the file itself has."""
    return path.read_bytes().count(b"\n")


def left_behind(tmp_path, count=3):
    """A trace whose writer has died with events in its ring."""
    folder = tmp_path / "left"
    folder.mkdir()
    path = folder / NAME
    written = line(0, "trace_start", metadata={"format": 1}) + line(1, error="x")
    path.write_bytes(written)
    rest = b"".join(line(number + 2, error=str(number)) for number in range(count))
    begins = written[: rings.BEGINS]
    numbers = rings._NUMBERS.pack(rings._MAGIC, len(written), len(written) + len(rest), len(begins))
    ring_path(path).write_bytes((numbers + begins).ljust(FIRST, b"\0") + rest.ljust(rings.SIZE, b"\0"))
    return path


def test_a_reader_sees_what_is_in_the_ring_of_a_writer_that_goes_on(tmp_path):
    """It is read, counted and found by number, and nothing is moved while the writer holds its file."""
    path = left_behind(tmp_path)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        trace = open_trace(path)
        assert [one.get("error") for one in trace.events()][-3:] == ["0", "1", "2"]
        assert (trace.count(), trace.event(5)["error"]) == (5, "2")
        assert in_file(path) == 2


def test_what_a_dead_writer_left_is_completed_on_opening(tmp_path):
    """The rest is brought into the segment once, and the ring is gone; the time of the last change stays."""
    path = left_behind(tmp_path)
    lines, changed = in_file(path), path.stat().st_mtime_ns
    assert texts(path)[-3:] == ["0", "1", "2"]
    assert in_file(path) == lines + 3
    assert path.stat().st_mtime_ns == changed
    assert not ring_path(path).exists()
    assert texts(path)[-3:] == ["0", "1", "2"]


def test_listing_completes_too(tmp_path):
    """The list counts every event of a program that was killed."""
    path = left_behind(tmp_path)
    assert [(info.status, info.events) for info in list_traces(path.parent)] == [("killed", 5)]


def test_a_segment_that_was_written_in_part_is_continued(tmp_path):
    """A kill in the middle of a spill: the ring goes on at the very byte."""
    path = left_behind(tmp_path)
    base, head = rings._NUMBERS.unpack(ring_path(path).read_bytes()[: rings._NUMBERS.size])[1:3]
    data = ring_path(path).read_bytes()[FIRST : FIRST + head - base]
    whole = path.read_bytes() + data
    for cut in (1, 70, len(data) // 2, len(data) - 1):
        folder = tmp_path / str(cut)
        shutil.copytree(path.parent, folder)
        with (folder / path.name).open("ab") as file:
            file.write(data[:cut])
        open_trace(folder / path.name)
        assert (folder / path.name).read_bytes() == whole


def test_two_that_open_at_once_complete_once(tmp_path):
    """Many readers in many threads: no event twice, none missing."""
    path = left_behind(tmp_path, count=500)
    found = []
    threads = [threading.Thread(target=lambda: found.append(texts(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["x", *map(str, range(500))]] * 8
    assert in_file(path) == 502


def test_what_may_not_be_written_to_is_read_all_the_same(tmp_path, monkeypatch):
    """In a read-only folder the rest is taken from the ring, each time."""
    path = left_behind(tmp_path)

    class ReadOnly:
        def __getattr__(self, name):
            return getattr(os, name)

        def open(self, name, flags):
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise PermissionError(13, "Permission denied")
            return os.open(name, flags)

    monkeypatch.setattr(rings, "os", ReadOnly())
    for _ in range(2):
        trace = open_trace(path)
        assert [one.get("error") for one in trace.events()][-3:] == ["0", "1", "2"]
        assert (trace.count(), trace.event(5)["error"]) == (5, "2")
    assert ring_path(path).exists()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda data: b"something else" + data[14:], "not one of ours"),
        (lambda data: data[:200] + b"?" + data[201:], "another trace"),
        (lambda data: data[:16] + b"\xff" * 8 + data[24:], "damaged"),
        (lambda data: data[:24] + b"\xff" * 8 + data[32:], "not one of ours"),
    ],
)
def test_a_file_that_is_no_ring_of_this_recording_is_left_out(tmp_path, damage, named):
    """It is named once as a problem, never read, never removed."""
    path = left_behind(tmp_path)
    ring = ring_path(path)
    ring.write_bytes(damage(ring.read_bytes()))
    trace = open_trace(path)
    assert [one.get("error") for one in trace.events()] == [None, "x"]
    assert [problem.line for problem in trace.problems.first] == [0]
    assert named in trace.problems.first[0].what
    assert ring.exists()


@pytest.mark.parametrize("size", [0, 10, 100, FIRST, FIRST + 50])
def test_a_ring_that_was_never_begun_or_is_cut_holds_nothing(tmp_path, size):
    """A program that died while it made its ring, or a copy that broke off, costs no more than what is not there."""
    path = left_behind(tmp_path)
    os.truncate(ring_path(path), size)
    assert texts(path)[0] == "x"


def test_a_ring_that_is_a_pipe_or_a_link_does_no_harm(tmp_path):
    """Nothing hangs and nothing is followed."""
    path = left_behind(tmp_path)
    ring = ring_path(path)
    ring.unlink()
    os.mkfifo(ring)
    assert texts(path) == ["x"]
    ring.unlink()
    ring.symlink_to(path)
    assert texts(path) == ["x"]


def test_cleaning_removes_rings_with_their_recordings(tmp_path):
    """And those whose recording somebody has removed by hand; anything else of that name stays."""
    path = left_behind(tmp_path)
    folder = path.parent
    lone = folder / ".trace_20250101_000000_0123abcd.jsonl.ring"
    shutil.copy(ring_path(path), lone)
    foreign = folder / ".trace_20250101_000000_ffffffff.jsonl.ring"
    foreign.write_bytes(b"not ours")
    other = folder / ".notes.jsonl.ring"
    shutil.copy(ring_path(path), other)
    newest = folder / "trace_20270101_000000_00000000.jsonl"
    newest.write_bytes(path.read_bytes())
    os.utime(path, (0, 0))
    rings.ring_path(path).touch()
    removed = clean(folder, days=1, max_bytes=None, now=10.0**9)
    assert [info.path for info in removed] == [path]
    assert sorted(folder.iterdir()) == sorted([foreign, other, newest])
