"""Check limits on what a run, an agent, a tool or a model uses: time, tokens, money, calls, retries, memory, context.

A limit that reads an unknown measure counts as broken, and its finding names that measure: a check that cannot decide
whether a budget was kept must not pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug import prices
from namel3ss_debug.analysis.checks.conduct import BaseWatcher
from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.checks.measures import CheckedRun, Measured
from namel3ss_debug.analysis.checks.messages import format_value
from namel3ss_debug.errors import MissingExtraError
from namel3ss_debug.expressions import name_fits, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.expressions import Expression

SECTIONS: Final = ("execution_overview", "errors", "resource_usage")
"""The sections from which the measures of a whole run are read."""

_OF_PARTS: Final = frozenset({"input_tokens", "output_tokens", "context_tokens"})


class Limit(BaseWatcher):
    """`limit`: an expression over measures must be true of the run, or of each agent, tool or model."""

    def __init__(self, expression: Expression, by: str, only: str | None) -> None:
        self._expression = expression
        self._by = by
        self._only = only

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the subjects whose measures exceed the limit.

        Raises:
            MissingExtraError: the limit reads a cost that is only known with the extra `[prices]`.
        """
        for name, measured in sorted(run.measured[self._by].items()):
            if self._only is not None and not name_fits(name, self._only):
                continue
            values = measure_run(run) if self._by == "run" else measured.values()
            if self._by == "model":
                values["context_share"] = _context_shares(run).get(name)
            if self._expression.matches(values):
                continue
            read = sorted(self._expression.names)
            unknown = [measure for measure in read if values.get(measure) is None]
            if "cost" in unknown:
                refuse_unpriced(run.document, self._expression.text)
            subject, described = "run", "the run"
            if self._by != "run":
                subject, described = f"{self._by}:{name}", f"{self._by} {name}".strip()
            yield Violation(
                subject,
                f"{described}: {self._describe_values(read, unknown, values, measured)}",
                _evidence(read, measured),
                measured.call_site if self._by != "run" else None,
            )

    def describe_idle(self, run: CheckedRun) -> str:
        """Return which subject of the limit the run does not have; "" where it has one."""
        names = run.measured[self._by]
        if self._only is None:
            return "" if names else f"there was no {self._by}"
        if any(name_fits(name, self._only) for name in names):
            return ""
        return f"there was no {self._by} {self._only}{nearest(self._only, list(names))}"

    def _describe_values(
        self, read: list[str], unknown: list[str], values: dict[str, Any], measured: Measured
    ) -> str:
        """Return the values of the measures that the limit reads, and the limit."""
        if unknown:
            return f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known{_describe_unknown(unknown, measured)}"
        listed = ", ".join(f"{measure} is {format_value(measure, values[measure])}" for measure in read)
        return f"{listed}; the limit is {self._expression.text}"


def _describe_unknown(unknown: list[str], measured: Measured) -> str:
    """Return why measures are not known, as the end of a sentence."""
    if "cost" in unknown and measured.unpriced:
        return f": {_count_calls(measured.unpriced)} no price; add it to the setting prices"
    if measured.uncounted and {"tokens", *_OF_PARTS} & set(unknown):
        return f": {_count_calls(measured.uncounted)} no usage"
    if measured.without_parts and _OF_PARTS & set(unknown):
        return f": {_count_calls(measured.without_parts)} only a total of tokens"
    if "memory_mb" in unknown:
        return ": no memory was recorded"
    return ""


def _count_calls(number: int) -> str:
    return "1 call has" if number == 1 else f"{number:,} calls have"


def measure_run(run: CheckedRun) -> dict[str, Any]:
    """Return the measures of the whole run, those of the analysis where it has them, so that all figures agree."""
    measured = run.measured["run"][""]
    values = measured.values()
    overview, resources = run.document["execution_overview"], run.document["resource_usage"]
    tokens, cost = resources["tokens"], resources["cost"]
    counted = not tokens["calls_without_usage"]
    split_known = counted and not measured.without_parts
    return values | {
        "failures": run.document["errors"]["total_errors"],
        "duration_ms": overview["duration_ms"],
        "tokens": tokens["total"] if counted else None,
        "input_tokens": tokens["input_tokens"] if split_known else None,
        "output_tokens": tokens["output_tokens"] if split_known else None,
        "cost": None if cost["calls_without_price"] else cost["total"] or 0.0,
        "memory_mb": resources["memory"]["peak_mb"],
        "context_share": max(_context_shares(run).values(), default=None),
    }


def _context_shares(run: CheckedRun) -> dict[str, float]:
    """Return the largest share of its context window that a call filled, by model, where the window is known."""
    models = run.document["resource_usage"]["context"]["by_model"]
    return {name: row["max_share"] for name, row in models.items() if row["max_share"] is not None}


def refuse_unpriced(document: dict[str, Any], limit: str) -> None:
    """Refuse a rule about the cost where no call has a price because the published prices are not installed.

    Raises:
        MissingExtraError: they are not, and no cost is known.
    """
    overview = document["execution_overview"]
    if overview["cost"] is None and overview["calls_without_price"] and not prices.is_extra_installed():
        raise MissingExtraError(
            f"the rule {limit!r} needs what the calls cost, and no price is known; {prices.INSTALL}"
        )


def _evidence(read: list[str], measured: Measured) -> list[int]:
    """Return the spans that have the most of each measure."""
    return sorted({measured.most[measure][1] for measure in read if measure in measured.most})
