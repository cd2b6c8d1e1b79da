"""namel3ss-debug: a time-travel debugger for AI-agent programs, in the terminal.

The public names; each is loaded when it is first used, so that the import alone costs next to nothing.
PYTEST_DONT_REWRITE: in a traced program this package is imported before pytest, which need not warn about that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.version import __version__

_HOMES = {
    "initialize_tracing": "capture.launch.start",
    "shutdown_tracing": "capture.launch.start",
    "get_global_tracer": "capture.core.switch",
    "ExecutionTracer": "capture.core.tracer",
    "OffTracer": "capture.core.switch",
    "trace_agent_execution": "capture.seams.functions.hooks",
    "trace_agent_turn": "capture.seams.functions.hooks",
    "trace_prompt_execution": "capture.seams.functions.hooks",
    "trace_chain_execution": "capture.seams.functions.hooks",
    "trace_chain_step": "capture.seams.functions.hooks",
    "trace_llm_call": "capture.seams.functions.hooks",
    "trace_tool_call": "capture.seams.functions.hooks",
    "trace_memory_operation": "capture.seams.functions.hooks",
    "trace_validation": "capture.seams.functions.hooks",
    "trace_error": "capture.seams.functions.hooks",
    "performance_marker": "capture.seams.functions.hooks",
    "instrument_agent": "capture.seams.functions.hooks",
    "observe": "capture.seams.functions.observing",
    "start_session": "capture.seams.functions.observing",
    "trace": "capture.seams.functions.observing",
    "circuit_breaker": "capture.seams.functions.circuits",
    "CircuitOpenError": "capture.seams.functions.circuits",
    "LimitExceeded": "errors",
    "limits": "capture.guards.limiting",
    "retry": "capture.guards.retrying",
    "continue_trace": "capture.seams.http.services",
    "TracedASGI": "capture.seams.http.services",
    "TracedWSGI": "capture.seams.http.services",
    "DebugProfiler": "capture.seams.functions.profiling",
    "profile_execution": "capture.seams.functions.profiling",
    "MemoryTracker": "capture.seams.functions.profiling",
    "AgentLogger": "capture.seams.logs.loggers",
    "LearningLogger": "capture.seams.logs.loggers",
    "PerformanceLogger": "capture.seams.logs.loggers",
    "TraceHandler": "capture.seams.logs.handlers",
    "CorrelationFilter": "capture.seams.logs.handlers",
    "structlog_processor": "capture.seams.logs.handlers",
    "loguru_sink": "capture.seams.logs.handlers",
    "measure_performance": "capture.seams.logs.measuring",
    "trace_performance": "capture.seams.logs.measuring",
    "trace_agent_action": "capture.seams.logs.measuring",
    "trace_learning_update": "capture.seams.logs.measuring",
    "trace_errors": "capture.seams.logs.measuring",
    "trace_context": "capture.seams.logs.measuring",
    "setup_logging": "capture.seams.logs.setup",
    "DebugConfiguration": "config",
    "TraceEvent": "traces.typed_events",
    "TraceEventType": "traces.typed_events",
    "read_trace": "inspection.selection",
    "load_spans": "importers.opening",
    "SpanTable": "traces.span_table",
    "TraceFilter": "inspection",
    "ExecutionReplayer": "replay.replayer",
    "ReplayBreakpoint": "replay.debugger.breakpoints",
    "TraceAnalyzer": "analysis.analyzer",
    "LogAnalyzer": "log_analysis",
    "analyze_session": "log_analysis",
    "debug_issue": "log_analysis",
    "check_trace": "analysis.checks.evaluation",
    "diff_traces": "analysis.diff.comparison",
}
"""Where each public name lives, below this package."""

__all__ = [
    "AgentLogger",
    "CircuitOpenError",
    "CorrelationFilter",
    "DebugConfiguration",
    "DebugProfiler",
    "ExecutionReplayer",
    "ExecutionTracer",
    "LearningLogger",
    "LimitExceeded",
    "LogAnalyzer",
    "MemoryTracker",
    "OffTracer",
    "PerformanceLogger",
    "ReplayBreakpoint",
    "SpanTable",
    "TraceAnalyzer",
    "TraceEvent",
    "TraceEventType",
    "TraceFilter",
    "TraceHandler",
    "TracedASGI",
    "TracedWSGI",
    "__version__",
    "analyze_session",
    "check_trace",
    "circuit_breaker",
    "continue_trace",
    "debug_issue",
    "diff_traces",
    "get_global_tracer",
    "initialize_tracing",
    "instrument_agent",
    "limits",
    "load_spans",
    "loguru_sink",
    "measure_performance",
    "observe",
    "performance_marker",
    "profile_execution",
    "read_trace",
    "retry",
    "setup_logging",
    "shutdown_tracing",
    "start_session",
    "structlog_processor",
    "trace",
    "trace_agent_action",
    "trace_agent_execution",
    "trace_agent_turn",
    "trace_chain_execution",
    "trace_chain_step",
    "trace_context",
    "trace_error",
    "trace_errors",
    "trace_learning_update",
    "trace_llm_call",
    "trace_memory_operation",
    "trace_performance",
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
    from namel3ss_debug.analysis.checks.evaluation import check_trace
    from namel3ss_debug.analysis.diff.comparison import diff_traces
    from namel3ss_debug.capture.core.switch import OffTracer, get_global_tracer
    from namel3ss_debug.capture.core.tracer import ExecutionTracer
    from namel3ss_debug.capture.guards.limiting import limits
    from namel3ss_debug.capture.guards.retrying import retry
    from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
    from namel3ss_debug.capture.seams.functions.circuits import CircuitOpenError, circuit_breaker
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
    from namel3ss_debug.capture.seams.functions.observing import observe, start_session, trace
    from namel3ss_debug.capture.seams.functions.profiling import (
        DebugProfiler,
        MemoryTracker,
        profile_execution,
    )
    from namel3ss_debug.capture.seams.http.services import TracedASGI, TracedWSGI, continue_trace
    from namel3ss_debug.capture.seams.logs.handlers import (
        CorrelationFilter,
        TraceHandler,
        loguru_sink,
        structlog_processor,
    )
    from namel3ss_debug.capture.seams.logs.loggers import AgentLogger, LearningLogger, PerformanceLogger
    from namel3ss_debug.capture.seams.logs.measuring import (
        measure_performance,
        trace_agent_action,
        trace_context,
        trace_errors,
        trace_learning_update,
        trace_performance,
    )
    from namel3ss_debug.capture.seams.logs.setup import setup_logging
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.errors import LimitExceeded
    from namel3ss_debug.importers.opening import load_spans
    from namel3ss_debug.inspection import TraceFilter
    from namel3ss_debug.inspection.selection import read_trace
    from namel3ss_debug.log_analysis import LogAnalyzer, analyze_session, debug_issue
    from namel3ss_debug.replay.debugger.breakpoints import ReplayBreakpoint
    from namel3ss_debug.replay.replayer import ExecutionReplayer
    from namel3ss_debug.traces.span_table import SpanTable
    from namel3ss_debug.traces.typed_events import TraceEvent, TraceEventType
