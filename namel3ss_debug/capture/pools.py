"""Work items of executors run inside the span their `submit` was called in, in whatever thread or process.

The seams are the executors' own work items, below everything the program sees: no frame of ours stands between
the program's own, so tracebacks read as they did, and a worker's context keeps what its initializer put there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.context import ATTRIBUTE, CURRENT, NOWHERE, Remote, current, current_id
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.patching import Undo, when_imported

_PARENT = "namel3ss_debug_parent"


def install(missing: Callable[[str], None]) -> Undo:
    """Carry the span through thread and process pools from now on; the result puts everything back.

    Args:
        missing: told in words where a version of Python has not the seam.
    """
    return when_imported(_POOLS, missing)


def _patch_threads(module: Any) -> list[Undo]:
    item = module._WorkItem  # noqa: SLF001  (no public seam sees a work item run)
    created, executed = item.__init__, item.run

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        created(self, *args, **kwargs)
        self.__dict__[ATTRIBUTE] = current() or NOWHERE
        self.__dict__[lineage.ATTRIBUTE] = lineage.new_job()

    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        token = CURRENT.set(self.__dict__.get(ATTRIBUTE))
        before = lineage.enter(self.__dict__.get(lineage.ATTRIBUTE))
        try:
            executed(self, *args, **kwargs)
        finally:
            CURRENT.reset(token)
            lineage.enter(before)

    item.__init__, item.run = init, run

    def put_back() -> None:
        item.__init__, item.run = created, executed

    return [put_back]


def _patch_processes(module: Any) -> list[Undo]:
    """The id of the span travels with the pickled call, and is the current one from when a worker unpickles it."""
    submitted, sent = module._WorkItem, module._CallItem  # noqa: SLF001  (as above)
    submitted_init, sent_init = submitted.__init__, sent.__init__
    waiting: dict[
        int, tuple[str | None, str | None]
    ] = {}  # by the identity of the keywords, which both items share

    def submit(self: Any, future: Any, fn: Any, args: Any, kwargs: Any) -> None:
        submitted_init(self, future, fn, args, kwargs)
        job = lineage.new_job()
        waiting[id(kwargs)] = current_id(), None if job is None else job.path

    def send(self: Any, work_id: Any, fn: Any, args: Any, kwargs: Any) -> None:
        sent_init(self, work_id, fn, args, kwargs)
        self.__dict__[_PARENT], self.__dict__[lineage.ATTRIBUTE] = waiting.pop(id(kwargs), (None, None))

    def arrive(self: Any, state: dict[str, Any]) -> None:
        parent, job = state.pop(_PARENT, None), state.pop(lineage.ATTRIBUTE, None)
        self.__dict__.update(state)
        CURRENT.set(Remote(parent) if parent else NOWHERE)
        lineage.enter(lineage.Lineage(job) if job else None)

    submitted.__init__, sent.__init__, sent.__setstate__ = submit, send, arrive

    def put_back() -> None:
        submitted.__init__, sent.__init__ = submitted_init, sent_init
        del sent.__setstate__

    return [put_back]


_POOLS = {
    "concurrent.futures.thread": _patch_threads,
    "concurrent.futures.process": _patch_processes,
}
