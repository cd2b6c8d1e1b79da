"""Records of the standard `logging` are recorded without the program noticing."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import weakref

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.logs.following import SEEN
from namel3ss_debug.capture.seams.logs.handlers import TraceHandler
from namel3ss_debug.traces.reader import open_trace

PROGRAM = """\
import logging, sys
from namel3ss_debug import hooks

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
log = logging.getLogger("shop")


@hooks.trace_agent_execution
def serve(order):
    log.debug("never")
    log.info("order %s", order)
    log.warning("no stock", extra={"sku": "A-17", "category": "agents"})
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("it broke")


serve(3)
print(len(logging.getLogger().handlers))
"""

LATE = """\
import asyncio, logging


class Late:
    def __del__(self, log=logging.getLogger("late").warning):
        log("late record")


async def fail():
    raise ValueError("lost")


async def main():
    global task
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)


late = Late()
asyncio.run(main())
"""

BROKEN = """\
import logging, sys


class Unprintable:
    def __str__(self):
        raise RuntimeError("cannot be printed")


logging.raiseExceptions = False
logging.basicConfig(stream=sys.stdout)
logging.getLogger("shop").warning(Unprintable())
for broken in (
    {"levelname": None},
    {"levelname": 20},
    {"pathname": None},
    {"pathname": 5},
    {"lineno": None},
    {"exc_info": True},
    {"exc_info": (ValueError,)},
):
    record = logging.makeLogRecord({"name": "shop", "levelno": 30, "levelname": "WARNING", "msg": "kept"} | broken)
    logging.getLogger("shop").handle(record)
print("goes on")
"""


@pytest.fixture
def logger(monkeypatch):
    """A logger of its own with a handler that writes into memory; those that some versions of pytest add raise nothing."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    made = logging.getLogger("tests.following")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    handler = logging.StreamHandler(io.StringIO())
    made.addHandler(handler)
    yield made
    made.removeHandler(handler)


def recorded():
    """The log records of the recording that is running, which ends here."""
    return [event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "log_record"]


def test_a_program_logs_as_it_did_and_its_records_are_in_their_spans(tmp_path):
    """Output and handlers of an unmodified program stay; each record names its span, its line, and its failure."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    plain = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, check=True)
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "shop.py"]
    traced = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert traced.stdout == plain.stdout
    events = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    agent = next(event["event_id"] for event in events if event["event_type"] == "agent_execution_start")
    logs = [event for event in events if event["event_type"] == "log_record"]
    assert [(log["metadata"]["level"], log["metadata"]["message"], log["call_site"]) for log in logs] == [
        ("info", "order 3", "shop.py:11"),
        ("warning", "no stock", "shop.py:12"),
        ("error", "it broke", "shop.py:16"),
    ]
    assert {(log["parent_event_id"], log["component_name"]) for log in logs} == {(agent, "shop")}
    assert logs[1]["metadata"]["category"] == "agents"
    assert logs[1]["metadata"]["extra"] == {"sku": "A-17"}
    assert (logs[2]["error_type"], logs[2]["error"]) == ("ZeroDivisionError", "division by zero")
    assert "shop.py" in logs[2]["stack_trace"]


@pytest.mark.parametrize(("level", "found"), [("debug", 2), ("info", 1), ("warning", 0), ("off", 0)])
def test_the_setting_says_from_which_level_on(tracing, logger, level, found):
    """Records below `log_level` are left out; `off` leaves all out."""
    tracing(log_level=level)
    logger.debug("a")
    logger.info("b")
    assert len(recorded()) == found
    assert logger.handlers[0].stream.getvalue() == "a\nb\n"


def test_after_tracing_the_logging_module_is_as_it_was(tracing, logger):
    """The method that is edited has its own body again, and records nothing."""
    before = logging.Logger.callHandlers.__code__
    tracing()
    assert logging.Logger.callHandlers.__code__ is not before
    shutdown_tracing()
    assert logging.Logger.callHandlers.__code__ is before
    logger.info("later")


def test_a_record_that_cannot_be_formatted_is_recorded_as_it_stands(tracing, logger, monkeypatch):
    """A wrong format is the program's mistake, told by its handlers as always; the record keeps its text."""
    wrong = []
    monkeypatch.setattr(logger.handlers[0], "handleError", lambda record: wrong.append(record.msg))
    tracing()
    logger.info("%d parcels", "many")
    assert wrong == ["%d parcels"]
    assert [event["metadata"]["message"] for event in recorded()] == ["%d parcels"]


