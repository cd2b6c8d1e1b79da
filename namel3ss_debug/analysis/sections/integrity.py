"""Judge whether the trace can be trusted: what is missing, what is impossible, what was cut, and a score.

The section:

    {"score": 0.97,                           null for a trace without events
     "lowered_by": [{"check": "open_spans", "count": 3, "of": 30, "unit": "spans", "weight": 0.3,
                     "lowered_by": 0.03, "why": "their outcome is unknown"}],
     "checks": {"lost_events": 0, "skipped_lines": 0, ...},    how many of each; null where it could not be checked
     "findings": [{"check": "open_spans", "number": 17, "what": "..."}],
     "finding_count": 3,
     "redactions": {"openai-key": 2},          placeholders by rule, in how many events
     "largest_step_back_ms": 0.0,
     "largest_clock_error_ms": 0.0}

The score is 1 less the deduction of each check, and not below 0. A deduction is the weight of the check times the share
of what it concerns (`count` out of `of`: events, spans, lines or processes). It is at least `LEAST_SHARE` of the weight
where there is anything at all, so that a single loss in a long trace is seen. `lowered_by` has the largest first.
`findings` are in the order of `CHECKS`, then by number, at most `MOST_OF_A_KIND` of each kind.
"""

from __future__ import annotations

import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from namel3ss_debug.analysis.contract import EVENT, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.findings import make_finding
from namel3ss_debug.analysis.sections.event_sequence import EventSequence, ProblemNotes
from namel3ss_debug.analysis.sections.runs import Lookup
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND
from namel3ss_debug.traces.span_table import EVERY_EVENT, SpanWatcher, span_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

COLUMNS = (
    TableSpec(
        "Integrity {score:share}",
        "lowered_by",
        (
            ColumnSpec("found", "check", "words", 14),
            ColumnSpec("how many", "", "of"),
            ColumnSpec("lowers by", "lowered_by", "share"),
            ColumnSpec("because", "why", "dim", 16),
        ),
        "how far the trace can be trusted",
        most=None,
        alarming=True,
    ),
    TableSpec(
        "Where it shows",
        "findings",
        (EVENT, ColumnSpec("what", "what", "prose", 20)),
    ),
)

LEAST_SHARE = 0.01
MOST_NEEDS = 100_000
"""How many events with `depends_on` are kept, for circles among them."""
MOST_OF_A_KIND = 20
TOLERANCE_NS = 50 * NS_PER_MS
"""Clocks may differ by this much without a finding: threads read the time before it is their turn to write."""

_DRIFT = 100
"""A measured duration may also differ from the timestamps by one part in this many: clocks are slewed."""


class Check(NamedTuple):
    """One kind of problem that is looked for.

    Attributes:
        name: its name in the section.
        weight: its deduction from the score where everything is affected.
        of: the unit that the count is a share of: `events`, `spans`, `lines` or `processes`.
        why: why it matters.
        what: the text of a finding; `{}` is the measured amount.
    """

    name: str
    weight: float
    of: str
    why: str
    what: str = ""


