"""Files at the level `comprehensive`: what is read and written is counted, and the program notices nothing."""

from __future__ import annotations

import builtins
import copy
import functools
import gc
import io
import json
import os
import pickle
import subprocess
import sys
import types
import warnings
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from namel3ss_debug import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def counting(tracing):
    """Start tracing at the level `comprehensive`."""

    def start(**settings):
        return tracing(level="comprehensive", **settings)

    return start


def accesses():
    """The events of files of the trace, which ends here."""
    path = shutdown_tracing()
    if path is None:
        return []
    return [event for event in open_trace(path).events() if event["event_type"] == "file_access"]


def counts(event):
    """The counts of an event: bytes read and written, calls that read and write."""
    return tuple(event["metadata"][key] for key in ("bytes_read", "bytes_written", "reads", "writes"))


def test_each_opening_of_a_file_is_one_event_with_what_was_moved(counting, tmp_path):
    """It has the path as the program named it, the mode, the line, the time, and the span in which it was opened."""
    tracer = counting()
    path = str(tmp_path / "notes")
    with tracer.span("tool", "save") as span:
        file = open(path, "wb")
        file.write(b"x" * 100_000)
    file.write(b"end")
    file.close()
    assert (tmp_path / "notes").read_text() == "x" * 100_000 + "end"
    written, read = accesses()
    assert (written["component"], written["component_name"], written["parent_event_id"]) == (
        "file",
        path,
        span.event_id,
    )
    assert written["metadata"]["mode"] == "wb"
    assert written["call_site"].startswith("tests/capture/seams/inputs/test_file_access.py:")
    assert written["metadata"]["io_ms"] > 0
    assert counts(written) == (0, 100_003, 0, 2)
    assert counts(read)[:2] == (100_003, 0)
    assert "parent_event_id" not in read


@pytest.mark.parametrize("level", ["basic", "detailed"])
def test_other_levels_count_nothing(tracing, tmp_path, level):
    """There `open` is the built-in function itself."""
    tracing(level=level)
    assert type(open) is types.BuiltinFunctionType
    (tmp_path / "notes").write_text("x")
    assert [e["component_name"] for e in accesses()] == []


def test_files_that_are_not_the_programs_are_not_followed(counting, tmp_path):
    """Neither are special files, descriptors, packages, and files without a buffer."""
    counting()
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "wb"), open(os.devnull), open(json.__file__):
        pass
    with open(tmp_path / "raw", "wb", 0) as raw:
        assert vars(raw) == {"name": str(tmp_path / "raw")} or "write" not in vars(raw)
    assert [e["component_name"] for e in accesses()] == []


def test_a_component_that_is_left_out_is_not_counted(counting, tmp_path):
    """The setting `default_components` names those that are recorded."""
    counting(default_components=["llm"])
    (tmp_path / "notes").write_text("x")
    assert [e["component_name"] for e in accesses()] == []


def test_a_file_that_is_open_at_the_end_is_an_event_with_what_was_moved_so_far(counting, tmp_path):
    """The interpreter writes the rest after the trace."""
    counting()
    file = open(tmp_path / "notes", "w", buffering=1)
    file.write("line\nrest")
    [event] = accesses()
    file.close()
    assert event["metadata"]["open"] is True
    assert counts(event) == (0, 9, 0, 1)


def test_a_file_that_is_forgotten_is_closed_at_once_with_the_warning(counting, tmp_path):
    """Counting keeps no file open: not in text mode, in binary mode, without its buffer, or in a cycle."""
    counting()
    path = tmp_path / "notes"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open(path, "w").write("text")
        open(path, "ab").write(b" bytes")
        raw = open(path, "rb").detach()
        number = raw.fileno()
        del raw
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        cycle = []
        cycle += [cycle, open(path)]
        del cycle
        gc.collect()
    assert path.read_text() == "text bytes"
    assert [(each.category, each.filename) for each in caught] == [(ResourceWarning, __file__)] * 4
    assert "TextIOWrapper" in str(caught[0].message)
    assert len(accesses()) == 5


