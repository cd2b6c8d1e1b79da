"""Sum up what a run used: tokens, money, contexts, memory, CPU, HTTP, and the cost of tracing.

Each LLM attempt is a span of its own with its own tokens and cost; these are added up. Spans of agents and chains may
hold the sum of their calls once more, so only one component counts for the totals: the first of `SOURCES` that has
tokens or a cost. A call belongs to the nearest agent around it that was still running when the call ended. A cost is
the recorded one, else that of the tokens of a model call by its price (`traces.costs`); calls without a known price are
counted separately, never guessed. The sums of a tool and of a turn of an agent include everything inside them, agents
as well. Where no model call ran inside, they are the tool's own figures. So inner ones are counted in the outer ones once
more. A tool that runs inside itself counts each call once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVENT, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.findings import format_share, make_finding
from namel3ss_debug.analysis.sections.contexts import CONTEXT_FACTS, describe_contexts
from namel3ss_debug.analysis.sections.memory import describe_memory
from namel3ss_debug.analysis.sections.processes import describe_processes
from namel3ss_debug.analysis.sections.usage import dollars
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.config.values import TRIGGERS
from namel3ss_debug.traces.costs import RECORDED
from namel3ss_debug.traces.facts import NS_PER_MS, PARTS, parse_count, whole_ns
from namel3ss_debug.traces.span_table import AT_TOP, Fact
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


def _spenders(section: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the tokens and the cost of each model, agent and tool, with the largest share of its window that a model filled."""
    used, cost = section.get("tokens") or {}, section.get("cost") or {}
    windows = (section.get("context") or {}).get("by_model") or {}
    for component, key in (("llm", "by_model"), ("agent", "by_agent"), ("tool", "by_tool")):
        for name, parts in (used.get(key) or {}).items():
            window = (windows.get(name) or {}).get("max_share") if component == "llm" else None
            price = (cost.get(key) or {}).get(name)
            yield {**parts, "component": component, "": name, "cost": price, "window": window}


def _conversations(section: Mapping[str, Any]) -> list[Row]:
    """Return the conversations that grew, and filled a notable share of their window."""
    found = (section.get("context") or {}).get("conversations") or ()
    return [
        {**row, "number": row["first_number"]}
        for row in found
        if row["tokens_per_call"] is not None and (row["max_share"] or 0) >= 0.05
    ]


def _waits(section: Mapping[str, Any]) -> list[Row]:
    """Return for how long the run waited, by component, where files were recorded."""
    waits = section.get("io_wait") or {}
    rows = [{**row, "": kind} for kind, row in waits.items()] if "files" in waits else []
    return sorted(rows, key=lambda row: -(row["wait_ms"] or 0))


COLUMNS = (
    "resources",
    TableSpec(
        "",
        "tokens.by_model",
        (
            ColumnSpec("model, agent, tool", "", "named", 14),
            ColumnSpec("input", "input_tokens", "amount"),
            ColumnSpec("cached", "cache_read_tokens", "amount"),
            ColumnSpec("output", "output_tokens", "amount"),
            ColumnSpec("tokens", "total", "amount"),
            ColumnSpec("cost", "cost", "money"),
            ColumnSpec("window", "window", "share"),
        ),
        rows=_spenders,
        most=20,
    ),
    "window",
    TableSpec(
        "Contexts",
        "context.conversations",
        (
            EVENT,
            ColumnSpec("model", "model", "model"),
            ColumnSpec("calls", "calls", "count"),
            ColumnSpec("first", "first_tokens", "count"),
            ColumnSpec("last", "last_tokens", "count"),
            ColumnSpec("per call", "tokens_per_call", "change"),
            ColumnSpec("window", "max_share", "share"),
            ColumnSpec("calls left", "calls_left", "count"),
        ),
        "input tokens by conversation, the fullest first",
        rows=_conversations,
        most=5,
    ),
    TableSpec(
        "I/O wait",
        "io_wait",
        (
            ColumnSpec("waiting for", "", "component", 14),
            ColumnSpec("count", "count", "count"),
            ColumnSpec("wait ms", "wait_ms", "ms"),
            ColumnSpec("of the run", "share_of_wall", "share"),
        ),
        "calls of files, and time of spans outside of the processor; nested and concurrent waits both count",
        rows=_waits,
    ),
    TableSpec(
        "{files.count:file}",
        "files.listed",
        (
            ColumnSpec("file", "component_name", "name", 20),
            ColumnSpec("opened", "opens", "count"),
            ColumnSpec("reads", "reads", "count"),
            ColumnSpec("writes", "writes", "count"),
            ColumnSpec("read", "bytes_read", "bytes"),
            ColumnSpec("written", "bytes_written", "bytes"),
            ColumnSpec("ms", "io_ms", "ms"),
        ),
        "{files.bytes_read:bytes} read, {files.bytes_written:bytes} written, {files.io_ms:ms}",
        total="files.count",
    ),
    "unpriced",
)

