"""Keep a program from the network during a re-run, and report each attempt to reach it.

An audit hook sees every connection, datagram and name look-up that goes through the `socket` module, and an exception
of the hook ends the attempt. Allowed are sockets that are not internet sockets, servers on loopback that the program
itself runs, and code inside calls that are made for real. The system refuses a connection to a loopback port where
nothing listens; that is reported at the end if the program has not started a server there since.

Not seen are libraries in C or Rust with sockets of their own (gRPC, libpq), and programs that are not Python.
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

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.seams.processes import processes
from namel3ss_debug.wire.requests import is_telemetry

if TYPE_CHECKING:  # the tracer only keeps it
    from namel3ss_debug.capture.core.tracer import ExecutionTracer

_RUNNER = os.path.join(CAPTURE_FOLDER, "launch", "runner.py")
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost", "<broadcast>"})
_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_WATCHED = _SENDING | _LOOK_UPS | {"socket.bind"}

_REPORTING = frozenset({4317, 4318, 8125, 8126})
"""The ports of OpenTelemetry's collectors, and of agents for StatsD and Datadog."""

_FREE: ContextVar[bool] = ContextVar("namel3ss_debug_network_free", default=False)
"""Whether the running code may reach the network."""

_guard: Offline | None = None
_hooked = False