CHECKS: tuple[Check, ...] = (
    Check("lost_events", 1.0, "events", "they cannot be analysed", "events are missing before this one: {}"),
    Check("skipped_lines", 1.0, "lines", "they cannot be analysed"),
    Check("rotated_away_events", 0.5, "events", "the beginning was dropped on purpose"),
    Check("duplicate_ids", 1.0, "events", "the id may mean either event", "an earlier event has the same id"),
    Check("missing_references", 1.0, "events", "their position is unknown", "names a missing event"),
    Check("parent_circles", 1.0, "events", "their position is unknown", "is its own ancestor"),
    Check("circular_dependencies", 1.0, "events", "no order fits them", "circular dependency: {}"),
    Check(
        "late_references",
        0.5,
        "events",
        "the effect precedes its cause",
        "names a later event, or itself",
    ),
    Check("orphan_ends", 0.8, "spans", "their inputs are lost", "ends a span whose start is missing"),
    Check("open_spans", 0.3, "spans", "their outcome is unknown", "never ended"),
    Check("open_processes", 0.1, "processes", "killed, or still running"),
    Check("ends_before_starts", 1.0, "spans", "impossible", "ended {} ms before it began"),
    Check("clock_steps", 0.5, "events", "times are not comparable", "the clock went back by {} ms"),
    Check(
        "clock_errors", 0.5, "spans", "timestamps against duration", "timestamps and duration differ by {} ms"
    ),
    Check("outside_parent", 0.5, "spans", "clocks differ", "what ran inside lies {} ms outside of its time"),
    Check("truncated_payloads", 0.3, "events", "cannot be compared or replayed", "a payload was cut"),
    Check("redacted_payloads", 0.05, "events", "as intended; cannot be replayed", "a secret was left out"),
    Check("repaired_lines", 0.3, "lines", "read as far as possible"),
)
"""All checks, the most important first."""

REPAIRED = ("repaired", "mended", "left out", "replacement characters", "several events on a line")
"""Parts of the reader's messages about lines that were read nevertheless."""

OF_NUMBERS = (
    "events are missing",
    "a number (seq) repeated or too late",
    "earlier segments were rotated away",
)
"""The reader's problems that do not concern a line."""

_MARKS = re.compile(rb'"\$truncated":|\[REDACTED:([\w.\-]{1,64})\]')
_BY_PLACE = (
    "orphan_ends",
    "open_spans",
    "ends_before_starts",
    "clock_errors",
    "truncated_payloads",
    "redacted_payloads",
)


