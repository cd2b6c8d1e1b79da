"""Work items of executors run inside the span their `submit` was called in, in whatever thread or process.

The workers of `multiprocessing.pool` and the worker threads of anyio are told which line of work a task is, because any
of them may take it; their span is the one that they were started in, or the context's.

The seams are the executors' own work items, below everything the program sees: no frame of ours stands between
the program's own, so tracebacks read as they did, and a worker's context keeps what its initializer put there.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.beneath import NOW
from namel3ss_debug.capture.context import CURRENT, NOWHERE, Remote, current, current_id
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.editing import call_of, edit_body
from namel3ss_debug.capture.patching import Undo, hide_own_frame, when_imported

_PARENT = "namel3ss_debug_parent"


def install(missing: Callable[[str], None]) -> Undo:
    """Carry the span through thread and process pools from now on; the result puts everything back.

    Args:
        missing: told in words where a version of Python has not the seam.
    """
    return when_imported(_POOLS, missing)


def _patch_threads(module: Any) -> list[Undo]:
    """Let a work item run in the span, as the job, and in the call of a framework, in which it was submitted.

    They are an attribute, not put into its `__dict__`: an object has none of its own until somebody asks for it.

    Raises:
        AttributeError: a work item is made of something else than is known here.
    """
    item = module._WorkItem  # noqa: SLF001  (no public seam sees a work item run)
    created, executed = item.__init__, item.run
    call = _call_in(created.__code__.co_varnames)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        created(self, *args, **kwargs)
        self._namel3ss_debug_place = current() or NOWHERE, lineage.new_job(*call(self)), NOW.get()

    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        holder, job, expected = self._namel3ss_debug_place
        token = CURRENT.set(holder)
        told = None if expected is None else NOW.set(expected)
        before = None if job is None else lineage.begin_job(job)
        try:
            executed(self, *args, **kwargs)
        finally:
            CURRENT.reset(token)
            if told is not None:
                NOW.reset(told)
            if job is not None:
                lineage.end_job(before)
            del self  # the item holds an exception of the job, which holds this frame: as in `run` itself

    item._namel3ss_debug_place = None, None, None  # noqa: SLF001  (those that wait already)
    item.__init__, item.run = init, run

    def put_back() -> None:
        item.__init__, item.run = created, executed  # the attribute stays: one may be just about to run

    return [put_back]


def _call_in(parameters: tuple[str, ...]) -> Callable[[Any], tuple[Any, Any]]:
    """What gives the function and the arguments of a thread's work item, which has them in one tuple since Python 3.14.

    Raises:
        AttributeError: it is not made of these.
    """
    if "task" in parameters:
        return lambda item: item.task[:2]
    if "fn" in parameters:
        return operator.attrgetter("fn", "args")
    raise AttributeError("_WorkItem takes neither fn nor task")


class _Keywords(dict[str, Any]):
    """The keywords of a job for another process, with the span and the line of work that it was submitted in; a plain `dict` there."""

    __slots__ = ("job", "parent")
    job: str | None
    parent: str | None

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _patch_processes(module: Any) -> list[Undo]:
    """The id of the span travels with the pickled call, and is the current one from when a worker unpickles it."""
    submitted, sent = module._WorkItem, module._CallItem  # noqa: SLF001  (as above)
    submitted_init, sent_init = submitted.__init__, sent.__init__

    def submit(self: Any, future: Any, fn: Any, args: Any, kwargs: Any) -> None:
        told = _Keywords(kwargs)  # the one thing that both items share
        job = lineage.new_job(fn, args)
        told.parent, told.job = current_id(), None if job is None else lineage.of_job(job).path
        submitted_init(self, future, fn, args, told)

    def send(self: Any, work_id: Any, fn: Any, args: Any, kwargs: Any) -> None:
        sent_init(self, work_id, fn, args, kwargs)
        if isinstance(kwargs, _Keywords):  # else it was submitted before
            self.__dict__[_PARENT], self.__dict__[lineage.ATTRIBUTE] = kwargs.parent, kwargs.job

    def arrive(self: Any, state: dict[str, Any]) -> None:
        parent, job = state.pop(_PARENT, None), state.pop(lineage.ATTRIBUTE, None)
        self.__dict__.update(state)
        CURRENT.set(Remote(parent) if parent else NOWHERE)
        if job:
            lineage.enter(lineage.Lineage(job))

    submitted.__init__, sent.__init__, sent.__setstate__ = submit, send, arrive

    def put_back() -> None:
        submitted.__init__, sent.__init__ = submitted_init, sent_init
        del sent.__setstate__

    return [put_back]


class _OnePerTask(ast.NodeTransformer):
    """Passes what a worker takes from its queue through `_namel3ss_task`."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if isinstance(node.value, ast.Name) and node.value.id == "task":
            node.value = call_of("_namel3ss_task", node.value)
        return node


def _patch_pools(module: Any) -> list[Undo]:
    """A task is known by the number of its job and its place in that, whichever worker takes it."""

    def take(task: Any) -> Any:
        if lineage.active():
            lineage.enter(lineage.of_task(f"p{task[0]}.{task[1]}"))
        return task

    undo = edit_body(module.worker, {"_namel3ss_task": take}, _OnePerTask())
    return [] if undo is None else [undo]


class _Job:
    """A function that runs as a line of work of its own, in whichever thread; it leaves no frame in a traceback."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._job = lineage.new_job(function)

    def __call__(self, *args: Any) -> Any:
        before = None if self._job is None else lineage.begin_job(self._job)
        try:
            return self._function(*args)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            if self._job is not None:
                lineage.end_job(before)


def _patch_anyio(module: Any) -> list[Undo]:
    """Let a function that anyio runs in a thread be a job of its own."""
    backend, name = module.AsyncIOBackend, "run_sync_in_worker_thread"
    original = backend.__dict__[name].__func__

    def run_sync(cls: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        return original(cls, _Job(function) if lineage.active() else function, *args, **kwargs)

    ours = classmethod(functools.wraps(original)(run_sync))
    setattr(backend, name, ours)

    def put_back() -> None:
        if backend.__dict__[name] is ours:
            setattr(backend, name, classmethod(original))

    return [put_back]


_POOLS = {
    "anyio._backends._asyncio": _patch_anyio,
    "concurrent.futures.thread": _patch_threads,
    "concurrent.futures.process": _patch_processes,
    "multiprocessing.pool": _patch_pools,
}
