"""Callable objects that are no functions, decorated: what they are besides their calls stays."""

from __future__ import annotations

import asyncio
import copy
import functools
import operator
import pickle
import sys

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions import hooks
from namel3ss_debug.capture.seams.functions.profiling import profile_execution
from namel3ss_debug.traces.reader import open_trace


class Searcher:
    """An object that is called on a loop, and that tells how many it finds."""

    most = 3

    async def __call__(self, query):
        """Search."""
        await asyncio.sleep(0)
        return query * self.most


class Streamer:
    """An object whose calls yield."""

    def __call__(self, count):
        """Yield numbers."""
        yield from range(count)


@hooks.instrument_agent(trace_all=True)
class Agent:
    """An agent with members that are called, and are no methods."""

    second = operator.itemgetter(1)
    length = len
    binary = functools.partial(int, base=2)
    search = Searcher()

    @functools.lru_cache  # noqa: B019  (that it is one is what is looked at)
    def double(self, number):
        """Double a number."""
        return number * 2


@hooks.trace_tool_call
@functools.lru_cache
def doubled(number):
    """Double a number."""
    return number * 2


# Python 3.13 says that of any partial which is a member of a class.
@pytest.mark.filterwarnings("ignore:functools.partial will be a method descriptor")
@pytest.mark.parametrize("on", [True, False])
def test_members_of_a_class_that_are_no_methods_are_called_as_ever(tracing, on):
    """They get no `self`, and what is a method gets it."""
    if on:
        tracing()
    agent = Agent()
    assert agent.second((1, 2)) == 2
    assert agent.length([1]) == 1
    if sys.version_info < (3, 14):
        assert agent.binary("101") == 5
    else:  # it is a method
        with pytest.raises(TypeError, match="3 given"):
            agent.binary("101")
    assert asyncio.run(agent.search("a")) == "aaa"
    assert agent.double(2) == 4


@pytest.mark.parametrize("decorate", [hooks.trace_tool_call("a name"), profile_execution("a name")])
def test_an_object_keeps_its_attributes(decorate):
    """A cache can be asked and cleared, and an object of the program's own has what it had."""
    cached = decorate(functools.lru_cache(abs))
    assert cached(-1) == cached(-1) == 1
    assert cached.cache_info().hits == 1
    cached.cache_clear()
    assert cached.cache_info().hits == 0
    assert decorate(Searcher()).most == 3
    assert Agent().double.cache_info().maxsize == 128


def test_the_calls_of_an_object_end_when_their_function_does(tracing):
    """An object whose `__call__` is a coroutine function or yields is recorded as such functions are."""
    tracing()
    search, stream = hooks.trace_tool_call(Searcher()), hooks.trace_tool_call(Streamer())
    assert asyncio.run(search("b")) == "bbb"
    assert list(stream(2)) == [0, 1]
    ends = [
        event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "tool_call_end"
    ]
    assert [event["component_name"] for event in ends] == ["Searcher", "Streamer"]
    assert [event["outputs"]["result"] for event in ends] == ["bbb", {"yielded": 2, "returned": None}]


def test_an_object_can_be_copied_and_sent(tracing):
    """A copy is recorded as well; another process gets the object itself."""
    tracing()
    parse = hooks.trace_tool_call(functools.partial(int, base=2))
    assert [copy.copy(parse)("1"), copy.deepcopy([parse])[0]("10")] == [1, 2]
    assert pickle.loads(pickle.dumps(parse))("11") == 3
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    ends = [
        event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "tool_call_end"
    ]
    assert [event["outputs"]["result"] for event in ends] == [1, 2]


def test_a_partial_has_the_name_of_the_function_that_it_calls(tracing):
    """So several of them can be told apart; an object has that of its class."""
    tracing()
    for what in (functools.partial(functools.partial(int, base=2)), functools.partial(str.upper)):
        hooks.trace_tool_call(what)("1")
    asyncio.run(hooks.trace_tool_call(functools.partial(Searcher(), "c"))())
    ends = [
        event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "tool_call_end"
    ]
    assert [event["component_name"] for event in ends] == ["int", "upper", "Searcher"]
    assert [event["outputs"]["result"] for event in ends] == [1, "1", "ccc"]
