"""LangChain's callbacks become chains, steps, prompts, tools and memory; against stand-ins with its public interface."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import langchain


class BaseCallbackHandler:
    """As much of LangChain's handler as ours does not have itself."""

    ignore_chain = ignore_llm = ignore_agent = raise_error = False


class GraphBubbleUp(Exception):  # noqa: N818  (LangGraph's name)
    """Control flow of LangGraph."""

    __module__ = "langgraph.errors"


class GraphInterrupt(GraphBubbleUp):
    """A node waits for a person."""

    __module__ = "langgraph.errors"


@pytest.fixture
def handler(structure, monkeypatch):
    """Our handler, as LangChain's configuration of a run would find it."""
    hooks = []
    module = SimpleNamespace(
        register_configure_hook=lambda var, inheritable: hooks.append((var, inheritable))
    )
    base = SimpleNamespace(BaseCallbackHandler=BaseCallbackHandler)
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks.base", base)
    monkeypatch.setattr(langchain, "_installed", False)
    undo = langchain.follow(module, structure)
    langchain.follow(module, structure)
    [(variable, inheritable)] = hooks
    assert inheritable
    yield variable.get()
    for each in undo:
        each()


def managed(handler, module, *calls, graph=None):
    """Call the handler as LangChain's manager would from a function of this module, a method of a graph where there is one."""
    manager = types.FunctionType(_tell.__code__, {"__name__": "langchain_core.callbacks.manager"})
    caller = types.FunctionType(_call.__code__, {"__name__": module})
    caller(graph, manager, handler, calls)


def _tell(handler, name, words, more):
    getattr(handler, name)(*words, **more)


def _call(self, manager, handler, calls):
    for name, words, more in calls:
        manager(handler, name, words, more)


def start(run, parent=None, name="chain", **more):
    """The words of `on_chain_start`."""
    return (
        "on_chain_start",
        ({"name": "serialized"}, {"x": 1}),
        {"run_id": run, "parent_run_id": parent, "name": name, **more},
    )


def end(run):
    """The words of `on_chain_end`."""
    return "on_chain_end", ({"y": 2},), {"run_id": run}


def test_a_graph_is_a_chain_of_steps_with_an_agent_in_it(handler, tree):
    """Nodes are steps, an agent's graph is an agent, a prompt a prompt; what is hidden is not there."""
    agent = {"lc_agent_name": "Ada", "langgraph_node": "ask"}
    managed(handler, "langgraph.pregel.main", start(1, name="LangGraph"))
    managed(handler, "langgraph._internal._runnable", start(2, 1, "ask", metadata={"langgraph_node": "ask"}))
    managed(handler, "langgraph.pregel.main", start(3, 2, "Ada", metadata=agent))
    managed(handler, "langgraph._internal._runnable", start(4, 3, "write", tags=["langsmith:hidden"]))
    managed(handler, "langchain_core.runnables.base", start(5, 4, "Template", run_type="prompt"))
    managed(handler, "x", end(5), end(4), end(3), end(2), end(1))
    assert tree() == [
        "chain_execution LangGraph",
        "  chain_step ask",
        "    agent_execution Ada",
        "      prompt_execution Template",
    ]


def test_an_agent_that_stands_under_its_own_name_is_an_agent(handler, tree):
    """Where a node has the name of the agent in it, as in a supervisor's graph or a swarm, the agent is one all the same."""
    node, agent = {"langgraph_node": "Ada"}, {"lc_agent_name": "Ada", "langgraph_node": "Ada"}
    managed(handler, "langgraph.pregel.main", start(1, name="LangGraph"))
    managed(handler, "langgraph._internal._runnable", start(2, 1, "Ada", metadata=node))
    managed(handler, "langgraph.pregel.main", start(3, 2, "Ada", metadata=agent))
    managed(handler, "langgraph._internal._runnable", start(4, 3, "Ada", metadata=agent))
    managed(handler, "x", end(4), end(3), end(2), end(1))
    assert tree() == [
        "chain_execution LangGraph",
        "  chain_step Ada",
        "    agent_execution Ada",
        "      chain_step Ada",
    ]


