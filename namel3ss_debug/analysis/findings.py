"""What lowers the health of a run: each section's findings, with how much, which events prove it, and what to do next.

They are read from the sections of the document and from nothing else, so that findings and sections agree. How much a
finding takes from a full score is its `by`, from 0 to 1:

- a failure: the severity of the run, in proportion to its own severity; a weaker sign of one: its own severity;
- a program that ended with another status than 0 without a recorded failure, and spans that never ended: `HALF`;
- a run that did not come to its end: `UNFINISHED`;
- a run that the user has marked bad: `UNFINISHED`;
- a recording with gaps: what `integrity` takes from its score, except for spans that never ended, counted above;
- time or tokens that could have been saved, loops, stalls, bottlenecks: a part of their share of the run's time or
  tokens;
- a threshold that was exceeded: `PASSED`; contexts, memory, messages: see the functions.

Findings that take less than `LEAST` are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from namel3ss_debug.errors import short
from namel3ss_debug.traces.marks import mark_from_json

LEAST = 0.01
HALF = 0.5
UNFINISHED = 0.9
"""So much that the level of the run is at least serious, whatever else was seen; also for a run that is marked bad."""
MARKED_BAD = "marked_bad"
"""The kind of the finding that a user's mark makes."""
PASSED = 0.2
WORTH_MS = 1.0
"""A saving of less time than this is none: no clock and no second run would show it."""
FULL_FROM, FILLS_FROM = 0.9, 0.75
"""From these shares of a model's context window on, a context counts as nearly full, or as filling up."""

