"""Requests from one service to another: the `traceparent` they carry, and the span that goes on with it on the other side.

A request to a host of the setting `propagate` carries the place of its span. Who answers it opens a `request` span
there: inside the span of the other service where both write the same recording, else in its own with `metadata.parent`.
Servers of `http.server` and uvicorn do it by themselves, for requests that carry the header; for others there are
`continue_trace`, `TracedASGI` and `TracedWSGI`.
"""

from __future__ import annotations

import ast
import signal
from collections.abc import Callable, Iterable, Iterator
from contextvars import Token
from sys import _getframe as frame_at
from types import ModuleType, TracebackType
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug.capture import switch, traceparent
from namel3ss_debug.capture.context import CURRENT, Holder, Remote, current_id
from namel3ss_debug.capture.editing import edit_body
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.traceparent import HEADER, Headers, Place
from namel3ss_debug.capture.tracer import ExecutionTracer


def here(tracer: ExecutionTracer) -> str | None:
    """The `traceparent` of the running code; `None` outside of every span."""
    inside = current_id() or tracer.parent_id
    return traceparent.write(tracer.execution_id, inside) if inside else None


def header_for(
    tracer: ExecutionTracer, url: str, headers: Iterable[tuple[str, str]], event_id: str
) -> str | None:
    """The `traceparent` that a request shall carry; `None` where it shall not, or has one of its own.

    Args:
        tracer: what records the request.
        url: where it goes.
        headers: what the program has given it.
        event_id: its span; empty where the request is not recorded itself.
    """
    wanted = tracer.config.propagate
    if not wanted:
        return None
    from namel3ss_debug.expressions import name_fits  # noqa: PLC0415  (only here is it needed)

    parts = urlsplit(url)
    hosts = (parts.hostname or "", parts.netloc.rpartition("@")[2])
    if not any(name_fits(host, pattern) for host in hosts for pattern in wanted):
        return None
    if any(name.lower() == HEADER for name, _value in headers):
        return None
    return traceparent.write(tracer.execution_id, event_id) if event_id else here(tracer)


class Continued:
    """A span that goes on with the trace of another program, for `with` and `async with`; made by `continue_trace`."""

    def __init__(
        self, tracer: ExecutionTracer, place: Place | None, component: str, name: str | None, **payloads: Any
    ) -> None:
        self._holder, metadata = _known(tracer, place)
        metadata |= payloads.pop("metadata", {})
        self._span = tracer.span(component, name, metadata=metadata or None, **payloads)
        self._token: Token[Holder | None] | None = None

    def __enter__(self) -> Span:
        return self.begin(frame_at(1))

    def begin(self, frame: Any = None) -> Span:
        """Open the span; `frame` is where the program does it."""
        if self._holder is not None:
            self._token = CURRENT.set(self._holder)
        return self._span.open(frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, trace)
        if self._token is not None:
            try:
                CURRENT.reset(self._token)
            except ValueError:  # a coroutine that was never finished is closed in another context
                pass

    async def __aenter__(self) -> Span:
        return self.begin(frame_at(1))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _known(tracer: ExecutionTracer, place: Place | None) -> tuple[Remote | None, dict[str, Any]]:
    """The span around what is continued, where it stands in this recording, else what is told of it."""
    if place is None:
        return None, {}
    if place.execution_id == tracer.execution_id and place.event_id:
        return Remote(place.event_id), {}
    return None, {"parent": place.shown()}


