"""Tasks of Celery and jobs of RQ: each run is a span inside the span that it was enqueued in.

The place of that span travels with the task: in the headers of a Celery message, and in the `meta` of an RQ job, as
`traceparent`. What a program puts there itself stays. Celery is followed by its own signals, RQ where a job is made and
where it is performed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from namel3ss_debug.capture import services, traceparent
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.services import Continued
from namel3ss_debug.capture.traceparent import HEADER
from namel3ss_debug.capture.tracer import ExecutionTracer

_COMPONENT = "task"


def install(tracer: ExecutionTracer) -> Undo:
    """Follow tasks through the queues of Celery and RQ, now or when they are imported; the result takes it back."""
    runs = _Runs(tracer)
    return when_imported({"celery.signals": runs.follow_celery, "rq.job": runs.follow_rq}, tracer.problem)


class _Runs:
    """The tasks that this process runs."""

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._open: dict[str, tuple[Continued, Any]] = {}
        self._failed: dict[str, BaseException] = {}

    def _begin(
        self, name: object, told: object, metadata: dict[str, Any], args: Any, kwargs: Any
    ) -> Continued:
        place = traceparent.read(told) if isinstance(told, str) else None
        inputs = {"args": list(args or ()), "kwargs": dict(kwargs or {})}
        return Continued(
            self._tracer, place, _COMPONENT, str(name), inputs=inputs, metadata=metadata, call_site=""
        )

    def follow_celery(self, signals: ModuleType) -> list[Undo]:
        """Connect to the signals; each receiver does nothing but its own work, and never raises."""
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
        def receive(**told: Any) -> None:
            try:
                receiver(told)
            except Exception as error:
                self._tracer.problem("a Celery task could not be followed", error)

        return receive

    def _publish(self, told: dict[str, Any]) -> None:
        headers, here = told.get("headers"), services.here(self._tracer)
        if isinstance(headers, dict) and here is not None:
            headers.setdefault(HEADER, here)

    def _start(self, told: dict[str, Any]) -> None:
        """A task has begun in a worker: go on where it was sent from."""
        task, task_id = told["task"], str(told["task_id"])
        metadata: dict[str, Any] = {"queue": "celery", "task_id": task_id}
        retries = getattr(task.request, "retries", 0)
        if retries:
            metadata["attempt"] = retries + 1
        header = getattr(task.request, HEADER, None)
        opened = self._begin(task.name, header, metadata, told.get("args"), told.get("kwargs"))
        self._open[task_id] = opened, opened.begin()

    def _fail(self, told: dict[str, Any]) -> None:
        if str(told["task_id"]) in self._open:
            self._failed[str(told["task_id"])] = told["exception"]

    def _finish(self, told: dict[str, Any]) -> None:
        """A task has ended in a worker, by an error where its failure was told before."""
        task_id = str(told["task_id"])
        error = self._failed.pop(task_id, None)
        if task_id not in self._open:
            return
        opened, span = self._open.pop(task_id)
        if error is None:
            span.set_output({"result": told.get("retval"), "state": told.get("state")})
        opened.__exit__(None, error, None)

    def follow_rq(self, module: Any) -> list[Undo]:
        """Put the place into jobs that are made, and take it out of those that are performed."""
        job = module.Job
        create = job.__dict__["create"].__func__

        def creating(cls: Any, *args: Any, **kwargs: Any) -> Any:
            made = create(cls, *args, **kwargs)
            try:
                here = services.here(self._tracer)
                if here is not None:
                    made.meta.setdefault(HEADER, here)
            except Exception as error:
                self._tracer.problem("a job of RQ could not be told its place", error)
            return made

        job.create = ours = classmethod(creating)

        def put_back() -> None:
            if job.__dict__["create"] is ours:
                job.create = classmethod(create)

        return [put_back, replace(job, "perform", self._performing)]

    def _performing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Run a job within its span; a failure of the job looks as if we were not there."""

        def perform(job: Any) -> Any:
            opened = self._performed(job)
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

    def _performed(self, job: Any) -> Continued | None:
        try:
            metadata = {"queue": "rq", "task_id": str(job.id)}
            return self._begin(job.func_name, job.meta.get(HEADER), metadata, job.args, job.kwargs)
        except Exception as error:  # a job that cannot be read fails in `perform`, as it would without us
            self._tracer.problem("a job of RQ could not be followed", error)
            return None


def _connect(signal: Any, receiver: Callable[..., None]) -> Undo:
    signal.connect(receiver, weak=False)

    def disconnect() -> None:
        signal.disconnect(receiver)

    return disconnect
