"""`debug monitor`."""

import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest

from namel3ss_debug.cli.monitor import Screen
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.monitor import Snapshot, TraceFigures
from namel3ss_debug.views.monitor import ORDERS


def test_one_look_shows_figures_and_no_alert(run, trace):
    """The run with its calls, on a screen of 80 columns."""
    result = run("monitor", trace, "--once")
    assert result.exit_code == 0
    assert "1 run, 0 running" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_one_look_is_a_document(run, trace):
    """With the figures of each trace."""
    document = json.loads(run("monitor", trace, "--once", "--format", "json").stdout)
    assert document["schema"] == "namel3ss-debug/monitor/1"
    assert document["traces"][0]["tokens"] == 412
    assert document["alerts"] == []


def test_a_rule_that_is_broken_ends_with_status_1(run, trace):
    """Of at least the severity of --fail-on; each alert is a line of jsonl."""
    rule = json.dumps({"name": "few", "limit": "calls < 1", "severity": "warning"})
    assert run("monitor", trace, "--once", "--rule", rule).exit_code == 0
    result = run("monitor", trace, "--once", "--rule", rule, "--fail-on", "warning", "--format", "jsonl")
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["rule"] == "few"


def test_without_a_terminal_each_alert_is_a_line_until_the_trace_is_over(run, trace):
    """As it fires and as it is resolved."""
    rule = json.dumps({"name": "few", "limit": "calls < 1"})
    result = run("monitor", trace, "--rule", rule, "--format", "jsonl")
    assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == ["firing", "resolved"]


def test_text_of_a_trace_is_not_obeyed(run, hostile_trace):
    """Neither in the figures nor in an alert."""
    rule = json.dumps({"name": "few", "limit": "calls < 1", "by": "tool"})
    for options in ((), ("--format", "markdown"), ("--format", "html")):
        assert "\x1b" not in run("monitor", hostile_trace, "--once", "--rule", rule, *options).stdout


def test_a_rule_of_check_with_a_window_is_refused_there(run, trace):
    """It says which command evaluates it."""
    result = run("check", trace, "--rule", '{"limit": "error_rate <= 0.1", "window": "5m"}')
    assert result.exit_code != 0
    assert "namel3ss debug monitor --rules FILE" in result.stderr


@pytest.fixture
def snapshot():
    """A look at fifty traces."""
    rows = tuple(
        TraceFigures(
            f"{n}.jsonl",
            f"app{n}.py",
            "running" if n % 2 else "finished",
            n,
            1,
            0,
            n,
            0,
            0,
            0,
            0.0,
            0,
            None,
            None,
            None,
            None,
            100.0 - n,
            None,
            0,
            "",
            0.0,
        )
        for n in range(50)
    )
    return Snapshot(1_795_600_000.0, rows, (), ())


def test_the_keys_are_those_of_top_and_less(snapshot):
    """Moving, another order, running ones only, a pause, help and the end."""
    screen = Screen()
    lines, total = screen.draw(snapshot, 100, 20, ".")
    assert (len(lines), total) == (20, 53)
    for key, at in (("j", 1), ("k", 0), (" ", 18), ("b", 0), ("G", 35), ("g", 0)):
        assert screen.press(key, 18, total)
        assert screen.at == at
    for key in ("M", "r", "p", "h"):
        assert screen.press(key, 18, total)
    lines, total = screen.draw(snapshot, 100, 40, ".")
    text = "\n".join(line.plain for line in lines)
    assert "paused" in text
    assert "N newest" in text
    assert "app1.py" in text
    assert "app0.py" not in text
    assert text.index("app1.py") < text.index("app3.py")
    assert not screen.press("q", 18, total)
    assert set(ORDERS) == set("NTMPCE")


def test_the_command_of_an_alert_is_whole_on_a_narrow_screen(snapshot):
    """It goes on in the next line."""
    command = f"namel3ss debug inspect {'debug/' * 20}t.jsonl --event 45"
    alert = Alert(
        *("few", "error", "firing", "too few calls", (), 1.0, 2.0, 1.0, 1.0, None),
        *("t.jsonl", (45,), command, "f", "e"),
    )
    lines, _ = Screen().draw(snapshot._replace(traces=(), alerts=(alert,)), 80, 24, ".")
    assert command in "".join(line.plain for line in lines)
    assert max(len(line.plain) for line in lines) == 80


@pytest.mark.slow
@pytest.mark.parametrize("no_color", [True, False])
def test_the_screen_is_drawn_on_a_terminal(trace, no_color):
    """With colours and without, and it gives the terminal back."""
    main, other = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    command = [sys.executable, "-m", "namel3ss_debug", "monitor", str(trace)]
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    shown, until = b"", time.monotonic() + 30
    while b"1 run" not in shown and time.monotonic() < until:
        if select.select([main], [], [], 0.2)[0]:
            shown += os.read(main, 65536)
    os.write(main, b"q")
    while time.monotonic() < until:
        try:
            shown += os.read(main, 65536)
        except OSError:
            break
    assert process.wait(30) == 0
    os.close(main)
    assert shown.index(b"\x1b[?1049h") < shown.index(b"1 run") < shown.rindex(b"\x1b[?1049l")
    assert (b"\x1b[1m" in shown) != no_color


@pytest.mark.slow
def test_a_traced_program_is_watched_from_its_parent(tmp_path):
    """The alert stands on stderr with its command, the figures at the end; the program keeps its output and status."""
    (tmp_path / "app.py").write_text(
        "from namel3ss_debug import trace_tool_call\n"
        "@trace_tool_call\n"
        "def search(q):\n"
        "    return []\n"
        "for _ in range(9):\n"
        "    search('lamps')\n"
        "print('done')\n"
        "raise SystemExit(3)\n"
    )
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "--monitor", "-o", "t.jsonl", "app.py"]
    result = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (3, "done\n")
    assert "firing error loop" in result.stderr
    assert "inspect" in result.stderr
    assert "9 calls, 0 failed" in result.stderr
