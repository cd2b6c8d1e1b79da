"""The findings of a check, for the terminal and as Markdown.

On the terminal a finding takes several lines, because its message has to be read whole; in Markdown it is a row.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.text import Text

from namel3ss_debug.analysis.checking.findings import LEVELS, CheckReport, Finding
from namel3ss_debug.views.blocks import Block, Heading, Note, Table, markdown
from namel3ss_debug.views.blocks import lines as block_lines
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.reports.places import defused, event_words, events_of, plain, where
from namel3ss_debug.views.tables import Column, number, prose
from namel3ss_debug.views.terminal import DIM, ERROR, GOOD, WARNING, cells, line, text

SHOWN = 50
"""How many findings of a recording are shown; JSON has all of them."""

_STYLES = {"error": ERROR, "warning": WARNING, "note": DIM}
_LONGEST = 600
_INDENT = "  "


def check_lines(reports: Sequence[CheckReport], width: int) -> Iterator[Text]:
    """The findings of each recording, the heaviest first."""
    for place, report in enumerate(reports):
        if place:
            yield Text("", end="")
        yield from block_lines([_heading(report)], width)
        findings = _heaviest_first(report)
        for finding in findings[:SHOWN]:
            yield from _finding_lines(finding, width)
        yield from block_lines(_notes(report, len(findings)), width)


def check_markdown(reports: Sequence[CheckReport]) -> str:
    """The findings of each recording as Markdown."""
    return "\n\n".join("\n".join(markdown(_blocks(report))) for report in reports)


def _finding_lines(finding: Finding, width: int) -> Iterator[Text]:
    aside = ", ".join(part for part in (where(finding.site), event_words(finding)) if part)
    head = line(_INDENT, (f"{finding.level:<7}", _STYLES[finding.level]), f"  {plain(finding.rule)}")
    whole = line(head, (f"  {defused(plain(aside))}" if aside else "", DIM))
    if whole.cell_len <= width:
        yield whole
    else:
        yield head
    room = max(width - 11, 20)
    for row in _wrapped(plain(finding.message, _LONGEST), room):
        yield line(" " * 11, row)
    if aside and whole.cell_len > width:
        for row in _wrapped(plain(aside), room):
            yield line(" " * 11, (row, DIM))


def _wrapped(content: str, width: int) -> list[str]:
    """A text in harmless lines of at most that many cells; characters of two cells halve what fits."""
    content = defused(content)
    width -= 1  # room for the character that defuses a line which the wrapping has made dangerous
    rows = textwrap.wrap(content, width if cells(content) == len(content) else width // 2)
    return [defused(row) for row in rows]


def _blocks(report: CheckReport) -> Iterator[Block]:
    yield _heading(report)
    findings = _heaviest_first(report)
    if findings:
        columns = (Column("level"), prose("rule"), prose("what"), prose("where"), number("events"))
        yield Table(
            columns,
            [
                (
                    finding.level,
                    text(finding.rule),
                    text(finding.message, limit=_LONGEST),
                    text(where(finding.site)),
                    text(events_of(finding, 4)),
                )
                for finding in findings[:SHOWN]
            ],
        )
    yield from _notes(report, len(findings))


def _heading(report: CheckReport) -> Heading:
    findings = _heaviest_first(report)
    told = ", ".join(
        count(of_level, level)
        for level in reversed(LEVELS)
        if (of_level := sum(finding.level == level for finding in findings))
    )
    checked = [rule for rule in report.rules if not rule.skipped]
    kept = sum(not rule.findings for rule in checked)
    name = defused(report.trace.rpartition("/")[2])
    style = _STYLES[findings[0].level] if findings else GOOD
    return Heading(told or "No findings", f"{name}, {kept} of {count(len(checked), 'rule')} kept", style)


def _notes(report: CheckReport, found: int) -> Iterator[Note]:
    if found > SHOWN:
        yield Note(f"{found - SHOWN} more; --format json has all of them")
    for rule in report.rules:
        if rule.skipped:
            yield Note(defused(plain(f"{rule.rule} was not checked: {rule.skipped}")))


def _heaviest_first(report: CheckReport) -> list[Finding]:
    return sorted(report.findings, key=lambda finding: -LEVELS.index(finding.level))
