"""JUnit XML: one suite for each trace, one test case for each rule.

The elements and attributes are those of the schema that Jenkins publishes (junit-10.xsd). Jenkins keeps only one
failure of a test case, so all findings of a rule are in one. GitLab reads no suites, and of test cases with the same
class and name only the first; so where there are several traces, the class names the trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from namel3ss_debug.analysis.checks.findings import CheckReport, RuleResult
from namel3ss_debug.analysis.findings import SEVERITIES, Finding
from namel3ss_debug.views.finding_text import event_words, plain, where

CLASS = "namel3ss-debug.check"


def export(reports: Sequence[CheckReport], root: Path, fail_on: str) -> bytes:
    """Return the document, in UTF-8.

    Args:
        reports: what the checks found.
        root: not used, since test cases have no place in a file.
        fail_on: the level from which a finding is a failure of its test case; lighter ones are in its output.
    """
    del root
    suites = ET.Element("testsuites", name="namel3ss debug check")
    for report, name in zip(reports, _names(reports), strict=True):
        class_name = f"{CLASS}.{name.replace('.', '_')}" if len(reports) > 1 else CLASS
        _suite(suites, report, name, class_name, SEVERITIES[SEVERITIES.index(fail_on) :])
    cases = [len(report.rules) for report in reports]
    suites.set("tests", str(sum(cases)))
    suites.set("failures", str(sum(int(suite.get("failures", 0)) for suite in suites)))
    suites.set("errors", "0")
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _names(reports: Sequence[CheckReport]) -> list[str]:
    """Return a name for each trace: that of its file, or its path where another file has that name."""
    files = [report.trace.rpartition("/")[2] for report in reports]
    times = Counter(files)
    return [
        plain(file if times[file] == 1 else report.trace) for file, report in zip(files, reports, strict=True)
    ]


def _suite(
    suites: ET.Element, report: CheckReport, name: str, class_name: str, failing: Sequence[str]
) -> None:
    broken = [rule for rule in report.rules if any(found.severity in failing for found in rule.findings)]
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=name,
        tests=str(len(report.rules)),
        failures=str(len(broken)),
        errors="0",
        skipped=str(sum(bool(rule.skipped) for rule in report.rules)),
        time=_seconds(report.duration_ms),
    )
    if report.started_at is not None:
        suite.set("timestamp", _moment(report.started_at))
    for rule in report.rules:
        _case(suite, rule, class_name, failing)


def _case(suite: ET.Element, rule: RuleResult, class_name: str, failing: Sequence[str]) -> None:
    case = ET.SubElement(suite, "testcase", classname=class_name, name=plain(rule.rule), time="0")
    if rule.skipped:
        ET.SubElement(case, "skipped", message=plain(rule.skipped))
        return
    heavy = [finding for finding in rule.findings if finding.severity in failing]
    if heavy:
        more = f" (and {len(heavy) - 1} more)" if len(heavy) > 1 else ""
        failure = ET.SubElement(
            case, "failure", type=heavy[0].severity, message=plain(heavy[0].evidence, 400) + more
        )
        failure.text = _describe(heavy)
    light = [finding for finding in rule.findings if finding.severity not in failing]
    if light:
        ET.SubElement(case, "system-out").text = _describe(light)


def _describe(findings: Iterable[Finding]) -> str:
    """Return the findings, one on a line."""
    return "\n".join(
        plain(
            f"{finding.severity}: {finding.evidence}"
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
