"""Make a model call fail again as in a trace of another tool, which holds the exception of an SDK and no HTTP response.

The SDKs of OpenAI, Anthropic and Google print the status and the body of a response in the text of their exception. The
response that is made of these raises the same exception. An instrumentation writes one span for all attempts of an SDK,
so the response says that no further attempt is wanted.
"""

from __future__ import annotations

import ast
import base64
import re
from typing import Any, Final

from namel3ss_debug.traces.events import SPAN_FAILURES, Event
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.contract import Format
from namel3ss_debug.wire.faults import Effect, make_error_response

_STATUSES: Final = {
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "RequestTooLargeError": 413,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "ServiceUnavailableError": 503,
    "DeadlineExceededError": 504,
    "OverloadedError": 529,
}
"""Class of an exception of the SDKs of OpenAI and Anthropic -> the HTTP status that raises it."""

_NO_RESPONSE: Final = {
    "APITimeoutError": "timeout",
    "ReadTimeout": "timeout",
    "ConnectTimeout": "timeout",
    "TimeoutException": "timeout",
    "APIConnectionError": "connection",
    "ConnectError": "connection",
}
_NO_RESPONSE_TEXTS: Final = {"Request timed out": "timeout", "Connection error": "connection"}
"""How the texts of these exceptions begin; Langfuse keeps no class."""

# `Error code: 429 - {...}` of OpenAI and Anthropic, `429 RESOURCE_EXHAUSTED. {...}` of Google
_TEXT: Final = re.compile(r"(?:Error code: ([45]\d\d)(?: - )?|([45]\d\d) [A-Z_]+\. ?)(.*)", re.DOTALL)
_LONGEST_BODY: Final = 1 << 20
_NO_MORE_ATTEMPTS: Final = ("x-should-retry", "false")


def read_failure(end: Event) -> Effect | None:
    """Return how a call of a model failed; None for one that did not fail, or whose error says too little of it."""
    if end.get("status") not in SPAN_FAILURES:
        return None
    kind = (lenient.string(end.get("error_type")) or "").rpartition(".")[2]
    text = (lenient.string(end.get("error")) or "").strip()
    found = _TEXT.match(text) or _TEXT.match(text.removeprefix(f"{kind}: "))
    if found is not None:
        return Effect("status", message=found[3], status=int(found[1] or found[2]))
    status = _STATUSES.get(kind) or (int(kind) if re.fullmatch(r"[45]\d\d", kind) else 0)
    if status:
        return Effect("status", message=text, status=status)
    raised = _NO_RESPONSE.get(kind) or next(
        (raised for start, raised in _NO_RESPONSE_TEXTS.items() if text.startswith(start)), None
    )
    if raised is None:
        return None
    return Effect("error", "TimeoutError" if raised == "timeout" else "ConnectionError", text)


def failure_reply(effect: Effect, wire_format: Format | None) -> dict[str, Any]:
    """Return the reply that makes a call fail so: an HTTP response, or an exception of the HTTP client."""
    if effect.raised is not None:
        return {"http": {"status": 0, "raised": {"type": effect.raised, "text": effect.text}}}
    response = make_error_response(effect, wire_format)
    body = _read_body(effect.message)
    headers = [(name, value) for name, value in response.headers if name == "content-type"]
    raw = response.body if body is None else lenient.dump(body)
    return {
        "http": {
            "status": response.status,
            "reason": response.reason,
            "headers": [*headers, _NO_MORE_ATTEMPTS],
            "pieces": [base64.b64encode(raw).decode()],
        }
    }


def _read_body(text: str) -> dict[str, Any] | None:
    """Return the body that an SDK printed: a literal of Python, of OpenAI without the `error` around it."""
    if not text.startswith("{") or len(text) > _LONGEST_BODY:
        return None
    try:
        body = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        body = lenient.load(text)
    if not isinstance(body, dict):
        return None
    return body if "error" in body else {"error": body}
