"""The loggers for agent programs, and the decorators beside them, are thin names over the events."""

from __future__ import annotations

import asyncio
import io
import logging
from fractions import Fraction

import pytest

from namel3ss_debug import errors
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.logs import measuring
from namel3ss_debug.capture.seams.logs.loggers import AgentLogger, LearningLogger, PerformanceLogger
from namel3ss_debug.capture.seams.logs.setup import setup_logging
from namel3ss_debug.traces.reader import open_trace


def recorded():
    """The events of the recording that is running, which ends here, without those about the recording itself."""
    events = open_trace(shutdown_tracing()).events()
    return [event for event in events if event["event_type"] not in ("trace_start", "trace_end")]


def test_an_agent_logger_records_actions_decisions_states_and_content(tracing):
    """Each method is the event that its name says, under the name of the agent."""
    tracing()
    log = AgentLogger("Researcher")
    log.log_action("search", {"query": "rent"})
    log.log_decision("web", options=["web", "memory"], reasoning="fresh", confidence=0.8)
    log.log_state_change("idle", "busy")
    log.log_content_generation("A poem", kind="poem", prompt="write")
    events = recorded()
    assert [event["event_type"] for event in events] == [
        "log_record",
        "decision",
        "state_change",
        "log_record",
    ]
    assert {event["component_name"] for event in events} == {"Researcher"}
    assert {event["metadata"]["category"] for event in events} == {"agents"}
    assert events[0]["metadata"]["extra"] == {"query": "rent"}
    assert events[1]["outputs"] == {"decision": "web"}
    assert events[1]["inputs"]["confidence"] == 0.8
    assert (events[2]["inputs"], events[2]["outputs"]) == ({"before": "idle"}, {"after": "busy"})
    assert events[3]["metadata"]["extra"] == {"kind": "poem", "prompt": "write", "content": "A poem"}


def test_a_learning_logger_records_steps_rewards_and_modes(tracing):
    """Learning has a log of its own."""
    tracing()
    log = LearningLogger("Player")
    log.log_training_step(3, loss=0.25, accuracy=0.9)
    log.log_reward(1.5, action="left")
    log.log_exploration_exploitation("exploration", epsilon=0.1)
    events = recorded()
    assert [event["metadata"]["message"] for event in events] == [
        "training step 3",
        "reward 1.5",
        "exploration",
    ]
    assert {event["metadata"]["category"] for event in events} == {"learning"}
    assert events[0]["metadata"]["extra"] == {"step": 3, "loss": 0.25, "accuracy": 0.9}


def test_a_performance_logger_records_figures(tracing):
    """A figure is a performance marker with its unit."""
    tracing()
    PerformanceLogger("index").log_timing("rebuild", 12.5)
    (event,) = recorded()
    assert (event["event_type"], event["component_name"]) == ("performance_marker", "rebuild")
    assert event["metadata"] == {"category": "performance", "value": 12.5, "unit": "ms", "of": "index"}


class Unprintable:
    """A value that fails when it is asked for its text."""

    def __str__(self):
        raise RuntimeError("cannot be printed")


REWARDS = [("0.5", "0.5"), (None, "None"), (Fraction(1, 2), "1/2"), ([1, 2], "[1, 2]"), (1e-7, "1e-07")]


@pytest.mark.parametrize(("reward", "shown"), REWARDS)
def test_a_reward_may_be_anything(tracing, reward, shown):
    """What is no number is told as it prints itself; while tracing is off, it is not looked at."""
    log = LearningLogger("Player")
    assert log.log_reward(reward) == ""
    tracing()
    log.log_reward(reward)
    assert [event["metadata"]["message"] for event in recorded()] == [f"reward {shown}"]


def test_values_that_cannot_be_printed_are_recorded_all_the_same(tracing):
    """Their text says what went wrong, and the program goes on."""
    tracing()
    LearningLogger("Player").log_reward(Unprintable())
    LearningLogger("Player").log_training_step(Unprintable())
    AgentLogger("Player").log_content_generation("", kind=Unprintable())
    messages = [event["metadata"]["message"] for event in recorded()]
    assert [message.partition(" <")[0] for message in messages] == ["reward", "training step", "generated"]
    assert all("raised RuntimeError" in message for message in messages)


@pytest.mark.parametrize("details", ["a text", ["a", "list"], 5, ""])
def test_details_without_names_are_recorded_under_value(tracing, details):
    """An action may have details of any kind."""
    tracing()
    AgentLogger("Researcher").log_action("search", details)
    (event,) = recorded()
    assert event["metadata"]["extra"] == {"value": details}


def test_details_may_have_the_names_of_our_own(tracing):
    """What the program calls `category`, `of` or `unit` stands in place of what the logger would say."""
    tracing()
    log = PerformanceLogger("index")
    log.log_metric("rows", 5, category="db", of="orders")
    log.log_timing("rebuild", 2, unit="s")
    assert [event["metadata"] for event in recorded()] == [
        {"category": "db", "value": 5, "of": "orders"},
        {"category": "performance", "value": 2, "unit": "s", "of": "index"},
    ]


