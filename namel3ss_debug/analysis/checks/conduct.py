"""Rules about the calls of a run: which are forbidden, required, ordered or counted, and what must be true of each."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.checks.messages import describe_broken
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.expressions import event_scope
from namel3ss_debug.traces.costs import priced

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.measures import CheckedRun
    from namel3ss_debug.analysis.checks.subjects import SeenSpan, SpanPattern
    from namel3ss_debug.expressions import Expression
    from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTableBuilder

_KEPT = 10_000
"""The most violations that a rule keeps one by one; later ones are only counted."""


class Watcher(Protocol):
    """The evaluation of a rule on one run. It keeps what it needs of the spans and events."""

    def span(self, span: SeenSpan) -> None:
        """Evaluate a span that ended, or at the end one that never did."""

    def event(self, number: int, event: Event) -> None:
        """Evaluate an event."""

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the violations of the rule."""

    def describe_idle(self, run: CheckedRun) -> str:
        """Return what was missing in the run so that the rule checked nothing; "" where it checked something."""


@dataclass(slots=True)
class ViolationList:
    """The first violations one by one, and the number of further ones."""

    violations: list[Violation] = field(default_factory=list)
    more: int = 0

    def add(self, violations: Violation) -> None:
        """Add a violation."""
        if len(self.violations) < _KEPT:
            self.violations.append(violations)
        else:
            self.more += 1

    def all(self) -> Iterator[Violation]:
        """Return the kept violations; the last of them also counts those that were not kept."""
        if self.more:
            last = self.violations[-1]
            self.violations[-1] = last._replace(times=last.times + self.more)
            self.more = 0
        return iter(self.violations)


class BaseWatcher:
    """A base for watchers that ignore spans or events, or that are never idle because the rule forbids something."""

    def span(self, span: SeenSpan) -> None:
        """Ignore the span."""

    def event(self, number: int, event: Event) -> None:
        """Ignore the event."""

    def describe_idle(self, run: CheckedRun) -> str:
        """Return "": a run without anything that the rule forbids keeps the rule."""
        del run
        return ""


class CollectingWatcher(BaseWatcher):
    """A watcher that collects violations as soon as it sees them."""

    def __init__(self) -> None:
        self._violations = ViolationList()

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Return the violations that were collected."""
        del run
        return self._violations.all()


class Forbid(CollectingWatcher):
    """`forbid`: no such span; with `after`, none that began after one of those had ended, in the same agent."""

    def __init__(self, patterns: Sequence[SpanPattern], after: SpanPattern | None) -> None:
        super().__init__()
        self._patterns = patterns
        self._after = after
        self._since: dict[str, tuple[int, str]] = {}

    def span(self, span: SeenSpan) -> None:
        """Add a violation for a forbidden span."""
        since = self._since.get(span.owner)
        late = self._after is None or (since is not None and span.number > since[0])
        if late and any(pattern.matches(span) for pattern in self._patterns):
            numbers = [span.number]
            what = f"{span.label} is forbidden and was called"
            if since is not None:
                numbers.insert(0, since[0])
                what = f"{span.label} was called after {since[1]}"
            self._violations.add(Violation(span.subject, what, numbers, span.call_site))
        if self._after is not None and since is None and span.end_number and self._after.matches(span):
            self._since[span.owner] = (span.end_number, f"{self._after.text} had happened")


class Require(BaseWatcher):
    """`require`: each of these spans, with `in_order` one after the other."""

    def __init__(self, patterns: Sequence[SpanPattern], *, in_order: bool) -> None:
        self._patterns = patterns
        self._in_order = in_order
        self._numbers = [array("q") for _ in patterns]

    def span(self, span: SeenSpan) -> None:
        """Note which of the required spans it is."""
        for pattern, numbers in zip(self._patterns, self._numbers, strict=True):
            if pattern.matches(span):
                numbers.append(span.number)

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield each missing span, or the first that is out of order."""
        del run
        reached, before = 0, ""
        proof: list[int] = []
        for pattern, numbers in zip(self._patterns, self._numbers, strict=True):
            ordered = sorted(numbers)
            if not ordered:
                yield Violation(
                    pattern.subject, f"there was no {pattern.text}", proof[-1:], detail=pattern.text
                )
                if self._in_order:
                    return
                continue
            index = bisect_right(ordered, reached)
            if self._in_order and index == len(ordered):
                what = f"{pattern.text} came before {before} and not after it"
                yield Violation(pattern.subject, what, [ordered[0], *proof[-1:]], detail=pattern.text)
                return
            if self._in_order:
                reached, before = ordered[index], pattern.text
                proof.append(reached)


