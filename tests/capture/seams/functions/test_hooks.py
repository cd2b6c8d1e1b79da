"""The hooks: decorated functions of every kind, and the functions that record an event."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions import hooks
from namel3ss_debug.traces.reader import open_trace


def recorded():
    """Stop tracing and give what was recorded, without its frame."""
    events = list(open_trace(shutdown_tracing()).events())
    return [event for event in events if event["component"] != "app" or event["event_type"][:5] != "trace"]


@hooks.trace_tool_call
def add(a, b=2, /, *more, c=3, **rest):
    """Adds."""
    return a + b + sum(more) + c + sum(rest.values())


@hooks.trace_tool_call("named", capture_inputs=False, capture_outputs=False)
async def fetch(url):
    """Fetches."""
    return url


@hooks.trace_chain_step(step_type="loop")
def count(to):
    """Counts, and says what it was sent."""
    got = []
    for number in range(to):
        got.append((yield number))  # noqa: PERF401  (a comprehension cannot yield)
    return got


@hooks.trace_chain_step
async def stream(to):
    """Streams."""
    for number in range(to):
        yield number


class Agent:
    """An agent with a name."""

    def __init__(self, name):
        self.name = name

    @hooks.trace_agent_execution
    def run(self, question):
        """Runs."""
        return question

    @staticmethod
    @hooks.trace_tool_call
    def under(x):
        """A static method decorated below."""
        return x

    @hooks.trace_tool_call
    @staticmethod
    def over(x):
        """A static method decorated above."""
        return x

    @hooks.trace_tool_call
    @classmethod
    def made(cls, x):
        """A class method decorated above."""
        return cls, x


def test_off_a_decorated_function_is_the_function():
    """Results, defaults, keywords and rest parameters pass through while tracing is off."""
    assert add(1) == 6
    assert add(1, 5, 10, c=0, d=4) == 20
    assert asyncio.run(fetch("u")) == "u"
    assert list(count(3)) == [0, 1, 2]


def test_a_wrapper_keeps_name_signature_and_kind():
    """Whoever looks at a decorated function sees the function."""
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert str(inspect.signature(add)) == "(a, b=2, /, *more, c=3, **rest)"
    assert inspect.iscoroutinefunction(fetch)
    assert inspect.isgeneratorfunction(count)
    assert inspect.isasyncgenfunction(stream)


def test_arguments_are_recorded_by_name(tracer):
    """Defaults, rest arguments and keywords all have their names."""
    assert add(1, 2, 9, c=4, z=5) == 21
    start, end = recorded()
    assert start["inputs"] == {"arguments": {"a": 1, "b": 2, "more": [9], "c": 4, "z": 5}}
    assert start["component_name"] == "add"
    assert end["outputs"] == {"result": 21}


def test_capture_can_be_left_out(tracer):
    """Without inputs and outputs there is still the span and its name."""
    asyncio.run(fetch("secret"))
    start, end = recorded()
    assert start["component_name"] == "named"
    assert "inputs" not in start
    assert "outputs" not in end


def test_a_function_can_be_switched_on_later(tracing):
    """A function that was decorated before tracing started is recorded afterwards."""
    add(1)
    tracing()
    add(2)
    assert [event["event_type"] for event in recorded()] == ["tool_call_start", "tool_call_end"]


def test_an_exception_passes_and_is_recorded(tracer):
    """The program sees its own exception; the span says failed."""
    with pytest.raises(TypeError):
        add("a")
    assert recorded()[-1]["error_type"] == "TypeError"


def test_a_generator_keeps_send_throw_and_return(tracer):
    """The consumer talks to the generator as if nothing stood between."""
    items = count(2)
    assert next(items) == 0
    assert items.send("x") == 1
    with pytest.raises(StopIteration) as stop:
        items.send("y")
    assert stop.value.value == ["x", "y"]
    assert recorded()[-1]["outputs"]["result"] == {"yielded": 2, "returned": ["x", "y"]}


def test_a_generator_that_is_closed_early_is_cancelled(tracer):
    """Closing runs the generator's own clean-up and ends its span."""
    items = count(5)
    next(items)
    items.close()
    assert recorded()[-1]["status"] == "cancelled"


def test_a_generator_that_fails_as_it_is_closed_ends_its_span(tracer):
    """Its clean-up may raise, or be cancelled on a loop; what comes next is not inside it."""

    @hooks.trace_chain_step
    def failing():
        try:
            yield 1
        finally:
            raise KeyError("clean-up")

    @hooks.trace_chain_step
    async def hanging():
        try:
            yield 1
        finally:
            await asyncio.Event().wait()

    async def main():
        items = hanging()
        await anext(items)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await items.aclose()
        add(1)

    items = failing()
    next(items)
    with pytest.raises(KeyError):
        items.close()
    add(1)
    asyncio.run(main())
    events = recorded()
    ends = [e["status"] for e in events if e["event_type"] == "chain_step_end"]
    parents = [e.get("parent_event_id") for e in events if e["event_type"] == "tool_call_start"]
    assert (ends, parents) == (["failed", "cancelled"], [None, None])


