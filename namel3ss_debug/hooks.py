"""The hooks a program uses to tell the tracer about itself; see `namel3ss_debug.capture.seams.functions.hooks`."""

from namel3ss_debug.capture.seams.functions.hooks import (
    instrument_agent,
    performance_marker,
    trace_agent_execution,
    trace_agent_turn,
    trace_chain_execution,
    trace_chain_step,
    trace_error,
    trace_llm_call,
    trace_memory_operation,
    trace_prompt_execution,
    trace_tool_call,
    trace_validation,
)
from namel3ss_debug.capture.seams.functions.profiling import DebugProfiler, MemoryTracker, profile_execution

__all__ = [
    "DebugProfiler",
    "MemoryTracker",
    "instrument_agent",
    "performance_marker",
    "profile_execution",
    "trace_agent_execution",
    "trace_agent_turn",
    "trace_chain_execution",
    "trace_chain_step",
    "trace_error",
    "trace_llm_call",
    "trace_memory_operation",
    "trace_prompt_execution",
    "trace_tool_call",
    "trace_validation",
]