class CallCount(BaseWatcher):
    """`calls`: at least and at most a number of these spans."""

    def __init__(self, pattern: SpanPattern, at_least: int, at_most: int | None) -> None:
        self._pattern = pattern
        self._at_least = at_least
        self._at_most = at_most
        self._numbers = array("q")
        self._last: SeenSpan | None = None

    def span(self, span: SeenSpan) -> None:
        """Count the span if it matches."""
        if self._pattern.matches(span):
            self._numbers.append(span.number)
            if self._last is None or span.number > self._last.number:
                self._last = span

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield a violation where there are too few or too many."""
        del run
        count = len(self._numbers)
        site = self._last.call_site if self._last else None
        if self._at_most is not None and count > self._at_most:
            beyond = sorted(self._numbers)[self._at_most :][:LISTED]
            what = f"{self._pattern.text}: {count:,} times; at most {self._at_most:,} are allowed"
            yield Violation(self._pattern.subject, what, beyond, site, "at_most")
        elif count < self._at_least:
            what = f"{self._pattern.text}: {count:,} times; at least {self._at_least:,} are required"
            yield Violation(self._pattern.subject, what, sorted(self._numbers), site, "at_least")


class SpanAssert(CollectingWatcher):
    """`assert` on spans: it must be true of each of them."""

    def __init__(self, expression: Expression, pattern: SpanPattern) -> None:
        super().__init__()
        self._expression = expression
        self._pattern = pattern
        self._has_evaluated = False

    def span(self, span: SeenSpan) -> None:
        """Evaluate the expression for a span."""
        if not self._pattern.matches(span):
            return
        self._has_evaluated = True
        scope = span.scope()
        if not self._expression.matches(scope):
            what = f"{span.label}: {describe_broken(self._expression, scope)}"
            self._violations.add(Violation(span.subject, what, [span.number], span.call_site))

    def describe_idle(self, run: CheckedRun) -> str:
        """Return that there was no such span, or ""."""
        del run
        return "" if self._has_evaluated else f"there was no {self._pattern.text}"


class EventAssert(CollectingWatcher):
    """`assert` on events: it must be true of each of them."""

    def __init__(self, expression: Expression, condition: Expression | None) -> None:
        super().__init__()
        self._expression = expression
        self._condition = condition
        self._has_evaluated = False
        read = expression.names if condition is None else expression.names | condition.names
        # The cost that views show may come from the tokens; an expression must read the same one.
        self._spans = SpanTableBuilder() if "cost_estimate" in read else None

    def event(self, number: int, event: Event) -> None:
        """Evaluate the expression for an event."""
        if self._spans is not None:
            event = priced(event, self._spans.table.cost_of(self._spans.take(event).span))
        if self._condition is not None and not self._condition.matches_event(number, event):
            return
        self._has_evaluated = True
        if not self._expression.matches_event(number, event):
            site = event.get("call_site")
            kind, name = str(event.get("event_type", "")), event.get("component_name")
            words = f"{kind} {name}" if isinstance(name, str) else kind
            self._violations.add(
                Violation(
                    kind,
                    f"{words}: {describe_broken(self._expression, event_scope(number, event))}",
                    [number],
                    site if isinstance(site, str) else None,
                )
            )

    def describe_idle(self, run: CheckedRun) -> str:
        """Return that there was no such event, or ""."""
        del run
        return (
            ""
            if self._has_evaluated or self._condition is None
            else f"there was no event if {self._condition.text}"
        )


Validate = Callable[[Any], Sequence[tuple[str, str]]]
"""Validates a value, and returns the paths in it that are wrong, each with the problem there."""

NO_VALUE: Final = "there is no value to compare with the schema"


class SchemaAssert(CollectingWatcher):
    """`schema`: a value of each of these spans must fit a JSON schema."""

    def __init__(self, validate: Validate, value: Expression, pattern: SpanPattern) -> None:
        super().__init__()
        self._validate = validate
        self._value = value
        self._pattern = pattern
        self._has_evaluated = False

    def span(self, span: SeenSpan) -> None:
        """Validate the value of a span."""
        if not span.end or span.failed or not self._pattern.matches(span):
            return
        self._has_evaluated = True
        value = self._value.evaluate(span.scope())
        problems = [("", NO_VALUE)] if value is None else self._validate(value)
        for path, what in problems[:5]:
            where = f"{self._value.text}{path}"
            numbers = [span.end_number or span.number]
            self._violations.add(
                Violation(span.subject, f"{span.label}: {where}: {what}", numbers, span.call_site, path)
            )

    def describe_idle(self, run: CheckedRun) -> str:
        """Return that no such span had an output, or ""."""
        del run
        return "" if self._has_evaluated else f"there was no {self._pattern.text} with an output"
