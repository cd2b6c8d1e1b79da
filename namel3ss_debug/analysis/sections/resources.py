"""Sum up what a run used: tokens, money, contexts, memory, CPU, HTTP, and the cost of tracing.

Each LLM attempt is a span of its own with its own tokens and cost; these are added up. Spans of agents and chains may
hold the sum of their calls once more, so only one component counts for the totals: the first of `SOURCES` that has
tokens or a cost. A call belongs to the nearest agent around it that was still running when the call ended. A cost is
the recorded one, else that of the tokens of a model call by its price (`traces.costs`); calls without a known price are
counted separately, never guessed. The sums of a tool and of a turn of an agent include everything inside them, agents
as well. Where no model call ran inside, they are the tool's or turn's own figures. So inner ones are counted in the
outer ones once more. A tool that runs inside itself counts each call once.
"""

from __future__ import annotations

from heapq import nsmallest
from operator import add, sub
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.contract import EVENT, BaseFold, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.facts import add_up
from namel3ss_debug.analysis.findings import format_share, make_finding
from namel3ss_debug.analysis.sections.contexts import Contexts
from namel3ss_debug.analysis.sections.memory import MemoryReadings
from namel3ss_debug.analysis.sections.processes import Processes
from namel3ss_debug.analysis.sections.usage import dollars, used
from namel3ss_debug.analysis.sections.waiting import own_cpu_ns
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.config.values import TRIGGERS
from namel3ss_debug.traces.costs import RECORDED
from namel3ss_debug.traces.facts import NO_PARTS, NS_PER_MS, PARTS, parse_count, states_amounts, whole_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.facts import Below, MeasuredSpan
    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options, TraceTotals
    from namel3ss_debug.traces.events import Event


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
        detail=True,
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

_NS_PER_US = 1000
_CALLS, _TOKENS, _PARTS, _COST, _PRICED, _UNPRICED, _UNCOUNTED, _WIDTH = 0, 1, 2, 7, 8, 9, 10, 11
_SUMS = "usage"
_CLAIMED = "usage of inner agents"
_COUNTED = "usage of the tool "
"""The prefix of a tool's name: the sums that inner calls of the same tool include already."""
_COMPUTED = "computed of what waits"
"""The CPU time of spans, and their durations, for their parent."""

WAITING = ("llm", "http", "tool", "mcp", "command")
"""The components that wait for something outside of the process."""

_FILE_COUNTS = ("opens", "reads", "writes", "bytes_read", "bytes_written")


class _Turn(NamedTuple):
    """A turn of an agent; turns with most tokens sort first, so `rank` is their negated number."""

    rank: int
    number: int
    name: str
    row: tuple[int, ...]


