"""Where HTTP leaves the process, for each library: requests are told to `Exchanges`, and bodies pass through a tee.

Streams reach the program as they come, piece by piece, unchanged. A library is patched when the program imports
it. A seam that is not there in a version is reported as not recorded, never guessed at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from namel3ss_debug.capture.exchanges import Exchanges
from namel3ss_debug.capture.patching import Undo, when_imported
from namel3ss_debug.capture.transport import by_aiohttp, by_httpx, by_urllib3

_LIBRARIES: dict[str, Callable[..., list[Undo]]] = {
    "httpx": by_httpx.patch,
    "httpx2": by_httpx.patch,
    "urllib3.connectionpool": by_urllib3.patch,
    "aiohttp.client": by_aiohttp.patch,
}


def install(exchanges: Exchanges) -> Undo:
    """Record the traffic of each library in `_LIBRARIES`, now or when it is imported."""
    patches = {name: functools.partial(how, exchanges=exchanges) for name, how in _LIBRARIES.items()}
    return when_imported(patches, exchanges.tracer.problem)
