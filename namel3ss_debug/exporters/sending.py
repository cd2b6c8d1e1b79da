"""Send spans to a receiver of OTLP over HTTP: a collector, Phoenix, MLflow, Langfuse, or any service that takes OTLP; and logs to Loki.

Requests are compressed, hold at most 512 spans each, and are sent again as the specification of OTLP asks (`wire.posting`).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson

from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.posting import Post, Posted, open_poster

PATH: Final = "/v1/traces"


class Sent(NamedTuple):
    """How many spans were sent, and how many of them the receiver refused."""

    spans: int
    refused: int


def endpoint_of(url: str, path: str = PATH) -> str:
    """Return the address that spans are sent to: the path of OTLP, or another, if the URL has none.

    Raises:
        WrongUsageError: it is no URL of HTTP.
    """
    whole = urlsplit(url)
    if whole.scheme not in ("http", "https") or not whole.hostname:
        raise WrongUsageError(f"--to {url}: give a URL such as http://localhost:4318")
    return urlunsplit(whole._replace(path=path)) if whole.path in ("", "/") else url


def headers_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the headers of the variable OTEL_EXPORTER_OTLP_HEADERS and of options `NAME: VALUE`, which win.

    Raises:
        WrongUsageError: an option has no colon.
    """
    headers: dict[str, str] = {}
    for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(","):
        name, equals, value = pair.partition("=")
        if equals:
            headers[name.strip().lower()] = unquote(value.strip())
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise WrongUsageError(f"--header {name}: give it as NAME: VALUE")
        headers[name.strip().lower()] = value.strip()
    return headers


def send(
    requests: Iterable[Mapping[str, Any]], url: str, headers: Mapping[str, str], *, as_json: bool
) -> Sent:
    """Send the bodies of requests in the form of OTLP/JSON, and return how many spans were taken.

    Args:
        requests: what `otlp.make_requests` yields.
        url: the address; see `endpoint_of`.
        headers: further headers.
        as_json: send JSON and not protobuf, which Phoenix takes alone.

    Raises:
        DebugError: the receiver cannot be reached, or does not take a request.
        MissingExtraError: urllib3, or opentelemetry-proto for protobuf, is not installed.
    """
    kind = "application/json" if as_json else "application/x-protobuf"
    fixed = {**headers, "content-type": kind, "content-encoding": "gzip"}
    spans = refused = 0
    with open_poster("--to", "otlp") as post:
        for request in requests:
            answer = _post(post, url, _encode(request, as_json=as_json), fixed, f"{spans} spans")
            spans += sum(
                len(scope["spans"]) for each in request["resourceSpans"] for scope in each["scopeSpans"]
            )
            refused += _count_refused(answer.body, answer.headers.get("content-type", ""))
    return Sent(spans, refused)


def send_logs(requests: Iterable[tuple[bytes, int]], url: str, headers: Mapping[str, str]) -> int:
    """Send the bodies of requests to Loki, and return how many log lines were sent.

    Args:
        requests: what `loki.make_requests` yields.
        url: the address.
        headers: further headers.

    Raises:
        DebugError: the receiver cannot be reached, or does not take a request.
        MissingExtraError: urllib3 is not installed.
    """
    fixed = {**headers, "content-type": "application/json", "content-encoding": "gzip"}
    sent = 0
    with open_poster("--to", "otlp") as post:
        for body, lines in requests:
            _post(post, url, body, fixed, f"{sent} log lines")
            sent += lines
    return sent


def _post(post: Post, url: str, body: bytes, headers: Mapping[str, str], sent: str) -> Posted:
    answer = post(url, gzip.compress(body, 6, mtime=0), headers)
    if answer.problem:
        raise DebugError(f"{url} {answer.problem}; {sent} were sent before")
    return answer


def _encode(request: Mapping[str, Any], *, as_json: bool) -> bytes:
    if as_json:
        return orjson.dumps(request)
    from namel3ss_debug.exporters.otlp_proto import encode

    return encode(request)


def _count_refused(body: bytes, kind: str) -> int:
    """Return how many spans the receiver says that it refused."""
    if "json" in kind:
        try:
            partial = lenient.mapping(lenient.mapping(orjson.loads(body)).get("partialSuccess"))
        except orjson.JSONDecodeError:
            return 0
        count = str(partial.get("rejectedSpans", 0))
        return int(count) if count.isdecimal() else 0
    if "protobuf" not in kind:
        return 0
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(body)
    except DecodeError:
        return 0
    return int(response.partial_success.rejected_spans)
