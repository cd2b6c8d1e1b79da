"""Run work items of executors inside the span in which `submit` was called, in whichever thread or process.

The workers of `multiprocessing.pool` and the worker threads of anyio get the task path of each task, because any of them
may take it. Their span is the one in which they were started, or that of the context.

The seams are the executors' own work items, below everything that the program sees. No frame of ours is between the
program's own, so tracebacks look as before, and a worker's context keeps what its initializer has set.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.announced import CURRENT as ANNOUNCED
from namel3ss_debug.capture.core.context import CURRENT, NOWHERE, Remote, current, current_id
from namel3ss_debug.capture.core.editing import call_of, edit_body
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, when_imported

_PARENT = "namel3ss_debug_parent"


def install(missing: Callable[[str], None]) -> Undo:
    """Carry the span through thread and process pools from now on; return a function that restores everything.

    Args:
        missing: called with a message if this version of Python lacks a seam.
    """
    return when_imported(_POOLS, missing)


def _patch_threads(module: Any) -> list[Undo]:
    """Run a work item in the span, as the job, and in the announced call in which it was submitted.

    They are stored in an attribute and not in `__dict__`, which Python creates only when it is used.

    Raises:
        AttributeError: this version of Python has other work items.
    """
    item = module._WorkItem  # no public seam sees a work item run
    created, executed = item.__init__, item.run
    call = _call_getter(created.__code__.co_varnames)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        created(self, *args, **kwargs)
        self._namel3ss_debug_place = current() or NOWHERE, task_paths.new_job(*call(self)), ANNOUNCED.get()

    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        holder, job, expected = self._namel3ss_debug_place
        token = CURRENT.set(holder)
        announced_token = None if expected is None else ANNOUNCED.set(expected)
        before = None if job is None else task_paths.begin_job(job)
        try:
            executed(self, *args, **kwargs)
        finally:
            CURRENT.reset(token)
            if announced_token is not None:
                ANNOUNCED.reset(announced_token)
            if job is not None:
                task_paths.end_job(before)
            del (
                self
            )  # `run` does the same: the item refers to the exception of the job, which refers to this frame

    item._namel3ss_debug_place = None, None, None  # those that wait already
    item.__init__, item.run = init, run

    def restore() -> None:
        item.__init__, item.run = (
            created,
            executed,
        )  # the attribute stays, because an item may be about to run

    return [restore]


def _call_getter(parameters: tuple[str, ...]) -> Callable[[Any], tuple[Any, Any]]:
    """Return what gets the function and the arguments of a thread's work item; since Python 3.14 they are one tuple.

    Raises:
        AttributeError: this version of Python has other work items.
    """
    if "task" in parameters:
        return lambda item: item.task[:2]
    if "fn" in parameters:
        return operator.attrgetter("fn", "args")
    raise AttributeError("_WorkItem takes neither fn nor task")


class _Keywords(dict[str, Any]):
    """The keywords of a job for another process, with its span and task path; a plain `dict` there."""

    __slots__ = ("job", "parent")
    job: str | None
    parent: str | None

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _patch_processes(module: Any) -> list[Undo]:
    """Send the id of the span with the pickled call; it is the current span once a worker unpickles the call."""
    submitted, sent = module._WorkItem, module._CallItem  # no public seam sees a work item run
    submitted_init, sent_init = submitted.__init__, sent.__init__

    def submit(self: Any, future: Any, fn: Any, args: Any, kwargs: Any) -> None:
        keywords = _Keywords(kwargs)  # both items share this object
        job = task_paths.new_job(fn, args)
        keywords.parent, keywords.job = current_id(), None if job is None else task_paths.job_path(job).path
        submitted_init(self, future, fn, args, keywords)

    def send(self: Any, work_id: Any, fn: Any, args: Any, kwargs: Any) -> None:
        sent_init(self, work_id, fn, args, kwargs)
        if isinstance(kwargs, _Keywords):  # otherwise it was submitted before
            self.__dict__[_PARENT], self.__dict__[task_paths.ATTRIBUTE] = kwargs.parent, kwargs.job

    def arrive(self: Any, state: dict[str, Any]) -> None:
        parent, job = state.pop(_PARENT, None), state.pop(task_paths.ATTRIBUTE, None)
        self.__dict__.update(state)
        CURRENT.set(Remote(parent) if parent else NOWHERE)
        if job:
            task_paths.switch_to(task_paths.TaskPath(job))

    submitted.__init__, sent.__init__, sent.__setstate__ = submit, send, arrive

    def restore() -> None:
        submitted.__init__, sent.__init__ = submitted_init, sent_init
        del sent.__setstate__

    return [restore]


class _PassTask(ast.NodeTransformer):
    """Passes what a worker takes from its queue through `_namel3ss_task`."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if isinstance(node.value, ast.Name) and node.value.id == "task":
            node.value = call_of("_namel3ss_task", node.value)
        return node


def _patch_pools(module: Any) -> list[Undo]:
    """Identify a task by the numbers of its job and of the task in it, whichever worker takes it."""

    def take(task: Any) -> Any:
        if task_paths.is_active():
            task_paths.switch_to(task_paths.pool_task_path(f"p{task[0]}.{task[1]}"))
        return task

    undo = edit_body(module.worker, {"_namel3ss_task": take}, _PassTask())
    return [] if undo is None else [undo]


class _Job:
    """A function that runs under a task path of its own, in whichever thread; it leaves no frame in a traceback."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._job = task_paths.new_job(function)

    def __call__(self, *args: Any) -> Any:
        before = None if self._job is None else task_paths.begin_job(self._job)
        try:
            return self._function(*args)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            if self._job is not None:
                task_paths.end_job(before)


def _patch_anyio(module: Any) -> list[Undo]:
    """Make a function that anyio runs in a thread a job of its own."""
    backend, name = module.AsyncIOBackend, "run_sync_in_worker_thread"
    original = backend.__dict__[name].__func__

    def run_sync(cls: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        return original(cls, _Job(function) if task_paths.is_active() else function, *args, **kwargs)

    ours = classmethod(functools.wraps(original)(run_sync))
    setattr(backend, name, ours)

    def restore() -> None:
        if backend.__dict__[name] is ours:
            setattr(backend, name, classmethod(original))

    return [restore]


_POOLS = {
    "anyio._backends._asyncio": _patch_anyio,
    "concurrent.futures.thread": _patch_threads,
    "concurrent.futures.process": _patch_processes,
    "multiprocessing.pool": _patch_pools,
}
