"""Spans are sent to a receiver of OTLP until it has them, or the command says which it has not."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

from namel3ss_debug.cli.main import debug
from namel3ss_debug.importers.opening import load_spans
from namel3ss_debug.wire import posting

TRACE = Path(__file__).parent.parent / "data" / "recordings" / "support_agent.jsonl"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No pauses between attempts, and no headers of the machine."""
    monkeypatch.setattr(posting, "BACKOFF_SECONDS", 0)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_HEADERS", raising=False)


def send(url, *options):
    """Send the trace."""
    return CliRunner().invoke(debug, ["export", str(TRACE), "--to", url, *options])


def count():
    """Return how many spans of it are exported."""
    spans = load_spans(TRACE)
    return sum(not spans.background[row] for row in range(len(spans)))


@pytest.mark.parametrize("options", [(), ("--format", "otlp")], ids=["protobuf", "json"])
def test_every_span_arrives_once(receiver, options, monkeypatch):
    """In several requests, compressed, with the headers of the option and of the environment."""
    monkeypatch.setattr("namel3ss_debug.exporters.otlp.SPANS_PER_REQUEST", 3)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20x,x-team=env")
    result = send(receiver.url, "--header", "X-Team: option", *options)
    assert result.exit_code == 0, result.output
    assert len(set(receiver.taken())) == len(receiver.taken()) == count()
    assert f"{count()} spans were sent to {receiver.url}/v1/traces" in result.output
    assert len(receiver.requests) == -(-count() // 3)
    for path, headers, _, _ in receiver.requests:
        assert path == "/v1/traces"
        assert {name.lower(): value for name, value in headers.items()}.items() >= {
            "authorization": "Basic x",
            "x-team": "option",
            "content-encoding": "gzip",
        }.items()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_that_is_busy_is_asked_again(receiver, status):
    """Until it takes the request."""
    receiver.statuses = [status] * 4
    assert send(receiver.url).exit_code == 0
    assert len(receiver.taken()) == count()


@pytest.mark.parametrize("status", [400, 401, 404, 500, 302])
def test_what_is_refused_is_not_sent_again(receiver, status):
    """One line names the answer."""
    receiver.statuses = [status] * 9
    result = send(receiver.url)
    assert result.exit_code == 2
    assert f"answered {status} not now; 0 spans were sent before" in result.output
    assert len(receiver.requests) == 1


def test_a_receiver_that_stays_busy_is_named(receiver):
    """With its status."""
    receiver.statuses = [503] * 99
    result = send(receiver.url)
    assert result.exit_code == 2
    assert "answered 503" in result.output
    assert len(receiver.requests) == posting.RETRIES + 1


def test_a_receiver_that_is_down_is_named(receiver):
    """In one line, with status 2."""
    receiver.server.server_close()
    result = send("http://127.0.0.1:9")
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "http://127.0.0.1:9/v1/traces was not reached after 7 attempts" in result.output


@pytest.mark.parametrize(
    "answer",
    [
        (b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}', "application/json"),
        (
            ExportTraceServiceResponse(partial_success={"rejected_spans": 2}).SerializeToString(),
            "application/x-protobuf",
        ),
    ],
    ids=["json", "protobuf"],
)
def test_spans_that_the_receiver_refuses_are_counted(receiver, answer):
    """With status 1."""
    receiver.answer = answer
    result = send(receiver.url)
    assert result.exit_code == 1
    assert "refused 2 of them" in result.output


@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"[]", b'{"partialSuccess": 3}'])
@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf", "text/html"])
def test_any_other_body_of_a_success_is_a_success(receiver, body, kind):
    """Whatever a receiver writes there."""
    receiver.answer = (body, kind)
    assert send(receiver.url).exit_code == 0


def test_a_path_of_the_url_stays(receiver):
    """As Langfuse and MLflow have it."""
    assert send(f"{receiver.url}/api/public/otel/v1/traces").exit_code == 0
    assert receiver.requests[0][0] == "/api/public/otel/v1/traces"
