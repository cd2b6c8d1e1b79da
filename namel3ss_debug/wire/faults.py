"""What an injected fault does to a call: the response of a provider, what is cut, and the exception of a tool.

These are plain descriptions, which the code that intercepts a call can apply in any process, without knowing who asked
for the fault.
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
"""The words that OpenAI sends as the `code` of an error, and the `type` that it sends with each."""

_RETRIED = {429, 503}
_CUT_SHORT = {"openai.responses": "max_output_tokens", "anthropic.messages": "max_tokens"}
_FINISHED = {
    "openai.responses": {"stop": "completed", "tool_calls": "completed", "length": "max_output_tokens"},
    "anthropic.messages": {
        "stop": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "content_filter": "refusal",
    },
}
_HELD = ("fields", "items")
_TIMED_OUT = "timed out (fault)"


def _of_one_text(kind: type[Exception]) -> bool:
    """Whether an exception class is an error that can be made from a text and raised in any function."""
    if issubclass(kind, (Warning, StopIteration, StopAsyncIteration)):
        return False
    try:
        return str(kind("text")).strip("'") == "text"
    except TypeError:
        return False


BUILTIN_ERRORS: Final[dict[str, type[Exception]]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and _of_one_text(kind)
}
"""The built-in exceptions that can be made from a text, by name."""


@dataclass(frozen=True)
class Effect:
    """What a fault does to a call.

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
        """Whether it replaces the answer, so that the call is not made; otherwise the answer is late or cut."""
        return self.kind in ("timeout", "error", "status")

    @property
    def raised(self) -> Literal["timeout", "connection"] | None:
        """The kind of exception that an HTTP client raises; None where there is a response.

        Each client has its own classes for these: httpx has `ReadTimeout` and `ConnectError`.
        """
        if self.kind == "timeout":
            return "timeout"
        found = BUILTIN_ERRORS.get(self.error_type) if self.kind == "error" else None
        if found is None:
            return None
        if issubclass(found, TimeoutError):
            return "timeout"
        return "connection" if issubclass(found, ConnectionError) else None

    @property
    def text(self) -> str:
        """The text of the error: the given one, or the usual one."""
        if self.message:
            return self.message
        if self.kind == "timeout":
            return _TIMED_OUT
        return f"{_reason(self.status)} (fault)" if self.kind == "status" else "fault"

    def to_json(self) -> Json:
        """The effect as JSON, without fields that have their default."""
        return {name: value for name, value in vars(self).items() if value}

    @classmethod
    def from_json(cls, values: Json) -> Effect:
        """Read what `to_json` wrote; raises `TypeError` for anything else."""
        return cls(**values)


