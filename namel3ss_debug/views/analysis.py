"""The document of `analyze` as a report: failures first, then times, then costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.prices import is_extra_installed
from namel3ss_debug.views import health, trends
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.figures import FIGURES
from namel3ss_debug.views.paths import command, short_name, short_site
from namel3ss_debug.views.quantities import (
    count,
    duration,
    is_number,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, line, text
from namel3ss_debug.views.traces import OUTCOME_STYLES, describe_outcome
from namel3ss_debug.views.usage import (
    Section,
    price_hint,
    price_source,
)

if TYPE_CHECKING:
    from rich.text import Text

    from namel3ss_debug.analysis.aggregate.many import Many


def report(document: Section, *, brief: bool = False, reference: str = "") -> Iterator[Block]:
    """Yield the report of one analysed trace, from the sections its document has.

    Args:
        document: the result of `analyze`.
        brief: whether only the most important rows of each section are shown, and the heaviest findings at the end.
        reference: how the trace is named in a command; empty for the latest.
    """
    trace = document.get("trace", {})
    overview = document.get("execution_overview")
    found = document.get("health")
    if "errors" in document:
        document = {**document, "errors": {**document["errors"], "reference": reference}}
    yield from _overview(trace, overview, document.get("resource_usage"), found or {})
    if found is not None and brief:
        # First, so that the first screen has the verdict, the failure and the next command.
        yield from health.matters(found.get("findings") or [], reference, str(found.get("statement") or ""))
    yield from _sections(document, brief=brief)
    if found is not None and not brief:
        yield from health.health(found, reference)


def _sections(document: Section, *, brief: bool) -> Iterator[Block]:
    """Yield the sections of a document: those of `_ORDER` first, then all others but those that frame the report."""
    alone = "performance" not in document
    keys = [key for key in SECTIONS if key in document and key not in {"execution_overview", "health"}]
    keys.sort(key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    for key in keys:
        yield from section_blocks(key, document[key], alone=alone, brief=brief)
    overview = document.get("execution_overview", {})
    lacks_prices = overview.get("calls_without_price") and overview.get("tokens")
    # The section on the use of resources has this hint itself.
    if "resource_usage" not in document and lacks_prices and not is_extra_installed():
        yield Note(price_hint())
    if brief:
        yield Note("analyze --performance, --dependencies, --summary, ... show a section whole")


def section_blocks(
    key: str, content: Section, *, alone: bool = False, brief: bool = False
) -> Iterator[Block]:
    """Yield the tables that a section declares, and what stands between them.

    Args:
        key: the name of the section.
        content: the section.
        alone: whether it was asked for by itself, so that an empty one is named.
        brief: whether only the most important rows are shown.
    """
    row = SECTIONS[key]
    if key == "triggers":
        content = {**content, "alone": alone}
    if not (alone or key not in _SHOWN_BESIDE or _SHOWN_BESIDE[key](content)):
        return
    drawn = (
        FIGURES[each](content) if isinstance(each, str) else listing(content, each, row if brief else None)
        for each in row.columns
    )
    yield from _or_else(
        chain.from_iterable(drawn),
        [_describe_empty(key, content)] if alone and not brief and key in _EMPTY else [],
    )


def _describe_empty(key: str, section: Section) -> Heading:
    """Return the heading that answers a user who asked for an empty section alone."""
    return Heading("No log was recorded") if section.get("records") == 0 else _EMPTY[key]


def _or_else(blocks: Iterable[Block], others: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, or the others if there are none."""
    first = next(iterator := iter(blocks), None)
    yield from others if first is None else chain((first,), iterator)


def several(many: Many, *, brief: bool = False) -> Iterator[Block]:
    """Yield the report of several traces: their totals, and a row for each of them or for each group.

    Args:
        many: the result of `analyze_many`.
        brief: as of `report`.
    """
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
    if brief:
        yield from health.matters(health.of_recordings(_found(many.rows)))
    yield from trends.trends(document.get("trends") or {})
    if many.groups:
        yield from trends.groups(many.groups, document["aggregate"]["by"])
    yield from trends.recordings(many.rows)
    placed = {key: _placed(value) for key, value in document.items() if key != "aggregate"}
    yield from _sections(placed, brief=brief)


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


def _overview(
    trace: Section, overview: Section | None, resources: Section | None, found: Section
) -> Iterator[Block]:
    known = overview or {}
    where = shorter_path(Path(str(trace.get("path", "trace"))))
    program = known.get("target") or command(known.get("argv") or ()) or where
    yield Heading(short_site(program))
    if overview is None:
        yield Facts([("events", tokens(trace.get("events")))])
        return
    status = str(overview.get("status", ""))
    rate = overview.get("success_rate")
    calls = ", ".join(
        f"{tokens(overview.get(key))} {noun}"
        for key, noun in (("agent_executions", "agent"), ("llm_calls", "LLM"), ("tool_calls", "tool"))
        if overview.get(key)
    )
    failures = [
        count(int(overview.get(key) or 0), *noun)
        for key, noun in (("errors", ("error",)), ("retries", ("retry", "retries")))
        if overview.get(key)
    ]
    succeeded = f"  {percent(rate)} of the spans did their work" if is_number(rate) and rate < 1 else ""
    outcome = str(overview.get("outcome") or status)
    style = OUTCOME_STYLES.get(outcome, "")
    left_open = ", and something in it never ended" if status == "open" and outcome != "running" else ""
    shown = describe_outcome(outcome, str(overview.get("outcome_detail") or "")) + left_open
    yield Facts(
        [
            ("outcome", line((shown, style), (succeeded, DIM))),
            ("judgement", health.outcome(found)),
            ("re-run", _verdict_line(overview.get("rerun_verdict"))),
            ("health", health.fact(found)),
            ("took", duration(overview.get("duration_ms"))),
            ("calls", calls),
            ("errors", text(", ".join(failures), ERROR if overview.get("errors") else "")),
            ("tokens", _tokens_line(overview, resources)),
            ("cost", _cost_line(overview)),
            ("events", _events_line(overview)),
            ("started", _started_line(overview)),
            ("trace", text(where, DIM)),
        ]
    )


def _verdict_line(verdict: object) -> Text:
    """Return the verdict on a re-run; empty of any other run."""
    if not isinstance(verdict, str):
        return text("")
    verified = verdict.startswith("matched")
    return text(verdict.replace("_", " "), "" if verified else WARNING)


def _tokens_line(overview: Section, resources: Section | None) -> str:
    total = overview.get("tokens")
    if not total:
        return ""
    parts = (resources or {}).get("tokens", {})
    known = (("input", "input_tokens"), ("cached", "cache_read_tokens"), ("output", "output_tokens"))
    described = ", ".join(f"{tokens(parts[key])} {label}" for label, key in known if parts.get(key))
    return f"{tokens(total)}" + (f"  ({described})" if described else "")


def _cost_line(overview: Section) -> str:
    unpriced = overview.get("calls_without_price") or 0
    known = money(overview.get("cost"))
    asides = list(filter(None, map(price_source, overview.get("priced_by") or ())))
    if unpriced:
        asides.append(f"{count(unpriced, 'call')} of unknown cost")
    if not asides:
        return known
    return f"{known or 'not known'}  ({', '.join(asides)})"


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
