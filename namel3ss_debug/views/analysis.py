"""The document of `analyze` as a report: failures first, then times, then costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.errors import short
from namel3ss_debug.prices import is_extra_installed
from namel3ss_debug.traces.outcomes import describe_outcome
from namel3ss_debug.views import health, trends
from namel3ss_debug.views.blocks import Block, Facts, ForWidth, Heading, Note
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.figures import FIGURES
from namel3ss_debug.views.paths import command, short_name, short_site
from namel3ss_debug.views.quantities import (
    count,
    duration,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.tables import Cell
from namel3ss_debug.views.terminal import DIM, ERROR, OUTCOME_STYLES, WARNING, text
from namel3ss_debug.views.usage import (
    Section,
    price_hint,
    price_source,
)

if TYPE_CHECKING:
    from rich.text import Text

    from namel3ss_debug.analysis.totals import Many


LINES = 25
"""The lines of the first screen."""

_LEAST_SHARE = 0.01
_MOST_OPERATIONS = 3
_LONGEST_NAME = 24


def report(document: Section, *, whole: bool = True, reference: str = "") -> Iterator[Block]:
    """Yield the report of one analysed trace, from the sections its document has.

    Args:
        document: the result of `analyze`.
        whole: whether the tables are shown; without them it is the first screen of a terminal. Formats without a
            screen have the tables in any case.
        reference: how the trace is named in a command; empty for the latest.
    """
    if whole:
        yield from _whole(document, reference)
    else:
        yield ForWidth(lambda width: _first_screen(document, reference, width))


def _first_screen(document: Section, reference: str, width: int | None) -> Iterator[Block]:
    """Yield the outcome, what it cost, where the time went, and the findings; for formats without a screen everything."""
    if width is None:
        yield from _whole(document, reference)
        return
    found = document["health"]
    head = Facts([row for row in describe_run(document) if len(row[1])])
    yield run_heading(document["trace"], document["execution_overview"])
    yield head
    yield from health.matters(
        found.get("findings") or [], reference, width=width, lines=LINES - len(head.rows) - 5
    )
    yield from _hints(document)
    yield _further(document)


def _whole(document: Section, reference: str) -> Iterator[Block]:
    trace = document.get("trace", {})
    overview = document.get("execution_overview")
    if "errors" in document:
        document = {**document, "errors": {**document["errors"], "reference": reference}}
    yield run_heading(trace, overview)
    if overview is None:
        yield Facts([("events", tokens(trace.get("events")))])
    else:
        yield Facts([*describe_run(document), *_details(overview)])
    yield from _sections(document)
    if "health" in document:
        yield from health.health(document["health"], reference)


def _further(document: Section) -> Note:
    """Return the last line of the first screen: what `--all` adds to it."""
    flags = dict.fromkeys(
        row.flag
        for key, row in SECTIONS.items()
        if key in document
        and row.columns
        and row.has_data(document[key])
        and (key not in _SHOWN_BESIDE or _SHOWN_BESIDE[key](document[key]))
    )
    return Note(f"analyze --all adds all tables, each also by its flag: {', '.join(flags)}")


def _sections(document: Section) -> Iterator[Block]:
    """Yield the sections of a document: those of `_ORDER` first, then all others but those that frame the report."""
    alone = "performance" not in document
    keys = [key for key in SECTIONS if key in document and key not in {"execution_overview", "health"}]
    keys.sort(key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    for key in keys:
        yield from section_blocks(key, document[key], alone=alone)
    # The section on the use of resources has this hint itself.
    if "resource_usage" not in document:
        yield from _hints(document)


def _hints(document: Section) -> Iterator[Block]:
    """Yield how prices are installed, where a cost is not known without them."""
    overview = document.get("execution_overview", {})
    if overview.get("calls_without_price") and overview.get("tokens") and not is_extra_installed():
        yield Note(price_hint())


def section_blocks(key: str, content: Section, *, alone: bool = False) -> Iterator[Block]:
    """Yield the tables that a section declares, and what stands between them.

    Args:
        key: the name of the section.
        content: the section.
        alone: whether it was asked for by itself, so that an empty one is named.
    """
    if key == "triggers":
        content = {**content, "alone": alone}
    if not (alone or key not in _SHOWN_BESIDE or _SHOWN_BESIDE[key](content)):
        return
    drawn = (
        FIGURES[each](content) if isinstance(each, str) else listing(content, each)
        for each in SECTIONS[key].columns
    )
    yield from _or_else(
        chain.from_iterable(drawn), [_describe_empty(key, content)] if alone and key in _EMPTY else []
    )


def _describe_empty(key: str, section: Section) -> Heading:
    """Return the heading that answers a user who asked for an empty section alone."""
    return Heading("No log was recorded") if section.get("records") == 0 else _EMPTY[key]


def _or_else(blocks: Iterable[Block], others: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, or the others if there are none."""
    first = next(iterator := iter(blocks), None)
    yield from others if first is None else chain((first,), iterator)


