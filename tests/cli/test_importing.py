"""`debug import`: files of other tools as traces."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.traces.store import list_traces

DATA = Path(__file__).parent.parent / "data/imports"
SESSION = str(DATA / "claude-code/short.jsonl")


@pytest.fixture(autouse=True)
def traces(tmp_path, monkeypatch):
    """Return the folder of the traces."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_OUTPUT_DIR", str(tmp_path / "traces"))
    return tmp_path / "traces"


def run(*words, status=0):
    """Run a command."""
    result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
    assert result.exit_code == status, result.output
    return result


def test_a_converted_file_is_the_same_run(traces, tmp_path):
    """It is written once more where it is an import itself, and never over another trace."""
    run("import", SESSION)
    assert "same run" in run("diff", SESSION, str(traces / "short.jsonl")).stdout
    run("import", SESSION)
    (traces / "short.jsonl").write_text("{}\n")
    assert "is another trace; give another file with -o" in run("import", SESSION, status=2).stderr
    run("import", SESSION, "-o", str(tmp_path / "x.jsonl"))
    assert "needs no import" in run("import", str(tmp_path / "x.jsonl"), status=2).stderr


def test_the_report_lists_what_is_not_carried_over(traces):
    """It writes nothing."""
    shown = run("import", "--report", SESSION).stdout
    assert "12 events in 5 spans" in shown
    assert "left out: rows of type progress (hook_progress), 3 times" in shown
    assert "kept in metadata.source only: " in shown
    assert "not in the file: cost of a model call, once" in shown
    assert not traces.exists()


def test_secrets_of_a_foreign_file_are_replaced(tmp_path):
    """As in a trace of ours."""
    key = "sk-proj-" + "aB3dE5gH7jK9mN2pQ4sT6vW8xY" * 2
    session = tmp_path / "s.jsonl"
    session.write_text(Path(SESSION).read_text().replace("doesnt seem", key))
    run("import", str(session), "-o", str(tmp_path / "out.jsonl"))
    written = (tmp_path / "out.jsonl").read_text()
    assert key not in written
    assert "[REDACTED:" in written


def test_otlp_in_protobuf_has_the_events_of_its_json(tmp_path):
    """What is exported in either form is imported as the same run."""
    for name in ("otlp", "otlp-proto"):
        run(
            "export",
            str(DATA / "openai-agents/openai-agents-export.json"),
            "--format",
            name,
            "-o",
            str(tmp_path / name),
        )
    found = [
        run("inspect", str(tmp_path / name), "--format", "json").stdout for name in ("otlp", "otlp-proto")
    ]
    assert json.loads(found[0])["events"] == json.loads(found[1])["events"]
    assert "get_weather" in found[0]


def test_a_receiver_ends_by_ctrl_c_with_all_that_it_took(traces):
    """What still waits for its parent is written, and the trace has its end."""
    command = [sys.executable, "-m", "namel3ss_debug", "import", "--listen", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as receiver:
        url = receiver.stderr.readline().split(" at ")[1].partition(";")[0]
        span = {"traceId": "a" * 32, "spanId": "b" * 16, "parentSpanId": "c" * 16, "name": "\x1b[31mx"}
        span |= {"startTimeUnixNano": "1000", "endTimeUnixNano": "2000"}
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
        request = Request(url, body, {"content-type": "application/json"})
        assert urlopen(request).read() == b"{}"
        receiver.send_signal(signal.SIGINT)
        begun, total = receiver.stderr.read().splitlines()
    assert receiver.returncode == 0
    assert total == "namel3ss debug: 1 span in 1 trace"
    assert begun.endswith(str(list_traces(traces)[0].path))
    assert list_traces(traces)[0].status == "finished"
    assert list_traces(traces)[0].events == 4


def test_a_receiver_says_what_is_wrong(traces):
    """It takes no file, and another port where its own is taken."""
    assert "--listen takes no FILE" in run("import", "--listen", "0", SESSION, status=2).stderr
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        shown = run("import", "--listen", port, status=2).stderr
    assert f"port {port} of loopback: Address already in use; give another with --listen PORT" in shown
    assert "no FILE; name one" in run("import", status=2).stderr
    assert not traces.exists()
