"""The ring: bursts are as safe in it as in the file, and readers find what it holds."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.cli.follow import Follower
from namel3ss_debug.traces import ring as rings
from namel3ss_debug.traces import writer as writers
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.ring import FIRST, HEAD, LAST, ring_path
from namel3ss_debug.traces.store import clean, find_trace, list_traces
from namel3ss_debug.traces.writer import TraceWriter

NAME = "trace_20260101_000000_0123abcd.jsonl"

SOON = "namel3ss_debug.traces.writer.BURST_RATE = 0.0; namel3ss_debug.traces.writer.BURST_EVENTS = 1"
"""In a program: any two events are a burst."""


def header(process, segment, seq):
    """A small `trace_start`."""
    return {
        "event_type": "trace_start",
        "event_id": None,
        "seq": 0,
        "timestamp": 1.0,
        "execution_id": "0123abcd00000000",
        "component": "app",
        "metadata": {"format": 1, "process": process, "segment": segment, "first_seq": seq},
    }


def event(text="x"):
    """An event that has room for its number."""
    return {
        "event_type": "decision",
        "event_id": None,
        "seq": 0,
        "timestamp": 1.0,
        "component": "app",
        "error": text,
    }


@pytest.fixture
def soon(monkeypatch):
    """Any two events are a burst, and what stands in the ring may stay there."""
    monkeypatch.setattr(writers, "BURST_EVENTS", 1)
    monkeypatch.setattr(writers, "BURST_RATE", 0.0)
    monkeypatch.setattr(writers, "SPILL_SECONDS", 3600.0)


@pytest.fixture
def make(tmp_path, soon):
    """Make writers that use their ring from the first event on; closed after the test."""
    made = []

    def writer(name=NAME, **settings):
        made.append(TraceWriter(tmp_path / name, **{"first_process": True, "header": header, **settings}))
        made[-1].append(event())
        return made[-1]

    yield writer
    for one in made:
        one.close()


def texts(path):
    """What the events of a trace say, header aside."""
    return [one["error"] for one in open_trace(path).events() if "error" in one]


def in_file(path):
    """How many lines the file itself has."""
    return path.read_bytes().count(b"\n")


def left_behind(tmp_path, make, count=3):
    """A recording whose writer has died with events in its ring: copies of both files."""
    writer = make()
    for number in range(count):
        writer.append(event(str(number)))
    folder = tmp_path / "left"
    folder.mkdir()
    for path in (writer.first, ring_path(writer.first)):
        shutil.copy2(path, folder)
    return folder / writer.first.name


def test_a_slow_program_has_no_ring(tmp_path):
    """Without a burst each event is a write to the file."""
    writer = TraceWriter(tmp_path / NAME, first_process=True, header=header)
    for _ in range(writers.BURST_EVENTS - 2):
        writer.append(event())
    assert in_file(writer.first) == writers.BURST_EVENTS - 1
    assert not ring_path(writer.first).exists()
    writer.close()


def test_a_burst_goes_through_the_ring_and_leaves_nothing_behind(make):
    """The events stand in a private hidden file, count as recorded, and are in the segment after a flush."""
    writer = make()
    before = in_file(writer.first)
    for number in range(5):
        writer.append(event(str(number)))
    assert in_file(writer.first) == before
    assert stat.S_IMODE(ring_path(writer.first).stat().st_mode) == 0o600
    events, size = writer.events, writer.size
    writer.flush()
    assert not ring_path(writer.first).exists()
    assert (in_file(writer.first), writer.first.stat().st_size) == (events, size) == (7, writer.size)


def test_the_next_event_after_a_while_brings_the_burst_into_the_file(make, monkeypatch):
    """When it is due, an event first spills the ring; events that come slowly do without it."""
    writer = make()
    writer.append(event("burst"))
    writer._ring.due = 0.0
    writer._measured = (writer._measured[0], writer._measured[1] - 3600)
    monkeypatch.setattr(writers, "BURST_RATE", 5000.0)
    monkeypatch.setattr(writers, "BURST_EVENTS", 32)
    writer.append(event("later"))
    assert in_file(writer.first) == 4
    assert writer._ring is None
    assert not ring_path(writer.first).exists()


def test_a_ring_that_is_half_full_is_spilled(make):
    """What a ring holds is bounded, and every event is there in the end."""
    writer = make()
    for number in range(3000):
        writer.append(event(f"{number} {'y' * 300}"))
        assert writer._ring.at <= LAST
    assert in_file(writer.first) > 2000
    writer.flush()
    assert [text.split()[0] for text in texts(writer.first)[1:]] == list(map(str, range(3000)))


def test_a_program_may_close_all_descriptors(make, capfd):
    """What stands in the ring comes into the segment all the same."""
    writer = make()
    for number in range(3):
        writer.append(event(str(number)))
    os.close(writer._fd)
    writer.close()
    assert texts(writer.first) == ["x", "0", "1", "2"]
    assert (in_file(writer.first), writer.dropped, capfd.readouterr().err) == (5, 0, "")


def test_an_event_larger_than_the_ring_is_written_by_itself(make):
    """Order and content are as without a ring."""
    writer = make()
    sizes = [10, rings.SIZE // 2, rings.SIZE + 10, 20, 3 * rings.SIZE, 30]
    for size in sizes:
        writer.append(event("z" * size))
    writer.close()
    assert [len(text) for text in texts(writer.first)[1:]] == sizes
    assert writer.dropped == 0


def test_segments_are_as_without_a_ring(make):
    """A segment ends behind the event that fills it, and the next begins with its header."""
    files = {}
    for bursts in (True, False):
        TraceWriter.bursts, kept = bursts, TraceWriter.bursts
        try:
            writer = make(f"{bursts}.jsonl", rotate_max_bytes=2000)
            for number in range(100):
                writer.append(event(str(number)))
            writer.close()
        finally:
            TraceWriter.bursts = kept
        files[bursts] = [path.read_bytes() for path in open_trace(writer.first).files]
    assert len(files[True]) > 5
    assert files[True] == files[False]


def test_a_reader_sees_every_event_that_was_acknowledged(make):
    """While the program runs, what stands in the ring is read, counted, found by number, and followed."""
    writer = make()
    trace, follower = open_trace(writer.first), Follower(writer.first)
    for number in range(2000):
        writer.append(event(str(number)))
        if number % 400 == 3:
            assert texts(writer.first)[-1] == str(number)
            assert trace.count() == number + 3
            assert trace.event(number + 3)["error"] == str(number)
            assert list(follower.events())[-1]["error"] == str(number)
    assert writer._ring is not None
    writer.close()
    assert not list(open_trace(writer.first).problems.first)
    follower.close()


def test_following_shows_each_event_once(make):
    """From the ring or from the file, in order, across spills and rings that come and go."""
    writer = make()
    follower, seen = Follower(writer.first), []
    for number in range(3000):
        writer.append(event(str(number)))
        if number % 7 == 0:
            seen += follower.events()
        if number % 500 == 0:
            writer.flush()
    seen += follower.events()
    follower.close()
    assert [one["seq"] for one in seen] == list(range(3002))


def test_what_a_dead_writer_left_is_completed_on_opening(tmp_path, make):
    """The rest is brought into the segment once, and the ring is gone; the time of the last change stays."""
    path = left_behind(tmp_path, make)
    lines, changed = in_file(path), path.stat().st_mtime_ns
    assert texts(path)[-3:] == ["0", "1", "2"]
    assert in_file(path) == lines + 3
    assert path.stat().st_mtime_ns == changed
    assert not ring_path(path).exists()
    assert texts(path)[-3:] == ["0", "1", "2"]


def test_listing_completes_too(tmp_path, make):
    """The list counts every event of a program that was killed."""
    path = left_behind(tmp_path, make)
    assert [(info.status, info.events) for info in list_traces(path.parent)] == [("killed", 5)]


def test_a_segment_that_was_written_in_part_is_continued(tmp_path, make):
    """A kill in the middle of a spill: the ring goes on at the very byte."""
    path = left_behind(tmp_path, make)
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


def test_two_that_open_at_once_complete_once(tmp_path, make):
    """Many readers in many threads: no event twice, none missing."""
    path = left_behind(tmp_path, make, count=500)
    found = []
    threads = [threading.Thread(target=lambda: found.append(texts(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["x", *map(str, range(500))]] * 8
    assert in_file(path) == 502


def test_what_may_not_be_written_to_is_read_all_the_same(tmp_path, make, monkeypatch):
    """In a read-only folder the rest is taken from the ring, each time."""
    path = left_behind(tmp_path, make)

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
        (lambda data: data[:200] + b"?" + data[201:], "another recording"),
        (lambda data: data[:16] + b"\xff" * 8 + data[24:], "damaged"),
        (lambda data: data[:24] + b"\xff" * 8 + data[32:], "not one of ours"),
    ],
)
def test_a_file_that_is_no_ring_of_this_recording_is_left_out(tmp_path, make, damage, named):
    """It is named once as a problem, never read, never removed."""
    path = left_behind(tmp_path, make)
    ring = ring_path(path)
    ring.write_bytes(damage(ring.read_bytes()))
    trace = open_trace(path)
    assert [one.get("error") for one in trace.events()] == [None, "x"]
    assert [problem.line for problem in trace.problems.first] == [0]
    assert named in trace.problems.first[0].what
    assert ring.exists()


@pytest.mark.parametrize("size", [0, 10, 100, FIRST, FIRST + 50])
def test_a_ring_that_was_never_begun_or_is_cut_holds_nothing(tmp_path, make, size):
    """A program that died while it made its ring, or a copy that broke off, costs no more than what is not there."""
    path = left_behind(tmp_path, make)
    os.truncate(ring_path(path), size)
    assert texts(path)[0] == "x"


def test_a_ring_that_is_a_pipe_or_a_link_does_no_harm(tmp_path, make):
    """Nothing hangs and nothing is followed."""
    path = left_behind(tmp_path, make)
    ring = ring_path(path)
    ring.unlink()
    os.mkfifo(ring)
    assert texts(path) == ["x"]
    ring.unlink()
    ring.symlink_to(path)
    assert texts(path) == ["x"]


def test_a_segment_that_is_cut_under_the_writer_costs_only_what_was_cut(make):
    """The program goes on, nothing is written twice, and what comes later is there."""
    writer = make()
    for number in range(10):
        writer.append(event(str(number)))
    os.truncate(writer.first, 0)
    for number in range(10, 20):
        writer.append(event(str(number)))
    writer.flush()
    writer.append(event("last"))
    writer.close()
    assert [orjson.loads(line)["error"] for line in writer.first.read_bytes().splitlines()] == [
        *map(str, range(20)),
        "last",
    ]


def test_what_somebody_else_adds_to_the_segment_displaces_nothing(make):
    """Lines of another program between ours."""
    writer = make()
    writer.append(event("before"))
    with writer.first.open("ab") as file:
        file.write(b'{"event_type":"decision","event_id":"f","component":"app","error":"foreign"}\n')
    writer.append(event("after"))
    writer.close()
    assert sorted(texts(writer.first)) == ["after", "before", "foreign", "x"]


def test_cleaning_removes_rings_with_their_recordings(tmp_path, make):
    """And those whose recording somebody has removed by hand; anything else of that name stays."""
    path = left_behind(tmp_path, make)
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


def test_no_ring_where_the_file_system_is_not_known_to_be_safe(make, monkeypatch):
    """Each event is then a write, as ever."""
    monkeypatch.setattr(rings, "SAFE", frozenset())
    writer = make()
    writer.append(event("a"))
    assert in_file(writer.first) == 3
    assert not ring_path(writer.first).exists()


def test_no_ring_where_one_stands_already(make):
    """Whatever stands under the name is not touched."""
    writer = make(f"{NAME}")
    writer.close()
    foreign = ring_path(writer.first.with_name("other.jsonl"))
    foreign.write_bytes(b"mine")
    other = make("other.jsonl")
    other.append(event("a"))
    assert in_file(other.first) == 3
    assert foreign.read_bytes() == b"mine"


def test_the_file_system_is_the_one_the_kernel_names(tmp_path):
    """What is not mounted has no name."""
    assert rings._file_system(os.stat("/proc").st_dev) == "proc"
    assert rings._file_system(os.makedev(4000, 17)) == ""


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "put", "put", "spill", "partial", "move"]), st.integers(1, 90_000)),
        max_size=40,
    )
)
def test_segment_and_ring_together_always_hold_every_byte(tmp_path_factory, steps):
    """Whatever was spilled, in whole or in part: file and ring give the bytes that went in, in order."""
    segment = tmp_path_factory.mktemp("law") / "t.jsonl"
    segment.write_bytes(b"begins\n")
    fd = os.open(segment, os.O_RDWR | os.O_APPEND)
    ring = rings.create(segment, fd, b"begins\n")
    ring.begin(7)
    whole = b"begins\n"
    for number, (step, size) in enumerate(steps):
        line = bytes([97 + number % 26]) * size + b"\n"
        if step == "put" and ring.at + len(line) <= LAST:
            ring.view[ring.at : ring.at + len(line)] = line
            ring.marks[HEAD] = ring.base + ring.at + len(line) - FIRST
            ring.at += len(line)
            whole += line
        elif step == "spill":
            assert ring.spill(fd, None)
            assert segment.read_bytes() == whole
        elif step == "partial" and ring.at > FIRST:
            written = segment.stat().st_size
            os.write(fd, whole[written : written + size])
            ring._partly = True
        rest = rings.open_remainder(segment, fd)
        assert segment.read_bytes() + rest.behind(segment.stat().st_size) == whole
        rest.close()
    os.close(fd)
    ring.abandon()
    rings.complete(segment)
    assert segment.read_bytes() == whole
    assert not ring_path(segment).exists()


FULL_DISK = f"""
import resource, signal, sys
from pathlib import Path
import namel3ss_debug.traces.writer
from namel3ss_debug.traces.writer import TraceWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{SOON}
namel3ss_debug.traces.writer.SPILL_SECONDS = 0.0
header = lambda p, s, q: {{"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {{"first_seq": q}}}}
event = lambda: {{"event_type": "decision", "event_id": None, "seq": 0, "component": "app", "error": "z" * 5000}}
writer = TraceWriter(Path(sys.argv[1]), first_process=True, header=header, rotate_max_bytes=int(sys.argv[3]))
if sys.argv[2] == "gil":
    writer.hold_the_gil()
for _ in range(20):
    writer.append(event())
assert writer._ring is not None
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
writer.append(event())
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1]).stat().st_size + 7, hard))
for _ in range(30):
    writer.append(event())
