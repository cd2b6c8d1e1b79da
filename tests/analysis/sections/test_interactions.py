import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def section(recording, analysed):
    """The section of the recording."""
    return lambda: analysed(recording.events, ["interactions"])["interactions"]


@pytest.fixture
def say(recording):
    """Add a message between agents and return its number."""

    def say(sender, receiver, text, **metadata):
        recording.add(
            "agent_message",
            len(recording.events),
            component="agent",
            component_name=sender,
            inputs={"text": text},
            metadata={"to": receiver, **metadata},
        )
        return len(recording.events)

    return say


def calls(section):
    """(from, component, name) -> (count, failed, open)."""
    return {
        (row["from"], row["component"], row["component_name"]): (row["count"], row["failed"], row["open"])
        for row in section["calls"]
    }


def test_a_call_belongs_to_the_nearest_agent_around_it(recording, section):
    """Steps and turns are passed through, another agent is not; an agent's tokens are those of what it called."""
    planner = recording.start("agent", "Planner", 0)
    turn = recording.start("agent", "Planner", 1, planner, kind="agent_turn")
    step = recording.start("chain", "act", 1, turn, kind="chain_step")
    recording.span("llm", "m", 1, 2, step, tokens_used=100)
    writer = recording.start("agent", "Writer", 3, step)
    recording.span("llm", "m", 3, 4, writer, tokens_used=7)
    recording.span("tool", "save", 4, 5, writer, status="failed", error="no")
    recording.end(writer, 6)
    recording.end(step, 7)
    recording.end(turn, 7)
    recording.end(planner, 8)
    found = section()
    assert calls(found) == {
        (None, "agent", "Planner"): (1, 0, 0),
        ("Planner", "agent", "Writer"): (1, 0, 0),
        ("Planner", "llm", "m"): (1, 0, 0),
        ("Writer", "llm", "m"): (1, 0, 0),
        ("Writer", "tool", "save"): (1, 1, 0),
    }
    assert [row["tokens"] for row in found["calls"][:2]] == [107, 7]
    assert sum(row["tokens"] for row in found["calls"] if row["component"] == "llm") == 107
    assert [row["total_ms"] for row in found["calls"][:2]] == [8000, 3000]


def test_what_is_in_a_tool_belongs_to_the_agent_that_called_it(recording, section):
    """A model that a tool asks is asked for the agent."""
    agent = recording.start("agent", "A", 0)
    tool = recording.start("tool", "summarise", 1, agent)
    recording.span("llm", "small", 1, 2, tool)
    recording.end(tool, 3)
    recording.end(agent, 4)
    assert ("A", "llm", "small") in calls(section())


def test_what_was_open_when_the_run_was_killed(recording, section):
    """Calls that never ended are counted as open, for the agent they were made by."""
    agent = recording.start("agent", "A", 0)
    recording.start("tool", "wait", 1, agent)
    assert calls(section()) == {(None, "agent", "A"): (1, 0, 1), ("A", "tool", "wait"): (1, 0, 1)}


def test_hand_offs_by_message_and_by_the_name_of_a_tool(recording, section, say):
    """What the trace says is recorded; what only a name says is inferred."""
    agent = recording.start("agent", "Triage", 0)
    number = say("Clerk", "Refunds", "yours", kind="handoff")
    recording.span("tool", "transfer_to_billing", 1, 2, agent)
    recording.span("tool", "transfer_to_agent", 2, 3, agent)
    recording.end(agent, 4)
    found = [(row["from"], row["to"], row["kind"], row["numbers"]) for row in section()["hand_offs"]]
    assert sorted(found, key=lambda row: (row[2] == "inferred", row[1] is None)) == [
        ("Clerk", "Refunds", "recorded", [number]),
        ("Triage", "billing", "inferred", []),
        ("Triage", None, "inferred", []),
    ]


