"""The writer: lines in the kernel before the call returns, rotation, forks, and a file system that refuses."""

from __future__ import annotations

import gzip
import json
import os
import queue
import signal
import stat
import subprocess
import sys
import threading

import pytest

from namel3ss_debug.traces import folders
from namel3ss_debug.traces import writer as writers
from namel3ss_debug.traces.loss_notes import LossNote, parse_note
from namel3ss_debug.traces.names import parse_name, segment_path, trace_name
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import find_trace
from namel3ss_debug.traces.writer import TraceWriter


def header(process, segment, seq):
    """A small `trace_start`."""
    return {
        "event_type": "trace_start",
        "event_id": None,
        "seq": 0,
        "timestamp": 1.0,
        "execution_id": "e",
        "component": "app",
        "metadata": {"format": 2, "process": process, "segment": segment, "first_seq": seq},
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
def make(tmp_path):
    """Make writers below a temporary folder; closed after the test."""
    made = []

    def writer(**settings):
        first = tmp_path / "deep" / "er" / "trace_20260101_000000_0123abcd.jsonl"
        made.append(TraceWriter(first, **{"first_process": True, "header": header, **settings}))
        return made[-1]

    yield writer
    for one in made:
        one.close()


def lines(path):
    """The events of one file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_buffer_may_wait_for_longer_than_a_clock_can_tell(make, monkeypatch):
    """An interval that means never is no error of the thread that waits."""
    writer, waits = make(buffer_size=3, flush_interval=1e300), queue.Queue()

    def sleep(seconds):
        waits.put(seconds)
        writer._flusher = None  # the thread ends

    monkeypatch.setattr(writers, "sleep", sleep)
    writer.append(event())
    assert waits.get() == threading.TIMEOUT_MAX


def test_an_event_is_in_the_file_when_append_returns(make):
    """Nothing waits in the process with a buffer of one."""
    writer = make()
    assert writer.append(event("a")) == "2"
    assert [one["event_type"] for one in lines(writer.first)] == ["trace_start", "decision"]


def ahead_of(writer, texts):
    """Let something be written before each event but those that are written so themselves; these are its texts in turn."""
    left = iter(texts)
    writer.ahead = lambda later: (
        "" if later["error"] in texts else writer.append_before(later, event(next(left)))
    )


@pytest.mark.parametrize("settings", [{}, {"buffer_size": 3}, {"rotate_max_bytes": 300}])
def test_what_goes_before_an_event_is_numbered_before_it(make, settings):
    """Each has a number of its own, whether they are written together, wait, or begin a segment."""
    writer = make(**settings)
    ahead_of(writer, ["first", "second"])
    writer.append(event("a"))
    writer.append(event("b"))
    writer.flush()
    told = [one for one in open_trace(writer.first).events() if one["event_type"] == "decision"]
    assert [one["error"] for one in told] == ["first", "a", "second", "b"]
    assert writer.events == writer.next_seq


def test_what_goes_before_an_event_is_written_with_it(make, monkeypatch):
    """One write brings both lines into the file."""
    writer = make()
    writer.begin()
    ahead_of(writer, ["first"])
    written = []
    monkeypatch.setattr(writers, "write", lambda fd, data: written.append(data) or os.write(fd, data))
    writer.append(event("a"))
    assert [data.count(b"\n") for data in written] == [2]


def test_of_two_that_are_written_together_both_may_be_lost(make, monkeypatch, capfd):
    """Each is counted where the file system refuses."""

    def refuse(_fd, _data):
        raise OSError(28, "No space left on device")

    writer = make()
    writer.begin()
    ahead_of(writer, ["first"])
    monkeypatch.setattr(writers, "write", refuse)
    writer.append(event("a"))
    assert (writer.dropped, writer.next_seq) == (2, 3)
    assert "recording stopped" in capfd.readouterr().err


@pytest.mark.parametrize(("beyond", "lost"), [(-5, 2), (0, 1), (5, 1)])
def test_of_two_that_are_written_together_the_one_that_is_whole_counts(
    make, monkeypatch, capfd, beyond, lost
):
    """Where the file system takes a part and then no more, what stands there as a whole line is not lost."""
    taken = []

    def some(fd, data):
        if taken:
            raise OSError(28, "No space left on device")
        taken.append(data.index(b"\n") + 1 + beyond)
        return os.write(fd, data[: taken[0]])

    writer = make()
    writer.begin()
    ahead_of(writer, ["first"])
    with monkeypatch.context() as patch:
        patch.setattr(writers, "write", some)
        writer.append(event("a"))
    writer.ahead = None
    writer.append(event("b"))
    assert writer.dropped == lost
    assert "recording stopped" in capfd.readouterr().err
    lines = writer.first.read_bytes().split(b"\n")
    assert parse_note(lines.pop(1)) == LossNote(lost, writer.next_seq - 1, 28)
    whole = [line for line in lines if line.startswith(b"{") and line.rstrip().endswith(b"}")]
    assert len(whole) == writer.events
    # What is torn stands alone, the last line is ended, and the loss is noted.
    assert len(lines) == len(whole) + 1 + (beyond != 0)


def test_files_are_private_and_so_are_their_folders(make, tmp_path):
    """Mode 0600 and 0700, whatever the umask is."""
    old = os.umask(0)
    try:
        writer = make()
        writer.append(event())
    finally:
        os.umask(old)
    assert stat.S_IMODE(writer.first.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "er").stat().st_mode) == 0o700


def test_the_newest_trace_is_linked(make):
    """The link is relative, so the folder can be moved."""
    writer = make()
    writer.begin()
    assert os.readlink(writer.first.parent / "trace_latest.jsonl") == writer.first.name


def test_segments_begin_with_their_first_number(make):
    """A segment that is full is followed by the next; no event is split and no number missing."""
    writer = make(rotate_max_bytes=600)
    for _ in range(12):
        writer.append(event())
    files = [segment_path(writer.first, 0, n) for n in range(writer.segment + 1)]
    assert len(files) > 2
    numbers = [one["seq"] for file in files for one in lines(file)]
    assert numbers == list(range(len(numbers)))
    assert [lines(file)[0]["metadata"]["segment"] for file in files] == list(range(len(files)))
    assert all(lines(file)[0]["metadata"]["first_seq"] == lines(file)[0]["seq"] for file in files)


def test_old_segments_are_removed_and_the_link_follows(make):
    """With `rotate_keep` only the newest segments stay, and the trace can still be opened as the latest."""
    writer = make(rotate_max_bytes=400, rotate_keep=2)
    for _ in range(12):
        writer.append(event())
    kept = sorted(path.name for path in writer.first.parent.glob("*.jsonl") if not path.is_symlink())
    assert len(kept) == 2
    latest = writer.first.parent / "trace_latest.jsonl"
    assert latest.exists()
    trace = open_trace(latest)
    assert list(trace.events())[-1]["seq"] == lines(segment_path(writer.first, 0, writer.segment))[-1]["seq"]
    assert trace.problems


def test_a_buffer_is_flushed_by_count_by_hand_and_on_close(make):
    """Up to `buffer_size` events wait."""
    writer = make(buffer_size=3, flush_interval=0)
    writer.append(event())
    writer.append(event())
    assert len(lines(writer.first)) == 1
    writer.append(event())
    assert len(lines(writer.first)) == 4
    writer.append(event())
    writer.flush()
    assert len(lines(writer.first)) == 5
    writer.append(event())
    writer.close()
    assert len(lines(writer.first)) == 6


def test_further_processes_take_the_next_free_name(make):
    """No two processes share a file."""
    make().append(event())
    others = [make(first_process=False) for _ in range(3)]
    ids = [other.append(event()) for other in others]
    assert ids == ["p1.2", "p2.2", "p3.2"]


def test_a_payload_json_cannot_hold_keeps_its_number(make):
    """The event is written with what JSON takes of it."""
    writer = make()
    writer.append(event() | {"inputs": {"x": object()}})
    writer.append(event("\ud800"))
    found = lines(writer.first)
    assert [one["seq"] for one in found] == [0, 1, 2]
    assert "could not be written" in found[1]["metadata"]["problem"]


def test_threads_do_not_mix_lines(make):
    """Whole lines only, from both ways to write."""
    writer = make()

    def work():
        for _ in range(200):
            writer.append(event("y" * 300))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    writer.hold_the_gil()
    for thread in threads:
        thread.join()
    assert sorted(one["seq"] for one in lines(writer.first)) == list(range(801))


def test_a_folder_that_cannot_be_written_is_one_message(make, capfd):
    """The program goes on; the events are counted as dropped."""
    writer = make()
    writer.first.parent.parent.mkdir()
    writer.first.parent.write_text("a file where the folder should be")
    for _ in range(5):
        writer.append(event())
    assert writer.dropped == 6  # five events, and the header of the segment
    message = capfd.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("namel3ss debug: recording stopped: ")


@pytest.mark.parametrize("end", [TraceWriter.flush, TraceWriter.close])
def test_a_recording_that_is_removed_is_told_at_the_end(make, capfd, end):
    """The file is begun anew under its name, and the gap in the numbers is what was lost."""
    writer = make()
    writer.append(event())
    writer.first.unlink()
    writer.append(event())
    end(writer)
    assert "the trace file was removed or replaced" in capfd.readouterr().err
    (start,) = lines(writer.first)
    assert (start["event_type"], start["seq"]) == ("trace_start", 3)
    assert start["metadata"]["file_removed"] is True
    trace = open_trace(writer.first)
    assert (len(list(trace.events())), trace.lost, trace.rotated_away) == (1, 3, 0)


@pytest.mark.parametrize("settings", [{}, {"buffer_size": 2}, {"rotate_max_bytes": 300}])
@pytest.mark.parametrize("threads", [False, True])
def test_a_program_may_close_all_descriptors(make, tmp_path, capfd, settings, threads):
    """What it opens after that is its own, and the recording goes on."""
    writer = make(**settings)
    writer.append(event("a"))
    if threads:
        writer.hold_the_gil()
    os.close(writer._fd)
    with (tmp_path / "own.txt").open("w") as own:
        writer.append(event("b"))
        writer.append(event("c"))
        writer.close()
        own.write("mine")
    assert (tmp_path / "own.txt").read_text() == "mine"
    told = [one["error"] for one in open_trace(writer.first).events() if "error" in one]
    assert (told, writer.dropped, capfd.readouterr().err) == (["a", "b", "c"], 0, "")


def test_where_high_descriptors_are_taken_a_low_one_does(make, monkeypatch):
    """The recording does not depend on them."""
    monkeypatch.setattr(folders, "_DESCRIPTORS", 1 << 40)
    monkeypatch.setattr(os, "sysconf", lambda _name: 1 << 30)
    writer = make()
    writer.append(event("a"))
    assert [one["event_type"] for one in lines(writer.first)] == ["trace_start", "decision"]


def test_a_child_of_a_program_that_has_closed_all_descriptors_records(tmp_path):
    """After the fork it is a process of its own, with a file of its own."""
    writer = TraceWriter(tmp_path / "a.jsonl", first_process=True, header=header)
    writer.append(event("parent"))
    os.close(writer._fd)
    writer.after_fork_in_child()
    writer.append(event("child"))
    writer.close()
    assert [one["event_id"] for one in lines(tmp_path / "a.p1.jsonl")] == ["p1.1", "p1.2"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from namel3ss_debug.traces.writer import TraceWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
header = lambda p, s, q: {"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {"first_seq": q}}
event = lambda: {"event_type": "decision", "event_id": None, "seq": 0, "component": "app", "error": "z" * 100}
writer = TraceWriter(Path(sys.argv[1]), first_process=True, header=header)
if sys.argv[2] == "gil":
    writer.hold_the_gil()
for _ in range(20):
    writer.append(event())
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (writer.size + 250, hard))
for _ in range(20):
    writer.append(event())
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for _ in range(20):
    writer.append(event())
print(writer.dropped)
"""


@pytest.mark.parametrize("way", ["os", "gil"])
def test_a_full_disk_costs_only_what_is_counted(tmp_path, way):
    """When there is room again recording goes on, no line is glued to a torn one, and the gap is what was dropped."""
    path = tmp_path / "t.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), way], capture_output=True, text=True, check=True
    )
    dropped = int(run.stdout)
    assert 0 < dropped < 20
    assert run.stderr.count("\n") == 1
    found = [one["seq"] for one in open_trace(path).events()]
    assert len(found) == 61 - dropped
    assert found[-20:] == list(range(41, 61))