SOURCES = ("llm", "prompt", "tool", "chain", "agent", "app")
"""The components that may supply the totals: the first that has tokens or a cost; other components come after these."""

WAITING = ("llm", "http", "tool", "mcp", "command")
"""The components that wait for something outside of the process."""

_NS_PER_US = 1000
_FILE_COUNTS = ("opens", "reads", "writes", "bytes_read", "bytes_written")
_EXCHANGE_COUNTS = ("exchanges", "errors", "request_bytes", "response_bytes")
_HTTP = frozenset({"http"})


def _bytes(field: str, start: Event, end: Event) -> int:
    return max(parse_count(exchange.get(field)) for exchange in _exchanges(start, end))


def _exchanges(start: Event, end: Event) -> list[dict[str, Any]]:
    return [lenient.mapping(event.get("metadata", {}).get("exchange")) for event in (start, end)]


def _host(start: Event, end: Event) -> str:
    """Return the host of an exchange, with its port; empty where it names none."""
    urls = [exchange.get("url") for exchange in reversed(_exchanges(start, end))]
    for url in (*urls, lenient.mapping(start.get("inputs")).get("url")):
        if type(url) is str:
            host = url.partition("://")[2].partition("/")[0].rpartition("@")[2][:200]
            if host:
                return host
    return ""


FACTS = (
    *CONTEXT_FACTS,
    Fact("request_bytes", partial(_bytes, "request_bytes"), _HTTP),
    Fact("response_bytes", partial(_bytes, "response_bytes"), _HTTP),
    Fact("host", _host, _HTTP, interned=True),
)
POINTS = frozenset({"resource_sample", "trace_end", "file_access"})


