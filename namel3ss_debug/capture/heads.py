"""The headers of responses: which are recorded, and how they say a body is to be read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from namel3ss_debug.traces.redaction.keys import SECRET_HEADERS, is_secret_name

_PASSED_OVER = frozenset(
    {
        "content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade", "date", "server", "via",
        "x-powered-by", "vary", "strict-transport-security", "content-security-policy", "permissions-policy",
        "referrer-policy", "x-content-type-options", "x-frame-options", "x-xss-protection", "x-robots-tag", "alt-svc",
        "nel", "report-to", "reporting-endpoints", "server-timing", "cf-ray", "cf-cache-status", "x-openai-proxy-wasm",
        "x-envoy-upstream-service-time",
    }
)  # fmt: skip
"""What speaks of the connection, and what browsers and proxies are told: programs do not look at it."""
_PASSED_OVER_FAMILIES = ("access-control-", "cross-origin-")


class Head(NamedTuple):
    """The headers of a response: those that say how its body is to be read, and by their names those that are kept."""

    content_type: str | None = None
    encoding: str | None = None
    length: str | None = None
    kept: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)


class _Places(NamedTuple):
    """Where headers stand among others."""

    content_type: int | None
    encoding: int | None
    length: int | None
    kept: tuple[tuple[str, int], ...]


NONE = Head()


def read(headers: Iterable[tuple[str, str]]) -> Head:
    """Read the headers, in the order in which they came."""
    listed = list(headers)
    if not listed:
        return NONE
    names, values = zip(*listed, strict=True)
    where = _places(names)
    return Head(
        None if where.content_type is None else values[where.content_type],
        None if where.encoding is None else values[where.encoding],
        None if where.length is None else values[where.length],
        {name: values[place] for name, place in where.kept},
    )


@lru_cache(64)
def _places(names: tuple[str, ...]) -> _Places:
    """Where in headers of these names stands what is wanted: the answers of a server have the same ones nearly always."""
    lower = [name.lower() for name in names]
    first = {name: place for place, name in reversed(list(enumerate(lower)))}
    kept = [(name, at) for at, name in enumerate(lower) if _is_kept(name)]
    return _Places(
        first.get("content-type"), first.get("content-encoding"), first.get("content-length"), tuple(kept)
    )


@lru_cache(256)
def _is_kept(name: str) -> bool:
    """Whether a program may look at a header; none that carries a credential is kept."""
    passed_over = name in _PASSED_OVER or name.startswith(_PASSED_OVER_FAMILIES)
    return not passed_over and name not in SECRET_HEADERS and not is_secret_name(name)


@lru_cache(64)
def phrase(status: int) -> str:
    """The standard reason phrase of a status."""
    from http import HTTPStatus  # noqa: PLC0415  (every library that has a response has imported it)

    return next((one.phrase for one in HTTPStatus if one == status), "")