REENTRANT = """
import signal, sys
from pathlib import Path
from namel3ss_debug.traces.writer import TraceWriter
header = lambda p, s, q: {"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {"first_seq": q}}
event = lambda: {"event_type": "decision", "event_id": None, "seq": 0, "component": "app"}
writer = TraceWriter(Path(sys.argv[1]), first_process=True, header=header, rotate_max_bytes=20_000)
emitted = 0
def emit(*_):
    global emitted
    writer.append(event())
    emitted += 1
class Deleted:
    def __del__(self):
        emit()
signal.signal(signal.SIGALRM, emit)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
for _ in range(6000):
    cycle = Deleted()
    cycle.self = cycle
    emit()
signal.setitimer(signal.ITIMER_REAL, 0)
import gc; del cycle; gc.collect()
print(emitted, writer.dropped)
"""


def test_signal_handlers_and_finalizers_may_emit(tmp_path):
    """An event emitted in the middle of another one is neither lost nor a deadlock."""
    path = tmp_path / "t.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", REENTRANT, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    emitted, dropped = map(int, run.stdout.split())
    trace = open_trace(path)
    found = list(trace.events())
    assert dropped == 0
    assert emitted > 12000
    assert sum(one["event_type"] == "decision" for one in found) == emitted
    assert [one["seq"] for one in found] == list(range(len(found)))
    assert not trace.problems


