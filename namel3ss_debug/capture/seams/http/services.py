"""Connect the traces of services: the `traceparent` that requests carry, and the spans that continue it.

A request to a host of the setting `propagate` carries the position of its span. The service that answers it opens a
`request` span: inside the caller's span if both write the same trace, or else in its own trace with `metadata.parent`.
The ASGI servers of `frameworks.asgi` do so for each request, and with `propagate` or `join` those of `http.server` for
requests that carry the header. For other servers there are `continue_trace`, `TracedASGI` and `TracedWSGI`.
"""

from __future__ import annotations

import ast
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import Token
from sys import _getframe as frame_at
from types import ModuleType, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.context import CURRENT, Remote, SpanLike, current_id
from namel3ss_debug.capture.core.editing import edit_body
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.capture.seams.http import traceparent
from namel3ss_debug.capture.seams.http.traceparent import HEADER, Headers, TraceParent

_SERVER_ERROR = 500


def current_traceparent(tracer: ExecutionTracer) -> str | None:
    """Return the `traceparent` of the running code, or None outside all spans."""
    inside = current_id() or tracer.parent_id
    return traceparent.write(tracer.execution_id, inside) if inside else None


def make_trace_header(
    tracer: ExecutionTracer, url: str, headers: Iterable[tuple[str, str]], event_id: str
) -> str | None:
    """Return the `traceparent` for a request; None if it gets none, or has one of its own.

    Args:
        tracer: records the request.
        url: its URL.
        headers: the headers that the program has set.
        event_id: its span; "" if the request is not recorded itself.
    """
    wanted = tracer.config.propagate
    if not wanted:
        return None
    from namel3ss_debug.expressions import name_fits  # needed only with the setting `propagate`

    parts = urlsplit(url)
    hosts = (parts.hostname or "", parts.netloc.rpartition("@")[2])
    if not any(name_fits(host, pattern) for host in hosts for pattern in wanted):
        return None
    if any(name.lower() == HEADER for name, _value in headers):
        return None
    return traceparent.write(tracer.execution_id, event_id) if event_id else current_traceparent(tracer)


class ContinuedSpan:
    """A span that continues the trace of another program, for `with` and `async with`; made by `continue_trace`."""

    def __init__(
        self,
        tracer: ExecutionTracer,
        place: TraceParent | None,
        component: str,
        name: str | None,
        **payloads: Any,
    ) -> None:
        self._holder, metadata = _find_parent(tracer, place)
        metadata |= payloads.pop("metadata", {})
        self._span = tracer.span(component, name, metadata=metadata or None, **payloads)
        self._token: Token[SpanLike | None] | None = None

    def __enter__(self) -> OpenSpan:
        return self.begin(frame_at(1))

    def begin(self, frame: Any = None) -> OpenSpan:
        """Open the span; `frame` is the program's frame that does so."""
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

    async def __aenter__(self) -> OpenSpan:
        return self.begin(frame_at(1))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _find_parent(tracer: ExecutionTracer, place: TraceParent | None) -> tuple[Remote | None, dict[str, Any]]:
    """Return the span to continue if it is part of this trace, and otherwise metadata that names it."""
    if place is None:
        return None, {}
    if place.execution_id == tracer.execution_id and place.event_id:
        return Remote(place.event_id), {}
    return None, {"parent": place.to_json()}


