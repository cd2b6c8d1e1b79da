"""Serve the live page of a trace on loopback, to one user's browser only. Nothing can be changed through it.

Other users of the machine can reach the port, and so can the pages of other sites through the user's own browser. So a request
is answered only if

- it has the token: the first one in its address, where a file that only the user can read leads to, the others as a cookie that
  no script can read, and that a browser sends with requests of this page only (`HttpOnly`, `SameSite=Strict`). Its path
  begins with a random name, because a browser would send it to any other port of 127.0.0.1 as well, of whomever that is;
- its `Host` is this address, not a name that another site's DNS made lead here;
- the browser does not say that another page made it (`Origin`, `Sec-Fetch-Site`).

All others get a status of 4xx, without content.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from namel3ss_debug.errors import ExpressionError, WrongUsageError
from namel3ss_debug.traces.folders import make_private_folder, open_private
from namel3ss_debug.views.page.live_trace import Cursor, LiveTrace
from namel3ss_debug.views.page.reading import TracePage
from namel3ss_debug.views.page.writing import write_page
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire.loopback import LOOPBACK, LoopbackServer

POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 15.0
"""So long a page waits for something new before it asks again."""

GONE_SECONDS: Final = 2.0
"""A page that has not asked for so long was closed."""

_COOKIE: Final = "page"
_SECONDS: Final = 30
_OWN_PAGES: Final = frozenset({"same-origin", "none"})
_HTML, _JSON, _LINES = "text/html; charset=utf-8", "application/json", "application/x-ndjson"
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LEADING: Final = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={address}">
<title>namel3ss-debug</title>
<p><a href="{address}">The page of the run</a></p>
"""
_EMPTY: Final = {"strings": [""], "spans": {}, "points": {}, "transcript": {}, "messages": {}}


