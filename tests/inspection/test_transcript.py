"""A run as a conversation: what is new to a model, what is folded, and what ran at the same time."""

import pytest

from namel3ss_debug.inspection.transcript import read_transcript


class Run:
    """Events of a program that calls models and tools."""

    def __init__(self):
        self.events = []

    def add(self, event_type, component, name, parent=None, **fields):
        """Append an event and return its id."""
        event = {"event_type": event_type, "event_id": str(len(self.events) + 1), "component": component}
        event |= {"component_name": name, "parent_event_id": parent, **fields}
        self.events.append({key: value for key, value in event.items() if value is not None})
        return self.events[-1]["event_id"]

    def ask(self, messages, parent=None, **end):
        """A call of a model with messages, each `role: text`."""
        parts = [each.partition(": ") for each in messages]
        asked = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, _, text in parts]
        start = self.add("llm_call_start", "llm", "m", parent, inputs={"messages": asked})
        self.add(
            "llm_call_end", "llm", "m", start, **({"status": "completed", "outputs": {"text": "ok"}} | end)
        )

    def shown(self):
        """The transcript in short: what happened, new messages with how they changed, and how many were known."""
        return [
            (step.what, *(f"{each.how} {each.role}" for each in step.messages), step.before)
            for step in read_transcript(self.events).steps
        ]


def test_what_was_read_before_is_folded():
    """The answer and the messages that the model knows are not shown again."""
    run = Run()
    run.ask(["system: brief", "user: one"])
    run.ask(["system: brief", "user: one", "assistant: ok", "user: two"])
    assert run.shown() == [
        ("reads", "added system", "added user", 0),
        ("writes", 0),
        ("reads", "added user", 3),
        ("writes", 0),
    ]


@pytest.mark.parametrize(
    ("again", "read"),
    [
        (["user: one", "assistant: ok", "user: two"], ("dropped system", "added user")),
        (["system: brief", "user: on", "user: two"], ("added system", "added user", "added user")),
        (["system: brief", "user: one", "user: two…"], ("added user",)),
    ],
    ids=["lost instructions", "another conversation", "grown"],
)
def test_what_became_of_the_messages_is_named(again, read):
    """A lost message is a change; a request that shares the instructions only is another conversation."""
    run = Run()
    run.ask(["system: brief", "user: one"])
    run.ask(again)
    assert run.shown()[2][1:-1] == read


def test_each_request_names_the_one_before_and_all_changes_from_it():
    """Messages that lines of their own show are changes too, and the conversation of another agent is none."""
    run = Run()
    run.ask(["system: brief", "user: one"])
    other = run.add("agent_execution_start", "agent", "Other")
    run.ask(["user: else"], other)
    run.ask(["system: brief", "user: one", "assistant: ok", "user: two"])
    reads = [step for step in read_transcript(run.events).steps if step.what == "reads"]
    assert [
        (step.row, step.row_before, [(each.kind, each.before, each.after) for each in step.changes])
        for step in reads
    ] == [
        (0, -1, [("added", None, 0), ("added", None, 1)]),
        (2, -1, [("added", None, 0)]),
        (3, 0, [("added", None, 2), ("added", None, 3)]),
    ]


def test_the_result_of_a_tool_is_not_read_twice():
    """What the model reads of it is folded as long as it is the same; another text is new."""
    run = Run()
    run.ask(["user: one"], outputs={"tool_calls": [{"id": "c", "name": "find", "arguments": {}}]})
    start = run.add("tool_call_start", "tool", "find", inputs={"arguments": {}, "call_id": "c"})
    run.add("tool_call_end", "tool", "find", start, status="completed", outputs={"result": {"found": 3}})
    asked = {"role": "user", "parts": [{"type": "text", "content": "one"}]}
    called = {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c", "name": "find", "arguments": {}}],
    }
    for response in ('{"found":3}', '{"found":2}'):
        result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": response}]}
        start = run.add("llm_call_start", "llm", "m", inputs={"messages": [asked, called, result]})
        run.add("llm_call_end", "llm", "m", start, status="completed", outputs={"text": "done"})
    assert run.shown() == [
        ("reads", "added user", 0),
        ("writes", 0),
        ("returns", 0),
        ("writes", 3),
        ("reads", "changed tool", 2),
        ("writes", 0),
    ]


def test_repeated_attempts_are_one_call():
    """The failures are counted on the attempt that followed."""
    run = Run()
    for _ in range(2):
        run.ask(["user: one"], status="failed", error="busy", outputs=None, retry_count=0)
    run.events[2]["retry_count"] = run.events[3]["retry_count"] = 1
    run.ask(["user: one"])
    run.events[4]["retry_count"] = run.events[5]["retry_count"] = 2
    steps = read_transcript(run.events).steps
    assert [(step.what, step.number, step.retries) for step in steps] == [("reads", 1, 0), ("writes", 5, 2)]


def test_calls_at_the_same_time_are_marked():
    """Their lines are in the order of time, and a call inside another one is not beside it."""
    run = Run()
    agent = run.add("agent_execution_start", "agent", "A")
    first, second = (run.add("tool_call_start", "tool", name, agent) for name in "ab")
    run.add("tool_call_end", "tool", "a", first, status="completed")
    run.add("tool_call_end", "tool", "b", second, status="completed")
    third = run.add("tool_call_start", "tool", "c", agent)
    run.add("tool_call_end", "tool", "c", third, status="completed")
    steps = read_transcript(run.events).steps
    assert [(step.name, step.what, step.depth, step.beside) for step in steps] == [
        ("A", "begins", 0, False),
        ("a", "calls", 1, True),
        ("b", "calls", 1, True),
        ("a", "returns", 1, True),
        ("b", "returns", 1, True),
        ("c", "returns", 1, False),
    ]


def test_trouble_that_did_not_end_the_program():
    """Handled exceptions and warnings in the log have lines of their own, information has none."""
    run = Run()
    run.add("exception_handled", "app", None, error="no", error_type="KeyError")
    run.add("log_record", "log", "app", metadata={"level": "WARNING", "message": "slow"})
    run.add("log_record", "log", "app", metadata={"level": "INFO", "message": "fine"})
    assert [step.what for step in read_transcript(run.events).steps] == ["handled", "warns"]