def test_open_stays_the_same_object_for_the_program(counting, tmp_path):
    """As an attribute of a class it is no method; it is pickled, copied, printed and inspected as before."""
    original = open
    counting()

    class Files:
        opener = open

    assert Files().opener(tmp_path / "notes", "w").close() is None
    assert open is io.open is builtins.open is pickle.loads(pickle.dumps(open)) is copy.deepcopy(open)
    assert isinstance(open, types.BuiltinFunctionType)
    assert (repr(open), open.__name__, open.__module__) == (
        repr(original),
        original.__name__,
        original.__module__,
    )
    assert open == original
    accesses()
    assert open is io.open is original


def test_a_library_that_replaces_open_later_keeps_its_place(counting):
    """The end of tracing does not undo what another has put there since."""
    original = open
    counting()
    builtins.open = other = functools.partial(original)
    try:
        shutdown_tracing()
        assert builtins.open is other
    finally:
        builtins.open = original


def test_an_error_shows_no_frame_of_ours(counting, tmp_path):
    """Neither that of opening, nor that of a call of the system."""
    counting()
    with pytest.raises(FileNotFoundError) as missing:
        open(tmp_path / "missing")
    file = open(tmp_path / "notes", "w")
    with pytest.raises(io.UnsupportedOperation) as refused:
        file.buffer.raw.read()
    file.close()
    for caught in (missing, refused):
        assert {entry.path.name for entry in caught.traceback} == {"test_file_access.py"}