def continue_trace(headers: Headers, name: str | None = None) -> Continued | switch.OffSpan:
    """A span around the answer to a request, for `with` and `async with`, inside the span that the request came from.

    Args:
        headers: those of the request: a mapping or pairs, in text or bytes, or the environment of WSGI.
        name: what the request is, such as `POST /orders`.

    Returns:
        The span; `.set_output(...)` on what `with` gives takes what came out. Where the header is missing, or none of
        ours, the span belongs to where it is opened.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return switch.OFF_SPAN
    return Continued(tracer, traceparent.read_headers(headers), "request", name)


class TracedASGI:
    """An ASGI application around another: each request is a span that goes on with the trace it came from.

    Args:
        app: the application.
        always: whether requests without a `traceparent` are spans as well.
    """

    def __init__(self, app: Any, *, always: bool = True) -> None:
        self.app = app
        self._always = always

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        opened = self._opened(scope)
        try:
            if opened is None:
                await self.app(scope, receive, send)
                return
            async with opened as span:

                async def sending(message: Any) -> None:
                    if message.get("type") == "http.response.start":
                        span.set_output({"status": message.get("status")})
                    await send(message)

                await self.app(scope, receive, sending)
        except BaseException as error:
            hide_own_frame(error)
            raise

    def _opened(self, scope: Any) -> Continued | None:
        """The request as a span; None where nobody traces, or it says no place and only such are recorded."""
        tracer = switch.ACTIVE
        if tracer is None or scope.get("type") not in ("http", "websocket"):
            return None
        headers = scope.get("headers") or ()
        place = traceparent.read_headers(headers)
        if place is None and not self._always:
            return None
        name = f"{scope.get('method') or 'WEBSOCKET'} {scope.get('path', '')}"
        return Continued(tracer, place, "request", name)


class TracedWSGI:
    """A WSGI application around another: each request is a span that goes on with the trace it came from.

    Args:
        app: the application.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request; the span ends with the last piece of the answer."""
        tracer = switch.ACTIVE
        if tracer is None:
            return self.app(environ, start_response)
        place = traceparent.read_headers({HEADER: environ["HTTP_TRACEPARENT"]}) if _carries(environ) else None
        name = f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"
        return self._answer(Continued(tracer, place, "request", name), environ, start_response)

    def _answer(self, opened: Continued, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Answer a request within its span, which ends when the last piece is taken."""
        with opened as span:

            def starting(status: str, *args: Any, **kwargs: Any) -> Any:
                span.set_output({"status": int(status[:3]) if status[:3].isdigit() else status})
                return start_response(status, *args, **kwargs)

            pieces = self.app(environ, starting)
            try:
                yield from pieces
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()


def _carries(environ: dict[str, Any]) -> bool:
    return isinstance(environ.get("HTTP_TRACEPARENT"), str)


def install(tracer: ExecutionTracer) -> Undo:
    """Let servers go on with the traces of their requests, where the settings ask for it; the result takes it back."""
    if not tracer.config.propagate and not tracer.config.join:
        return lambda: None
    return when_imported({"http.server": _edit_handler, "uvicorn.config": _patch_uvicorn}, tracer.problem)


def _edit_handler(module: ModuleType) -> list[Undo]:
    method = module.BaseHTTPRequestHandler.handle_one_request
    undo = edit_body(method, {"_namel3ss_serve": _serve}, _ServeMethod())
    return [] if undo is None else [undo]


class _ServeMethod(ast.NodeTransformer):
    """Puts `_namel3ss_serve(self, method)` in the place of `method()`."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "method" and not node.args:
            names = (ast.Name("_namel3ss_serve", ast.Load()), ast.Name("self", ast.Load()), node.func)
            function, *arguments = (ast.copy_location(name, node) for name in names)
            return ast.copy_location(ast.Call(function, [*arguments], []), node)
        return node


def _serve(handler: Any, method: Callable[[], None]) -> None:
    """Answer a request; one with a `traceparent` inside a span."""
    tracer, place = switch.ACTIVE, None
    try:
        if tracer is not None:
            place = traceparent.read_headers(handler.headers.items())
            name = f"{handler.command} {urlsplit(handler.path).path}"
    except Exception:  # a handler of another kind
        place = None
    try:
        if tracer is None or place is None:
            method()
            return
        opened = Continued(tracer, place, "request", name, call_site="")
        with opened:
            method()
    except BaseException as error:
        hide_own_frame(error)
        raise


def _patch_uvicorn(module: Any) -> list[Undo]:
    """Let a request to an app of uvicorn that says where it came from go on there."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def load(self: Any) -> None:
            original(self)
            self.loaded_app = TracedASGI(self.loaded_app, always=False)

        return load

    return [replace(module.Config, "load", make)]


def follow_stops(tracer: ExecutionTracer, finish: Callable[[], None]) -> Undo:
    """Record that SIGTERM shut a server of uvicorn down in order; return a function that takes the patch back.

    After an orderly shutdown uvicorn raises the signal once more, which kills the process: nothing at its exit is run.

    Args:
        tracer: what records the program.
        finish: writes its `trace_end`.
    """

    def patch(module: Any) -> list[Undo]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            async def serve(self: Any, *arguments: Any, **keywords: Any) -> Any:
                result = await original(self, *arguments, **keywords)
                if signal.SIGTERM in getattr(self, "_captured_signals", ()) and switch.ACTIVE is not None:
                    switch.ACTIVE.stopped_by = "SIGTERM"
                    finish()
                return result

            return serve

        return [replace(module.Server, "_serve", make)] if hasattr(module.Server, "_serve") else []

    return when_imported({"uvicorn.server": patch}, tracer.problem)