class ResourceUsage(BaseFold):
    """Tokens, cost, contexts, memory, CPU, HTTP and the cost of tracing."""

    events: frozenset[str] = frozenset({"resource_sample", "trace_end", "file_access"})
    needs: tuple[str, ...] = ("problems",)

    def __init__(self, options: Options) -> None:
        self._by_component: dict[str, list[int]] = {}
        self._by_model: dict[str, list[int]] = {}
        self._by_agent: dict[str, list[int]] = {}
        self._by_tool: dict[str, list[int]] = {}
        self._turns: list[_Turn] = []
        self._turn_count = 0
        self._priced_by: dict[str, int] = {}
        self._contexts = Contexts(options.triggers.get("context_share") or TRIGGERS["context_share"])
        self._memory = MemoryReadings()
        self._processes = Processes()
        self._cpu_ns = 0
        self._cpu_known = False
        self._by_host: dict[str, list[int]] = {}
        self._by_file: dict[str, list[int]] = {}  # `_FILE_COUNTS`, and nanoseconds
        self._waits: dict[str, list[int]] = {}  # spans, of how many the waiting is known, and nanoseconds
        self._tracing = [0, 0, 0, 0, 0]
        self._problems: dict[str, int] = {}

    def span(self, span: MeasuredSpan) -> None:
        """Add the usage of a span that ended."""
        end, start, component, below = span.end, span.start, span.component, span.below
        if "memory_usage_mb" in end:
            self._memory.add(span.end_number, end)
        if "memory_usage_mb" in start:
            self._memory.add(span.number, start)
        if "parent_event_id" not in start and "cpu_time_ms" in end:
            self._cpu_ns += whole_ns(end["cpu_time_ms"], NS_PER_MS)
            self._cpu_known = True
        if span.duration_ns is not None:
            own, cpu = None, end.get("cpu_time_ms")
            if cpu is not None:
                own = own_cpu_ns(span, span.duration_ns, whole_ns(cpu, NS_PER_MS), _COMPUTED)
            if component in WAITING:
                waits = (1, 0, 0) if own is None else (1, 1, span.self_ns - own)
                add_up(self._waits.setdefault(component, [0, 0, 0]), waits)
        if component == "llm" or states_amounts(end):
            self._add_usage(span)
        if component == "http":
            self._add_exchange(span)
        if below is not None and below.sums and (_SUMS in below.sums or _CLAIMED in below.sums):
            self._pass_up(span, below.sums)

    def open_span(self, span: MeasuredSpan) -> None:
        """Add the sums that the children of a span without an end have left, and its memory at the start."""
        if "memory_usage_mb" in span.start:
            self._memory.add(span.number, span.start)
        below = span.below
        if below is not None and (_SUMS in below.sums or _CLAIMED in below.sums):
            self._pass_up(span, below.sums)

    def event(self, number: int, event: Event) -> None:
        """Add a sample of a process, its record of the cost of tracing, or what it did with a file."""
        metadata = event.get("metadata", {})
        if event["event_type"] == "file_access":
            counts = (parse_count(metadata.get(name)) for name in _FILE_COUNTS[1:])
            row = self._by_file.setdefault(event.get("component_name", ""), [0] * (len(_FILE_COUNTS) + 1))
            add_up(row, (1, *counts, whole_ns(metadata.get("io_ms"), NS_PER_MS)))
        if "memory_usage_mb" in event:
            self._memory.add(number, event)
        if event["event_type"] == "resource_sample":
            self._processes.add(number, event)
        if event["event_type"] == "trace_end" and "tracing_us" in metadata:
            written = (parse_count(metadata.get(name)) for name in ("events", "bytes", "dropped"))
            spent = whole_ns(metadata.get("tracing_us"), _NS_PER_US)
            add_up(self._tracing, (1, *written, spent))
            problems = metadata.get("problems")
            for text, count in problems.items() if isinstance(problems, dict) else ():
                self._problems[text] = self._problems.get(text, 0) + parse_count(count)

    def _add_exchange(self, span: MeasuredSpan) -> None:
        """Count an HTTP exchange for its host."""
        sent = received = 0
        host = ""
        if "metadata" in span.start or "metadata" in span.end:
            for event in (span.start, span.end):
                exchange = event.get("metadata", {}).get("exchange")
                if isinstance(exchange, dict):
                    sent = max(sent, parse_count(exchange.get("request_bytes")))
                    received = max(received, parse_count(exchange.get("response_bytes")))
                    host = _host(exchange.get("url")) or host
        if not host:
            inputs = span.start.get("inputs")
            host = _host(inputs.get("url")) if type(inputs) is dict else ""
        row = self._by_host.get(host)
        if row is None:
            row = self._by_host.setdefault(host, [0, 0, 0, 0])
        row[0] += 1
        row[1] += span.failed
        row[2] += sent
        row[3] += received

    def _add_usage(self, span: MeasuredSpan) -> None:
        """Add the tokens and cost of one span to its model, its component and, through its parent, its agent."""
        total, parts, cost = span.used or used(span)
        stated = parts is not NO_PARTS or "tokens_used" in span.end
        if cost is not None:
            row = [1, total, *parts, cost[0], 1, 0, 0 if stated or span.failed else 1]
        else:
            # A refused call costs nothing, so it does not count as a call without a known price.
            unpriced = stated or not span.failed
            row = [1, total, *parts, 0, 0, 1 if unpriced else 0, 0 if stated or span.failed else 1]
        if span.component == "llm":
            if cost is not None:
                source = cost[1]
                self._priced_by[source] = self._priced_by.get(source, 0) + 1
            mine = self._by_model.get(span.name)
            if mine is None:
                mine = self._by_model[span.name] = [0] * _WIDTH
            mine[:] = map(add, mine, row)  # `add_up`, inlined: this runs for every model call
            if parts[0]:
                self._contexts.add(span, parts[0])
            above = span.above
            if above is not None:
                if _SUMS in above.sums:
                    add_up(above.sums[_SUMS], row)
                else:
                    above.sums[_SUMS] = row
        else:
            add_up(_row(self._by_component, span.component), row)
            if span.component == "tool" and (
                span.below is None or span.below.sums.keys().isdisjoint((_SUMS, _CLAIMED))
            ):
                add_up(_row(self._by_tool, span.name), row)

    def _pass_up(self, span: MeasuredSpan, sums: dict[str, list[int]]) -> None:
        """Credit agents, tools and turns with the calls inside them, and pass on the sums that the parent needs.

        The nearest agent claims a call; tools and turns count the claimed ones as well.
        """
        free, claimed = sums.get(_SUMS), sums.get(_CLAIMED)
        turn = span.component == "agent" and span.start.get("event_type", "").startswith("agent_turn")
        if turn or span.component == "tool":
            inside = list(free or [0] * _WIDTH)
            if claimed:
                add_up(inside, claimed)
            if turn:
                self._turn_count += 1
                self._turns.append(_Turn(-inside[_TOKENS], span.number, span.name, tuple(inside)))
                if len(self._turns) > 4 * LISTED:
                    self._turns = nsmallest(LISTED, self._turns)
            else:
                counted = sums.pop(_COUNTED + span.name, None)
                row = _row(self._by_tool, span.name)
                add_up(row, inside if counted is None else list(map(sub, inside, counted)))
                if span.above is not None:
                    _add_to_parent(span.above, inside, _COUNTED + span.name)
        if span.component == "agent" and not turn:
            if free:
                add_up(_row(self._by_agent, span.name), free)
            if claimed and free:
                add_up(claimed, free)
            free, claimed = None, claimed or free
        if span.above is not None:
            if free:
                _add_to_parent(span.above, free, _SUMS)
            if claimed:
                _add_to_parent(span.above, claimed, _CLAIMED)
            for name, counted in sums.items():
                if name.startswith(_COUNTED):
                    _add_to_parent(span.above, counted, name)

    def merge(self, later: ResourceUsage) -> None:
        """Merge the fold of a later part of the trace, or of another trace, into this one."""
        for mine, theirs in (
            (self._by_component, later._by_component),
            (self._by_model, later._by_model),
            (self._by_agent, later._by_agent),
            (self._by_tool, later._by_tool),
        ):
            for name, row in theirs.items():
                add_up(_row(mine, name), row)
        for source, count in later._priced_by.items():
            self._priced_by[source] = self._priced_by.get(source, 0) + count
        self._turns = nsmallest(LISTED, self._turns + later._turns)
        self._turn_count += later._turn_count
        self._contexts.merge(later._contexts)
        self._memory.merge(later._memory)
        self._processes.merge(later._processes)
        self._cpu_ns += later._cpu_ns
        self._cpu_known |= later._cpu_known
        for host, exchanges in later._by_host.items():
            add_up(self._by_host.setdefault(host, [0, 0, 0, 0]), exchanges)
        for name, counts in later._by_file.items():
            add_up(self._by_file.setdefault(name, [0] * len(counts)), counts)
        for component, waits in later._waits.items():
            add_up(self._waits.setdefault(component, [0, 0, 0]), waits)
        add_up(self._tracing, later._tracing)
        for text, count in later._problems.items():
            self._problems[text] = self._problems.get(text, 0) + count

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of all events, so that they identify their trace."""
        self._turns = [turn._replace(number=turn.number + by) for turn in nsmallest(LISTED, self._turns)]
        self._contexts.renumber(by)
        self._memory.renumber(by)
        self._processes.renumber(by)

    def result(self, totals: TraceTotals) -> dict[str, Any]:
        """Return the parts of the section, from `tokens` to `tracing`; None where not recorded."""
        source, total = self._find_source()
        return {
            "tokens": {
                **_tokens(total),
                "source": source,
                "calls": total[_CALLS],
                "calls_without_usage": total[_UNCOUNTED],
                "without_usage_by_model": {
                    name: row[_UNCOUNTED] for name, row in sorted(self._by_model.items()) if row[_UNCOUNTED]
                },
                "by_model": {name: _tokens(row) for name, row in sorted(self._by_model.items())},
                "by_agent": {name: _tokens(row) for name, row in sorted(self._by_agent.items())},
                "by_tool": {name: _tokens(row) for name, row in sorted(self._by_tool.items())},
                "cached_share": _cached_share(total),
            },
            "cost": {
                "total": _cost(total),
                "calls_with_price": total[_PRICED],
                "calls_without_price": total[_UNPRICED],
                "priced_by": self._price_sources(source, total),
                "without_price_by_model": {
                    name: row[_UNPRICED] for name, row in sorted(self._by_model.items()) if row[_UNPRICED]
                },
                "by_model": {name: _cost(row) for name, row in sorted(self._by_model.items())},
                "by_agent": {name: _cost(row) for name, row in sorted(self._by_agent.items())},
                "by_tool": {name: _cost(row) for name, row in sorted(self._by_tool.items())},
            },
            "turns": {
                "count": self._turn_count,
                "listed": [
                    {
                        "number": turn.number,
                        "component_name": turn.name or None,
                        "calls": turn.row[_CALLS],
                        **_tokens(turn.row),
                        "cost": _cost(turn.row),
                    }
                    for turn in sorted(nsmallest(LISTED, self._turns), key=lambda turn: turn.number)
                ],
            },
            "context": self._contexts.result(),
            "memory": self._memory.result(),
            "cpu_ms": milliseconds(self._cpu_ns) if self._cpu_known else None,
            "processes": self._processes.result(),
            "http": self._http_result(),
            "files": self._files_result(),
            "io_wait": self._io_wait_result(totals),
            "tracing": self._tracing_result(totals),
        }

    def _http_result(self) -> dict[str, Any]:
        """Return the sums of all exchanges, and those of each of the hosts with most bytes."""
        names = ("exchanges", "errors", "request_bytes", "response_bytes")
        rows = self._by_host
        total = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0] * len(names)
        most = sorted(rows, key=lambda host: (-rows[host][2] - rows[host][3], -rows[host][0], host))
        hosts = [host for host in most if host][:LISTED]
        return {
            **dict(zip(names, total, strict=True)),
            "by_host": {host: dict(zip(names, rows[host], strict=True)) for host in hosts},
        }

    def _files_result(self) -> dict[str, Any]:
        """Return the sums of all files, and those of each of the files with most time."""
        rows = self._by_file
        total = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0] * 6
        most = nsmallest(LISTED, rows, key=lambda name: (-rows[name][-1], -sum(rows[name][3:5]), name))
        return {
            "count": len(rows),
            **_file_counts(total),
            "listed": [{"component_name": name or None, **_file_counts(rows[name])} for name in most],
        }

    def _io_wait_result(self, totals: TraceTotals) -> dict[str, Any]:
        """Return for how long the run waited for files, and by component; `wait_ms` is None where it is not known.

        Waiting spans may have run concurrently, and the time of a file is also that of the tool that reads it, so the
        shares of the wall time need not add up.
        """
        wall = totals.wall_ns
        opens = sum(row[0] for row in self._by_file.values())
        kinds = {name: self._waits[name] for name in WAITING if name in self._waits}
        if opens:
            kinds = {"files": [opens, opens, sum(row[-1] for row in self._by_file.values())], **kinds}
        return {
            name: {
                "count": count,
                "measured": measured,
                "wait_ms": milliseconds(waited) if measured else None,
                "share_of_wall": round(waited / wall, 6) if measured and wall else None,
            }
            for name, (count, measured, waited) in kinds.items()
        }

    def _find_source(self) -> tuple[str | None, list[int]]:
        """Return the component that supplies the totals, and its sums."""
        rows = dict(sorted(self._by_component.items()))
        if self._by_model:
            rows["llm"] = [sum(column) for column in zip(*self._by_model.values(), strict=True)]
        present = sorted(rows, key=lambda name: SOURCES.index(name) if name in SOURCES else len(SOURCES))
        with_usage = [name for name in present if rows[name][_TOKENS] or rows[name][_PRICED]]
        name = next(iter(with_usage or present), None)
        return name, [0] * _WIDTH if name is None else rows[name]

    def _price_sources(self, component: str | None, total: list[int]) -> dict[str, int]:
        """Return the number of calls by price source: `recorded`, `settings`, `genai-prices` with its version."""
        if component == "llm":
            return dict(sorted(self._priced_by.items()))
        return {RECORDED: total[_PRICED]} if total[_PRICED] else {}

    def _tracing_result(self, totals: TraceTotals) -> dict[str, Any] | None:
        """Return the cost of tracing itself; None where no process recorded it."""
        processes, events, size, dropped, spent = self._tracing
        if not processes:
            return None
        reader = totals.sections.get("problems") or {}
        # The wall time of a trace whose beginning was rotated away is not known.
        wall = None if reader.get("rotated_away_events") else totals.wall_ns
        return {
            "processes": processes,
            "events": events,
            "bytes": size,
            "dropped": dropped,
            "tracing_us": spent / _NS_PER_US,
            "share_of_wall": round(spent / wall, 9) if wall else None,
            "problems": dict(sorted(self._problems.items())),
        }


def _add_to_parent(above: Below, row: list[int], name: str) -> None:
    """Add a row to the sums that other children of the same span have left.

    The first row becomes that of the parent itself, without a copy.
    """
    known = above.sums.get(name)
    if known is None:
        above.sums[name] = row
    else:
        add_up(known, row)


def _file_counts(row: Sequence[int]) -> dict[str, Any]:
    """Return the counts of a file by name."""
    return {**dict(zip(_FILE_COUNTS, row[:-1], strict=True)), "io_ms": milliseconds(row[-1])}


def _host(url: object) -> str:
    """Return the host of an address, with its port; empty where it is no address."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2][:200] if type(url) is str else ""


