"""The end of a program that did not write it."""

from __future__ import annotations

import errno
import os
import resource
import signal

import pytest

from namel3ss_debug.traces.late_ends import write_late_end
from namel3ss_debug.traces.loss_notes import LossNote, read_note
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import ending, trace_files
from namel3ss_debug.traces.writer import TraceWriter


def header(process, segment, seq):
    """The first line of a segment."""
    metadata = {"format": 2, "process": process, "segment": segment, "first_seq": seq}
    return {
        "event_type": "trace_start",
        "event_id": None,
        "seq": seq,
        "timestamp": 100.0,
        "execution_id": "e1",
        "session_id": "s1",
        "component": "app",
        "metadata": metadata,
    }


@pytest.fixture
def recording(tmp_path):
    """Writes a recording of one process with these types of events, as one whose writer is gone; its first file."""

    def make(*types, **settings):
        writer = TraceWriter(tmp_path / "a.jsonl", first_process=True, header=header, **settings)
        for event_type in types:
            event = {"event_type": event_type, "timestamp": 4e9, "execution_id": "e1", "session_id": "s1"}
            writer.append(event | {"component": "app", "metadata": {"n": "x" * 200}})
        writer.close()
        return tmp_path / "a.jsonl"

    return make


def test_the_end_follows_the_last_event_with_the_status_alone(recording):
    """It has the next number, is no earlier, and belongs to the same execution and session; the run counts as finished."""
    path = recording("performance_marker")
    write_late_end(path, 9)
    *_, last, end = open_trace(path).events()
    assert end == {
        "event_type": "trace_end",
        "event_id": "3",
        "seq": 2,
        "timestamp": last["timestamp"],
        "execution_id": "e1",
        "session_id": "s1",
        "component": "app",
        "metadata": {"exit_status": 9},
    }
    assert ending(trace_files(path)) == "finished"
    assert not open_trace(path).lost


def test_the_end_stands_in_the_last_segment(recording):
    """Of a recording in several files."""
    path = recording(*["performance_marker"] * 9, rotate_max_bytes=1000)
    write_late_end(path, 0)
    files = trace_files(path)[0].files
    assert len(files) > 1
    assert files[-1].read_bytes().splitlines()[-1].startswith(b'{"event_type":"trace_end"')
    assert [event["seq"] for event in open_trace(path).events()] == [*range(open_trace(path).count())]


@pytest.mark.parametrize(
    ("types", "status"),
    [
        (["trace_end"], 0),
        (["trace_end", "performance_marker"], 0),
        (["performance_marker"], -9),
    ],
)
def test_what_has_an_end_or_was_killed_is_left_as_it_is(recording, types, status):
    """A thread may come to a last event behind the end; a signal is no end of the program's own."""
    path = recording(*types)
    before = path.read_bytes()
    write_late_end(path, status)
    assert path.read_bytes() == before


def test_a_program_that_the_debugger_stopped_is_not_killed(recording):
    """It ended by a signal, but the end says who sent it; it has no exit status of its own."""
    path = recording("performance_marker")
    write_late_end(path, -15, "the debugger")
    *_, end = open_trace(path).events()
    assert end["metadata"] == {"stopped_by": "the debugger"}
    assert ending(trace_files(path)) == "finished"


def test_a_full_disk_does_not_hide_that_the_run_ended(recording):
    """Where the end has no room, it is noted beside the header, and the file is otherwise as before."""
    path = recording("performance_marker")
    before = path.read_bytes()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, -1))
        write_late_end(path, 7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert read_note(path)[1] == LossNote(1, 3, errno.EFBIG, ended=True, exit_status=7)
    assert len(path.read_bytes()) == len(before)
    assert ending(trace_files(path)) == "finished"
    trace = open_trace(path)
    assert (len(list(trace.events())), trace.lost) == (2, 1)
