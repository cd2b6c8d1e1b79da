"""The one kind of finding: what the sections, the triggers, the health and the rules of `check` report.

Each section finds its own (`contract.Section.findings`), from its result and those of the others, so that findings and
sections agree. What such a finding takes from a full score of health is its `weight`, from 0 to 1:

- a failure: the severity of the run, in proportion to its own severity; a weaker sign of one: its own severity;
- a program that ended with another status than 0 without a recorded failure, and spans that never ended: `HALF`;
- a run that did not come to its end: `UNFINISHED`;
- a run that the user has marked bad: `UNFINISHED`;
- a trace with gaps: what `integrity` takes from its score, except for spans that never ended, counted above;
- time or tokens that could have been saved, loops, stalls, bottlenecks: a part of their share of the run's time or
  tokens;
- a threshold that was exceeded: `EXCEEDED`; contexts, memory, messages: see the sections.

Findings that weigh less than `LEAST` are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import short

SEVERITIES: Final = ("note", "warning", "error")
"""The severities of findings, the lightest first."""

LEAST: Final = 0.01
HALF: Final = 0.5
UNFINISHED: Final = 0.9
"""So much that the level of the run is at least serious, whatever else was seen; also for a run that is marked bad."""

EXCEEDED: Final = 0.2
WORTH_MS: Final = 1.0
"""A saving of less time than this is none: no clock and no second run would show it."""

_LEAST_SAVED_MS = 100.0
_LEAST_SAVED_SHARE = 0.05

COMMAND: Final = "namel3ss debug "

_WARNING_FROM, _ERROR_FROM = 0.1, 0.5
_MOST_EVENTS = 5
_LONGEST_EVIDENCE = 240
_LONGEST_NAME = 60
_SITE = re.compile(r"(.+):(\d{1,9})")

Row = Mapping[str, Any]


class Site(NamedTuple):
    """A place in the user's own code."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a section or a rule reports.

    Attributes:
        id: its kind, such as `failure` or `loop`; of a rule of `check`, the name of the rule.
        severity: one of `SEVERITIES`.
        evidence: what was seen, in a sentence without a full stop; it contains text of the trace.
        events: the events that prove it.
        suggestion: the command that shows more; empty where there is none.
        subject: what it is about, such as `tool:search`; `run` for the run.
        count: how often it occurred.
        site: where in the user's code, if that is known.
        fingerprint: the same in every run for the same finding, and for no other.
        section: the section that it was read from; empty for a rule.
        part: the part of the health that it lowers; empty for a rule.
        weight: what it takes from that part and that section, from 0 to 1.
    """

    id: str
    severity: str
    evidence: str
    events: tuple[int, ...] = ()
    suggestion: str = ""
    subject: str = "run"
    count: int = 1
    site: Site | None = None
    fingerprint: str = ""
    section: str = ""
    part: str = ""
    weight: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the finding as every document has it."""
        return {
            "id": self.id,
            "severity": self.severity,
            "subject": self.subject,
            "evidence": self.evidence,
            "events": list(self.events),
            "suggestion": self.suggestion or None,
            "count": self.count,
            "file": self.site.file if self.site else None,
            "line": self.site.line if self.site else None,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True)
class RunAmounts:
    """The whole that shares are taken of: milliseconds, tokens and cost of the whole run; None where not known."""

    wall_ms: float | None
    tokens: int | None
    cost: float | None

    def share(self, ms: float | None = None, tokens: float | None = None, cost: float | None = None) -> float:
        """Return the largest of the shares of the run that are known, at most 1."""
        amounts = ((ms, self.wall_ms), (tokens, self.tokens), (cost, self.cost))
        shares = [amount / whole for amount, whole in amounts if amount and whole]
        return min(max(shares, default=0.0), 1.0)


FindingsOfSection = Callable[[Row, Mapping[str, Any], RunAmounts], Iterator[Finding]]
"""Yields the findings of a section, from its result, the results of all sections, and the amounts of the run."""


def is_worthwhile(ms: float | None, share: float) -> bool:
    """Return whether saving some time, or what is no time (None), is a finding; smaller amounts are in their section only."""
    return share >= _LEAST_SAVED_SHARE and (ms is None or ms >= _LEAST_SAVED_MS)


def sort_findings(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings that weigh enough to matter, the heaviest first."""
    return sorted(
        (finding for finding in found if finding.weight >= LEAST),
        key=lambda finding: (
            -finding.weight,
            finding.events[0] if finding.events else 0,
            finding.id,
            finding.events,
        ),
    )


def make_finding(
    kind: str,
    part: str,
    section: str,
    weight: float,
    evidence: str,
    events: Iterable[int] = (),
    arguments: str = "",
    *,
    row: Row | None = None,
) -> Finding:
    """Make a finding of a section.

    Args:
        kind: its id.
        part: the part of the health that it lowers.
        section: the section that it is read from.
        weight: what it takes from that part and that section.
        evidence: what was seen.
        events: the events that prove it.
        arguments: the arguments of `namel3ss debug` that show more.
        row: the row of the section that names the component it is about.
    """
    weight = round(min(weight, 1.0), 3)
    subject = format_subject(row) if row else "run"
    return Finding(
        id=kind,
        severity="error" if weight >= _ERROR_FROM else "warning" if weight >= _WARNING_FROM else "note",
        evidence=short(evidence, _LONGEST_EVIDENCE),
        events=tuple(dict.fromkeys(events))[:_MOST_EVENTS],
        suggestion=COMMAND + arguments if arguments else "",
        subject=subject,
        fingerprint=compute_fingerprint(kind, section, subject),
        section=section,
        part=part,
        weight=weight,
    )


def compute_fingerprint(*parts: str) -> str:
    """Return thirty-two hexadecimal digits that are the same for the same parts."""
    return sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def parse_site(call_site: object, root: str | None) -> Site | None:
    """Return a call site as a file, relative where it lies below `root`, and a line; None where it is no call site."""
    match = _SITE.fullmatch(call_site) if isinstance(call_site, str) else None
    if match is None or int(match[2]) < 1:
        return None
    path = PurePosixPath(match[1].replace("\\", "/"))
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    return Site(str(path), int(match[2]))


def format_subject(row: Row) -> str:
    """Return the component that a row of a section is about: `tool:search`, or `tool` where it has no name."""
    name = row.get("component_name")
    return f"{row.get('component')}:{name}" if name else str(row.get("component") or "run")


def format_operation(row: Row, longest: int = _LONGEST_NAME) -> str:
    """Return the component of a row with its name, for a sentence: `tool search`."""
    component, name = str(row.get("component") or ""), str(row.get("component_name") or "")
    return f"{component} {name}"[:longest].strip()


def format_time(ms: float) -> str:
    """Return a time in seconds, and below a tenth of one in milliseconds."""
    return f"{ms / 1000:,.2f} s" if ms >= 100 else f"{ms:,.2f} ms"


def format_share(share: float) -> str:
    """Return a share as text; `100 %` and `0 %` only where they are exact."""
    if share in {0, 1}:
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(share * 100, 0.1), 99.9):.1f} %"
