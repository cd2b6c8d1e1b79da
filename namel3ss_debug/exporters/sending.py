"""Send spans to a receiver of OTLP over HTTP: a collector, Phoenix, MLflow, Langfuse, or any service that takes OTLP.

Requests are compressed, hold at most 512 spans each, and are sent again as the specification of OTLP asks: after 429, 502, 503
and 504, and where there is no connection, with growing pauses or as long as `Retry-After` says.
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

PATH: Final = "/v1/traces"
RETRIES: Final = 6
BACKOFF_SECONDS: Final = 0.25
"""The first pause; each further one is twice as long, 8 s with `RETRIES`."""

TIMEOUT_SECONDS: Final = 10.0
_AGAIN = (429, 502, 503, 504)


class Sent(NamedTuple):
    """How many spans were sent, and how many of them the receiver refused."""

    spans: int
    refused: int


def endpoint_of(url: str) -> str:
    """Return the address that spans are sent to: the path of OTLP if the URL has none.

    Raises:
        WrongUsageError: it is no URL of HTTP.
    """
    whole = urlsplit(url)
    if whole.scheme not in ("http", "https") or not whole.hostname:
        raise WrongUsageError(f"--to {url}: give a URL such as http://localhost:4318")
    return urlunsplit(whole._replace(path=PATH)) if whole.path in ("", "/") else url


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
        WrongUsageError: urllib3, or opentelemetry-proto for protobuf, is not installed.
    """
    try:
        import urllib3
    except ImportError:
        raise WrongUsageError("--to needs urllib3: pip install 'namel3ss-debug[otlp]'") from None
    retries = urllib3.Retry(
        RETRIES,
        redirect=False,
        allowed_methods=None,
        status_forcelist=_AGAIN,
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=BACKOFF_SECONDS,
        raise_on_status=False,
    )
    kind = "application/json" if as_json else "application/x-protobuf"
    fixed = {**headers, "content-type": kind, "content-encoding": "gzip"}
    spans = refused = 0
    with urllib3.PoolManager(retries=retries, timeout=TIMEOUT_SECONDS) as pool:
        for request in requests:
            body = gzip.compress(_encode(request, as_json=as_json), 6, mtime=0)
            try:
                response = pool.request("POST", url, body=body, headers=fixed)
            except urllib3.exceptions.HTTPError as error:
                reason = getattr(error, "reason", None) or error
                raise DebugError(
                    f"{url} was not reached after {RETRIES + 1} attempts ({type(reason).__name__}); {spans} spans were sent"
                ) from None
            if not 200 <= response.status < 300:
                text = response.data[:200].decode("utf-8", "replace").strip()
                raise DebugError(
                    f"{url} answered {response.status} {text}".rstrip() + f"; {spans} spans were sent before"
                )
            spans += sum(
                len(scope["spans"]) for each in request["resourceSpans"] for scope in each["scopeSpans"]
            )
            refused += _count_refused(response.data, str(response.headers.get("content-type")))
    return Sent(spans, refused)


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
