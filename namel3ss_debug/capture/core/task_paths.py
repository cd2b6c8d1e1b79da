"""Identify threads, tasks, jobs and processes by a path that is the same in each run of a program.

Threads are scheduled in any order, so what they read and draw is identified by descent. The first process is `0`. Its
children are numbered, each kind by itself:

- `0.2` the second thread started by `0`; `0.w1` one of an executor, which works only for jobs; `0.x1` one that
  `threading` did not start,
- `0:work.3` the third job to run `work` that `0` gave to executors, in whichever thread or process it runs; `0:p3.1`
  the second task of the fourth job that a pool of `multiprocessing` got in the process `0`,
- `0(search 2)` the second call of the tool `search` in `0`: a re-run that answers the call does none of its work,
- `0:cell[3]` the third cell of IPython that was run, in whichever task: a kernel makes one for each request,
- `0~main.1` the first asyncio task of the coroutine `main` that read anything in the thread `0`,
- `0:import[numpy]` draws of `numpy` while it is imported in `0`: in a test it may be imported already, and later draws
  are the same nevertheless,
- `0/1` the first process that `0` started; `0/w1` a worker of an executor.

A task gets its number when it first reads something, because no seam sees that it is created.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar
from functools import partial
from sys import _getframe as frame_at
from types import BuiltinMethodType, FrameType, FunctionType, MethodType
from typing import Any, Self, TypeAlias

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.payloads.conversion import Ready

FIRST = "0"
ATTRIBUTE = "_namel3ss_debug_task_path"
_EXECUTORS = "concurrent.futures."
_EXECUTOR_MODULES = (_EXECUTORS, "namel3ss_debug.")
_ANYIO = "anyio."
_MOST_FRAMES = 12
_MOST_LAYERS = 8

_root: TaskPath | None = None
_forked = False
_import_paths: dict[str, TaskPath] = {}
"""The path of each module that is being imported."""

_IMPORT = "<frozen importlib._bootstrap>", "_load_unlocked"
"""The function of the import system that runs a module, whose argument `spec` names it."""

_import_locks: Mapping[str, object] = vars(sys.modules["_frozen_importlib"]).get("_module_locks", {})
"""A lock for each module that is being imported now; if there is none, no stack has to be searched."""

Job: TypeAlias = "tuple[TaskPath, str, int]"
"""A job of an executor: the task path that submitted it, its function, and its number. Most never need a path."""


Moved: TypeAlias = "tuple[Any, TaskPath, TaskPath]"
"""A task, or None for the running thread, its task path now, and the one before."""


class _Here(threading.local):
    """The task path of each thread once it is known; until then, the job that it runs."""

    task_path: TaskPath | None = None
    job: Job | None = None


_here = _Here()
_calls: ContextVar[TaskPath | None] = ContextVar("namel3ss_debug_tool_call", default=None)
"""The task path of the innermost tool call that the running code is inside."""

_tasks: dict[int, tuple[weakref.ref[Any], TaskPath]] = {}


class TaskPath:
    """One thread, task, job or tool call, and the counters of its children and draws.

    Attributes:
        path: the path as text.
        caller_path: the path in events: inside of a tool call, that of the task that makes the call.
    """

    __slots__ = ("_children", "caller_path", "draws", "gauss", "generator", "jobs", "path", "ready")

    def __init__(self, path: str, caller_path: str | None = None) -> None:
        self.path = path
        self.caller_path = path if caller_path is None else caller_path
        self.draws = itertools.count()
        self.jobs: dict[str, itertools.count[int]] = {}  # by the function that they run
        self.ready: dict[tuple[int, int], bytes] = {}  # the next draws, by their number and size
        self.generator: Any = None
        self.gauss: float | None = None
        self._children: dict[str, itertools.count[int]] = {}

    def child(self, kind: str) -> str:
        """Return the path of the next child of a kind; safe in several threads at once."""
        numbers = self._children.get(kind)
        if numbers is None:
            numbers = self._children.setdefault(kind, itertools.count(1))
        return f"{self.path}{kind}{next(numbers)}"


class ToolCallScope:
    """Gives a path of its own to what runs inside a call of a tool, and to what that starts.

    A re-run that answers the call does nothing of its work. Because of the extra path, all other work keeps its paths and
    draws the same random numbers. The block does nothing while no paths are kept.
    """

    __slots__ = ("_inner", "_name", "_outer", "_task", "_token")

    def __init__(self, name: str) -> None:
        self._name = name
        self._outer: TaskPath | None = None

    def __enter__(self) -> Self:
        if _root is not None:
            self._outer = outer = current()
            self._inner = TaskPath(f"{outer.child(f'({self._name} ')})", outer.caller_path)
            self._task = context.current_task()
            _set_current(self._task, outer, self._inner)
            self._token = _calls.set(self._inner)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._outer is None:
            return
        _set_current(self._task, self._inner, self._outer)
        try:
            _calls.reset(self._token)
        except ValueError:  # a task of an interrupted loop may end in another context
            pass


def begin(path: str, *, forked: bool = False) -> None:
    """Begin to keep task paths; the running thread is the first of the process with this path.

    Args:
        path: the name of the process.
        forked: whether it was made by a fork.
    """
    global _root, _here, _forked, _import_paths  # one process, one root
    _import_paths = {}
    _forked = forked
    _here = _Here()
    _tasks.clear()
    _here.task_path = _root = TaskPath(path)


def end() -> None:
    """Stop keeping task paths."""
    global _root
    _root = None
    _tasks.clear()


def is_active() -> bool:
    """Return whether task paths are kept in this process."""
    return _root is not None


def root() -> TaskPath:
    """Return the task path of the first thread of this process."""
    assert _root is not None
    return _root


def current() -> TaskPath:
    """Return the task path of the running code."""
    loop = context.running_loop()
    task = None if loop is None else context.task_on(loop)
    if task is None:
        return _here.task_path or _thread_path()
    known = _tasks.get(id(task))
    return known[1] if known is not None and known[0]() is task else _task_path(task)


def call_metadata() -> dict[str, Ready]:
    """Return the metadata of a call that identifies the task that makes it."""
    return {} if _root is None else {"lineage": Ready(current().caller_path)}


def current_for_draws() -> TaskPath:
    """Return the task path to which a draw of the running code belongs: that of an import, or the current one."""
    return (current_import() if _import_locks else None) or current()


def current_import() -> TaskPath | None:
    """Return the task path of the module that the running code is importing; `None` outside of an import."""
    paths = _import_paths
    if _root is None:
        return None
    frame: FrameType | None = frame_at(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == _IMPORT[1] and code.co_filename == _IMPORT[0]:
            name = str(getattr(frame.f_locals.get("spec"), "name", ""))
            return paths.get(name) or paths.setdefault(name, TaskPath(f"{_root.path}:import[{name}]"))
        frame = frame.f_back
    return None


def current_unless_root() -> TaskPath | None:
    """Return the task path of the running code; `None` in the first thread of the process."""
    if _import_locks and (importing := current_import()) is not None:
        return importing
    here = (_here.task_path or _thread_path()) if context.running_loop() is None else current()
    return None if here is _root else here


def assign_to_thread(thread: threading.Thread) -> None:
    """Give a new thread its task path; called in the thread that starts it."""
    if _root is not None:
        target = thread.__dict__.get("_target")
        module = str(target.__module__) if type(target) is FunctionType else ""
        own = module.startswith(_EXECUTOR_MODULES) or type(thread).__module__.startswith(_ANYIO)
        thread.__dict__[ATTRIBUTE] = TaskPath(current().child(".w" if own else "."))


def new_job(function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Job | None:
    """Return a job that is submitted to an executor now; `None` if no paths are kept.

    The function is part of the path, because some libraries also submit jobs that only wait, at unpredictable moments.

    Args:
        function: the function that the executor calls.
        args: its positional arguments.
    """
    if _root is None:
        return None
    here, name = current(), _name_of_job(function, args)
    numbers = here.jobs.get(name)
    if numbers is None:
        numbers = here.jobs.setdefault(name, itertools.count(1))
    return here, name, next(numbers)


def job_path(job: Job) -> TaskPath:
    """Return the task path of a job."""
    outer, name, number = job
    return TaskPath(f"{outer.path}:{name}.{number}")


def pool_task_path(name: str) -> TaskPath:
    """Return the task path of a task of a pool, in its worker: a thread, or the first thread of a process."""
    path = root().path
    if threading.current_thread() is threading.main_thread():
        path = path.rpartition("/")[0] or path
    return TaskPath(f"{path}:{name}")


def switch_to(task_path: TaskPath) -> None:
    """Let this thread go on under another task path."""
    if _root is not None:
        _here.task_path, _here.job = task_path, None


def begin_job(job: Job) -> TaskPath | None:
    """Let this thread run a job, and return what `end_job` needs."""
    here = _here
    before = here.task_path if here.job is None else _thread_path()
    here.task_path, here.job = None, job
    return before


def end_job(before: TaskPath | None) -> None:
    """End a job, and give its thread the task path that it had before."""
    _here.task_path, _here.job = before, None


def begin_cell(number: int) -> Moved | None:
    """Let this task or thread run a cell, and return what `end_cell` needs."""
    if _root is None:
        return None
    task, outer, inner = context.current_task(), current(), TaskPath(f"{_root.path}:cell[{number}]")
    _set_current(task, outer, inner)
    return task, inner, outer


def end_cell(moved: Moved) -> None:
    """End a cell, and give its task or thread the task path that it had before."""
    _set_current(*moved)


def new_process_path() -> str | None:
    """Return the path of a process that is started now."""
    if _root is None:
        return None
    return current().child("/w" if _inside_an_executor() else "/")


def before_fork() -> None:
    """Choose the path of the process that a fork is about to create."""
    _here.forked = new_process_path()


def after_fork_in_child() -> None:
    """Take the path that was chosen before the fork."""
    if _root is not None:
        begin(getattr(_here, "forked", None) or _root.child("/x"), forked=True)


def was_forked() -> bool:
    """Return whether this process was made by a fork."""
    return _forked


def open_tool_calls() -> list[str]:
    """Return the paths of the tool calls that the running code is inside, the outermost first."""
    path = current().path
    return [path[: place + 1] for place, sign in enumerate(path) if sign == ")"]


def _set_current(task: Any, before: TaskPath, now: TaskPath) -> None:
    """Move a task, or the running thread, from one task path to another."""
    if task is None:
        if _here.task_path is before:
            _here.task_path = now
        return
    known = _tasks.get(id(task))
    if known is not None and known[1] is before:
        _tasks[id(task)] = known[0], now


def _name_of_job(function: Any, args: tuple[Any, ...]) -> str:
    """Return the name of the function that a job runs, without partials and `Context.run` around it."""
    for _ in range(_MOST_LAYERS):
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
    frame = frame_at(1).f_back
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return False
        if str(frame.f_globals.get("__name__")).startswith(_EXECUTORS):
            return True
        frame = frame.f_back
    return False


def _thread_path() -> TaskPath:
    here = _here
    if here.task_path is None:
        if here.job is not None:
            found = job_path(here.job)
        else:
            thread = context.this_thread()
            found = (thread.__dict__.get(ATTRIBUTE) if thread is not None else None) or _foreign()
        if here.task_path is None:  # a finalizer may have asked meanwhile
            here.task_path, here.job = found, None
    return here.task_path


def _foreign() -> TaskPath:
    return TaskPath(FIRST if _root is None else _root.child(".x"))


def _task_path(task: Any) -> TaskPath:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", None)
    outer, call = _thread_path(), _calls.get()
    if call is not None and not outer.path.startswith(call.path):
        outer = call
    task_path = TaskPath(outer.child(f"~{name if type(name) is str else type(coroutine).__name__}."))
    key = id(task)

    def forget(reference: object) -> None:
        if key in _tasks and _tasks[key][0] is reference:
            del _tasks[key]

    _tasks[key] = (weakref.ref(task, forget), task_path)
    return task_path
