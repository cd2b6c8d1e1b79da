"""What an event is: the fields, the types, and how starts and ends belong together.

Inside the package an event is the plain dict that was read from its line, so that reading a million of them
stays cheap; `typed_events.TraceEvent` is the same thing for users of the library. The guide's tables are generated
from `FIELDS` and `EVENT_TYPES`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

FORMAT_VERSION = 1
"""The version of the file format, written in every `trace_start` as `metadata.format`.

History (a recording of any released version opens for ever; tests/data holds one of each):

- 1: the first. Added to it: in `usage` the counts of what few calls have, and the field `billing`; blanks behind the
  first line of a segment, which on a full disk become a line of their own, `{"dropped": 22191, "next_seq": 22350,
  "error": "ENOSPC"}`; `file_removed` in a `trace_start`, and `stopped_by` in a `trace_end`.
"""

Event = dict[str, Any]
"""One event as it is in the file: field name to value, without fields that are null."""


class Field(NamedTuple):
    """One field of an event: its name, its JSON type, and what it means."""

    name: str
    type: str
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field("event_type", "string", "what happened; see the event types"),
    Field("event_id", "string", "unique in the trace"),
    Field(
        "seq",
        "int",
        "position among the recorded events of its process, from 0 without gaps; a gap is a loss",
    ),
    Field("timestamp", "float", "seconds since the epoch, UTC"),
    Field(
        "parent_event_id", "string", "of an end: its own start; of any other: the start it happened inside"
    ),
    Field("execution_id", "string", "the run"),
    Field("session_id", "string", "the conversation or job that several runs belong to"),
    Field(
        "component",
        "string",
        "app agent prompt chain llm tool memory validation http mcp log, or the user's own",
    ),
    Field("component_name", "string", "gpt-4o, search, Researcher, ..."),
    Field("inputs", "object", "what went in, redacted before it was written"),
    Field("outputs", "object", "what came out, redacted before it was written"),
    Field("metadata", "object", "anything else"),
    Field("status", "string", "pending started completed failed skipped cancelled timeout partial"),
    Field("error", "string", "the text of a failure"),
    Field("error_type", "string", "the exception type of a failure"),
    Field("stack_trace", "string", "the traceback of a failure"),
    Field("duration_ms", "float", "of an end event, milliseconds by the monotonic clock"),
    Field(
        "held_before_ms",
        "float",
        "for how long a debugger had held its process before it, in all; left out below 100",
    ),
    Field("tokens_used", "int", "all tokens of the call"),
    Field(
        "usage",
        "object",
        "input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens; where there are any, "
        "cache_write_1h_tokens (of those written, kept for an hour), input_audio_tokens output_audio_tokens "
        "cache_audio_read_tokens (the same of image and video), web_searches and file_searches of the provider",
    ),
    Field("cost_estimate", "float", "US dollars, as the program or the server says; else left out"),
    Field(
        "billing",
        "object",
        "on what other terms than its standard ones the provider billed the call, in its words: service_tier, speed, "
        "inference_geo, latency, cache, and as tool another model that took part",
    ),
    Field(
        "memory_usage_mb",
        "float",
        "resident memory of the process, where asked for; spans that end within 2 ms share a reading, short ones within 5 ms",
    ),
    Field("cpu_time_ms", "float", "CPU time the process spent during the span, where asked for"),
    Field("retry_count", "int", "how many earlier attempts of the same call there were"),
    Field("depends_on", "list", "ids of the events it waited for, where the program says so"),
    Field("step_type", "string", "of a chain step: tool_call decision condition loop parallel merge"),
    Field("call_site", "string", "path.py:42 in the user's own code, In[5]:3 in a cell"),
    Field("thread", "string", "where it ran, when not the main thread"),
    Field("task", "string", "the asyncio task it ran in, when there was one"),
)

EVENT_TYPES: dict[str, str] = {
    "trace_start": "the first line of every segment: versions, process, configuration",
    "trace_end": "the last event of a process that ended in order: what tracing itself cost; of one that did not, its exit status",
    "app_load_start": "the program begins to load",
    "app_load_end": "the program has loaded",
    "agent_execution_start": "an agent begins its work",
    "agent_execution_end": "an agent has ended its work",
    "agent_turn_start": "one turn of an agent begins",
    "agent_turn_end": "one turn of an agent has ended",
    "llm_call_start": "a request to a model",
    "llm_call_end": "the model's answer, or the failure",
    "tool_call_start": "a tool is called",
    "tool_call_end": "the tool's result, or the failure",
    "prompt_execution_start": "a prompt is filled in and used",
    "prompt_execution_end": "the prompt's result",
    "chain_execution_start": "a chain or graph begins",
    "chain_execution_end": "a chain or graph has ended",
    "chain_step_start": "one step or node of a chain begins",
    "chain_step_end": "one step or node of a chain has ended",
    "memory_operation": "the agent's memory was read or written",
    "memory_summarization": "the agent's memory was summarised",
    "validation_start": "a validation or guardrail begins",
    "validation_end": "a validation or guardrail has ended",
    "error_occurred": "an error the program reported",
    "performance_marker": "a measurement the program made",
    "http_exchange_start": "an HTTP request that is not a model's",
    "http_exchange_end": "its response, or the failure",
    "mcp_start": "a request to an MCP server that is no call of a tool, or the connection to it",
    "mcp_end": "its result, or the failure",
    "stream_chunk": "one piece of a streamed answer",
    "agent_message": "a message or hand-off between agents",
    "log_record": "a log record of the program",
    "decision": "a choice the program made",
    "state_change": "state the program changed",
    "request_start": "another service's request is answered",
    "request_end": "its answer, or the failure",
    "task_start": "a task of a queue, such as Celery, begins",
    "task_end": "its result, or the failure",
    "resource_sample": "memory and CPU at one moment",
    "stack_sample": "in which functions the time of a span went, where stacks are sampled",
    "inputs_read": "what the program read from outside since the event before: clock, environment, standard input",
    "divergence": "where a re-run parted from its recording",
}

EXECUTION_PREFIX = {
    "agent": "agent_execution",
    "app": "app_load",
    "prompt": "prompt_execution",
    "chain": "chain_execution",
    "llm": "llm_call",
    "tool": "tool_call",
    "http": "http_exchange",
}
"""The event type for the execution of a component, where it is not `<component>_start/_end`."""

SPAN_FAILURES = frozenset({"failed", "timeout", "cancelled"})
"""The values of `status` that mean a span did not do its work."""


LOG_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels of log records by name, with their numbers in the standard library's `logging`."""


