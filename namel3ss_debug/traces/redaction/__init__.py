"""Replaces secrets before anything reaches the disk: by the name of a field and by the form of a text."""

from namel3ss_debug.traces.redaction.redactor import Redactor, redact_headers

__all__ = ["Redactor", "redact_headers"]
