"""Read a provider's report of a failed call, from the body of an HTTP error or from an event of a stream."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import lenient

_LONGEST_TEXT = 500
"""How many characters are kept of a body that is not JSON, such as the HTML page of a gateway."""


def decode_error(body: object) -> tuple[str, str] | None:
    """Return the type and message of a failure, or None if the body contains none.

    This reads the forms of OpenAI and Anthropic and of servers that imitate them (vLLM, FastAPI, Ollama), Gemini's list
    around an error, the bare message of Cohere and of Amazon, a joined body whose stream ended with an error event, and
    text.
    """
    if isinstance(body, str):
        return ("error", body.strip()[:_LONGEST_TEXT]) if body.strip() else None
    if isinstance(body, list):
        return next((failure for item in lenient.mappings(body) if (failure := decode_error(item))), None)
    report = lenient.mapping(body)
    error = report.get("error") or lenient.mapping(report.get("response")).get("error")
    if isinstance(error, str):
        return _find_kind(report) or "error", error
    if isinstance(error, dict):
        return _find_kind(error) or "error", lenient.string(error.get("message")) or _dump_short(error)
    if "error" in (report.get("type"), report.get("object")) and isinstance(report.get("message"), str):
        kind = _find_kind({name: value for name, value in report.items() if value != "error"})
        return kind or "error", report["message"]
    if report.get("detail"):
        detail = report["detail"]
        return "error", detail if isinstance(detail, str) else _dump_short(detail)
    message = report.get("message", report.get("Message"))
    return (lenient.string(report.get("__type")) or "error", message) if isinstance(message, str) else None


def decode_failure(body: object) -> tuple[str, str] | None:
    """Return the type and message of a failure in a response with a success status; None if it contains none.

    OpenRouter reports a provider's failure like this, and OpenAI a response whose status is `failed`. A `message` alone
    is no failure here, because gateways send "success" in it.
    """
    response = lenient.mapping(body)
    choice = next(iter(lenient.mappings(response.get("choices"))), {})
    error = response.get("error") or choice.get("error")
    return decode_error({"error": error}) if error else None


def _find_kind(error: dict[str, Any]) -> str | None:
    """Return the word for the kind of failure: its type, else its status if that is a word, else its code."""
    # Google sends the HTTP status as `code` and a word as `status`; a `status` that is a number tells less than a `code`.
    status_is_word = isinstance(error.get("status"), str)
    for name in ("type", "status", "code") if status_is_word else ("type", "code", "status"):
        value = error.get(name)
        if value is not None and value != "" and isinstance(value, (str, int)):
            return str(value)
    return None


def _dump_short(value: object) -> str:
    return lenient.dump(value).decode()[:_LONGEST_TEXT]
