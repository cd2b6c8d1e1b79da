"""Determine the category of a failure: by its HTTP status first, then the exception's type, and last the error's text.

A status or a type that servers use for many things (400, `BadRequestError`) counts less than the text; so does a type
without a meaning. A failure of a tool that nothing else explains is of the category `tool`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.traces.events import Event

STATUSES: dict[int, str] = {
    401: "authentication",
    402: "resource",
    403: "authentication",
    404: "dependency",
    408: "timeout",
    413: "context_overflow",
    429: "rate_limit",
    504: "timeout",
    507: "resource",
    529: "dependency",
}
"""HTTP statuses with one meaning. After the text, other 5xx are a `dependency`, other 4xx a `parameter`."""


class CategoryRule(NamedTuple):
    """A pattern and the category of what it matches."""

    pattern: re.Pattern[str]
    category: str


def _rules(*pairs: tuple[str, str]) -> tuple[CategoryRule, ...]:
    return tuple(CategoryRule(re.compile(pattern, re.IGNORECASE), category) for pattern, category in pairs)


TYPES = _rules(
    # langgraph; openai-agents; pydantic-ai; smolagents; a limit of ours
    (
        r"graphrecursion|maxturnsexceeded|usagelimitexceeded|maxsteps|^limitexceeded(inpoolerror)?$",
        "step_limit",
    ),
    (r"cancel|keyboardinterrupt|abort", "cancelled"),
    (r"rate_?limit|throttl|toomanyrequests", "rate_limit"),
    (r"contextwindow|contextlength|context_length|maxtoken", "context_overflow"),
    (r"contentfilter|content_filter|contentpolicy|refusal|safety", "model_refusal"),
    (r"timeout|timedout|deadline", "timeout"),
    (r"authentication|unauthorized|permissiondenied|invalidapikey|forbidden|credential", "authentication"),
    (r"jsondecode|outputpars|malformed|unexpectedmodelbehavior|unicodedecode", "malformed_output"),
    (r"connect|gaierror|herror|ssl|socket|brokenpipe|protocolerror|network|dnserror", "network"),
    (r"memoryerror|recursion|filenotfound|fileexists|isadirectory|notadirectory", "resource"),
    (r"^(oserror|ioerror|resource\w*|blockingioerror|quota\w*)$", "resource"),
    (r"^(importerror|modulenotfounderror)$|unavailable|internalserver|badgateway|overloaded", "dependency"),
)
"""Exception types, without the module they come from."""

WORDS = _rules(
    (
        r"context (length|window)|maximum context|prompt is too long|too many tokens (in|for)",
        "context_overflow",
    ),
    (r"disk|no space left|\[errno 13\]", "resource"),
    (
        r"recursion limit of \d+ reached|max(imum)?( number of)? (turns|steps|iterations)|iteration limit",
        "step_limit",
    ),
    (
        r"rate[ -]?limit|slow ?down|request rate|too many requests|throttl|quota exceeded|exceeded your .*quota|check quota",
        "rate_limit",
    ),
    (r"content (policy|filter)|flagged|refus(ed to (answer|comply)|al)", "model_refusal"),
    (
        r"api[ _-]?key|unauthori[sz]ed|\bforbidden\b|(permission|access) denied|credential|security token",
        "authentication",
    ),
    (
        r"\bauth\b|authenticat|authori[sz]ation|login|password|no permission|token (has )?expired",
        "authentication",
    ),
    (r"time(d|s)?[ -]?out|deadline exceeded", "timeout"),
    (r"cancell?ed", "cancelled"),
    (
        r"too many (clients|connections)|out of memory|bad_alloc|too many open files|start new thread",
        "resource",
    ),
    (
        r"(allocate|enough|insufficient) .*(memory|[kmg]i?b\b)|no such file|resource .*(exhausted|limit)",
        "resource",
    ),
    (
        r"upstream|service unavailable|bad gateway|internal server error|overloaded|server had an error",
        "dependency",
    ),
    (r"no module named|importerror|shared object file|dependency|prerequisite", "dependency"),
    (r"connect(ion|ing)?\b|name resolution|unreachable|network|\bdns\b|name or service not known", "network"),
    (
        r"name_not_resolved|getaddrinfo|no route to host|\bssl\b|certificate|server disconnected|hang up",
        "network",
    ),
    (r"(invalid|malformed|not valid) json|could not parse|expecting value", "malformed_output"),
    (
        r"missing .*argument|unexpected keyword|invalid (argument|input|parameter|value|literal|.*format)",
        "parameter",
    ),
    (
        r"is required|(property|field) required|required (property|field)|not permitted|validation (error|failed)|could not convert|does not match",
        "parameter",
    ),
    (
        r"object has no attribute|unsupported operand|division by zero|index out of range|is not (callable|subscriptable|iterable)",
        "logic",
    ),
    (r"memory|resource|quota", "resource"),
    (r"parameter|argument|validation", "parameter"),
)
"""Words of the message, asked last. The last two rows have words that other messages use, too."""

_STATUS = re.compile(r"[45][0-9]{2}")
_OF_SERVER = re.compile(r"(server|api)_error")
"""The error type in a stream of OpenAI or Anthropic where their status would be 500."""

_GENERIC = re.compile(r"^(value|type|key|index|attribute|lookup|assertion)error$", re.IGNORECASE)
_OF_PROGRAM = re.compile(
    r"(assertion|attribute|index|key|name|notimplemented|type|unboundlocal|zerodivision)error", re.IGNORECASE
)
"""Exceptions that a mistake in the program itself raises."""
_WRONG_INPUT = re.compile(
    r"validationerror|badrequest|unprocessable|invalid_?request|schemaerror", re.IGNORECASE
)

CATEGORIES = (
    *("tool", "parameter", "timeout", "dependency", "resource", "network", "authentication", "rate_limit"),
    *("model_refusal", "malformed_output", "context_overflow", "cancelled", "step_limit", "logic", "unknown"),
)
"""All categories."""


def categorise(
    error_type: str | None,
    error: str | None,
    *,
    http_status: int | None = None,
    status: str | None = None,
    component: str = "",
) -> str:
    """Return the category of one failure.

    Args:
        error_type: The exception's type, with or without its module.
        error: The text of the failure.
        http_status: The status of the answer, where there was one. Beside one of success, the type of a failure may
        be a status, as that of a provider behind OpenRouter.
        status: The `status` of the event; `cancelled` and `timeout` are categories themselves.
        component: Where it failed. A value that a tool does not take is a `parameter`; one that anything
            else does not take is a `malformed_output` of the model.
    """
    name = (error_type or "").rpartition(".")[2]
    text = error or ""
    if (http_status is None or http_status < 400) and _STATUS.fullmatch(name):
        http_status = int(name)
    for category in _candidates(name, text, http_status, status, component):
        if category is not None:
            return category
    return "unknown"


def _candidates(
    name: str, text: str, http_status: int | None, status: str | None, component: str
) -> Iterator[str | None]:
    """Yield the category by each sign, the surest first; None where a sign has no meaning."""
    if status in {"cancelled", "timeout"}:
        yield status
    if http_status is not None:
        yield STATUSES.get(http_status)
    yield _first_match(TYPES, name)
    yield _first_match(WORDS, text)
    if http_status is not None and http_status >= 400:
        yield "dependency" if http_status >= 500 else "parameter"
    if _OF_SERVER.fullmatch(name):
        yield "dependency"
    if _WRONG_INPUT.search(name):
        yield "malformed_output" if component in {"llm", "validation"} else "parameter"
    if component == "tool":
        yield "parameter" if _GENERIC.match(name) and name.lower() != "assertionerror" else "tool"
    if _OF_PROGRAM.fullmatch(name):
        yield "logic"


def _first_match(rules: tuple[CategoryRule, ...], text: str) -> str | None:
    return next((rule.category for rule in rules if rule.pattern.search(text)), None) if text else None


def http_status(event: Event) -> int | None:
    """Return the HTTP status of an event, in `metadata` or in its `exchange`; None where it has none."""
    metadata = event.get("metadata")
    if not isinstance(metadata, dict):
        return None
    exchange = metadata.get("exchange")
    payloads = (metadata, exchange) if isinstance(exchange, dict) else (metadata,)
    for payload in payloads:
        for key in ("status", "http_status", "status_code"):
            value = payload.get(key)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None