def test_an_agent_that_was_given_the_configuration_of_another_is_an_agent(handler, tree):
    """A tool of an agent may hand its own configuration on to the agent that it asks; a graph in between is none."""
    ada = SimpleNamespace(config={"metadata": {"lc_agent_name": "Ada"}})
    managed(handler, "langgraph.pregel.main", start(1, name="Bob", metadata={"lc_agent_name": "Bob"}))
    managed(
        handler, "langgraph.pregel.main", start(2, 1, "Ada", metadata={"lc_agent_name": "Bob"}), graph=ada
    )
    managed(handler, "langgraph.pregel.main", start(3, 2, "between", metadata={"lc_agent_name": "Bob"}))
    managed(handler, "x", end(3), end(2), end(1))
    assert tree() == ["agent_execution Bob", "  agent_execution Ada", "    chain_execution between"]


def test_a_function_that_chooses_the_way_is_a_condition(handler, recorded):
    """The step of a conditional edge says so."""
    managed(handler, "langgraph.pregel.main", start(1, name="LangGraph"))
    managed(handler, "langgraph.graph._branch", start(2, 1, "enough"), end(2), end(1))
    events = recorded()
    assert (events[1]["component_name"], events[1]["step_type"]) == ("enough", "condition")
    assert "step_type" not in events[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [(GraphInterrupt("name?"), "pending"), (GraphBubbleUp(), "completed"), (ValueError("no"), "failed")],
)
def test_control_flow_is_no_failure(handler, recorded, error, status):
    """A node that waits for a person is pending, one that sends a command on has completed, an exception is a failure."""
    managed(handler, "x", start(1), ("on_chain_error", (error,), {"run_id": 1}))
    assert recorded()[1]["status"] == status


def test_a_batch_is_runs_beside_each_other(handler, tree):
    """All runs of a batch begin in one function before the first ends."""
    managed(handler, "langchain_core.runnables.base", start(1, name="a"), start(2, name="b"), end(1), end(2))
    assert tree() == ["chain_execution a", "chain_execution b"]


def test_a_retriever_is_a_search_in_memory(handler, recorded):
    """The step holds a memory operation with what was found."""
    handler.on_retriever_start({"name": "Shelf"}, "snow", run_id=1)
    handler.on_retriever_end(["white"], run_id=1)
    step, found, _end = recorded()
    assert (step["event_type"], step["inputs"]) == ("chain_step_start", {"query": "snow"})
    assert (found["event_type"], found["outputs"]) == ("memory_operation", {"documents": ["white"]})
    assert found["metadata"]["operation"] == "search"
    assert found["parent_event_id"] == step["event_id"]


def test_a_tool_of_a_library_has_its_arguments_and_its_result(handler, recorded):
    """The result is the content of the message that LangChain makes of it."""
    handler.on_tool_start(
        {"name": "lookup"}, "{'word': 'snow'}", run_id=1, inputs={"word": "snow"}, tool_call_id="c1"
    )
    handler.on_tool_end(SimpleNamespace(content="white"), run_id=1)
    handler.on_tool_start({"name": "lookup"}, "snow", run_id=2)
    handler.on_tool_error(KeyError("snow"), run_id=2)
    start_1, end_1, start_2, end_2 = recorded()
    assert start_1["inputs"] == {"arguments": {"word": "snow"}, "call_id": "c1"}
    assert end_1["outputs"] == {"result": "white"}
    assert start_2["inputs"] == {"arguments": {"input": "snow"}}
    assert (end_2["status"], end_2["error_type"]) == ("failed", "KeyError")