def _row(rows: dict[str, list[int]], name: str) -> list[int]:
    """Return the row of a name, which is created where there is none."""
    row = rows.get(name)
    if row is None:
        row = rows[name] = [0] * _WIDTH
    return row


def _tokens(row: Sequence[int]) -> dict[str, int]:
    """Return the tokens of a row under the names of `usage`."""
    return {"total": row[_TOKENS], **dict(zip(PARTS, row[_PARTS:_COST], strict=True))}


def _cached_share(row: Sequence[int]) -> float | None:
    """Return the share of the input that was read from the provider's cache; None where there was no input."""
    input_tokens, read = row[_PARTS], row[_PARTS + PARTS.index("cache_read_tokens")]
    return round(min(read / input_tokens, 1.0), 6) if input_tokens else None


def _cost(row: Sequence[int]) -> float | None:
    return dollars(row[_COST]) if row[_PRICED] else None


FULL_FROM, FILLS_FROM = 0.9, 0.75
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
    for row in (section.get("memory") or {}).get("processes") or ():
        leak = row.get("leak") or {}
        if leak.get("verdict") == "grows":
            rate = leak["mb_per_hour"]
            evidence = f"memory grew by {rate:,.1f} MB per hour"
            yield make_finding("memory_growth", "resources", "resource_usage", 0.3 if rate > 50 else 0.1, evidence, (row["peak_number"],), "analyze --resources")  # fmt: skip
