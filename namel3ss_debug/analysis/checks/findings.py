"""Make the findings of a check from what breaks its rules, and hold its results.

A finding is about one subject (the run, a tool, an agent, a place in the code). Further occurrences there are counted
and their events listed with it, so that a loop of ten thousand calls is one finding.

The fingerprint shows that findings of different runs are the same one. It is made of the rule, the subject and the file
of the call site, and of nothing that differs from run to run: no event number, no time, no amount, no line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.findings import COMMAND, SEVERITIES, Finding, compute_fingerprint, parse_site
from namel3ss_debug.analysis.totals import LISTED

SCHEMA: Final = "namel3ss-debug/check/2"


class Violation(NamedTuple):
    """One thing that breaks a rule, as the evaluation of the rule reports it.

    Attributes:
        subject: what it is about, such as `tool:search`; `run` for the run.
        what: what is wrong with the subject, as a part of a sentence.
        numbers: the events that prove it, in their order.
        call_site: `file:line`, where the events have it.
        detail: distinguishes several problems of one subject; the same in every run.
        times: how many occurrences this object stands for.
    """

    subject: str
    what: str
    numbers: Sequence[int] = ()
    call_site: str | None = None
    detail: str = ""
    times: int = 1


class RuleResult(NamedTuple):
    """One rule with its findings; `skipped` is the reason why it checked nothing, if it did not."""

    rule: str
    level: str
    describes: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON, for the document."""
        state = "skipped" if self.skipped else "broken" if self.findings else "kept"
        return {
            "name": self.rule,
            "level": self.level,
            "describes": self.describes,
            "state": state,
            "skipped": self.skipped or None,
            "findings": len(self.findings),
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of checking one trace, rule by rule in the order of the rules.

    Attributes:
        trace: the path of its first file.
        files: how many files it has.
        cwd: the directory in which the program ran, if it was recorded.
        target: the program, if it was recorded.
        execution_id: of the run.
        started_at: in seconds since the epoch.
        events: how many there are.
        duration_ms: from the first event to the last.
        rules: the result of each rule.
    """

    trace: str
    files: int
    cwd: str | None
    target: str | None
    execution_id: str | None
    started_at: float | None
    events: int
    duration_ms: float | None
    rules: tuple[RuleResult, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return all findings, rule by rule."""
        return tuple(finding for rule in self.rules for finding in rule.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `debug check --format json` prints."""
        counts = {
            level: sum(finding.severity == level for finding in self.findings)
            for level in reversed(SEVERITIES)
        }
        return {
            "schema": SCHEMA,
            "trace": {"path": self.trace, "execution_id": self.execution_id, "events": self.events},
            "counts": counts,
            "rules": [rule.to_json() for rule in self.rules],
            "findings": [finding.to_json() for finding in self.findings],
        }


def has_severity(findings: Iterable[Finding], severity: str) -> bool:
    """Return whether one of the findings has that severity, or a heavier one."""
    return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in findings)


def make_findings(
    rule: str, level: str, message: str, violations: Iterable[Violation], root: str | None
) -> tuple[Finding, ...]:
    """Make the findings of one rule, one for each subject and call site, in the order of their first events.

    Args:
        rule: the name of the rule.
        level: its level.
        message: the user's message for it, or "".
        violations: the violations of the rule.
        root: the directory in which the program ran, to which files are named relative.
    """
    groups: dict[tuple[str, str, str], list[Violation]] = {}
    for violation in violations:
        groups.setdefault((violation.subject, violation.detail, violation.call_site or ""), []).append(
            violation
        )
    sites: dict[tuple[str, str, str], int] = {}
    findings = []
    for (subject, detail, call_site), group in sorted(groups.items(), key=_by_place):
        site = parse_site(call_site, root)
        # Every edit above a call site changes its line, but the order of the sites in a file hardly ever changes.
        key = (subject, detail, site.file if site else "")
        site_index = sites[key] = sites.get(key, -1) + 1
        numbers = sorted({number for violation in group for number in violation.numbers})
        count = sum(violation.times for violation in group)
        text = f"{message}: {group[0].what}" if message else group[0].what
        text += f" ({count} times)" if count > 1 else ""
        findings.append(
            Finding(
                id=rule,
                severity=level,
                evidence=text,
                events=tuple(numbers[:LISTED]),
                suggestion=f"{COMMAND}inspect --event {numbers[0]}" if numbers else "",
                subject=subject,
                count=count,
                site=site,
                fingerprint=compute_fingerprint(rule, *key, str(site_index)),
            )
        )
    return tuple(
        sorted(
            findings, key=lambda finding: (finding.events[:1] or (0,), finding.subject, finding.fingerprint)
        )
    )


def _by_place(group: tuple[tuple[str, str, str], list[Violation]]) -> tuple[str, str, str, int]:
    """Return a sort key: groups of one file are in the order of their lines."""
    (subject, detail, call_site), _ = group
    file, _, line = call_site.rpartition(":")
    return subject, detail, file, int(line) if line.isascii() and line.isdigit() else 0
