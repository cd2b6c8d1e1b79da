"""GitLab code quality: a list of findings, each with a fingerprint of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.analysis.checks.findings import CheckReport
from namel3ss_debug.views.finding_text import event_words, merged, place, plain
from namel3ss_debug.views.payloads import json_bytes

SEVERITIES: Final = {"error": "major", "warning": "minor", "note": "info"}


def export(reports: Sequence[CheckReport], root: Path, fail_on: str) -> bytes:
    """Return the document in UTF-8; each finding has its own severity, whatever `fail_on` is."""
    del fail_on
    return (json_bytes(gitlab(reports, root), indent=True) + "\n").encode()


def gitlab(reports: Sequence[CheckReport], root: Path) -> list[dict[str, Any]]:
    """Return the document; files are named relative to `root`, which has to be the directory of the repository."""
    found = []
    for report, finding in merged(reports):
        file, line = place(finding, report, root)
        events = event_words(finding, " ({})")
        found.append(
            {
                "description": plain(finding.evidence) + events,
                "check_name": plain(finding.id),
                "fingerprint": finding.fingerprint,
                "severity": SEVERITIES[finding.severity],
                "location": {"path": plain(file), "lines": {"begin": line or 1}},
            }
        )
    return found
