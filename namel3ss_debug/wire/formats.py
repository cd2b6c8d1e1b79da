"""The table of wire formats. A new one is a module with a `FORMAT` and one line here."""

from __future__ import annotations

from namel3ss_debug.wire import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    gemini,
    ollama,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from namel3ss_debug.wire.contract import Format

FORMATS: dict[str, Format] = {
    "openai.chat": openai_chat.FORMAT,
    "openai.responses": openai_responses.FORMAT,
    "openai.embeddings": openai_embeddings.FORMAT,
    "anthropic.messages": anthropic_messages.FORMAT,
    "anthropic.hosted": anthropic_messages.HOSTED,
    "gemini.generate_content": gemini.FORMAT,
    "bedrock.converse": bedrock_converse.FORMAT,
    "ollama.chat": ollama.CHAT,
    "ollama.generate": ollama.GENERATE,
    "cohere.chat": cohere_chat.FORMAT,
}
"""Every wire format by its name, in the order in which a request is compared with them."""


def recognise(path: str, body: object) -> Format | None:
    """The format a request speaks, by the end of its URL path and the keys of its body, or None.

    The host never counts: Azure, vLLM, gateways and proxies speak these formats under any host and prefix.

    Args:
        path: The path of the URL; a query behind it is ignored.
        body: The parsed JSON of the request, None where it has none.
    """
    plain = path.partition("?")[0].rstrip("/")
    return next((known for known in FORMATS.values() if known.matches(plain, body)), None)
