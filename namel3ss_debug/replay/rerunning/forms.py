"""The settings with which a re-run is recorded: those of its recording, so that the two can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from namel3ss_debug.config import REDACTING, DebugConfiguration

FORM: Final = (
    "level",
    "max_payload_size",
    "redact",
    "redact_keys",
    "redact_patterns",
    "capture_memory",
    "capture_performance",
)
"""The settings of a recording that its re-run is recorded with too."""


def with_form(
    config: DebugConfiguration, recorded: dict[str, Any], *, trusted: bool = True
) -> DebugConfiguration:
    """The settings in force, but in the recording's form; what is no value of its setting is passed over.

    Args:
        config: the settings in force.
        recorded: those of the recording.
        trusted: whether this user recorded it, or allowed it; else the user's own settings decide what is redacted.
    """
    names = [name for name in FORM if trusted or name not in REDACTING]
    form = DebugConfiguration.from_json({name: recorded[name] for name in names if name in recorded})
    same = [name for name in names if isinstance(getattr(form, name), type(getattr(config, name)))]
    return replace(config, **{name: getattr(form, name) for name in same if name in recorded})