def resource_usage(spans: SpanTable, options: Options) -> dict[str, Any]:
    """Return the parts of the section, from `tokens` to `tracing`; None where not recorded."""
    by_component: defaultdict[str, list[int]] = defaultdict(list)
    by_model: defaultdict[str, list[int]] = defaultdict(list)
    by_agent: defaultdict[str, list[int]] = defaultdict(list)
    for row, states in enumerate(spans.states):
        if states:
            component, name = spans.operations[spans.operation[row]]
            by_component[component].append(row)
            if component == "llm":
                by_model[name].append(row)
                if spans.agent[row] >= 0:
                    by_agent[spans.name(spans.agent[row])].append(row)
    by_tool, by_turn = _calls_inside(spans)
    source = _find_source(spans, by_component)
    total = by_component.get(source or "", [])
    groups = {"by_model": by_model, "by_agent": by_agent, "by_tool": by_tool}
    read = sum(spans.cache_read_tokens[row] for row in total)
    entered = sum(spans.input_tokens[row] for row in total)
    turns = sorted(by_turn, key=lambda row: (-sum(spans.tokens[call] for call in by_turn[row]), row))[:LISTED]
    return {
        "tokens": {
            **_tokens(spans, total),
            "source": source,
            "calls": len(total),
            "calls_without_usage": sum(_lacks_usage(spans, row) for row in total),
            "without_usage_by_model": _count(spans, by_model, _lacks_usage),
            **{
                key: {name: _tokens(spans, group[name]) for name in sorted(group)}
                for key, group in groups.items()
            },
            "cached_share": round(min(read / entered, 1.0), 6) if entered else None,
        },
        "cost": {
            "total": _cost(spans, total),
            "calls_with_price": sum(spans.cost[row] >= 0 for row in total),
            "calls_without_price": sum(_lacks_price(spans, row) for row in total),
            "priced_by": _price_sources(spans, source, total),
            "without_price_by_model": _count(spans, by_model, _lacks_price),
            **{
                key: {name: _cost(spans, group[name]) for name in sorted(group)}
                for key, group in groups.items()
            },
        },
        "turns": {
            "count": len(by_turn),
            "listed": [
                {
                    **spans.place(row),
                    "component_name": spans.name(row) or None,
                    "calls": len(by_turn[row]),
                    **_tokens(spans, by_turn[row]),
                    "cost": _cost(spans, by_turn[row]),
                }
                for row in sorted(turns)
            ],
        },
        "context": describe_contexts(
            spans, options.triggers.get("context_share") or TRIGGERS["context_share"]
        ),
        "memory": describe_memory(spans),
        "cpu_ms": _cpu_ms(spans),
        "processes": describe_processes(spans),
        "http": _http(spans),
        **_files(spans),
        "tracing": _tracing(spans),
    }


def _calls_inside(spans: SpanTable) -> tuple[dict[str, list[int]], dict[int, list[int]]]:
    """Return the model calls inside each tool, by name, and inside each turn, by row."""
    tools: defaultdict[str, list[int]] = defaultdict(list)
    turns: defaultdict[int, list[int]] = defaultdict(list)
    around: list[tuple[tuple[int, ...], tuple[str, ...]]] = []  # the turns and the tools around each row
    with_calls: set[int] = set()
    for row, parent in enumerate(spans.around):
        outer_turns, outer_tools = around[parent] if parent >= 0 else ((), ())
        if parent >= 0 and spans.turn[parent]:
            outer_turns = (*outer_turns, parent)
        component, name = spans.operations[spans.operation[parent]] if parent >= 0 else ("", "")
        if component == "tool" and name not in outer_tools:
            outer_tools = (*outer_tools, name)
        around.append((outer_turns, outer_tools))
        if spans.component(row) == "llm" and spans.states[row]:
            for turn in outer_turns:
                turns[turn].append(row)
            for tool in outer_tools:
                tools[tool].append(row)
            while parent >= 0 and parent not in with_calls:
                with_calls.add(parent)
                parent = spans.around[parent]  # noqa: PLW2901
    for row in spans.of("tool"):
        if spans.states[row] and row not in with_calls:
            tools[spans.name(row)].append(row)
    return tools, turns


def _find_source(spans: SpanTable, by_component: Mapping[str, Sequence[int]]) -> str | None:
    """Return the component that supplies the totals."""
    present = sorted(
        sorted(by_component), key=lambda name: SOURCES.index(name) if name in SOURCES else len(SOURCES)
    )
    used = (
        name
        for name in present
        if any(spans.tokens[row] or spans.cost[row] >= 0 for row in by_component[name])
    )
    return next(used, next(iter(present), None))


def _tokens(spans: SpanTable, rows: Iterable[int]) -> dict[str, int]:
    """Return the sums of the tokens under the names of `usage`."""
    return {
        "total": sum(spans.tokens[row] for row in rows),
        **{part: sum(spans.columns[part][row] for row in rows) for part in PARTS},
    }


def _cost(spans: SpanTable, rows: Iterable[int]) -> float | None:
    known = [spans.cost[row] for row in rows if spans.cost[row] >= 0]
    return dollars(sum(known)) if known else None


