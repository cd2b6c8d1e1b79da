"""The findings of a check, for the terminal and as Markdown.

On the terminal a finding takes several lines, because its message has to be read whole; in Markdown it is a row.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from rich.text import Text

from namel3ss_debug.analysis.checks.findings import CheckReport
from namel3ss_debug.analysis.findings import SEVERITIES, Finding
from namel3ss_debug.views.blocks import Block, Heading, Lines, Note, Table
from namel3ss_debug.views.finding_text import defused, event_words, events_of, plain, where
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.tables import Column, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, WARNING, cells, line, text

SHOWN = 50
"""How many findings of a trace are shown; JSON has all of them."""

_STYLES = {"error": ERROR, "warning": WARNING, "note": DIM}
_LONGEST = 600
_INDENT = "  "


def check_blocks(reports: Sequence[CheckReport]) -> Iterator[Block]:
    """Yield the findings of each trace, the heaviest first."""
    for report in reports:
        yield _heading(report)
        findings = _heaviest_first(report)
        if findings:
            yield Lines(partial(_all_finding_lines, findings[:SHOWN]), [_finding_table(findings[:SHOWN])])
        yield from _notes(report, len(findings))


def _all_finding_lines(findings: Sequence[Finding], width: int) -> Iterator[Text]:
    return chain.from_iterable(_finding_lines(finding, width) for finding in findings)


def check_markdown(reports: Sequence[CheckReport]) -> str:
    """Return the findings of each trace as Markdown."""
    return "\n".join(markdown(check_blocks(reports)))


def _finding_lines(finding: Finding, width: int) -> Iterator[Text]:
    aside = ", ".join(part for part in (where(finding.site), event_words(finding)) if part)
    head = line(_INDENT, (f"{finding.severity:<7}", _STYLES[finding.severity]), f"  {plain(finding.id)}")
    whole = line(head, (f"  {defused(plain(aside))}" if aside else "", DIM))
    if whole.cell_len <= width:
        yield whole
    else:
        yield head
    room = max(width - 11, 20)
    for row in _wrapped(plain(finding.evidence, _LONGEST), room):
        yield line(" " * 11, row)
    if aside and whole.cell_len > width:
        for row in _wrapped(plain(aside), room):
            yield line(" " * 11, (row, DIM))


def _wrapped(content: str, width: int) -> list[str]:
    """Return a text in harmless lines of at most that many cells; characters of two cells halve what fits."""
    content = defused(content)
    width -= 1  # room for the character that defuses a line which the wrapping has made dangerous
    rows = textwrap.wrap(content, width if cells(content) == len(content) else width // 2)
    return [defused(row) for row in rows]


def _finding_table(findings: Sequence[Finding]) -> Table:
    columns = (Column("level"), prose("rule"), prose("what"), prose("where"), number("events"))
    return Table(
        columns,
        [
            (
                finding.severity,
                text(finding.id),
                text(finding.evidence, limit=_LONGEST),
                text(where(finding.site)),
                text(events_of(finding, 4)),
            )
            for finding in findings
        ],
    )


def _heading(report: CheckReport) -> Heading:
    findings = _heaviest_first(report)
    counted = ", ".join(
        count(of_level, level)
        for level in reversed(SEVERITIES)
        if (of_level := sum(finding.severity == level for finding in findings))
    )
    checked = [rule for rule in report.rules if not rule.skipped]
    kept = sum(not rule.findings for rule in checked)
    name = defused(report.trace.rpartition("/")[2])
    style = _STYLES[findings[0].severity] if findings else GOOD
    return Heading(
        counted or "No findings", f"{name}, {kept} of {count(len(checked), 'rule')} kept", style, level=1
    )


def _notes(report: CheckReport, found: int) -> Iterator[Note]:
    if found > SHOWN:
        yield Note(f"{found - SHOWN} more; --format json has all of them")
    for rule in report.rules:
        if rule.skipped:
            yield Note(defused(plain(f"{rule.rule} was not checked: {rule.skipped}")))


def _heaviest_first(report: CheckReport) -> list[Finding]:
    return sorted(report.findings, key=lambda finding: -SEVERITIES.index(finding.severity))
