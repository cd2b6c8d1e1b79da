"""Convert token counts of providers whose input count, unlike that of the event format, excludes cached tokens.

Anthropic counts like this on every platform, and so does Bedrock (OpenTelemetry GenAI conventions,
`anthropic.inference.client`).
"""

from __future__ import annotations

from namel3ss_debug.wire import lenient


def add_cache(
    uncached: object, output: object, *, read: object, written: object, reasoning: object = None
) -> dict[str, int]:
    """Return the provider's counts under the names of the event format, without values that are not counts."""
    uncached_input, cache_read, cache_written = map(lenient.count, (uncached, read, written))
    cached = (cache_read or 0) + (cache_written or 0)
    counts = {
        "input_tokens": None if uncached_input is None else uncached_input + cached,
        "output_tokens": lenient.count(output),
        "cache_read_tokens": cache_read,
        "cache_write_tokens": cache_written,
        "reasoning_tokens": lenient.count(reasoning),
    }
    return lenient.drop_none(counts)


def subtract_cache(usage: dict[str, int]) -> int:
    """Return the input count of such a provider, from counts under the names of the event format."""
    cached = usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    return max(0, usage.get("input_tokens", 0) - cached)
