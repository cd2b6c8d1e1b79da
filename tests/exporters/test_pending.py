"""What was recorded is sent to `export_url` by another process than the program's, at once or as soon as it can be."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.exporters.pending import CURSOR
from namel3ss_debug.importers.opening import load_spans

PROGRAM = """\
import subprocess, sys
import namel3ss_debug

@namel3ss_debug.trace_tool_call("add")
def add(a, b):
    return a + b

print(add(1, 2))
sys.exit(3)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a program that calls a tool, prints, and ends with status 3."""
    (tmp_path / "app.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("NAMEL3SS_", "OTEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NAMEL3SS_DEBUG_OUTPUT_DIR", str(tmp_path / "traces"))
    return tmp_path


def run(*words, url=None):
    """Run a command as its user would."""
    environment = dict(os.environ) | ({"NAMEL3SS_DEBUG_EXPORT_URL": url} if url else {})
    command = [sys.executable, "-m", "namel3ss_debug", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def ids(folder):
    """Return how many spans the traces hold."""
    return sum(len(load_spans(path)) for path in (folder / "traces").glob("trace_2*.jsonl"))


def test_a_trace_is_sent_after_the_program_has_ended(folder, receiver):
    """By a process of its own; the program ends as it would."""
    done = run("trace", "app.py", url=receiver.url)
    assert (done.returncode, done.stdout) == (3, "3\n")
    receiver.wait(1)
    assert len(receiver.taken()) == ids(folder)
    with open(folder / "traces" / CURSOR, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the process that sends holds it to its end
    again = run("export", "--pending", url=receiver.url)
    assert "nothing is waiting to be sent" in again.stderr
    assert len(receiver.taken()) == ids(folder)


def test_what_a_receiver_that_was_down_has_missed_arrives_later(folder, receiver):
    """With the next command, or `export --pending`; the program sees nothing of it."""
    plain = run("trace", "app.py")
    receiver.statuses = [400, 400]
    for _ in range(2):
        done = run("trace", "app.py", url=receiver.url)
        assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    receiver.wait(2)
    assert not receiver.taken()
    done = run("export", "--pending", "--to", receiver.url)
    assert done.returncode == 0, done.stderr
    assert len(set(receiver.taken())) == 2, "the trace that was recorded without export_url stays at home"
    run("list", url=receiver.url + "/v1/traces/")
    receiver.wait(6)


def test_a_program_that_starts_tracing_itself_is_sent_by_the_next_command(folder, receiver):
    """There is no parent of ours that could send it."""
    (folder / "own.py").write_text("import namel3ss_debug\nnamel3ss_debug.initialize_tracing()\n" + PROGRAM)
    environment = {**os.environ, "NAMEL3SS_DEBUG_EXPORT_URL": receiver.url}
    subprocess.run([sys.executable, "own.py"], env=environment, check=False, capture_output=True, timeout=60)
    assert not receiver.requests
    run("list", url=receiver.url)
    receiver.wait(1)
    assert len(receiver.taken()) == ids(folder)


@pytest.mark.parametrize("status", [400, 500])
def test_what_is_refused_waits_on(folder, receiver, status):
    """`export --pending` says what the receiver answered."""
    receiver.statuses = [status] * 2
    run("trace", "app.py", url=receiver.url)
    receiver.wait(1)
    refused = run("export", "--pending", "--to", receiver.url)
    assert refused.returncode == 2
    assert f"answered {status}" in refused.stderr
    assert run("export", "--pending", "--to", receiver.url).returncode == 0
    assert len(receiver.taken()) == ids(folder)


def test_a_damaged_cursor_sends_again(folder, receiver):
    """And a link in its place is not followed further than to a file."""
    receiver.statuses = [400]
    run("trace", "app.py", url=receiver.url)
    receiver.wait(1)
    cursor = folder / "traces" / CURSOR
    for content in (b"", b"[]", b"\xff", json.dumps({f"{receiver.url}/v1/traces": 3}).encode()):
        Path(cursor).write_bytes(content)
        assert run("export", "--pending", "--to", receiver.url).returncode == 0
    assert len(receiver.taken()) == 4 * ids(folder)


def test_pending_without_a_url_is_one_clear_line(folder):
    """With status 2."""
    done = run("export", "--pending")
    assert done.returncode == 2
    assert "set export_url, or give --to URL" in done.stderr
