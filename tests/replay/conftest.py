"""Recordings for the tests of replay."""

from __future__ import annotations

import hashlib
import json

import pytest

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.traces.reader import open_trace


class ListedEvents:
    """A recording that is held in memory, for laws that are tried on hundreds of recordings."""

    def __init__(self, events):
        self.listed = events

    def events(self, start=1):
        """The events from a number on."""
        return (self.event(number) for number in range(start, len(self.listed) + 1))

    def event(self, number):
        """The event with a number, with the fields that the reader makes sure of."""
        if not 1 <= number <= len(self.listed):
            raise UnreadableTraceError(f"there is no event {number}")
        return {"component": "app", "event_id": f"e{number}"} | self.listed[number - 1]

    def count(self):
        """How many there are."""
        return len(self.listed)


@pytest.fixture(scope="session")
def listed():
    """Makes a recording of a list of events."""
    return ListedEvents


@pytest.fixture
def written(tmp_path):
    """Writes events to a file and opens it as a trace."""

    def write(events, name="trace.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        return open_trace(path)

    return write


@pytest.fixture(scope="session")
def support():
    """The events of a support agent: three model calls, a search that times out and is tried again, a state change."""
    shapes = [
        ("trace_start", "1", None, "app", None, {}),
        ("agent_execution_start", "2", "1", "agent", "Support", {"call_site": "agents/app.py:10"}),
        ("llm_call_start", "3", "2", "llm", "gpt-4o", {"call_site": "agents/app.py:42", "inputs": {"model": "gpt-4o"}}),
        ("llm_call_end", "4", "3", "llm", "gpt-4o", {"tokens_used": 100, "cost_estimate": 0.25, "outputs": {"text": "look it up"}}),
        ("tool_call_start", "5", "2", "tool", "search", {"inputs": {"arguments": {"q": "refund"}}}),
        ("log_record", "6", "5", "log", "app.search", {"outputs": {"message": "searching"}}),
        ("tool_call_end", "7", "5", "tool", "search", {"status": "failed", "error": "Read timed out", "duration_ms": 900.0}),
        ("tool_call_start", "8", "2", "tool", "search", {"retry_count": 1}),
        ("tool_call_end", "9", "8", "tool", "search", {"outputs": {"result": "30 days"}, "duration_ms": 40.0}),
        ("state_change", "10", "2", "agent", "Support", {"outputs": {"topic": "refund", "turns": 1}}),
        ("llm_call_start", "11", "2", "llm", "gpt-4o-mini", {}),
        ("llm_call_end", "12", "11", "llm", "gpt-4o-mini", {"tokens_used": 50, "cost_estimate": 0.125, "outputs": {"text": "A refund"}}),
        ("state_change", "13", "2", "agent", "Support", {"outputs": {"turns": 2}}),
        ("llm_call_start", "14", "2", "llm", "gpt-4o", {}),
        ("llm_call_end", "15", "14", "llm", "gpt-4o", {"duration_ms": 700.0, "outputs": {"text": "done"}}),
        ("agent_execution_end", "16", "2", "agent", "Support", {"status": "completed"}),
    ]  # fmt: skip
    events = []
    for seq, (event_type, event_id, parent, component, name, more) in enumerate(shapes):
        event = {
            "event_type": event_type,
            "event_id": event_id,
            "seq": seq,
            "timestamp": 100.0 + seq,
            "component": component,
        }
        event |= {"parent_event_id": parent} if parent else {}
        event |= {"component_name": name} if name else {}
        events.append(event | more)
    return events


class BoundaryEvents:
    """Events of calls at boundaries, as a recording and as a program that runs again have them."""

    def __init__(self):
        self.events = []
        self._count = 0

    def add(self, event_type, component, parent=None, **fields):
        """An event; its id."""
        self._count += 1
        event = {
            "event_type": event_type,
            "event_id": str(self._count),
            "seq": self._count - 1,
            "timestamp": 100.0 + self._count,
        }
        event |= {"component": component} if component else {}
        event |= {"parent_event_id": parent} if parent else {}
        self.events.append(event | fields)
        return event["event_id"]

    def ask(self, *said, chain=("app.py:main",), system="Be brief.", stream=False, parent=None, **fields):
        """The start of a request to a model."""
        messages = [{"role": "system", "parts": [{"type": "text", "content": system}]}]
        messages += [
            {"role": "user", "parts": [{"type": "text", "content": one}]} if isinstance(one, str) else one
            for one in said
        ]
        inputs = {"model": "m", "messages": messages, "params": {"stream": True} if stream else {}}
        exchange = {
            "method": "POST",
            "url": "http://localhost/v1/chat/completions",
            "hash": hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16],
        }
        metadata = {"chain": list(chain), "exchange": exchange, "format": "openai.chat"}
        fields = {"component_name": "m", "call_site": "app.py:1"} | fields
        return self.add("llm_call_start", "llm", parent, inputs=inputs, metadata=metadata, **fields)

    def say(self, start, text, pieces=(), **fields):
        """The answer of a model, as a stream where it has pieces."""
        for index, piece in enumerate(pieces):
            self.add("stream_chunk", "llm", start, outputs={"text": piece}, metadata={"index": index})
        exchange = {
            "status": 200,
            "headers": {"content-type": "application/json", "content-encoding": "gzip"},
        }
        exchange |= {"chunks": len(pieces)} if pieces else {"body": {"text": text}}
        outputs = {"text": text, "tool_calls": [], "finish_reason": "stop"}
        fields = {"outputs": outputs, "metadata": {"exchange": exchange}, "status": "completed"} | fields
        return self.add("llm_call_end", "llm", start, component_name="m", **fields)

    def call(self, name, arguments, call_id=None, chain=("app.py:main",), parent=None, **fields):
        """The start of a call of a tool."""
        inputs = {"arguments": arguments} | ({"call_id": call_id} if call_id else {})
        fields = {
            "inputs": inputs,
            "metadata": {"chain": [*chain, f"app.py:{name}"]},
            "component_name": name,
        } | fields
        return self.add("tool_call_start", "tool", parent, **fields)

    def give(self, start, name, result, **fields):
        """The result of a tool."""
        fields = {"outputs": {"result": result}, "status": "completed", "component_name": name} | fields
        return self.add("tool_call_end", "tool", start, **fields)


@pytest.fixture(scope="session")
def boundary_events():
    """Makes empty sequences of events to add calls at boundaries to."""
    return BoundaryEvents


@pytest.fixture
def session(listed, support):
    """A debugger on the support agent's recording."""
    return Debugger(listed(support))
