"""Read and write the wire formats of model providers; one table has one entry for each format.

Each name is loaded when it is first used: code that only reads a provider's JSON does not need the table of formats.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from namel3ss_debug.wire.contract import Answer, Format
    from namel3ss_debug.wire.failures import decode_error, decode_failure
    from namel3ss_debug.wire.formats import FORMATS, recognise
    from namel3ss_debug.wire.framing import find_framing
    from namel3ss_debug.wire.lenient import load
    from namel3ss_debug.wire.requests import canonical_hash, is_batch_request, is_telemetry
    from namel3ss_debug.wire.tools import decode_tools, find_tool_results, list_tool_names

__all__ = [
    "FORMATS",
    "Answer",
    "Format",
    "canonical_hash",
    "decode_error",
    "decode_failure",
    "decode_tools",
    "find_framing",
    "find_tool_results",
    "is_batch_request",
    "is_telemetry",
    "list_tool_names",
    "load",
    "recognise",
]

_NAMES_BY_MODULE: Final = {
    "contract": ("Answer", "Format"),
    "failures": ("decode_error", "decode_failure"),
    "formats": ("FORMATS", "recognise"),
    "framing": ("find_framing",),
    "lenient": ("load",),
    "requests": ("is_batch_request", "canonical_hash", "is_telemetry"),
    "tools": ("decode_tools", "list_tool_names", "find_tool_results"),
}
_MODULES: Final = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name from another module of this package on its first use."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value
