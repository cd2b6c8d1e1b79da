"""The receiver takes what exporters send, and refuses everything else."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from namel3ss_debug.importers.arriving import Recordings
from namel3ss_debug.importers.opening import load_spans
from namel3ss_debug.importers.otlp_receiver import MOST_UNPACKED, PATH, OtlpReceiver
from namel3ss_debug.traces.store import list_traces

JSON, PROTOBUF = {"content-type": "application/json"}, {"content-type": "application/x-protobuf"}
GZIP = {**JSON, "content-encoding": "gzip"}
GOOD = {
    "resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "a" * 32, "spanId": "b" * 16, "name": "x"}]}]}]
}


@pytest.fixture
def receiver(tmp_path):
    """Return a receiver that writes to a folder."""
    recordings = Recordings(tmp_path / "traces", None, lambda *_: None)
    server = OtlpReceiver(0, recordings.take)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    recordings.close()


def ask(receiver, body=b"", headers=JSON, path=PATH, method="POST"):
    """Return the status and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.server_port, timeout=60)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("processor", [BatchSpanProcessor, SimpleSpanProcessor])
def test_the_exporter_of_python_loses_nothing(receiver, tmp_path, processor, compression):
    """Structure, tokens and errors are as the program has them, in batches and in requests of one span."""
    url = f"http://127.0.0.1:{receiver.server_port}{PATH}"
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(processor(OTLPSpanExporter(endpoint=url, compression=compression)))
    tracer = provider.get_tracer("test")
    expected = []
    for run in range(5):
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": f"agent {run}"}
        with tracer.start_as_current_span("invoke_agent", attributes=agent):
            chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
            usage = {"gen_ai.usage.input_tokens": 100 + run, "gen_ai.usage.output_tokens": 10}
            with tracer.start_as_current_span("chat", attributes={**chat, **usage}):
                pass
            tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
            with pytest.raises(OSError), tracer.start_as_current_span("execute_tool", attributes=tool):  # noqa: PT011
                raise OSError
        name = f"agent {run}"
        expected += [(name, None, 0, 0), ("m", name, 110 + run, 0), ("search", name, 0, 1)]
    provider.shutdown()
    table = load_spans(list_traces(tmp_path / "traces")[0].path)
    assert [
        (table.name(row), table.name(parent) if (parent := table.parent[row]) >= 0 else None,
         table.tokens[row], table.failed[row])
        for row in range(len(table))
    ] == expected  # fmt: skip


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (400, {"body": b"no gzip", "headers": GZIP}),
        (400, {"body": gzip.compress(b"{}")[:-3], "headers": GZIP}),
        (413, {"body": gzip.compress(bytes(MOST_UNPACKED + 1)), "headers": GZIP}),
        (400, {"body": b"\x0a\x50\x0a\x10", "headers": PROTOBUF}),
        (413, {"headers": {**JSON, "content-length": str(1 << 30)}}),
        (400, {"headers": {**JSON, "content-length": "-1"}}),
        (400, {"headers": {**JSON, "transfer-encoding": "chunked"}, "body": b"zz\r\n\r\n"}),
        (413, {"headers": {**JSON, "transfer-encoding": "chunked"}, "body": b"fffffff\r\n"}),
        (404, {"path": "/v1/logs", "body": b"{}"}),
        (405, {"method": "GET"}),
        (405, {"method": "BREW"}),
        (415, {"headers": {"content-type": "text/plain"}, "body": b"{}"}),
        (415, {"headers": {**JSON, "content-encoding": "br"}, "body": b"{}"}),
        (403, {"headers": {**JSON, "origin": "http://shop.test"}, "body": b"{}"}),
        (400, {"body": b"[" * 100_000}),
        (400, {"body": b'{"resourceSpans":' + b"[" * 500 + b"]" * 500 + b"}"}),
        (400, {"body": b"[]"}),
        (400, {"body": b'{"resourceSpans": 1}'}),
        (400, {"body": b"\xff"}),
    ],
)
def test_a_hostile_request_is_refused(receiver, status, request_of):
    """The next one is taken."""
    assert ask(receiver, **request_of)[0] == status
    assert ask(receiver, json.dumps(GOOD)) == (200, b"{}")


def test_a_body_that_breaks_off_is_refused(receiver):
    """The exporter was killed while it sent."""
    with socket.create_connection(("127.0.0.1", receiver.server_port), timeout=60) as connection:
        head = "POST /v1/traces HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert ask(receiver, b"{}")[0] == 200


def test_the_answer_is_a_message_of_otlp_in_the_form_of_the_request(receiver):
    """It has the number of the spans that were refused."""
    request = json.loads(json.dumps(GOOD))
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].append({"name": "without an id"})
    answer = json.loads(ask(receiver, json.dumps(request))[1])
    assert answer["partialSuccess"]["rejectedSpans"] == "1"
    status, body = ask(receiver, b"\x0a\x06\x12\x04\x12\x02\x2a\x00", PROTOBUF)
    assert (status, ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans) == (200, 1)


def test_a_body_in_chunks_is_taken(receiver):
    """As the exporter of Node.js sends it in gzip."""
    packed = gzip.compress(json.dumps(GOOD).encode())
    body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (packed[:20], packed[20:], b""))
    assert ask(receiver, body, {**GZIP, "transfer-encoding": "chunked"}) == (200, b"{}")
