"""What the heads of responses tell a recording."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

_KEPT = frozenset(
    {
        "content-type", "content-encoding", "content-disposition", "retry-after", "retry-after-ms", "x-should-retry",
        "x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "location", "link", "etag", "last-modified",
        "mcp-session-id", "www-authenticate",
    }
)  # fmt: skip
_KEPT_FAMILIES = ("x-ratelimit-", "ratelimit-", "openai-", "anthropic-")


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
    """What headers tell, in the order in which they came."""
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
    kept = [(name, at) for at, name in enumerate(lower) if name in _KEPT or name.startswith(_KEPT_FAMILIES)]
    return _Places(
        first.get("content-type"), first.get("content-encoding"), first.get("content-length"), tuple(kept)
    )


@lru_cache(64)
def phrase(status: int) -> str:
    """What always stands behind a status."""
    from http import HTTPStatus  # noqa: PLC0415  (every library that has a response has imported it)

    return next((one.phrase for one in HTTPStatus if one == status), "")
