"""Makes JSON of whatever values a traced program holds: redacted, bounded, and without disturbing the program."""

from namel3ss_debug.capture.payloads.conversion import Converted, JsonValue, Payloads, to_json

__all__ = ["Converted", "JsonValue", "Payloads", "to_json"]
