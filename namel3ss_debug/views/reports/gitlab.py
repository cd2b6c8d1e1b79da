"""GitLab code quality: a list of findings, each with a fingerprint of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.analysis.checking.findings import CheckReport
from namel3ss_debug.views.reports.places import event_words, merged, place, plain

SEVERITIES: Final = {"error": "major", "warning": "minor", "note": "info"}


def gitlab(reports: Sequence[CheckReport], root: Path) -> list[dict[str, Any]]:
    """The document; files are named relative to `root`, which has to be the directory of the repository."""
    found = []
    for report, finding in merged(reports):
        file, line = place(finding, report, root)
        events = event_words(finding, " ({})")
        found.append(
            {
                "description": plain(finding.message) + events,
                "check_name": plain(finding.rule),
                "fingerprint": finding.fingerprint,
                "severity": SEVERITIES[finding.level],
                "location": {"path": plain(file), "lines": {"begin": line or 1}},
            }
        )
    return found
