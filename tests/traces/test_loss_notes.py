"""Events that a full disk cost are counted in the file itself, even if there is never room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from namel3ss_debug.traces.loss_notes import (
    ROOM,
    LossNote,
    add_room,
    note_of,
    parse_note,
    read_note,
    write_note,
)
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import find_trace, list_traces

HEADER = b'{"event_type":"trace_start","event_id":"1","seq":0}'

PROGRAM = """
import os, resource, signal, sys
from pathlib import Path
from namel3ss_debug import initialize_tracing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tracer = initialize_tracing(trace_output_dir=sys.argv[1], rotate_max_bytes=int(sys.argv[3]))
def emit(count):
    for n in range(count):
        tracer.emit("decision", component="agent", component_name=f"{n:05} {'x' * 200}")
emit(50)
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (tracer.writer._path.stat().st_size + 700, -1))
else:
    filler = open(sys.argv[2], "wb", buffering=0)
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
emit(3000)
print(tracer.writer.next_seq, tracer.writer.dropped, flush=True)
exec(sys.argv[4])
"""


def run(folder, full, *, rotation=0, end="", status=0):
    """Run a program whose disk gets full; return how many numbers it gave out and how many events it dropped."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), full, str(rotation), end],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1
    return map(int, done.stdout.split())


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 256 KB; skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def assert_counted(folder, given, dropped, reason, status):
    """Check that a reader finds each event or counts it, and knows why it is not there and how the run ended."""
    trace = open_trace(find_trace(None, folder))
    read = sum(1 for _ in trace.events())
    assert read + trace.lost in (given, given + 1)  # a trace_end, where the program wrote one
    document = trace.problems_document()
    assert document["dropped_events"] - dropped in (0, 1)
    assert document["dropped_because"] == [reason]
    assert not [kind for kind in document["kinds"] if kind == "not an event"]
    (info,) = list_traces(folder)
    assert (info.status, info.dropped) == (status, document["dropped_events"])
    assert info.dropped_because == (reason,)


@pytest.mark.parametrize("rotation", [0, 10_000])
def test_a_disk_that_stays_full_hides_no_loss(small_disk, rotation):
    """On a real file system without room, the number, the reason and the end of the run are in the trace."""
    traces = small_disk / "traces"
    given, dropped = run(traces, str(small_disk / "filler"), rotation=rotation)
    assert dropped > 2500
    assert_counted(traces, given, dropped, "no space left on device", "finished")


@pytest.mark.parametrize(
    ("end", "ended", "status"),
    [("sys.exit(3)", 3, "finished"), ("os._exit(0)", 0, "killed"), ("os.kill(os.getpid(), 9)", -9, "killed")],
)
def test_a_file_that_may_not_grow_hides_no_loss(tmp_path, end, ended, status):
    """A limit of the size of files costs events, which are counted; only a run that was killed is called so."""
    given, dropped = run(tmp_path / "traces", "limit", end=end, status=ended)
    assert dropped > 2900
    assert_counted(tmp_path / "traces", given, dropped, "file too large", status)


def test_events_after_a_full_disk_are_read_and_the_loss_stays_known(tmp_path):
    """Where there is room again, recording goes on, and both the gap and the reason are there."""
    end = "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1)); emit(20)"
    given, dropped = run(tmp_path / "traces", "limit", end=end)
    trace = open_trace(find_trace(None, tmp_path / "traces"))
    events = list(trace.events())
    assert events[-1]["event_type"] == "trace_end"
    assert len(events) + trace.lost == given + 21
    assert trace.problems_document()["dropped_events"] == dropped


def test_a_note_is_a_line_of_its_own_for_every_json_reader(tmp_path):
    """The header stays as it was, and no line is blank or broken."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(add_room(HEADER) + b'{"event_type":"decision","seq":1}\n')
    size = path.stat().st_size
    assert read_note(path) == (HEADER, None)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for dropped in (1, 22_191):
        assert write_note(path, descriptor, HEADER, LossNote(dropped, dropped + 5, 28, True, 0))
        header, note, event = path.read_bytes().splitlines()
        assert header == HEADER
        assert json.loads(note) == {
            "dropped": dropped,
            "next_seq": dropped + 5,
            "error": "ENOSPC",
            "ended": True,
            "exit_status": 0,
        }
        assert parse_note(note) == LossNote(dropped, dropped + 5, 28, True, 0)
        assert (json.loads(event)["seq"], path.stat().st_size) == (1, size)
        assert read_note(path) == (HEADER, parse_note(note))
    os.close(descriptor)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"seq":1}\n',
        HEADER + b" " * (ROOM - 1) + b"\n",
        HEADER + b"\n" + b'{"event_type":"x"}' + b" " * ROOM,
    ],
)
def test_no_event_is_overwritten_where_others_have_changed_the_file(tmp_path, content):
    """A note goes nowhere but into its room."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    assert not write_note(path, descriptor, HEADER, LossNote(1, 1, 28))
    os.close(descriptor)
    assert path.read_bytes() == content
    assert not write_note(path, 999, HEADER, LossNote(1, 1, 28))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"dropped": 1},
        {"dropped": -1, "next_seq": 2},
        {"dropped": True, "next_seq": 2},
        {"dropped": 1, "next_seq": 2, "event_type": "x"},
        {"dropped": 1, "next_seq": 1 << 80},
    ],
)
def test_what_is_no_note_is_not_taken_for_one(value):
    """Foreign lines stay problems of reading."""
    assert note_of(value) is None


def test_the_longest_note_fits_its_room():
    """Numbers of fifteen digits and the longest name of an error."""
    from namel3ss_debug.traces import loss_notes

    note = LossNote(10**15 - 1, 10**15 - 1, 122, True, -255)
    assert len(loss_notes._to_json(note)) < ROOM