_MOST_NUMBERS = 5
_LONGEST_WORDS = 240
_LONGEST_NAME = 60

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that matters.

    Attributes:
        slug: of what kind it is, such as `failure` or `loop`.
        part: the part of the health it lowers.
        section: the section that it was read from.
        by: what it takes from that part and that section, from 0 to 1.
        words: what it is, in a sentence without a full stop; it contains text of the recording.
        numbers: the events that prove it.
        next: the arguments of `namel3ss debug` that look at it.
    """

    slug: str
    part: str
    section: str
    by: float
    words: str
    numbers: tuple[int, ...]
    next: str


@dataclass(frozen=True)
class Run:
    """The whole that shares are taken of: milliseconds and tokens of the whole run; None where not known."""

    wall_ms: float | None
    tokens: int | None
    cost: float | None

    def share(self, ms: float | None = None, tokens: float | None = None, cost: float | None = None) -> float:
        """The largest of the shares of the run that are known, at most 1."""
        amounts = ((ms, self.wall_ms), (tokens, self.tokens), (cost, self.cost))
        shares = [amount / whole for amount, whole in amounts if amount and whole]
        return min(max(shares, default=0.0), 1.0)


def findings(sections: Mapping[str, Any], run: Run) -> list[Finding]:
    """Every finding of the sections, those that weigh most first.

    Args:
        sections: the sections that are known, by name.
        run: the whole that shares are taken of.
    """
    found = [
        finding
        for name, tell in _TELLERS.items()
        if name in sections
        for finding in tell(sections[name], sections, run)
        if finding.by >= LEAST
    ]
    return sorted(found, key=_rank)


def _rank(finding: Finding) -> tuple[float, int, str, tuple[int, ...]]:
    return -finding.by, finding.numbers[0] if finding.numbers else 0, finding.slug, finding.numbers


def _errors(section: Section, sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """Failures, one for each fingerprint; weaker signs; a bad exit status without a failure; spans that never ended."""
    severity = section.get("severity") or 0.0
    rows = section.get("failures") or []
    worst = max((row["severity"] for row in rows), default=0.0)
    for alike in _alike(rows):
        first = alike[0]
        numbers = (first["number"], *_origin_numbers(first), *(row["number"] for row in alike[1:]))
        by = severity * max(row["severity"] for row in alike) / worst if worst else 0.0
        again = f" ({len(alike)} times)" if len(alike) > 1 else ""
        words = f"{_named(first)} failed{again}{_said(first)}{_began(first)}"
        yield _finding("failure", "quality", "errors", by, words, numbers, f"explain {first['number']}")
    for alike in _alike(section.get("weak_failures") or []):
        first = alike[0]
        words = f"{_named(first)} tells of an error and did not fail{_said(first)}"
        number = first["number"]
        yield _finding("claimed_failure", "quality", "errors", first["severity"], words, [row["number"] for row in alike], f"explain {number}")  # fmt: skip
    overview = sections.get("execution_overview") or {}
    if overview.get("exit_status") and not rows:
        words = f"the program ended with status {overview['exit_status']}, and no failure was recorded"
        types = sections.get("event_type_breakdown")
        look = "inspect --tree" if types and not types.get("log_record") else "logs"
        yield _finding("exit_status", "quality", "errors", HALF, words, (), look)
    inner = [row for row in section.get("open_spans") or [] if row.get("innermost")]
    if inner:
        more = f" and {len(inner) - 1} more" if len(inner) > 1 else ""
        words = f"{_named(inner[0])}{more} never ended: the program was there when the recording did"
        yield _finding("never_ended", "stability", "errors", HALF, words, [row["number"] for row in inner], f"explain {inner[0]['number']}")  # fmt: skip


def _overview(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """A program that was killed before it could record its end."""
    if section.get("status") == "killed":
        last = section["events"]
        words = f"the run never ended: the last event is {last:,}, and the program did not say that it ended"
        yield _finding(
            "unfinished", "stability", "errors", UNFINISHED, words, (last,), f"inspect --event {last}"
        )


def _alike(rows: list[Section]) -> Iterator[list[Section]]:
    """The rows of each fingerprint, in the order of the first of them."""
    by_print: dict[Any, list[Section]] = {}
    for row in rows:
        by_print.setdefault(row.get("fingerprint"), []).append(row)
    yield from by_print.values()


def _origin(row: Section) -> Section | None:
    origin = next(iter(row.get("origins") or ()), None)
    return origin if origin is not None and origin["number"] != row["number"] else None


def _origin_numbers(row: Section) -> tuple[int, ...]:
    origin = _origin(row)
    return () if origin is None else (origin["number"],)


def _began(row: Section) -> str:
    origin = _origin(row)
    return "" if origin is None else f"; it began at {origin['number']}: {_named(origin)} {origin['reason']}"


def _said(row: Section) -> str:
    told = ": ".join(str(row[key]) for key in ("error_type", "error") if row.get(key))
    told = " ".join(told.split())
    return f": {short(told, 120)}" if told else ""


def _integrity(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """What makes the recording less trustworthy, except spans that never ended: `_errors` reports those."""
    for lowered in section["lowered_by"]:
        check = lowered["check"]
        if check in {"open_spans", "open_processes"}:
            continue
        numbers = [row["number"] for row in section["findings"] if row["check"] == check]
        share = f"{lowered['count']:,} of {lowered['of']:,} {lowered['unit']}"
        words = f"integrity: {check.replace('_', ' ')}, {share}: {lowered['why']}"
        step = f"inspect --event {numbers[0]}" if numbers else "analyze --integrity"
        yield _finding(check, "stability", "integrity", min(lowered["lowered_by"], 1.0), words, numbers, step)


def _performance(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """Operations that took a fifth of the run or more, unless a model's own work was the cause."""
    for row in section["bottlenecks"]:
        cause = row["cause"]
        if row["share"] < 0.2 or cause not in _CAUSES:
            continue
        took = f"{_took(row['self_ms'])}, {_percent(row['share'])} of the run"
        part, told = _CAUSES[cause]
        words = f"{_named(row)} took {took}{told}"
        slow = [each["number"] for each in section["slow_operations"] if _named(each) == _named(row)]
        step = f"inspect --event {slow[0]}" if slow else "analyze --performance"
        yield _finding("bottleneck", "performance", "performance", part * row["share"], words, slow, step)


_CAUSES = {
    "retries": (0.4, ", most of it in further attempts"),
    "cpu": (0.2, ", computing"),
    "io": (0.2, ", waiting for input and output"),
    "tool": (0.1, ""),
    "memory": (0.1, ""),
}
"""Cause of a bottleneck -> the part of its share that counts, and its words; other causes are no fault."""


