"""The handler, the filter, and the processors for structlog and loguru."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions.hooks import trace_agent_turn
from namel3ss_debug.capture.seams.logs.handlers import (
    CorrelationFilter,
    TraceHandler,
    loguru_sink,
    structlog_processor,
)
from namel3ss_debug.traces.reader import open_trace


class Unprintable:
    """An event that fails when it is asked for its text."""

    def __str__(self):
        raise RuntimeError("cannot be printed")


@pytest.fixture
def logger():
    """A logger of its own."""
    made = logging.getLogger("tests.handlers")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)


def recorded():
    """The log records of the recording that is running, which ends here."""
    return [event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "log_record"]


def test_a_handler_records_where_following_is_off(tracing, logger):
    """A handler added to one logger records its records, inside the span they were made in."""
    tracing(log_level="off")
    logger.addHandler(TraceHandler())
    with trace_agent_turn("Support") as turn:
        logger.info("hello")
    (event,) = recorded()
    assert event["metadata"] == {"level": "info", "message": "hello"}
    assert event["parent_event_id"] == turn.event_id


def test_a_record_is_never_recorded_twice(tracing, logger):
    """With a handler and following, a record is one event."""
    tracing(log_level="debug")
    logger.addHandler(TraceHandler())
    logger.info("hello")
    assert len(recorded()) == 1


def test_a_handler_without_tracing_does_nothing(logger, capsys):
    """While nothing is recorded, the handler is harmless: logging has no failure of it to report."""
    logger.addHandler(TraceHandler())
    logger.info("hello")
    assert capsys.readouterr().err == ""


def test_the_filter_gives_the_ids_of_where_a_record_was_made(tracing, logger):
    """Correlation ids reach the program's own logs; they are empty while nothing is recorded."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.execution_id, record.event_id))
    handler.addFilter(CorrelationFilter())
    logger.addHandler(handler)
    logger.info("before")
    tracer = tracing()
    with trace_agent_turn("Support") as turn:
        logger.info("inside")
    assert lines == [("", ""), (tracer.execution_id, turn.event_id)]


def test_structlog_events_are_recorded_and_handed_on(tracing):
    """The processor changes nothing of the event; fields are extras, an exception is told."""
    structlog = pytest.importorskip("structlog")
    tracing()
    out = structlog.testing.LogCapture()
    log = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[structlog.stdlib.add_log_level, structlog_processor, out]
    )
    try:
        {}["A-17"]
    except KeyError:
        log.exception("no stock", sku="A-17", category="agents")
    assert out.entries[0]["event"] == "no stock"
    assert out.entries[0]["sku"] == "A-17"
    (event,) = recorded()
    assert event["metadata"] == {
        "level": "error",
        "message": "no stock",
        "category": "agents",
        "extra": {"sku": "A-17"},
    }
    assert event["error_type"] == "KeyError"


def test_a_broken_structlog_event_is_recorded_and_handed_on(tracing):
    """An event that cannot be printed and a name that is no text break nothing, and are told as well as they can be."""
    tracing()
    event_dict = {"event": Unprintable(), 5: "five", "exc_info": (1,), "level": "info"}
    assert structlog_processor(None, "info", event_dict) is event_dict
    (event,) = recorded()
    assert "raised RuntimeError" in event["metadata"]["message"]
    assert event["metadata"]["extra"] == {"5": "five"}
    assert "error" not in event


def test_what_cannot_be_recorded_at_all_is_a_problem_of_the_recording(tracing):
    """Neither the processor nor the sink raises into the call that logs; the recording counts what it has not."""
    tracer = tracing()
    event_dict = {"event": "hello", "level": Unprintable()}
    assert structlog_processor(None, "info", event_dict) is event_dict
    loguru_sink(SimpleNamespace(record={"message": "hello"}))
    assert tracer.problems == {
        "a log record could not be recorded: RuntimeError": 1,
        "a log record could not be recorded: KeyError": 1,
    }


def test_loguru_messages_are_recorded(tracing):
    """A message as loguru hands it to a sink is one record with its level, line and extras."""
    tracing()
    record = {
        "message": "hello",
        "level": SimpleNamespace(name="WARNING"),
        "name": "shop",
        "file": SimpleNamespace(path=__file__),
        "line": 7,
        "extra": {"sku": "A-17"},
        "exception": None,
    }
    loguru_sink(SimpleNamespace(record=record))
    (event,) = recorded()
    assert event["metadata"] == {"level": "warning", "message": "hello", "extra": {"sku": "A-17"}}
    assert event["component_name"] == "shop"
