"""Sum up the sections of several traces, without reading their spans again.

These are summed up: whole numbers everywhere, times (`..._ms`, `..._us`) and the values of `cost`, the latter as exact
fractions, so that the order makes no difference. Rows of lists that count something and name no event are added to
those of the same names, such as the calls of one tool by one agent. All other rows are listed one after the other, each
with its `trace`, at most `LISTED` of them. A text is kept where it is the same in all traces. A share, a score, an
event number or an extreme of one trace has no sum, and is left out.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import names_event
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MONEY = ("cost", "dollars")
_TIME = ("_ms", "_us")
_TIMES = frozenset({"ms"})
_NO_SUM = frozenset({"number", "end_number", "score", "severity", "confidence", "share", "rate"})
_NO_SUM_ENDS = ("_rate", "_share", "_share_of_wall", "_number", "_score", "_percent", "_mb", "_per_hour")
_NO_SUM_STARTS = (
    "share_",
    "largest_",
    "longest_",
    "first_",
    "last_",
    "mean_",
    "median_",
    "slow_ms",
    "max_",
    "min_",
    "p50",
    "p95",
)


class _Sum:
    """A sum; `whole` as long as all its parts are whole numbers."""

    __slots__ = ("amount", "whole")

    def __init__(self) -> None:
        self.amount = Fraction(0)
        self.whole = True

    def add(self, value: float) -> None:
        self.amount += Fraction(value)
        self.whole &= isinstance(value, int)

    @property
    def value(self) -> float:
        return int(self.amount) if self.whole else round(float(self.amount), 12)


class _Rows:
    """Rows of lists: those that are kept as they are, and by their names the sums of those that count something."""

    __slots__ = ("kept", "sums")

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.sums: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}

    def extend(self, more: Iterable[Any], trace: str) -> None:
        """Add the rows of one trace."""
        for row in more:
            if not isinstance(row, dict):
                if row not in self.kept:
                    self.kept.append(row)
            elif "count" in row and not any(key == "numbers" or names_event(key) for key in row):
                names = tuple((key, value) for key, value in row.items() if key in _NAMES)
                _add_figures(self.sums.setdefault(names, {}), row, trace, money=False)
            elif len(self.kept) < LISTED:
                self.kept.append({"trace": trace, **row})

    def result(self) -> list[Any]:
        """Return all rows; sums with a time have the longest first."""
        added = [_to_json(row) for row in self.sums.values()]
        added.sort(key=lambda row: -(row.get("total_ms") or 0))
        return (self.kept + added)[:LISTED]


_NAMES = frozenset({"kind", "what", "from", "to", "component", "component_name", "rule", "category", "name"})
"""The keys that identify such a row in its list."""


_DIFFERENT = object()
"""Marks a value that differs between traces."""


class SectionSum:
    """The sum of one section over several traces. Add each trace once, in their order."""

    def __init__(self) -> None:
        self._sum: dict[str, Any] = {}

    def add(self, section: Mapping[str, Any], trace: str) -> None:
        """Add the section of one trace.

        Args:
            section: the section.
            trace: the path of the trace, for the rows of lists.
        """
        _add_figures(self._sum, section, trace, money=False)

    def result(self) -> dict[str, Any]:
        """Return the sum."""
        made = _to_json(self._sum)
        assert isinstance(made, dict)
        return made


def _add_figures(into: dict[str, Any], section: Mapping[str, Any], trace: str, *, money: bool) -> None:
    """Add the figures of a section to a sum. Values without a sum are left out."""
    for key, value in section.items():
        if key in _NO_SUM or key.endswith(_NO_SUM_ENDS) or key.startswith(_NO_SUM_STARTS):
            continue
        known = into.get(key)
        costs = money or key.endswith(_MONEY)
        if isinstance(value, dict):
            inner = known if isinstance(known, dict) else {}
            into[key] = inner
            _add_figures(inner, value, trace, money=costs)
        elif isinstance(value, list):
            into[key] = rows = known if isinstance(known, _Rows) else _Rows()
            rows.extend(value, trace)
        elif value is None:
            into.setdefault(key, None)
        elif lenient.is_number(value):
            if isinstance(value, int) or costs or key in _TIMES or key.endswith(_TIME):
                into[key] = total = known if isinstance(known, _Sum) else _Sum()
                total.add(value)
        else:
            into[key] = value if known in (None, value) else _DIFFERENT


def _to_json(value: Any) -> Any:
    """Return a sum as JSON, without the values that differ between traces."""
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items() if item is not _DIFFERENT}
    if isinstance(value, _Rows):
        return value.result()
    return value.value if isinstance(value, _Sum) else value


class Recurring:
    """Failures with the same fingerprint over several traces, where they occur more than once."""

    _FIELDS = ("component", "component_name", "category", "error_type", "error")

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._last: dict[str, str] = {}

    def add(self, failures: Iterable[Mapping[str, Any]], trace: str) -> None:
        """Count the failures of the next trace."""
        for failure in failures:
            fingerprint = failure.get("fingerprint")
            if fingerprint is None:
                continue
            row = self._rows.get(fingerprint)
            if row is None:
                fields = {name: failure.get(name) for name in self._FIELDS}
                row = {"fingerprint": fingerprint, "count": 0, "traces": 0, **fields}
                self._rows[fingerprint] = row | {"trace": trace, "number": failure.get("number")}
                row = self._rows[fingerprint]
            row["count"] += 1
            row["traces"] += self._last.get(fingerprint) != trace
            self._last[fingerprint] = trace

    def result(self) -> list[dict[str, Any]]:
        """Return those in most traces first, with the `trace` and the `number` of the first occurrence."""
        rows = [row for row in self._rows.values() if row["count"] > 1]
        rows.sort(key=lambda row: (-row["traces"], -row["count"], row["fingerprint"]))
        return rows[:LISTED]


class ErrorSum(SectionSum):
    """The sum of `errors`, with the failures that occurred in several traces."""

    def __init__(self) -> None:
        super().__init__()
        self._recurring = Recurring()

    def add(self, section: Mapping[str, Any], trace: str) -> None:
        """Add the section of one trace."""
        super().add(section, trace)
        self._recurring.add(section.get("failures", ()), trace)

    def result(self) -> dict[str, Any]:
        """Return the sum; `TraceGroup` sets the error rate, which needs the numbers of spans."""
        return super().result() | {"recurring": self._recurring.result()}


_WORST_FIRST = ("open", "killed", "failed", "interrupted", "stopped")


class Overviews:
    """`execution_overview` over several traces, with the error rate of `errors`.

    Counts and `duration_ms` are sums, so `duration_ms` is how long the traces took one after the other. `started_at` is
    that of the earliest and `ended_at` that of the latest. `status` is `open` where one of them is, else the worst
    by `_WORST_FIRST`; `statuses` counts them. A value that differs is None.
    """

    _COUNTED = (
        *("executions", "processes", "processes_without_end", "events", "spans", "open_spans", "orphan_ends"),
        *(
            "agent_executions",
            "llm_calls",
            "tool_calls",
            "tokens",
            "calls_without_price",
            "errors",
            "retries",
        ),
    )
    _LISTED = ("execution_ids", "session_ids")
    _ONE_RECORDING = ("exit_status", "outcome", "outcome_detail", "tracing")
    _MOST_IDS = 10

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []

    def add(self, section: Mapping[str, Any], trace: str = "") -> None:
        """Add the overview of one trace."""
        del trace
        self._rows.append(section)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """Return the overviews that were added."""
        return self._rows

    @property
    def error_rate(self) -> float | None:
        """Return the share of all ended spans that failed and were not recovered; None where no span ended."""
        ended = [row["spans"] - row["open_spans"] for row in self._rows]
        rates = (1 - (1 if row["success_rate"] is None else row["success_rate"]) for row in self._rows)
        failed = sum(round(rate * spans) for rate, spans in zip(rates, ended, strict=True))
        return failed / sum(ended) if sum(ended) else None

    def result(self) -> dict[str, Any]:
        """Return the overview of all traces."""
        rows, rate = self._rows, self.error_rate
        statuses = [row["status"] for row in rows]
        durations = [row["duration_ms"] for row in rows if row["duration_ms"] is not None]
        costs = [Fraction(row["cost"]) for row in rows if row["cost"] is not None]
        began = [row["started_at"] for row in rows if row["started_at"] is not None]
        ended = [row["ended_at"] for row in rows if row["ended_at"] is not None]
        known = {
            "status": next((status for status in _WORST_FIRST if status in statuses), "completed"),
            "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
            "duration_ms": milliseconds(round(sum(map(Fraction, durations)) * 1_000_000))
            if durations
            else None,
            "cost": round(float(sum(costs)), 12) if costs else None,
            "started_at": min(began, default=None),
            "ended_at": max(ended, default=None),
            "success_rate": None if rate is None else round(1 - rate, 12),
            "priced_by": dict(sorted(sum((Counter(row["priced_by"]) for row in rows), Counter()).items())),
            **{name: sum(row[name] for row in rows) for name in self._COUNTED},
            **{
                name: sorted({value for row in rows for value in row[name]})[: self._MOST_IDS]
                for name in self._LISTED
            },
        }
        shape = {"statuses": None, **(rows[0] if rows else {})}
        return {
            name: known[name] if name in known else self._shared(name)
            for name in ("status", *(name for name in shape if name != "status"))
            if name not in self._ONE_RECORDING
        }

    def _shared(self, name: str) -> Any:
        """Return the value that all traces have; None where they differ."""
        values = [row.get(name) for row in self._rows]
        return values[0] if all(value == values[0] for value in values) else None
