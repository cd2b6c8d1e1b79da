"""Read and check the values of settings, from the file, the environment or an option.

Each reader takes JSON, or the text of a variable, and returns the value.

Raises:
    ValueError: the value is not allowed; the allowed values are in the table of settings.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from namel3ss_debug.config.unverified import ACCEPTABLE
from namel3ss_debug.errors import SettingError, short

NEVER = "never"
"""The value of NAMEL3SS_DEBUG_ENABLED with which decorators do nothing at all."""

_RULE_NAME = re.compile(r"[\w.\-]{1,64}")
_PERIOD = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FOREVER = "forever"
RETENTION_KINDS = ("failed", "marked", "rerun", "default")
LEVELS = ("basic", "detailed", "comprehensive")
TRIGGERS: Mapping[str, float] = {
    "response_time": 2.0,
    "error_rate": 0.05,
    "error_window_seconds": 300.0,
    "memory_mb_per_hour": 50.0,
    "loops": 0.0,
    "cpu_share": 0.9,
    "cpu_seconds": 30.0,
    "timeouts": 3.0,
    "context_share": 0.9,
    "blocked_seconds": 10.0,
}
"""The thresholds of `analyze --triggers`; anything above them is reported."""

ALERTS: Mapping[str, float | None] = {
    "agent_down": 60.0,
    "slow_response": 5000.0,
    "response_time": None,
    "throughput": None,
    "cpu_usage": 0.8,
    "memory_usage": 0.85,
    "high_cost": 2.5,
    "daily_budget": 10.0,
    "monthly_budget": 300.0,
    "cost_jump": 3.0,
    "pattern_anomaly": 3.0,
    "loop": 5.0,
    "stalled_call": 60.0,
    "context_forecast": 3.0,
    "latency_forecast": None,
    "error_forecast": None,
    "cost_forecast": None,
    "memory_forecast": None,
}
"""The thresholds of the alert rules of `monitor` that are not among `TRIGGERS`; null switches a rule off.

What response time, throughput or amount is too much depends on the program, so these rules are off without a threshold.
"""


CANARY_LIMITS: Mapping[str, Sequence[float | None]] = {
    "error_rate": [0.02, 0.1],
    "response_ms": [500.0, 2000.0],
    "cost": [0.0, None],
    "memory_mb": [1024.0, 1024.0],
    "marked_bad": [0.02, 0.1],
}
"""The limits of `check --canary`: worse but below the first is promoted, worse and above the second is rolled back."""


def flag(value: object) -> bool:
    """True or false, also as one of the usual words for these."""
    if isinstance(value, bool):
        return value
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError


def enabled(value: object) -> bool:
    """Return a flag; `never` is false."""
    if isinstance(value, str) and value.strip().lower() == NEVER:
        return False
    return flag(value)


def number(low: float, high: float = float("inf")) -> Callable[[object], float]:
    """Return a reader of numbers from `low` to `high`."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
        if not low <= number <= high or number == float("inf"):
            raise ValueError
        return number

    return read