def test_a_generator_that_cannot_be_made_ends_its_span(tracer):
    """Here the function has other parameters than it is called with."""

    async def main():
        with pytest.raises(TypeError):
            await anext(stream())

    asyncio.run(main())
    with pytest.raises(TypeError):
        next(hooks.trace_chain_step(functools.partial(count.__wrapped__))())
    ends = [e["status"] for e in recorded() if e["event_type"] == "chain_step_end"]
    assert ends == ["failed", "failed"]


def test_an_exception_thrown_into_a_generator_reaches_it(tracer):
    """The generator may catch what its consumer throws."""
    caught = []

    @hooks.trace_chain_step
    def catching():
        try:
            yield 1
        except KeyError as error:
            caught.append(error)
            yield 2

    items = catching()
    next(items)
    assert items.throw(KeyError("k")) == 2
    assert len(caught) == 1


def test_what_a_consumer_does_is_not_inside_the_generator(tracer):
    """The body of a generator runs inside its span, its consumer outside."""
    for number in count(2):
        add(number)
    events = recorded()
    parents = [e.get("parent_event_id") for e in events if e["event_type"] == "tool_call_start"]
    assert parents == [None, None]


def test_an_async_generator_streams_through(tracer):
    """Items come one by one, and an early end closes the generator."""

    async def main():
        first = []
        async for item in stream(5):
            first.append(item)
            if item == 1:
                break
        return first, [item async for item in stream(2)]

    assert asyncio.run(main()) == ([0, 1], [0, 1])
    ends = [event for event in recorded() if event["event_type"] == "chain_step_end"]
    assert sorted(event["status"] for event in ends) == ["cancelled", "completed"]


def test_methods_of_every_kind_are_recorded(tracer):
    """An agent's execution carries the agent's name; self and cls are not arguments."""
    agent = Agent("Researcher")
    assert agent.run("q") == "q"
    assert (agent.under(1), agent.over(2), agent.made(3)) == (1, 2, (Agent, 3))
    events = recorded()
    assert events[0]["component_name"] == "Researcher"
    assert events[0]["inputs"] == {"question": "q"}
    assert [e["inputs"]["arguments"] for e in events if e["event_type"] == "tool_call_start"] == [
        {"x": n} for n in (1, 2, 3)
    ]


def test_llm_calls_have_the_shape_of_the_format(tracer):
    """Model, messages and tools have their places, the rest is params."""

    @hooks.trace_llm_call
    def ask(model, messages, temperature=0):
        return "hello"

    ask("gpt-x", [{"role": "user", "parts": []}])
    start, end = recorded()
    assert start["component_name"] == "gpt-x"
    assert start["inputs"] == {
        "model": "gpt-x",
        "messages": [{"role": "user", "parts": []}],
        "params": {"temperature": 0},
    }
    assert end["outputs"] == {"text": "hello"}


def test_events_are_for_sync_and_async_code_alike(tracer):
    """The functions that record an event may be called or awaited."""

    async def main():
        await hooks.trace_memory_operation("write", key="k", value=1, store="notes")
        async with hooks.trace_agent_turn("A", 2) as turn:
            turn.set_output({"text": "x"})

    asyncio.run(main())
    hooks.performance_marker("tokens", 3, unit="1/s")
    hooks.trace_error(ValueError("bad"), name="A")
    with hooks.trace_validation("schema", {"x": 1}) as verdict:
        verdict.set_output({"valid": False})
    events = {event["event_type"]: event for event in recorded()}
    assert events["memory_operation"]["inputs"] == {"key": "k", "value": 1}
    assert events["memory_operation"]["component_name"] == "notes"
    assert events["agent_turn_start"]["metadata"] == {"turn": 2}
    assert events["performance_marker"]["metadata"] == {"value": 3, "unit": "1/s"}
    assert (events["error_occurred"]["error_type"], events["error_occurred"]["status"]) == (
        "ValueError",
        "failed",
    )
    assert events["validation_end"]["outputs"] == {"valid": False}


def test_an_error_may_be_a_class_or_anything(tracing):
    """A class is told by its name, and what is no exception by its text, so that readers have nothing to mend."""
    tracing()
    hooks.trace_error(KeyError)
    hooks.trace_error({"code": 5})
    trace = open_trace(shutdown_tracing())
    told = [event for event in trace.events() if event["event_type"] == "error_occurred"]
    assert [(event.get("error_type"), event["error"]) for event in told] == [
        ("KeyError", ""),
        (None, "{'code': 5}"),
    ]
    assert trace.problems.total == 0