def span_prefix(component: str) -> str:
    """The event type of a span of `component`, without `_start` and `_end`."""
    return EXECUTION_PREFIX.get(component, component)


def begins_span(event_type: str) -> bool:
    """Whether an event of this type is the start of a span; `trace_start` begins a segment of a file."""
    return event_type[-6:] == "_start" and event_type != "trace_start"


def ends_span(event_type: str) -> bool:
    """Whether an event of this type is the end of a span; `trace_end` ends a process."""
    return event_type[-4:] == "_end" and event_type != "trace_end"


def unheld(event: Event) -> Event:
    """The event with the time that it would have had if no debugger had held its process; itself where none did.

    Computed in whole microseconds, the precision of a timestamp of this size.
    """
    at, held = event.get("timestamp"), event.get("held_before_ms")
    if not isinstance(at, int | float) or not isinstance(held, int | float):
        return event
    return {**event, "timestamp": max(int(at * 1e6 + 0.5) - int(held * 1e3 + 0.5), 0) / 1e6}


def is_unseen(start: Event) -> bool:
    """Whether only the result of this call was seen, so that both of its events were written after it had ended."""
    metadata = start.get("metadata")
    return isinstance(metadata, dict) and metadata.get("seen") is False


def without_payload(event: Event) -> Event:
    """The part of an event that can be written although JSON refuses the whole, so that its number is not missing."""
    kept: Event = {key: _plain(value) for key, value in event.items() if not isinstance(value, dict | list)}
    return kept | {"metadata": {"problem": "the payload could not be written as JSON"}}


def _plain(value: object) -> str | int | float | None:
    """A scalar that JSON accepts; for anything else, the name of its type."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return type(value).__name__
