"""How much was found wrong with a run: five parts, one score, a level, and what matters most, from the other sections.

The score weighs what was found, and nothing else. A run without findings is not a good run: nobody has judged its
outcome. `statement` says so, or how the user has marked the run (`traces/marks.py`).

The section:

    {"score": 0.5, "level": "serious", "statement": "2 errors seen; outcome not judged",
     "decided_by": ["severity"], "reason": null,
     "measures": {"success_rate": 0.917, "integrity": 1.0, "severity": 0.75, "score": 0.5},
     "parts": {"quality": {"score": 0.25, "weight": 1.0, "lowered_by": [{"id": "failure", "weight": 0.75}]}, ...},
     "sections": {"errors": {"score": 0.25, "lowered_by": [{"id": "failure", "weight": 0.75}]}, ...},
     "finding_count": 1,
     "findings": [{"id": "failure", "severity": "error", "subject": "tool:place_order",
                   "evidence": "tool place_order failed: ...", "events": [25, 9],
                   "suggestion": "namel3ss debug explain 25", ...,
                   "section": "errors", "part": "quality", "weight": 0.75}],
     "levels": {"negligible": {"success_rate": 0.95, ...}, ...}}

Findings (`findings`) lower the parts and sections, each by its weight. Of findings of one kind only the heaviest
counts, and a score is the product of 1 - weight over the kinds, so that it stays between 0 and 1. The section `integrity` keeps
the score it has. The score of the run lies half way between

- the mean of the parts, by their `WEIGHTS`, and
- the weakest part: the least of 1 - weight x (1 - part),

so that one bad part cannot hide among four good ones. A section without data (no spans, no messages, no prices) has
the score null and does not count, and so has a part none of whose sections has data. A run in which no agent, model,
tool or component of the user's own did anything has no score.

The level is the worst that one of four measures allows, by `LEVELS`; `decided_by` names those. The first three limits
are those of success rate, integrity and severity; a severity above .8 is critical, however good the other measures are:
only failures that ended the run and that a person has to repair (authentication, a full disk) reach it. The score has the
same limits as the integrity. In `findings`, the `weight` of a finding is multiplied by that of its part.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.findings import UNFINISHED, Finding, RunAmounts, make_finding, sort_findings
from namel3ss_debug.traces.facts import NS_PER_MS
from namel3ss_debug.traces.marks import BAD, mark_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from namel3ss_debug.analysis.contract import ComputedSections, Section
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import SpanTable

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
MARKED_BAD = "marked_bad"
"""The id of the finding that a user's mark makes."""

_NOT_ENDED = frozenset({"open", "killed"})
_NO_WORK = frozenset({"app", "http", "log"})


def run_health(spans: SpanTable, _options: Options, sections: ComputedSections) -> dict[str, Any]:
    """Return the section, made of the others."""
    known = {**sections, "mark": spans.about[0].get("mark")}
    return health(known, sections.rows, None if spans.wall is None else spans.wall / NS_PER_MS)


def health(
    sections: Mapping[str, Any], table: Mapping[str, Section], wall_ms: float | None
) -> dict[str, Any]:
    """Return the section, made of the others.

    Args:
        sections: the results of the other sections, and the `mark` of the user.
        table: the rows of all sections.
        wall_ms: how long the run took, in milliseconds.
    """
    judged = [row for name, row in table.items() if row.in_health and name in sections]
    known = {row.name: sections[row.name] for row in judged if row.has_data(sections[row.name])}
    mark = sections.get("mark")
    usage = sections.get("resource_usage") or {}
    run = RunAmounts(
        wall_ms, (usage.get("tokens") or {}).get("total"), (usage.get("cost") or {}).get("total")
    )
    found = sort_findings(find_findings(sections, table, known, run))
    parts: dict[str, dict[str, Any]] = {}
    for part, weight in WEIGHTS.items():
        lowered = _heaviest(finding for finding in found if finding.part == part)
        # The user's judgement is about the quality, even where no section has data on it.
        has_data = any(part in table[name].parts for name in known)
        has_data |= part == "quality" and mark is not None and mark["judgement"] == BAD
        score = _remaining(lowered) if has_data else None
        parts[part] = {"score": score, "weight": weight, "lowered_by": _lowered_to_json(lowered)}
    worked = not _NO_WORK.issuperset(sections.get("component_breakdown") or {})
    score = _score({part: row["score"] for part, row in parts.items()}) if worked else None
    measures = {
        "success_rate": (sections.get("execution_overview") or {}).get("success_rate"),
        "integrity": (known.get("integrity") or {}).get("score"),
        "severity": (known.get("errors") or {}).get("severity"),
        "score": score,
    }
    level, decided_by = _level(measures) if score is not None else (None, [])
    ranked = sorted(_without_repetitions(found), key=_rank)
    return {
        "score": score,
        "level": level,
        "statement": describe_outcome(sections, mark),
        "decided_by": decided_by,
        "reason": None if worked else "no agent, model or tool ran",
        "measures": measures,
        "parts": parts,
        "sections": {row.name: _section_to_json(row.name, found, known) for row in judged},
        "finding_count": len(ranked),
        "findings": [
            finding.to_json() | {"section": finding.section, "part": finding.part, "weight": _weight(finding)}
            for finding in ranked[:LISTED]
        ],
        "levels": LEVELS,
    }


