"""JUnit XML: one suite for each recording, one test case for each rule.

The elements and attributes are those of the schema that Jenkins publishes (junit-10.xsd). Jenkins keeps only one failure
of a test case, so all findings of a rule stand in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from namel3ss_debug.analysis.checking.findings import LEVELS, Finding, Report, RuleResult
from namel3ss_debug.views.reports.places import event_words, plain, where

CLASS = "namel3ss-debug.check"


def junit(reports: Sequence[Report], fail_on: str) -> bytes:
    """The document, in UTF-8.

    Args:
        reports: what the checks found.
        fail_on: the level from which a finding is a failure of its test case; lighter ones are told in its output.
    """
    suites = ET.Element("testsuites", name="namel3ss debug check")
    for report in reports:
        _suite(suites, report, LEVELS[LEVELS.index(fail_on) :])
    cases = [len(report.rules) for report in reports]
    suites.set("tests", str(sum(cases)))
    suites.set("failures", str(sum(int(suite.get("failures", 0)) for suite in suites)))
    suites.set("errors", "0")
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(suites: ET.Element, report: Report, failing: Sequence[str]) -> None:
    broken = [rule for rule in report.rules if any(found.level in failing for found in rule.findings)]
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=plain(report.trace.rpartition("/")[2]),
        tests=str(len(report.rules)),
        failures=str(len(broken)),
        errors="0",
        skipped=str(sum(bool(rule.skipped) for rule in report.rules)),
        time=_seconds(report.duration_ms),
    )
    if report.started_at is not None:
        suite.set("timestamp", _moment(report.started_at))
    for rule in report.rules:
        _case(suite, rule, failing)


def _case(suite: ET.Element, rule: RuleResult, failing: Sequence[str]) -> None:
    case = ET.SubElement(suite, "testcase", classname=CLASS, name=plain(rule.rule), time="0")
    if rule.skipped:
        ET.SubElement(case, "skipped", message=plain(rule.skipped))
        return
    heavy = [finding for finding in rule.findings if finding.level in failing]
    if heavy:
        more = f" (and {len(heavy) - 1} more)" if len(heavy) > 1 else ""
        failure = ET.SubElement(
            case, "failure", type=heavy[0].level, message=plain(heavy[0].message, 400) + more
        )
        failure.text = _told(heavy)
    light = [finding for finding in rule.findings if finding.level not in failing]
    if light:
        ET.SubElement(case, "system-out").text = _told(light)


def _told(findings: Iterable[Finding]) -> str:
    """The findings, one on a line."""
    return "\n".join(
        plain(
            f"{finding.level}: {finding.message}"
            + (f"; {where(finding.site)}" if finding.site else "")
            + event_words(finding, "; {}")
        )
        for finding in findings
    )


def _seconds(milliseconds: float | None) -> str:
    return f"{(milliseconds or 0) / 1000:.3f}"


def _moment(timestamp: float) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00"
