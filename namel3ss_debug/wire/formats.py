"""The table of wire formats, by which requests are recognised. A new format is a module that is a `Codec`, and a row."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

from namel3ss_debug.wire import (
    anthropic_bedrock,
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    mistral_fim,
    ollama_chat,
    ollama_generate,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from namel3ss_debug.wire.contract import Format, Json

_CACHED_PATHS = 256
"""How many paths are cached: a program sends most of its requests to a few."""

# --- the keys by which a request is recognised


def _has_messages(body: Json) -> bool:
    return isinstance(body.get("messages"), list)


def _has_hosted_messages(body: Json) -> bool:
    return _has_messages(body) and "anthropic_version" in body


def _has_input_or_conversation(body: Json) -> bool:
    names = ("input", "prompt", "conversation", "previous_response_id")
    return any(body.get(name) is not None for name in names)


def _has_prompt(body: Json) -> bool:
    return isinstance(body.get("prompt"), str)


# --- fields that are not in the request itself


def _add_model_and_stream(path: str, request: Json) -> Json:
    """Return the request with model and `stream` by its path: `/model/X/converse-stream` or `/models/X:rawPredict`."""
    model, is_stream = _parse_path(path)
    return {"model": model, "stream": is_stream, **request}


@lru_cache(maxsize=_CACHED_PATHS)
def _parse_path(path: str) -> tuple[str, bool]:
    """Return the model in a path, and whether its answers are streamed."""
    head, _, operation = path.rpartition("/")
    if ":" in operation:
        model, _, operation = operation.rpartition(":")
    else:
        model = head.rpartition("/model/")[2]
    return unquote(model), "stream" in operation.lower()


def _add_agent_or_deployment(path: str, request: Json) -> Json:
    """Return the request with an agent of Mistral as the model, because the agent's own model is not in the request."""
    return (
        {"model": request["agent_id"], **request} if "agent_id" in request else _add_deployment(path, request)
    )


def _add_deployment(path: str, request: Json) -> Json:
    """Return the request with the Azure deployment in the path, `/deployments/NAME/...`, as the model if it names none."""
    name = path.rpartition("/deployments/")[2].partition("/")[0] if "/deployments/" in path else ""
    return {**request, "model": unquote(name)} if name and not request.get("model") else request


def _add_default_stream(path: str, request: Json) -> Json:
    """Return the request with `stream`, which defaults to true."""
    del path
    return {"stream": True, **request}


_ROWS = (
    Format(
        "openai.chat",
        "openai",
        "chat",
        ("/chat/completions", "/agents/completions"),
        _has_messages,
        openai_chat,
        complete=_add_agent_or_deployment,
        encode_request=openai_chat.encode_request,
    ),
    Format(
        "mistral.fim",
        "mistral_ai",
        "text_completion",
        ("/fim/completions",),
        _has_prompt,
        mistral_fim,
    ),
    Format(
        "openai.completions",
        "openai",
        "text_completion",
        ("/completions",),
        lambda body: isinstance(body.get("prompt"), (str, list)),
        openai_completions,
        complete=_add_deployment,
    ),
    # A request to compact a conversation has the form of one for the next response, and its answer has a usage too.
    Format(
        "openai.responses",
        "openai",
        "chat",
        ("/responses", "/responses/compact"),
        _has_input_or_conversation,
        openai_responses,
        encode_request=openai_responses.encode_request,
        call_end=rb"response\.(?:output_item\.done|completed)",
    ),
    Format(
        "openai.embeddings",
        "openai",
        "embeddings",
        ("/embeddings",),
        lambda body: body.get("input") is not None,
        openai_embeddings,
        complete=_add_deployment,
    ),
    Format(
        "anthropic.messages",
        "anthropic",
        "chat",
        ("/messages",),
        lambda body: _has_messages(body) and ("max_tokens" in body or "anthropic_version" in body),
        anthropic_messages,
        encode_request=anthropic_messages.encode_request,
        call_end=b"content_block_stop",
    ),
    # Bedrock puts Anthropic's events into its own event stream, Vertex AI sends them as they are.
    Format(
        "anthropic.hosted",
        "anthropic",
        "chat",
        ("/invoke", "/invoke-with-response-stream"),
        _has_hosted_messages,
        anthropic_bedrock,
        complete=_add_model_and_stream,
        call_end=b"content_block_stop",
        stream_type="application/vnd.amazon.eventstream",
    ),
    Format(
        "anthropic.hosted",
        "anthropic",
        "chat",
        (":rawPredict", ":streamRawPredict"),
        # Vertex AI counts tokens with a request that has no token limit.
        lambda body: _has_hosted_messages(body) and "max_tokens" in body,
        anthropic_messages,
        complete=_add_model_and_stream,
    ),
    Format(
        "gemini.generate_content",
        "gcp.gen_ai",
        "chat",
        (":generateContent", ":streamGenerateContent"),
        lambda body: isinstance(body.get("contents"), (list, dict)),
        gemini,
        complete=_add_model_and_stream,
        call_end=b'"functionCall"',
    ),
    Format(
        "bedrock.converse",
        "aws.bedrock",
        "chat",
        ("/converse", "/converse-stream"),
        _has_messages,
        bedrock_converse,
        complete=_add_model_and_stream,
        call_end=b"contentBlockStop",
        stream_type="application/vnd.amazon.eventstream",
    ),
    Format(
        "ollama.chat",
        "ollama",
        "chat",
        ("/api/chat",),
        _has_messages,
        ollama_chat,
        complete=_add_default_stream,
        call_end=b'"tool_calls"',
        stream_type="application/x-ndjson",
    ),
    Format(
        "ollama.generate",
        "ollama",
        "text_completion",
        ("/api/generate",),
        _has_prompt,
        ollama_generate,
        complete=_add_default_stream,
        stream_type="application/x-ndjson",
    ),
    Format(
        "cohere.chat", "cohere", "chat", ("/v2/chat",), _has_messages, cohere_chat, call_end=b"tool-call-end"
    ),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every wire format by its name. Two rows have the same name because they differ only in writing; the last one counts."""


def recognise(path: str, body: object) -> Format | None:
    """Return the format of a request, by the end of its URL path and the keys of its body, or None.

    The host does not count: Azure, vLLM, gateways and proxies use these formats under any host and prefix.

    Args:
        path: The path of the URL; a query behind it is ignored.
        body: The parsed JSON of the request, None if it has none.
    """
    if not isinstance(body, dict):
        return None
    for wire_format in _find_by_path(path):
        if wire_format.accepts(body):
            return wire_format
    return None


@lru_cache(maxsize=_CACHED_PATHS)
def _find_by_path(path: str) -> tuple[Format, ...]:
    """Return the formats with a path ending that fits this path."""
    plain = path.partition("?")[0].rstrip("/")
    return tuple(row for row in _ROWS if plain.endswith(row.paths))
