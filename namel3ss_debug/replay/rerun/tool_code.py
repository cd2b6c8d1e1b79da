"""Compare the code behind tools: the recorded code, and the code that runs now.

A trace holds a digest with the first call of each tool. If both sides have one, a tool is stale if its code now is not
among the recorded code. A trace of an earlier version holds no digests: then a file that holds the code now and is
newer than the trace makes the tool stale.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

UNCHANGED: Final = "unchanged"
CHANGED: Final = "changed"
UNKNOWN: Final = "unknown"

NO_DIGESTS: Final = "the trace holds no digests of code"
MOST_CHANGES: Final = 3


class RecordedCode(NamedTuple):
    """The code behind a tool, as the start event of a call describes it.

    Attributes:
        digest: that of the whole; "" if none could be made.
        parts: the name of each part, `tools.py:convert` -> its digest.
        not_verified: what the digest does not cover, such as `requests.get`.
        version: the version of the digest.
    """

    digest: str
    parts: Mapping[str, str]
    not_verified: tuple[str, ...] = ()
    version: int = 0


class CodeComparison(NamedTuple):
    """How the code behind a tool now compares with the recorded code.

    Attributes:
        state: `unchanged`, `changed`, or `unknown` if it cannot be compared.
        reasons: what has changed, or why it cannot be compared, a clause each: `tools.py:convert has changed`.
        not_verified: what the digests do not cover.
    """

    state: str
    reasons: tuple[str, ...] = ()
    not_verified: tuple[str, ...] = ()


@dataclass(frozen=True)
class StaleTool:
    """A tool that was answered from the trace although its code has changed since.

    Attributes:
        name: the tool.
        reasons: what has changed, a clause each.
        numbers: the events of its answered calls in the re-run; () if not counted.
        kept: whether the setting `tools` has `answer` for it.
    """

    name: str
    reasons: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    kept: bool = False

    def describe(self) -> str:
        """Return a clause that describes what has changed."""
        more = len(self.reasons) - MOST_CHANGES
        reasons = [*self.reasons[:MOST_CHANGES], *([f"{more} more"] if more > 0 else [])]
        return f"{self.name} has changed since the trace was recorded" + (
            f": {', '.join(reasons)}" if reasons else ""
        )


def read_code(event: Event) -> RecordedCode | None:
    """Return the code that the start event of a call describes; None if it describes none."""
    if event.get("event_type") != "tool_call_start":
        return None
    values = lenient.mapping(lenient.mapping(event.get("metadata")).get("code"))
    if not values:
        return None
    return RecordedCode(
        lenient.string(values.get("digest")) or "",
        {name: str(value) for name, value in lenient.mapping(values.get("parts")).items()},
        tuple(str(each) for each in lenient.sequence(values.get("not_verified"))),
        lenient.count(values.get("version")) or 0,
    )


@dataclass
class CodeByTool:
    """The code of each tool, gathered from events.

    Attributes:
        by_name: the name of a tool -> its code; several if it changed, or if two functions have the name.
    """

    by_name: dict[str, list[RecordedCode]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Add the code that an event describes."""
        code = read_code(event)
        if code is not None:
            self.by_name.setdefault(lenient.string(event.get("component_name")) or "", []).append(code)


def gather_codes(events: Iterable[Event]) -> CodeByTool:
    """Return the code of each tool that events describe."""
    codes = CodeByTool()
    for event in events:
        codes.add(event)
    return codes


def compare(recorded: Collection[RecordedCode], now: Collection[RecordedCode]) -> CodeComparison:
    """Compare the code behind one tool with the recorded code.

    Args:
        recorded: the recorded code.
        now: the code of the program as it runs now.
    """
    uncovered = tuple(dict.fromkeys(what for code in (*recorded, *now) for what in code.not_verified))
    then = [code for code in recorded if code.digest]
    present = [code for code in now if code.digest]
    if not recorded:
        return CodeComparison(UNKNOWN, ("the trace holds no digest of its code",), uncovered)
    if not then or not present or len(present) < len(now):
        side = "the trace" if not then else "the program"
        return CodeComparison(UNKNOWN, (f"its code could not be read in {side}",), uncovered)
    if {code.version for code in then} != {code.version for code in present}:
        return CodeComparison(UNKNOWN, ("the trace has digests of another version",), uncovered)
    known = {code.digest for code in then}
    changed = [code for code in present if code.digest not in known]
    if not changed:
        return CodeComparison(UNCHANGED, (), uncovered)
    return CodeComparison(CHANGED, tuple(_changes(then[-1].parts, changed[0].parts)), uncovered)


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[str]:
    """Yield the differences between the parts, a clause each; the folders of files do not count."""
    then = {name.rpartition("/")[2]: digest for name, digest in then.items()}
    now = {name.rpartition("/")[2]: digest for name, digest in now.items()}
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            yield f"{name} is no longer used"
        elif name not in then:
            yield f"{name} is new"
        elif then[name] != now[name]:
            yield f"{name} has changed"


def stale_tools(
    recorded: Mapping[str, Collection[RecordedCode]],
    now: Mapping[str, Collection[RecordedCode]],
    names: Iterable[str] | None = None,
) -> dict[str, StaleTool]:
    """Return the tools whose code has changed since it was recorded, by name.

    Args:
        recorded: the recorded code (`CodeByTool.by_name`).
        now: the code of the program as it runs now.
        names: the tools to compare; those of `now` if left out.
    """
    found: dict[str, StaleTool] = {}
    for name in now if names is None else names:
        comparison = compare(recorded.get(name, ()), now.get(name, ()))
        if comparison.state == CHANGED:
            found[name] = StaleTool(name, comparison.reasons)
    return found


@dataclass(frozen=True)
class TraceCode:
    """The code that a trace holds of its tools.

    Attributes:
        by_name: the name of a tool -> its code.
        root: the folder that the names of parts are relative to.
        since: when the trace was recorded, in seconds since the epoch.
    """

    by_name: Mapping[str, Collection[RecordedCode]] = field(default_factory=dict)
    root: Path = Path()
    since: float = 0.0

    def compare(self, name: str, now: Collection[RecordedCode]) -> CodeComparison:
        """Compare the code behind a tool with the recorded code; without digests, by the times of files."""
        if self.by_name:
            return compare(self.by_name.get(name, ()), now)
        parts = {part for code in now for part in code.parts}
        newer = sorted(
            path
            for path in {part.rpartition(":")[0] for part in parts}
            if is_newer(self.root / path, self.since)
        )
        if newer:
            return CodeComparison(CHANGED, tuple(f"{path} is newer than the trace" for path in newer))
        return CodeComparison(UNKNOWN, (NO_DIGESTS,))


def is_newer(path: Path, since: float) -> bool:
    """Return whether a file was changed after a time; False for a file that cannot be looked at."""
    try:
        return path.stat().st_mtime > since
    except (OSError, ValueError):
        return False