def test_a_long_error_stays_a_text(tracing):
    """Its middle is left out, as that of an exception that ends a span."""
    tracing(max_payload_size=1000)
    hooks.trace_error(ValueError("x y " * 10_000))
    trace = open_trace(shutdown_tracing())
    (told,) = (event for event in trace.events() if event["event_type"] == "error_occurred")
    assert told["error"].startswith("x y ")
    assert len(told["error"]) < 2000
    assert trace.problems.total == 0


def test_the_functions_do_nothing_while_tracing_is_off():
    """No tracer, no event, no failure."""
    assert hooks.performance_marker("x") == ""
    assert hooks.trace_error("x") == ""
    with hooks.trace_agent_turn("A") as turn:
        turn.set_output(1)


def test_never_makes_a_decorator_give_the_function_itself(monkeypatch):
    """Where the environment says never, nothing is wrapped."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_ENABLED", "never")

    def plain():
        pass

    assert hooks.trace_tool_call(plain) is plain
    assert hooks.instrument_agent(Agent) is Agent


def test_an_instrumented_agent_tells_totals_session_and_state(tracer):
    """One session for each object, totals of the calls inside, attributes after the run, steps with trace_all."""

    @hooks.instrument_agent(trace_all=True, cost_tracking=True, session_replay=True)
    class Shopper:
        def __init__(self):
            self.seen = []

        def run(self, item):
            self.look(item)
            with tracer.span("llm", "gpt-x") as call:
                call.set(usage={"input_tokens": 5, "output_tokens": 2}, tokens_used=7)
                if item == "b":
                    call.set(cost_estimate=0.25)
            return item

        def look(self, item):
            self.seen.append(item)

        def _private(self):
            pass

    one, two = Shopper(), Shopper()
    one.run("a")
    one.run("b")
    two.run("c")
    events = recorded()
    ends = [event for event in events if event["event_type"] == "agent_execution_end"]
    sessions = [event["session_id"] for event in ends]
    assert sessions[0] == sessions[1] != sessions[2]
    assert [event["tokens_used"] for event in ends] == [7, 7, 7]
    unpriced = {"llm_calls": 1, "tokens_used": 7, "calls_without_cost": 1}
    priced = {"llm_calls": 1, "tokens_used": 7, "cost_estimate": 0.25}
    assert [event["metadata"]["totals"] for event in ends] == [unpriced, priced, unpriced]
    states = [event["outputs"] for event in events if event["event_type"] == "state_change"]
    assert states == [{"seen": ["a"]}, {"seen": ["a", "b"]}, {"seen": ["c"]}]
    steps = [event["component_name"] for event in events if event["event_type"] == "chain_step_start"]
    assert steps == ["look"] * 3


def test_a_failing_result_does_not_fail_the_call(tracer):
    """A result that cannot be looked at is recorded as such."""

    class Odd(dict):
        def items(self):
            raise RuntimeError

    @hooks.trace_llm_call
    def ask():
        return Odd(a=1)

    with contextlib.suppress(RuntimeError):
        assert ask() == {"a": 1}
    assert recorded()[-1]["status"] == "completed"


def test_a_decorator_names_all_that_it_decorates(tracing):
    """It is made once and used for several functions."""
    tracing()
    named = hooks.trace_tool_call(name="look up")
    assert [named(function)(1) for function in (lambda x: x, lambda y: y)] == [1, 1]
    assert {event["component_name"] for event in recorded()} == {"look up"}


@pytest.mark.parametrize(
    ("what", "told"),
    [(Agent, "is a class: .* instrument_agent"), (property(len), "is not a function"), (3, "^3 is no")],
)
@pytest.mark.parametrize("hook", [hooks.trace_tool_call, hooks.trace_tool_call("named")])
def test_what_is_no_function_is_refused_where_it_is_decorated(hook, what, told):
    """A class would become a function, and a property nothing that works."""
    with pytest.raises(TypeError, match=told):
        hook(what)


def test_the_work_of_an_agent_is_recorded_where_its_methods_are_inherited(tracing):
    """Once, also where the base class is recorded itself; without an object, and whatever `self` is called, it has the name of the class."""
    tracing()

    class Base:
        def run(this, question):  # noqa: N805
            return question

        async def arun(self, question):
            return question

    first = hooks.instrument_agent(type("First", (Base,), {}))
    second = hooks.instrument_agent(type("Second", (first,), {"chat": staticmethod(str)}))
    assert [first().run("a"), second().run("b"), second.chat("c")] == ["a", "b", "c"]
    assert asyncio.run(first().arun("d")) == "d"
    assert Base().run("e") == "e"
    starts = [event for event in recorded() if event["event_type"] == "agent_execution_start"]
    assert [event["component_name"] for event in starts] == ["First", "First", "Second", "First"]
