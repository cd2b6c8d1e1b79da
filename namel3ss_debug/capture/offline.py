"""Keeps a program from the network while it runs on a recording, and reports each attempt to reach it.

The interpreter tells an audit hook of every connection, datagram and look-up of a name that goes through the `socket`
module, whoever makes it; an exception of the hook ends the attempt. What stays open: sockets that are no internet
sockets, servers on loopback that the program itself runs, and what runs inside of calls that are made for real. A port
of loopback where nobody listens is refused by the system; it is told at the end, if nothing of the program's has come
to listen there.

Not seen: libraries in C or Rust with sockets of their own (gRPC, libpq), and programs that are no Python.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture import context, processes
from namel3ss_debug.capture.patching import Undo, when_imported
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.wire import is_telemetry

if TYPE_CHECKING:  # the tracer only keeps it
    from namel3ss_debug.capture.tracer import ExecutionTracer

_RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runner.py")
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost", "<broadcast>"})
_NEVER_ASKED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKED_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_WATCHED = _NEVER_ASKED | _LOOKED_UP | {"socket.bind"}

_REPORTING = frozenset({4317, 4318, 8125, 8126})
"""The ports of OpenTelemetry's collectors, and of agents for StatsD and Datadog."""

_FREE: ContextVar[bool] = ContextVar("namel3ss_debug_network_free", default=False)
"""Whether the running code may reach the network."""

_guard: Offline | None = None
_hooked = False


class Offline:
    """Closes the network to this process, see `answers.Network`.

    Args:
        tracer: told of each attempt.
    """

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._is_open = False
        self._leaving = 0
        self._lock = threading.Lock()
        self._spans: set[str] = set()
        self._telling = threading.local()
        self._own: set[Any] = set()  # ports on which the program was found to listen; to look takes long
        # process and port -> where, call site
        self._missed: dict[tuple[int, Any], tuple[str, str | None]] = {}

    def is_closed(self) -> bool:
        """Whether the network is closed to the running code."""
        if self._is_open or self._leaving or _FREE.get():
            return False
        span = context.current() if self._spans else None
        while isinstance(span, Span):
            if span.event_id in self._spans and span.is_open:
                return False
            span = span._parent  # noqa: SLF001  (a span of our own)
        return True

    def renew(self) -> None:
        """After a fork: the requests that are being sent are those of the other process, and so is the lock."""
        self._lock, self._leaving = threading.Lock(), 0

    def open(self) -> None:
        """A request that is made for real is about to be sent."""
        with self._lock:
            self._leaving += 1

    def close(self) -> None:
        """The request was answered, or has failed."""
        with self._lock:
            self._leaving -= 1

    def open_for(self, span: Any) -> None:
        """Open the network to what runs inside this span, until the span ends; with `None`, to the whole process."""
        if span is None:
            self._is_open = True
        else:
            self._spans.add(span.event_id)

    def open_here(self) -> Token[bool]:
        """Open the network to what runs from here on, and to what that starts."""
        return _FREE.set(True)

    def close_here(self, token: Token[bool]) -> None:
        """Close the network again to what runs from here on; it stays open to what was started before."""
        with contextlib.suppress(
            ValueError
        ):  # a coroutine that was never finished is closed in another context
            _FREE.reset(token)

    def install(self) -> Undo:
        """Refuse every attempt to reach the network from now on; the result ends that."""
        global _guard, _hooked  # noqa: PLW0603  (a hook cannot be taken back)
        _guard = self
        self._tracer.at_end.append(self._tell_missed)
        if not _hooked:
            _hooked = True
            sys.addaudithook(_audit)
        original = socket.socket.connect_ex

        def connect_ex(self: socket.socket, address: Any, /) -> int:
            try:
                return original(self, address)
            except ConnectionRefusedError as refused:
                if refused.errno != errno.ECONNREFUSED or _guard is None:
                    raise
                return errno.ECONNREFUSED

        patched: Any = socket.socket
        patched.connect_ex = connect_ex
        undo = when_imported({"uvloop": self._patch_uvloop}, self._tracer.problem)

        def put_back() -> None:
            global _guard  # noqa: PLW0603  (as above)
            _guard = None
            undo()
            if socket.socket.connect_ex is connect_ex:
                patched.connect_ex = original

        return put_back

    def look(self, event: str, words: tuple[Any, ...]) -> None:
        """Look at an attempt.

        Raises:
            ConnectionRefusedError: it is refused.
        """
        if getattr(self._telling, "now", False):
            return
        if event in _LOOKED_UP:
            host, port = _text(words[0]), words[1] if event == "socket.getaddrinfo" else None
            if _is_address(host) or host in _LOCAL_NAMES or host == socket.gethostname():
                return
        else:
            family, address = words[0].family, words[1]
            if family not in _INTERNET or not isinstance(address, tuple) or not address:
                return
            host, port = _text(address[0]), address[1]
            if event == "socket.bind":
                self._missed.pop((os.getpid(), port), None)
                if words[0].type == socket.SOCK_STREAM:
                    self._tell_listens(port)
                return
            if _is_loopback(host) and not self._is_of_others(host, port, connects=event == "socket.connect"):
                return
        self.refuse(host, port)

    def _tell_listens(self, port: Any) -> None:
        """Report where the program starts to listen: in a re-run nobody may ever connect."""
        answers = self._tracer.answers
        if answers is not None and isinstance(port, int):
            self._telling.now = True
            try:
                answers.listens(port, self._tracer.sites.find(0))
            finally:
                self._telling.now = False

    def _is_of_others(self, host: str, port: Any, *, connects: bool) -> bool:
        """Whether a server listens on this port of loopback that the program did not start.

        Where nobody listens, the program may wait for a server of its own to start: it sees what it would.
        """
        if port in self._own:
            return False
        listening = _listening(port)
        if listening is None:
            return True
        key = os.getpid(), port
        if listening:
            self._missed.pop(key, None)
        elif connects and port not in _REPORTING and self.is_closed():
            self._missed.setdefault(key, (f"{host}:{port}", self._tracer.sites.find(0)))
        strangers = listening - _own_processes() if listening else ()
        of_others = not all(_is_left_behind(pid) for pid in strangers)
        if listening and not of_others:
            self._own.add(port)
        return of_others

    def _tell_missed(self) -> None:
        """Report the loopback ports that the program tried and that nothing ever listened on."""
        for (pid, _port), (where, site) in list(self._missed.items()):
            if pid == os.getpid():
                told = {"kind": "network", "address": where, "nobody": True}
                name = where.rpartition(":")[0]
                self._tracer.emit(
                    "divergence", component="http", component_name=name, metadata=told, call_site=site
                )
        self._missed.clear()

    def refuse(self, host: str, port: Any) -> None:
        """Refuse an attempt, unless the running code may reach the network.

        Raises:
            ConnectionRefusedError: it is refused.
        """
        self._telling.now = True
        try:
            if not self._tracer.writer.started:
                self._tracer.writer.begin()  # the shell may say that this process is there for real
            if not self.is_closed():
                return
            where = host if port is None else f"{host}:{port}"
            if port not in _REPORTING and not is_telemetry(f"https://{host}/"):
                told = {"kind": "network", "address": where}
                self._tracer.emit("divergence", component="http", component_name=host, metadata=told)
        finally:
            self._telling.now = False
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, f"the network is closed while a recording runs again: {where}"
        )

    def _patch_uvloop(self, module: Any) -> list[Undo]:
        """The loop of uvloop connects in C, where no hook sees it."""
        loop = module.Loop
        create: Callable[..., Any] = loop.create_connection

        async def create_connection(
            self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
        ) -> Any:
            if _guard is not None and host is not None:
                name = _text(host)
                if not (_is_loopback(name) and not _guard._is_of_others(name, port, connects=True)):  # noqa: SLF001  (our own)
                    _guard.refuse(name, port)
            return await create(self, protocol_factory, host, port, **more)

        loop.create_connection = create_connection

        def put_back() -> None:
            loop.create_connection = create

        return [put_back]


