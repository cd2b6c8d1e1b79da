"""The settings with which a re-run is recorded: those of its recording, so that the two can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from namel3ss_debug.config import DebugConfiguration

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


def with_form(config: DebugConfiguration, recorded: dict[str, Any]) -> DebugConfiguration:
    """The settings in force, but in the recording's form; what is no value of its setting is passed over.

    Args:
        config: the settings in force.
        recorded: those of the recording.
    """
    form = DebugConfiguration.from_json({name: recorded[name] for name in FORM if name in recorded})
    same = [name for name in FORM if isinstance(getattr(form, name), type(getattr(config, name)))]
    return replace(config, **{name: getattr(form, name) for name in same if name in recorded})
