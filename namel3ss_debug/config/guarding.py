"""Read the settings `limits`, `circuit_breakers` and `retries`, whose rows act on the calls of a traced program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from namel3ss_debug.config.values import number, shown, suggest
from namel3ss_debug.errors import SettingError

MEASURES: Final[Mapping[str, str]] = {
    "cost": "US dollars of model calls",
    "tokens": "tokens of model calls",
    "calls": "model calls and tool calls",
    "seconds": "seconds since the first call",
    "repeats": "calls of the same model or tool with the same input",
    "context": "input tokens of one model call; up to 1: a share of the model's context window",
    "calls_per_minute": "model calls and tool calls in any 60 seconds",
    "calls_per_second": "model calls and tool calls in any second",
}
"""What a limit may limit."""

SUBJECTS: Final[Mapping[str, str]] = {
    "run": "one run with all its processes",
    "agent": "each agent of a run, with everything inside it",
    "tool": "each tool of a run",
    "model": "each model of a run",
    "session": "one session with all its runs",
    "day": "all runs of a day (UTC)",
    "month": "all runs of a month (UTC)",
}
"""Whose use a limit adds up."""

ACTIONS: Final[Mapping[str, str]] = {
    "raise": "`LimitExceeded` is raised in place of the call",
    "stop": "`SystemExit` is raised in place of the call",
    "pause": "the debugger stops there; without one, as `raise`",
    "warn": "one line on stderr, and the call is made",
}
"""What happens when a limit is reached."""

BREAKERS: Final[Mapping[str, tuple[int, float]]] = {"model": (5, 30.0), "tool": (3, 10.0), "host": (10, 60.0)}
"""What a circuit breaker may watch -> how many failures open it, and after how many seconds it tries a call."""

RETRIED: Final = ("model", "host")
"""What may be called again. A tool may have taken effect, so only the function itself can know, by the decorator `retry`."""

_NAMED: Final = frozenset({"agent", "tool", "model"})
FALLBACKS: Final = ("fallback", "fallback_function", "fallback_model")
"""What may answer in place of a call whose circuit is open."""


class UseLimit(NamedTuple):
    """One limit.

    Attributes:
        measure: one of `MEASURES`.
        most: how much is allowed.
        by: one of `SUBJECTS`, or `function` for one call of a decorated function.
        name: the pattern of the names of agents, tools or models that it is for.
        action: one of `ACTIONS`.
        unknown_cost: the dollars that a model call without a known price counts as; `None` refuses such calls.
    """

    measure: str
    most: float
    by: str = "run"
    name: str = "*"
    action: str = "raise"
    unknown_cost: float | None = 0.0


class Breaker(NamedTuple):
    """The setting of the circuit breakers of some models, tools or hosts.

    Attributes:
        kind: one of `BREAKERS`.
        name: the pattern of their names; each has a circuit of its own.
        failure_threshold: how many failures in a row open it.
        recovery_timeout: the seconds after which an open circuit lets one call through.
        window: the seconds within which the failures lie; 0: any time.
        fallback: the kind of its fallback, such as `fallback_model`, and its value; `None` for none.
    """

    kind: str
    name: str
    failure_threshold: int
    recovery_timeout: float
    window: float = 0.0
    fallback: tuple[str, Any] | None = None


class RetryRule(NamedTuple):
    """How often requests to some models or hosts are made again after they failed.

    Attributes:
        kind: one of `RETRIED`.
        name: the pattern of their names.
        attempts: how often a request is made at most.
        delay: the seconds before the second attempt; each further pause is twice as long.
        longest: the seconds of the longest pause.
    """

    kind: str
    name: str
    attempts: int = 3
    delay: float = 0.5
    longest: float = 30.0


def limits(value: object) -> tuple[Mapping[str, Any], ...]:
    """Read a list of limits, or one."""
    found = _parse(value)
    rows = (found,) if isinstance(found, Mapping) else found
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise TypeError
    list(read_limits(rows))
    return tuple(rows)


def read_limits(rows: Iterable[Mapping[str, Any]]) -> Iterable[UseLimit]:
    """Yield the limits in the rows of the setting: one for each measure of a row.

    Raises:
        SettingError: a row has an unknown key, a wrong value or no measure.
    """
    for row in rows:
        _refuse_unknown(row, (*MEASURES, "by", "name", "action", "unknown_cost"), "limits")
        by, action = str(row.get("by", "run")), str(row.get("action", "raise"))
        _choose("limits.by", by, SUBJECTS)
        _choose("limits.action", action, ACTIONS)
        name, unknown = row.get("name", "*"), row.get("unknown_cost", 0)
        if not isinstance(name, str) or (name != "*" and by not in _NAMED):
            raise SettingError(
                f"limits.name is {shown(name)}; it is a pattern of names, by agent, tool or model"
            )
        unknown_cost = None if unknown == "refuse" else _read_number("limits.unknown_cost", unknown)
        measures = [measure for measure in MEASURES if measure in row]
        if not measures:
            raise SettingError(f"limits has {shown(row)}; name one of {', '.join(MEASURES)}")
        for measure in measures:
            most = _read_number(f"limits.{measure}", row[measure])
            yield UseLimit(measure, most, by, name, action, unknown_cost)


def circuit_breakers(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Read an object of model, tool or host and the circuit breaker for it."""
    rows = _parse_targets(value)
    list(read_breakers(rows))
    return rows


