"""Serve metrics on loopback for Prometheus, as OpenMetrics, and push them to a Pushgateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

from namel3ss_debug.analysis.metrics import to_text_format
from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.wire.loopback import LoopbackServer
from namel3ss_debug.wire.posting import open_poster, split_login

PATH: Final = "/metrics"
JOB: Final = "namel3ss-debug"
_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECONDS = 30

ReadLines = Callable[[], Iterable[str]]
"""Returns the lines of the metrics as they are now, those of `MetricTotals.make_lines`; in any thread, one at a time."""


class MetricsServer(LoopbackServer):
    """Answers `GET /metrics`, in threads of its own, from `start` until `close`.

    Args:
        port: the port on loopback; 0 for a free one, which is `server_port` then.
        read: returns the lines.

    Raises:
        WrongUsageError: the port is taken, or may not be used.
    """

    def __init__(self, port: int, read: ReadLines) -> None:
        try:
            super().__init__(port, _MetricsHandler)
        except OSError as error:
            raise WrongUsageError(f"--metrics {port}: {error.strerror}; give another port") from None
        self._read, self._lock = read, threading.Lock()

    def read_page(self) -> bytes:
        """Return the metrics as they are now."""
        with self._lock:
            return _encode(self._read())


class _MetricsHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: MetricsServer

    def do_GET(self) -> None:
        """Answer with the metrics. A page in a browser that names this server otherwise, by its DNS, is refused."""
        if urlsplit(f"//{self.headers.get('host', '')}").hostname not in _LOOPBACK:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            page = self.server.read_page()
            self.send_response(HTTPStatus.OK)
            self.send_header("content-type", _TYPE)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def push(url: str, lines: Iterable[str]) -> None:
    """Send metrics to a Pushgateway, in place of those of the same names that it has of this job.

    Args:
        url: its address, or one with a path of its API, such as `/metrics/job/NAME/instance/HOST`.
        lines: the lines of OpenMetrics.

    Raises:
        DebugError: it was not reached, or did not take them.
        MissingExtraError: urllib3 is not installed.
    """
    url, login = split_login(url)
    whole = url if "/metrics/job/" in url else f"{url.rstrip('/')}{PATH}/job/{JOB}"
    with open_poster("--pushgateway", "alerts", retries=0) as post:
        posted = post(whole, _encode(to_text_format(lines)), {"content-type": _TEXT_TYPE, **login})
    if posted.problem:
        raise DebugError(f"--pushgateway {whole} {posted.problem}")


def _encode(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
