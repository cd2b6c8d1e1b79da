"""Opened files: each described once, as it was before the program could change it."""

from __future__ import annotations

import linecache
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.seams.inputs.opened_files import OpenedFiles, find_followed, on_open
from namel3ss_debug.traces.file_digests import FileDigester


@pytest.fixture
def follow():
    """Follow what this process opens; a function that returns the reports so far."""
    undo = []
    sites = CallSites("/nowhere", "/nowhere")

    def start(most=100, skipped=()):
        reports = []
        files = OpenedFiles(
            FileDigester(b"key"),
            most,
            tuple(skipped),
            sites,
            lambda path, found: reports.append((path, found)),
        )
        undo.append(on_open(files.opened))
        return files, reports

    yield start
    while undo:
        undo.pop()()


def digest_of(path):
    """Return the digest of a file as it is now."""
    return FileDigester(b"key").describe(str(path), path.stat())["digest"]


def test_a_file_is_described_as_it_was_when_it_was_opened_first(follow, tmp_path):
    """Before it is truncated; at the end, what differs from then is reported."""
    path = tmp_path / "notes"
    path.write_text("before")
    before = digest_of(path)
    files, reports = follow()
    path.write_text("after it")
    path.read_text()
    [(name, found)] = reports
    assert (name, found["size"], found["digest"], found["written"]) == (str(path), 6, before, True)
    files.finish()
    assert reports[1:] == [(str(path), {"after": {"size": 8, "mtime_ns": path.stat().st_mtime_ns}})]
    files.finish()
    assert len(reports) == 2


def test_a_file_that_is_written_after_it_was_read_is_reported_again(follow, tmp_path):
    """Once, without reading it again; a file that is missing is reported as missing."""
    path = tmp_path / "notes"
    path.write_text("x")
    files, reports = follow()
    path.read_text()
    for _ in range(2):
        with path.open("a") as file:
            file.write("y")
    with pytest.raises(FileNotFoundError):
        (tmp_path / "none").read_text()
    assert "written" not in reports[0][1]
    assert reports[1:] == [(str(path), {"written": True}), (str(tmp_path / "none"), {"missing": True})]
    path.unlink()
    files.finish()
    assert reports[3:] == [(str(path), {"after": {"missing": True}})]


def test_files_of_packages_code_and_the_system_are_left_out(follow, tmp_path):
    """So are our own files, what is no file, and whatever is opened after the limit."""
    installed = tmp_path / "site-packages" / "a.txt"
    installed.parent.mkdir()
    own = tmp_path / "run.p1.jsonl"
    for path in (
        installed,
        tmp_path / "code.py",
        own,
        *(tmp_path / each for each in ("one", "two", "three")),
    ):
        path.write_text("x")
    os.mkfifo(tmp_path / "pipe")
    _files, reports = follow(most=2, skipped=[str(tmp_path / "run")])
    for path in (installed, own):
        path.read_text()
    linecache.getlines(str(tmp_path / "code.py"))
    for name in ("/dev/null", "/dev/urandom", tmp_path):
        os.close(os.open(name, os.O_RDONLY))
    os.close(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK))
    assert reports == []
    assert find_followed("/proc/self/stat") is None
    _files, reports = follow(most=2)
    with open(0, closefd=False):
        pass
    for name in ("one", "two", "three"):
        (tmp_path / name).read_bytes()
    own.read_text()
    assert [path for path, _found in reports] == [str(tmp_path / "one"), str(tmp_path / "two")]


LOCKED = """
import sqlite3, sys
try:
    with sqlite3.connect(sys.argv[1], timeout=0) as database:
        database.execute("insert into t values (2)")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_the_locks_of_a_database_stay(follow, tmp_path):
    """Reading a file would release the locks that SQLite holds on it, so no name of it is ever read again."""
    path, link = tmp_path / "cache.db", tmp_path / "link.db"
    link.symlink_to(path)
    files, reports = follow()
    database = sqlite3.connect(path)
    database.execute("create table t (x)")
    database.execute("begin immediate")
    database.execute("insert into t values (1)")
    sqlite3.connect(link).close()
    sqlite3.connect(f"file:{path}?mode=ro", uri=True).close()
    files.finish()
    other = subprocess.run(
        [sys.executable, "-c", LOCKED, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert other.stdout == "database is locked\n"
    database.commit()
    database.close()
    assert reports[0] == (str(path), {"missing": True, "written": True})
    assert "digest" not in str(reports)
    sqlite3.connect(":memory:").close()
    assert len({path for path, _found in reports}) <= 2


def test_an_exception_of_a_signal_handler_ends_the_opening(tmp_path):
    """As it does without tracing; anything else that goes wrong in following does not reach the program."""

    class OutOfTimeError(Exception):
        pass

    def stop(_number, _frame):
        raise OutOfTimeError

    before = signal.signal(signal.SIGUSR1, stop)
    undo = [on_open(lambda *_: os.kill(os.getpid(), signal.SIGUSR1))]
    try:
        with pytest.raises(OutOfTimeError):
            (tmp_path / "a").write_text("x")
        undo.pop()()
        undo.append(on_open(lambda *_: 1 / 0))
        (tmp_path / "a").write_text("x")
    finally:
        signal.signal(signal.SIGUSR1, before)
        while undo:
            undo.pop()()


def test_a_source_file_that_is_read_as_data_is_described(follow, tmp_path):
    """An import and a traceback read it as code; a program that reads it by itself takes it as data."""
    path = tmp_path / "rules.py"
    path.write_text("RULES = []")
    _files, reports = follow()
    linecache.getlines(str(path))
    assert reports == []
    with path.open() as file:
        file.read()
    assert [name for name, _found in reports] == [str(path)]


def test_the_functions_that_read_a_file_are_reported(tmp_path):
    """Each of the user's functions once; a file that is only written has no reader."""
    reports = []
    sites = CallSites(str(Path(__file__).parent), str(Path(__file__).parent))
    files = OpenedFiles(
        FileDigester(b"key"), 10, (), sites, lambda path, found: reports.append((path, found))
    )
    path = tmp_path / "data.json"
    path.write_text("{}")

    def load():
        return path.read_text()

    undo = on_open(files.opened)
    try:
        for _ in range(2):
            load()
        path.read_text()
        (tmp_path / "out.txt").write_text("")
        (tmp_path / "log.txt").open("a").close()
        (tmp_path / "log.txt").touch()  # opens without emptying
    finally:
        undo()
    name = f"{Path(__file__).name}:test_the_functions_that_read_a_file_are_reported"
    openers = [found["openers"] for _, found in reports if "openers" in found]
    assert openers == [[f"{name}.<locals>.load"], [f"{name}.<locals>.load", name]]