def test_an_event_emitted_while_the_first_segment_begins_waits_for_it(tmp_path):
    """A signal handler that emits in that moment loses nothing, and the header is still the first line."""
    made = []

    def emitting_header(process, segment, seq):
        made.append(writer.append(event("early")))
        return header(process, segment, seq)

    path = tmp_path / "t.jsonl"
    writer = TraceWriter(path, first_process=True, header=emitting_header, rotate_max_bytes=500)
    for _ in range(4):
        writer.append(event("x" * 100))
    writer.close()
    assert writer.dropped == 0
    assert len(made) == writer.segment + 1 >= 2
    files = [segment_path(path, 0, n) for n in range(writer.segment + 1)]
    assert {lines(file)[0]["event_type"] for file in files} == {"trace_start"}
    found = [one["seq"] for one in open_trace(path).events()]
    assert found == list(range(writer.events))


FORKING = """
import os, sys, threading, time
from namel3ss_debug import initialize_tracing, shutdown_tracing
tracer = initialize_tracing(trace_output_dir=sys.argv[1])
done = False
def work():
    while not done:
        with tracer.span("tool", "thread"):
            pass
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
for n in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        for k in range(20):
            tracer.emit("decision", component="agent", component_name=f"child-{n}")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done = True
[thread.join() for thread in threads]
print(shutdown_tracing())
"""


