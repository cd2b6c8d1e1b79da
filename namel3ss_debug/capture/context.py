"""Which span the running code is inside, and how that follows the work into threads, executors and processes.

The innermost open span stands in a context variable, so asyncio tasks and callbacks inherit it without help. A
thread starts with an empty context: the span its `start()` was called in is remembered on the thread, and used
where the thread has no span of its own. Executors are the business of `pools`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from namel3ss_debug.capture.patching import hide_own_frame, replace

ATTRIBUTE = "_namel3ss_debug_span"


class Holder(Protocol):
    """A value of the context: an open span, or the span of another process by its id."""

    event_id: str
    session_id: str | None
    wanders: bool
    """Whether the running code may be outside of it though it stands in the context, so that `here` must be asked."""

    def here(self) -> Holder | None:
        """This span, or the nearest outer one the running code really is inside."""


CURRENT: ContextVar[Holder | None] = ContextVar("namel3ss_debug_current", default=None)
"""The innermost open recorded span of this thread, task or callback."""


class Remote:
    """A span of another process: only its id is known."""

    __slots__ = ("event_id", "session_id", "wanders")

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.session_id: str | None = None
        self.wanders = False

    def here(self) -> Holder | None:
        """A span of another process stays open as long as this one runs."""
        return self


class Nowhere:
    """Outside every span, although an outer context may hold one."""

    __slots__ = ()
    event_id = ""
    session_id: str | None = None
    wanders = True

    def here(self) -> Holder | None:
        """No span."""
        return None


NOWHERE = Nowhere()


def this_thread() -> threading.Thread | None:
    """The running thread, if `threading` knows it; `current_thread` would make one up for a foreign thread."""
    return threading._active.get(threading.get_ident())  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001


def current() -> Holder | None:
    """The innermost recorded span the running code is inside, if any."""
    holder = CURRENT.get()
    if holder is None:
        thread = this_thread()
        holder = None if thread is None else thread.__dict__.get(ATTRIBUTE)
    return holder.here() if holder is not None else None


def current_id() -> str | None:
    """The id of the innermost recorded span."""
    holder = current()
    return holder.event_id if holder is not None else None


thread_starts: list[Callable[[threading.Thread], None]] = []
"""Told each thread that the program starts, in the one that starts it."""


def install(on_thread: Callable[[], None]) -> Callable[[], None]:
    """Remember on each thread that is started from now on the span it was started in.

    A span that an earlier recording has left open in this thread is forgotten, as one of this is when it is over: ids
    are those of one recording.

    Args:
        on_thread: called when the program starts a thread.

    Returns:
        A function that puts everything back.
    """

    def make(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        def start(self: threading.Thread) -> None:
            on_thread()
            self.__dict__[ATTRIBUTE] = current()
            for told in thread_starts:
                told(self)
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
    """Which thread is the main one; a forked child makes its only thread that."""

    __slots__ = ("ident",)

    def __init__(self) -> None:
        self.ident = threading.main_thread().ident

    def renew(self) -> None:
        """After a fork: the thread that forked is the main one now."""
        self.ident = threading.main_thread().ident


MAIN = Main()
os.register_at_fork(after_in_child=MAIN.renew)


def _find_running_loop() -> Any:
    """As `running_loop`; once the program has imported asyncio, that is asked directly."""
    global running_loop, task_on  # noqa: PLW0603  (the seam is chosen once)
    tasks: Any = sys.modules.get("asyncio.tasks")
    events = getattr(tasks, "events", None)
    if events is None:
        return None
    if sys.version_info >= (3, 12):
        task_on = tasks.current_task
    else:  # there it is a function in Python around this
        task_on = tasks._current_tasks.get  # noqa: SLF001
    running_loop = events._get_running_loop  # noqa: SLF001  (the check that never raises)
    return running_loop()


def _no_task(_loop: Any) -> Any:
    """Never called: there is no loop."""


running_loop: Callable[[], Any] = _find_running_loop
"""The running event loop of this thread, without importing asyncio where the program has not; asked as `context.running_loop()`."""

task_on: Callable[[Any], Any] = _no_task
"""The running task of the running loop, if there is one; asked as `context.task_on(loop)`, once a loop was found."""


def current_task() -> Any:
    """The running asyncio task, if there is one."""
    loop = running_loop()
    return None if loop is None else task_on(loop)


def strand() -> int:
    """An identity of the running task, else of the thread."""
    loop = running_loop()
    task = None if loop is None else task_on(loop)
    return threading.get_ident() if task is None else id(task)
