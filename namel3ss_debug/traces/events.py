"""What an event is: its types, and how starts and ends belong together; its fields are in `fields.py`.

Inside the package an event is the plain dict that was read from its line, so that reading a million of them
stays cheap; `typed_events.TraceEvent` is the same thing for users of the library. The reference pages are generated
from `FIELDS` and `EVENT_TYPES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

FORMAT_VERSION = 2
"""The version of the file format, written in every `trace_start` as `metadata.format`.

History (from the first release on, a trace of any released version opens for ever; earlier ones are refused):

- 2: pauses are `paused_before_ms`, and `paused_ms` in the metadata of an end. At level `comprehensive`,
  `metadata.locals` has what changed, as `metadata.locals_record` says. Each line has a signature, `mac`; `$media`, the
  text of an image or a document, is in a segment once. A full disk leaves the line `{"dropped": 22191, "next_seq":
  22350, "error": "ENOSPC"}` behind the first line of a segment.
"""

Event = dict[str, Any]
"""One event as it is in the file: field name to value, without fields that are null."""


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
    "exception_handled": "an exception that the program's own code handled without raising again",
    "performance_marker": "a measurement the program made",
    "http_exchange_start": "an HTTP request that is not a model's",
    "http_exchange_end": "its response, or the failure",
    "mcp_start": "a request to an MCP server that is no call of a tool, or the connection to it",
    "mcp_end": "its result, or the failure",
    "command_start": "a command is run: its arguments, folder, changed environment and input",
    "command_end": "its exit status and output, or why it did not start",
    "stream_chunk": "one piece of a streamed answer",
    "agent_message": "a message or hand-off between agents",
    "log_record": "a log record of the program",
    "decision": "a choice the program made",
    "state_change": "state the program changed",
    "request_start": "a request to a server of the program is answered",
    "request_end": "its answer, or the failure",
    "cell_start": "a cell of a notebook or of IPython begins",
    "cell_end": "the cell has ended",
    "task_start": "a task of a queue, such as Celery, begins",
    "task_end": "its result, or the failure",
    "resource_sample": "memory and CPU at one moment",
    "stack_sample": "in which functions the time of a span went, where stacks are sampled",
    "guard_start": "a function with limits of its own is called",
    "guard_end": "it has ended",
    "limit_reached": "a call would have passed a limit, or has: which one, how much was used, and what was done",
    "breaker_opened": "the calls of a model, a tool, a host or a function failed, so that further ones are refused",
    "breaker_half_open": "one call of it is tried again",
    "breaker_closed": "it is called again as usual",
    "fallback_used": "something else answered in place of what failed or was refused",
    "retried": "a call has failed, and is made again",
    "file_access": "a file was read or written, at the level `comprehensive`: how much, how often, how long",
    "inputs_read": "what the program read from outside since the event before: clock, environment, standard input",
    "output": "what the program wrote to its stdout and stderr since the event before",
    "divergence": "where a re-run diverged from its trace",
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

NO_PROGRESS = frozenset({"inputs_read", "log_record", "resource_sample"})
"""The types of events that a program may still send while it hangs: reads of a clock, logs and measurements."""

SPAN_FAILURES = frozenset({"failed", "timeout", "cancelled"})

CANCELLATIONS = frozenset({"CancelledError", "Cancelled", "GreenletExit", "GeneratorExit"})
"""The exceptions by which other code of the program (asyncio, trio, gevent) ends a call: it does so in a re-run too."""
"""The values of `status` that mean a span did not do its work."""


LOG_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels of log records by name, with their numbers in the standard library's `logging`."""


def span_prefix(component: str) -> str:
    """Return the event type of a span of `component`, without `_start` and `_end`."""
    return EXECUTION_PREFIX.get(component, component)


def begins_span(event_type: str) -> bool:
    """Return whether an event of this type is the start of a span; `trace_start` begins a segment of a file."""
    return event_type[-6:] == "_start" and event_type != "trace_start"


def ends_span(event_type: str) -> bool:
    """Return whether an event of this type is the end of a span; `trace_end` ends a process."""
    return event_type[-4:] == "_end" and event_type != "trace_end"


def without_pauses(event: Event) -> Event:
    """Return the event with the time it would have had if no debugger had paused its process; itself if none did.

    Computed in whole microseconds, the precision of a timestamp of this size.
    """
    timestamp, paused = event.get("timestamp"), event.get("paused_before_ms")
    if not isinstance(timestamp, int | float) or not isinstance(paused, int | float):
        return event
    return {**event, "timestamp": max(int(timestamp * 1e6 + 0.5) - int(paused * 1e3 + 0.5), 0) / 1e6}


def is_unseen(start: Event) -> bool:
    """Return whether only the result of this call was seen: both of its events were written after it had ended."""
    metadata = start.get("metadata")
    return isinstance(metadata, dict) and metadata.get("seen") is False


def without_payload(event: Event) -> Event:
    """Return the part of an event that can be written when JSON refuses the whole, so that its `seq` is not missing."""
    kept: Event = {key: _plain(value) for key, value in event.items() if not isinstance(value, dict | list)}
    return kept | {"metadata": {"problem": "the payload could not be written as JSON"}}


_CONTENT = frozenset({"inputs", "outputs", "metadata", "error", "stack_trace"})
_HARMLESS = frozenset(
    {
        *("model", "call_id", "finish_reason", "response_model", "provider", "process", "segment", "format"),
        *("exit_status", "uncaught", "background", "level", "stopped_by", "time_to_first_token_ms"),
    }
)


def without_content(event: Event) -> Event:
    """Return an event without what a user or a model wrote: names, counts, times and kinds of errors stay."""
    slim = {name: value for name, value in event.items() if name not in _CONTENT}
    for name in ("inputs", "outputs", "metadata"):
        payload = event.get(name)
        kept = {key: payload[key] for key in payload if key in _HARMLESS} if isinstance(payload, dict) else {}
        if kept:
            slim[name] = kept
    return slim


def _plain(value: object) -> str | int | float | None:
    """Return a scalar that JSON accepts; for anything else, the name of its type."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return type(value).__name__


class NumberedEvents(Protocol):
    """The events of a trace, or of a running program that produces one, by number."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield all events from the number `start` on."""

    def event(self, number: int) -> Event:
        """Return the event with this number."""

    def count(self) -> int:
        """Return how many events there are."""
