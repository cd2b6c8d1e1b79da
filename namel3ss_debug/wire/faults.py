"""Apply an injected fault to a call: make the provider's error response, cut an answer, or make a tool's exception.

An `Effect` is a plain description of a fault. The code that intercepts a call can apply it in any process, without
knowing who asked for it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple, get_args

from namel3ss_debug.errors import MockError
from namel3ss_debug.wire import lenient, openai_shared
from namel3ss_debug.wire.contract import Answer, Format, Json
from namel3ss_debug.wire.framing import SERVER_SENT, Framing

Kind = Literal["timeout", "error", "status", "latency", "truncate"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

API_ERRORS: Final = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The error types in the bodies of the APIs of OpenAI and Anthropic, and the HTTP status of each."""

RETRY_AFTER_SECONDS: Final = 1
"""The value of the `retry-after` header of a fault, where a provider sends one."""

_CODES = {
    "context_length_exceeded": "invalid_request_error",
    "rate_limit_exceeded": "requests",
    "insufficient_quota": "insufficient_quota",
}
"""The words that OpenAI sends as the `code` of an error -> the `type` that it sends with each."""

_RETRIED_STATUSES = {429, 503}
_LENGTH_REASONS = {"openai.responses": "max_output_tokens", "anthropic.messages": "max_tokens"}
"""Wire format -> its finish reason for an answer that reached the token limit; "length" in the others."""

_FINISH_REASONS = {
    "openai.responses": {"stop": "completed", "tool_calls": "completed", "length": "max_output_tokens"},
    "anthropic.messages": {
        "stop": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "content_filter": "refusal",
    },
}
_CONTENT_KEYS = ("fields", "items")
"""The keys of a trace's forms whose values are content; the others name types."""


def _can_be_made_from_text(kind: type[Exception]) -> bool:
    """Return whether an exception class is an error that can be made from a text and raised in any function."""
    if issubclass(kind, (Warning, StopIteration, StopAsyncIteration)):
        return False
    try:
        return str(kind("text")).strip("'") == "text"
    except TypeError:
        return False


BUILTIN_ERRORS: Final[dict[str, type[Exception]]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and _can_be_made_from_text(kind)
}
"""Name of a built-in exception that can be made from a text -> its class."""


@dataclass(frozen=True)
class Effect:
    """The effect of a fault on a call.

    Attributes:
        kind: `timeout`, `error`, `status`, `latency` or `truncate`.
        error_type: for an error, its type: a built-in exception, a class as `module.Class`, or one of `API_ERRORS`.
        message: the text of the error; "" for the usual one.
        status: the HTTP status of a response.
        delay_ms: how much later the call answers.
    """

    kind: Kind
    error_type: str = ""
    message: str = ""
    status: int = 0
    delay_ms: float = 0.0

    @property
    def replaces(self) -> bool:
        """Return whether it replaces the answer, so that the call is not made; otherwise the answer is late or cut."""
        return self.kind in ("timeout", "error", "status")

    @property
    def raised(self) -> Literal["timeout", "connection"] | None:
        """Return the kind of exception that an HTTP client raises; None if there is a response.

        Each client has its own classes for these: httpx has `ReadTimeout` and `ConnectError`.
        """
        if self.kind == "timeout":
            return "timeout"
        error_class = BUILTIN_ERRORS.get(self.error_type) if self.kind == "error" else None
        if error_class is None:
            return None
        if issubclass(error_class, TimeoutError):
            return "timeout"
        return "connection" if issubclass(error_class, ConnectionError) else None

    @property
    def text(self) -> str:
        """Return the text of the error: `message`, or the usual one."""
        if self.message:
            return self.message
        if self.kind == "timeout":
            return "timed out (fault)"
        return f"{_find_reason_phrase(self.status)} (fault)" if self.kind == "status" else "fault"

    def to_json(self) -> Json:
        """Return the effect as JSON, without fields that have their default."""
        return {name: value for name, value in vars(self).items() if value}

    @classmethod
    def from_json(cls, values: Json) -> Effect:
        """Read the JSON that `to_json` returned; raise `TypeError` for anything else."""
        return cls(**values)