def continue_trace(headers: Headers, name: str | None = None) -> ContinuedSpan | switch.OffSpan:
    """Make a span for answering a request, inside the span that sent it, for `with` and `async with`.

    Args:
        headers: the request's headers: a mapping or pairs, in text or bytes, or the environment of WSGI.
        name: the name of the request, such as `POST /orders`.

    Returns:
        The span; `with` gives an object whose `.set_output(...)` takes the result. Without a `traceparent` of ours, the
        span belongs to the place where it is opened.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return switch.OFF_SPAN
    return ContinuedSpan(tracer, traceparent.read_headers(headers), "request", name)


class AnsweredRequest:
    """A request to an ASGI application while it is answered: a `request` span around what the application does.

    The span ends with the last piece of the answer, or else when the application returns. Work that goes on after the
    answer, such as the background tasks of Starlette, still belongs to it, because it stays the current span until then.

    Args:
        scope: the scope of the request, in which a framework may put the matched route.
    """

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        self._span: OpenSpan | None = None
        self._outputs: dict[str, Any] = {}
        self._token: Token[SpanLike | None] | None = None

    def __enter__(self) -> Self:
        tracer = switch.ACTIVE
        if tracer is not None and self._scope.get("type") in ("http", "websocket"):
            try:
                self._open(tracer)
            except Exception as error:
                tracer.problem("a request to an ASGI application could not be recorded", error)
        return self

    def _open(self, tracer: ExecutionTracer) -> None:
        scope = self._scope
        method, path = scope.get("method") or "WEBSOCKET", str(scope.get("path", ""))
        holder, metadata = _find_parent(tracer, traceparent.read_headers(scope.get("headers") or ()))
        query = bytes(scope.get("query_string") or b"").decode("latin-1")
        url = tracer.payloads.url(f"{path}?{query}") if query else path
        inputs = {"method": method, "path": path, **({"query": url.partition("?")[2]} if query else {})}
        span = tracer.span("request", f"{method} {path}", inputs, metadata or None, call_site="")
        self._span = span.open(enter=False) if holder is None else span.open_within(holder)
        if self._span.is_open:  # it is not where the settings leave out its component
            self._token = CURRENT.set(self._span)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)
        if self._token is not None:
            try:
                CURRENT.reset(self._token)
            except ValueError:  # a coroutine that was never finished is closed in another context
                pass

    def _close(self, error: BaseException | None) -> None:
        """Write the end of the span, once."""
        span = self._span
        if span is None or not span.is_open:
            return
        with suppress(Exception):  # the attribute may be computed by code of the program
            # Starlette and FastAPI put the route there, and Litestar its template.
            route = getattr(self._scope.get("route"), "path", None) or self._scope.get("path_template")
            if type(route) is str:
                self._outputs["route"] = route
        span.set_output(self._outputs)
        if error is None and self._has_failed():
            status = self._outputs["status"]
            span.set(
                status="failed", error_type=f"HTTP {status}", error=f"the answer had the status {status}"
            )
        span.close(error)

    def sending(self, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return `send` as the application gets it."""
        if self._span is None or not self._span.is_open:
            return send

        async def sending(message: Any) -> None:
            # The span ends before its last message is sent: the client may act on that at once.
            tracer = switch.ACTIVE
            if tracer is not None:
                try:
                    self._note(message)
                except Exception as error:
                    tracer.problem("an answer of an ASGI application could not be recorded", error)
            try:
                await send(message)
            except BaseException as error:
                hide_own_frame(error)
                raise

        return sending

    def _note(self, message: Any) -> None:
        """Note a message of the application."""
        kind = message.get("type")
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._outputs["status"] = message.get("status")
        elif kind == "websocket.close":
            self._outputs["code"] = message.get("code", 1000)
        elif kind == "http.response.body" and not (message.get("more_body") or self._has_failed()):
            self._close(
                None
            )  # after a failure the application raises its exception, which is worth waiting for

    def _has_failed(self) -> bool:
        status = self._outputs.get("status")
        return type(status) is int and status >= _SERVER_ERROR


class TracedASGI:
    """An ASGI application around another: each request is a span that continues the trace of its sender.

    Servers that are followed do the same without it, see `frameworks.asgi`.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            if _is_answering():
                await self.app(scope, receive, send)
                return
            with AnsweredRequest(scope) as request:
                await self.app(scope, receive, request.sending(send))
        except BaseException as error:
            hide_own_frame(error)
            raise


def _is_answering() -> bool:
    """Return whether the running code answers a request that has a span."""
    span: Any = CURRENT.get()
    while span is not None and getattr(span, "component", None) != "request":
        span = getattr(span, "_parent", None)
    return span is not None


class TracedWSGI:
    """A WSGI application around another: each request is a span that continues the trace of its sender.

    Args:
        app: the application.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request. The span ends with the last piece of the answer."""
        tracer = switch.ACTIVE
        if tracer is None:
            return self.app(environ, start_response)
        carried = environ.get("HTTP_TRACEPARENT")
        place = traceparent.read_headers({HEADER: carried}) if isinstance(carried, str) else None
        name = f"{environ.get('REQUEST_METHOD', '')} {environ.get('PATH_INFO', '')}"
        return self._answer(ContinuedSpan(tracer, place, "request", name), environ, start_response)

    def _answer(self, opened: ContinuedSpan, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Answer a request within its span, which ends when the server has taken the last piece."""
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


def install(tracer: ExecutionTracer) -> Undo:
    """Let servers continue the traces of their requests, if the settings say so. The result ends that."""
    if not tracer.config.propagate and not tracer.config.join:
        return lambda: None
    return when_imported({"http.server": _edit_handler}, tracer.problem)


def _edit_handler(module: ModuleType) -> list[Undo]:
    method = module.BaseHTTPRequestHandler.handle_one_request
    undo = edit_body(method, {"_namel3ss_serve": _serve}, _ServeMethod())
    return [] if undo is None else [undo]


class _ServeMethod(ast.NodeTransformer):
    """Replaces `method()` by `_namel3ss_serve(self, method)`."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "method" and not node.args:
            names = (ast.Name("_namel3ss_serve", ast.Load()), ast.Name("self", ast.Load()), node.func)
            function, *arguments = (ast.copy_location(name, node) for name in names)
            return ast.copy_location(ast.Call(function, [*arguments], []), node)
        return node


def _serve(handler: Any, method: Callable[[], None]) -> None:
    """Answer a request, inside a span if it has a `traceparent`."""
    tracer, place = switch.ACTIVE, None
    try:
        if tracer is not None:
            place = traceparent.read_headers(handler.headers.items())
            name = f"{handler.command} {urlsplit(handler.path).path}"
    except Exception:  # a subclass may not have the attributes
        place = None
    try:
        if tracer is None or place is None:
            method()
            return
        opened = ContinuedSpan(tracer, place, "request", name, call_site="")
        with opened:
            method()
    except BaseException as error:
        hide_own_frame(error)
        raise


def follow_stops(tracer: ExecutionTracer, finish: Callable[[], None]) -> Undo:
    """Record that SIGTERM shut a server of uvicorn down; return a function that removes the patch.

    After an orderly shutdown uvicorn raises the signal again, which kills the process without its exit handlers.

    Args:
        tracer: records the program.
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
