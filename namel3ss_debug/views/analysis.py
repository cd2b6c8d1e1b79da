"""The document of `analyze` as a report: failures first, then times, then costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import Section as SectionRow
from namel3ss_debug.analysis.contract import names_event
from namel3ss_debug.analysis.sections.performance import OUTLIER_TABLE
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.prices import is_extra_installed
from namel3ss_debug.views import health, trends
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.bottlenecks import bottlenecks, hot_functions
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.dependencies import dependencies
from namel3ss_debug.views.errors import errors
from namel3ss_debug.views.integrity import integrity
from namel3ss_debug.views.interactions import interactions
from namel3ss_debug.views.optimizations import optimizations
from namel3ss_debug.views.paths import command, short_name, short_site
from namel3ss_debug.views.patterns import patterns, troubles
from namel3ss_debug.views.quantities import (
    count,
    duration,
    is_number,
    milliseconds,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.tables import Column, name, number
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, WARNING, line, text
from namel3ss_debug.views.traces import OUTCOME_STYLES, describe_outcome
from namel3ss_debug.views.triggers import triggers
from namel3ss_debug.views.usage import (
    SHOWN,
    Section,
    amount,
    failed,
    more,
    operation_cell,
    price_hint,
    price_source,
    resources,
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
    """Yield the sections of a document: the drawn ones, the most important first, then all others."""
    alone = "performance" not in document
    # The overview and the health frame the report, and are no sections of it.
    drawn = {key for key, _ in DRAWINGS} | {"execution_overview", "health"}
    shown = [(key, draw(document[key], alone=alone)) for key, draw in DRAWINGS if key in document]
    for key, section in document.items():
        if key in SECTIONS and key not in drawn:
            shown.append((key, chain.from_iterable(map(partial(listing, section), SECTIONS[key].columns))))
    for key, blocks in shown:
        empty = [_EMPTY[key]] if alone and not brief and key in _EMPTY else []
        yield from _shorten(blocks, SECTIONS[key]) if brief else _or_else(blocks, empty)
    overview = document.get("execution_overview", {})
    lacks_prices = overview.get("calls_without_price") and overview.get("tokens")
    # The section on the use of resources has this hint itself.
    if "resource_usage" not in document and lacks_prices and not is_extra_installed():
        yield Note(price_hint())
    if brief:
        yield Note("analyze --performance, --dependencies, --summary, ... show a section whole")


def _or_else(blocks: Iterable[Block], others: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, or the others if there are none."""
    first = next(iterator := iter(blocks), None)
    yield from others if first is None else chain((first,), iterator)


def _shorten(blocks: Iterable[Block], row: SectionRow) -> Iterator[Block]:
    """Yield the first rows of the tables of a section, without its detailed tables."""
    details = _DETAIL | {each.title for each in row.columns if each.detail}
    left, shown = 0, True
    for block in blocks:
        if isinstance(block, Heading):
            shown = block.title not in details
        more = block.left if isinstance(block, Note) else 0
        if left:
            yield _rest(left + more, row.flag)
            left = 0
            if more:
                continue
        if isinstance(block, Table) and shown:
            # A note takes a line as well, so one row more is shown instead of it.
            left = len(block.rows) - row.brief_rows if len(block.rows) > row.brief_rows + 1 else 0
            yield block._replace(rows=block.rows[: len(block.rows) - left])
        elif shown:
            yield block
    if left:
        yield _rest(left, row.flag)


def _rest(left: int, flag: str) -> Note:
    return Note(f"… {left:,} more: --{flag}", left)


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
    yield from trends.recurring(placed.get("errors") or {})
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
        if recording and names_event(key) and isinstance(item, int)
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


def _performance(performance: Section) -> Iterator[Block]:
    yield from bottlenecks(performance)
    slow = performance.get("slow_operations") or []
    if slow:
        total = performance.get("slow_operation_count") or len(slow)
        yield Heading(count(total, "slow operation"), f"over {duration(performance.get('slow_ms'))}")
        yield Table(
            (
                Column("n", align="right", style=DIM),
                name("operation", 16),
                number("ms"),
                number("self ms"),
                name("call site", 16),
            ),
            [
                (
                    text(row.get("number"), DIM),
                    operation_cell(row),
                    milliseconds(row.get("duration_ms")),
                    milliseconds(row.get("self_ms")),
                    text(short_site(row.get("call_site") or ""), DIM),
                )
                for row in slow[:SHOWN]
            ],
        )
        yield from more(total, len(slow[:SHOWN]))
    yield from hot_functions(performance)
    yield from listing(performance, OUTLIER_TABLE)
    yield from _models(performance.get("llm_performance") or {})
    yield from _operations("Tools", "tool", (performance.get("tool_performance") or {}).items())
    others = [
        (row.get("component_name") or row.get("component"), row)
        for row in performance.get("operations") or []
        if row.get("component") not in {"llm", "tool"}
    ]
    yield from _operations("Other operations", "operation", others)


