"""Say in CI reports where a finding is: at its call site in the user's own source, else at the program, else at the trace."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from namel3ss_debug.analysis.checks.findings import CheckReport
from namel3ss_debug.analysis.findings import Finding, Site
from namel3ss_debug.views.terminal import clean

LONGEST = 2000
_UNPRINTABLE = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(value: object, limit: int = LONGEST) -> str:
    """Return one line of cleaned text, with U+FFFD for what XML does not allow."""
    return _UNPRINTABLE.sub("\ufffd", clean(value, limit))


def place(finding: Finding, report: CheckReport, root: Path) -> tuple[str, int | None]:
    """Return the file, relative to `root` where it lies below it, and the line, where it is known."""
    site = finding.site
    if site is None and report.target and report.target.endswith((".py", ".ai")):
        return below(report.target, report.cwd or "", root), None
    if site is None:
        return below(report.trace, "", root), None
    return below(site.file, report.cwd or "", root), site.line


def below(file: str, folder: str, root: Path) -> str:
    """Return the path of a file relative to `root`, without `..`, wherever that is possible."""
    absolute = posixpath.normpath(posixpath.join(folder or str(root), file))
    base = str(root)
    if absolute.startswith(base.rstrip("/") + "/"):
        return absolute[len(base.rstrip("/")) + 1 :]
    # recorded elsewhere: the place in that folder is the best guess at the place in this one
    return posixpath.normpath(file) if not posixpath.isabs(file) else absolute


def merged(reports: Iterable[CheckReport]) -> list[tuple[CheckReport, Finding]]:
    """Return the findings of all reports; one that several runs share is there once, with the first run that has it."""
    found: dict[str, tuple[CheckReport, Finding]] = {}
    for report in reports:
        for finding in report.findings:
            known = found.get(finding.fingerprint)
            if known is None:
                found[finding.fingerprint] = (report, finding)
            else:
                first, same = known
                found[finding.fingerprint] = (first, replace(same, count=same.count + finding.count))
    return list(found.values())


def defused(row: str) -> str:
    """Return a line that the runner of GitHub does not take for a command, whatever its source.

    The runner obeys `::` at the beginning of a line, space aside, and in an older form `##[` anywhere in it.
    """
    row = row.replace("##[", "## [")
    return row.replace("::", ": :", 1) if row.lstrip().startswith("::") else row


def where(site: Site | None) -> str:
    """Return a site as text for a sentence."""
    return f"{site.file}:{site.line}" if site else ""


def events_of(finding: Finding, most: int = 8) -> str:
    """Return the numbers of the events that prove a finding."""
    shown = ", ".join(map(str, finding.events[:most]))
    more = len(finding.events) - most
    return f"{shown} and {more} more" if more > 0 else shown


def event_words(finding: Finding, form: str = "{}") -> str:
    """Return the numbers with their noun, in a form such as ` ({})`; empty where no event proves the finding."""
    noun = "event" if len(finding.events) == 1 else "events"
    return form.format(f"{noun} {events_of(finding)}") if finding.events else ""
