"""The pager: only for long reports, only between terminals, and never a change of the exit status."""

import os
import pty
import select
import subprocess
import sys

import pytest

PAGER = f"{sys.executable} -c \"import sys; print('PAGED', len(sys.stdin.buffer.read().splitlines()))\""
QUITTER = f"{sys.executable} -c \"import sys; print('QUIT', len(sys.stdin.buffer.readline()) > 0)\""


@pytest.fixture
def on_terminal(workspace):
    """Run a command whose standard streams are a terminal; returns its output and its exit status."""

    def run(*words, **variables):
        environment = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
        environment |= {"TERM": "xterm", "COLUMNS": "80", "LINES": "10", "PAGER": PAGER, **variables}
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        shown = b""
        while True:
            ready, _, _ = select.select([master], [], [], 30)
            assert ready, shown
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux reports the end of a terminal so
                part = b""
            if not part:
                break
            shown += part
        os.close(master)
        return shown.decode(), process.wait()

    return run


def test_a_long_report_goes_through_the_pager(on_terminal, trace):
    """The pager gets every line; the exit status is that of the command."""
    shown, status = on_terminal("config")
    assert status == 0
    assert "PAGED" in shown
    assert int(shown.split("PAGED")[1].split()[0]) > 10
    shown, status = on_terminal("check", "--rule", "errors == 0", "--format", "json")
    assert (status, "PAGED" in shown) == (1, True)


def test_a_short_report_does_not(on_terminal, trace):
    """What fits the screen is printed."""
    shown, status = on_terminal("mark")
    assert (status, "PAGED" in shown, "outcome not judged" in shown) == (0, False, True)


@pytest.mark.parametrize(
    "variables", [{"CI": "true"}, {"TERM": "dumb"}, {"PAGER": ""}, {"PAGER": "no-such-pager"}]
)
def test_where_there_is_no_pager(on_terminal, trace, variables):
    """In CI, on a dumb terminal, and where $PAGER is empty or is not installed."""
    shown, status = on_terminal("config", **variables)
    assert (status, "PAGED" in shown, "trace_output_dir" in shown) == (0, False, True)


def test_no_pager_is_an_option(on_terminal, trace):
    """Of every command that reports."""
    shown, status = on_terminal("config", "--no-pager")
    assert (status, "PAGED" in shown, "trace_output_dir" in shown) == (0, False, True)


def test_closing_the_pager_keeps_the_status(on_terminal, trace):
    """A pager that reads one line and ends is no error, whatever is still to come."""
    shown, status = on_terminal("check", "--rule", "errors == 0", "--format", "json", PAGER=QUITTER)
    assert (status, "QUIT True" in shown, "Traceback" in shown) == (1, True, False)
    shown, status = on_terminal("inspect", "--format", "jsonl", PAGER=QUITTER)
    assert (status, "QUIT True" in shown, "Traceback" in shown) == (0, True, False)


def test_a_pipe_gets_no_pager(run, trace):
    """The usual output of programs that read along."""
    assert "trace_output_dir" in run("config").stdout