def several(many: Many, *, whole: bool = True) -> Iterator[Block]:
    """Yield the report of several traces: their totals, and a row for each of them or for each group.

    Args:
        many: the result of `analyze_many`.
        whole: as of `report`.
    """
    if whole:
        yield from _several(many, whole=True)
    else:
        yield ForWidth(lambda width: _several(many, whole=width is None))


def _several(many: Many, *, whole: bool) -> Iterator[Block]:
    document = many.document
    totals = document.get("execution_overview")
    recordings = document["aggregate"]
    yield from trends.overview(totals, recordings["count"], recordings["marked"])
    if all(recordings["marked"].values()):
        yield Note("namel3ss debug diff BAD --baseline DIRECTORY compares a run with those marked good")
    left_out = len(document["aggregate"].get("left_out") or ())
    if left_out:
        them = "it" if left_out == 1 else "them"
        yield Note(f"{count(left_out, 're-run')} left out; name {them} to analyze {them}")
    if not whole or "health" in many.rows[0]["scores"]:
        yield from health.matters(health.of_recordings(_found(many.rows)))
    yield from trends.trends(document.get("trends") or {}, whole=whole)
    if many.groups:
        yield from trends.groups(many.groups, document["aggregate"]["by"])
    yield from trends.recordings(many.rows, whole=whole)
    if whole:
        placed = {key: _placed(value) for key, value in document.items() if key != "aggregate"}
        yield from _sections(placed)
    else:
        yield from _hints(document)
        yield _further(document)


def _found(rows: Iterable[Section]) -> Iterator[Section]:
    """Yield the heaviest findings of each trace, with how the trace is named in a command."""
    for row in rows:
        path = trends.behind(Path(str(row["trace"]["path"])))
        name_of = short_name(path)
        reference = shorter_path(path) if name_of == path.name else name_of
        for finding in row["findings"]:
            yield {**finding, "reference": reference}


def _placed(value: Any, recording: str = "") -> Any:
    """Return a section in which the numbers of events name their trace: `ab12cd34:17`.

    Args:
        value: the section, or a value in it.
        recording: the one it is of, where an entry around it names one.
    """
    if isinstance(value, list):
        return [_placed(item, recording) for item in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("trace"), str):
        recording = short_name(trends.behind(Path(value["trace"])))
    return {
        key: f"{recording}:{item}"
        if recording and (key == "number" or key.endswith("_number")) and isinstance(item, int)
        else _placed(item, recording)
        for key, item in value.items()
    }


def run_heading(trace: Section, overview: Section | None) -> Heading:
    """Return the name of the program as a heading; without it, the file of the trace."""
    known = overview or {}
    program = known.get("target") or command(known.get("argv") or ()) or _place(trace)
    return Heading(short_site(program))


def _place(trace: Section) -> str:
    return shorter_path(Path(str(trace.get("path", "trace"))))


def describe_run(document: Section) -> Iterator[tuple[str, Cell]]:
    """Yield what the first screen says of a run before its findings: labels and lines, which may be empty."""
    overview, trace = document["execution_overview"], document.get("trace", {})
    status = str(overview.get("status", ""))
    outcome = str(overview.get("outcome") or status)
    left_open = ", and something in it never ended" if status == "open" and outcome != "running" else ""
    shown = describe_outcome(outcome, str(overview.get("outcome_detail") or "")) + left_open
    mark = trace.get("mark")
    yield "outcome", text(shown, OUTCOME_STYLES.get(outcome, ""))
    yield "judged", "" if mark is None else health.judgement(mark)
    yield "re-run", _verdict_line(overview.get("rerun_verdict"))
    failures = ", ".join(
        count(int(overview.get(key) or 0), *noun)
        for key, noun in (("errors", ("error",)), ("retries", ("retry", "retries")))
        if overview.get(key)
    )
    yield "errors", text(failures, ERROR if overview.get("errors") else "")
    yield "handled", _handled_line(document.get("handled_exceptions") or {})
    yield "time", _time_line(overview, (document.get("performance") or {}).get("time"))
    yield "cost", _cost_line(overview, document.get("resource_usage") or {})
    yield "trace", text(f"{_place(trace)}, {count(int(trace.get('events') or 0), 'event')}", DIM)


def _details(overview: Section) -> Iterator[tuple[str, Cell]]:
    """Yield what a report with tables says besides."""
    yield "events", _events_line(overview)
    yield "started", _started_line(overview)
    yield "prices", ", ".join(filter(None, map(price_source, overview.get("priced_by") or ())))


