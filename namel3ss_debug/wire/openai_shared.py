"""Common parts of OpenAI's formats: texts in requests, token counts and failures.

Chat completions and embeddings send `prompt_tokens` and `completion_tokens`, responses send `input_tokens`
and `output_tokens`; the details have the same shape.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import billing, lenient, parts


def texts_or_tokens(given: object) -> list[Any]:
    """The items to be embedded or completed, each of them a text or a list of token numbers."""
    if not isinstance(given, list):
        return [] if given is None else [given]
    return [given] if given and all(isinstance(item, int) for item in given) else given


def text_or_tokens(item: object) -> parts.Part:
    """One such item as a part; a list of token numbers has the type `tokens`."""
    if isinstance(item, str):
        return parts.make_text(item)
    return parts.make_unknown(item) if isinstance(item, dict) else {"type": "tokens", "content": item}


def decode_usage(usage: object) -> dict[str, int]:
    """Token counts under the names of the event format; empty where the provider sends none.

    OpenAI's input includes cached tokens and its output includes reasoning. Some servers count reasoning only in the
    total and not in the output, whether they send its count (xAI) or not (Google): for these it is added here. The
    names of DeepSeek and Moonshot for cached tokens are read too, and LiteLLM's counts for Claude's cache.
    """
    told = lenient.mapping(usage)
    into = lenient.mapping(told.get("prompt_tokens_details") or told.get("input_tokens_details"))
    out_of = lenient.mapping(told.get("completion_tokens_details") or told.get("output_tokens_details"))
    given = _first(told, "prompt_tokens", "input_tokens")
    output = _first(told, "completion_tokens", "output_tokens")
    reasoning = lenient.count(out_of.get("reasoning_tokens"))
    cached = lenient.count(into.get("cached_tokens"))
    if cached is None:
        cached = _first(told, "prompt_cache_hit_tokens", "cached_tokens")
    if output is not None and given is not None:
        apart = (lenient.count(told.get("total_tokens")) or 0) - given - output
        if apart > 0 and (apart == reasoning or (reasoning is None and not cached)):
            output += apart
    counts = {
        "input_tokens": given,
        "output_tokens": output,
        "cache_read_tokens": cached,
        "cache_write_tokens": _first(into, "cache_write_tokens", "cache_creation_tokens"),
        "reasoning_tokens": reasoning,
    }
    kept = lenient.mapping(into.get("cache_creation_token_details"))
    searched = lenient.mapping(told.get("server_tool_use"))
    few = {
        "cache_write_1h_tokens": lenient.count(kept.get("ephemeral_1h_input_tokens")),
        "input_audio_tokens": lenient.count(into.get("audio_tokens")),
        "input_image_tokens": lenient.count(into.get("image_tokens")),
        "output_audio_tokens": lenient.count(out_of.get("audio_tokens")),
        "output_image_tokens": lenient.count(out_of.get("image_tokens")),
        "web_searches": lenient.count(searched.get("web_search_requests")),
    }
    return lenient.drop_none(counts) | billing.drop_zeros(few)


def decode_terms(response: dict[str, Any]) -> dict[str, str]:
    """The terms other than the standard ones on which a response was billed; see `billing`."""
    usage = lenient.mapping(response.get("usage"))
    into = lenient.mapping(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    lifetimes = lenient.mapping(into.get("cache_write_tokens_details"))
    long = lenient.count(lifetimes.get("ttl_12h_tokens"))
    return billing.select_terms(
        service_tier=response.get("service_tier"),
        speed=usage.get("speed"),
        inference_geo=usage.get("inference_geo"),
        cache="12h" if long else None,
    )


def _first(told: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = lenient.count(told.get(name))
        if value is not None:
            return value
    return None


def encode_usage(usage: dict[str, int], given: str, output: str) -> dict[str, Any]:
    """`usage` as OpenAI sends it; `given` and `output` are the format's names ("prompt", "completion")."""
    reads, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    parts = {
        f"{given}_tokens_details": {
            "cached_tokens": usage.get("cache_read_tokens"),
            "cache_write_tokens": usage.get("cache_write_tokens"),
        },
        f"{output}_tokens_details": {"reasoning_tokens": usage.get("reasoning_tokens")},
    }
    details = {name: lenient.drop_empty(counts) for name, counts in parts.items()}
    totals = {f"{given}_tokens": reads, f"{output}_tokens": made, "total_tokens": reads + made}
    return totals | lenient.drop_empty(details)


ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def encode_error(status: int, kind: str, message: str) -> dict[str, Any]:
    """The body of an HTTP error as OpenAI sends it."""
    word = kind or ERROR_KINDS.get(status, "server_error")
    return {"error": {"message": message, "type": word, "param": None, "code": None}}
