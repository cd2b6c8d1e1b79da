"""Find weak signs of failure: outputs that report an error while their span claims success, and log records of errors.

No status in the trace reports these failures, so each sign has a confidence, and none counts as an error:

- the outputs of a call that is no model call, and its `result`, with JSON in a text read as JSON:

  | sign | confidence |
  |---|---|
  | `isError` or `is_error` is true | 0.95 |
  | `error` or `exception` has a value; with `ok` or `success` false | 0.9; 0.95 |
  | `exit_code`, `exitcode` or `returncode` is not 0 | 0.9 |
  | a text that is a traceback, or begins with the name of an exception and a colon | 0.9 |
  | a text that begins with `Error:` or another such word and a colon, and not with a count of zero | 0.85 |
  | `status_code` or `http_status` is 400 or more | 0.85 |
  | `ok` or `success` is false; `status` is `error`, `failed` or `failure` | 0.8 |
  | `errors` is a list with something in it | 0.7 |
  | a text that begins with `Error`, `Failed`, `Fatal` and no colon; `exit code 1` in a short text | 0.6 |

- the answer of a model that a content filter ended: 0.8;
- a validation whose outputs have `passed`, `valid` or `approved` false, or `rejected`: 0.6;
- a log record of level error: 0.5; critical or fatal: 0.7; with an exception: 0.8.

Only the first 64 keys and 4,000 characters are looked at.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from namel3ss_debug.traces.events import Event


class Claim(NamedTuple):
    """A sign of failure.

    Attributes:
        error: its message.
        error_type: the type of exception it names.
        confidence: from 0 to 1.
        source: `output` or `log`.
        path: where it is in the outputs.
        http_status: the HTTP status in it.
    """

    error: str | None
    error_type: str | None
    confidence: float
    source: str
    path: str
    http_status: int | None = None


_LOOKED_AT = 4_000
_MOST_KEYS = 64
_SHORT = 300
_LEAST_FAILED_STATUS = 400
_LONGEST_TYPE = 200
_TYPE_ENDS = ("Error", "Exception", "Exit", "Interrupt")
_TYPE = re.compile(rf"^\s*(?:[\w.]+\.)?([A-Z]\w*(?:{'|'.join(_TYPE_ENDS)}))\b\s*:\s*")
_COLON = re.compile(
    r"^\W{0,3}(?:error|exception|failure|fatal|fatal error|failed|tool error)\s*:", re.IGNORECASE
)
_WORD = re.compile(r"^\W{0,3}(?:error|failed|fatal|exception)\b", re.IGNORECASE)
_NONE = re.compile(
    r"^\W{0,3}(?:errors?|exceptions?|failures?|fatal|failed)\s*:\s*(?:0(?![\w.])|(?:none|null)(?=\s*(?:$|[,;.\n])))",
    re.IGNORECASE,
)
"""A count of failures that is zero."""
_EXIT = re.compile(r"\bexit(?:ed with)?(?: status| code)?:?\s*([1-9]\d{0,2})\b", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"
_ERROR_FLAGS = ("isError", "is_error")
_ERROR_KEYS = ("error", "exception")
_EXITS = ("exit_code", "exitcode", "exitCode", "returncode", "return_code")
_STATUSES = ("status_code", "statusCode", "http_status")
_OK_KEYS = ("ok", "success")
_PASSED = ("passed", "valid", "approved")
_BAD_STATUS = frozenset({"error", "failed", "failure"})
_REJECTED = frozenset({"rejected", "reject", "invalid"})
_FILTERED = frozenset({"content_filter", "refusal", "safety", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"})
_LEVELS = {"error": 0.5, "critical": 0.7, "fatal": 0.7, "exception": 0.8}
_LOG_FIELDS = ("metadata", "outputs", "inputs")
_SIGNS = frozenset({*_ERROR_FLAGS, *_ERROR_KEYS, *_EXITS, *_STATUSES, *_OK_KEYS, "status", "errors"})
REPORTING_KEYS = frozenset({*_SIGNS, *_PASSED, "verdict", "result", "finish_reason"})
"""The keys of outputs that may report an error."""

_REPORTING_KEYS_BUT_STATUS = REPORTING_KEYS - {"status"}
_HEAD = 24
_SIGNS_IN_JSON = ('rror"', 'rrors"', '"ok"', '"success"', '"status', '"http_status"', 'ode"', '"exception"')


def may_claim(outputs: Any) -> bool:
    """Return whether outputs may report an error: a quick test that rules most of them out. It is not for model calls."""
    if type(outputs) is not dict or REPORTING_KEYS.isdisjoint(outputs):
        return False
    result: Any = outputs.get("result")
    kind = type(result)
    if kind is str:
        return _may_report(result) or len(outputs) > 1
    if kind is dict:
        return not REPORTING_KEYS.isdisjoint(result) or len(outputs) > 1
    if type(outputs.get("status")) is int and _REPORTING_KEYS_BUT_STATUS.isdisjoint(outputs):
        return False  # the status of an HTTP exchange is no error by itself
    return result is False or kind is list or len(outputs) > (result is not None)


def may_claim_refusal(outputs: object) -> bool:
    """Return whether the outputs of a model call report that a content filter ended the answer."""
    reason = outputs.get("finish_reason") if type(outputs) is dict else None
    return type(reason) is str and reason in _FILTERED


def _may_report(text: str) -> bool:
    """Return whether a text may report an error. Plain searches are several times as fast as a pattern."""
    head = text[:_HEAD].lower()
    if head[:1] == "{" or head[:1] == "[":
        head = text[:_LOOKED_AT]
        return any(sign in head for sign in _SIGNS_IN_JSON)
    return (
        "rror" in head
        or "ailed" in head
        or "xcept" in head
        or "ailure" in head
        or "atal" in head
        or (len(text) <= _SHORT and "exit" in text.lower())
        or "Traceback (" in text[:_LOOKED_AT]
        or text[:_LONGEST_TYPE].partition(":")[0].rstrip().endswith(_TYPE_ENDS)
    )


def claimed_error(end: Event) -> Claim | None:
    """Return the error in the outputs of an end event that claims success; None where there is none."""
    outputs = end.get("outputs")
    if type(outputs) is not dict:
        return None
    component = end.get("component")
    if component == "llm":
        reason = outputs.get("finish_reason")
        filtered = may_claim_refusal(outputs)
        return (
            Claim(f"the answer ended with {reason}", None, 0.8, "output", "outputs.finish_reason")
            if filtered
            else None
        )
    result = outputs.get("result")
    payload = None
    if type(result) is str:
        payload = _find_in_text(result, "outputs.result") if _may_report(result) else None
    elif type(result) is dict or type(result) is list:
        payload = _find_in_json(result, "outputs.result")
    if payload is None and (len(outputs) > 1 or result is None):
        payload = _find_in_object(outputs, "outputs")
    if payload is None and component == "validation":
        payload = _find_rejection(outputs)
    return payload


def logged_error(event: Event) -> Claim | None:
    """Return the error that a log record reports; None where its level is lower."""
    level = _find_logged(event, ("level", "levelname", "severity", "severity_text"))
    confidence = _LEVELS.get(level.lower()) if isinstance(level, str) else None
    if confidence is None:
        return None
    words = event.get("error") or _find_logged(event, ("message", "msg", "body", "text"))
    if "[non-fatal]" in str(words):
        return None  # the exporter of openai-agents, without its server
    kind = event.get("error_type") or _find_logged(event, ("error_type", "exception_type"))
    if kind or event.get("stack_trace") or _find_logged(event, ("exc_info", "stack_trace", "exception")):
        confidence = 0.8
    return Claim(
        _message_of(words), kind if isinstance(kind, str) else None, confidence, "log", "metadata.message"
    )


def _find_logged(event: Event, keys: tuple[str, ...]) -> Any:
    """Return the first value under one of some keys, in a log record or in its payloads."""
    for payload in (event, *(event.get(name) for name in _LOG_FIELDS)):
        if isinstance(payload, dict):
            for key in keys:
                if payload.get(key) not in (None, ""):
                    return payload[key]
    return None


def _find_in_json(value: Any, path: str) -> Claim | None:
    """Return the sign of failure in an object, or in the first item of a short list."""
    if isinstance(value, dict):
        return _find_in_object(value, path)
    if isinstance(value, list) and 0 < len(value) <= 2 and isinstance(value[0], dict | str):
        return (
            _find_in_object(value[0], f"{path}[0]")
            if isinstance(value[0], dict)
            else _find_in_text(value[0], f"{path}[0]")
        )
    return None


def _find_in_object(payload: dict[str, Any], path: str) -> Claim | None:
    """Return the surest sign of failure in an object."""
    if len(payload) > _MOST_KEYS or _SIGNS.isdisjoint(payload):
        return None
    not_ok = any(payload.get(key) is False for key in _OK_KEYS)
    if any(payload.get(key) is True for key in _ERROR_FLAGS):
        return Claim(
            _message_of(payload.get("error") or payload.get("content") or payload), None, 0.95, "output", path
        )
    for key in _ERROR_KEYS:
        error = payload.get(key)
        if error not in (None, "", False, 0, {}, []):
            kind = error.get("type") or error.get("name") if isinstance(error, dict) else None
            kind = kind if isinstance(kind, str) else None
            return Claim(
                _message_of(error),
                kind,
                0.95 if not_ok else 0.9,
                "output",
                f"{path}.{key}",
                _http_status(error),
            )
    for key in _EXITS:
        code = payload.get(key)
        if type(code) is int and code != 0:
            message = _message_of(payload.get("stderr")) or f"{key} {code}"
            return Claim(message, None, 0.9, "output", f"{path}.{key}")
    code = _http_status(payload)
    if code is not None and code >= _LEAST_FAILED_STATUS:
        return Claim(
            _message_of(payload.get("message") or payload.get("body")) or f"status {code}",
            None,
            0.85,
            "output",
            path,
            code,
        )
    status = payload.get("status")
    if not_ok or (isinstance(status, str) and status.lower() in _BAD_STATUS):
        return Claim(
            _message_of(payload.get("message") or payload.get("reason") or payload), None, 0.8, "output", path
        )
    errors = payload.get("errors")
    if isinstance(errors, list) and errors:
        return Claim(_message_of(errors[0]), None, 0.7, "output", f"{path}.errors")
    return None


def _find_in_text(text: str, path: str) -> Claim | None:
    """Return the sign of failure in a text: a traceback, the name of an exception, a word such as `error:`."""
    head = text[:_LOOKED_AT]
    if head[:1] in {"{", "["} and len(text) <= 16 * _LOOKED_AT:
        try:
            inner = orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
        else:
            return _find_in_json(inner, path)
    if _TRACEBACK in head:
        last = text.rstrip().rpartition("\n")[2]
        kind = _TYPE.match(last)
        message = last[kind.end() :] if kind else last
        return Claim(_message_of(message), kind[1] if kind else None, 0.9, "output", path)
    kind = _TYPE.match(head)
    if kind:
        return Claim(_message_of(text[kind.end() :]), kind[1], 0.9, "output", path)
    if _NONE.match(head):
        return None
    if _COLON.match(head):
        return Claim(_message_of(text), None, 0.85, "output", path)
    if _WORD.match(head) or (len(text) <= _SHORT and _EXIT.search(head)):
        return Claim(_message_of(text), None, 0.6, "output", path)
    return None


def _find_rejection(outputs: dict[str, Any]) -> Claim | None:
    """Return the sign of failure in the outputs of a validation."""
    for payload, path in ((outputs, "outputs"), (outputs.get("result"), "outputs.result")):
        if payload is False:
            return Claim("the validation did not pass", None, 0.6, "output", path)
        if isinstance(payload, dict):
            status = payload.get("status") or payload.get("verdict")
            rejected = isinstance(status, str) and status.lower() in _REJECTED
            if rejected or any(payload.get(key) is False for key in _PASSED):
                return Claim(
                    _message_of(payload.get("reason") or payload.get("message") or payload),
                    None,
                    0.6,
                    "output",
                    path,
                )
    return None


def _http_status(value: Any) -> int | None:
    """Return the HTTP status in a payload; None where there is none."""
    if isinstance(value, dict):
        for key in _STATUSES:
            code = value.get(key)
            if type(code) is int and 100 <= code < 600:
                return code
    return None


def _message_of(value: Any) -> str | None:
    """Return the message of an error in a payload."""
    if isinstance(value, dict):
        value = value.get("message") or value.get("text") or value.get("error") or value
    if isinstance(value, list) and value:
        return _message_of(value[0])
    if value is None or isinstance(value, str):
        return value[:_LOOKED_AT] if value else None
    try:
        return orjson.dumps(value).decode()[:_LOOKED_AT]
    except (TypeError, ValueError):
        return str(value)[:_LOOKED_AT]
