"""Find silent failures: exceptions that the program handled, after which a result is empty, zero or of another shape.

Most handled exceptions are harmless, so each is judged by what became of it:

- `result`: the call around it returned a value that is empty or zero, or of another shape than the other calls of the
  same name, in which no exception was handled. It must be the value that the clause itself returned, or there must be
  calls to compare it with. A tool that could not reach its source, and returns something empty, needs neither;
- `returned`: outside of tools, the clause itself returned an empty collection or text, or zero;
- `logged`: the clause logged a record of level warning or above and went on, but not with the next round of a loop,
  which is a retry.

`None` and `False` alone are no sign: they are how a function reports that there is nothing. An exception is not silent if the
call around it failed or returned a report of an error, or if it is the failure of a span that the trace has. The section:

    {"total": 31, "silent": 1, "sites": [{"number": 12, "call_site": "tools.py:17", "function": "convert",
     "error_type": "ValueError", "error": "...", "times": 1, "judged": "result", "returned": "{'eur': 0}",
     "component": "tool", "component_name": "convert", "numbers": [12], "end_number": 14, "logged": null}],
     "warning_count": 1, "warnings": [{"number": 9, "call_site": "tools.py:30", "level": "warning", "logger": "shop",
     "message": "..."}]}

`sites` has one row for each clause and type of exception, silent ones first. `total` counts those as well that are only
counted in `trace_end`. `warnings` are the log records of level warning and above.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.failures.categories import categorise
from namel3ss_debug.analysis.failures.claims import claimed_error, may_claim
from namel3ss_debug.analysis.findings import format_operation, make_finding
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.span_table import SpanWatcher
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

COLUMNS = (
    TableSpec(
        "Handled exceptions",
        "sites",
        (
            ColumnSpec("n", "number", "event"),
            ColumnSpec("function", "function", "name"),
            ColumnSpec("exception", "error_type", "name"),
            ColumnSpec("where", "call_site", "site"),
            ColumnSpec("times", "times", "count"),
            ColumnSpec("returned", "returned", "prose"),
            ColumnSpec("sign", "judged"),
        ),
        "that the program's own code did not raise again",
    ),
    TableSpec(
        "Warnings in the log",
        "warnings",
        (
            ColumnSpec("n", "number", "event"),
            ColumnSpec("level", "level"),
            ColumnSpec("logger", "logger", "name"),
            ColumnSpec("message", "message", "prose"),
            ColumnSpec("where", "call_site", "site"),
        ),
        "and above",
        "warning_count",
    ),
)

RESULT, RETURNED, LOGGED = "result", "returned", "logged"
_WEIGHTS = {RESULT: 0.45, RETURNED: 0.35, LOGGED: 0.25}
"""How a silent failure was seen -> its weight; a logged warning adds `_ALSO_LOGGED`."""

_ALSO_LOGGED = 0.1
_MOST_KEPT = 2_000
_MOST_IDS = 200
_LEAST_OTHERS = 2
_LONGEST_JSON = 20_000
_MOST_SHAPES = 1_000
_DEEPEST = 6
_LONGEST_CLAUSE = 1_000
_LONGEST_MESSAGE = 200
_LONGEST_VALUE = 60
_NO_CALLS = frozenset({"llm", "http", "app", "log"})
_EXPECTED = frozenset({"FileNotFoundError"})
"""What a clause may answer with an empty value as a matter of course: a file of notes that does not exist yet is empty."""

_UNREACHED = frozenset({"network", "authentication", "rate_limit"})
"""Categories after which an empty result is no answer of the source. A timeout is not one: programs poll with it."""


class _Handled(NamedTuple):
    """One `exception_handled` event; `parent` is the row of the span around it."""

    number: int
    parent: int
    component: str
    name: str | None
    call_site: str
    until: int
    function: str
    leaves_by: str
    error_type: str
    error: str
    has_value: bool
    value: Any


class _Warning(NamedTuple):
    """One log record of level warning or above."""

    number: int
    call_site: str
    level: str
    logger: str
    message: str


class _Ended(NamedTuple):
    """A call that ended: the number of its end, its row, and its result as text."""

    end_number: int
    row: int
    shown: str


class _Results:
    """The calls of one name by the shape of their results: how many, and the first of each shape."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first: dict[str, list[_Ended]] = {}

    def add(self, shape: str, ended: Iterable[_Ended], count: int = 1) -> None:
        """Add calls whose results have a shape."""
        self.counts[shape] = self.counts.get(shape, 0) + count
        self.first[shape] = sorted([*self.first.get(shape, ()), *ended])[:_MOST_IDS]