class Failure(NamedTuple):
    """An HTTP response that reports a failure."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def failure_of(effect: Effect, spoken: Format | None) -> Failure:
    """The error response of a model's provider, or of any server.

    Args:
        effect: a status, or an error of one of `API_ERRORS`; others have no response, see `Effect.raised`.
        spoken: the wire format of the request; None where it is no request to a model.
    """
    kind = effect.error_type
    status = effect.status or API_ERRORS.get(kind, 500)
    if spoken is None:
        body: Json = {"error": {"status": status, "message": effect.text}}
    elif spoken.codec.encode_error is openai_shared.encode_error:
        body = spoken.codec.encode_error(status, _CODES.get(kind, kind), effect.text)
        if kind in _CODES:
            body["error"]["code"] = kind
    else:
        body = spoken.codec.encode_error(status, "" if kind in _CODES else kind, effect.text)
    raw = lenient.dump(body)
    headers = [("content-type", "application/json"), ("content-length", str(len(raw)))]
    if status in _RETRIED:
        headers.append(("retry-after", str(RETRY_AFTER_SECONDS)))
    return Failure(status, _reason(status), tuple(headers), raw)


def error_of(effect: Effect, find: Callable[[str], Any]) -> Exception:
    """The exception that a tool raises: a `TimeoutError` for a timeout, else that of the error.

    An exception that cannot be made from a text is made without its `__init__`: it has its type and a text, but none of
    its own attributes.

    Args:
        effect: what goes wrong.
        find: returns the object with a dotted name, in a module that the program has imported; anything else where
            there is none.

    Raises:
        MockError: the program has imported no such exception, or a call of this kind fails in another way.
    """
    if effect.kind == "timeout":
        return TimeoutError(effect.text)
    if effect.kind != "error":
        raise MockError(f"{effect.kind}: this is nothing that a tool raises")
    kind: Any = BUILTIN_ERRORS.get(effect.error_type) or find(effect.error_type)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise MockError(f"{effect.error_type[:80]}: the program has imported no such exception")
    try:
        return kind(effect.text)
    except Exception:
        return kind.__new__(kind, effect.text)


def _reason(status: int) -> str:
    if status == API_ERRORS["overloaded_error"]:
        return "Overloaded"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"


# --- what is cut


def cut_text(text: str) -> str:
    """The first half of a text."""
    return text[: len(text) // 2]


def cut_answer(answer: Answer, format_name: str) -> Answer:
    """A model's answer as if it had reached the token limit: half of its text, with the finish reason for that.

    Where it has no text, the arguments of its last tool call are cut, and are not JSON any more. An answer with nothing
    to cut is returned unchanged.

    Args:
        answer: the whole answer.
        format_name: the wire format, whose word for the finish reason is used.
    """
    finish = _CUT_SHORT.get(format_name, "length")
    if answer.text:
        return answer._replace(text=cut_text(answer.text), tool_calls=[], finish_reason=finish)
    if answer.tool_calls:
        *earlier, last = answer.tool_calls
        arguments = cut_text(lenient.dump_arguments(last.get("arguments")))
        return answer._replace(tool_calls=[*earlier, last | {"arguments": arguments}], finish_reason=finish)
    if answer.refusal:
        return answer._replace(refusal=cut_text(answer.refusal), finish_reason=finish)
    return answer


def cut_response(body: bytes, spoken: Format | None, request: Json) -> bytes:
    """The body of a response that was not streamed, with its answer cut; unchanged where there is nothing to cut.

    Args:
        body: the body.
        spoken: the wire format of the request; None where it is no request to a model: then the longest text in the
            response is cut.
        request: the parsed JSON body of the request.
    """
    whole = lenient.load(body)
    if spoken is None:
        cut: Any = cut_value(whole)
        return lenient.dump(cut) if cut is not whole else body if whole is not None else _half(body)
    answer = spoken.codec.decode_response(whole)
    shorter = cut_answer(answer, spoken.name)
    if shorter is answer:
        return body
    told = lenient.mapping(whole)
    created = lenient.count(told.get("created", told.get("created_at"))) or 0
    response_id = answer.response_id or ""
    return lenient.dump(
        spoken.codec.encode_response(shorter, request, response_id=response_id, created=created)
    )


def cut_stream(pieces: list[bytes], framing: Framing = SERVER_SENT) -> list[bytes]:
    """The first half of the events of a stream, as when the connection is lost: nothing marks the end."""
    events = [event for piece in pieces for event in framing.split(piece)]
    return (
        events[: max(1, len(events) // 2)] if len(events) > 1 else [cut for cut in map(_half, events) if cut]
    )


def _half(piece: bytes) -> bytes:
    return piece[: len(piece) // 2]


def cut_value(value: Any) -> Any:
    """A tool's result with its longest text cut in half; unchanged where it contains no text."""
    if isinstance(value, str):
        return cut_text(value)
    path = _longest_text(value)
    if path is None:
        return value
    holders = [value]
    for key in path[:-1]:
        holders.append(holders[-1][key])
    changed: Any = cut_text(holders[-1][path[-1]])
    for holder, key in zip(reversed(holders), reversed(path), strict=True):
        copy = holder.copy()
        copy[key] = changed
        changed = copy
    return changed


def _longest_text(value: Any) -> tuple[Any, ...] | None:
    """The path of the longest text, or the first of several; names of types in a recording's forms do not count."""
    best: tuple[Any, ...] | None = None
    longest = 1
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, str) and len(found) > longest:
            best, longest = path, len(found)
        elif isinstance(found, dict):
            is_form = "$type" in found or "$truncated" in found
            inner = [(key, item) for key, item in found.items() if not is_form or key in _HELD]
            waiting += [((*path, key), item) for key, item in reversed(inner)]
        elif isinstance(found, list):
            waiting += [((*path, place), found[place]) for place in range(len(found) - 1, -1, -1)]
    return best


# --- words


def finish_word(word: str | None, format_name: str) -> str | None:
    """The provider's own finish reason; OpenAI's `stop`, `length`, `tool_calls` are translated for every provider."""
    return word if word is None else _FINISHED.get(format_name, {}).get(word, word)