def test_loggers_do_nothing_while_tracing_is_off():
    """Without tracing there is no event and no error."""
    assert AgentLogger("a").log_action("x") == ""
    assert AgentLogger("a").log_decision("x") == ""
    assert PerformanceLogger("a").log_metric("x", 1) == ""


def test_decorators_record_steps_in_their_category(tracing):
    """Bare and with a name, a decorated function is a step."""
    tracing()

    @measuring.trace_agent_action
    def act(x):
        return x + 1

    @measuring.trace_performance("fast")
    def quick():
        return 1

    @measuring.trace_learning_update
    def learn():
        return 2

    class Agent:
        @measuring.trace_agent_action
        @classmethod
        def made(cls):
            return cls()

    assert (act(1), quick(), learn()) == (2, 1, 2)
    assert type(Agent.made()) is Agent
    starts = [event for event in recorded() if event["event_type"] == "chain_step_start"]
    assert [(event["component_name"], event["metadata"]["category"]) for event in starts] == [
        ("act", "agents"),
        ("fast", "performance"),
        ("learn", "learning"),
        ("made", "agents"),
    ]


def test_blocks_are_measured_watched_and_spanned(tracing):
    """A measured block has a marker, a span its output; an exception that leaves a watched block is recorded once."""
    tracing()
    with measuring.measure_performance("load"), measuring.trace_context("load", files=3) as span:
        span.set_output({"rows": 5})
    with pytest.raises(ValueError, match="bad"), measuring.trace_errors("parser"):
        raise ValueError("bad")
    events = recorded()
    assert [event["event_type"] for event in events] == [
        "chain_execution_start",
        "chain_execution_end",
        "performance_marker",
        "error_occurred",
    ]
    assert events[1]["outputs"] == {"rows": 5}
    assert (events[3]["component_name"], events[3]["error"]) == ("parser", "bad")


def test_errors_of_every_kind_of_function_are_recorded(tracing):
    """What leaves a coroutine function or a generator, or is thrown into one, is recorded as what leaves a function."""

    @measuring.trace_errors("coroutine")
    async def awaited():
        await asyncio.sleep(0)
        raise ValueError("of a coroutine")

    @measuring.trace_errors("generator")
    def items():
        yield 1
        raise ValueError("of a generator")

    @measuring.trace_errors("async generator")
    async def streamed():
        try:
            yield 1
        except KeyError:
            yield 2
        raise ValueError("of an async generator")

    async def consume():
        stream = streamed()
        assert [await anext(stream), await stream.athrow(KeyError())] == [1, 2]
        await anext(stream)

    tracing()
    for fails in (lambda: asyncio.run(awaited()), lambda: list(items()), lambda: asyncio.run(consume())):
        with pytest.raises(ValueError, match="of a"):
            fails()
    assert [(event["component_name"], event["error"]) for event in recorded()] == [
        ("coroutine", "of a coroutine"),
        ("generator", "of a generator"),
        ("async generator", "of an async generator"),
    ]


def test_errors_are_recorded_by_a_bare_decorator_and_on_a_loop(tracing):
    """Used bare, it calls the function and takes its name; a generator that is left early has not failed."""

    @measuring.trace_errors
    def half(number):
        return number // (number - 1)

    class Parser:
        @measuring.trace_errors
        @staticmethod
        def parse(text):
            return int(text)

    @measuring.trace_errors()
    def count():
        yield from range(9)

    async def block():
        async with measuring.trace_errors("block"):
            raise KeyError("A-17")

    tracing()
    assert (half(3), Parser.parse("3"), half.__name__) == (1, 3, "half")
    with pytest.raises(ZeroDivisionError):
        half(1)
    with pytest.raises(ValueError, match="invalid literal"):
        Parser().parse("x")
    counted = count()
    next(counted)
    counted.close()
    with pytest.raises(KeyError):
        asyncio.run(block())
    assert [event["component_name"] for event in recorded()] == ["half", "parse", "block"]


@pytest.mark.parametrize("given", [logging.WARNING, "warning", "WARN"])
def test_a_level_is_a_name_or_a_number_of_logging(tracing, given):
    """It is the same level, for the program's own logging and for what an agent did."""
    tracing()
    root = logging.getLogger()
    level = root.level
    root.removeHandler(setup_logging(given))
    assert root.level == logging.WARNING
    root.setLevel(level)
    AgentLogger("a").log_action("stopped", level=given)
    assert [event["metadata"]["level"] for event in recorded()] == ["warning"]


def test_set_up_logging_correlates_on_request(tracing):
    """One call gives the root logger a handler whose lines carry the ids of the recording."""
    tracer = tracing()
    stream = io.StringIO()
    root = logging.getLogger()
    level = root.level
    handler = setup_logging("warning", stream=stream, correlate=True)
    try:
        with measuring.trace_context("load") as span:
            logging.getLogger("shop").warning("no stock")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert f"WARNING  shop [{tracer.execution_id}/{span.event_id}]: no stock" in stream.getvalue()


def test_a_level_that_there_is_not_is_refused():
    """A wrong level names those there are."""
    with pytest.raises(errors.WrongUsageError, match="no log level 'loud'; there are critical"):
        setup_logging("loud")