_TIMES = (number("p50 ms"), number("p95 ms"), number("max ms"))


def _begun(row: Section) -> int:
    """Return how many calls there were, with those that never ended, as the head of the report counts them."""
    return int(row.get("count") or 0) + int(row.get("open") or 0)


def _times(row: Section) -> tuple[str, ...]:
    return tuple(milliseconds(row.get(key)) for key in ("p50_ms", "p95_ms", "max_ms"))


def _models(models: Mapping[str, Section]) -> Iterator[Block]:
    if not models:
        return
    legend = [
        "single attempts",
        "first: until the first token" if any(map(_first_token, models.values())) else "",
        "out/s: tokens per second" if any(row.get("tokens_per_second") for row in models.values()) else "",
    ]
    yield Heading("Models", "; ".join(filter(None, legend)))
    yield Table(
        (
            name("model", 12),
            number("calls"),
            number("errors"),
            *_TIMES,
            number("first ms"),
            number("tokens"),
            number("out/s"),
        ),
        [
            (
                text(model, COMPONENT_STYLES["llm"], 120),
                tokens(_begun(row)),
                failed(row.get("errors")),
                *_times(row),
                milliseconds(_first_token(row)),
                amount(row.get("tokens")),
                milliseconds(row.get("tokens_per_second")),
            )
            for model, row in _longest(models.items())
        ],
    )
    yield from more(len(models), min(len(models), SHOWN))


def _first_token(row: Section) -> Any:
    return (row.get("time_to_first_token") or {}).get("p50_ms")


def _operations(title: str, header: str, rows: Iterable[tuple[Any, Section]]) -> Iterator[Block]:
    items = list(rows)
    if not items:
        return
    yield Heading(title)
    yield Table(
        (name(header, 14), number("calls"), number("errors"), number("total ms"), *_TIMES),
        [
            (
                text(label, COMPONENT_STYLES.get(str(row.get("component", header)), ""), 120),
                tokens(_begun(row)),
                failed(row.get("errors")),
                milliseconds(row.get("total_ms") if row.get("p50_ms") is not None else None),
                *_times(row),
            )
            for label, row in _longest(items)
        ],
    )
    yield from more(len(items), min(len(items), SHOWN))


def _longest(items: Iterable[tuple[Any, Section]]) -> list[tuple[Any, Section]]:
    """Return the rows with the longest total time first."""
    return sorted(items, key=lambda item: (-(item[1].get("total_ms") or 0), str(item[0])))[:SHOWN]


def _integrity(checked: Section, *, alone: bool) -> Iterator[Block]:
    """Yield the integrity of a trace: where other things are shown, only if something is wrong with it."""
    if checked.get("lowered_by") or alone:
        yield from integrity(checked)


def _alike(draw: Callable[[Any], Iterator[Block]]) -> Callable[..., Iterator[Block]]:
    """Return the drawing of a section that looks the same alone and beside others."""

    def drawing(content: Any, *, alone: bool) -> Iterator[Block]:
        del alone
        return draw(content)

    return drawing


DRAWINGS: tuple[tuple[str, Callable[..., Iterator[Block]]], ...] = (
    ("triggers", triggers),
    ("errors", _alike(errors)),
    ("patterns", _alike(troubles)),
    ("integrity", _integrity),
    ("performance", _alike(_performance)),
    ("patterns", patterns),
    ("dependencies", _alike(dependencies)),
    ("interactions", interactions),
    ("optimizations", optimizations),
    ("resource_usage", _alike(resources)),
)
"""The sections that are drawn by a function, the most important first; all others are drawn from their `columns`."""

_EMPTY = {
    "errors": Heading("No errors"),
    "handled_exceptions": Heading("No handled exceptions", "they are recorded from the level detailed on"),
    "log_errors": Heading("No errors in the log"),
}
"""Section -> the heading that answers a user who asked for it alone, if it is empty."""

_DETAIL = frozenset({"Spans on the path", "Where it shows", "Contexts", "Other operations"})
"""Headings of tables that are left out of a brief report."""
