"""Read and write the common parts of OpenAI's formats: texts in requests, token counts and errors.

Chat completions and embeddings send `prompt_tokens` and `completion_tokens`, responses send `input_tokens` and
`output_tokens`; the details have the same shape.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import billing, lenient, parts


def list_inputs(value: object) -> list[Any]:
    """Return the items to be embedded or completed, each of them a text or a list of token numbers."""
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [value] if value and all(isinstance(item, int) for item in value) else value


def make_part(item: object) -> parts.Part:
    """Make a part of one such item; a list of token numbers has the type `tokens`."""
    if isinstance(item, str):
        return parts.make_text(item)
    return parts.make_unknown(item) if isinstance(item, dict) else {"type": "tokens", "content": item}


def decode_usage(usage: object) -> dict[str, int]:
    """Return token counts under the names of the event format; empty if the provider sends none.

    OpenAI's input includes cached tokens and its output includes reasoning. Some servers count reasoning in the total
    but not in the output, whether they send its count (xAI) or not (Google); here it is added to the output. DeepSeek
    and Moonshot have other names for cached tokens, and LiteLLM for the cache of Claude.
    """
    fields = lenient.mapping(usage)
    input_details = lenient.mapping(fields.get("prompt_tokens_details") or fields.get("input_tokens_details"))
    output_details = lenient.mapping(
        fields.get("completion_tokens_details") or fields.get("output_tokens_details")
    )
    input_count = _find_count(fields, "prompt_tokens", "input_tokens")
    output_count = _find_count(fields, "completion_tokens", "output_tokens")
    reasoning = lenient.count(output_details.get("reasoning_tokens"))
    cached = lenient.count(input_details.get("cached_tokens"))
    if cached is None:
        cached = _find_count(fields, "prompt_cache_hit_tokens", "cached_tokens")
    if output_count is not None and input_count is not None:
        uncounted = (lenient.count(fields.get("total_tokens")) or 0) - input_count - output_count
        if uncounted > 0 and (uncounted == reasoning or (reasoning is None and not cached)):
            output_count += uncounted
    counts = {
        "input_tokens": input_count,
        "output_tokens": output_count,
        "cache_read_tokens": cached,
        "cache_write_tokens": _find_count(input_details, "cache_write_tokens", "cache_creation_tokens"),
        "reasoning_tokens": reasoning,
    }
    cache_lifetimes = lenient.mapping(input_details.get("cache_creation_token_details"))
    server_tools = lenient.mapping(fields.get("server_tool_use"))
    rare_counts = {
        "cache_write_1h_tokens": lenient.count(cache_lifetimes.get("ephemeral_1h_input_tokens")),
        "input_audio_tokens": lenient.count(input_details.get("audio_tokens")),
        "input_image_tokens": lenient.count(input_details.get("image_tokens")),
        "output_audio_tokens": lenient.count(output_details.get("audio_tokens")),
        "output_image_tokens": lenient.count(output_details.get("image_tokens")),
        "web_searches": lenient.count(server_tools.get("web_search_requests")),
    }
    return lenient.drop_none(counts) | billing.drop_zeros(rare_counts)


def decode_terms(response: dict[str, Any]) -> dict[str, str]:
    """Return the billing terms of a response, without the standard ones; see `billing`."""
    usage = lenient.mapping(response.get("usage"))
    input_details = lenient.mapping(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    lifetimes = lenient.mapping(input_details.get("cache_write_tokens_details"))
    twelve_hours = lenient.count(lifetimes.get("ttl_12h_tokens"))
    return billing.select_terms(
        service_tier=response.get("service_tier"),
        speed=usage.get("speed"),
        inference_geo=usage.get("inference_geo"),
        cache="12h" if twelve_hours else None,
    )


def _find_count(fields: dict[str, Any], *names: str) -> int | None:
    """Return the first of the named fields that is a count."""
    for name in names:
        value = lenient.count(fields.get(name))
        if value is not None:
            return value
    return None


def encode_usage(usage: dict[str, int], input_name: str, output_name: str) -> dict[str, Any]:
    """Return `usage` as OpenAI sends it.

    Args:
        usage: token counts under the names of the event format.
        input_name: the format's name for input, "prompt" or "input".
        output_name: the format's name for output, "completion" or "output".
    """
    input_count, output_count = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    details = {
        f"{input_name}_tokens_details": lenient.drop_empty(
            {
                "cached_tokens": usage.get("cache_read_tokens"),
                "cache_write_tokens": usage.get("cache_write_tokens"),
            }
        ),
        f"{output_name}_tokens_details": lenient.drop_empty(
            {"reasoning_tokens": usage.get("reasoning_tokens")}
        ),
    }
    totals = {
        f"{input_name}_tokens": input_count,
        f"{output_name}_tokens": output_count,
        "total_tokens": input_count + output_count,
    }
    return totals | lenient.drop_empty(details)


ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def encode_error(status: int, kind: str, message: str) -> dict[str, Any]:
    """Return the body of an HTTP error as OpenAI sends it."""
    error_type = kind or ERROR_TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": error_type, "param": None, "code": None}}
