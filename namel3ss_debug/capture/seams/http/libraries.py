"""Where HTTP leaves the process, for each library: requests are recorded by `Exchanges`, and bodies pass through a tee.

Streams reach the program as they arrive, piece by piece, unchanged. A library is patched when the program imports
it. If a version of a library lacks the patched function, its traffic is reported as not recorded.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.seams.http.exchanges import Exchanges

_LIBRARIES = {
    "httpx": "by_httpx",
    "httpx2": "by_httpx",
    "urllib3.connectionpool": "by_urllib3",
    "aiohttp.client": "by_aiohttp",
    "http.client": "by_http_client",
    "claude_agent_sdk._internal.transport.subprocess_cli": "unrecorded",
    "curl_cffi.aio": "unrecorded",
    "curl_cffi.curl": "unrecorded",
    "grpc._channel": "unrecorded",
    "grpc.aio._channel": "unrecorded",
    "tornado.simple_httpclient": "unrecorded",
    "urllib3._async.connectionpool": "unrecorded",
    "websocket._core": "unrecorded",
    "websockets.client": "unrecorded",
    "websockets.legacy.client": "unrecorded",
}
"""Module of a library -> the module here that patches it, which is imported together with the library."""


def install(exchanges: Exchanges) -> Undo:
    """Record the traffic of each library in `_LIBRARIES`, now or when it is imported."""
    patches = {
        name: functools.partial(_patch, seam=seam, exchanges=exchanges) for name, seam in _LIBRARIES.items()
    }
    return when_imported(patches, exchanges.tracer.problem)


def _patch(library: Any, seam: str, exchanges: Exchanges) -> list[Undo]:
    undo: list[Undo] = import_module(f"{__package__}.{seam}").patch(library, exchanges)
    return undo
