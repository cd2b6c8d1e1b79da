"""Makes JSON of whatever values a traced program has: redacted, bounded, and without disturbing the program."""

from namel3ss_debug.capture.payloads.conversion import Converted, JsonValue, Payloads, Ready, to_json
from namel3ss_debug.capture.payloads.exact import Exact, exact

__all__ = ["Converted", "Exact", "JsonValue", "Payloads", "Ready", "exact", "to_json"]
