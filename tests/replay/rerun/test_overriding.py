"""What may be given in a re-run: answers and faults for calls that it answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from namel3ss_debug.errors import MockError, RerunError
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun.overriding import checked_names, unreached


@pytest.fixture
def trace(written, boundary_events):
    """A flow with an agent in a step, which asks a model and calls a tool, beside a tool that has the agent's name."""
    made = boundary_events()
    made.add("trace_start", "app", metadata={"format": 2})
    flow = made.add("chain_execution_start", "chain", component_name="flow")
    step = made.add("chain_step_start", "chain", flow, component_name="plan")
    agent = made.add("agent_execution_start", "agent", step, component_name="Ada")
    twin = made.add("agent_execution_start", "agent", agent, component_name="echo")
    own = made.add("retriever_start", "retriever", twin, component_name="shelf")
    made.say(made.ask("first", parent=own), "one")
    made.give(made.call("search", {"q": "x"}, parent=twin), "search", 7)
    made.give(made.call("echo", {"q": "x"}, parent=twin), "echo", 7)
    return written(made.events)


NOT_ANSWERED = "a re-run answers calls of models, tools, commands, HTTP and MCP; agents and steps run"
CALLS = "; there are echo, m, search, llm, tool"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Ada", CALLS),
        ("ADA@1", CALLS),
        ("plan", CALLS),
        ("flow", CALLS),
        ("shelf", CALLS),
        ("agent:Ada", ""),
        ("agent:Ada@2", ""),
        ("agent:echo", ""),
        ("agent:nobody", ""),
        ("retriever:shelf", CALLS),
        ("agent", "; there are llm, tool"),
        ("chain", "; there are llm, tool"),
    ],
)
@pytest.mark.parametrize("what", ["mock", "fault"])
def test_what_a_rerun_does_not_answer_is_refused(trace, name, hint, what):
    """An agent, a step, a flow or a span of the user's own is no call to give an answer for; the calls are named."""
    given = parse_mock(f"{name}:5") if what == "mock" else parse_fault(f"{name}:timeout")
    with pytest.raises(MockError) as caught:
        list(checked_names([given], (), trace))
    assert str(caught.value) == (
        f"{name.partition('@')[0]}: the trace has no such call{hint} ({NOT_ANSWERED})"
    )


def test_a_mistyped_name_is_told_from_one_that_is_not_answered(trace):
    """Nothing has it, so it may be meant as that of a new tool."""
    with pytest.raises(MockError, match=r"did you mean 'search'\? \(tool:NAME names a function"):
        list(checked_names([parse_mock("serch:1")], (), trace))


@pytest.mark.parametrize("name", ["search", "tool", "tool:echo", "echo", "llm.text", "*", "m.text"])
def test_calls_are_given_answers(trace, name):
    """Also where an agent has the name of a tool."""
    text = f"{name}=x" if name.endswith(".text") else f'{name}:{{"text": "x"}}'
    assert list(checked_names([parse_mock(text)], (), trace)) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tool:plan", "tool:plan: the trace has no such call; there are echo, search"),
        ("echo@2", "echo@2: the trace has only 1 call of it"),
        ("http", "http: the trace has no such call; there are llm, tool"),
    ],
)
def test_what_new_code_may_call_is_a_note(trace, name, told):
    """A tool that is named as one, a further call of a tool, and the first call of another kind."""
    assert list(checked_names([parse_mock(f"{name}:1")], (), trace)) == [told]


def test_tools_that_are_run_and_not_recorded_are_told(trace):
    """Each by its name; those that are there, and all, are not. Code that has not changed calls no other one."""
    told = list(checked_names([], ["search", "serch", "m", "all"], trace))
    assert told == [f"--run-tools {name}: the trace holds no call of such a tool" for name in ("serch", "m")]
    with pytest.raises(
        RerunError, match=r"--run-tools serch: the trace holds no such tool, .*; did you mean 'search'"
    ):
        list(checked_names([], ["search", "serch"], trace, is_new=False))
    with pytest.raises(RerunError, match="--run-commands gti: the trace holds no such command"):
        list(checked_names([], [], trace, ["gti"], is_new=False))


def test_a_tool_that_a_model_was_offered_may_be_called_by_new_code(written, boundary_events):
    """A mock for it is no mistake, also where no call of it is recorded."""
    made = boundary_events()
    made.give(made.call("echo", {}), "echo", 7)
    made.say(made.ask("first"), "one")
    made.events[-2]["inputs"]["tools"] = [{"name": "weather"}, {}, "damaged"]
    assert len(list(checked_names([], ["weather"], written(made.events), is_new=False))) == 1
    trace = written(made.events)
    given = [parse_mock("weather:1"), parse_mock("echo:{}")]
    assert list(checked_names(given, (), trace)) == [
        "weather: the trace has no such call; there are echo, m, tool, llm"
    ]
    with pytest.raises(MockError, match="tool:NAME names a function"):
        list(checked_names([parse_mock("whether:1")], (), trace))


def test_what_reached_no_call_is_told_at_the_end(written, boundary_events):
    """One of a name that nothing has, and one of calls whose functions nobody saw; what was given is not told."""
    made = boundary_events()
    made.give(made.call("seen", {}), "seen", 7)
    made.give(made.call("ask_expert", {}, metadata={"seen": False}), "ask_expert", 7)
    given = [
        parse_mock("other:1"),
        parse_mock("seen:1"),
        parse_fault("ask_expert:timeout"),
        parse_mock("seen@2:1"),
    ]
    told = list(unreached(given, written(made.events)))
    assert told == [
        "Mock other was never used; the program has tools ask_expert, seen.",
        "Mock seen@2 was never used; it was called only once.",
        "Fault ask_expert was never used; the functions behind these calls could not be reached.",
    ]


@pytest.mark.parametrize("what", [parse_mock("ask_expert:1"), parse_fault("tool:ask_expert:timeout")])
def test_an_override_of_calls_whose_function_was_not_reached_is_refused(written, boundary_events, what):
    """An agent that is a tool runs again; where a function was seen in one of its calls, that one is answered."""
    made = boundary_events()
    made.add("trace_start", "app", metadata={"format": 2})
    made.give(made.call("ask_expert", {}, metadata={"seen": False}), "ask_expert", 7)
    trace = written(made.events)
    reason = (
        f"{what.name}: the functions behind these calls could not be reached, so these calls are made again"
    )
    with pytest.raises(MockError, match=reason):
        list(checked_names([what], (), trace))
    [note] = checked_names([replace(what, optional=True)], (), trace)
    assert note.startswith(reason)
    made.give(made.call("ask_expert", {}), "ask_expert", 7)
    assert list(checked_names([what], (), written(made.events))) == []