def fork_storm(tmp_path, count):
    """Fork while two threads emit; the number of events of children and whether anything is missing."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, str(tmp_path), str(count)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    trace = open_trace(run.stdout.strip())
    return sum(one["event_type"] == "decision" for one in trace.events()), trace.problems


def test_forking_while_threads_emit_neither_hangs_nor_loses(tmp_path):
    """Each child's twenty events are there, though locks were held when it was forked."""
    found, problems = fork_storm(tmp_path, 10)
    assert (found, problems.total) == (200, 0)


@pytest.mark.slow
def test_two_hundred_forks_under_threads(tmp_path):
    """Four thousand events of two hundred children, none lost, none hung."""
    found, problems = fork_storm(tmp_path, 200)
    assert (found, problems.total) == (4000, 0)


VICTIM = """
import os, sys, threading
from namel3ss_debug import initialize_tracing
tracer = initialize_tracing(trace_output_dir=sys.argv[1])
acked = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
def work(name):
    n = 0
    with tracer.span("agent", name):
        while True:
            tracer.emit("decision", component="agent", component_name=f"{name}-{n}")
            os.write(acked, f"{name}-{n}\\n".encode())
            n += 1
if os.fork() == 0:
    work("child")
threading.Thread(target=work, args=("thread",), daemon=True).start()
work("main")
"""


