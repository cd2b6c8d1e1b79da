"""How much was found wrong with a run: five parts, one score, a level, and what matters most, from the other sections.

The score weighs what was found, and nothing else. A run without findings is not a good run: nobody has judged its
outcome. `statement` says so, or how the user has marked the run (`traces/marks.py`).

The section:

    {"score": 0.5, "level": "serious", "statement": "2 errors seen; outcome not judged",
     "decided_by": ["severity"], "reason": null,
     "measures": {"success_rate": 0.917, "integrity": 1.0, "severity": 0.75, "score": 0.5},
     "parts": {"quality": {"score": 0.25, "weight": 1.0, "lowered_by": [{"finding": "failure", "by": 0.75}]}, ...},
     "sections": {"errors": {"score": 0.25, "lowered_by": [{"finding": "failure", "by": 0.75}]}, ...},
     "finding_count": 1,
     "findings": [{"finding": "failure", "part": "quality", "section": "errors", "weight": 0.75,
                   "words": "tool place_order failed: ...", "numbers": [25, 9],
                   "next": "namel3ss debug explain 25"}],
     "levels": {"negligible": {"success_rate": 0.95, ...}, ...}}

Findings (`findings`) lower the parts and sections, each by its `by`. Of findings of one kind only the heaviest counts,
and a score is the product of 1 - `by` over the kinds, so that it stays between 0 and 1. The section `integrity` keeps
the score it has. The score of the run lies half way between

- the mean of the parts, by their `WEIGHTS`, and
- the weakest part: the least of 1 - weight x (1 - part),

so that one bad part cannot hide among four good ones. A section without data (no spans, no messages, no prices) has
the score null and does not count, and so has a part none of whose sections has data. A run in which no agent, model,
tool or component of the user's own did anything has no score.

The level is the worst that one of four measures allows, by `LEVELS`; `decided_by` names those. The first three limits
are those of success rate, integrity and severity; a severity above .8 is critical, however good the other measures are:
only failures that ended the run and that a person has to repair (authentication, a full disk) reach it. The score has the
same limits as the integrity. The `weight` of a finding is its `by` times the weight of its part.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import NS_PER_MS
from namel3ss_debug.analysis.findings import MARKED_BAD, Finding, Run, findings
from namel3ss_debug.traces.marks import BAD, mark_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

WEIGHTS = {"quality": 1.0, "stability": 0.8, "performance": 0.6, "resources": 0.6, "interactions": 0.6}
"""Part -> how much it matters, the most important first."""

LEVELS: dict[str, dict[str, float]] = {
    "negligible": {"success_rate": 0.95, "integrity": 0.9, "severity": 0.1, "score": 0.9},
    "minor": {"success_rate": 0.85, "integrity": 0.8, "severity": 0.3, "score": 0.8},
    "moderate": {"success_rate": 0.7, "integrity": 0.6, "severity": 0.5, "score": 0.6},
    "serious": {"success_rate": 0.5, "integrity": 0.4, "severity": 0.8, "score": 0.4},
}
"""Level -> the smallest value of each measure that it allows, and the largest severity; worse ones are `critical`.

