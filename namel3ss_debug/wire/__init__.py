"""The wire formats of model providers, for reading and for writing; one table with one entry for each format.

Each name is loaded when it is first used: code that only reads a provider's JSON does not need the table of formats.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from namel3ss_debug.wire.contract import Answer, Format
    from namel3ss_debug.wire.failures import decode_error, decode_failure
    from namel3ss_debug.wire.formats import FORMATS, recognise
    from namel3ss_debug.wire.framing import framing_of
    from namel3ss_debug.wire.lenient import load
    from namel3ss_debug.wire.requests import asks_in_batch, canonical_hash, is_telemetry
    from namel3ss_debug.wire.tools import decode_tools, offered_tools, tool_results

__all__ = [
    "FORMATS",
    "Answer",
    "Format",
    "asks_in_batch",
    "canonical_hash",
    "decode_error",
    "decode_failure",
    "decode_tools",
    "framing_of",
    "is_telemetry",
    "load",
    "offered_tools",
    "recognise",
    "tool_results",
]

_WHERE: Final = {
    "contract": ("Answer", "Format"),
    "failures": ("decode_error", "decode_failure"),
    "formats": ("FORMATS", "recognise"),
    "framing": ("framing_of",),
    "lenient": ("load",),
    "requests": ("asks_in_batch", "canonical_hash", "is_telemetry"),
    "tools": ("decode_tools", "offered_tools", "tool_results"),
}
_HOMES: Final = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name from another module of this package, and keep it here from then on."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value
