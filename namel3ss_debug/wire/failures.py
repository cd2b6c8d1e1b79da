"""Reads a provider's report of a failed call, from the body of an HTTP error or from an event of a stream."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import lenient

_LONGEST_TEXT = 500
"""How many characters are kept of a body that is not JSON, such as a gateway's HTML page."""


def decode_error(body: object) -> tuple[str, str] | None:
    """The type and message of a failure, or None where the body contains none.

    Reads the forms of OpenAI and Anthropic, those of servers that imitate them (vLLM, FastAPI, Ollama, the list around
    an error that Gemini sends), the bare message of Cohere and of Amazon, a joined body whose stream ended with an
    error event, and text.
    """
    if isinstance(body, str):
        return ("error", body.strip()[:_LONGEST_TEXT]) if body.strip() else None
    if isinstance(body, list):
        return next((found for item in lenient.mappings(body) if (found := decode_error(item))), None)
    whole = lenient.mapping(body)
    failed = whole.get("error") or lenient.mapping(whole.get("response")).get("error")
    if isinstance(failed, str):
        return _kind(whole) or "error", failed
    if isinstance(failed, dict):
        return _kind(failed) or "error", lenient.string(failed.get("message")) or _shown(failed)
    if "error" in (whole.get("type"), whole.get("object")) and isinstance(whole.get("message"), str):
        kind = _kind({name: value for name, value in whole.items() if value != "error"})
        return kind or "error", whole["message"]
    if whole.get("detail"):
        detail = whole["detail"]
        return "error", detail if isinstance(detail, str) else _shown(detail)
    words = whole.get("message", whole.get("Message"))
    return (lenient.string(whole.get("__type")) or "error", words) if isinstance(words, str) else None


def decode_failure(body: object) -> tuple[str, str] | None:
    """The type and message of a failure in a response with a status of success; None where it contains none.

    OpenRouter reports a provider's failure this way, and OpenAI a response whose status is `failed`. A `message` alone
    is no failure here: gateways send "success" in it.
    """
    whole = lenient.mapping(body)
    choice = next(iter(lenient.mappings(whole.get("choices"))), {})
    failed = whole.get("error") or choice.get("error")
    return decode_error({"error": failed}) if failed else None


def _kind(error: dict[str, Any]) -> str | None:
    """The word for the kind of failure: its type, else its status where that is a word, else its code."""
    worded = isinstance(error.get("status"), str)
    for name in ("type", "status", "code") if worded else ("type", "code", "status"):
        value = error.get(name)
        if value is not None and value != "" and isinstance(value, (str, int)):
            return str(value)
    return None


def _shown(value: object) -> str:
    return lenient.dump(value).decode()[:_LONGEST_TEXT]