def whole(low: int) -> Callable[[object], int]:
    """Return a reader of whole numbers from `low` on."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if number < low:
            raise ValueError
        return number

    return read


def size(value: object) -> int:
    """Bytes, or a number followed by KB, MB or GB."""
    if isinstance(value, str):
        text = value.strip().upper()
        for unit, factor in (("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("B", 1)):
            if text.endswith(unit):
                return int(number(0)(text[: -len(unit)].strip()) * factor)
    return whole(0)(value)


def period(text: str) -> float:
    """Return the length of a time such as `30m`, `12h`, `7d` or `2w` in seconds."""
    match = _PERIOD.fullmatch(text.strip().lower())
    if match is None or not float(match[1]):
        raise ValueError
    return float(match[1]) * _SECONDS[match[2]]


def retention(value: object) -> Mapping[str, str]:
    """Return an object of kinds of traces and how long they are kept."""
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise TypeError
    for kind, kept in items.items():
        if kind not in RETENTION_KINDS:
            hint = suggest(str(kind), RETENTION_KINDS) or f", allowed is {', '.join(RETENTION_KINDS)}"
            raise SettingError(f"trace_retention has {shown(kind)}{hint}")
        try:
            kept == FOREVER or period(kept)
        except (AttributeError, ValueError):
            allowed = f'a time such as "12h", "7d" or "2w", or "{FOREVER}"'
            raise SettingError(f"trace_retention.{kind} is {shown(kept)}, allowed is {allowed}") from None
    return items


def words(value: object) -> tuple[str, ...]:
    """Names: a list, or the JSON text of a list, or else names separated by commas."""
    items = _listed(value, lambda text: text.split(","))
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise TypeError
    return tuple(item.strip() for item in items if item.strip() and item.strip().lower() != "all")


def hosts(value: object) -> tuple[str, ...]:
    """Hosts, as `words`; a URL is none, and would fit no host."""
    names = words(value)
    for name in names:
        if "/" in name:
            host = name.partition("://")[2].partition("/")[0] or name.partition("/")[0]
            raise SettingError(f"propagate has {shown(name)}; give the host alone: {shown(host)}")
    return names


def texts(value: object) -> tuple[str, ...]:
    """Texts that may contain commas: a list, or the JSON text of a list, or else a single text."""
    items = _listed(value, lambda text: [text])
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise TypeError
    return tuple(item.strip() for item in items if item.strip())


def _listed(value: object, part: Callable[[str], list[str]]) -> object:
    """Return the list in a JSON text, or the parts of a text without brackets."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.lstrip().startswith("[") else part(value)
    except RecursionError:
        raise ValueError from None


def path(value: object) -> str:
    """Return a path."""
    read = optional_path(value)
    if not read:
        raise TypeError
    return read


def optional_path(value: object) -> str:
    """Return a path, or an empty text for none. `~` is expanded here, because no shell does so in a settings file."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise TypeError
    return os.path.expanduser(str(value))


def optional_url(value: object) -> str:
    """Return the URL of a receiver, or an empty text for none."""
    if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
        raise TypeError
    return value


def level(value: object) -> str:
    """Return one of `LEVELS`, in lower or upper case."""
    return _one_of(LEVELS, value)


def log_level(value: object) -> str:
    """Return the name of a log level, in lower case or, as in `logging`, in upper case; or `off`."""
    return _one_of(("off", "debug", "info", "warning", "error", "critical"), value)


def _one_of(words: Sequence[str], value: object) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in words:
        raise ValueError
    return word


def patterns(value: object, setting: str = "redact_patterns") -> Mapping[str, str]:
    """Return an object of names and regular expressions."""
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict) or not all(
        isinstance(text, str) for pair in items.items() for text in pair
    ):
        raise TypeError
    for name, pattern in items.items():
        check_pattern(name, pattern, setting)
    return items


def indicators(value: object) -> Mapping[str, str]:
    """Return the patterns of log messages that report an error."""
    return patterns(value, "error_indicators")


def output_patterns(value: object) -> tuple[str, ...]:
    """Return regular expressions for output."""
    found = texts(value)
    for pattern in found:
        check_pattern("ignored", pattern, "rerun_ignore")
    return found


def check_pattern(name: str, pattern: str, setting: str = "redact_patterns") -> None:
    """Refuse a rule that a setting of patterns cannot use.

    Raises:
        SettingError: its name or its regular expression cannot be used.
    """
    if not _RULE_NAME.fullmatch(name):
        raise SettingError(f"{setting}: {name!r} is not a usable name; use letters, digits, '_', '-' and '.'")
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise SettingError(f"{setting}: {name!r} is not a valid regular expression: {error}") from None


def checks(value: object) -> tuple[Mapping[str, Any] | str, ...]:
    """Rules; their contents are checked by the command that uses them."""
    rules = json.loads(value) if isinstance(value, str) else value
    if not isinstance(rules, list | tuple) or not all(isinstance(rule, dict | str) for rule in rules):
        raise TypeError
    return tuple(rules)


def channels(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Return an object of channels; their contents are checked by the command that uses them."""
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict) or not all(isinstance(each, dict) for each in items.values()):
        raise TypeError
    return items