class HandledExceptions(SpanWatcher):
    """Handled exceptions, warnings in the log, and the shapes of results."""

    events = frozenset({"exception_handled", "log_record", "trace_end"})

    def __init__(self, _options: Options) -> None:
        self._handled: list[_Handled] = []
        self._more = 0
        self._counted: Counter[tuple[str, str]] = Counter()
        self._warnings: list[_Warning] = []
        self._warning_count = 0
        self._results: dict[tuple[str, str], _Results] = {}
        self._failed: set[int] = set()
        self._failures: set[tuple[str, str]] = set()

    def span(self, spans: SpanTable, row: int, _start: Event, end: Event) -> None:
        """Note the shape of the result of a call, and the exception of one that failed."""
        if spans.failed[row]:
            self._failures.add(_failure_of(end))
            self._failed.add(row)
            return
        component, name = spans.operations[spans.operation[row]]
        if component in _NO_CALLS:
            return
        outputs = end.get("outputs")
        if type(outputs) is not dict:
            return
        value = outputs.get("result", outputs)
        reports = may_claim(outputs) and claimed_error(end) is not None
        shape = _REPORTED if reports else _shape_of(value)
        results = self._results.get((component, name))
        if results is None:
            results = self._results[component, name] = _Results()
        known = results.first.get(shape)
        if known is not None and len(known) >= _MOST_IDS:
            results.counts[shape] += 1
            return
        results.add(shape, [_Ended(spans.end[row], row, _show(value))])

    def event(self, number: int, event: Event) -> None:
        """Note a handled exception, or a warning in the log."""
        event_type = event["event_type"]
        metadata = lenient.mapping(event.get("metadata"))
        if event_type == "trace_end":
            for row in lenient.mappings(metadata.get("handled")):
                key = str(row.get("call_site")), str(row.get("error_type"))
                self._counted[key] += lenient.count(row.get("times")) or 0
        elif event_type == "log_record":
            level = str(metadata.get("level"))
            if LOG_LEVELS.get(level, 0) >= LOG_LEVELS["warning"]:
                self._warning_count += 1
                if len(self._warnings) < _MOST_KEPT:
                    site, text = str(event.get("call_site", "")), str(metadata.get("message", ""))
                    logger = lenient.string(event.get("component_name"))
                    self._warnings.append(
                        _Warning(number, site, level, logger or "", text[:_LONGEST_MESSAGE])
                    )
        elif len(self._handled) < _MOST_KEPT:
            self._handled.append(_read(number, self.find_parent(event), event, metadata))
        else:
            self._more += 1

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._handled = [
            each._replace(parent=spans.lost.get(each.parent, each.parent)) for each in self._handled
        ]
        inside = {each.parent for each in self._handled}
        for each in self._handled:
            judged, end_number, returned, logged = self._judge(each, inside)
            key = each.call_site, each.error_type
            row = rows.get(key)
            if row is None or (judged is not None and row["judged"] is None):
                before = row or {"times": 0, "numbers": []}
                rows[key] = row = {
                    "number": each.number,
                    "component": each.component,
                    "component_name": each.name,
                    "call_site": each.call_site,
                    "function": each.function,
                    "error_type": each.error_type,
                    "error": each.error,
                    "times": before["times"],
                    "judged": judged,
                    "returned": returned,
                    "end_number": end_number,
                    "logged": logged,
                    "numbers": before["numbers"] if judged is None else [],
                }
            row["times"] += 1
            if row["judged"] == judged and len(row["numbers"]) < LISTED:
                row["numbers"].append(each.number)
        further = self._more
        for (call_site, name), times in self._counted.items():
            # The table of counts has the names of types without their modules.
            same = [row for row in rows.values() if row["call_site"] == call_site and _is_named(row, name)]
            further += max(times - sum(row["times"] for row in same), 0)
            if len(same) == 1:
                same[0]["times"] = max(same[0]["times"], times)
        ordered = sorted(rows.values(), key=lambda row: (row["judged"] is None, row["number"]))
        return {
            "total": len(self._handled) + further,
            "silent": sum(row["judged"] is not None for row in ordered),
            "sites": ordered[:_MOST_KEPT],
            "warning_count": self._warning_count,
            "warnings": [warning._asdict() for warning in self._warnings[:LISTED]],
        }

    def _judge(
        self, each: _Handled, inside: set[int]
    ) -> tuple[str | None, int | None, str | None, str | None]:
        """Return how an exception is seen to be a silent failure, the end of the call around it, the result, and the warning."""
        warning = self._find_warning(each)
        logged = None if warning is None else warning.message
        own = _show(each.value) if each.has_value else None
        if each.parent in self._failed or (each.error_type, each.error) in self._failures:
            return None, None, own, logged
        ended, judged = self._judge_result(each, inside)
        if judged:
            assert ended is not None
            return RESULT, ended.end_number, ended.shown, logged
        of_tool = each.component == "tool"  # then the result of the call decides
        if (
            each.has_value
            and not of_tool
            and each.error_type not in _EXPECTED
            and _is_empty(_read_text(each.value))
        ):
            return RETURNED, None, own, logged
        if logged is not None and each.leaves_by != "continue":
            return LOGGED, None, own, logged
        return None, None, own, logged

    def _judge_result(self, each: _Handled, inside: set[int]) -> tuple[_Ended | None, bool]:
        """Return the call around a handled exception, and whether its result shows a silent failure."""
        results = self._results.get((each.component, each.name or ""))
        if results is None:
            return None, False
        around = [
            (ended, shape)
            for shape, first in results.first.items()
            for ended in first
            if ended.row == each.parent and ended.end_number > each.number
        ]
        if not around:
            return None, False
        ended, shape = min(around)
        others = {
            other: results.counts[other] - sum(one.row in inside for one in calls)
            for other, calls in results.first.items()
            if other != _REPORTED
        }
        others = {other: count for other, count in others.items() if count > 0}
        alike = others.pop(shape, 0)
        if shape == _REPORTED or (alike and alike > self._count_unseen(each)):
            return ended, False  # calls without such an exception have the same result
        if not shape.startswith(_EMPTY_SHAPE):
            return ended, len(others) == 1 and sum(others.values()) >= _LEAST_OTHERS
        returned_it = each.has_value and (
            _show(each.value) == ended.shown or _is_empty(_read_text(each.value))
        )
        # By the type alone: the text of a KeyError is a key, which may well be 'connection'.
        unreached = each.component == "tool" and categorise(each.error_type, None) in _UNREACHED
        return ended, bool(others) or ((returned_it or unreached) and shape != _NOTHING_SHAPE)

    def _count_unseen(self, each: _Handled) -> int:
        """Return in how many further calls the clause handled such an exception, which have no event but a count."""
        same = [
            one.parent
            for one in self._handled
            if one.call_site == each.call_site and one.error_type == each.error_type
        ]
        if len(set(same)) < len(same):
            return 0  # a loop inside of a call: the count does not tell how many calls there were
        return self._counted[each.call_site, each.error_type.rpartition(".")[2]] - len(same)

    def _find_warning(self, each: _Handled) -> _Warning | None:
        """Return the last warning that was logged inside the clause before it was left."""
        file, _, line = each.call_site.rpartition(":")
        if not line.isdecimal():
            return None
        sites = {
            f"{file}:{number}"
            for number in range(int(line), min(each.until, int(line) + _LONGEST_CLAUSE) + 1)
        }
        near = (one for one in self._warnings if one.number < each.number and one.call_site in sites)
        return max(near, default=None)