def find_findings(
    sections: Mapping[str, Any],
    table: Mapping[str, Section],
    known: Mapping[str, Any],
    run: RunAmounts,
) -> Iterator[Finding]:
    """Yield the findings of all sections and of the user's mark.

    Args:
        sections: the results of all sections, and the `mark` of the user.
        table: the rows of all sections.
        known: the results of the sections that have data about the run.
        run: the amounts of the run.
    """
    for name, row in table.items():
        # Sections without a score of their own, such as the overview, are read whatever they hold.
        if row.findings is not None and (name in known or (name in sections and not row.in_health)):
            yield from row.findings(sections[name], sections, run)
    mark = sections.get("mark")
    if mark is not None and mark["judgement"] == BAD:
        event = mark["event"]
        look = f"explain {event}" if event else "inspect --tree"
        evidence = mark_from_json(mark).describe()
        yield make_finding(
            MARKED_BAD, "quality", "mark", UNFINISHED, evidence, (event,) if event else (), look
        )


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


OF_COST = frozenset({"performance", "resources"})
"""The parts whose findings are about time and cost: they say nothing about the outcome."""


def _rank(finding: Finding) -> tuple[bool, bool, float, int, str]:
    """Return the sort key of a finding: the user's own judgement first, and time and cost after what may be wrong."""
    return (
        finding.id != MARKED_BAD,
        finding.part in OF_COST,
        -_weight(finding),
        min(finding.events, default=0),
        finding.id,
    )


def _weight(finding: Finding) -> float:
    return round(finding.weight * WEIGHTS.get(finding.part, 1.0), 3)


def _without_repetitions(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those that report the same about the same events as a heavier one."""
    kept: list[Finding] = []
    for finding in found:
        same = (each for each in kept if each.id == finding.id and each.section != finding.section)
        if not any(set(each.events) & set(finding.events) for each in same):
            kept.append(finding)
    return kept


def _section_to_json(name: str, found: Iterable[Finding], known: Mapping[str, Any]) -> dict[str, Any]:
    lowered = _heaviest(finding for finding in found if finding.section == name)
    score = (
        None if name not in known else known[name]["score"] if name == "integrity" else _remaining(lowered)
    )
    return {"score": score, "lowered_by": _lowered_to_json(lowered)}


def _heaviest(found: Iterable[Finding]) -> dict[str, float]:
    """Return the weight of the heaviest finding of each kind, the heaviest first."""
    lowered: dict[str, float] = {}
    for finding in found:
        lowered[finding.id] = max(lowered.get(finding.id, 0.0), finding.weight)
    return dict(sorted(lowered.items(), key=lambda item: (-item[1], item[0])))


def _remaining(lowered: Mapping[str, float]) -> float:
    return round(prod(1 - weight for weight in lowered.values()), 3)


def _lowered_to_json(lowered: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"id": kind, "weight": weight} for kind, weight in lowered.items()]


def _score(parts: Mapping[str, float | None]) -> float | None:
    """Return the value half way between the mean of the parts and the weakest of them; None where nothing is known."""
    known = {part: score for part, score in parts.items() if score is not None}
    if not known:
        return None
    mean = sum(WEIGHTS[part] * score for part, score in known.items()) / sum(WEIGHTS[part] for part in known)
    weakest = min(1 - WEIGHTS[part] * (1 - score) for part, score in known.items())
    return round((mean + weakest) / 2, 3)


def _level(measures: Mapping[str, float | None]) -> tuple[str, list[str]]:
    """Return the worst of the levels that the measures allow, and the measures that allow no better one."""
    names = [*LEVELS, WORST]
    indexes = {measure: _index(measure, value) for measure, value in measures.items() if value is not None}
    worst = max(indexes.values())
    return names[worst], [measure for measure, index in indexes.items() if index == worst and index]


def _index(measure: str, value: float) -> int:
    """Return the index of the level that a value allows, 0 for the best."""
    for index, limits in enumerate(LEVELS.values()):
        if value <= limits[measure] if measure == "severity" else value >= limits[measure]:
            return index
    return len(LEVELS)
