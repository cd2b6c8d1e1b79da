"""Tests of tools that are tried in a forked copy of the program, each in a program of its own that is re-run."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

PROGRAM = """
import asyncio, os, random, sqlite3, sys, threading, time
from namel3ss_debug.hooks import trace_tool_call

LOG = open("log.txt", "a", buffering=1)
SHARED = os.open("shared.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
LINES = open("lines.txt")
DB = sqlite3.connect("rows.db")
DB.execute("create table if not exists rows (value)")
DB.commit()
FACTOR = 1

@trace_tool_call
def double(number):
    print("doubling", number)
    return number * 2 * FACTOR

@trace_tool_call
def draws():
    return random.random() * FACTOR

@trace_tool_call
def reads():
    return LINES.readline() * FACTOR

@trace_tool_call
def counts():
    return DB.execute("select count(*) from rows").fetchone()[0] * FACTOR

@trace_tool_call
def logs(text):
    LOG.write(text * FACTOR + chr(10))
    return "logged"

@trace_tool_call
def shares(text):
    os.write(SHARED, text.encode() * FACTOR)
    return "shared"

@trace_tool_call
def inserts(value):
    DB.execute("insert into rows values (?)", (value * FACTOR,))
    DB.commit()
    return "inserted"

@trace_tool_call
def fails():
    raise ValueError("no" * FACTOR)

@trace_tool_call
def hangs():
    if os.path.exists("hang"):
        time.sleep(60 * FACTOR)
    return 1

@trace_tool_call
def ends():
    if os.path.exists("hang"):
        os._exit(3 * FACTOR)
    return 1

@trace_tool_call
async def waits():
    return FACTOR

@trace_tool_call
def beside():
    return FACTOR

print(double(4), reads(), LINES.readline(), draws(), random.random(), counts())
print(logs("a"), shares("b"), inserts(3), hangs(), ends(), asyncio.run(waits()))
try:
    fails()
except ValueError as error:
    print(error)
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
print(beside())
stop.set()
thread.join()
"""


@pytest.fixture
def bench(tmp_path, model_environment):
    """A recorded program, and a function that runs it again with all its tools changed."""
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "lines.txt").write_text("one\ntwo\n")

    def run(*words):
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        options = {"cwd": tmp_path, "env": model_environment, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, timeout=200, **options)

    recorded = run("trace", "-o", "run.jsonl", "app.py")
    assert recorded.returncode == 0, recorded.stderr
    run.output, run.path = recorded.stdout, tmp_path
    return run


def effects(folder):
    """Return what the tools have written so far."""
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        rows = database.execute("select value from rows").fetchall()
    return (folder / "log.txt").read_text(), (folder / "shared.txt").read_text(), rows


def test_a_tool_that_is_tried_changes_nothing(bench):
    """It writes exactly once, in the recorded run; those that return the same are verified, the others say why."""
    once = ("a\n", "b", [(3,)])
    assert effects(bench.path) == once
    (bench.path / "app.py").write_text(PROGRAM.replace("FACTOR = 1", "FACTOR = max(1, 0)"))
    (bench.path / "hang").touch()
    plain = bench("rerun", "run.jsonl", "--format", "jsonl")
    assert len(json.loads(plain.stdout.splitlines()[-1])["reasons"]) == 12
    again = bench("rerun", "run.jsonl", "--try-tools", "--format", "jsonl")
    report = json.loads(again.stdout.splitlines()[-1])
    assert again.returncode == 1, (
        again.stderr
    )  # the answered tools read no line, which the program prints then
    reasons = {each["tool"]: each["text"].rpartition(", ")[2] for each in report["reasons"]}
    assert reasons == {
        # The trace was recorded with one row less, which the tool has since added.
        "counts": "its result differs from the recorded one",
        "logs": "its result differs from the recorded one",
        "shares": "its result differs from the recorded one",
        "inserts": "its result differs from the recorded one",
        "hangs": "it ran longer than 5 seconds when it was tried",
        "ends": "it ended the program when it was tried",
        "waits": "where it cannot be tried",
        "beside": "beside which it cannot be tried",
    }
    assert effects(bench.path) == once
    made = bench("make-test", "run.jsonl", "--try-tools")
    assert made.returncode == 0, made.stderr
    assert 'run_tools=["double", "reads", "draws", "fails"]' in (
        bench.path / "test_app.py"
    ).read_text().replace("\n", "")
    assert effects(bench.path) == once


def test_the_program_goes_on_as_if_nothing_was_tried(bench):
    """Positions in files, random numbers and what is printed stay those of the answered run."""
    (bench.path / "app.py").write_text(PROGRAM.replace("FACTOR = 1", "FACTOR = max(1, 0)"))
    again = bench("rerun", "run.jsonl", "--try-tools")
    answered = bench("rerun", "run.jsonl")
    assert again.stdout == answered.stdout
    assert "doubling" not in again.stdout