class Integrity(SpanWatcher):
    """Checks every event and every span, and counts what the reader could not read.

    Attributes:
        may_hold_marks: whether the events that follow may hold marks of cut or redacted data; set by the caller that
            feeds them.
    """

    events = EVERY_EVENT

    def __init__(self, _options: Options) -> None:
        self.may_hold_marks = True
        self._sequence = EventSequence(MOST_OF_A_KIND, TOLERANCE_NS)
        self._notes = {name: ProblemNotes(MOST_OF_A_KIND) for name in _BY_PLACE}
        self._redactions: Counter[str] = Counter()
        self._largest_error = 0
        self._begun: set[int] = set()
        self._ended = 0
        self._needs: dict[str, tuple[int, tuple[str, ...]]] = {}

    def expect_marks(self, may_hold: bool) -> None:
        """Take from the reader whether the events that follow may hold marks of what was cut or redacted."""
        self.may_hold_marks = may_hold

    def event(self, number: int, event: Event) -> None:
        """Add the next event: its order, and the marks of what was cut or redacted."""
        self._sequence.add(number, event)
        kind = event["event_type"]
        if kind == "trace_start":
            process = (event.get("metadata") or {}).get("process")
            self._begun.add(process if isinstance(process, int) else 0)
        elif kind == "trace_end":
            self._ended += 1
        if "depends_on" in event and len(self._needs) < MOST_NEEDS:
            needing = span_id(event)
            if isinstance(needing, str):
                needed = tuple(name for name in event["depends_on"] if isinstance(name, str))
                self._needs.setdefault(needing, (number, needed))
        if self.may_hold_marks:
            self._note_marks(number, event)

    def _note_marks(self, number: int, event: Event) -> None:
        """Note an event whose payloads hold marks of redaction or of a cut."""
        try:
            text = orjson.dumps(event)
        except (TypeError, ValueError):
            return
        # Searching a text that ends with a letter rare in JSON, or a single byte, is several times as fast.
        if b"[REDACTED" in text or (b"$" in text and b'"$truncated":' in text):
            rules = {match[1] for match in _MARKS.finditer(text)}
            if None in rules:
                self._notes["truncated_payloads"].add(number)
                rules.discard(None)
            if rules:
                self._notes["redacted_payloads"].add(number)
                self._redactions.update(rule.decode() for rule in rules)

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Check whether the times of a span that ended are possible."""
        number = spans.number[row]
        if not end:
            self._notes["open_spans"].add(number)
            return
        if not start:
            self._notes["orphan_ends"].add(number)
            return
        if "timestamp" not in start:
            return
        duration = max(spans.duration[row], 0)
        if "timestamp" in end:
            passed = int((end["timestamp"] - start["timestamp"]) * NS_PER_SECOND)
            if passed < -TOLERANCE_NS:
                self._notes["ends_before_starts"].add(number, -passed)
            elif "duration_ms" in end:
                error = abs(passed - duration)
                if error > TOLERANCE_NS and error > TOLERANCE_NS + duration // _DRIFT:
                    self._notes["clock_errors"].add(number, error)
                    self._largest_error = max(self._largest_error, error)

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        reader: dict[str, Any] | None = spans.about[0].get("problems")
        notes = self._collect_notes()
        notes["outside_parent"] = _find_outside(spans)
        circles = self._find_circular_dependencies()
        notes["circular_dependencies"] = ProblemNotes(MOST_OF_A_KIND)
        for number in circles:
            notes["circular_dependencies"].add(number)
        counts: dict[str, int | None] = {name: notes_of_check.count for name, notes_of_check in notes.items()}
        gaps = [gap for process in self._sequence.processes.values() for gap in process.gaps()]
        counts["lost_events"] = sum(missing for _, missing, _ in gaps)
        counts["open_processes"] = max(len(self._begun) - self._ended, 0)
        counts |= _reader_counts(reader)
        if reader is not None:  # the reader knows the processes by their files
            counts["rotated_away_events"] = reader["rotated_away_events"]
            counts["lost_events"] = reader["lost_events"] - reader["rotated_away_events"]
        lost = ProblemNotes(MOST_OF_A_KIND)
        for event, missing, at_start in gaps if counts["lost_events"] else ():
            if not (at_start and counts["rotated_away_events"]):
                lost.add(event, missing)
        notes["lost_events"] = lost
        lowered = _deductions(counts, self._bases(spans, counts))
        score = max(round(1.0 - sum(deduction["lowered_by"] for deduction in lowered), 6), 0.0)
        findings = _findings(notes, circles)
        return {
            "score": score if spans.event_count else None,
            "lowered_by": lowered,
            "checks": {check.name: counts[check.name] for check in CHECKS},
            "findings": findings,
            "finding_count": sum(count or 0 for count in counts.values()),
            "redactions": dict(sorted(self._redactions.items())),
            "largest_step_back_ms": milliseconds(self._sequence.largest_step),
            "largest_clock_error_ms": milliseconds(self._largest_error),
        }

    def _find_circular_dependencies(self) -> dict[int, str]:
        """Return the ids in each circle of `depends_on`, as text, by the number of its first event."""
        graph = {needing: set(needed) for needing, (_, needed) in self._needs.items()}
        circles: dict[int, str] = {}
        for _ in range(MOST_OF_A_KIND):
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                ring: list[str] = error.args[1][:-1]  # each needs the one before it
                first = min(range(len(ring)), key=lambda place: self._needs[ring[place]][0])
                around = [ring[first - step] for step in range(len(ring) + 1)]
                circles.setdefault(self._needs[around[0]][0], " -> ".join(around))
                graph[around[0]].discard(around[1])  # look for the next circle without this one
            else:
                break
        return circles

    def _collect_notes(self) -> dict[str, ProblemNotes]:
        """Return the notes of each check, with their events."""
        lookup = Lookup(self._sequence.ids, MOST_OF_A_KIND)
        repeated = ProblemNotes(MOST_OF_A_KIND)
        for number in lookup.repeats:
            repeated.add(number)
        repeated.count = lookup.repeated
        missing, late, circles = self._sequence.references(lookup)
        return {
            **self._notes,
            "duplicate_ids": repeated,
            "missing_references": missing,
            "late_references": late,
            "parent_circles": circles,
            "clock_steps": self._sequence.steps_back,
        }

    def _bases(self, spans: SpanTable, counts: dict[str, int | None]) -> dict[str, int]:
        """Return the number of each unit, lost ones included."""
        gone = (counts["lost_events"] or 0) + (counts["rotated_away_events"] or 0)
        return {
            "events": spans.event_count + gone,
            "spans": len(spans),
            "lines": spans.event_count + (counts["skipped_lines"] or 0),
            "processes": len(self._begun),
        }


def _find_outside(spans: SpanTable) -> ProblemNotes:
    """Return the spans of whose children some ran outside of their time."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for row, around in enumerate(spans.around):
        if around >= 0 and spans.began[row] >= 0 and spans.duration[row] > 0:
            begin, end = spans.began[row], spans.began[row] + spans.duration[row]
            first[around] = min(first.get(around, begin), begin)
            last[around] = max(last.get(around, end), end)
    notes = ProblemNotes(MOST_OF_A_KIND)
    for row in sorted(first):
        began, duration = spans.began[row], max(spans.duration[row], 0)
        if began >= 0 and spans.end[row]:
            outside = max(began - first[row], last[row] - began - duration)
            if outside > TOLERANCE_NS + duration // _DRIFT:
                notes.add(spans.number[row], outside)
    return notes