def _dependencies(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """What could have run at the same time, and what began too early."""
    parallel = section.get("parallel") or {}
    chances = [row["number"] for row in parallel.get("chances") or () if row.get("number")]
    saves, share = parallel.get("saves_ms") or 0.0, parallel.get("share") or 0.0
    share = share if saves >= WORTH_MS else 0.0
    words = f"{_took(saves)} ({_percent(share)}) would be saved by running at once what needs nothing of each other"  # fmt: skip
    yield _finding("one_after_the_other", "performance", "dependencies", HALF * share, words, chances, "analyze --dependencies")  # fmt: skip
    violations = section.get("violations") or {}
    if violations.get("count"):
        listed = violations.get("listed") or []
        numbers = [row[key] for row in listed for key in ("number", "from", "to") if row.get(key)]
        words = f"{violations['count']:,} began before what they need had ended"
        step = f"inspect --event {numbers[0]}" if numbers else "analyze --dependencies"
        yield _finding("began_too_early", "quality", "dependencies", 0.1, words, numbers, step)


def _patterns(section: Section, _sections: Mapping[str, Any], run: Run) -> Iterator[Finding]:
    """Loops, stalls, and calls that had to be made again."""
    for row in section["found"]:
        cost, confidence, kind = row["cost"], row["confidence"], row["kind"]
        share = run.share(cost["ms"], cost["tokens"], cost["usd"])
        numbers = row["numbers"]
        if kind == "loop":
            again = numbers[min(1, len(numbers) - 1)]
            words = f"{_named(row)} was repeated without progress, {row['count']:,} calls"
            yield _finding("loop", "quality", "patterns", confidence * (0.1 + 0.6 * share), words, numbers, f"replay --step -b {again}")  # fmt: skip
        elif kind == "stall":
            words = f"for {_took(cost['ms'])} nothing happened in {_named(row)}"
            yield _finding("stall", "performance", "patterns", confidence * 0.6 * share, words, numbers, f"inspect --event {numbers[0]}")  # fmt: skip
        elif kind == "retries" and row.get("outcome") == "completed":
            words = f"{_named(row)} worked only at attempt {row['count']:,}"
            yield _finding("retries", "stability", "patterns", 0.02 + 0.4 * share, words, numbers, f"inspect --event {numbers[0]}")  # fmt: skip


_RULES = {
    "error_rate": ("error_rate", "quality"),
    "timeouts": ("timeouts", "stability"),
    "blocked": ("stall", "performance"),
    "context": ("context", "resources"),
    "loop": ("loop", "quality"),
    "cpu": ("cpu", "performance"),
    "memory_growth": ("memory_growth", "resources"),
    "response_time": ("response_time", "performance"),
}
"""Rule of the triggers -> the kind of finding, and the part it lowers."""


def _triggers(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """The thresholds that were exceeded."""
    for row in section["fired"]:
        slug, part = _RULES.get(row["rule"], (row["rule"], "stability"))
        told = ": ".join(filter(None, (_named(row), str(row.get("what") or ""))))
        words = f"the threshold {row['rule'].replace('_', ' ')} was passed" + (f", {told}" if told else "")
        numbers = row["numbers"]
        step = f"inspect --event {numbers[0]}" if numbers else "analyze --triggers"
        yield _finding(slug, part, "triggers", PASSED, words, numbers, step)


def _resources(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """Contexts that are nearly full: .3 from `FULL_FROM` of the window, .6 for all of it; memory that grows."""
    for model, row in ((section.get("context") or {}).get("by_model") or {}).items():
        share = row.get("max_share") or 0.0
        if share >= FILLS_FROM:
            by = 0.1 if share < FULL_FROM else min(0.3 + 3 * (share - FULL_FROM), 0.6)
            words = f"a call of {model[:_LONGEST_NAME]} filled {_percent(share)} of what the model can take"
            number = row["max_number"]
            yield _finding("context", "resources", "resource_usage", by, words, (number,), f"inspect --event {number}")  # fmt: skip
    for row in (section.get("memory") or {}).get("processes") or ():
        leak = row.get("leak") or {}
        if leak.get("verdict") == "grows":
            rate = leak["mb_per_hour"]
            by = 0.3 if rate > 50 else 0.1
            words = f"memory grew by {rate:,.1f} MB an hour"
            number = row["peak_number"]
            yield _finding("memory_growth", "resources", "resource_usage", by, words, (number,), "analyze --resources")  # fmt: skip


_SAVINGS = {
    "work_after_failure": ("resources", "calls after the failure that ended what they ran in"),
    "repeated_calls": ("resources", "calls asked the same again and were answered the same"),
    "resent_context": ("resources", "prompts began as an earlier one and were not read from a cache"),
    "slow_tools": ("performance", "calls of tools took longer than the setting slow_ms"),
}
"""Kind of saving -> the part it lowers, and its words; other sections report the other kinds."""


def _optimizations(section: Section, _sections: Mapping[str, Any], run: Run) -> Iterator[Finding]:
    """Half the share of the run's time, tokens or money that could be saved."""
    for row in section["kinds"]:
        kind, saves = row["kind"], row["saves"]
        if kind not in _SAVINGS or not row["count"]:
            continue
        part, told = _SAVINGS[kind]
        share = run.share(
            saves["ms"] if (saves["ms"] or 0) >= WORTH_MS else None, saves["tokens"], saves["cost"]
        )
        listed = [each for each in section["listed"] if each["kind"] == kind]
        numbers = [number for each in listed for number in each["numbers"] if number]
        words = f"{row['count']:,} {told}: {_saving(saves)}"
        step = f"inspect --event {numbers[0]}" if numbers else "analyze --optimizations"
        yield _finding(kind, part, "optimizations", HALF * share, words, numbers, step)


def _saving(saves: Section) -> str:
    told = [_took(saves["ms"])] if (saves["ms"] or 0) >= WORTH_MS else []
    told += [f"{saves['tokens']:,} tokens"] if saves["tokens"] else []
    return " and ".join(told) or "little"


def _interactions(section: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """Messages without an answer, messages sent again, and agents that failed, by their shares."""
    messages = section["messages"]
    count = messages["count"]
    lacking, again = messages["unanswered"], messages["repeated"]
    if lacking["count"]:
        numbers = [row["number"] for row in lacking["listed"]]
        words = f"{lacking['count']:,} of {count:,} messages had no answer"
        yield _finding("unanswered", "interactions", "interactions", HALF * lacking["count"] / count, words, numbers, f"inspect --event {numbers[0]}")  # fmt: skip
    if again["count"]:
        numbers = [number for row in again["listed"] for number in row["numbers"]]
        words = f"the same message was sent again, {again['count']:,} times"
        yield _finding("repeated_messages", "interactions", "interactions", 0.3 * min(again["count"] / count, 1.0), words, numbers, f"inspect --event {numbers[0]}")  # fmt: skip
    for row in section["calls"]:
        if row["component"] == "agent" and row["failed"]:
            words = f"{_named(row)} failed {row['failed']:,} of {row['count']:,} times"
            yield _finding("agent_failed", "interactions", "interactions", 0.4 * row["failed"] / row["count"], words, (), "inspect --errors-only")  # fmt: skip


def _mark(mark: Section, _sections: Mapping[str, Any], _run: Run) -> Iterator[Finding]:
    """Yield the user's own finding, where the run is marked bad."""
    event = mark["event"]
    look = f"explain {event}" if event else "inspect --tree"
    words = mark_from_json(mark).describe()
    yield _finding(MARKED_BAD, "quality", "mark", UNFINISHED, words, (event,) if event else (), look)


_TELLERS: dict[str, Callable[[Section, Mapping[str, Any], Run], Iterator[Finding]]] = {
    "mark": _mark,
    "execution_overview": _overview,
    "errors": _errors,
    "integrity": _integrity,
    "performance": _performance,
    "dependencies": _dependencies,
    "patterns": _patterns,
    "triggers": _triggers,
    "resource_usage": _resources,
    "optimizations": _optimizations,
    "interactions": _interactions,
}
"""Section -> the function that finds its findings."""


def _finding(
    slug: str, part: str, section: str, by: float, words: str, numbers: Any, next_step: str
) -> Finding:
    kept = tuple(dict.fromkeys(numbers))[:_MOST_NUMBERS]
    return Finding(slug, part, section, round(min(by, 1.0), 3), short(words, _LONGEST_WORDS), kept, next_step)


def _named(row: Section) -> str:
    component, name = str(row.get("component") or ""), str(row.get("component_name") or "")
    return f"{component} {name}"[:_LONGEST_NAME].strip()


def _took(ms: float) -> str:
    """A time in seconds, and below a tenth of one in milliseconds."""
    return f"{ms / 1000:,.2f} s" if ms >= 100 else f"{ms:,.2f} ms"


def _percent(share: float) -> str:
    """A share as text; `100 %` and `0 %` only where they are exact."""
    if share in {0, 1}:
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(share * 100, 0.1), 99.9):.1f} %"
