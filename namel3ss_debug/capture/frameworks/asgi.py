"""Each request to an ASGI application is a `request` span: under uvicorn and hypercorn, and in tests without a server.

The statement in which a server or a test client awaits the application is edited in its function, so that no frame of
ours stands between them:

    with _namel3ss_answering(scope):
        result = await app(scope, receive, _namel3ss_sending(scope, send))
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import FunctionType, TracebackType
from typing import Any, Final

from namel3ss_debug.capture.core.editing import edit_body
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.seams.http.services import AnsweredRequest

CALLERS: Final = {
    "uvicorn.protocols.http.h11_impl": ("RequestResponseCycle.run_asgi",),
    "uvicorn.protocols.http.httptools_impl": ("RequestResponseCycle.run_asgi",),
    "uvicorn.protocols.http.zttp_impl": ("RequestResponseCycle.run_asgi",),
    "uvicorn.protocols.http.zttp_h2_impl": ("RequestResponseCycle.run_asgi",),
    "uvicorn.protocols.websockets.websockets_impl": ("WebSocketProtocol.run_asgi",),
    "uvicorn.protocols.websockets.websockets_sansio_impl": ("WebSocketsSansIOProtocol.run_asgi",),
    "uvicorn.protocols.websockets.wsproto_impl": ("WSProtocol.run_asgi",),
    "hypercorn.app_wrappers": ("ASGIWrapper.__call__",),
    "httpx._transports.asgi": ("ASGITransport.handle_async_request",),
    "httpx2._transports.asgi": ("ASGITransport.handle_async_request",),
    "starlette.testclient": ("_TestClientTransport.handle_request", "WebSocketTestSession._run"),
}
"""Module -> the functions in it that await an application."""

_RARELY_USED: Final = frozenset({"httpx._transports.asgi", "httpx2._transports.asgi"})
"""Modules that every program with their package imports: what editing their function costs, 2 to 5 ms, waits until the
first transport is made."""

_ARGUMENTS: Final = 3
_answered: dict[int, AnsweredRequest] = {}
"""The identity of a scope -> its request, while it is answered."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Make each request that is answered through this module a span."""
    undo: list[Undo] = []
    is_new = getattr(
        module.__spec__, "_initializing", False
    )  # else the program may have made a transport already
    if module.__name__ in _RARELY_USED and is_new:
        undo.append(_when_made(module.ASGITransport, lambda: undo.extend(_edit(module, structure))))
        return [lambda: _undo_all(undo)]
    return _edit(module, structure)


def _undo_all(undo: list[Undo]) -> None:
    while undo:
        undo.pop()()


def _edit(module: Any, structure: Structure) -> list[Undo]:
    """Edit the functions of a module that await an application."""
    names: dict[str, Callable[..., Any]] = {
        "_namel3ss_answering": _Answering,
        "_namel3ss_sending": _sending,
    }
    undo = []
    for path in CALLERS[module.__name__]:
        function: Any = module
        for name in path.split("."):
            function = getattr(function, name, None)
        edited = None
        if isinstance(function, FunctionType):
            edit = _AroundApplication()
            edited = edit_body(function, names, edit)
            if edited is not None and not edit.found:
                edited()
                edited = None
        if edited is None:
            structure.tracer.problem(f"{module.__name__}.{path} has changed: its requests are no spans")
        else:
            undo.append(edited)
    return undo


def _when_made(kind: type, action: Callable[[], None]) -> Undo:
    """Call a function before the first object of a class is made."""
    actions = [action]

    def make(original: Callable[..., None]) -> Callable[..., None]:
        def initialize(self: Any, *arguments: Any, **keywords: Any) -> None:
            put_back()
            try:
                actions.pop()()
            except IndexError:  # another thread was first
                pass
            try:
                original(self, *arguments, **keywords)
            except BaseException as error:
                hide_own_frame(error)
                raise

        return initialize

    put_back = replace(kind, "__init__", make)
    return put_back


class _Answering:
    """Around the statement that awaits the application: the request is open meanwhile."""

    __slots__ = ("_key", "_request")

    def __init__(self, scope: Any) -> None:
        self._key = id(scope)
        self._request = AnsweredRequest(scope)

    def __enter__(self) -> None:
        _answered[self._key] = self._request
        self._request.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _answered.pop(self._key, None)
        self._request.__exit__(kind, error, trace)


def _sending(scope: Any, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the `send` that the application gets."""
    request = _answered.get(id(scope))
    return send if request is None else request.sending(send)


class _AroundApplication(ast.NodeTransformer):
    """Puts the statement that awaits `app(scope, receive, send)`, or `self.app(...)`, into a block."""

    def __init__(self) -> None:
        self.found = False

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return self._around(node)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        return self._around(node)

    def _around(self, node: ast.Expr | ast.Assign) -> ast.stmt:
        call = node.value.value if isinstance(node.value, ast.Await) else None
        if not isinstance(call, ast.Call) or len(call.args) != _ARGUMENTS or call.keywords:
            return node
        function = call.func
        if getattr(function, "attr", None) != "app" and getattr(function, "id", None) != "app":
            return node
        self.found = True
        scope, _, send = call.args

        def call_ours(name: str, *arguments: ast.expr) -> ast.Call:
            ours = ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
            return ast.fix_missing_locations(ast.copy_location(ours, call))

        call.args[2] = call_ours("_namel3ss_sending", scope, send)
        block = ast.With([ast.withitem(call_ours("_namel3ss_answering", scope))], [node])
        return ast.copy_location(block, node)