A level says how much what was found weighs. None of them says that a run was good.
"""

WORST = "critical"
LISTED = 20
COMMAND = "namel3ss debug "

_TELLS = {
    "quality": ("errors", "mark"),
    "stability": ("errors", "integrity"),
    "performance": ("performance",),
    "resources": ("resource_usage", "optimizations"),
    "interactions": ("interactions",),
}
"""Part -> its sections; it has a score where at least one of them has data."""

_READ_TOO = ("execution_overview", "event_type_breakdown")
"""Sections that are read for findings of other sections."""

_NOT_ENDED = frozenset({"open", "killed"})
_NO_WORK = frozenset({"app", "http", "log"})


class Health:
    """Reads the results of the other sections; it needs no events."""

    events: frozenset[str] = frozenset()
    needs: tuple[str, ...] = (
        *(
            "execution_overview",
            "component_breakdown",
            "event_type_breakdown",
            "performance",
            "errors",
            "resource_usage",
            "integrity",
        ),
        *("dependencies", "patterns", "optimizations", "triggers", "interactions", "mark"),
    )

    def __init__(self, _options: Options) -> None:
        """Keep nothing."""

    def span(self, span: MeasuredSpan) -> None:
        """The other sections take it."""

    def open_span(self, span: MeasuredSpan) -> None:
        """The other sections take it."""

    def event(self, number: int, event: Event) -> None:
        """The other sections take it."""

    def merge(self, later: Health) -> None:
        """The other sections are merged."""

    def result(self, totals: Totals) -> dict[str, Any]:
        """The section."""
        wall = totals.wall_ns
        return health(totals.sections, None if wall is None else wall / NS_PER_MS)


def health(sections: Mapping[str, Any], wall_ms: float | None) -> dict[str, Any]:
    """The section, made of the others.

    Args:
        sections: the results of the other sections.
        wall_ms: how long the run took, in milliseconds.
    """
    known = {name: sections[name] for name in _KNOWN if name in sections and _KNOWN[name](sections[name])}
    mark = sections.get("mark")
    if mark is not None and mark["judgement"] == BAD:
        known = {"mark": mark} | known
    told = known | {name: sections[name] for name in _READ_TOO if name in sections}
    usage = sections.get("resource_usage") or {}
    run = Run(wall_ms, (usage.get("tokens") or {}).get("total"), (usage.get("cost") or {}).get("total"))
    found = findings(told, run)
    parts = {part: _part(part, found, known) for part in WEIGHTS}
    worked = not _NO_WORK.issuperset(sections.get("component_breakdown") or {})
    score = _score({part: row["score"] for part, row in parts.items()}) if worked else None
    measures = {
        "success_rate": (sections.get("execution_overview") or {}).get("success_rate"),
        "integrity": (known.get("integrity") or {}).get("score"),
        "severity": (known.get("errors") or {}).get("severity"),
        "score": score,
    }
    level, decided_by = _level(measures) if score is not None else (None, [])
    ranked = sorted(_apart(found), key=_rank)
    return {
        "score": score,
        "level": level,
        "statement": describe_outcome(sections, mark),
        "decided_by": decided_by,
        "reason": None if worked else "no agent, model or tool did anything",
        "measures": measures,
        "parts": parts,
        "sections": {name: _section(name, found, known) for name in _KNOWN if name in sections},
        "finding_count": len(ranked),
        "findings": [_row(finding) for finding in ranked[:LISTED]],
        "levels": LEVELS,
    }


def describe_outcome(sections: Mapping[str, Any], mark: Mapping[str, Any] | None) -> str:
    """Return what is known of the outcome: the errors seen, and the user's judgement or that there is none.

    Args:
        sections: the results of the other sections.
        mark: the user's mark as JSON.
    """
    seen = _describe_errors(sections)
    if mark is None:
        return f"{seen}; outcome not judged"
    judged = mark_from_json(mark).describe()
    return f"{judged}; {seen}" if mark["judgement"] == BAD else f"{seen}; {judged}"


def _describe_errors(sections: Mapping[str, Any]) -> str:
    """Return how many errors were seen, and how the run ended if it did not complete."""
    errors, overview = sections.get("errors") or {}, sections.get("execution_overview") or {}
    counts = (
        (errors.get("total_errors"), "error"),
        (errors.get("recovered_errors"), "recovered error"),
        (errors.get("weak_errors"), "possible error"),
    )
    seen = [f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    status, exit_status = overview.get("status"), overview.get("exit_status")
    ended = f"exit status {exit_status}, " if exit_status else f"{status}, " if status in _NOT_ENDED else ""
    return f"{ended}{', '.join(seen) or 'no errors'} seen"


def _rank(finding: Finding) -> tuple[bool, float, int, str]:
    """Return the sort key of a finding: the user's own judgement before everything that was computed."""
    return (
        finding.slug != MARKED_BAD,
        -_weight(finding),
        min(finding.numbers, default=0),
        finding.slug,
    )


