"""namel3ss-debug: a time-travel debugger for AI-agent programs, in the terminal.

What people import; each name is loaded when it is first used, so that the import alone costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "initialize_tracing": "capture.start",
    "shutdown_tracing": "capture.start",
    "get_global_tracer": "capture.switch",
    "ExecutionTracer": "capture.tracer",
    "trace_agent_execution": "capture.hooks",
    "trace_agent_turn": "capture.hooks",
    "trace_prompt_execution": "capture.hooks",
    "trace_chain_execution": "capture.hooks",
    "trace_chain_step": "capture.hooks",
    "trace_llm_call": "capture.hooks",
    "trace_tool_call": "capture.hooks",
    "trace_memory_operation": "capture.hooks",
    "trace_validation": "capture.hooks",
    "trace_error": "capture.hooks",
    "performance_marker": "capture.hooks",
    "instrument_agent": "capture.hooks",
    "DebugProfiler": "capture.profiling",
    "profile_execution": "capture.profiling",
    "MemoryTracker": "capture.profiling",
    "DebugConfiguration": "config",
    "TraceEvent": "traces.events",
    "TraceEventType": "traces.events",
    "read_trace": "traces.reader",
    "TraceFilter": "inspection",
    "ExecutionReplayer": "replay.replayer",
    "ReplayBreakpoint": "replay.recording.breakpoints",
    "TraceAnalyzer": "analysis.analyzer",
}
"""Where each public name lives, below this package."""

__all__ = [
    "DebugConfiguration",
    "DebugProfiler",
    "ExecutionReplayer",
    "ExecutionTracer",
    "MemoryTracker",
    "ReplayBreakpoint",
    "TraceAnalyzer",
    "TraceEvent",
    "TraceEventType",
    "TraceFilter",
    "__version__",
    "get_global_tracer",
    "initialize_tracing",
    "instrument_agent",
    "performance_marker",
    "profile_execution",
    "read_trace",
    "shutdown_tracing",
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


def __getattr__(name: str) -> Any:
    """Load a public name from its home when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if TYPE_CHECKING:
    from namel3ss_debug.analysis.analyzer import TraceAnalyzer
    from namel3ss_debug.capture.hooks import (
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
    from namel3ss_debug.capture.profiling import DebugProfiler, MemoryTracker, profile_execution
    from namel3ss_debug.capture.start import initialize_tracing, shutdown_tracing
    from namel3ss_debug.capture.switch import get_global_tracer
    from namel3ss_debug.capture.tracer import ExecutionTracer
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.inspection import TraceFilter
    from namel3ss_debug.replay.recording.breakpoints import ReplayBreakpoint
    from namel3ss_debug.replay.replayer import ExecutionReplayer
    from namel3ss_debug.traces.events import TraceEvent, TraceEventType
    from namel3ss_debug.traces.reader import read_trace