def _lacks_usage(spans: SpanTable, row: int) -> bool:
    return not spans.counted[row] and not spans.failed[row]


def _lacks_price(spans: SpanTable, row: int) -> bool:
    """Return whether a call has no known price; a refused call costs nothing."""
    return spans.cost[row] < 0 and bool(spans.counted[row] or not spans.failed[row])


def _count(spans: SpanTable, groups: Mapping[str, Sequence[int]], lacks: Any) -> dict[str, int]:
    counts = {name: sum(lacks(spans, row) for row in rows) for name, rows in sorted(groups.items())}
    return {name: count for name, count in counts.items() if count}


def _price_sources(spans: SpanTable, source: str | None, rows: Sequence[int]) -> dict[str, int]:
    """Return the number of calls by price source: `recorded`, `settings`, `genai-prices` with its version."""
    counts = Counter(spans.values[spans.priced_by[row]] for row in rows if spans.cost[row] >= 0)
    return dict(sorted(counts.items())) if source == "llm" else {RECORDED: counts.total()} if counts else {}


def _cpu_ms(spans: SpanTable) -> float | None:
    """Return the CPU time of the outermost spans."""
    known = [
        cpu
        for cpu, parent, end in zip(spans.cpu, spans.parent, spans.end, strict=True)
        if parent == AT_TOP and end and cpu >= 0
    ]
    return milliseconds(sum(known)) if known else None


def _http(spans: SpanTable) -> dict[str, Any]:
    """Return the sums of all exchanges, and those of each of the hosts with most bytes."""
    sent, received, host_of = (spans.facts[name] for name in ("request_bytes", "response_bytes", "host"))
    hosts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in spans.of("http"):
        if spans.end[row]:
            sums = hosts[spans.value(host_of[row])]
            for index, amount in enumerate((1, spans.failed[row], sent[row], received[row])):
                sums[index] += amount
    total = [sum(column) for column in zip(*hosts.values(), strict=True)] or [0] * len(_EXCHANGE_COUNTS)
    most = sorted(hosts, key=lambda host: (-hosts[host][2] - hosts[host][3], -hosts[host][0], host))
    return {
        **dict(zip(_EXCHANGE_COUNTS, total, strict=True)),
        "by_host": {
            host: dict(zip(_EXCHANGE_COUNTS, hosts[host], strict=True))
            for host in [host for host in most if host][:LISTED]
        },
    }


def _files(spans: SpanTable) -> dict[str, Any]:
    """Return the sums of all files and of those with most time, and for how long the run waited, by component.

    Waiting spans may have run concurrently, and the time of a file is also that of the tool that reads it, so the
    shares of the wall time need not add up. `wait_ms` is None where it is not known.
    """
    files: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_FILE_COUNTS) + 1))
    for _, _, event in spans.points["file_access"]:
        metadata = event.get("metadata", {})
        amounts = (
            1,
            *(parse_count(metadata.get(name)) for name in _FILE_COUNTS[1:]),
            whole_ns(metadata.get("io_ms"), NS_PER_MS),
        )
        sums = files[event.get("component_name", "")]
        for index, amount in enumerate(amounts):
            sums[index] += amount
    total = [sum(column) for column in zip(*files.values(), strict=True)] or [0] * (len(_FILE_COUNTS) + 1)
    most = nsmallest(LISTED, files, key=lambda name: (-files[name][-1], -sum(files[name][3:5]), name))
    waits: dict[str, tuple[int, int, int]] = {"files": (total[0], total[0], total[-1])} if total[0] else {}
    for component in WAITING:
        timed = [row for row in spans.of(component) if spans.duration[row] >= 0]
        known = [row for row in timed if spans.own_cpu[row] >= 0]
        if timed:
            waited = sum(spans.self_time[row] - spans.own_cpu[row] for row in known)
            waits[component] = (len(timed), len(known), waited)
    return {
        "files": {
            "count": len(files),
            **_file_counts(total),
            "listed": [{"component_name": name or None, **_file_counts(files[name])} for name in most],
        },
        "io_wait": {
            name: {
                "count": count,
                "measured": measured,
                "wait_ms": milliseconds(waited) if measured else None,
                "share_of_wall": round(waited / spans.wall, 6) if measured and spans.wall else None,
            }
            for name, (count, measured, waited) in waits.items()
        },
    }