def prices(value: object) -> Mapping[str, Mapping[str, float] | None]:
    """Return a table of prices; its contents are checked where it is used."""
    from namel3ss_debug.prices import read_table  # a program that is traced needs no prices

    return read_table(value)


def tags(value: object) -> Mapping[str, str]:
    """Return tags: a mapping, or its JSON text, or else `key=value` separated by commas."""
    if isinstance(value, str):
        text = value.strip()
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        value = json.loads(text) if text.startswith("{") else {key: found for key, _, found in pairs}
    if not isinstance(value, Mapping) or not all(
        isinstance(each, str | int | float) for each in value.values()
    ):
        raise TypeError
    found = {str(key).strip(): str(each).strip() for key, each in value.items()}
    if not all(found):
        raise ValueError
    return found


def triggers(value: object) -> Mapping[str, float | None]:
    """Return the thresholds of triggers, with the default for each that is not set."""
    return _thresholds("triggers", TRIGGERS, value)


def alert_thresholds(value: object) -> Mapping[str, float | None]:
    """Return the thresholds of alert rules, with the default for each that is not set."""
    return _thresholds("alert_thresholds", ALERTS, value)


def _thresholds(
    setting: str, defaults: Mapping[str, float | None] | Mapping[str, float], value: object
) -> Mapping[str, float | None]:
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise TypeError
    for name, threshold in items.items():
        if name not in defaults:
            hint = suggest(str(name), defaults) or f", allowed is {', '.join(defaults)}"
            raise SettingError(f"{setting} has {shown(name)}{hint}")
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if threshold is not None and not (number and 0 <= threshold < float("inf")):
            allowed = "a number from 0, or null to switch the rule off"
            raise SettingError(f"{setting}.{name} is {shown(threshold)}, allowed is {allowed}")
    return {**defaults, **items}


def canary_limits(value: object) -> Mapping[str, Sequence[float | None]]:
    """Return the limits, with the default for each that is not set."""
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise TypeError
    for name, limits in items.items():
        if name not in CANARY_LIMITS:
            hint = suggest(str(name), CANARY_LIMITS) or f", allowed is {', '.join(CANARY_LIMITS)}"
            raise SettingError(f"canary_limits has {shown(name)}{hint}")
        pair = limits if isinstance(limits, list) and len(limits) == 2 else ()
        numbers = [
            float("inf") if each is None else each for each in pair if isinstance(each, int | float | None)
        ]
        if len(numbers) < 2 or not 0 <= numbers[0] <= numbers[1]:
            allowed = "two numbers from 0, the smaller first, or null for none"
            raise SettingError(f"canary_limits.{name} is {shown(limits)}, allowed is {allowed}")
    return {**CANARY_LIMITS, **items}


def accepted(value: object) -> tuple[str, ...]:
    """Read some of `ACCEPTABLE`."""
    found = words(value)
    if not set(found) <= set(ACCEPTABLE):
        raise ValueError
    return found


def tools(value: object) -> Mapping[str, str]:
    """Read an object of tool names and what a re-run does with them."""
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict) or not all(isinstance(name, str) for name in items):
        raise TypeError
    for name, what in items.items():
        if what not in ("run", "answer"):
            raise SettingError(f'tools.{name} is {shown(what)}, allowed is "run" or "answer"')
    return items


def suggest(word: str, choices: Iterable[str], prefix: str = "") -> str:
    """Return "; did you mean ...?" with the nearest of the choices; empty where none is near."""
    import difflib  # traced programs read settings too, and only a mistake needs it

    near = difflib.get_close_matches(word, list(choices), 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def shown(value: object) -> str:
    """Return the beginning of a value, as a message shows it."""
    return short(json.dumps(value, default=str), 60, "...")
