"""Read HTTP archives of browsers and proxies; exchanges with model providers are decoded as model calls."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_count, parse_number, parse_time, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import formats, lenient

_READ: Final = frozenset({"startedDateTime", "time", "request", "response", "cache", "timings", "pageref"})
_FIRST_ERROR: Final = 400


def sniff(head: bytes) -> bool:
    """Return whether the document is a log of entries."""
    return b'"log"' in head and any(
        isinstance(lenient.mapping(value.get("log")).get("entries"), list) for value in peek_objects(head)
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of the exchanges in the files."""
    spans: list[SpanFacts] = []
    for path in files:
        for document in read_documents(path, problems, consumed):
            for entry in lenient.mappings(lenient.mapping(document.get("log")).get("entries")):
                spans.append(_read_entry(entry, f"{path.stem}.{len(spans)}"))
    yield from make_trace({"format": "har"}, spans)


def _read_entry(entry: dict[str, Any], span_id: str) -> SpanFacts:
    request, response = lenient.mapping(entry.get("request")), lenient.mapping(entry.get("response"))
    url, method = str(request.get("url") or ""), str(request.get("method") or "")
    began, duration = parse_time(entry.get("startedDateTime")), parse_number(entry.get("time"))
    status = parse_count(response.get("status"))
    content = _read_content(lenient.mapping(response.get("content")))
    failure = None
    if not status:
        failure = SpanError(None, str(response.get("_error") or response.get("statusText") or "no response"))
    elif status >= _FIRST_ERROR:
        failure = SpanError(
            f"HTTP {status}", content.decode(errors="replace") or str(response.get("statusText") or "")
        )
    common: dict[str, Any] = {
        "span_id": span_id,
        "started": began,
        "ended": None if began is None or duration is None else began + duration / 1e3,
        "duration_ms": duration,
        "failure": failure,
    }
    posted = lenient.mapping(request.get("postData")).get("text")
    body = lenient.load(posted) if isinstance(posted, str) else None
    path, host = _split(url)
    wire_format = formats.recognise(path, body)
    exchange = {
        "url": url,
        "method": method,
        "status": status,
        "format": wire_format.name if wire_format else None,
    }
    metadata = {"exchange": lenient.drop_none(exchange), **rest_of(entry, _READ)}
    if wire_format is None or not isinstance(body, dict):
        inputs = {"method": method, "url": url, "body": posted if body is None else body}
        return SpanFacts(
            "http", f"{method} {host}{path}", inputs=lenient.drop_none(inputs), outputs=lenient.drop_none({"status": status}),
            metadata=metadata, **common,
        )  # fmt: skip
    inputs = wire_format.codec.decode_request(wire_format.complete(path, body))
    kind = lenient.string(lenient.mapping(response.get("content")).get("mimeType"))
    whole = lenient.load(content)
    if not isinstance(whole, dict):
        whole = wire_format.join_stream(content, kind)
    answer = wire_format.codec.decode_response(whole)
    return SpanFacts(
        "model",
        lenient.string(inputs.get("model")),
        inputs=lenient.drop_empty(inputs),
        outputs=answer.to_outputs() if failure is None else {},
        usage=answer.usage,
        cost=answer.cost,
        metadata={"provider": wire_format.provider, **metadata},
        **common,
    )


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, ""
    return parts.path, parts.netloc


def _read_content(content: Mapping[str, Any]) -> bytes:
    text = lenient.string(content.get("text")) or ""
    if content.get("encoding") == "base64":
        try:
            return base64.b64decode(text)
        except (binascii.Error, ValueError):
            return b""
    return text.encode(errors="replace")
