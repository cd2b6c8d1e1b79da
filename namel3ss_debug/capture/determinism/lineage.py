"""Which line of work something happens in, under a name that the same program gives it each time.

Threads are scheduled as it comes, so what they read and draw is not told apart by order but by descent. The first
process is `0`. What a line of work starts is numbered there, each kind by itself:

- `0.2` the second thread started by `0`; `0.w1` one of an executor, which works only for jobs; `0.x1` one that
  `threading` did not start,
- `0:work.3` the third job to run `work` that `0` gave to executors, in whichever thread or process it runs; `0:p3.1`
  the second task of the fourth job that a pool of `multiprocessing` got in the process `0`,
- `0(search 2)` the second call of the tool `search` in `0`: a re-run that answers it does nothing of what is done in
  it,
- `0:cell[3]` the third cell of IPython that was run, in whichever task: a kernel makes one for each request that comes,
- `0~main.1` the first asyncio task of the coroutine `main` that read anything in the thread `0`,
- `0:import[numpy]` what `numpy` draws while it is imported in `0`: a test finds it imported already, and all that
  comes after draws the same numbers nevertheless,
- `0/1` the first process that `0` started; `0/w1` a worker of an executor.

A task is numbered when it first reads something, not when it is made, for no seam sees the latter.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar
from functools import partial
from types import BuiltinMethodType, FrameType, FunctionType, MethodType
from typing import Any, Self, TypeAlias

from namel3ss_debug.capture import context
from namel3ss_debug.capture.payloads import Ready

FIRST = "0"
ATTRIBUTE = "_namel3ss_debug_lineage"
_EXECUTORS = "concurrent.futures."
_OWN = (_EXECUTORS, "namel3ss_debug.")
_WORKERS = "anyio."
_FRAMES = 12
_LAYERS = 8

_root: Lineage | None = None
_forked = False
_by_import: dict[str, Lineage] | None = {}
"""What modules draw while they are imported, by module; `None` where it belongs to who imports them, as in version 2."""

_IMPORT = "<frozen importlib._bootstrap>", "_load_unlocked"
"""The function of the import system that runs a module, whose argument `spec` names it."""

_import_locks: Mapping[str, object] = vars(sys.modules["_frozen_importlib"]).get("_module_locks", {})
"""A lock for each module that is being imported now: where there is none, no stack has to be searched."""

Job: TypeAlias = "tuple[Lineage, str, int]"
"""A job of an executor: the line of work that gave it, what it runs, and its number among those. Most are never named."""


Moved: TypeAlias = "tuple[Any, Lineage, Lineage]"
"""A task, or None for the running thread, the line of work that it belongs to, and the one that it belonged to before."""


class _Here(threading.local):
    """Of each thread: its line of work once it is known; until then, the job that it runs."""

    lineage: Lineage | None = None
    job: Job | None = None


_here = _Here()
_calls: ContextVar[Lineage | None] = ContextVar("namel3ss_debug_lineage", default=None)
"""The innermost call of a tool that the running code is inside, by the line of work that it is."""

_tasks: dict[int, tuple[weakref.ref[Any], Lineage]] = {}


class Lineage:
    """One line of work, and how far it has come.

    Attributes:
        path: its name.
        told: the name that events tell: of the call of a tool that of the line of work that makes it.
    """

    __slots__ = ("_children", "draws", "gauss", "generator", "jobs", "path", "ready", "told")

    def __init__(self, path: str, told: str | None = None) -> None:
        self.path = path
        self.told = path if told is None else told
        self.draws = itertools.count()
        self.jobs: dict[str, itertools.count[int]] = {}  # by what they run
        self.ready: dict[tuple[int, int], bytes] = {}  # the next draws, by their number and size
        self.generator: Any = None
        self.gauss: float | None = None
        self._children: dict[str, itertools.count[int]] = {}

    def child(self, kind: str) -> str:
        """The path of the next child of a kind; safe in several threads at once."""
        numbers = self._children.get(kind)
        if numbers is None:
            numbers = self._children.setdefault(kind, itertools.count(1))
        return f"{self.path}{kind}{next(numbers)}"


class Call:
    """A call of a tool: what runs in its block, and what that starts, belongs to it, in the task or thread that it begins in.

    A re-run that answers the call does nothing of it, and all else keeps its names and draws the same numbers. While
    nothing is named, the block is nothing but that.
    """

    __slots__ = ("_inner", "_name", "_outer", "_task", "_token")

    def __init__(self, name: str) -> None:
        self._name = name
        self._outer: Lineage | None = None

    def __enter__(self) -> Self:
        if _root is not None:
            self._outer = outer = current()
            self._inner = Lineage(f"{outer.child(f'({self._name} ')})", outer.told)
            self._task = context.current_task()
            _stand(self._task, outer, self._inner)
            self._token = _calls.set(self._inner)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._outer is None:
            return
        _stand(self._task, self._inner, self._outer)
        try:
            _calls.reset(self._token)
        except ValueError:  # in another context, which a task of an interrupted loop may end in
            pass


def begin(path: str, *, forked: bool = False, imports: bool | None = None) -> None:
    """Begin to name lines of work; the running thread is the first of a process whose name is `path`.

    Args:
        path: the name of the process.
        forked: whether it was made by a fork.
        imports: whether what modules draw while they are imported has a line of its own; as before if left out.
    """
    global _root, _here, _forked, _by_import  # noqa: PLW0603  (one process, one first line of work)
    kept = _by_import is not None if imports is None else imports
    _by_import = {} if kept else None
    _forked = forked
    _here = _Here()
    _tasks.clear()
    _here.lineage = _root = Lineage(path)


def end() -> None:
    """Stop naming lines of work."""
    global _root  # noqa: PLW0603  (as above)
    _root = None
    _tasks.clear()


def active() -> bool:
    """Whether lines of work are named in this process."""
    return _root is not None


def root() -> Lineage:
    """The first line of work of this process."""
    assert _root is not None
    return _root


def current() -> Lineage:
    """The line of work that the running code belongs to."""
    loop = context.running_loop()
    task = None if loop is None else context.task_on(loop)
    if task is None:
        return _here.lineage or _of_thread()
    known = _tasks.get(id(task))
    return known[1] if known is not None and known[0]() is task else _of_task(task)


def told() -> dict[str, Ready]:
    """The metadata of a call that name the line of work that makes it; each task has another name."""
    return {} if _root is None else {"lineage": Ready(current().told)}


def drawing() -> Lineage:
    """Return the line of work that a draw of the running code belongs to: of an import, or the current one."""
    return (of_import() if _import_locks else None) or current()


def of_import() -> Lineage | None:
    """Return the line of work of the module that is being imported by the running code; `None` outside of an import."""
    lines = _by_import
    if lines is None or _root is None:
        return None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  (the documented way to a frame)
    while frame is not None:
        code = frame.f_code
        if code.co_name == _IMPORT[1] and code.co_filename == _IMPORT[0]:
            name = str(getattr(frame.f_locals.get("spec"), "name", ""))
            return lines.get(name) or lines.setdefault(name, Lineage(f"{_root.path}:import[{name}]"))
        frame = frame.f_back
    return None


def branch() -> Lineage | None:
    """The line of work of the running code; `None` in the first one of the process."""
    if _import_locks and (importing := of_import()) is not None:
        return importing
    here = (_here.lineage or _of_thread()) if context.running_loop() is None else current()
    return None if here is _root else here


def thread_starts(thread: threading.Thread) -> None:
    """Give a new thread its line of work; called in the thread that starts it."""
    if _root is not None:
        target = thread.__dict__.get("_target")
        module = str(target.__module__) if type(target) is FunctionType else ""
        own = module.startswith(_OWN) or type(thread).__module__.startswith(_WORKERS)
        thread.__dict__[ATTRIBUTE] = Lineage(current().child(".w" if own else "."))


def new_job(function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Job | None:
    """A job that is given to an executor now.

    What it runs is part of its name, for some libraries give their executor jobs beside it as it comes, which only
    wait.

    Args:
        function: what the executor is to call.
        args: what it is to be called with, by position.
    """
    if _root is None:
        return None
    here, name = current(), _run_by(function, args)
    numbers = here.jobs.get(name)
    if numbers is None:
        numbers = here.jobs.setdefault(name, itertools.count(1))
    return here, name, next(numbers)


def of_job(job: Job) -> Lineage:
    """The line of work of a job."""
    outer, name, number = job
    return Lineage(f"{outer.path}:{name}.{number}")


def of_task(name: str) -> Lineage:
    """The line of work of a task of a pool, in the worker that has taken it: a thread, or the first one of a process."""
    path = root().path
    if threading.current_thread() is threading.main_thread():
        path = path.rpartition("/")[0] or path
    return Lineage(f"{path}:{name}")


def enter(lineage: Lineage) -> None:
    """Let what this thread does from now on belong to a line of work."""
    if _root is not None:
        _here.lineage, _here.job = lineage, None


def begin_job(job: Job) -> Lineage | None:
    """Let what this thread does from now on belong to a job; the result is for `end_job`."""
    here = _here
    before = here.lineage if here.job is None else _of_thread()
    here.lineage, here.job = None, job
    return before


def end_job(before: Lineage | None) -> None:
    """End a job: the thread goes on with the line of work that it had before."""
    _here.lineage, _here.job = before, None


def begin_cell(number: int) -> Moved | None:
    """Let what this task or thread does from now on belong to a cell; the result is for `end_cell`."""
    if _root is None:
        return None
    task, outer, inner = context.current_task(), current(), Lineage(f"{_root.path}:cell[{number}]")
    _stand(task, outer, inner)
    return task, inner, outer


def end_cell(moved: Moved) -> None:
    """End a cell: its task or thread goes on with the line of work that it had before."""
    _stand(*moved)


def new_process() -> str | None:
    """The name of a process that is started now."""
    if _root is None:
        return None
    return current().child("/w" if _inside_an_executor() else "/")


def before_fork() -> None:
    """Name the process that a fork is about to make."""
    _here.forked = new_process()


def after_fork_in_child() -> None:
    """This process is the one that was named before the fork."""
    if _root is not None:
        begin(getattr(_here, "forked", None) or _root.child("/x"), forked=True)


def was_forked() -> bool:
    """Whether this process was made by a fork."""
    return _forked


def calls() -> list[str]:
    """The calls of tools that the running code is inside, the outermost first."""
    path = current().path
    return [path[: place + 1] for place, sign in enumerate(path) if sign == ")"]


def _stand(task: Any, before: Lineage, now: Lineage) -> None:
    """Move a task, or the running thread, from one line of work to another."""
    if task is None:
        if _here.lineage is before:
            _here.lineage = now
        return
    known = _tasks.get(id(task))
    if known is not None and known[1] is before:
        _tasks[id(task)] = known[0], now


def _run_by(function: Any, args: tuple[Any, ...]) -> str:
    """The name of the function that a job runs in the end, without what only passes it on."""
    for _ in range(_LAYERS):
        if type(function) is partial:
            function, args = function.func, (*function.args, *args)
        elif args and type(function) is BuiltinMethodType and type(function.__self__) is Context:
            function, args = args[0], args[1:]
        else:
            break
    if type(function) is MethodType:
        function = function.__func__
    known = type(function) in {FunctionType, BuiltinMethodType}
    return str(function.__qualname__ if known else type(function).__name__)


def _inside_an_executor() -> bool:
    frame = sys._getframe(1).f_back  # noqa: SLF001  (the documented way to a frame)
    for _ in range(_FRAMES):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__")).startswith(_EXECUTORS):
            return True
        frame = frame.f_back
    return False


def _of_thread() -> Lineage:
    here = _here
    if here.lineage is None:
        if here.job is not None:
            found = of_job(here.job)
        else:
            thread = context.this_thread()
            found = (thread.__dict__.get(ATTRIBUTE) if thread is not None else None) or _foreign()
        if here.lineage is None:  # else a finalizer has asked meanwhile
            here.lineage, here.job = found, None
    return here.lineage


def _foreign() -> Lineage:
    return Lineage(FIRST if _root is None else _root.child(".x"))


def _of_task(task: Any) -> Lineage:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", None)
    outer, call = _of_thread(), _calls.get()
    if call is not None and not outer.path.startswith(call.path):
        outer = call
    lineage = Lineage(outer.child(f"~{name if type(name) is str else type(coroutine).__name__}."))
    key = id(task)

    def forget(reference: object) -> None:
        if key in _tasks and _tasks[key][0] is reference:
            del _tasks[key]

    _tasks[key] = (weakref.ref(task, forget), lineage)
    return lineage