def test_a_hand_off_that_is_recorded_is_not_inferred_once_more(recording, section, say):
    """The tool by which it was made counts as one only where it did more than is recorded, and did not fail."""
    agent = recording.start("agent", "Triage", 0)
    for receiver in ("Refund Desk", "Refund Desk", "Grace"):
        say("Triage", receiver, "yours", kind="handoff")
    recording.span("tool", "transfer_to_refund_desk", 1, 2, agent)
    for _ in range(3):
        recording.span("tool", "transfer_to_agent", 2, 3, agent)
    recording.span("tool", "transfer_to_agent", 3, 4, agent, status="failed", error="no such agent")
    recording.end(agent, 4)
    say("Grace", "Triage", "yours", kind="handoff")
    assert [(row["from"], row["to"], row["kind"], row["count"]) for row in section()["hand_offs"]] == [
        ("Triage", "Refund Desk", "recorded", 2),
        ("Grace", "Triage", "recorded", 1),
        ("Triage", "Grace", "recorded", 1),
        ("Triage", None, "inferred", 1),
    ]


def test_messages_without_an_answer_and_messages_sent_again(recording, section, say):
    """An answer is a message back, or work that the receiver began afterwards."""
    first = say("A", "B", "hello")
    say("B", "A", "hello to you")
    say("A", "D", "work")
    recording.span("agent", "D", 5, 6)
    again = say("A", "B", "hello")
    lost = say("A", "C", "anybody?")
    messages = section()["messages"]
    assert [row["number"] for row in messages["unanswered"]["listed"]] == [again, lost]
    assert [row["numbers"] for row in messages["repeated"]["listed"]] == [[first, again]]
    assert messages["pairs"][0] == {"from": "A", "to": "B", "count": 2, "unanswered": 1, "repeated": 1}


def test_a_message_to_several_is_one_to_each(section, say):
    """Each of them may answer, or not."""
    say("A", ["B", "C"], "who is there?")
    say("C", "A", "I am")
    messages = section()["messages"]
    assert (messages["count"], [row["to"] for row in messages["unanswered"]["listed"]]) == (2, ["B"])


def test_an_empty_trace_has_no_interactions(analysed):
    """Nobody called anybody."""
    section = analysed([], ["interactions"])["interactions"]
    assert (section["pairs"], section["calls"], section["hand_offs"]) == (0, [], [])
    assert section["messages"]["count"] == 0


NAMES = st.sampled_from("AB")


@st.composite
def _talk(draw):
    """Agents that call each other, call tools, and send messages; some of it is never ended."""
    events, running = [], []
    for number in range(draw(st.integers(0, 30))):
        event = {
            "event_id": f"e{number}",
            "timestamp": 1_700_000_000.0 + number,
            "component_name": draw(NAMES),
        }
        choice = draw(st.integers(0, 9))
        if running and choice > 5:
            start = running.pop(draw(st.sampled_from([-1, 0])))
            event |= {
                "event_type": start["event_type"].replace("_start", "_end"),
                "component": start["component"],
            }
            event |= {"parent_event_id": start["event_id"], "duration_ms": 2.0, "tokens_used": 3}
        elif choice > 2:
            kind = draw(
                st.sampled_from(["agent_execution", "agent_turn", "chain_step", "tool_call", "llm_call"])
            )
            event |= {"event_type": f"{kind}_start", "component": kind.partition("_")[0]}
            if draw(st.integers(0, 4)):
                event["parent_event_id"] = running[-1]["event_id"] if running else "lost"
            running.append(event)
        else:
            event |= {"event_type": "agent_message", "component": "agent", "inputs": {"text": draw(NAMES)}}
            event["metadata"] = {"to": draw(st.sampled_from(["A", "B", ["A", "B"], None]))}
        events.append(event)
    return events


@given(events=_talk())
def test_every_call_is_somebody_s(analysed, events):
    """All calls together are those of agents and those of the program, each once."""
    rows = analysed(events, ["interactions"])["interactions"]["calls"]
    called = {"agent_execution_start", "tool_call_start", "llm_call_start"}
    assert sum(row["count"] for row in rows) == sum(event["event_type"] in called for event in events)
    assert all(row["count"] > 0 for row in rows)