def _read(number: int, parent: int, event: Event, metadata: Mapping[str, Any]) -> _Handled:
    outputs = lenient.mapping(event.get("outputs"))
    return _Handled(
        number,
        parent,
        lenient.string(event.get("component")) or "",
        lenient.string(event.get("component_name")),
        lenient.string(event.get("call_site")) or "",
        lenient.count(metadata.get("until")) or 0,
        lenient.string(metadata.get("function")) or "",
        lenient.string(metadata.get("exit")) or "",
        *_failure_of(event),
        metadata.get("exit") == "return" and "result" in outputs,
        outputs.get("result"),
    )


def _is_named(row: Row, name: str) -> bool:
    return str(row["error_type"]).rpartition(".")[2] == name


def _failure_of(event: Event) -> tuple[str, str]:
    """Return the type and the beginning of the text of an exception."""
    return str(event.get("error_type") or ""), str(event.get("error") or "")[:200]


_REPORTED = "error"
_KINDS = {bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
_EMPTY_SHAPE = "empty "
_NOTHING_SHAPE = "empty nothing"


def _shape_of(value: Any) -> str:
    """Return the shape of a result: its type, an object's keys, and whether it is empty or zero."""
    value = _read_text(value)
    if isinstance(value, dict):
        made = value.get("$type")
        shape = _shape_of_keys(tuple(value)) if made is None else str(made)
    elif value is None:
        return _NOTHING_SHAPE
    else:
        shape = _KINDS.get(type(value), "value")
    return f"{_EMPTY_SHAPE}{shape}" if _is_empty(value) else shape


@lru_cache(4096)
def _shape_of_keys(keys: tuple[str, ...]) -> str:
    """Return the shape of an object; one of a limited number, because a program may use other keys each time."""
    return f"object {crc32(' '.join(sorted(keys)).encode(errors='replace')) % _MOST_SHAPES}"


def _read_text(value: Any) -> Any:
    """Return the value of a text that is JSON, as many tools return it, and any other value as it is."""
    if isinstance(value, str) and value[:1] in {"{", "["} and len(value) <= _LONGEST_JSON:
        return lenient.load_or_text(value)
    return value


def _is_empty(value: Any, depth: int = 0) -> bool:
    """Return whether a value is zero, or has nothing in it but such values and `None`."""
    if isinstance(value, dict | list):
        items = [item for key, item in value.items() if key != "$type"] if isinstance(value, dict) else value
        return depth < _DEEPEST and all(item is None or _is_empty(item, depth + 1) for item in items)
    return value == "" or (type(value) in {int, float} and value == 0)


def _show(value: Any) -> str:
    return short(repr(value), _LONGEST_VALUE, "...")


def name_of_handled(row: Row) -> str:
    """Return what a rule calls the exceptions of a row, which edits elsewhere in the file do not change."""
    return f"{row['error_type']} in {row['function']}"


def has_handled(section: Row) -> bool:
    """Return whether exceptions were handled, or warnings logged."""
    return bool(section["sites"] or section["warnings"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield the silent failures, one for each clause and type of exception."""
    for row in section["sites"]:
        judged = row["judged"]
        if judged is None:
            continue
        numbers = row["numbers"]
        times = f" {len(numbers)} times" if len(numbers) > 1 else ""
        evidence = f"{row['function']} handled {row['error_type']}{times} at {row['call_site']} and "
        if judged == RESULT and row["component_name"] not in {
            row["function"],
            row["function"].rpartition(".")[2],
        }:
            evidence += f"{format_operation(row)} returned {row['returned']}"
        else:
            evidence += "went on" if row["returned"] is None else f"returned {row['returned']}"
        logged = row["logged"]
        if logged is not None:
            evidence += f"; it logged {short(logged, 80)!r}"
        weight = _WEIGHTS[judged] + (_ALSO_LOGGED if logged is not None and judged != LOGGED else 0)
        about = row
        if row["component"] == "app" or not row["component_name"]:
            about = {"component": "function", "component_name": row["function"]}
        ends = [row["end_number"]] if row["end_number"] else []
        yield make_finding(
            "silent_failure", "quality", "handled_exceptions", weight, evidence, [*numbers[:4], *ends], f"explain {ends[0] if ends else numbers[0]}", row=about
        )  # fmt: skip
