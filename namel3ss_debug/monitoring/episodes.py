"""The episodes of alerts: whether a rule is broken about a subject, and the alert that is made of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from namel3ss_debug.analysis.checks.messages import format_value
from namel3ss_debug.analysis.findings import COMMAND, compute_fingerprint
from namel3ss_debug.errors import short
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.rules import AlertRule
from namel3ss_debug.monitoring.watch import MEASURES, Reading

_MOST_EVENTS: Final = 5
_LONGEST_TEXT: Final = 240
_LONGEST_NAME: Final = 60
_COMPARED: Final = re.compile(r"(\w+)\s*(?:[<>]=?|==)\s*([\d.]+)(?:\s*\*\s*([\d.]+))?\s*$")
"""The last comparison of an expression, such as `error_rate <= 0.05` or `cost <= 0.8 * 10`."""


@dataclass(slots=True)
class Episode:
    """One time of a broken rule."""

    began: float
    fired: float | None = None
    over_since: float | None = None
    alert: Alert | None = None


class Program(NamedTuple):
    """What an alert is about: the path of a trace, and its program where that is known."""

    path: str
    title: str = ""


class Judged(NamedTuple):
    """A rule about a subject: whether it is broken, the values that it read, and the events that prove it."""

    broken: bool
    values: Mapping[str, float | None]
    events: tuple[int, ...]


def has_fired(episode: Episode | None) -> bool:
    """Return whether there is an episode that fires."""
    return episode is not None and episode.fired is not None


def judge(rule: AlertRule, reading: Reading) -> Judged:
    """Evaluate a rule about one subject. What is not known breaks no rule."""
    expression = rule.limit.expression
    found = {name: MEASURES[name](reading) for name in expression.names}
    values = {name: value for name, (value, _) in found.items()}
    broken = not expression.matches(values) and None not in values.values()
    named, _ = _find_compared(expression.text)
    proofs = [named] if named in found else list(found)
    events = dict.fromkeys(number for name in proofs for number in found[name][1] if number) if broken else ()
    return Judged(broken, values, tuple(events)[-_MOST_EVENTS:])


def make_alert(
    rule: AlertRule, subject: str, judged: Judged, program: Program, episode: Episode, state: str
) -> Alert:
    """Return the alert of an episode."""
    by = rule.key.by
    labels = dict(rule.labels)
    path = str(Path(program.path).parent) if by == "all" else program.path
    if program.title and by != "all":
        labels["program"] = short(Path(program.title).name, _LONGEST_NAME)
    if subject:
        labels[by] = short(subject, _LONGEST_NAME)
    pairs = tuple(sorted(labels.items()))
    compared, threshold = _find_compared(rule.limit.expression.text)
    named = [compared] if compared in judged.values else sorted(judged.values)
    seen = ", ".join(f"{name} is {format_value(name, _rounded(judged.values[name]))}" for name in named)
    over = f" over {describe_seconds(rule.key.seconds)}" if rule.key.seconds else ""
    who = f"{by} {short(subject, _LONGEST_NAME)}: " if subject else ""
    what = f"{rule.message}; " if rule.message else ""
    fingerprint = compute_fingerprint(rule.name, *(text for pair in pairs for text in pair))
    return Alert(
        rule=rule.name,
        severity=rule.severity,
        state=state,
        text=short(f"{who}{what}{seen}{over}, the limit is {rule.limit.expression.text}", _LONGEST_TEXT),
        labels=pairs,
        value=judged.values.get(compared),
        threshold=threshold,
        began=episode.began,
        fired=episode.fired,
        ended=None,
        trace=path,
        events=judged.events,
        command=_command(program.path, judged.events),
        fingerprint=fingerprint,
        episode=compute_fingerprint(fingerprint, path, repr(episode.began)),
    )


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _find_compared(text: str) -> tuple[str, float | None]:
    """Return the measure and the number of the last comparison of an expression; "" and None where it ends otherwise."""
    match = _COMPARED.search(text)
    return ("", None) if match is None else (match[1], float(match[2]) * float(match[3] or 1))


def describe_seconds(seconds: float) -> str:
    """Return a time in the largest unit that has a whole number of it."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _command(path: str, events: Sequence[int]) -> str:
    """Return the command that shows the events that prove an alert."""
    where = shlex.quote(path)
    return f"{COMMAND}inspect {where} --event {events[0]}" if events else f"{COMMAND}analyze {where}"
