"""GitHub Actions: annotations, and the summary of the step.

An annotation is a line that the runner reads as a command, so what comes from a trace is escaped as the runner's own
toolkit does it: `%`, CR and LF in messages, in properties `:` and `,` besides. The runner also obeys an older form,
`##[` anywhere in a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from namel3ss_debug.analysis.checks.findings import CheckReport
from namel3ss_debug.views.finding_text import defused, event_words, merged, place, plain

COMMANDS: Final = {"error": "error", "warning": "warning", "note": "notice"}
SHOWN: Final = 10
"""How many annotations of a level GitHub shows for a step."""

SUMMARY_BYTES: Final = 1_000_000
"""How much of a summary GitHub takes: 1 MiB for a step."""


def export(reports: Sequence[CheckReport], root: Path, fail_on: str) -> bytes:
    """Return the annotations; each has its own level, whatever `fail_on` is."""
    del fail_on
    return "".join(f"{line}\n" for line in annotation_lines(reports, root)).encode("utf-8", "replace")


def annotation_lines(reports: Sequence[CheckReport], root: Path) -> Iterator[str]:
    """Yield the annotations, one line each: at most ten of a level, and one with the number of the others."""
    shown: Counter[str] = Counter()
    for report, finding in merged(reports):
        command = COMMANDS[finding.severity]
        shown[command] += 1
        if shown[command] > SHOWN:
            continue
        file, line = place(finding, report, root)
        properties = {"file": file, **({"line": str(line)} if line else {}), "title": finding.id}
        # A colon or a comma would end the value of a property, but not the message.
        named = ",".join(
            f"{key}={_data(plain(value, 300)).replace(':', '%3A').replace(',', '%2C')}"
            for key, value in properties.items()
        )
        events = event_words(finding, " ({})")
        yield f"::{command} {named}::{_data(plain(finding.evidence) + events)}"
    more = {command: count - SHOWN for command, count in shown.items() if count > SHOWN}
    if more:
        words = ", ".join(f"{count} of {command}" for command, count in more.items())
        yield f"::notice title=namel3ss debug check::further findings are not shown here: {words}"


def _data(text: str) -> str:
    return defused(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
