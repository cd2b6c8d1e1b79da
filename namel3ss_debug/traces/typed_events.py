"""Events for people who import the library: their types as an enumeration, their fields as attributes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from namel3ss_debug.traces.events import Event


class TraceEventType(StrEnum):
    """The event types by name, for library users: `TraceEventType.LLM_CALL_END == "llm_call_end"`."""

    TRACE_START = "trace_start"
    TRACE_END = "trace_end"
    APP_LOAD_START = "app_load_start"
    APP_LOAD_END = "app_load_end"
    AGENT_EXECUTION_START = "agent_execution_start"
    AGENT_EXECUTION_END = "agent_execution_end"
    AGENT_TURN_START = "agent_turn_start"
    AGENT_TURN_END = "agent_turn_end"
    LLM_CALL_START = "llm_call_start"
    LLM_CALL_END = "llm_call_end"
    TOOL_CALL_START = "tool_call_start"
    TOOL_CALL_END = "tool_call_end"
    PROMPT_EXECUTION_START = "prompt_execution_start"
    PROMPT_EXECUTION_END = "prompt_execution_end"
    CHAIN_EXECUTION_START = "chain_execution_start"
    CHAIN_EXECUTION_END = "chain_execution_end"
    CHAIN_STEP_START = "chain_step_start"
    CHAIN_STEP_END = "chain_step_end"
    MEMORY_OPERATION = "memory_operation"
    MEMORY_SUMMARIZATION = "memory_summarization"
    VALIDATION_START = "validation_start"
    VALIDATION_END = "validation_end"
    ERROR_OCCURRED = "error_occurred"
    EXCEPTION_HANDLED = "exception_handled"
    PERFORMANCE_MARKER = "performance_marker"
    HTTP_EXCHANGE_START = "http_exchange_start"
    HTTP_EXCHANGE_END = "http_exchange_end"
    MCP_START = "mcp_start"
    MCP_END = "mcp_end"
    COMMAND_START = "command_start"
    COMMAND_END = "command_end"
    STREAM_CHUNK = "stream_chunk"
    AGENT_MESSAGE = "agent_message"
    LOG_RECORD = "log_record"
    DECISION = "decision"
    STATE_CHANGE = "state_change"
    REQUEST_START = "request_start"
    REQUEST_END = "request_end"
    CELL_START = "cell_start"
    CELL_END = "cell_end"
    TASK_START = "task_start"
    TASK_END = "task_end"
    RESOURCE_SAMPLE = "resource_sample"
    STACK_SAMPLE = "stack_sample"
    GUARD_START = "guard_start"
    GUARD_END = "guard_end"
    LIMIT_REACHED = "limit_reached"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_HALF_OPEN = "breaker_half_open"
    BREAKER_CLOSED = "breaker_closed"
    FALLBACK_USED = "fallback_used"
    RETRIED = "retried"
    FILE_ACCESS = "file_access"
    INPUTS_READ = "inputs_read"
    OUTPUT = "output"
    DIVERGENCE = "divergence"


@dataclass(frozen=True)
class TraceEvent:
    """One event for library users: every field of the format as an attribute, `None` where left out.

    `number` is the place of the event in its trace, from 1. Fields the format does not know are in `extra`.
    """

    number: int = 0
    event_type: str = ""
    event_id: str | None = None
    seq: int | None = None
    timestamp: float | None = None
    parent_event_id: str | None = None
    execution_id: str | None = None
    session_id: str | None = None
    component: str | None = None
    component_name: str | None = None
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    status: str | None = None
    error: str | None = None
    error_type: str | None = None
    stack_trace: str | None = None
    duration_ms: float | None = None
    paused_before_ms: float | None = None
    tokens_used: int | None = None
    usage: dict[str, int] | None = None
    cost_estimate: float | None = None
    billing: dict[str, str] | None = None
    memory_usage_mb: float | None = None
    cpu_time_ms: float | None = None
    retry_count: int | None = None
    depends_on: list[str] | None = None
    step_type: str | None = None
    call_site: str | None = None
    thread: str | None = None
    task: str | None = None
    mac: str | None = None
    extra: Event = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the number and the fields that are not None."""
        shown = {"number": self.number} | self.to_dict()
        return f"TraceEvent({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @classmethod
    def from_dict(cls, event: Event, number: int = 0) -> TraceEvent:
        """Make a TraceEvent of an event as it is in a file; unknown fields go to `extra`."""
        known = {name: value for name, value in event.items() if name in _KNOWN}
        extra = {name: value for name, value in event.items() if name not in _KNOWN}
        return cls(number=number, extra=extra, **known)

    def to_dict(self) -> Event:
        """Return the event as it is in a file: without null fields, with unknown fields back in their place."""
        known = {name: getattr(self, name) for name in _KNOWN}
        return {name: value for name, value in known.items() if value is not None} | self.extra


_KNOWN = tuple(f.name for f in fields(TraceEvent) if f.name not in {"number", "extra"})
