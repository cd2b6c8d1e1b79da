"""Tasks of Celery and RQ run inside the span they were enqueued in."""

from __future__ import annotations

import logging
import os
import signal
import sys

import pytest

from namel3ss_debug import shutdown_tracing
from namel3ss_debug.capture.seams.http import traceparent
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture(autouse=True)
def after_the_workers():
    """What a worker does to its process, which mostly is its own: its environment, its signals, its log."""
    environment, level, handlers = dict(os.environ), logging.root.level, logging.root.handlers.copy()
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def recorded():
    """The events of the recording, which ends here, by the words of their type and name."""
    return list(open_trace(shutdown_tracing()).events())


def only(events, event_type):
    """The one event of a type."""
    (event,) = [event for event in events if event["event_type"] == event_type]
    return event


@pytest.fixture
def celery_app(tracer):
    """An application with a broker in memory."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("app", broker="memory://", backend="cache+memory://")
    app.conf.update(task_always_eager=False, worker_hijack_root_logger=False)

    @app.task(name="add")
    def add(a, b):
        tracer.emit("decision", component="app", component_name="inside")
        return a + b

    @app.task(name="fail")
    def fail():
        raise ValueError("no")

    return app


@pytest.mark.filterwarnings("ignore")
def test_a_celery_task_runs_in_the_span_that_enqueued_it(tracer, celery_app):
    """Through the broker, in the thread of the worker; the message carries the place in its headers."""
    from celery.contrib.testing.worker import start_worker

    with tracer.span("agent", "Planner") as span:
        planner = span.event_id
        waiting = celery_app.tasks["add"].delay(2, b=3)
    with start_worker(celery_app, pool="solo", perform_ping_check=False, loglevel="critical"):
        assert waiting.get(timeout=20) == 5
    events = recorded()
    start, end = only(events, "task_start"), only(events, "task_end")
    assert (start["component_name"], start["parent_event_id"]) == ("add", planner)
    assert start["inputs"] == {"args": [2], "kwargs": {"b": 3}}
    assert start["metadata"] == {"queue": "celery", "task_id": waiting.id}
    assert end["outputs"] == {"result": 5, "state": "SUCCESS"}
    inside = next(event for event in events if event.get("component_name") == "inside")
    assert inside["parent_event_id"] == start["event_id"]


@pytest.mark.filterwarnings("ignore")
def test_a_celery_task_that_fails_has_failed(tracer, celery_app):
    """The exception stands at the end of its span, also where it runs at once."""
    with tracer.span("agent", "Planner") as span:
        planner = span.event_id
        assert isinstance(celery_app.tasks["fail"].apply().result, ValueError)
        tracer.emit("decision", component="app", component_name="after")
    events = recorded()
    assert only(events, "task_start")["parent_event_id"] == planner
    assert (only(events, "task_end")["error_type"], only(events, "task_end")["error"]) == ("ValueError", "no")
    assert next(e for e in events if e.get("component_name") == "after")["parent_event_id"] == planner


def rq_queue(**options):
    """A queue of RQ on a server in memory."""
    rq, fakeredis = pytest.importorskip("rq"), pytest.importorskip("fakeredis")
    return rq.Queue(connection=fakeredis.FakeStrictRedis(), **options)


def double(number):
    """A job."""
    return 2 * number


def broken():
    """A job that fails."""
    raise ValueError("no")


@pytest.fixture
def importable(monkeypatch):
    """This file under a name by which a worker can import its jobs."""
    monkeypatch.setitem(sys.modules, "jobs_of_the_test", sys.modules[__name__])
    monkeypatch.setattr(double, "__module__", "jobs_of_the_test")
    monkeypatch.setattr(broken, "__module__", "jobs_of_the_test")


@pytest.mark.filterwarnings("ignore")
def test_an_rq_job_runs_in_the_span_that_enqueued_it(tracer, importable):
    """Through the server, by a worker; the job carries the place in its meta."""
    queue = rq_queue()
    from rq import SimpleWorker
    from rq.timeouts import TimerDeathPenalty

    with tracer.span("agent", "Planner") as span:
        planner = span.event_id
        job, bad = queue.enqueue(double, 21), queue.enqueue(broken)
    assert traceparent.read(job.meta["traceparent"]).event_id == planner

    class Worker(SimpleWorker):
        death_penalty_class = TimerDeathPenalty

    Worker([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")
    job.refresh()
    events = recorded()
    starts = {e["component_name"]: e for e in events if e["event_type"] == "task_start"}
    ends = {e["component_name"]: e for e in events if e["event_type"] == "task_end"}
    good, failed = "jobs_of_the_test.double", "jobs_of_the_test.broken"
    assert {start["parent_event_id"] for start in starts.values()} == {planner}
    assert starts[good]["metadata"] == {"queue": "rq", "task_id": job.id}
    assert ends[good]["outputs"] == {"result": 42}
    assert ends[failed]["error_type"] == "ValueError"
    assert "queues.py" not in bad.latest_result().exc_string.replace("test_queues.py", "")


@pytest.mark.filterwarnings("ignore")
def test_outside_of_a_recording_nothing_is_added(tracer, importable):
    """After tracing has ended, messages and jobs are as they always were."""
    queue = rq_queue()
    shutdown_tracing()
    assert queue.enqueue(double, 1).meta == {}