def _reader_counts(reader: dict[str, Any] | None) -> dict[str, int | None]:
    """Return the counts that only the reader knows; None where there is no reader's section."""
    if reader is None:
        return dict.fromkeys(("skipped_lines", "repaired_lines", "rotated_away_events"))
    kinds = {kind: count for kind, count in reader["kinds"].items() if kind not in OF_NUMBERS}
    repaired = sum(count for kind, count in kinds.items() if any(words in kind for words in REPAIRED))
    return {"skipped_lines": sum(kinds.values()) - repaired, "repaired_lines": repaired}


def _deductions(counts: dict[str, int | None], bases: dict[str, int]) -> list[dict[str, Any]]:
    """Return the deduction of each check from the score, the largest first."""
    lowered = []
    for check in CHECKS:
        count = counts[check.name]
        if count:
            base = max(bases[check.of], count)
            amount = round(check.weight * max(count / base, LEAST_SHARE), 6)
            lowered.append(
                {
                    "check": check.name,
                    "count": count,
                    "of": base,
                    "unit": check.of,
                    "weight": check.weight,
                    "lowered_by": amount,
                    "why": check.why,
                }
            )
    return sorted(lowered, key=lambda deduction: -deduction["lowered_by"])


def _findings(notes: dict[str, ProblemNotes], circles: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the first findings of each check, in the order of `CHECKS`.

    Args:
        notes: by check.
        circles: the ids in each circular dependency, by the number of its first event.
    """
    findings = []
    for check in CHECKS:
        for number, seen in notes[check.name].first() if check.name in notes else ():
            if check.name == "circular_dependencies":
                amount = circles[number]
            else:
                amount = f"{seen:,}" if check.name == "lost_events" else f"{seen / NS_PER_MS:,.3f}"
            findings.append({"check": check.name, "number": number, "what": check.what.format(amount)})
    return findings


def has_score(section: Row) -> bool:
    """Return whether there was anything to check."""
    return section["score"] is not None


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield what makes the trace less trustworthy, except spans that never ended, which the section `errors` has, and secrets.

    A secret that was left out is what the user wanted.
    """
    for lowered in section["lowered_by"]:
        check = lowered["check"]
        if check in {"open_spans", "open_processes", "redacted_payloads"}:
            continue
        events = [row["number"] for row in section["findings"] if row["check"] == check]
        share = f"{lowered['count']:,} of {lowered['of']:,} {lowered['unit']}"
        evidence = f"integrity: {check.replace('_', ' ')}, {share}: {lowered['why']}"
        look = f"inspect --event {events[0]}" if events else "analyze --integrity"
        yield make_finding(check, "stability", "integrity", lowered["lowered_by"], evidence, events, look)
