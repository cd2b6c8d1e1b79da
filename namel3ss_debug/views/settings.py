"""The settings in force, as a table and as a document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from namel3ss_debug.config import ENVIRONMENT_PREFIX, FILE_NAME, SETTINGS, Loaded
from namel3ss_debug.views.blocks import Block, Facts, Table
from namel3ss_debug.views.quantities import bytes_text, count
from namel3ss_debug.views.tables import Column, name
from namel3ss_debug.views.terminal import DIM, text

_SIZES = ("max_payload_size", "rotate_max_bytes", "trace_retention_bytes")
_COUNTED = {
    "checks": "rule",
    "triggers": "threshold",
    "alert_thresholds": "threshold",
    "canary_limits": "measure",
}
"""Settings of which only the number of entries is shown, and the noun for an entry."""

_NAMED = 3
"""How many keys of an object are named."""


def settings_document(loaded: Loaded) -> dict[str, Any]:
    """Return every setting with its value, its source and what it is for."""
    values = loaded.config.to_json()
    return {
        "schema": "namel3ss-debug/config/1",
        "file": str(loaded.file) if loaded.file else None,
        "settings": {
            setting.key: {
                "value": values[setting.key],
                "source": loaded.sources[setting.key],
                "allowed": setting.allowed,
                "variables": list(setting.variables),
                "help": setting.help,
            }
            for setting in SETTINGS
        },
    }


def settings_blocks(loaded: Loaded) -> Iterator[Block]:
    """Yield a table with a row for each setting, the defaults dim, and where settings come from."""
    values = loaded.config.to_json()
    columns = (Column("setting"), Column("value", least=16), name("from", 12))
    rows = []
    for setting in SETTINGS:
        source = loaded.sources[setting.key]
        style = DIM if source == "default" else ""
        shown = format_value(setting.key, values[setting.key])
        where = "file" if loaded.file and source == str(loaded.file) else source
        rows.append((text(setting.key, style), text(shown, style), text(where, style)))
    yield Table(columns, rows, long=True)
    found = str(loaded.file) if loaded.file else f"none found; {FILE_NAME} here or above would be read"
    yield Facts(
        [("file", text(found)), ("environment", f"{ENVIRONMENT_PREFIX}<SETTING IN CAPITALS>")], indent=""
    )


def format_value(key: str, value: object) -> str:
    """Return the value of a setting in a few words."""
    if key in _COUNTED and isinstance(value, list | dict) and value:
        return count(len(value), _COUNTED[key])
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("all" if key == "default_components" else "none")
    if isinstance(value, dict):
        named = list(map(str, value))
        rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return ", ".join(named[:_NAMED]) + rest or "none"
    if key in _SIZES and isinstance(value, int):
        nothing = (
            "off" if key == "trace_retention_bytes" else "whole" if key == "max_payload_size" else "never"
        )
        return bytes_text(value) if value else nothing
    if isinstance(value, float):
        return f"{value:g}"
    return (value or "none") if isinstance(value, str) else json.dumps(value)
