"""The table of wire formats: how requests are recognised. A new format is a module that is a `Codec` and a row here."""

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

_REMEMBERED = 256
"""For how many paths the result is remembered: a program sends most of its requests to a few."""

# --- the keys by which a request is recognised


def _has_messages(body: Json) -> bool:
    return isinstance(body.get("messages"), list)


def _has_anthropic_messages(body: Json) -> bool:
    return _has_messages(body) and ("max_tokens" in body or "anthropic_version" in body)


def _has_hosted_messages(body: Json) -> bool:
    return _has_messages(body) and "anthropic_version" in body


def _has_limited_messages(body: Json) -> bool:
    """Whether it asks for an answer, which has a token limit; Vertex AI counts tokens with a request without one."""
    return _has_hosted_messages(body) and "max_tokens" in body


def _has_contents(body: Json) -> bool:
    return isinstance(body.get("contents"), (list, dict))


def _has_input(body: Json) -> bool:
    return body.get("input") is not None


def _asks_for_a_response(body: Json) -> bool:
    names = ("input", "prompt", "conversation", "previous_response_id")
    return any(body.get(name) is not None for name in names)


def _has_prompt(body: Json) -> bool:
    return isinstance(body.get("prompt"), str)


def _has_prompts(body: Json) -> bool:
    return isinstance(body.get("prompt"), (str, list))


# --- what is not in the request itself


def _with_path(path: str, request: Json) -> Json:
    """The request with model and `stream` by the path: `/model/MODEL/converse-stream`, `/models/MODEL:rawPredict`."""
    model, streams = _told_by(path)
    return {"model": model, "stream": streams, **request}


@lru_cache(maxsize=_REMEMBERED)
def _told_by(path: str) -> tuple[str, bool]:
    """The model in a path, and whether its answers are streamed."""
    head, _, operation = path.rpartition("/")
    if ":" in operation:
        model, _, operation = operation.rpartition(":")
    else:
        model = head.rpartition("/model/")[2]
    return unquote(model), "stream" in operation.lower()


def _with_agent(path: str, request: Json) -> Json:
    """The request with the agent as the model, for an agent of Mistral, which has a model of its own."""
    return {"model": request["agent_id"], **request} if "agent_id" in request else _deployed(path, request)


def _deployed(path: str, request: Json) -> Json:
    """The request with the Azure deployment in the path, `/deployments/NAME/...`, as the model, where it names none."""
    name = path.rpartition("/deployments/")[2].partition("/")[0] if "/deployments/" in path else ""
    return {**request, "model": unquote(name)} if name and not request.get("model") else request


def _with_stream(path: str, request: Json) -> Json:
    """The request with `stream`, which defaults to true."""
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
        complete=_with_agent,
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
        _has_prompts,
        openai_completions,
        complete=_deployed,
    ),
    # A request to sum up a conversation looks like that for the next response, and its answer has a usage.
    Format(
        "openai.responses",
        "openai",
        "chat",
        ("/responses", "/responses/compact"),
        _asks_for_a_response,
        openai_responses,
    ),
    Format(
        "openai.embeddings",
        "openai",
        "embeddings",
        ("/embeddings",),
        _has_input,
        openai_embeddings,
        complete=_deployed,
    ),
    Format(
        "anthropic.messages", "anthropic", "chat", ("/messages",), _has_anthropic_messages, anthropic_messages
    ),
    # Bedrock puts Anthropic's events into its own event stream, Vertex AI sends them as they are.
    Format(
        "anthropic.hosted",
        "anthropic",
        "chat",
        ("/invoke", "/invoke-with-response-stream"),
        _has_hosted_messages,
        anthropic_bedrock,
        complete=_with_path,
        stream_type="application/vnd.amazon.eventstream",
    ),
    Format(
        "anthropic.hosted",
        "anthropic",
        "chat",
        (":rawPredict", ":streamRawPredict"),
        _has_limited_messages,
        anthropic_messages,
        complete=_with_path,
    ),
    Format(
        "gemini.generate_content",
        "gcp.gen_ai",
        "chat",
        (":generateContent", ":streamGenerateContent"),
        _has_contents,
        gemini,
        complete=_with_path,
    ),
    Format(
        "bedrock.converse",
        "aws.bedrock",
        "chat",
        ("/converse", "/converse-stream"),
        _has_messages,
        bedrock_converse,
        complete=_with_path,
        stream_type="application/vnd.amazon.eventstream",
    ),
    Format(
        "ollama.chat",
        "ollama",
        "chat",
        ("/api/chat",),
        _has_messages,
        ollama_chat,
        complete=_with_stream,
        stream_type="application/x-ndjson",
    ),
    Format(
        "ollama.generate",
        "ollama",
        "text_completion",
        ("/api/generate",),
        _has_prompt,
        ollama_generate,
        complete=_with_stream,
        stream_type="application/x-ndjson",
    ),
    Format("cohere.chat", "cohere", "chat", ("/v2/chat",), _has_messages, cohere_chat),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""Every wire format by its name; of two with the same name, which only write answers differently, the last."""


def recognise(path: str, body: object) -> Format | None:
    """The format of a request, by the end of its URL path and the keys of its body, or None.

    The host never counts: Azure, vLLM, gateways and proxies use these formats under any host and prefix.

    Args:
        path: The path of the URL; a query behind it is ignored.
        body: The parsed JSON of the request, None where it has none.
    """
    if not isinstance(body, dict):
        return None
    for known in _spoken_at(path):
        if known.accepts(body):
            return known
    return None


@lru_cache(maxsize=_REMEMBERED)
def _spoken_at(path: str) -> tuple[Format, ...]:
    """The formats with a path ending that fits this path."""
    plain = path.partition("?")[0].rstrip("/")
    return tuple(known for known in _ROWS if plain.endswith(known.paths))