assert (writer.dropped, writer.segment) == (0, 0), "the ring holds them"
for _ in range(50):
    writer.append(event())
assert writer.dropped
if len(sys.argv) > 4:
    writer.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
if len(sys.argv) == 4:
    for _ in range(100):
        writer.append(event())
    writer.close()
print(writer.dropped, writer.events)
"""


@pytest.mark.parametrize("way", ["os", "gil"])
@pytest.mark.parametrize("rotation", ["0", "150000"])
@pytest.mark.parametrize("ending", [[], ["closed while it is full"]])
def test_a_full_disk_costs_only_what_the_ring_cannot_hold(tmp_path, way, rotation, ending):
    """Events wait in the ring until there is room again, in this process or for the next who opens the recording."""
    path = tmp_path / "t.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), way, rotation, *ending],
        capture_output=True,
        text=True,
        check=True,
    )
    dropped, events = map(int, run.stdout.split())
    assert run.stderr.count("\n") == 1
    trace = open_trace(path)
    found = list(trace.events())
    assert len(found) == events
    assert 0 < dropped < 50
    assert trace.problems.total == (0 if ending else 1)
    assert trace.lost == (0 if ending else dropped)
    assert not ring_path(path).exists()


ENDING = f"""
import os, sys
import namel3ss_debug.traces.writer
{SOON}
namel3ss_debug.traces.writer.SPILL_SECONDS = 3600.0
from namel3ss_debug import initialize_tracing
tracer = initialize_tracing(trace_output_dir=sys.argv[1])
for n in range(50):
    tracer.emit("decision", component="agent", component_name=str(n))
