"""SARIF 2.1.0, as GitHub code scanning and other viewers read it.

A result is at the call site in the user's own source; the trace with the event is a related location. Rule ids
and fingerprints are the same in every run, so that an alert stays one alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from namel3ss_debug.analysis.checks.findings import CheckReport
from namel3ss_debug.analysis.findings import Finding
from namel3ss_debug.version import __version__
from namel3ss_debug.views.finding_text import below, event_words, merged, place, plain
from namel3ss_debug.views.payloads import json_bytes

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
HOME: Final = "https://github.com/namel3ss-Ai/namel3ss-debug"
_RELATED = 10


def export(reports: Sequence[CheckReport], root: Path, fail_on: str) -> bytes:
    """Return the document in UTF-8; each result has its own level, whatever `fail_on` is."""
    del fail_on
    return (json_bytes(sarif(reports, root), indent=True) + "\n").encode()


def sarif(reports: Sequence[CheckReport], root: Path) -> dict[str, Any]:
    """Return the document.

    Args:
        reports: what the checks found.
        root: the directory that files are named relative to, as a rule that of the repository.
    """
    rules = {rule.rule: rule for report in reports for rule in report.rules}
    order = {name: place for place, name in enumerate(rules)}
    driver = {
        "name": "namel3ss-debug",
        "version": __version__,
        "informationUri": HOME,
        "rules": [
            {
                "id": plain(name),
                "name": plain(name),
                "shortDescription": {"text": plain(rule.describes, 400)},
                "fullDescription": {"text": plain(rule.describes)},
                "defaultConfiguration": {"level": rule.level},
            }
            for name, rule in rules.items()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "namel3ss-debug-check/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, finding, order, root) for report, finding in merged(reports)],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(report: CheckReport, finding: Finding, order: dict[str, int], root: Path) -> dict[str, Any]:
    file, line = place(finding, report, root)
    events = event_words(finding, " ({})")
    return {
        "ruleId": plain(finding.id),
        "ruleIndex": order[finding.id],
        "level": finding.severity,
        "message": {"text": _message(finding.evidence) + events},
        "locations": [{"physicalLocation": _physical(file, line)}],
        "relatedLocations": _related(report, finding, root),
        "partialFingerprints": {"namel3ssDebugCheck/v1": finding.fingerprint},
        "occurrenceCount": finding.count,
    }


def _message(value: object) -> str:
    """Return a message without links, which plain text may hold too: words in brackets, and a target in parentheses."""
    return plain(value).replace("](", "] (")


def _related(report: CheckReport, finding: Finding, root: Path) -> list[dict[str, Any]]:
    """Return the events in the trace; with the line where the trace is one file, whose lines are its events."""
    trace = below(report.trace, "", root)
    return [
        {
            "id": number,
            "message": {"text": f"event {event} of the trace"},
            "physicalLocation": _physical(trace, event if report.files == 1 else None),
        }
        for number, event in enumerate(finding.events[:_RELATED], 1)
    ]


def _physical(file: str, line: int | None) -> dict[str, Any]:
    shown = plain(file)
    uri = quote(shown, safe="/")
    location: dict[str, Any] = {
        "artifactLocation": {"uri": f"file://{uri}" if shown.startswith("/") else uri}
    }
    location["region"] = {"startLine": line or 1}
    return location
