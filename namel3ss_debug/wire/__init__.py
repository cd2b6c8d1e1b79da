"""What model providers say on the wire, both ways; one entry of one table for each wire format."""

from namel3ss_debug.wire.contract import Answer, Format
from namel3ss_debug.wire.failures import decode_error
from namel3ss_debug.wire.formats import FORMATS, recognise
from namel3ss_debug.wire.framing import framing_of
from namel3ss_debug.wire.lenient import load
from namel3ss_debug.wire.requests import canonical_hash, is_telemetry
from namel3ss_debug.wire.tools import decode_tools, offered_tools, tool_results

__all__ = [
    "FORMATS",
    "Answer",
    "Format",
    "canonical_hash",
    "decode_error",
    "decode_tools",
    "framing_of",
    "is_telemetry",
    "load",
    "offered_tools",
    "recognise",
    "tool_results",
]
