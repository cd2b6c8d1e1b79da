"""The fields of an event, which traces, expressions and documents share.

This module imports nothing, so that the expression language knows the fields without knowing traces.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field of an event: its name, its JSON type, and its meaning."""

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
        "paused_before_ms",
        "float",
        "for how long a debugger had paused its process before this event, in all; left out below 100",
    ),
    Field("tokens_used", "int", "all tokens of the call"),
    Field(
        "usage",
        "object",
        "input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens; where there are any, "
        "cache_write_1h_tokens (of those written, kept for an hour), input_audio_tokens output_audio_tokens "
        "cache_audio_read_tokens (the same of image and video), web_searches and file_searches of the provider",
    ),
    Field("cost_estimate", "float", "US dollars, as the program or the server reports; else left out"),
    Field(
        "billing",
        "object",
        "on what other terms than its standard ones the provider billed the call, in its words: service_tier, speed, "
        "inference_geo, latency, cache, and as tool another model that took part",
    ),
    Field(
        "memory_usage_mb",
        "float",
        "resident memory of the process, where enabled; spans that end within 2 ms share a reading, short ones within 5 ms",
    ),
    Field("cpu_time_ms", "float", "CPU time the process spent during the span, where enabled"),
    Field("retry_count", "int", "how many earlier attempts of the same call there were"),
    Field("depends_on", "list", "ids of the events it waited for, if the program reports them"),
    Field("step_type", "string", "of a chain step: tool_call decision condition loop parallel merge"),
    Field("call_site", "string", "path.py:42 in the user's own code, In[5]:3 in a cell"),
    Field("thread", "string", "where it ran, when not the main thread"),
    Field("task", "string", "the asyncio task it ran in, when there was one"),
    Field("mac", "string", "the signature of the line, by a key of the user who recorded it"),
)

FIELD_NAMES = frozenset(field.name for field in FIELDS)