def test_broken_records_are_recorded_and_the_program_goes_on(tmp_path):
    """A message that cannot be printed and members of a wrong type are told as well as they can be; output stays."""
    (tmp_path / "shop.py").write_text(BROKEN)
    plain = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, check=True)
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "shop.py"]
    traced = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert traced.stdout == plain.stdout
    assert traced.stdout.endswith(b"goes on\n")
    events = list(open_trace(tmp_path / "t.jsonl").events())
    told = [event["metadata"] for event in events if event["event_type"] == "log_record"]
    assert "raised RuntimeError" in told[0]["message"]
    assert [one["message"] for one in told[1:]] == ["kept"] * 7
    assert {one["level"] for one in told} == {"warning"}
    assert events[-1]["metadata"]["problems"] == {}


def test_what_is_logged_while_python_ends_is_logged(tmp_path):
    """Of a task whose failure nobody asked for, and in `__del__`: the program's words, and none of ours."""
    (tmp_path / "late.py").write_text(LATE)
    plain = subprocess.run(
        [sys.executable, "late.py"], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "late.py"]
    traced = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    ours = re.compile(r"namel3ss debug: recorded .*\n")
    addresses = re.compile(r"0x[0-9a-f]+")
    quoted = "    raise ValueError"  # a line of the program, where Python could still read it
    assert "late record" in traced.stderr
    assert "namel3ss_debug" not in traced.stderr
    if (
        "sys.meta_path is None" not in plain.stderr
    ):  # as it is in 3.13, which then cannot print a traceback either
        assert "never retrieved" in plain.stderr
        told = [
            [line for line in addresses.sub("", text).splitlines() if not line.startswith(quoted)]
            for text in (ours.sub("", traced.stderr), plain.stderr)
        ]
        # Python collects the objects of a module that is not `__main__` of its own in any order.
        assert sorted(told[0]) == sorted(told[1])
    assert list(open_trace(tmp_path / "t.jsonl").events())[-1]["event_type"] == "trace_end"


def test_an_exception_that_was_logged_goes_as_soon_as_the_program_lets_it_go(tracer, logger):
    """With it go the variables of the functions that it passed, though nothing else is logged."""

    class Held(list):
        """Something in a variable."""

    gone = []

    def work():
        held = Held()
        weakref.finalize(held, gone.append, True)
        raise ValueError("no")

    handlers, logger.handlers = logger.handlers, [logging.NullHandler()]  # those of pytest keep records
    try:
        work()
    except ValueError:
        logger.exception("it failed")
    finally:
        logger.handlers = handlers
    assert gone == [True]


def test_a_record_of_which_nothing_can_be_told_is_a_problem_of_the_recording(tracer, logger):
    """What is raised while a record is read does not reach the call that logs; the recording counts it."""
    record = logging.makeLogRecord({"levelno": 30})
    del record.levelname
    logger.handle(record)
    del SEEN.record
    TraceHandler().handle(record)
    assert tracer.problems == {"a log record could not be recorded: AttributeError": 2}


def test_a_secret_in_a_record_is_redacted(tracing, logger):
    """What a program logs passes the redaction like everything else."""
    tracing()
    logger.info("key %s", "sk-proj-" + "a1B2" * 12, extra={"password": "hunter2"})
    (event,) = recorded()
    assert "a1B2" not in json.dumps(event)
    assert "hunter2" not in json.dumps(event)
