"""Converts token counts of providers whose input count, unlike that of the event format, excludes cached tokens.

Anthropic counts so, on every platform, and so does Bedrock (OpenTelemetry GenAI conventions,
`anthropic.inference.client`).
"""

from __future__ import annotations

from namel3ss_debug.wire import lenient


def with_cache(
    given: object, output: object, *, read: object, written: object, reasoning: object = None
) -> dict[str, int]:
    """The provider's counts under the names of the event format; a value that is not a count is left out."""
    uncached, cache_read, cache_written = lenient.count(given), lenient.count(read), lenient.count(written)
    counts = {
        "input_tokens": None if uncached is None else uncached + (cache_read or 0) + (cache_written or 0),
        "output_tokens": lenient.count(output),
        "cache_read_tokens": cache_read,
        "cache_write_tokens": cache_written,
        "reasoning_tokens": lenient.count(reasoning),
    }
    return lenient.known(counts)


def without_cache(usage: dict[str, int]) -> int:
    """The input count of such a provider, from counts under the names of the event format."""
    cached = usage.get("cache_read_tokens", 0) + usage.get("cache_write_tokens", 0)
    return max(0, usage.get("input_tokens", 0) - cached)