def read_breakers(rows: Mapping[str, Mapping[str, Any]]) -> Iterable[Breaker]:
    """Yield the circuit breakers of the setting.

    Raises:
        SettingError: a row has an unknown key or a wrong value.
    """
    for target, row in rows.items():
        where = f"circuit_breakers[{shown(target)}]"
        kind, _, name = target.partition(":")
        _choose("circuit_breakers", kind, BREAKERS)
        _refuse_unknown(row, (*FALLBACKS, "failure_threshold", "recovery_timeout", "window"), where)
        failures, seconds = BREAKERS[kind]
        threshold = _read_count(f"{where}.failure_threshold", row.get("failure_threshold", failures))
        recovery = _read_number(f"{where}.recovery_timeout", row.get("recovery_timeout", seconds))
        window = _read_number(f"{where}.window", row.get("window", 0))
        chosen = [key for key in FALLBACKS if key in row]
        if len(chosen) > 1:
            raise SettingError(f"{where} has {' and '.join(chosen)}; keep one of them")
        fallback = (chosen[0], row[chosen[0]]) if chosen else None
        if fallback is not None and fallback[0] != "fallback" and not isinstance(fallback[1], str):
            raise SettingError(f"{where}.{fallback[0]} is {shown(fallback[1])}, allowed is a name")
        if "fallback_function" in row and ":" not in row["fallback_function"]:
            raise SettingError(
                f"{where}.fallback_function is {shown(row['fallback_function'])}, allowed is module:function"
            )
        if "fallback_model" in row and kind != "model":
            raise SettingError(f"{where} has fallback_model, which only a model can have")
        yield Breaker(kind, name or "*", threshold, recovery, window, fallback)


def retries(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Read an object of model or host and how often its requests are made again."""
    rows = _parse_targets(value)
    list(read_retries(rows))
    return rows


def read_retries(rows: Mapping[str, Mapping[str, Any]]) -> Iterable[RetryRule]:
    """Yield the rules of the setting `retries`.

    Raises:
        SettingError: a row has an unknown key or a wrong value.
    """
    for target, row in rows.items():
        where = f"retries[{shown(target)}]"
        kind, _, name = target.partition(":")
        _choose("retries", kind, dict.fromkeys(RETRIED))
        _refuse_unknown(row, RetryRule._fields[2:], where)
        rule = RetryRule(kind, name or "*")
        yield rule._replace(
            attempts=_read_count(f"{where}.attempts", row.get("attempts", rule.attempts)),
            delay=_read_number(f"{where}.delay", row.get("delay", rule.delay)),
            longest=_read_number(f"{where}.longest", row.get("longest", rule.longest)),
        )


def _parse(value: object) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _parse_targets(value: object) -> Mapping[str, Mapping[str, Any]]:
    rows = _parse(value)
    if not isinstance(rows, Mapping) or not all(isinstance(row, Mapping) for row in rows.values()):
        raise TypeError
    return rows


def _read_count(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(f"{key} is {shown(value)}, allowed is a whole number from 1")
    return value


def _read_number(key: str, value: object) -> float:
    try:
        return number(0)(None if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise SettingError(f"{key} is {shown(value)}, allowed is a number from 0") from None


def _choose(key: str, word: str, choices: Mapping[str, Any]) -> None:
    if word not in choices:
        hint = suggest(word, choices) or f", allowed is {', '.join(choices)}"
        raise SettingError(f"{key} has {shown(word)}{hint}")


def _refuse_unknown(row: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in row:
        if key not in known:
            hint = suggest(str(key), known) or f", allowed is {', '.join(known)}"
            raise SettingError(f"{where} has {shown(key)}{hint}")


def add_guards(present: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of guards with others added: rows of limits behind, and others before, because the first that fits counts."""
    whole: dict[str, Any] = {}
    for key, value in added.items():
        there = present.get(key)
        if isinstance(value, Mapping):
            whole[key] = dict(value) | {name: row for name, row in (there or {}).items() if name not in value}
        else:
            rows = [there] if isinstance(there, Mapping) else list(there or ())
            whole[key] = rows + [row for row in value if row not in rows]
    return whole
