"""A run of an agent made by hand, and a way to compare it with the same run changed in one place."""

import copy

import orjson
import pytest

from namel3ss_debug.analysis.diff.comparison import diff_traces


class Agent:
    """Events of an agent, which asks a model and calls its tools."""

    def __init__(self):
        self.events = []

    def add(self, event_type, component, name=None, parent=None, **fields):
        """Append an event and return its id."""
        event = {
            "event_type": event_type,
            "event_id": f"e{len(self.events) + 1}",
            "execution_id": "run",
            "component": component,
            "component_name": name,
            "parent_event_id": parent,
        }
        self.events.append({key: value for key, value in (event | fields).items() if value is not None})
        return event["event_id"]

    def model(self, messages, answer, parent, name="gpt-4o", **fields):
        """A call of a model: its start and its end."""
        inputs = {"model": name, "messages": copy.deepcopy(messages), "params": {"temperature": 0}}
        start = self.add("llm_call_start", "llm", name, parent, inputs=inputs, **fields)
        outputs = {"text": answer} if isinstance(answer, str) else {"tool_calls": [answer]}
        self.add(
            "llm_call_end", "llm", name, start, outputs=outputs, status="completed", tokens_used=100,
            cost_estimate=0.001, memory_usage_mb=50.0, duration_ms=1000.0,
        )  # fmt: skip

    def tool(self, name, arguments, result, parent, **fields):
        """A call of a tool: its start and its end."""
        inputs = {"arguments": copy.deepcopy(arguments), "call_id": f"call_{len(self.events)}"}
        start = self.add("tool_call_start", "tool", name, parent, inputs=inputs, **fields)
        self.add("tool_call_end", "tool", name, start, outputs={"result": result}, status="completed")


def said(role, text):
    """A message."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


STEPS = (
    ("find_order", {"customer": "Ada"}, {"order": "A-1001", "item": "desk lamp"}),
    ("refund_policy", {"reason": "damaged"}, "A full refund within 30 days of delivery."),
    ("send_refund", {"order": "A-1001", "amount": 39.9}, "the refund is on its way"),
)


def support():
    """An agent that calls three tools, each asked for by a model which reads everything before.

    Its events: 1 the agent; 2, 3 the model; 4, 5 find_order; 6, 7 the model; 8, 9 refund_policy; 10, 11 the model;
    12, 13 send_refund; 14, 15 the model; 16 the agent.
    """
    made = Agent()
    agent = made.add("agent_execution_start", "agent", "Support", inputs={"question": "My lamp is broken"})
    messages = [said("system", "You help customers. Be brief."), said("user", "My lamp is broken")]
    for name, arguments, result in STEPS:
        call = {"id": f"call_{name}", "name": name, "arguments": arguments}
        made.model(messages, call, agent)
        made.tool(name, arguments, result, agent)
        messages.append({"role": "assistant", "parts": [{"type": "tool_call", **call}]})
        answer = {"type": "tool_call_response", "id": call["id"], "response": orjson.dumps(result).decode()}
        messages.append({"role": "tool", "parts": [answer]})
    made.model(messages, "You get your money back.", agent)
    made.add("agent_execution_end", "agent", "Support", agent, outputs={"answer": "done"}, status="completed")
    return made.events


@pytest.fixture
def support_run():
    """The events of a run of an agent; see `support`."""
    return support()


@pytest.fixture
def agent():
    """An agent without events."""
    return Agent()


@pytest.fixture
def written(tmp_path):
    """Writes events to a file, numbered as they stand, one a second, and gives its path."""

    def write(events, name="run.jsonl", began=1_700_000_000.0):
        path = tmp_path / name
        numbered = [event | {"seq": n, "timestamp": began + n} for n, event in enumerate(events)]
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in numbered))
        return path

    return write


@pytest.fixture
def compared(written):
    """The difference between two lists of events."""

    def compare(before, after, began=1_700_000_000.0, **options):
        return diff_traces(written(before, "a.jsonl"), written(after, "b.jsonl", began), **options)

    return compare