def _weight(finding: Finding) -> float:
    return round(finding.by * WEIGHTS[finding.part], 3)


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "finding": finding.slug,
        "part": finding.part,
        "section": finding.section,
        "weight": _weight(finding),
        "words": finding.words,
        "numbers": list(finding.numbers),
        "next": COMMAND + finding.next,
    }


def _apart(found: Iterable[Finding]) -> list[Finding]:
    """The findings without those that report the same about the same events as a heavier one."""
    kept: list[Finding] = []
    for finding in found:
        same = (each for each in kept if each.slug == finding.slug and each.section != finding.section)
        if not any(set(each.numbers) & set(finding.numbers) for each in same):
            kept.append(finding)
    return kept


def _part(part: str, found: Iterable[Finding], known: Mapping[str, Any]) -> dict[str, Any]:
    lowered = _heaviest(finding for finding in found if finding.part == part)
    tells = any(name in known for name in _TELLS[part])
    return {"score": _left(lowered) if tells else None, "weight": WEIGHTS[part], "lowered_by": _rows(lowered)}


def _section(name: str, found: Iterable[Finding], known: Mapping[str, Any]) -> dict[str, Any]:
    lowered = _heaviest(finding for finding in found if finding.section == name)
    score = None if name not in known else known[name]["score"] if name == "integrity" else _left(lowered)
    return {"score": score, "lowered_by": _rows(lowered)}


def _heaviest(found: Iterable[Finding]) -> dict[str, float]:
    """The `by` of the heaviest finding of each kind, the heaviest first."""
    lowered: dict[str, float] = {}
    for finding in found:
        lowered[finding.slug] = max(lowered.get(finding.slug, 0.0), finding.by)
    return dict(sorted(lowered.items(), key=lambda item: (-item[1], item[0])))


def _left(lowered: Mapping[str, float]) -> float:
    return round(prod(1 - by for by in lowered.values()), 3)


def _rows(lowered: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"finding": slug, "by": by} for slug, by in lowered.items()]


def _score(parts: Mapping[str, float | None]) -> float | None:
    """Half way between the mean of the parts and the weakest of them; None where nothing is known."""
    told = {part: score for part, score in parts.items() if score is not None}
    if not told:
        return None
    mean = sum(WEIGHTS[part] * score for part, score in told.items()) / sum(WEIGHTS[part] for part in told)
    weakest = min(1 - WEIGHTS[part] * (1 - score) for part, score in told.items())
    return round((mean + weakest) / 2, 3)


def _level(measures: Mapping[str, float | None]) -> tuple[str, list[str]]:
    """The worst of the levels that the measures allow, and the measures that allow no better one."""
    names = [*LEVELS, WORST]
    places = {measure: _place(measure, value) for measure, value in measures.items() if value is not None}
    worst = max(places.values())
    return names[worst], [measure for measure, place in places.items() if place == worst and place]


def _place(measure: str, value: float) -> int:
    """The place of the level that a value allows, 0 for the best."""
    for place, limits in enumerate(LEVELS.values()):
        if value <= limits[measure] if measure == "severity" else value >= limits[measure]:
            return place
    return len(LEVELS)


def _has_errors(section: Mapping[str, Any]) -> bool:
    return section["error_rate"] is not None or bool(section["total_errors"] or section["open_span_count"])


def _has_usage(section: Mapping[str, Any]) -> bool:
    return bool(section["tokens"]["total"] or section["memory"]["samples"])


def _has_calls(section: Mapping[str, Any]) -> bool:
    return bool(section["messages"]["count"] or any(row["component"] == "agent" for row in section["calls"]))


def _has_rules(section: Mapping[str, Any]) -> bool:
    return any(rule["state"] in {"fired", "quiet"} for rule in section["rules"])


_KNOWN: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "performance": lambda section: bool(section["operations"]),
    "errors": _has_errors,
    "resource_usage": _has_usage,
    "integrity": lambda section: section["score"] is not None,
    "dependencies": lambda section: bool(section["spans"]),
    "patterns": lambda section: bool(section["spans"]),
    "optimizations": lambda section: any(row["count"] for row in section["kinds"]),
    "triggers": _has_rules,
    "interactions": _has_calls,
}
"""Section -> whether it has data about the run."""