def test_a_secret_in_a_path_is_redacted(counting, tmp_path):
    """As in every other text."""
    counting()
    secret = "sk-proj-" + "Ab1" * 16
    (tmp_path / secret).write_text("x")
    [event] = accesses()
    assert "sk-proj" not in event["component_name"]
    assert "REDACTED" in event["component_name"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_path_that_is_no_unicode_is_shown_as_far_as_it_can_be(counting, tmp_path):
    """The file itself is opened by its real name."""
    counting()
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    with open(path, "w") as file:
        file.write("x")
    [event] = accesses()
    assert os.path.exists(path)
    assert event["component_name"].endswith("/caf?")


PROGRAM = """
import os, sys, threading, tempfile, warnings
from pathlib import Path
warnings.simplefilter("always")
open("a.txt", "w").write("abc")
print(open("a.txt").read(), Path("a.txt").read_bytes())
file = open("a.txt", "a")
if os.fork() == 0:
    file.write("child")
    file.close()
    os._exit(0)
os.wait()
file.write("parent")
file.close()
open("a.txt", "rb", 1).close()
print(Path("a.txt").read_text())
with tempfile.NamedTemporaryFile("w", dir=".") as named:
    named.write("x")
    print(open)
def work(name):
    with open(name, "w") as file:
        for _ in range(100):
            file.write("x" * 1000)
threads = [threading.Thread(target=work, args=(name,)) for name in "bcd"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
last = open("last.txt", "w")
last.write("late")
open("missing/file")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_a_traced_program_prints_and_writes_the_same(tmp_path):
    """Its output, warnings, traceback, status and files; a forked process leaves inherited files to its parent."""
    program = tmp_path / "app.py"
    program.write_text(PROGRAM)
    plain, traced = tmp_path / "plain", tmp_path / "traced"
    plain.mkdir()
    traced.mkdir()
    trace = tmp_path / "t.jsonl"
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "--level", "comprehensive", "-o", str(trace)]
    one = subprocess.run([sys.executable, program], cwd=plain, capture_output=True, text=True, check=False)
    two = subprocess.run([*command, program], cwd=traced, capture_output=True, text=True, check=False)
    stderr = "".join(
        line for line in two.stderr.splitlines(True) if not line.startswith(("namel3ss", "recorded"))
    )
    assert (one.returncode, one.stdout) == (two.returncode, two.stdout)
    assert stderr == one.stderr
    files = {path.name: path.read_bytes() for path in plain.iterdir()}
    assert {path.name: path.read_bytes() for path in traced.iterdir() if path.is_file()} == files
    events = [event for event in open_trace(trace).events() if event["event_type"] == "file_access"]
    named = [event["component_name"] for event in events]
    assert sorted(name for name in named if len(name) < 9) == sorted(["a.txt"] * 6 + [*"bcd", "last.txt"])
    [appended] = [event for event in events if event["metadata"]["mode"] == "a"]
    assert counts(appended) == (0, 6, 0, 1)
    by_thread = {event["component_name"]: event for event in events if event.get("thread")}
    assert {name: counts(event)[1] for name, event in by_thread.items()} == dict.fromkeys("bcd", 100_000)


MODES = ["r", "w", "a", "x", "r+", "w+", "a+", "rb", "wb", "ab", "xb", "r+b", "w+b", "rt", "rw", "bz", ""]
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(["", "line\n", "é" * 3, b"", b"bytes\r\n", "x" * 9000])),
    st.tuples(st.sampled_from(["read", "readline", "readlines", "truncate"]), st.sampled_from([None, 0, 3])),
    st.tuples(st.sampled_from(["seek", "read1", "readinto", "peek"]), st.integers(0, 12)),
    st.tuples(
        st.sampled_from(
            [
                *("tell", "flush", "close", "__next__", "fileno", "isatty", "readable", "writable"),
                *("seekable", "detach", "__enter__", "raw_read", "raw_write", "raw", "buffer", "encoding"),
            ]
        )
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(mode="rb", buffering=1, text={}, steps=[("read", None)])
@example(mode="w+b", buffering=-1, text={}, steps=[("write", b"bytes\r\n"), ("detach",), ("raw_read",)])
@given(
    mode=st.sampled_from(MODES),
    buffering=st.sampled_from([-1, 0, 1, 16, 8192]),
    text=st.fixed_dictionaries(
        {},
        optional={
            "encoding": st.sampled_from(["utf-8", "ascii", "utf-16", "nonsense"]),
            "errors": st.sampled_from(["strict", "replace", "nonsense"]),
            "newline": st.sampled_from(["", "\n", "\r\n", "z"]),
            "closefd": st.just(False),
        },
    ),
    steps=st.lists(STEPS, max_size=8),
)
def test_a_file_behaves_as_without_counting(tracing, tmp_path, mode, buffering, text, steps):
    """Results, types, errors, warnings and contents of any sequence of operations are those of the original."""
    path = tmp_path / "notes"
    alone = run(path, mode, buffering, text, steps)
    tracing(level="comprehensive")
    try:
        assert run(path, mode, buffering, text, steps) == alone
    finally:
        shutdown_tracing()


def run(path, mode, buffering, text, steps):
    """What each step on a file gives, the warnings, and what the file holds afterwards."""
    path.unlink(missing_ok=True)
    if "x" not in mode:
        path.write_bytes(b"one\r\ntwo\n\xc3\xa9\xff three\n")
    results = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            file = open(path, mode, buffering, **text)
        except Exception as error:
            results.append((type(error), str(error)))
        else:
            results.append((type(file), repr(file), getattr(file, "mode", None)))
            for name, *args in steps:
                try:
                    results.append(step(file, name, *args))
                except Exception as error:
                    results.append((type(error), str(error)))
                    del error
            with suppress(Exception):
                file.close()
            del file
    seen = [(each.category, str(each.message), each.filename) for each in caught]
    return results, seen, path.read_bytes() if path.exists() else None


def step(file, name, *args):
    """The result of one operation on a file, as something that can be compared."""
    if name.startswith("raw_"):
        raw = file if isinstance(file, io.FileIO) else getattr(file, "buffer", file).raw
        return raw.read() if name == "raw_read" else raw.write(b"raw")
    if name == "readinto":
        into = bytearray(args[0])
        return file.readinto(into), bytes(into)
    result = getattr(file, name)
    if name in ("raw", "buffer", "encoding"):
        return type(result), repr(result)
    result = result(*args)
    return repr(result) if isinstance(result, io.IOBase) else result
