"""The resources and the parts of a run: tokens, money, contexts, memory, components, event types; shared cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from namel3ss_debug.prices import INSTALL, OWN, is_extra_installed
from namel3ss_debug.traces.costs import RECORDED
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.quantities import (
    bytes_text,
    count,
    duration,
    is_number,
    megabytes,
    milliseconds,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.tables import Cell, Column, name, number
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, text

SHOWN = 10
"""Rows of a list in the report; the JSON document has more of them."""

_FEW = 5
_LEAST_SHARE = 0.05

Section = Mapping[str, Any]


def resources(section: Section) -> Iterator[Block]:
    """Tokens and money by model, agent and tool, contexts, memory, CPU, HTTP, and what tracing cost."""
    rows = list(_resource_facts(section))
    used, cost = section.get("tokens") or {}, section.get("cost") or {}
    spenders = [
        (kind, label, parts, (cost.get(key) or {}).get(label))
        for kind, key in (("llm", "by_model"), ("agent", "by_agent"), ("tool", "by_tool"))
        for label, parts in (used.get(key) or {}).items()
    ]
    windows = (section.get("context") or {}).get("by_model") or {}
    if not any(value for _, value in rows) and not spenders:
        return
    yield Heading("Resources")
    yield Facts(rows)
    if spenders:
        yield Table(
            (
                name("model, agent, tool", 14),
                number("input"),
                number("cached"),
                number("output"),
                number("tokens"),
                number("cost"),
                number("window"),
            ),
            [
                (
                    text(label, COMPONENT_STYLES[kind], 120),
                    amount(parts.get("input_tokens")),
                    amount(parts.get("cache_read_tokens")),
                    amount(parts.get("output_tokens")),
                    amount(parts.get("total")),
                    money(spent),
                    percent((windows.get(label) or {}).get("max_share")) if kind == "llm" else "",
                )
                for kind, label, parts, spent in spenders[: 2 * SHOWN]
            ],
        )
        yield from more(len(spenders), min(len(spenders), 2 * SHOWN))
        if any((windows.get(label) or {}).get("max_share") is not None for label in windows):
            yield Note("window: the largest share of its model's context that a call filled")
    yield from _conversations(section.get("context") or {})
    yield from _waits(section.get("io_wait") or {})
    yield from _files(section.get("files") or {})
    uncounted = used.get("without_usage_by_model") or {}
    unknown = cost.get("without_price_by_model") or {}
    lacking = {
        model: n - uncounted.get(model, 0) for model, n in unknown.items() if n > uncounted.get(model, 0)
    }
    yield from unpriced(used.get("total"), lacking)
    if uncounted and used.get("total"):
        yield Note(f"tokens not recorded: {_named(uncounted)}; such calls have no cost")


def _waits(waits: Mapping[str, Section]) -> Iterator[Block]:
    """Yield for how long the run waited, by component, where files were recorded."""
    if "files" not in waits:
        return
    yield Heading(
        "I/O wait",
        "calls of files, and time of spans outside of the processor; nested and concurrent waits both count",
    )
    yield Table(
        (name("waiting for", 14), number("count"), number("wait ms"), number("of the run")),
        [
            (
                text(kind, COMPONENT_STYLES.get(kind, "")),
                tokens(row.get("count")),
                milliseconds(row.get("wait_ms")),
                percent(row.get("share_of_wall")),
            )
            for kind, row in sorted(waits.items(), key=lambda item: -(item[1].get("wait_ms") or 0))
        ],
    )


def _files(files: Section) -> Iterator[Block]:
    """Yield the files in which the run spent most time."""
    rows = files.get("listed") or []
    if not rows:
        return
    yield Heading(
        count(files["count"], "file"),
        f"{bytes_text(files.get('bytes_read'))} read, {bytes_text(files.get('bytes_written'))} written,"
        f" {duration(files.get('io_ms'))}",
    )
    yield Table(
        (
            name("file", 20),
            number("opened"),
            number("reads"),
            number("writes"),
            number("read"),
            number("written"),
            number("ms"),
        ),
        [
            (
                text(row.get("component_name") or "", "", 120),
                *(tokens(row.get(key)) for key in ("opens", "reads", "writes")),
                bytes_text(row.get("bytes_read")),
                bytes_text(row.get("bytes_written")),
                milliseconds(row.get("io_ms")),
            )
            for row in rows[:SHOWN]
        ],
    )
    yield from more(files["count"], min(len(rows), SHOWN))


def _conversations(context: Section) -> Iterator[Block]:
    """Yield the conversations of at least three calls that filled a notable share of their window, with their growth."""
    rows = [
        row
        for row in context.get("conversations") or []
        if row.get("tokens_per_call") is not None and (row.get("max_share") or 0) >= _LEAST_SHARE
    ]
    if not rows:
        return
    yield Heading("Contexts", "input tokens by conversation, the fullest first")
    yield Table(
        (
            Column("n", align="right", style=DIM),
            name("model", 12),
            number("calls"),
            number("first"),
            number("last"),
            number("per call"),
            number("window"),
            number("calls left"),
        ),
        [
            (
                text(row.get("first_number"), DIM),
                text(row.get("model") or "", COMPONENT_STYLES["llm"], 120),
                tokens(row.get("calls")),
                tokens(row.get("first_tokens")),
                tokens(row.get("last_tokens")),
                f"{row['tokens_per_call']:+,.0f}",
                percent(row.get("max_share")),
                tokens(row.get("calls_left")),
            )
            for row in rows[:_FEW]
        ],
    )


def unpriced(used: Any, models: Mapping[str, Any]) -> Iterator[Note]:
    """Yield a note on the models whose calls have no cost, and how they get one.

    Args:
        used: how many tokens there were.
        models: the number of such calls by model.
    """
    if not models or not used:
        return
    if not is_extra_installed():
        yield Note(price_hint())
        return
    yield Note(f"without a price: {_named(models)}; the setting prices can give one")


def _named(models: Mapping[str, Any]) -> str:
    """Models with their numbers of calls."""
    named = [f"{model or 'a model without a name'} ({count(n, 'call')})" for model, n in models.items()]
    rest = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
    return f"{', '.join(named[:SHOWN])}{rest}"


def spent(cost: float | None, without_price: int) -> str:
    """Return an amount of money, and the number of calls without a known cost."""
    known = money(cost) if cost else ""
    return (
        f"{known or 'not known'}  ({count(without_price, 'call')} of unknown cost)"
        if without_price
        else known
    )


def price_hint() -> str:
    """Describe how to install the published prices, where they are not installed."""
    return f"{INSTALL} adds what models cost; so does the setting prices"


def price_source(source: str) -> str:
    """Return the source of a cost, for the text after the amount; empty where the cost was recorded."""
    return {RECORDED: "", OWN: "by the setting prices"}.get(source, f"by {source}")


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
    samples = [row for row in resources.get("processes") or [] if row.get("collections")]
    if samples:
        yield "collections", _collections(samples)
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
        yield (
            "tracing",
            f"{bytes_text(tracing.get('bytes'))} written, {spent}{dropped}",
        )
        problems = tracing.get("problems") or {}
        yield (
            "problems",
            ", ".join(f"{words} ({tokens(times)})" for words, times in list(problems.items())[:SHOWN]),
        )


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


def _collections(processes: Sequence[Section]) -> str:
    """Garbage collections by generation, of all processes together."""
    sums = [sum(each) for each in zip_longest(*(row["collections"] for row in processes), fillvalue=0)]
    return ", ".join(f"{tokens(number)} of generation {place}" for place, number in enumerate(sums) if number)


def operation(row: Section) -> str:
    """Return the component of a row with its name: `tool search`."""
    component, label = str(row.get("component") or ""), row.get("component_name")
    return f"{component} {label}" if label else component


def operation_cell(row: Section) -> Cell:
    """Return the component of a row with its name, in the colour of the component."""
    return text(operation(row), COMPONENT_STYLES.get(str(row.get("component") or ""), ""), 120)


def event_numbers(numbers: object, most: int) -> str:
    """Return the first numbers of a list of events; empty for a value that is no list."""
    if not isinstance(numbers, list):
        return ""
    return " ".join(map(str, numbers[:most])) + (" …" if len(numbers) > most else "")


def failed(number_failed: Any) -> Cell:
    """Return a number of failures, in the colour of failures; nothing where there were none."""
    return text(tokens(number_failed), ERROR) if number_failed else ""


def amount(value: Any) -> str:
    """Return a number of tokens; nothing where there were none."""
    return tokens(value) if value else ""


def more(total: Any, shown: int) -> Iterator[Block]:
    """Yield a note on what is not shown."""
    if is_number(total) and total > shown:
        yield Note(f"… {total - shown:,.0f} more; --format json lists them", int(total - shown))
