"""Read the headers of responses: which of them are recorded, and how the body is encoded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from namel3ss_debug.traces.redaction.checks import SECRET_HEADERS, is_secret_name

_SKIPPED = frozenset(
    {
        "content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade", "date", "server", "via",
        "x-powered-by", "vary", "strict-transport-security", "content-security-policy", "permissions-policy",
        "referrer-policy", "x-content-type-options", "x-frame-options", "x-xss-protection", "x-robots-tag", "alt-svc",
        "nel", "report-to", "reporting-endpoints", "server-timing", "cf-ray", "cf-cache-status", "x-openai-proxy-wasm",
        "x-envoy-upstream-service-time",
    }
)  # fmt: skip
"""Headers about the connection, and those for browsers and proxies. Programs do not read them."""
_SKIPPED_FAMILIES = ("access-control-", "cross-origin-")


class Head(NamedTuple):
    """The headers of a response: those that describe its body, and the recorded ones by name."""

    content_type: str | None
    encoding: str | None
    length: str | None
    kept: dict[str, str]


class _Indexes(NamedTuple):
    """The indexes of headers among all of a response."""

    content_type: int | None
    encoding: int | None
    length: int | None
    kept: tuple[tuple[str, int], ...]


NONE = Head(None, None, None, {})


def read(headers: Iterable[tuple[str, str]]) -> Head:
    """Read the headers, in the order in which they came."""
    listed = list(headers)
    if not listed:
        return NONE
    names, values = zip(*listed, strict=True)
    where = _find_indexes(names)
    return Head(
        None if where.content_type is None else values[where.content_type],
        None if where.encoding is None else values[where.encoding],
        None if where.length is None else values[where.length],
        {name: values[index] for name, index in where.kept},
    )


@lru_cache(64)
def _find_indexes(names: tuple[str, ...]) -> _Indexes:
    """Find the wanted headers by name. Cached, because the responses of a server nearly always have the same names."""
    lower = [name.lower() for name in names]
    first = {name: index for index, name in reversed(list(enumerate(lower)))}
    kept = [(name, index) for index, name in enumerate(lower) if _is_kept(name)]
    return _Indexes(
        first.get("content-type"), first.get("content-encoding"), first.get("content-length"), tuple(kept)
    )


@lru_cache(256)
def _is_kept(name: str) -> bool:
    """Return whether a header is recorded: one that a program may read, and that holds no credential."""
    skipped = name in _SKIPPED or name.startswith(_SKIPPED_FAMILIES)
    return not skipped and name not in SECRET_HEADERS and not is_secret_name(name)


@lru_cache(64)
def phrase(status: int) -> str:
    """Return the standard reason phrase of a status."""
    from http import HTTPStatus  # every library that has a response has imported it

    return next((one.phrase for one in HTTPStatus if one == status), "")