class PageServer(LoopbackServer):
    """Serves the live page of a trace, from `start` until `close`.

    Args:
        trace: the trace.
    """

    def __init__(self, trace: LiveTrace) -> None:
        super().__init__(0, _PageHandler)
        self.trace = trace
        self.token, self.folder = secrets.token_urlsafe(32), f"/{secrets.token_urlsafe(9)}/"
        self.host = f"{LOOPBACK}:{self.server_port}"
        self.address = f"http://{self.host}{self.folder}?token={self.token}"
        self.closing = threading.Event()
        self._seen: dict[str, float] = {}
        self._was_seen = False

    def start(self) -> None:
        """Serve beside this thread."""
        super().start()
        threading.Thread(target=self._analyze, name="analysis", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.closing.set()
        super().close()
        self.trace.close()

    def finish(self, seconds: float, *, opening: bool) -> None:
        """Take it that the trace is complete, and wait until each open page has all of it.

        Args:
            seconds: the longest time to wait.
            opening: whether a browser is about to open the page.
        """
        self.trace.end()
        end = time.monotonic() + seconds
        while time.monotonic() < end and ((opening and not self._was_seen) or self._is_watched()):
            time.sleep(POLL_SECONDS / 2)

    def note(self, page: str, *, has_all: bool = False) -> None:
        """Note that a page asked now; one that has all of the trace does not ask again."""
        self._was_seen = True
        self._seen = {known: at for known, at in self._seen.items() if at > time.monotonic() - GONE_SECONDS}
        if has_all:
            self._seen.pop(page, None)
        else:
            self._seen[page] = time.monotonic()

    def _is_watched(self) -> bool:
        return any(at > time.monotonic() - GONE_SECONDS for at in list(self._seen.values()))

    def _analyze(self) -> None:
        """Analyse the trace now and then, while a page is open."""
        while not self.closing.wait(POLL_SECONDS):
            if self._is_watched():
                self.trace.analyze(time.monotonic())

    def write_page(self) -> bytes:
        """Return the page, which asks for its data."""
        page = TracePage(self.trace.make_facts(), dict(_EMPTY), [])
        return b"".join(write_page([page], content=self.trace.request.content, kind="live"))


@contextmanager
def leading_file(folder: Path, address: str) -> Iterator[Path]:
    """Provide a file that leads a browser to an address, and that only the user can read, until the block ends.

    Raises:
        WrongUsageError: it cannot be written.
    """
    path = folder / f"live-{secrets.token_hex(4)}.html"
    try:
        make_private_folder(folder)
        with open(path, "x", encoding="utf-8", opener=open_private) as file:
            file.write(_LEADING.format(address=escape(address)))
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()


class _PageHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: PageServer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every method, so that none is answered with 501
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request, also one that cannot be read, without content."""
        del message, explain
        self.close_connection = True
        self._send(code, b"", _HTML)

    def _answer(self) -> None:
        if self.command not in ("GET", "HEAD") or not self._is_own():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        address = urlsplit(self.path)
        fields = {name: values[-1] for name, values in parse_qs(address.query).items()}
        name = address.path.removeprefix(self.server.folder)
        if not name and self._is_token(fields.get("token", "")):
            self._enter()
        elif not self._has_cookie() or self.headers.get("sec-fetch-site", "none") not in _OWN_PAGES:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif name not in _ANSWERS:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            try:
                _ANSWERS[name](self, fields)
            except (KeyError, ValueError):
                self.send_error(HTTPStatus.BAD_REQUEST)

    def _is_own(self) -> bool:
        """Return whether neither another name nor another page led here."""
        host, origin = self.headers.get_all("host", []), self.headers.get("origin")
        return (
            host == [self.server.host]
            and origin in (None, f"http://{self.server.host}")
            and self.path.startswith(self.server.folder)
        )

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.server.token.encode())

    def _has_cookie(self) -> bool:
        pairs = (each.strip().partition("=") for each in self.headers.get("cookie", "").split(";"))
        return any(name == _COOKIE and self._is_token(value) for name, _, value in pairs)

    def _enter(self) -> None:
        """Give the browser its cookie. Only a page of this server may lead on: a redirect would not send the cookie."""
        page = _LEADING.format(address=self.server.folder).encode()
        cookie = f"{_COOKIE}={self.server.token}; Path={self.server.folder}; HttpOnly; SameSite=Strict"
        self._send(HTTPStatus.OK, page, _HTML, {"set-cookie": cookie})

    def send_page(self, _fields: dict[str, str]) -> None:
        self._send(HTTPStatus.OK, self.server.write_page(), _HTML)

    def send_news(self, fields: dict[str, str]) -> None:
        """Send what a page does not have, as soon as there is something."""
        trace, at, page = self.server.trace, Cursor.parse(fields.get("after", "")), fields["page"]
        end = time.monotonic() + WAIT_SECONDS
        while True:
            self.server.note(page)
            trace.read(time.time())
            batch = trace.make_batch(at)
            if batch is not None:
                self._send(HTTPStatus.OK, json_bytes(batch).encode(), _JSON)
                return
            if time.monotonic() > end or self.server.closing.wait(POLL_SECONDS):
                self._send(HTTPStatus.NO_CONTENT, b"", _JSON)
                return

    def send_events(self, fields: dict[str, str]) -> None:
        lines = self.server.trace.read_block(int(fields["from"]), int(fields["to"]))
        self.server.note(fields["page"])
        self._send(HTTPStatus.OK, lines, _LINES)

    def send_found(self, fields: dict[str, str]) -> None:
        try:
            found = self.server.trace.find(fields["where"])
        except ExpressionError as error:
            found = {"problem": str(error)}
        self._send(HTTPStatus.OK, json_bytes(found).encode(), _JSON)

    def note_all(self, fields: dict[str, str]) -> None:
        self.server.note(fields["page"], has_all=True)
        self._send(HTTPStatus.NO_CONTENT, b"", _JSON)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        if content:
            self.send_header("content-type", kind)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", str(len(content)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


_ANSWERS: Final[dict[str, Callable[[_PageHandler, dict[str, str]], None]]] = {
    "": _PageHandler.send_page,
    "events": _PageHandler.send_news,
    "event": _PageHandler.send_events,
    "find": _PageHandler.send_found,
    "done": _PageHandler.note_all,
}