def _handled_line(handled: Section) -> Text:
    """Return the exceptions that were handled inside tools: what a tool hides is what its caller never learns."""
    inside = [row for row in handled.get("sites") or () if row.get("component") == "tool"]
    shown = [
        f"{row['error_type']} in tool {row['component_name']}, event {row['number']}"
        + (f", {row['times']:,} times" if row["times"] > 1 else "")
        for row in inside
    ]
    more = f"; {len(shown) - 2} more" if len(shown) > 2 else ""
    return text("; ".join(shown[:2]) + more, WARNING, 400)


def _time_line(overview: Section, time: Section | None) -> str:
    """Return how long the run took, and its largest shares, which add up to 100 %."""
    took = duration(overview.get("duration_ms"))
    if not time or not time["operations"]:
        return took
    shares = [
        (row["ms"], short(str(row["component_name"] or row["component"]), _LONGEST_NAME))
        for row in time["operations"][:_MOST_OPERATIONS]
    ]
    shares.insert(0, (time["start_up_ms"] or 0, "start-up"))
    least = _LEAST_SHARE * time["wall_ms"]
    shares = [share for share in shares if share[0] >= least]
    rest = time["wall_ms"] - sum(ms for ms, _ in shares)
    shares += [(rest, "the rest")] if rest >= least else []
    described = [f"{100 * ms / time['wall_ms']:.0f} % {what}" for ms, what in shares]
    return f"{took}: {', '.join(described)}"


def _verdict_line(verdict: object) -> Text:
    """Return the verdict on a re-run; empty of any other run."""
    if not isinstance(verdict, str):
        return text("")
    verified = verdict.startswith("matched")
    return text(verdict.replace("_", " "), "" if verified else WARNING)


def _cost_line(overview: Section, resources: Section) -> str:
    """Return the cost, the calls, and the tokens by part."""
    calls, unpriced = int(overview.get("llm_calls") or 0), int(overview.get("calls_without_price") or 0)
    known = money(overview.get("cost"))
    total, parts = overview.get("tokens"), resources.get("tokens", {})
    named = (("input", "input_tokens"), ("cached", "cache_read_tokens"), ("output", "output_tokens"))
    described = ", ".join(f"{tokens(parts[key])} {label}" for label, key in named if parts.get(key))
    used = f"{tokens(total)} tokens" + (f" ({described})" if described else "") if total else ""
    unknown = f" without {count(unpriced, 'call')} of unknown cost" if unpriced and known else ""
    made = count(calls, "model call") if calls else ""
    cost = known + unknown if known else "not known" if made or used else ""
    return ": ".join(filter(None, (cost, ", ".join(filter(None, (made, used))))))


def _events_line(overview: Section) -> str:
    parts = [f"{tokens(overview.get('events'))} in {count(int(overview.get('spans') or 0), 'span')}"]
    processes = int(overview.get("processes") or 0)
    if processes > 1:
        parts.append(count(processes, "process", "processes"))
    tracing = overview.get("tracing")
    if isinstance(tracing, Mapping):
        share = percent(tracing.get("share_of_wall"))
        spent = duration((tracing.get("tracing_us") or 0) / 1000)
        parts.append(f"tracing took {spent}" + (f" ({share})" if share else ""))
    return ", ".join(parts)


def _started_line(overview: Section) -> str:
    python, commit = overview.get("python"), overview.get("git_commit")
    started = moment(overview.get("started_at"))
    parts = [f"{started} UTC" if started else "", f"Python {python}" if python else ""]
    parts.append(f"commit {str(commit)[:12]}" if commit else "")
    return ", ".join(filter(None, parts))


_ORDER = ("triggers", "errors", "patterns", "integrity", "performance", "dependencies", "interactions", "optimizations", "resource_usage")  # fmt: skip
"""The sections that a reader should see first; all others follow in the order of the document."""

_SHOWN_BESIDE: dict[str, Callable[[Any], bool]] = {
    "integrity": lambda section: bool(section.get("lowered_by")),
    "interactions": lambda section: (
        bool(section.get("hand_offs") or (section.get("messages") or {}).get("count"))
        or any(row.get("from") for row in section.get("calls") or ())
    ),
}
"""Section -> whether it is shown beside others; all others always are."""

_EMPTY = {
    "errors": Heading("No errors"),
    "handled_exceptions": Heading("No handled exceptions", "they are recorded from the level detailed on"),
    "log_errors": Heading("No errors in the log"),
    "patterns": Heading("Patterns", "none were found"),
    "integrity": Heading("Integrity 100 %", "no event is missing, cut or impossible"),
    "interactions": Heading("Interactions", "nothing was called"),
    "optimizations": Heading(
        "No savings found", "looked for: calls that failed, repeat, are slow or could run in parallel"
    ),
}
"""Section -> the heading that answers a user who asked for it alone, if it is empty."""
