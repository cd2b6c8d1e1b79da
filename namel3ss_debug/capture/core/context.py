"""Know which span the running code is inside, also in threads, executors and processes.

The innermost open span is in a context variable, so asyncio tasks and callbacks inherit it. A thread starts with an
empty context: the span in which its `start()` was called is stored on the thread, and used while the thread has no span
of its own. Executors are handled in `seams.processes.pools`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from namel3ss_debug.capture.core.patching import hide_own_frame, replace

ATTRIBUTE = "_namel3ss_debug_span"


class SpanLike(Protocol):
    """A value of the context: an open span, or the span of another process by its id."""

    @property
    def event_id(self) -> str:
        """Return the id of the start event."""

    @property
    def session_id(self) -> str | None:
        """Return the id of the session that it belongs to."""

    may_be_outside: bool
    """Whether the running code may be outside of it although the context holds it, so that `here` must be called."""

    def here(self) -> SpanLike | None:
        """Return this span, or the nearest outer one that the running code is really inside."""


CURRENT: ContextVar[SpanLike | None] = ContextVar("namel3ss_debug_current", default=None)
"""The innermost open recorded span of this thread, task or callback."""

INSIDE: ContextVar[bool] = ContextVar("namel3ss_debug_inside_exchange", default=False)
"""Whether the running code is a library that sends an exchange which is recorded already."""


class Remote:
    """A span of another process, of which only the id is known."""

    __slots__ = ("event_id", "may_be_outside", "session_id")

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.session_id: str | None = None
        self.may_be_outside = False

    def here(self) -> SpanLike | None:
        """Return this span: it stays open as long as this process runs."""
        return self


class Nowhere:
    """The place outside every span, even if an outer context has one."""

    __slots__ = ()
    event_id = ""
    session_id: str | None = None
    may_be_outside = True

    def here(self) -> SpanLike | None:
        """Return no span."""
        return None


NOWHERE = Nowhere()


def this_thread() -> threading.Thread | None:
    """Return the running thread if `threading` knows it; `current_thread` would create an object for a foreign one."""
    return threading._active.get(threading.get_ident())  # type: ignore[attr-defined,no-any-return]


def current() -> SpanLike | None:
    """Return the innermost recorded span that the running code is inside, if any."""
    holder = CURRENT.get()
    if holder is None:
        thread = this_thread()
        holder = None if thread is None else thread.__dict__.get(ATTRIBUTE)
    return holder.here() if holder is not None else None


def current_id() -> str | None:
    """Return the id of the innermost recorded span."""
    holder = current()
    return holder.event_id if holder is not None else None


on_thread_start: list[Callable[[threading.Thread], None]] = []
"""Called with each thread that the program starts, in the thread that starts it."""


def install(on_thread: Callable[[], None]) -> Callable[[], None]:
    """Store on each thread that is started from now on the span that it was started in.

    Spans that are still open in this thread are forgotten at the start and at the end, because ids belong to one trace.

    Args:
        on_thread: called when the program starts a thread.

    Returns:
        A function that puts everything back.
    """

    def make(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        def start(self: threading.Thread) -> None:
            on_thread()
            self.__dict__[ATTRIBUTE] = current()
            for callback in on_thread_start:
                callback(self)
            try:
                original(self)
            except BaseException as error:
                hide_own_frame(error)
                raise

        return start

    put_back = replace(threading.Thread, "start", make)
    _forget()

    def uninstall() -> None:
        put_back()
        _forget()

    return uninstall


def _forget() -> None:
    CURRENT.set(None)
    thread = this_thread()
    if thread is not None:
        thread.__dict__.pop(ATTRIBUTE, None)


class Main:
    """The id of the main thread. In a forked child, that is the thread that forked."""

    __slots__ = ("ident",)

    def __init__(self) -> None:
        self.ident = threading.main_thread().ident

    def renew(self) -> None:
        """Take the thread that forked as the main one, in a forked child."""
        self.ident = threading.main_thread().ident


MAIN = Main()
os.register_at_fork(after_in_child=MAIN.renew)


def _find_running_loop() -> Any:
    """Return the running loop. Once the program has imported asyncio, replace this function by that of asyncio."""
    global running_loop, task_on  # the seam is chosen once
    tasks: Any = sys.modules.get("asyncio.tasks")
    events = getattr(tasks, "events", None)
    if events is None:
        return None
    if sys.version_info >= (3, 12):
        task_on = tasks.current_task
    else:
        task_on = tasks._current_tasks.get  # `current_task` is a Python function around this
    running_loop = events._get_running_loop  # the check that never raises
    return running_loop()


def _no_task(_loop: Any) -> Any:
    """Return no task; never called, because there is no loop yet."""


running_loop: Callable[[], Any] = _find_running_loop
"""Return the running event loop without importing asyncio; always called as `context.running_loop()`."""

task_on: Callable[[Any], Any] = _no_task
"""Return the running task of a running loop, if any; always called as `context.task_on(loop)`."""


def current_task() -> Any:
    """Return the running asyncio task, if there is one."""
    loop = running_loop()
    return None if loop is None else task_on(loop)


@contextmanager
def as_task(task: Any) -> Iterator[None]:
    """Let the running code of the same loop count as that of another task. It must not wait.

    Aiohttp sends a body in a task of its own, and the request belongs to the task of the program that made it.
    """
    running, loop = current_task(), running_loop()
    if task is None or task is running:
        yield
        return
    tasks = sys.modules["asyncio.tasks"]
    if running is not None:
        tasks._leave_task(loop, running)  # documented for other classes of tasks
    tasks._enter_task(loop, task)
    try:
        yield
    finally:
        tasks._leave_task(loop, task)
        if running is not None:
            tasks._enter_task(loop, running)


def task_or_thread_id() -> int:
    """Return an identity of the running task, or of the thread outside of tasks."""
    loop = running_loop()
    task = None if loop is None else task_on(loop)
    return threading.get_ident() if task is None else id(task)
