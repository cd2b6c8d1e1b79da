"""Compare the code behind tools: that which a trace recorded, and that of the program as it runs now.

A trace holds a digest with the first call of each tool (`capture.codedigest`). Where both sides hold one, a tool is
stale if its code now was not among the code that the trace recorded for it. A trace made by an earlier version holds no
digests: then the files that hold the code now are looked at, and one that is newer than the trace makes the tool stale.
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


class ToolCode(NamedTuple):
    """The code behind a tool, as the start event of a call tells it.

    Attributes:
        digest: that of the whole; "" where none could be made.
        parts: the name of each part, `tools.py:convert` -> its digest.
        not_verified: what the digest does not cover, such as `requests.get`.
        version: the version of the digest.
    """

    digest: str
    parts: Mapping[str, str]
    not_verified: tuple[str, ...] = ()
    version: int = 0


class Comparison(NamedTuple):
    """How the code behind a tool now compares with the recorded code.

    Attributes:
        state: `unchanged`, `changed`, or `unknown` where it cannot be compared.
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
        numbers: the events of its calls in the re-run that were answered so; () where that is not counted.
        kept: whether the setting `tools` says that it is answered.
    """

    name: str
    reasons: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    kept: bool = False

    def describe(self) -> str:
        """Return a sentence that says what has changed."""
        more = len(self.reasons) - MOST_CHANGES
        reasons = [*self.reasons[:MOST_CHANGES], *([f"{more} more"] if more > 0 else [])]
        return f"{self.name} has changed since the trace was recorded" + (
            f": {', '.join(reasons)}" if reasons else ""
        )


def code_of(event: Event) -> ToolCode | None:
    """Return the code that the start event of a call tells of; None where it tells nothing."""
    if event.get("event_type") != "tool_call_start":
        return None
    told = lenient.mapping(lenient.mapping(event.get("metadata")).get("code"))
    if not told:
        return None
    return ToolCode(
        lenient.string(told.get("digest")) or "",
        {name: str(value) for name, value in lenient.mapping(told.get("parts")).items()},
        tuple(str(each) for each in lenient.sequence(told.get("not_verified"))),
        lenient.count(told.get("version")) or 0,
    )


@dataclass
class ToolCodes:
    """The code of each tool, gathered from events.

    Attributes:
        by_name: the name of a tool -> its code; several where it changed, or two functions have the name.
    """

    by_name: dict[str, list[ToolCode]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take what an event tells of code."""
        code = code_of(event)
        if code is not None:
            self.by_name.setdefault(lenient.string(event.get("component_name")) or "", []).append(code)


def codes_of(events: Iterable[Event]) -> ToolCodes:
    """Return the code of each tool that some events tell of."""
    codes = ToolCodes()
    for event in events:
        codes.add(event)
    return codes


def compare(recorded: Collection[ToolCode], now: Collection[ToolCode]) -> Comparison:
    """Compare the code behind one tool with the recorded code.

    Args:
        recorded: the code that the trace holds of it.
        now: the code of the program as it runs now.
    """
    uncovered = tuple(dict.fromkeys(what for code in (*recorded, *now) for what in code.not_verified))
    then = [code for code in recorded if code.digest]
    present = [code for code in now if code.digest]
    if not recorded:
        return Comparison(UNKNOWN, ("the trace holds no digest of its code",), uncovered)
    if not then or not present or len(present) < len(now):
        side = "the trace" if not then else "the program"
        return Comparison(UNKNOWN, (f"its code could not be read in {side}",), uncovered)
    if {code.version for code in then} != {code.version for code in present}:
        return Comparison(UNKNOWN, ("the trace has digests of another version",), uncovered)
    known = {code.digest for code in then}
    changed = [code for code in present if code.digest not in known]
    if not changed:
        return Comparison(UNCHANGED, (), uncovered)
    return Comparison(CHANGED, tuple(_changes(then[-1].parts, changed[0].parts)), uncovered)


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[str]:
    """What differs between the parts, a clause each; the folders of files do not count."""
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
    recorded: Mapping[str, Collection[ToolCode]],
    now: Mapping[str, Collection[ToolCode]],
    names: Iterable[str] | None = None,
) -> dict[str, StaleTool]:
    """Return the tools whose code has changed since it was recorded, by name.

    Args:
        recorded: the code that the trace holds (`ToolCodes.by_name`).
        now: the code of the program as it runs now.
        names: the tools in question; those of `now` if left out.
    """
    found: dict[str, StaleTool] = {}
    for name in now if names is None else names:
        comparison = compare(recorded.get(name, ()), now.get(name, ()))
        if comparison.state == CHANGED:
            found[name] = StaleTool(name, comparison.reasons)
    return found


@dataclass(frozen=True)
class CodeOfTrace:
    """The code that a trace holds of its tools, and what else says whether it has changed.

    Attributes:
        by_name: the name of a tool -> its code.
        root: the folder that the names of parts are relative to.
        since: when the trace was recorded, in seconds since the epoch.
    """

    by_name: Mapping[str, Collection[ToolCode]] = field(default_factory=dict)
    root: Path = Path()
    since: float = 0.0

    def compare(self, name: str, now: Collection[ToolCode]) -> Comparison:
        """Compare the code behind a tool with the recorded code; of a trace without digests, by the times of files."""
        if self.by_name:
            return compare(self.by_name.get(name, ()), now)
        parts = {part for code in now for part in code.parts}
        newer = sorted(path for path in {part.rpartition(":")[0] for part in parts} if self._is_newer(path))
        if newer:
            return Comparison(CHANGED, tuple(f"{path} is newer than the trace" for path in newer))
        return Comparison(UNKNOWN, (NO_DIGESTS,))

    def _is_newer(self, path: str) -> bool:
        try:
            return (self.root / path).stat().st_mtime > self.since
        except (OSError, ValueError):
            return False
