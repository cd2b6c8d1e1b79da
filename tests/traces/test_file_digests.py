"""Digests of files: what they show of a change, and what they hide."""

from __future__ import annotations

import os

import pytest

from namel3ss_debug.traces import file_digests
from namel3ss_debug.traces.file_digests import FileDigester, regular_status


def describe(path, key=b"key", most_bytes=None):
    """Return the description of a file."""
    return FileDigester(key, most_bytes).describe(str(path), path.stat())


def test_a_digest_depends_on_the_contents_and_on_the_key(tmp_path):
    """Without the key, a guess of a short secret cannot be compared; with it, equal contents are equal."""
    path, copy = tmp_path / "pin", tmp_path / "copy"
    path.write_text("1234")
    copy.write_text("1234")
    assert describe(path)["digest"] == describe(copy)["digest"]
    assert describe(path)["digest"] != describe(path, b"other")["digest"]
    assert FileDigester(b"key").check == FileDigester(b"key").check != FileDigester(b"other").check
    copy.write_text("1235")
    assert describe(path)["digest"] != describe(copy)["digest"]


def test_of_a_large_file_the_beginning_and_the_end_are_read(tmp_path, monkeypatch):
    """Also of a small one, once as much was read as may be of all files together."""
    monkeypatch.setattr(file_digests, "MOST_BYTES", 100)
    monkeypatch.setattr(file_digests, "PART_BYTES", 10)
    path = tmp_path / "large"
    path.write_bytes(b"a" * 200)
    before = describe(path)
    assert before["part"]
    for position, differs in ((0, True), (100, False), (199, True)):
        data = bytearray(b"a" * 200)
        data[position] = 0
        path.write_bytes(data)
        assert (describe(path)["digest"] != before["digest"]) is differs
    path.write_bytes(b"a" * 60)
    digester = FileDigester(b"key", 100)
    assert [digester.describe(str(path), path.stat()).get("part") for _ in range(2)] == [None, True]


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path):
    """Its size and time are known all the same; a pipe or a folder is no regular file."""
    path = tmp_path / "gone"
    path.write_text("x")
    status = path.stat()
    path.unlink()
    assert FileDigester(b"key").describe(str(path), status) == {"size": 1, "mtime_ns": status.st_mtime_ns}
    os.mkfifo(tmp_path / "pipe")
    assert regular_status(str(tmp_path / "pipe")) is None
    assert regular_status(str(tmp_path)) is None
    assert regular_status("a\0b") is None
    with pytest.raises(FileNotFoundError):
        regular_status(str(path))