def refuse(program: str) -> None:
    """Refuse to start a program that would reach the network, unless the running code may reach it.

    Raises:
        ConnectionRefusedError: it is refused.
    """
    if _guard is not None:
        _guard.refuse(program, None)


def _audit(event: str, words: tuple[Any, ...]) -> None:
    if event in _WATCHED and _guard is not None:
        _guard.look(event, words)


def _text(host: Any) -> str:
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode("ascii", "replace")
    return host if isinstance(host, str) else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _listening(port: Any) -> set[int | None] | None:
    """The processes that listen on a port of loopback; `None` where the system does not say."""
    import psutil  # noqa: PLC0415  (rarely needed)

    try:
        return {
            found.pid
            for found in psutil.net_connections("inet")
            if found.laddr
            and found.laddr.port == port
            and found.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
        }
    except (psutil.Error, OSError):
        return None


def _own_processes() -> set[int | None]:
    """The processes of the program: that which was started under our runner, and all that came of it."""
    import psutil  # noqa: PLC0415  (as above)

    first = psutil.Process()
    with contextlib.suppress(psutil.Error):
        for parent in first.parents():
            if _RUNNER in parent.cmdline():
                first = parent
    return {first.pid, *(child.pid for child in first.children(recursive=True))}


def _is_left_behind(pid: int | None) -> bool:
    """Whether the program started a process that has lost its parent since, as one in the background of a shell has, or a daemon."""
    import psutil  # noqa: PLC0415  (as above)

    try:
        return pid is not None and processes.has_our_session(psutil.Process(pid).environ())
    except psutil.Error:
        return False
