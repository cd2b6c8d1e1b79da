"""`debug view`."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from namel3ss_debug.cli import view
from namel3ss_debug.config import DebugConfiguration

DEBUG = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()"]
WITHOUT_DISPLAY = {
    name: text for name, text in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
}
IMPORTED = Path(__file__).parents[1] / "data/imports/claude-code/short.jsonl"


@pytest.fixture
def opened(monkeypatch):
    """The addresses that the browser was asked for; there is a display."""
    found = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: not found.append(address))
    return found


def test_the_page_is_beside_the_trace_and_opens(run, trace, opened):
    """It is one file for its owner only, with the name of the trace."""
    result = run("view")
    page = trace.with_suffix(".html")
    assert result.exit_code == 0
    assert result.stderr == (
        "namel3ss debug: the page is in debug/traces/trace_20251121_120000_ab12cd34.html and opens in the browser\n"
    )
    assert opened == [page.resolve().as_uri()]
    assert page.read_text().startswith("<!doctype html>")
    assert page.stat().st_mode & 0o777 == 0o600


def test_without_a_display_the_path_is_printed(run, trace, opened, monkeypatch):
    """A browser of the terminal does not take it over; nor does any with --no-open."""
    run("view", "--no-open")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(view.sys, "platform", "linux")
    result = run("view", "-o", "page.html")
    assert opened == []
    assert result.stderr == "namel3ss debug: the page is in page.html\n"


def test_a_session_of_another_tool_has_its_page_in_the_folder_of_traces(run, workspace):
    """Nothing is written where another tool keeps its files."""
    source = Path(shutil.copy(IMPORTED, workspace / "session.jsonl"))
    assert run("view", source, "--no-open").exit_code == 0
    assert [path.name for path in workspace.glob("*.html")] == []
    assert (workspace / "debug/traces/session.html").exists()


def test_the_trace_is_never_written_over(run, trace):
    """A file that is the trace is refused."""
    before = trace.read_bytes()
    result = run("view", trace, "-o", trace, "--no-open")
    assert result.exit_code == 2
    assert f"{trace} is the trace itself" in result.stderr
    assert trace.read_bytes() == before


def test_the_standard_output_takes_the_page(run, trace, workspace):
    """With -o - nothing is written to a file, and nothing opens."""
    result = run("view", "-o", "-")
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.endswith("</html>\n")
    assert [*workspace.rglob("*.html")] == []


def test_a_hostile_trace_has_a_page(run, hostile_trace):
    """What is printed about it has no control character."""
    result = run("view", hostile_trace, "--no-open")
    assert result.exit_code == 0
    assert all(character.isprintable() or character == "\n" for character in result.stderr)


def test_two_traces_have_one_page(run, trace, workspace):
    """It is named after both, beside the second."""
    other = Path(shutil.copy(trace, workspace / "other.jsonl"))
    assert run("view", trace, other, "--no-open").exit_code == 0
    page = workspace / f"{trace.stem}-other.html"
    assert '"kind":"compare"' in page.read_text().replace(" ", "")
    assert run("view", trace, other, trace).exit_code == 2


def test_neither_of_two_traces_is_written_over(run, trace, workspace):
    """Both are refused as the page."""
    other = Path(shutil.copy(trace, workspace / "other.jsonl"))
    for target in (trace, other):
        before = target.read_bytes()
        assert run("view", trace, other, "-o", target, "--no-open").exit_code == 2
        assert target.read_bytes() == before


def test_a_rerun_beside_its_trace_is_called_so(run, workspace):
    """The sides have the names of what they are, also without content; the page of a re-run alone offers both."""
    for name, more in (("a", {}), ("b", {"rerun": {"of": "a", "recording": str(workspace / "a.jsonl")}})):
        start = {"event_type": "trace_start", "event_id": "1", "component": "app", "execution_id": name}
        start["metadata"] = {"format": 2, "pid": 1, **more}
        (workspace / f"{name}.jsonl").write_text(f"{json.dumps(start)}\n")
    assert '"sides":["trace","re-run"]' in run("view", "a.jsonl", "b.jsonl", "--no-content", "-o", "-").stdout
    assert '"sides":["a","b"]' in run("view", "b.jsonl", "a.jsonl", "-o", "-").stdout
    offered = "it is a re-run; beside its trace: namel3ss debug view a.jsonl b.jsonl"
    assert offered in run("view", "b.jsonl", "--no-open").stderr
    assert "re-run" not in run("view", "a.jsonl", "--no-open").stderr


def test_a_directory_has_the_page_of_its_runs(run, trace, hostile_trace):
    """A page that was written beside a trace is linked from it."""
    run("view", trace, "--no-open")
    result = run("view", trace.parent, "--no-open")
    assert result.exit_code == 0
    page = (trace.parent / "runs.html").read_text()
    assert '"kind":"many"' in page.replace(" ", "")
    assert f'"page":"{trace.stem}.html"' in page.replace(" ", "")


def test_runs_of_another_tool_have_their_page_in_the_folder_of_traces(run, workspace):
    """Nothing is written where another tool keeps its files."""
    folder = workspace / "sessions"
    folder.mkdir()
    shutil.copy(IMPORTED, folder)
    assert run("view", folder, "--no-open").exit_code == 0
    assert [*folder.glob("*.html")] == []
    assert (workspace / "debug/traces/runs.html").exists()


def test_the_live_page_is_no_file(run, trace):
    """It cannot be written to one."""
    result = run("view", "--live", "-o", "page.html")
    assert result.exit_code == 2
    assert "--live writes no file; leave out -o" in result.stderr


def test_the_browser_opens_the_live_page_by_a_file_of_the_user(workspace, trace, opened, monkeypatch, capsys):
    """Its address, with the token, is on no command line; the file and the server go with the block."""
    files = []
    monkeypatch.setattr(view, "open_browser", files.append)
    with view.serving(trace, DebugConfiguration(), is_opened=True) as server:
        (file,) = files
        assert (file.parent, file.stat().st_mode & 0o777) == (workspace / "debug/traces", 0o600)
        assert server.token in file.read_text()
        assert (
            capsys.readouterr().err
            == f"namel3ss debug: the live page opens in the browser; {file} leads to it\n"
        )
    assert not file.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server_port))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_live_page_is_served_until_it_is_interrupted(workspace, trace, ending):
    """Also of a trace that was finished long ago; the status is 0."""
    command = [*DEBUG, "view", "--live", "latest"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=WITHOUT_DISPLAY) as process:
        found = re.fullmatch(
            r"namel3ss debug: the live page: open (\S+) in a browser\n", process.stderr.readline()
        )
        assert Path(found[1]).stat().st_mode & 0o777 == 0o600
        process.send_signal(ending)
        assert (process.wait(), process.stderr.read()) == (0, "")
    assert not Path(found[1]).exists()


def test_a_program_is_shown_while_it_runs_and_keeps_its_status(workspace):
    """Without a page that was opened, nothing is waited for at its end."""
    (workspace / "program.py").write_text("print(input())\nraise SystemExit(3)\n")
    done = subprocess.run(
        [*DEBUG, "trace", "--view", "program.py"],
        input="hello\n",
        capture_output=True,
        text=True,
        check=False,
        env=WITHOUT_DISPLAY,
    )
    first, *rest = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "hello\n")
    assert first.startswith("namel3ss debug: the live page: open ")
    assert "recorded" in rest[-1]
    assert list((workspace / "debug/traces").glob("*.html")) == []
