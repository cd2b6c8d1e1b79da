"""Record tasks of Celery and jobs of RQ: each run is a span inside the span in which it was enqueued.

The `traceparent` of that span travels with the task: in the headers of a Celery message, and in the `meta` of an RQ job. A
value that the program puts there itself stays. Celery is followed by its own signals, RQ where a job is created and
where it is performed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.http import services, traceparent
from namel3ss_debug.capture.seams.http.services import ContinuedSpan
from namel3ss_debug.capture.seams.http.traceparent import HEADER

_COMPONENT = "task"


def install(tracer: ExecutionTracer) -> Undo:
    """Follow tasks through the queues of Celery and RQ, now or when they are imported; return a function that undoes it."""
    tasks = _QueueTasks(tracer)
    return when_imported({"celery.signals": tasks.follow_celery, "rq.job": tasks.follow_rq}, tracer.problem)


class _QueueTasks:
    """The tasks that this process tasks."""

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._open: dict[str, tuple[ContinuedSpan, Any]] = {}
        self._failed: dict[str, BaseException] = {}

    def _begin(
        self, name: object, parent: object, metadata: dict[str, Any], args: Any, kwargs: Any
    ) -> ContinuedSpan:
        place = traceparent.read(parent) if isinstance(parent, str) else None
        inputs = {"args": list(args or ()), "kwargs": dict(kwargs or {})}
        return ContinuedSpan(
            self._tracer, place, _COMPONENT, str(name), inputs=inputs, metadata=metadata, call_site=""
        )

    def follow_celery(self, signals: ModuleType) -> list[Undo]:
        """Connect to the signals; a receiver never raises."""
        receivers = {
            "before_task_publish": self._publish,
            "task_prerun": self._start,
            "task_failure": self._fail,
            "task_postrun": self._finish,
        }
        undo: list[Undo] = []
        for name, receiver in receivers.items():
            undo.append(_connect(getattr(signals, name), self._safely(receiver)))
        return undo

    def _safely(self, receiver: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
        def receive(**arguments: Any) -> None:
            try:
                receiver(arguments)
            except Exception as error:
                self._tracer.problem("a Celery task could not be followed", error)

        return receive

    def _publish(self, arguments: dict[str, Any]) -> None:
        headers, here = arguments.get("headers"), services.current_traceparent(self._tracer)
        if isinstance(headers, dict) and here is not None:
            headers.setdefault(HEADER, here)

    def _start(self, arguments: dict[str, Any]) -> None:
        """Begin the span of a task in a worker, inside the span from which it was sent."""
        task, task_id = arguments["task"], str(arguments["task_id"])
        metadata: dict[str, Any] = {"queue": "celery", "task_id": task_id}
        retries = getattr(task.request, "retries", 0)
        if retries:
            metadata["attempt"] = retries + 1
        header = getattr(task.request, HEADER, None)
        opened = self._begin(task.name, header, metadata, arguments.get("args"), arguments.get("kwargs"))
        self._open[task_id] = opened, opened.begin()

    def _fail(self, arguments: dict[str, Any]) -> None:
        if str(arguments["task_id"]) in self._open:
            self._failed[str(arguments["task_id"])] = arguments["exception"]

    def _finish(self, arguments: dict[str, Any]) -> None:
        """End the span of a task in a worker, with its error if the failure signal came before."""
        task_id = str(arguments["task_id"])
        error = self._failed.pop(task_id, None)
        if task_id not in self._open:
            return
        opened, span = self._open.pop(task_id)
        if error is None:
            span.set_output({"result": arguments.get("retval"), "state": arguments.get("state")})
        opened.__exit__(None, error, None)

    def follow_rq(self, module: Any) -> list[Undo]:
        """Add the parent span to jobs that are created, and use it in those that are performed."""
        job = module.Job
        create = job.__dict__["create"].__func__

        def creating(cls: Any, *args: Any, **kwargs: Any) -> Any:
            made = create(cls, *args, **kwargs)
            try:
                here = services.current_traceparent(self._tracer)
                if here is not None:
                    made.meta.setdefault(HEADER, here)
            except Exception as error:
                self._tracer.problem("a job of RQ could not be given its parent span", error)
            return made

        job.create = ours = classmethod(creating)

        def restore() -> None:
            if job.__dict__["create"] is ours:
                job.create = classmethod(create)

        return [restore, replace(job, "perform", self._wrap_perform)]

    def _wrap_perform(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `perform` that runs a job inside its span; its failure looks as it would without us."""

        def perform(job: Any) -> Any:
            opened = self._begin_rq(job)
            try:
                if opened is None:
                    return original(job)
                with opened as span:
                    result = original(job)
                    span.set_output({"result": result})
                    return result
            except BaseException as error:
                hide_own_frame(error)
                raise

        return perform

    def _begin_rq(self, job: Any) -> ContinuedSpan | None:
        try:
            metadata = {"queue": "rq", "task_id": str(job.id)}
            return self._begin(job.func_name, job.meta.get(HEADER), metadata, job.args, job.kwargs)
        except Exception as error:  # a broken job fails in `perform`, as it would without us
            self._tracer.problem("a job of RQ could not be followed", error)
            return None


def _connect(signal: Any, receiver: Callable[..., None]) -> Undo:
    signal.connect(receiver, weak=False)

    def disconnect() -> None:
        signal.disconnect(receiver)

    return disconnect
