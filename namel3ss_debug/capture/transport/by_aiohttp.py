"""Aiohttp: `_request` of a session is one attempt, its body leaves a `StreamReader` piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.exchanges import INSIDE, Exchange, Exchanges
from namel3ss_debug.capture.transport.seams import Undo, in_memory, replace


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Aiohttp: `_request` of a session is one attempt, its body leaves a `StreamReader` piece by piece."""
    from aiohttp import streams  # noqa: PLC0415  (imported with the client)

    reading: dict[int, Exchange] = {}

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        async def _request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
            body, headers = _aiohttp_body(kwargs)
            exchange = exchanges.begin(method, str(self._build_url(url)), headers, body)
            if exchange is None:
                return await original(self, method, url, **kwargs)
            token = INSIDE.set(True)
            try:
                response = await original(self, method, url, **kwargs)
            except BaseException as error:
                exchange.fail(error)
                raise
            finally:
                INSIDE.reset(token)
            exchange.respond(response.status, list(response.headers.items()))
            if response.content.at_eof():
                exchange.end()
            else:
                reading[id(response.content)] = exchange
            return response

        return _request

    def leaves(original: Callable[..., Any]) -> Callable[..., Any]:
        def _read_nowait_chunk(self: Any, n: int) -> bytes:
            data: bytes = original(self, n)
            exchange = reading.get(id(self))
            if exchange is not None:
                exchange.receive(data, decoded=True)
                if self.at_eof():
                    reading.pop(id(self)).end()
            return data

        return _read_nowait_chunk

    def closes(original: Callable[..., Any]) -> Callable[..., Any]:
        def close(self: Any) -> Any:
            exchange = reading.pop(id(self.content), None)
            if exchange is not None:
                exchange.end()
            return original(self)

        return close

    return [
        replace(client.ClientSession, "_request", make),
        replace(streams.StreamReader, "_read_nowait_chunk", leaves),
        replace(client.ClientResponse, "close", closes),
        replace(client.ClientResponse, "release", closes),
    ]


def _aiohttp_body(kwargs: dict[str, Any]) -> tuple[bytes | None, list[tuple[str, str]]]:
    headers = [(str(key), str(value)) for key, value in dict(kwargs.get("headers") or {}).items()]
    if kwargs.get("json") is not None:
        import json  # noqa: PLC0415

        return json.dumps(kwargs["json"], default=str).encode(), [
            *headers,
            ("content-type", "application/json"),
        ]
    return in_memory(kwargs.get("data")), headers