def _file_counts(sums: Sequence[int]) -> dict[str, Any]:
    """Return the counts of a file by name."""
    return {**dict(zip(_FILE_COUNTS, sums[:-1], strict=True)), "io_ms": milliseconds(sums[-1])}


def _tracing(spans: SpanTable) -> dict[str, Any] | None:
    """Return the cost of tracing itself; None where no process recorded it."""
    ends = [event.get("metadata", {}) for _, _, event in spans.points["trace_end"]]
    ends = [metadata for metadata in ends if "tracing_us" in metadata]
    if not ends:
        return None
    problems: Counter[str] = Counter()
    for metadata in ends:
        for text, count in lenient.mapping(metadata.get("problems")).items():
            problems[text] += parse_count(count)
    spent = sum(whole_ns(metadata.get("tracing_us"), _NS_PER_US) for metadata in ends)
    # The wall time of a trace whose beginning was rotated away is not known.
    rotated = any((about.get("problems") or {}).get("rotated_away_events") for about in spans.about)
    wall = None if rotated else spans.wall
    return {
        "processes": len(ends),
        **{
            name: sum(parse_count(metadata.get(name)) for metadata in ends)
            for name in ("events", "bytes", "dropped")
        },
        "tracing_us": spent / _NS_PER_US,
        "share_of_wall": round(spent / wall, 9) if wall else None,
        "problems": dict(sorted(problems.items())),
    }


FULL_FROM, FILLS_FROM = 0.9, 0.75
SOON_CALLS = 3
"""From how many calls on before it a context that will be nearly full is a finding."""

"""From these shares of a model's context window on, a context counts as nearly full, or as filling up."""


def has_usage(section: Row) -> bool:
    """Return whether tokens or memory were recorded."""
    return bool(section["tokens"]["total"] or section["memory"]["samples"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield contexts that are nearly full (.3 from `FULL_FROM` of the window, .6 for all of it), and growing memory."""
    for model, row in ((section.get("context") or {}).get("by_model") or {}).items():
        share = row.get("max_share") or 0.0
        if share >= FILLS_FROM:
            weight = 0.1 if share < FULL_FROM else min(0.3 + 3 * (share - FULL_FROM), 0.6)
            evidence = f"a call of {model[:60]} filled {format_share(share)} of the model's context window"
            number, subject = row["max_number"], {"component": "llm", "component_name": model}
            yield make_finding("context", "resources", "resource_usage", weight, evidence, (number,), f"inspect --event {number}", row=subject)  # fmt: skip
    for row in (section.get("context") or {}).get("conversations") or ():
        soon = row.get("calls_until_full")
        if soon and soon["calls"] <= SOON_CALLS:
            calls = f"{soon['calls']} calls ({soon['low']} to {soon['high']})"
            evidence = f"the context of {row['model'][:60]} will be {format_share(soon['share'])} full in about {calls}"
            number, subject = row["last_number"], {"component": "llm", "component_name": row["model"]}
            yield make_finding("context_forecast", "resources", "resource_usage", 0.1, evidence, (number,), f"inspect --event {number}", row=subject)  # fmt: skip
    for row in (section.get("memory") or {}).get("processes") or ():
        leak = row.get("leak") or {}
        if leak.get("verdict") == "grows":
            rate = leak["mb_per_hour"]
            evidence = f"memory grew by {rate:,.1f} MB per hour"
            yield make_finding("memory_growth", "resources", "resource_usage", 0.3 if rate > 50 else 0.1, evidence, (row["peak_number"],), "analyze --resources")  # fmt: skip