assert tracer.writer._ring is not None
"""


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ("pass", 0),
        ("sys.exit(3)", 0),
        ("os._exit(0)", 1),
        ("os.execv(sys.executable, [sys.executable, '-c', 'pass'])", 1),
        ("os.abort()", 1),
        ("import signal; os.kill(os.getpid(), signal.SIGTERM)", 1),
        ("os.fork() or os._exit(0); os.wait()", 0),
        ("tracer.flush(); os._exit(0)", 0),
    ],
)
def test_however_a_program_ends_its_events_are_there(tmp_path, end, left):
    """In order, the ring is gone with it; otherwise with the first who opens the recording."""
    subprocess.run([sys.executable, "-c", ENDING + end, str(tmp_path)], check=False, capture_output=True)
    assert len(list(tmp_path.glob(".*.ring"))) == left
    trace = open_trace(find_trace(None, tmp_path))
    names = [one["component_name"] for one in trace.events() if one["event_type"] == "decision"]
    assert names == [str(n) for n in range(50)]
    assert not trace.problems
    assert not list(tmp_path.glob(".*.ring"))


def test_a_forked_child_leaves_the_ring_of_its_parent_alone(tmp_path):
    """Both go on, each in a ring of its own, and nothing is lost or doubled."""
    program = ENDING + (
        "child = os.fork()\n"
        "for n in range(50, 3000):\n"
        "    tracer.emit('decision', component='agent', component_name=str(n))\n"
        "assert tracer.writer._ring is not None\n"
        "if child: os.wait()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(tmp_path)], check=True)
    assert len(list(tmp_path.glob(".*.ring"))) == 2
    trace = open_trace(find_trace(None, tmp_path))
    names = [one["component_name"] for one in trace.events() if one["event_type"] == "decision"]
    assert sorted(map(int, names)) == sorted([*range(3000), *range(50, 3000)])
    assert not trace.problems


REENTRANT = f"""
import gc, os, signal, sys
from pathlib import Path
import namel3ss_debug.traces.writer
from namel3ss_debug.traces.writer import TraceWriter
{SOON}
namel3ss_debug.traces.writer.SPILL_SECONDS = float(sys.argv[2])
header = lambda p, s, q: {{"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {{"first_seq": q}}}}
event = lambda: {{"event_type": "decision", "event_id": None, "seq": 0, "component": "app"}}
writer = TraceWriter(Path(sys.argv[1]), first_process=True, header=header, rotate_max_bytes=int(sys.argv[3]))
emitted = rings = inside = 0
real = os.fstat
def fstat(descriptor):  # as if a finalizer ran in the middle of a spill
    global inside
    if emitted % 5 == 0 and not inside:
        inside = 1
        emit(); emit()
        inside = 0
    return real(descriptor)
def emit(*_):
    global emitted, rings
    writer.append(event())
    emitted += 1
    rings += writer._ring is not None
class Deleted:
    def __del__(self):
        emit()
os.fstat = fstat
signal.signal(signal.SIGALRM, emit)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
gc.set_threshold(50)
for n in range(6000):
    cycle = Deleted()
    cycle.self = cycle
    emit()
    if n % 1000 == 0:
        writer.flush()
signal.setitimer(signal.ITIMER_REAL, 0)
del cycle; gc.collect()
print(emitted, writer.dropped, rings, writer.events)
"""


@pytest.mark.parametrize("spill_seconds", ["3600", "0.0005", "0"])
@pytest.mark.parametrize("rotation", ["0", "20000"])
def test_signal_handlers_and_finalizers_may_emit(tmp_path, spill_seconds, rotation):
    """In the middle of an emit, of a spill, and of a rotation: nothing lost, doubled, or out of order."""
    path = tmp_path / "t.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", REENTRANT, str(path), spill_seconds, rotation],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    emitted, dropped, in_ring, events = map(int, run.stdout.split())
    trace = open_trace(path)
    found = list(trace.events())
    assert dropped == 0
    assert emitted > 12000
    assert in_ring > emitted / 4
    assert sum(one["event_type"] == "decision" for one in found) == emitted
    assert [one["seq"] for one in found] == list(range(events))
    assert not trace.problems


THREADS = f"""
import sys, threading
from pathlib import Path
import namel3ss_debug.traces.writer
from namel3ss_debug.traces.writer import TraceWriter
{SOON}
sys.setswitchinterval(1e-6)
header = lambda p, s, q: {{"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {{"first_seq": q}}}}
writer = TraceWriter(Path(sys.argv[1]), first_process=True, header=header, rotate_max_bytes=300_000)
if sys.argv[2] == "gil":
    writer.hold_the_gil()
rings = 0
def work(name):
    global rings
    for n in range(4000):
        writer.append({{"event_type": "decision", "event_id": None, "seq": 0, "component": "app", "error": f"{{name}} {{n}}"}})
        rings += writer._ring is not None
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(rings, writer.dropped)
"""


@pytest.mark.parametrize("way", ["os", "gil"])
def test_threads_share_the_ring_without_a_lock(tmp_path, way):
    """Each thread's events are there in its order, under numbers without a gap."""
    path = tmp_path / "t.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", THREADS, str(path), way],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    in_ring, dropped = map(int, run.stdout.split())
    assert in_ring > 8000
    assert dropped == 0
    trace = open_trace(path)
    found = list(trace.events())
    assert [one["seq"] for one in found] == list(range(len(found)))
    said = [one["error"].split() for one in found if "error" in one]
    for name in map(str, range(4)):
        assert [number for thread, number in said if thread == name] == list(map(str, range(4000)))
    assert not trace.problems


VICTIM = f"""
import os, sys, threading
import namel3ss_debug.traces.writer
{SOON}
from namel3ss_debug import initialize_tracing
tracer = initialize_tracing(trace_output_dir=sys.argv[1], rotate_max_bytes=200_000)
acked = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
def work(name):
    n = 0
    with tracer.span("agent", name):
        while True:
            for k in range(10):
                tracer.emit("decision", component="agent", component_name=f"{{name}}-{{n + k}}")
            n += 10
            ring = tracer.writer._ring is not None
            os.write(acked, f"{{name}} {{n}} {{ring:d}}\\n".encode())
if os.fork() == 0:
    work("child")
threading.Thread(target=work, args=("thread",), daemon=True).start()
work("main")
"""


def assert_nothing_lost(tmp_path, acks):
    """Kill a program after so many acknowledgements: every event whose emit returned is read back, once."""
    acked, traces = tmp_path / "acked", tmp_path / "traces"
    os.mkfifo(acked)
    reader = os.open(acked, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    victim = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", VICTIM, str(traces), str(acked)], start_new_session=True
    )
    told = b""
    while told.count(b"\n") < acks:
        told += os.read(reader, 65536)
        assert victim.poll() is None, "the program ended by itself"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    while piece := os.read(reader, 65536):
        told += piece
    os.close(reader)
    rows = [line.split() for line in told.decode().split("\n")[:-1]]
    trace = open_trace(find_trace(None, traces))
    found = [one["component_name"] for one in trace.events() if one["event_type"] == "decision"]
    assert len(found) == len(set(found))
    names = set(found)
    for name in ("main", "thread", "child"):
        last = max([int(n) for who, n, _ in rows if who == name], default=0)
        assert all(f"{name}-{n}" in names for n in range(last))
    assert not trace.problems
    return sum(row[2] == "1" for row in rows) / len(rows)


@pytest.mark.parametrize("acks", [3, 50, 900])
def test_a_killed_program_loses_nothing_it_emitted(tmp_path, acks):
    """SIGKILL at any moment of a burst, with threads, a child process and rotation."""
    assert assert_nothing_lost(tmp_path, acks) > 0.5


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path):
    """The same, two hundred times, each at another moment."""
    for n in range(200):
        folder = tmp_path / str(n)
        folder.mkdir()
        assert_nothing_lost(folder, 1 + (n * 37) % 1500)
        shutil.rmtree(folder)
