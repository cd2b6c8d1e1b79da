"""Where HTTP leaves the process, for each library: requests are told to `Exchanges`, and bodies pass through a tee.

Streams reach the program as they come, piece by piece, unchanged. A library is patched when the program imports
it. A seam that is not there in a version is reported as not recorded, never guessed at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

from namel3ss_debug.capture.exchanges import Exchanges
from namel3ss_debug.capture.transport import by_aiohttp, by_httpx, by_urllib3
from namel3ss_debug.capture.transport.seams import Undo

_LIBRARIES: dict[str, Callable[[Any, Exchanges], list[Undo]]] = {
    "httpx": by_httpx.patch,
    "httpx2": by_httpx.patch,
    "urllib3.connectionpool": by_urllib3.patch,
    "aiohttp.client": by_aiohttp.patch,
}


def install(exchanges: Exchanges) -> Undo:
    """Record the traffic of each library in `_LIBRARIES`, now or when it is imported."""
    undo: list[Undo] = []
    active = True

    def patch(how: Callable[[Any, Exchanges], list[Undo]], module: ModuleType) -> None:
        if not active:
            return
        try:
            undo.extend(how(module, exchanges))
        except AttributeError as error:
            exchanges.tracer.problem(f"{module.__name__} is not recorded: {error}")

    for name, how in _LIBRARIES.items():
        wrapt.register_post_import_hook(functools.partial(patch, how), name)

    def uninstall() -> None:
        nonlocal active
        active = False
        while undo:
            undo.pop()()

    return uninstall