class Offline:
    """Closes the network to this process, see `answers.Network`.

    Args:
        tracer: records each attempt.
        refused: hosts that may not be reached even where calls are made for real.
    """

    def __init__(self, tracer: ExecutionTracer, refused: frozenset[str] = frozenset()) -> None:
        self._tracer = tracer
        self._refused = refused
        self._is_open = False
        self._leaving = 0
        self._lock = threading.Lock()
        self._spans: set[str] = set()
        self._reporting = threading.local()
        self._own: set[Any] = set()  # ports on which the program listens; finding them is slow
        # process and port -> address, call site
        self._missed: dict[tuple[int, Any], tuple[str, str | None]] = {}

    def is_closed(self) -> bool:
        """Return whether the network is closed to the running code."""
        if self._is_open or self._leaving or _FREE.get():
            return False
        span = context.current() if self._spans else None
        while isinstance(span, OpenSpan):
            if span.event_id in self._spans and span.is_open:
                return False
            span = span._parent
        return True

    def renew(self) -> None:
        """Forget the requests that are being sent, and the lock, after a fork: they belong to the parent process."""
        self._lock, self._leaving = threading.Lock(), 0

    def open(self) -> None:
        """Open the network for a request that is made for real."""
        with self._lock:
            self._leaving += 1

    def close(self) -> None:
        """Close the network after the request was answered or has failed."""
        with self._lock:
            self._leaving -= 1

    def open_for(self, span: Any) -> None:
        """Open the network to the code inside this span until it ends; with `None`, to the whole process."""
        if span is None:
            self._is_open = True
        else:
            self._spans.add(span.event_id)

    def open_here(self) -> Token[bool]:
        """Open the network to the code that runs from here on, and to the tasks and threads that it starts."""
        return _FREE.set(True)

    def close_here(self, token: Token[bool]) -> None:
        """Close the network to the code that runs from here on. Tasks and threads started before keep it open."""
        with contextlib.suppress(
            ValueError
        ):  # a coroutine that was never finished is closed in another context
            _FREE.reset(token)

    def install(self) -> Undo:
        """Refuse every attempt to reach the network from now on. The result ends that."""
        global _guard, _hooked  # an audit hook cannot be removed
        _guard = self
        self._tracer.at_end.append(self._report_missed)
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

        def restore() -> None:
            global _guard
            _guard = None
            undo()
            if socket.socket.connect_ex is connect_ex:
                patched.connect_ex = original

        return restore

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse an attempt if it goes to the network.

        Raises:
            ConnectionRefusedError: the attempt is refused.
        """
        if getattr(self._reporting, "now", False):
            return
        if event in _LOOK_UPS:
            host, port = _text(arguments[0]), arguments[1] if event == "socket.getaddrinfo" else None
            self._refuse_always(host)
            if _parse_address(host) is not None or host in _LOCAL_NAMES or host == socket.gethostname():
                return
        else:
            family, address = arguments[0].family, arguments[1]
            if family not in _INTERNET or not isinstance(address, tuple) or not address:
                return
            host, port = _text(address[0]), address[1]
            if event == "socket.bind":
                self._missed.pop((os.getpid(), port), None)
                if arguments[0].type == socket.SOCK_STREAM:
                    self._report_listening(port)
                return
            self.check_connection(host, port, connects=event == "socket.connect")
            return
        self.refuse(host, port)

    def check_connection(self, host: str, port: Any, *, connects: bool = True) -> None:
        """Refuse a connection or datagram, unless it goes to a server of the program itself.

        Raises:
            ConnectionRefusedError: the attempt is refused.
        """
        self._refuse_always(host)
        if not _is_loopback(host) or self._is_foreign_server(host, port, connects=connects):
            self.refuse(host, port)

    def _refuse_always(self, host: str) -> None:
        """Refuse a host that a trace of somebody else supplies.

        Raises:
            ConnectionRefusedError: it is such a host.
        """
        if host.lower() in self._refused and not _is_loopback(host):
            why = "a trace that is not yours supplies this address"
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{why}: {host}")

    def _report_listening(self, port: Any) -> None:
        """Report where the program starts to listen, because in a re-run no client may ever connect."""
        answers = self._tracer.answers
        if answers is not None and isinstance(port, int):
            self._reporting.now = True
            try:
                answers.report_listening(port, self._tracer.sites.find(0))
            finally:
                self._reporting.now = False

    def _is_foreign_server(self, host: str, port: Any, *, connects: bool) -> bool:
        """Return whether a server listens on this loopback port that the program did not start.

        If nothing listens there, the program may be waiting for its own server, and gets the system's refusal.
        """
        if port in self._own:
            return False
        listening = _find_listeners(port)
        if listening is None:
            return True
        key = os.getpid(), port
        if listening:
            self._missed.pop(key, None)
        elif connects and port not in _REPORTING and self.is_closed():
            self._missed.setdefault(key, (f"{host}:{port}", self._tracer.sites.find(0)))
        strangers = listening - _own_processes() if listening else ()
        is_foreign = not all(_is_orphan_of_ours(pid) for pid in strangers)
        if listening and not is_foreign:
            self._own.add(port)
        return is_foreign

    def _report_missed(self) -> None:
        """Report the loopback ports that the program tried and that nothing ever listened on."""
        for (pid, _port), (where, site) in list(self._missed.items()):
            if pid == os.getpid():
                metadata = {"kind": "network", "address": where, "nobody": True}
                name = where.rpartition(":")[0]
                self._tracer.emit(
                    "divergence", component="http", component_name=name, metadata=metadata, call_site=site
                )
        self._missed.clear()

    def refuse(self, host: str, port: Any) -> None:
        """Refuse an attempt, unless the running code may reach the network.

        Raises:
            ConnectionRefusedError: the attempt is refused.
        """
        self._reporting.now = True
        try:
            if not self._tracer.writer.started:
                self._tracer.writer.begin()  # the debugger may answer that this process is made for real
            if not self.is_closed():
                return
            where = host if port is None else f"{host}:{port}"
            if port not in _REPORTING and not is_telemetry(f"https://{host}/"):
                metadata = {"kind": "network", "address": where}
                self._tracer.emit("divergence", component="http", component_name=host, metadata=metadata)
        finally:
            self._reporting.now = False
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"the network is closed during a re-run: {where}")

    def _patch_uvloop(self, module: Any) -> list[Undo]:
        """Check connections of uvloop, which connects in C, where no audit hook sees it."""
        loop = module.Loop
        create: Callable[..., Any] = loop.create_connection

        async def create_connection(
            self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
        ) -> Any:
            if _guard is not None and host is not None:
                _guard.check_connection(_text(host), port)
            return await create(self, protocol_factory, host, port, **more)

        loop.create_connection = create_connection

        def restore() -> None:
            loop.create_connection = create

        return [restore]


def refuse(program: str) -> None:
    """Refuse to start a program that would reach the network, unless the running code may reach it.

    Raises:
        ConnectionRefusedError: the program is refused.
    """
    if _guard is not None:
        _guard.refuse(program, None)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _WATCHED and _guard is not None:
        _guard.check(event, arguments)


def _text(host: Any) -> str:
    if isinstance(host, bytes | bytearray):
        return bytes(host).decode("ascii", "replace")
    return host if isinstance(host, str) else ""


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _parse_address(host)
    return host in ("localhost", "") or (address is not None and address.is_loopback)


def _find_listeners(port: Any) -> set[int | None] | None:
    """Return the processes that listen on a loopback port, or None if the system does not show them."""
    import psutil  # needed when a re-run connects to loopback

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
    """Return the processes of the program: the one that our runner started, and all its descendants."""
    import psutil

    first = psutil.Process()
    with contextlib.suppress(psutil.Error):
        for parent in first.parents():
            if _RUNNER in parent.cmdline():
                first = parent
    return {first.pid, *(child.pid for child in first.children(recursive=True))}


def _is_orphan_of_ours(pid: int | None) -> bool:
    """Return whether a process was started by the program and has lost its parent since, as a daemon has."""
    import psutil

    try:
        return pid is not None and processes.has_our_session(psutil.Process(pid).environ())
    except psutil.Error:
        return False