def test_a_tool_is_recorded_where_its_function_runs_whatever_that_is_called(
    handler, own, one_call_of_lookup, monkeypatch
):
    """A tool that is made of a function with another name, or of a class with a method for it; LangChain's frame has the tool."""

    class BaseTool:
        """A tool as LangChain makes it of a function."""

        func, coroutine = staticmethod(own.look), None

        def run(self, word):
            """Tell of it, and run it."""
            monkeypatch.setattr(langchain, "_find_starting_frame", lambda: frame)
            frame = sys._getframe()
            handler.on_tool_start({"name": "lookup"}, word, run_id=1, inputs={"word": word})
            handler.on_tool_end(self.func(word), run_id=1)

    BaseTool().run("snow")
    one_call_of_lookup()


def test_a_tool_that_waits_for_a_person_has_not_failed(handler, recorded):
    """It is pending, as the node around it is."""
    handler.on_tool_start({"name": "pay"}, "5", run_id=1)
    handler.on_tool_error(GraphInterrupt("sure?"), run_id=1)
    _start, end = recorded()
    assert end["status"] == "pending"
    assert not {"error", "error_type", "stack_trace"} & end.keys()
    assert end["metadata"]["raised"] == {"type": "langgraph.errors.GraphInterrupt", "text": "sure?"}


def answer(usage):
    """An answer of a model, as LangChain hands it round."""
    call = {"id": "c1", "name": "lookup", "args": {"word": "snow"}}
    message = SimpleNamespace(tool_calls=[call], usage_metadata=usage)
    return SimpleNamespace(generations=[[SimpleNamespace(text="Let me see.", message=message)]])


def test_a_mocked_model_is_a_model_call(handler, recorded):
    """Messages, answer, tool calls and tokens as LangChain tells them."""
    asked = [
        SimpleNamespace(type="human", content="snow?"),
        SimpleNamespace(type="tool", content="white", tool_call_id="c0"),
    ]
    handler.on_chat_model_start({"name": "Fake"}, [asked], run_id=1, invocation_params={"model": "fake-1"})
    usage = {"input_tokens": 5, "output_tokens": 2, "input_token_details": {"cache_read": 3}}
    handler.on_llm_end(answer(usage), run_id=1)
    begun, ended = recorded()
    assert begun["component_name"] == "fake-1"
    assert begun["inputs"]["messages"] == [
        {"role": "user", "parts": [{"type": "text", "content": "snow?"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c0", "response": "white"}]},
    ]
    assert ended["outputs"]["tool_calls"] == [{"id": "c1", "name": "lookup", "arguments": {"word": "snow"}}]
    assert ended["usage"] == {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 3}


def test_what_anthropic_keeps_for_an_hour_is_told(handler, recorded):
    """LangChain tells of each time apart, and then that nothing was written in all."""
    details = {
        "cache_read": 1,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 2,
        "ephemeral_1h_input_tokens": 3,
    }
    handler.on_chat_model_start({"name": "m"}, [[]], run_id=1)
    handler.on_llm_end(
        answer({"input_tokens": 9, "output_tokens": 2, "input_token_details": details}), run_id=1
    )
    counted = {"cache_read_tokens": 1, "cache_write_tokens": 5, "cache_write_1h_tokens": 3}
    assert recorded()[1]["usage"] == {"input_tokens": 9, "output_tokens": 2, **counted}


def test_an_answer_from_a_cache_took_no_tokens(handler, recorded):
    """LangChain repeats the tokens of the first call, and says that they cost nothing."""
    handler.on_llm_start({"name": "Fake"}, ["snow?"], run_id=1)
    handler.on_llm_end(answer({"input_tokens": 5, "output_tokens": 2, "total_cost": 0}), run_id=1)
    assert "usage" not in recorded()[1]


def test_words_that_are_not_understood_are_a_problem_and_no_exception(handler, structure):
    """A callback of another version costs its own event."""
    handler.on_chain_start({}, {})
    handler.on_llm_start({"name": "Fake"}, ["snow?"], run_id=1)
    handler.on_llm_end(None, run_id=1)
    assert sum(structure.tracer.problems.values()) == 2


def test_nothing_is_told_when_tracing_is_over(handler, recorded):
    """The handler stays in LangChain, and is silent."""
    langchain._structures.clear()
    handler.on_chain_start({}, {}, run_id=1)
    assert recorded() == []
