"""Log records go to the push API of Loki."""

import gzip
import json

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.exporters import loki

EVENTS = [
    {"event_type": "trace_start", "event_id": "1", "component": "app", "metadata": {"target": "shop/app.py"}},
    {"event_type": "agent_execution_start", "event_id": "2", "component": "agent", "component_name": "Buyer"},
    {"event_type": "log_record", "event_id": "3", "parent_event_id": "2", "component": "log",
     "component_name": "shop.stock", "call_site": "app.py:4",
     "metadata": {"level": "warning", "message": "no stock", "extra": {"sku": "A-17"}}},
    {"event_type": "log_record", "event_id": "4", "component": "log", "component_name": "root",
     "metadata": {"level": "info", "message": "key sk-ant-api03-" + "A1b2" * 24}},
    {"event_type": "agent_execution_end", "event_id": "5", "parent_event_id": "2", "component": "agent", "status": "completed"},
]  # fmt: skip


@pytest.fixture
def trace(tmp_path):
    """A small trace with two log records."""
    path = tmp_path / "t.jsonl"
    rows = [{**row, "execution_id": "run", "timestamp": 1_764_000_000.5} for row in EVENTS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def send(trace, url, *options):
    """Send the trace."""
    return CliRunner().invoke(debug, ["export", str(trace), "--to", url, *options])


@pytest.mark.parametrize(("path", "options"), [("", ("--format", "loki")), (loki.PATH, ())])
def test_log_records_are_pushed(trace, receiver, monkeypatch, path, options):
    """In batches, with few labels, and the rest in a line of JSON, without secrets."""
    monkeypatch.setattr(loki, "LINES_PER_REQUEST", 1)
    result = send(trace, receiver.url + path, "--header", "X-Scope-OrgID: team", *options)
    assert result.exit_code == 0, result.output
    assert f"t.jsonl: 2 log lines were sent to {receiver.url}/loki/api/v1/push" in result.output
    assert {path for path, *_ in receiver.requests} == {"/loki/api/v1/push"}
    headers = {name.lower(): value for name, value in receiver.requests[0][1].items()}
    assert headers["x-scope-orgid"] == "team"
    first, second = (json.loads(gzip.decompress(body))["streams"] for _, _, body, _ in receiver.requests)
    assert first[0]["stream"] == {"service_name": "app", "level": "warning", "log": "system"}
    ((at, line),) = first[0]["values"]
    assert at == "1764000000500000000"
    wanted = {
        "message": "no stock",
        "source": "shop.stock",
        "agent": "Buyer",
        "event": 3,
        "call_site": "app.py:4",
        "sku": "A-17",
    }
    assert json.loads(line).items() >= wanted.items()
    assert "[REDACTED" in second[0]["values"][0][1]


def test_a_refused_request_is_one_line(trace, receiver):
    """It says how much was sent before."""
    receiver.statuses = [400]
    result = send(trace, receiver.url, "--format", "loki")
    assert result.exit_code == 2
    assert "/loki/api/v1/push answered 400 not now; 0 log lines were sent before" in result.output
