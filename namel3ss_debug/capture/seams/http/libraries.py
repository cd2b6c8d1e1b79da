"""Where HTTP leaves the process, for each library: requests are recorded by `Exchanges`, and bodies pass through a tee.

Streams reach the program as they arrive, piece by piece, unchanged. A library is patched when the program imports
it. If a version of a library lacks the patched function, its traffic is reported as not recorded.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls

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


def install(tracer: ExecutionTracer, calls: ToolCalls) -> tuple[Callable[[], None], Undo]:
    """Record the traffic of each library in `_LIBRARIES`, now or when it is imported.

    What records exchanges is loaded with the first of them.

    Args:
        tracer: writes the spans.
        calls: the tool calls that models request.

    Returns:
        A function that forgets what is open, after a fork, and one that stops recording.
    """
    made: list[Any] = []
    lock = threading.RLock()  # two threads may import two libraries at once

    def patch(library: Any, seam: str) -> list[Undo]:
        with lock:
            if not made:
                from namel3ss_debug.capture.seams.http.exchanges import Exchanges

                made.append(Exchanges(tracer, calls))
                tracer.at_end.append(made[0].abandon)
        undo: list[Undo] = import_module(f"{__package__}.{seam}").patch(library, made[0])
        return undo

    def renew() -> None:
        for exchanges in made:
            exchanges.renew()

    patches = {name: functools.partial(patch, seam=seam) for name, seam in _LIBRARIES.items()}
    return renew, when_imported(patches, tracer.problem)
