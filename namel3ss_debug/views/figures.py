"""What a section shows besides its tables: headings with facts, notes, and the curve of concurrency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from namel3ss_debug.analysis.sections.patterns import TROUBLES
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note
from namel3ss_debug.views.pattern_texts import describe_counts
from namel3ss_debug.views.quantities import (
    bytes_text,
    count,
    duration,
    is_number,
    megabytes,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.terminal import DIM, ERROR, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, amount, name_models, unpriced

_HEIGHTS = " ▁▂▃▄▅▆▇█"


def _concurrency(section: Section) -> Iterator[Block]:
    """Yield how many spans ran at once."""
    found = section.get("concurrency") or {}
    if (found.get("most") or 0) < 2:
        return
    highest = max(found["over_time"], default=0)
    heights = (round(value / highest * 8) or int(value > 0) for value in found["over_time"] if highest)
    yield Heading("Concurrency", "spans in which no other ran")
    yield Facts(
        [
            ("most", tokens(found["most"])),
            ("mean", f"{found['mean']:.2f} while anything ran" if is_number(found["mean"]) else ""),
            ("one", f"{duration(found['serial_ms'])}  ({percent(found['serial_share'])} of the run)"),
            ("none", f"{duration(found['idle_ms'])}  ({percent(found['idle_share'])})"),
            ("over time", "".join(_HEIGHTS[height] for height in heights).rstrip()),
        ]
    )


def _errors(section: Section) -> Iterator[Block]:
    """Yield how much failed, and what was recovered."""
    total, recovered = section.get("total_errors") or 0, section.get("recovered_errors") or 0
    again = section.get("retry_cost") or {}
    spent = [
        duration(again.get("duration_ms")),
        count(again["tokens"], "token") if again.get("tokens") else "",
        money(again.get("cost") or None),
    ]
    retries = f"{count(again['spans'], 'call')} made again, {', '.join(filter(None, spent))}" if again.get("spans") else ""  # fmt: skip
    if recovered and not total:
        yield Heading(count(recovered, "failed attempt"), "recovered by another", WARNING)
        yield Facts([("retries", retries)])
    if not total:
        return
    categories = section.get("error_categories") or {}
    ordered = sorted(categories.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{kind} {tokens(number)}" for kind, number in ordered)
    first = section.get("first_failure_ms")
    aside = f"{tokens(recovered)} more recovered by another attempt" if recovered else ""
    yield Heading(count(total, "error"), aside, ERROR)
    yield Facts(
        [
            ("categories", kinds if len(categories) > 1 else ""),  # a single one is in the table below
            ("first", f"{duration(first)} into the run" if first is not None else ""),
            ("retries", retries),
        ]
    )


def _first_failure(section: Section) -> Iterator[Block]:
    """Yield the command that explains the first failure; with several traces, its number names the trace."""
    first: Section = next(iter(section.get("failures") or ()), {})
    if first.get("number"):
        *recording, number = str(first["number"]).rsplit(":", 1)
        named = recording or filter(None, [section.get("reference")])
        command = " ".join(("namel3ss debug explain", number, *named))
        yield Note(f"how it came to the first of them: {command}")


def _pattern_heading(section: Section, *, trouble: bool) -> Iterator[Block]:
    counts = section.get("counts") or {}
    shown = describe_counts(
        {kind: number for kind, number in counts.items() if (kind in TROUBLES) == trouble}
    )
    if shown:
        yield Heading(shown, style=WARNING) if trouble else Heading("Patterns", shown)


def _spans_not_looked_at(section: Section) -> Iterator[Block]:
    if section.get("spans_left_out"):
        looked_at, left_out = tokens(section.get("spans")), tokens(section["spans_left_out"])
        yield Note(f"patterns: only the first {looked_at} spans were looked at, {left_out} were not")


def _critical_path(section: Section) -> Iterator[Block]:
    if not section.get("spans"):
        return
    edges, parallelism = section.get("edges") or {}, section.get("parallelism")
    yield Heading(
        "Critical path", f"what the {duration(section.get('wall_ms'))} were made of; shares of the whole run"
    )
    yield Facts(
        [
            ("work", duration(section.get("work_ms"))),
            ("at once", f"{parallelism:.2f} on average" if is_number(parallelism) else ""),
            ("needs", ", ".join(f"{tokens(edges[kind])} {kind}" for kind in ("recorded", "inferred") if edges.get(kind))),
        ]
    )  # fmt: skip


def _parallel(section: Section) -> Iterator[Block]:
    parallel = section.get("parallel") or {}
    if parallel.get("reason") and not is_number(parallel.get("saves_ms")):
        yield Note(f"what could have run at the same time is not known: {parallel['reason']}")


def _spans_left_out(section: Section) -> Iterator[Block]:
    if section.get("spans_left_out"):
        yield Note(f"{tokens(section['spans_left_out'])} shorter spans were left out")


def _savings(section: Section) -> Iterator[Block]:
    saves = section.get("saves") or {}
    if any(saves.values()):
        yield Heading("Could be saved", "each call counts once")
        yield Facts(
            [
                ("time", duration(saves.get("ms")) if saves.get("ms") else ""),
                ("tokens", amount(saves.get("tokens"))),
                ("cost", money(saves.get("cost"))),
            ]
        )


def _savings_left_out(section: Section) -> Iterator[Block]:
    if any(row.get("kind") == "repeated_calls" for row in section.get("listed") or ()):
        yield Note("repeated, with the same answer: a cache would do, if the tool only answers")


def _rules_not_triggered(section: Section) -> Iterator[Block]:
    """Yield when the first rule triggered; and, if only this section is shown, the rules that did not and why."""
    times = [row["timestamp"] for row in section.get("triggered") or () if is_number(row.get("timestamp"))]
    if times:
        yield Note(f"the first at {moment(min(times))} UTC")
    if not section.get("alone"):
        return
    if not section.get("triggered"):
        yield Heading("No threshold passed")
    rules = [(str(rule["rule"]).replace("_", " "), rule) for rule in section.get("rules") or ()]
    ok, off = (", ".join(name for name, rule in rules if rule["state"] == state) for state in ("ok", "off"))
    unknown = [
        (name, text(f"not known: {rule['reason']}", DIM, 200))
        for name, rule in rules
        if rule["state"] == "unknown"
    ]
    yield Facts([("within", ok), ("switched off", off), *unknown])


def _resources(section: Section) -> Iterator[Block]:
    """Yield memory, CPU, HTTP, and the cost of tracing."""
    rows = [(label, value) for label, value in _resource_facts(section) if value]
    used = section.get("tokens") or {}
    if rows or any(used.get(key) for key in ("by_model", "by_agent", "by_tool")):
        yield Heading("Resources")
        yield Facts(rows)


def _resource_facts(resources: Section) -> Iterator[tuple[str, str]]:
    memory, http = resources.get("memory") or {}, resources.get("http") or {}
    peak = memory.get("peak_mb")
    if peak is not None:
        span = f"  (from {megabytes(memory.get('start_mb'))} to {megabytes(memory.get('end_mb'))})"
        if memory.get("process_count", 1) != 1:
            span = ""  # the first and the last reading of several processes do not belong together
        yield "memory", f"{megabytes(peak)} MB at most, at event {memory.get('peak_number')}{span}"
        yield "growth", _growth(memory.get("processes") or [])
    yield "CPU", duration(resources.get("cpu_ms"))
    collected = [row["collections"] for row in resources.get("processes") or () if row.get("collections")]
    sums = [sum(each) for each in zip_longest(*collected, fillvalue=0)]
    yield (
        "collections",
        ", ".join(f"{tokens(number)} of generation {place}" for place, number in enumerate(sums) if number),
    )
    if http.get("exchanges"):
        sizes = (
            f"{bytes_text(http.get('request_bytes'))} sent, {bytes_text(http.get('response_bytes'))} received"
        )
        failed = f", {count(http['errors'], 'error')}" if http.get("errors") else ""
        yield "HTTP", f"{count(http['exchanges'], 'exchange')}{failed}, {sizes}"
    tracing = resources.get("tracing") or {}
    if tracing:
        spent = duration((tracing.get("tracing_us") or 0) / 1000)
        dropped = f", {tokens(tracing['dropped'])} dropped" if tracing.get("dropped") else ""
        yield "tracing", f"{bytes_text(tracing.get('bytes'))} written, {spent}{dropped}"
        problems = list((tracing.get("problems") or {}).items())
        yield "problems", ", ".join(f"{words} ({tokens(times)})" for words, times in problems[:SHOWN])


def _growth(processes: Sequence[Section]) -> str:
    """Return the process that grows fastest, or that none grows; empty where the trace does not hold enough readings."""
    leaks = [(row, row.get("leak") or {}) for row in processes]
    growing = [(row, leak) for row, leak in leaks if leak.get("verdict") == "grows"]
    if growing:
        row, leak = growing[0]
        rate, low, high = (
            megabytes(leak.get(key)) for key in ("mb_per_hour", "low_mb_per_hour", "high_mb_per_hour")
        )
        where = f" in process {row.get('process')}" if len(processes) > 1 else ""
        return f"{rate} MB per hour{where}, {percent(leak.get('confidence'))} sure between {low} and {high}"
    verdicts = {leak.get("verdict") for _, leak in leaks} - {None}
    return "" if not verdicts else "shrinks" if verdicts == {"shrinks"} else "steady"


def _window(section: Section) -> Iterator[Block]:
    windows = (section.get("context") or {}).get("by_model") or {}
    if any(row.get("max_share") is not None for row in windows.values()):
        yield Note("window: the largest share of its model's context that a call filled")


def _unpriced(section: Section) -> Iterator[Block]:
    """Yield the models whose calls have no known tokens or no known cost."""
    used, cost = section.get("tokens") or {}, section.get("cost") or {}
    uncounted: Mapping[str, int] = used.get("without_usage_by_model") or {}
    unknown = cost.get("without_price_by_model") or {}
    lacking = {
        model: n - uncounted.get(model, 0) for model, n in unknown.items() if n > uncounted.get(model, 0)
    }
    yield from unpriced(used.get("total"), lacking)
    if uncounted and used.get("total"):
        yield Note(f"tokens not recorded: {name_models(uncounted)}; such calls have no cost")


FIGURES: Final[dict[str, Callable[[Any], Iterator[Block]]]] = {
    "concurrency": _concurrency,
    "errors": _errors,
    "first failure": _first_failure,
    "troubles": lambda section: _pattern_heading(section, trouble=True),
    "other patterns": lambda section: _pattern_heading(section, trouble=False),
    "spans not looked at": _spans_not_looked_at,
    "critical path": _critical_path,
    "parallel": _parallel,
    "spans left out": _spans_left_out,
    "savings": _savings,
    "savings left out": _savings_left_out,
    "rules not triggered": _rules_not_triggered,
    "resources": _resources,
    "window": _window,
    "unpriced": _unpriced,
}
"""What the `columns` of a section name between its tables."""
