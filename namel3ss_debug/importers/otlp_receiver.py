"""Receive OTLP over HTTP on loopback: `POST /v1/traces` in JSON or protobuf, plain or in gzip.

What cannot be a request of an exporter is answered with a status of 4xx and changes nothing. A page in a browser is refused.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, NamedTuple

import orjson

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.otlp import decode_protobuf
from namel3ss_debug.wire.loopback import LoopbackServer

PATH: Final = "/v1/traces"
MOST_SENT: Final = 16 << 20
"""Bytes of a body, as it is sent."""

MOST_UNPACKED: Final = 64 << 20
"""Bytes of a body, unpacked."""

_LONGEST_LINE: Final = 1024
_SECONDS: Final = 30
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"

Take = Callable[[dict[str, Any], int], int]
"""Takes a request in the form of OTLP/JSON and its bytes; returns how many spans it refuses."""


class _RefusalError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Body(NamedTuple):
    """The body of a request, unpacked, and whether it is JSON."""

    data: bytes
    is_json: bool


class OtlpReceiver(LoopbackServer):
    """The server; `serve_forever` receives until it is ended.

    Args:
        port: the port on loopback; 0 for a free one.
        take: called with each request, one at a time. `UnreadableTraceError`: it cannot be stored now.
        idle: called about twice a second.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    def __init__(self, port: int, take: Take, idle: Callable[[], None] = lambda: None) -> None:
        super().__init__(port, _Handler)
        self._take, self._idle = take, idle
        self._one_at_a_time = threading.Lock()

    def take(self, body: _Body) -> int:
        """Decode a request and hand it on; return how many spans were refused.

        Only one is decoded at a time, so that memory is bounded.
        """
        with self._one_at_a_time:
            return self._take(_decode(body), len(body.data))

    def service_actions(self) -> None:
        """Do what is due without a request."""
        self._idle()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: OtlpReceiver

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every method, so that none is answered with 501
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        is_json = self._media_type() != _PROTOBUF
        try:
            refused = self.server.take(self._read())
        except _RefusalError as refusal:
            self._send(refusal.status, _status_message(str(refusal), is_json=is_json), is_json=is_json)
        except UnreadableTraceError as error:
            message = _status_message(str(error), is_json=is_json)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, message, is_json=is_json)
        else:
            self._send(HTTPStatus.OK, _response(refused, is_json=is_json), is_json=is_json)

    def _send(self, status: HTTPStatus, content: bytes, *, is_json: bool) -> None:
        if status != HTTPStatus.OK:
            self.close_connection = True  # the rest of the body is not read
        self.send_response(status)
        self.send_header("content-type", _JSON if is_json else _PROTOBUF)
        self.send_header("content-length", str(len(content)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("allow", "POST")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def _read(self) -> _Body:
        """Return the body of a request that an exporter may have sent."""
        # Read before anything is refused: an answer is lost where a connection is closed with data that nobody read.
        try:
            sent = self._read_body()
        except TimeoutError:
            raise _RefusalError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive") from None
        if self.path.partition("?")[0] != PATH:
            raise _RefusalError(HTTPStatus.NOT_FOUND, f"spans are received at {PATH}")
        if self.command != "POST":
            raise _RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "spans are received by POST")
        if self.headers.get("origin") is not None:
            raise _RefusalError(HTTPStatus.FORBIDDEN, "spans are not received from a browser")
        kind = self._media_type()
        if kind not in (_JSON, _PROTOBUF):
            raise _RefusalError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body has to be {_JSON} or {_PROTOBUF}"
            )
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise _RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body has to be plain or in gzip")
        return _Body(_unpack(sent) if encoding == "gzip" else sent, kind == _JSON)

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").strip().lower() == "chunked":
            return self._read_chunks()
        length = self.headers.get("content-length")
        if length is None and self.command == "POST":
            raise _RefusalError(HTTPStatus.LENGTH_REQUIRED, "content-length is missing")
        return self._read_exactly(_parse_length(length or "0", 10), 0)

    def _read_chunks(self) -> bytes:
        """Return a body in chunks, as the exporter for Node.js sends one in gzip."""
        data = bytearray()
        while size := _parse_length(self._read_line().partition(b";")[0].decode("ascii", "replace"), 16):
            data += self._read_exactly(size, len(data))
            if self._read_line():
                raise _RefusalError(HTTPStatus.BAD_REQUEST, "a chunk is longer than its length")
        for _ in range(_LONGEST_LINE):
            if not self._read_line():
                return bytes(data)
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "too many trailers")

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body ends too early")
        return line.strip()

    def _read_exactly(self, size: int, before: int) -> bytes:
        if before + size > MOST_SENT:
            raise _RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MOST_SENT:,} bytes"
            )
        data = self.rfile.read(size)
        if len(data) < size:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body ends too early")
        return data


def _parse_length(text: str, base: int) -> int:
    digits = text.strip()
    if not digits.isalnum() or not digits.isascii() or len(digits) > 16:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "a length that is no number")
    try:
        return int(digits, base)
    except ValueError:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "a length that is no number") from None


def _unpack(data: bytes) -> bytes:
    """Return what a gzip holds, which is never more than the limit."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, MOST_UNPACKED + 1)
    except zlib.error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is no gzip") from None
    if len(plain) > MOST_UNPACKED:
        raise _RefusalError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body holds more than {MOST_UNPACKED:,} bytes"
        )
    if not unpacker.eof or unpacker.unused_data:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is no gzip")
    return plain


def _decode(body: _Body) -> dict[str, Any]:
    """Return a request in the form of its JSON."""
    if not body.is_json:
        try:
            return decode_protobuf(body.data, "body")
        except UnreadableTraceError as error:
            raise _RefusalError(HTTPStatus.BAD_REQUEST, str(error)) from None
    try:
        document = orjson.loads(body.data)
        orjson.dumps(document)  # which refuses what is nested too deeply to be written
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("resourceSpans", []), list):
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is no request of OTLP in JSON")
    return document


def _response(refused: int, *, is_json: bool) -> bytes:
    """Return an `ExportTraceServiceResponse`, with the spans that were refused."""
    why = "a span without an id"
    if is_json:
        partial = {"partialSuccess": {"rejectedSpans": str(refused), "errorMessage": why}}
        return orjson.dumps(partial if refused else {})
    if not refused:
        return b""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    message = ExportTraceServiceResponse()
    message.partial_success.rejected_spans, message.partial_success.error_message = refused, why
    data: bytes = message.SerializeToString()
    return data


def _status_message(why: str, *, is_json: bool) -> bytes:
    """Return a `google.rpc.Status`, as OTLP wants it with an error: its field 2 is the message."""
    if is_json:
        return orjson.dumps({"message": why})
    text = why.encode()[:127]  # the length is one byte
    return b"\x12" + bytes([len(text)]) + text