def kill_once(tmp_path, events):
    """Kill a program after it has acknowledged some events; what was acknowledged and what is read back."""
    acked, traces = tmp_path / "acked", tmp_path / "traces"
    os.mkfifo(acked)
    reader = os.open(acked, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    victim = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", VICTIM, str(traces), str(acked)], start_new_session=True
    )
    told = b""
    while told.count(b"\n") < events:
        told += os.read(reader, 65536)
        assert victim.poll() is None, "the program ended by itself"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    while piece := os.read(reader, 65536):
        told += piece
    os.close(reader)
    trace = open_trace(find_trace(None, traces))
    found = list(trace.events())
    return told.decode().split("\n")[:-1], found, trace


def assert_nothing_lost(tmp_path, events):
    """Every event whose emit returned is read back, and open spans show where the program died."""
    told, found, trace = kill_once(tmp_path, events)
    names = {one["component_name"] for one in found if one["event_type"] == "decision"}
    assert set(told) <= names
    ended = [one for one in found if one["event_type"] == "agent_execution_end"]
    started = [one for one in found if one["event_type"] == "agent_execution_start"]
    assert started
    assert not ended
    assert trace.problems.total <= 2  # a line torn by the kill, in each of two processes


@pytest.mark.parametrize("events", [3, 50, 400])
def test_a_killed_program_loses_nothing_it_emitted(tmp_path, events):
    """SIGKILL at any moment, with threads and a child process."""
    assert_nothing_lost(tmp_path, events)


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path):
    """The same, two hundred times, each at another moment."""
    for n in range(200):
        folder = tmp_path / str(n)
        folder.mkdir()
        assert_nothing_lost(folder, 1 + (n * 37) % 600)


def test_sigterm_flushes_a_buffer(tmp_path):
    """With a buffer, SIGTERM still loses nothing and the program dies by it."""
    program = (
        "import os, sys, signal\n"
        "from namel3ss_debug import initialize_tracing\n"
        "tracer = initialize_tracing(trace_output_dir=sys.argv[1], buffer_size=1000, flush_interval_seconds=0)\n"
        "for n in range(10): tracer.emit('decision', component='agent')\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert run.returncode == -signal.SIGTERM
    assert (
        sum(one["event_type"] == "decision" for one in open_trace(find_trace(None, tmp_path)).events()) == 10
    )


def test_names_of_segments_can_be_taken_apart(tmp_path):
    """What is put together is what is found again."""
    first = tmp_path / trace_name(0.0, "0123456789abcdef")
    assert first.name == "trace_19700101_000000_01234567.jsonl"
    for process, segment in ((0, 0), (0, 3), (2, 0), (12, 345)):
        name = parse_name(segment_path(first, process, segment).name)
        assert name == ("trace_19700101_000000_01234567", process, segment)
    assert parse_name("notes.txt") is None


def test_sealed_segments_may_be_compressed(make):
    """A `.gz` in the place of a segment is read like the segment."""
    writer = make(rotate_max_bytes=300)
    for _ in range(6):
        writer.append(event())
    plain = [one["seq"] for one in open_trace(writer.first).events()]
    first = writer.first.read_bytes()
    writer.first.with_name(writer.first.name + ".gz").write_bytes(gzip.compress(first))
    writer.first.unlink()
    assert [one["seq"] for one in open_trace(find_trace(None, writer.first.parent)).events()] == plain


def test_a_new_folder_of_traces_is_ignored_by_git(tmp_path):
    """A folder that was there already, perhaps with traces to share, stays as it is."""
    new, old = tmp_path / "debug/traces", tmp_path / "kept"
    old.mkdir()
    folders.make_trace_folder(new)
    folders.make_trace_folder(old)
    assert (new / ".gitignore").read_text().endswith("\n*\n")
    assert list(old.iterdir()) == []
