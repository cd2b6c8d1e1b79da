"""What a page holds of many runs: a row for each, the trends of their figures, what fails again and again, and who calls whom."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, analyze_many
from namel3ss_debug.analysis.aggregate.trends import FIGURES, compute_trends
from namel3ss_debug.analysis.totals import Many
from namel3ss_debug.traces.outcomes import NOT_GOOD, describe_outcome
from namel3ss_debug.views.analysis import run_heading
from namel3ss_debug.views.cleaning import clean
from namel3ss_debug.views.health import describe_finding
from namel3ss_debug.views.page.reading import PageRequest
from namel3ss_debug.views.paths import short_name
from namel3ss_debug.views.quantities import count, duration, money, tokens
from namel3ss_debug.views.trends import behind, describe_figure, describe_trend

LONGEST_TEXT: Final = 300
_SECTIONS: Final = ("execution_overview", "errors", "interactions", "health")
MOST_PROGRAMS: Final = 20
"""The programs whose trends are in a page."""

_WORDS: Final = frozenset({"label", "is_worse", "change", "first", "median", "last"})
_OF: Final = {figure.name: figure.of for figure in FIGURES}
_SHOWN: Final = ("response_time_ms", "error_rate", "cost", "tokens", "memory_mb")
"""The figures whose trends are drawn, in this order."""


class _TimedRun(NamedTuple):
    """When a run began, its row in the page, and its figures."""

    began: float
    row: int
    figures: Mapping[str, Any]


def read_many(
    paths: Sequence[Path],
    request: PageRequest,
    page: Path | None = None,
    reruns: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return what is known of many runs, as JSON.

    Args:
        paths: the first files of their traces, the oldest first.
        request: what the page is made of.
        page: its file, from which it links the pages that lie beside traces; None: it links none.
        reruns: the re-runs that are left out.
        progress: as in `analyze_many`.

    Raises:
        UnreadableTraceError: none of the traces can be read.
    """
    many = analyze_many(
        paths,
        AnalysisRequest(
            sections=_SECTIONS,
            options=request.options,
            prices=request.config.prices,
            left_out=tuple(map(str, reruns)),
            change=request.change,
        ),
        progress,
    )
    runs = [_run_to_json(row, page) for row in many.rows]
    overview = many.document["execution_overview"]
    interactions = many.document["interactions"]
    return {
        "runs": runs,
        "cost_text": money(overview["cost"]) if overview.get("cost") is not None else "",
        "tokens": overview.get("tokens"),
        "notes": list(_describe_notes(many)),
        "trends": _trends_to_json(many),
        "recurring": [
            {
                "fingerprint": row["fingerprint"],
                "count": row["count"],
                "traces": row["traces"],
                "what": _cut(" ".join(filter(None, (row["component"], row["component_name"])))),
                "error": _cut(": ".join(filter(None, (row["error_type"], row["error"])))),
                "trace": shlex.quote(os.path.relpath(row["trace"])),
                "number": row["number"],
            }
            for row in many.document["errors"]["recurring"]
        ],
        "calls": [
            {
                "from": _cut(row["from"]),
                "component": _cut(row["component"]),
                "name": _cut(row["component_name"] or row["component"]),
                "count": row["count"],
                "failed": row["failed"],
                "ms": duration(row["total_ms"]) if row["total_ms"] is not None else "",
            }
            for row in interactions["calls"]
        ],
        "hand_offs": [
            {"from": _cut(row["from"]), "to": _cut(row["to"]), "count": row["count"]}
            for row in interactions["hand_offs"]
        ],
    }


def page_beside(path: Path) -> Path:
    """Return where the page of a trace is written when no file is named."""
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".jsonl") + ".html")


def _cut(text: str | None) -> str:
    return clean(text or "", LONGEST_TEXT)


def _run_to_json(row: Mapping[str, Any], page: Path | None) -> dict[str, Any]:
    overview, trace = row["execution_overview"], row["trace"]
    path = behind(Path(str(trace["path"])))
    beside = page_beside(path)
    started_at, cost = overview.get("started_at"), overview.get("cost")
    mark = trace.get("mark")
    took = overview.get("duration_ms")
    return {
        "name": _cut(short_name(path)),
        "reference": shlex.quote(os.path.relpath(path)),
        "page": quote(os.path.relpath(beside, page.parent)) if page is not None and beside.exists() else "",
        "started_at": None if started_at is None else datetime.fromtimestamp(started_at, UTC).isoformat(),
        "title": _cut(run_heading(trace, overview).title),
        "target": overview.get("target"),
        "outcome": overview["outcome"],
        "is_failure": overview["outcome"] in NOT_GOOD,
        "outcome_text": _cut(describe_outcome(overview["outcome"], str(overview.get("outcome_detail") or ""))),
        "ms": took,
        "took": "" if took is None else duration(took),
        "cost": cost,
        "cost_text": "" if cost is None else money(cost) + ("+" if overview.get("calls_without_price") else ""),
        "tokens": overview.get("tokens") or 0,
        "errors": overview.get("errors") or 0,
        "finding": _cut(describe_finding(row["findings"][0])) if row["findings"] else "",
        "mark": mark["judgement"] if mark else "",
        "failures": row["failures"],
    }  # fmt: skip


def _trends_to_json(many: Many) -> list[dict[str, Any]]:
    """Return the trends of each program, that with most runs first: different programs are not compared."""
    of_target: defaultdict[str | None, list[_TimedRun]] = defaultdict(list)
    for row, run in enumerate(many.rows):
        overview = run["execution_overview"]
        if overview.get("started_at") is not None:
            figures = {**overview, "memory_peak_mb": run["memory_peak_mb"]}
            of_target[overview.get("target")].append(_TimedRun(overview["started_at"], row, figures))
    largest = sorted(of_target.items(), key=lambda each: (-len(each[1]), each[0] or ""))[:MOST_PROGRAMS]
    return [
        {"target": clean(target or "runs without a program", LONGEST_TEXT), "rows": _trends_of(sorted(runs, key=itemgetter(0, 1)))}
        for target, runs in largest
    ]  # fmt: skip


def _trends_of(runs: Sequence[_TimedRun]) -> list[dict[str, Any]]:
    trends = compute_trends((run.began, run.figures) for run in runs)["figures"]
    return [
        {
            **{key: words for key, words in describe_trend(figure, trends[figure]).items() if key in _WORDS},
            "direction": trends[figure]["direction"],
            "a_day": trends[figure]["slope_per_day"] is not None,
            "confidence": trends[figure]["confidence"],
            "points": [
                [run.row, run.began, value, describe_figure(figure, value)]
                for run in runs
                if (value := _OF[figure](run.figures)) is not None
            ],
        }
        for figure in _SHOWN
        if figure in trends
    ]


def _describe_notes(many: Many) -> list[str]:
    """Return what is not in the page, as sentences."""
    about = many.document["aggregate"]
    notes = []
    if about["left_out"]:
        notes.append(f"{count(len(about['left_out']), 're-run')} left out.")
    notes += (_cut(f"Not read: {failed['error']}") for failed in about["unreadable"])
    dropped = many.document["problems"]["dropped_events"]
    if dropped:
        notes.append(f"{tokens(dropped)} events were dropped when the runs were recorded.")
    return notes