class ErrorResponse(NamedTuple):
    """An HTTP response that reports a failure."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def make_error_response(effect: Effect, wire_format: Format | None) -> ErrorResponse:
    """Return the error response of a model's provider, or of any server.

    Args:
        effect: a status, or an error of one of `API_ERRORS`; others have no response, see `Effect.raised`.
        wire_format: the wire format of the request; None if it is no request to a model.
    """
    error_type = effect.error_type
    status = effect.status or API_ERRORS.get(error_type, 500)
    if wire_format is None:
        body: Json = {"error": {"status": status, "message": effect.text}}
    elif wire_format.codec.encode_error is openai_shared.encode_error:
        body = wire_format.codec.encode_error(status, _CODES.get(error_type, error_type), effect.text)
        if error_type in _CODES:
            body["error"]["code"] = error_type
    else:
        body = wire_format.codec.encode_error(status, "" if error_type in _CODES else error_type, effect.text)
    raw = lenient.dump(body)
    headers = [("content-type", "application/json"), ("content-length", str(len(raw)))]
    if status in _RETRIED_STATUSES:
        headers.append(("retry-after", str(RETRY_AFTER_SECONDS)))
    return ErrorResponse(status, _find_reason_phrase(status), tuple(headers), raw)


def make_exception(effect: Effect, find: Callable[[str], Any]) -> Exception:
    """Return the exception that a tool raises: a `TimeoutError` for a timeout, otherwise the exception of the error.

    An exception that cannot be made from a text is made without its `__init__`: it has its type and a text, but none of
    its own attributes.

    Args:
        effect: a timeout or an error.
        find: returns the object with a dotted name in a module that the program has imported. If there is none, it
            returns anything that is no exception class.

    Raises:
        MockError: the program has imported no such exception, or a tool cannot fail in this way.
    """
    if effect.kind == "timeout":
        return TimeoutError(effect.text)
    if effect.kind != "error":
        raise MockError(f"{effect.kind}: a tool cannot fail like this")
    error_class: Any = BUILTIN_ERRORS.get(effect.error_type) or find(effect.error_type)
    if not (isinstance(error_class, type) and issubclass(error_class, Exception)):
        raise MockError(f"{effect.error_type[:80]}: the program has imported no such exception")
    try:
        return error_class(effect.text)
    except Exception:
        return error_class.__new__(error_class, effect.text)


def _find_reason_phrase(status: int) -> str:
    if status == API_ERRORS["overloaded_error"]:
        return "Overloaded"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"


# --- cutting


def cut_text(text: str) -> str:
    """Return the first half of a text."""
    return text[: len(text) // 2]


def cut_answer(answer: Answer, format_name: str) -> Answer:
    """Return a model's answer as if it had reached the token limit: half of its text, with the finish reason for that.

    If it has no text, the arguments of its last tool call are cut and are no longer JSON. An answer with nothing to cut
    is returned unchanged.

    Args:
        answer: the whole answer.
        format_name: the wire format, which determines the word for the finish reason.
    """
    finish = _LENGTH_REASONS.get(format_name, "length")
    if answer.text:
        return answer._replace(text=cut_text(answer.text), tool_calls=[], finish_reason=finish)
    if answer.tool_calls:
        *earlier, last = answer.tool_calls
        arguments = cut_text(lenient.dump_arguments(last.get("arguments")))
        return answer._replace(tool_calls=[*earlier, last | {"arguments": arguments}], finish_reason=finish)
    if answer.refusal:
        return answer._replace(refusal=cut_text(answer.refusal), finish_reason=finish)
    return answer


def cut_response(body: bytes, wire_format: Format | None, request: Json) -> bytes:
    """Return the body of a response that was not streamed, with its answer cut; unchanged if there is nothing to cut.

    Args:
        body: the whole body.
        wire_format: the wire format of the request. If it is None, the request is not one to a model, and the longest
            text in the response is cut.
        request: the parsed JSON body of the request.
    """
    document = lenient.load(body)
    if wire_format is None:
        if document is None:
            return _cut_bytes(body)
        cut: Any = cut_value(document)
        return body if cut is document else lenient.dump(cut)
    answer = wire_format.codec.decode_response(document)
    shorter = cut_answer(answer, wire_format.name)
    if shorter is answer:
        return body
    fields = lenient.mapping(document)
    created = lenient.count(fields.get("created", fields.get("created_at"))) or 0
    response_id = answer.response_id or ""
    return lenient.dump(
        wire_format.codec.encode_response(shorter, request, response_id=response_id, created=created)
    )


def cut_stream(pieces: list[bytes], framing: Framing = SERVER_SENT) -> list[bytes]:
    """Return the first half of the events of a stream, as if the connection was lost: nothing marks the end."""
    events = [event for piece in pieces for event in framing.split(piece)]
    if len(events) > 1:
        return events[: len(events) // 2]
    return [cut for cut in map(_cut_bytes, events) if cut]


def _cut_bytes(piece: bytes) -> bytes:
    return piece[: len(piece) // 2]


def cut_value(value: Any) -> Any:
    """Return a tool's result with its longest text cut in half; unchanged if it contains no text."""
    if isinstance(value, str):
        return cut_text(value)
    path = _find_longest_text(value)
    if path is None:
        return value
    containers = [value]
    for key in path[:-1]:
        containers.append(containers[-1][key])
    changed: Any = cut_text(containers[-1][path[-1]])
    for container, key in zip(reversed(containers), reversed(path), strict=True):
        copy = container.copy()
        copy[key] = changed
        changed = copy
    return changed


def _find_longest_text(value: Any) -> tuple[Any, ...] | None:
    """Return the path of the longest text, or of the first of several; names of types in a trace's forms do not count."""
    best: tuple[Any, ...] | None = None
    longest = 1  # half of a text of one character is empty
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while waiting:
        path, current = waiting.pop()
        if isinstance(current, str) and len(current) > longest:
            best, longest = path, len(current)
        elif isinstance(current, dict):
            is_form = "$type" in current or "$truncated" in current
            inner = [(key, item) for key, item in current.items() if not is_form or key in _CONTENT_KEYS]
            waiting += [((*path, key), item) for key, item in reversed(inner)]
        elif isinstance(current, list):
            waiting += [((*path, index), current[index]) for index in range(len(current) - 1, -1, -1)]
    return best


def translate_finish_reason(reason: str | None, format_name: str) -> str | None:
    """Return the provider's own word for OpenAI's `stop`, `length` and `tool_calls`; return other words unchanged."""
    return reason if reason is None else _FINISH_REASONS.get(format_name, {}).get(reason, reason)
