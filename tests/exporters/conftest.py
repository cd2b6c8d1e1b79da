"""A receiver of OTLP on loopback."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """A receiver on loopback that answers with scripted statuses, then with 200."""

    def __init__(self):
        self.arrived = threading.Condition()
        self.statuses, self.requests, self.answer = [], [], (b"", "application/x-protobuf")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                with receiver.arrived:
                    receiver.requests.append((self.path, dict(self.headers), body, status))
                    receiver.arrived.notify()
                content, kind = receiver.answer if status == 200 else (b"not now", "text/plain")
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def wait(self, requests):
        """Wait until so many requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= requests, 60)

    def taken(self):
        """Return the ids of the spans that were taken."""
        found = []
        for _, headers, body, status in self.requests:
            if status == 200:
                plain = gzip.decompress(body)
                if "json" in headers["content-type"]:
                    scopes = [s for r in json.loads(plain)["resourceSpans"] for s in r["scopeSpans"]]
                    found += [span["spanId"] for scope in scopes for span in scope["spans"]]
                    continue
                request = ExportTraceServiceRequest.FromString(plain)
                scopes = [scope for each in request.resource_spans for scope in each.scope_spans]
                found += [span.span_id.hex() for scope in scopes for span in scope.spans]
        return found

    def close(self):
        """Stop it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    """A receiver that takes what it is sent."""
    receiver = Receiver()
    yield receiver
    receiver.close()
