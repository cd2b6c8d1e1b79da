"""Tests of seeing what is written to the streams of a process."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager

import pytest

from namel3ss_debug.capture.seams.outputs import streams


@contextmanager
def watched(monkeypatch):
    """A stdout of this process, watched, and what was reported; pytest sets `sys.stdout` anew before each test."""
    found = []
    stream = io.TextIOWrapper(io.BufferedWriter(io.BytesIO()), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    undo = streams.watch(lambda name, text: found.append((name, text)))
    try:
        yield stream, found
    finally:
        for each in reversed(undo):
            each()
    assert "write" not in vars(stream)
    assert "write" not in vars(stream.buffer)


def test_each_way_to_write_is_seen_once(monkeypatch):
    """Text that the stream passes to its buffer is not reported a second time."""
    with watched(monkeypatch) as (stream, written):
        print("one", end="")
        stream.writelines(["two", "three"])
        stream.flush()
        stream.buffer.write(b"four")
        with open(os.devnull, "wb") as other:
            os.write(other.fileno(), b"elsewhere")
        seen = [each for each in written if each[1]]
        assert seen == [("stdout", "one"), ("stdout", "two"), ("stdout", "three"), ("stdout", b"four")]
        stream.buffer.flush()
        assert stream.buffer.raw.getvalue() == b"onetwothreefour"


def test_an_error_of_a_write_has_no_frame_of_ours(monkeypatch):
    """The program sees its own frame alone."""
    with watched(monkeypatch) as (_stream, written):
        with pytest.raises(UnicodeEncodeError) as caught:
            sys.stdout.write("\ud800")
        assert [entry.path.name for entry in caught.traceback] == ["test_streams.py"]
        assert written == []
