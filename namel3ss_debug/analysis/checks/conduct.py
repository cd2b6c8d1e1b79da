"""Rules about the calls of a run: which are forbidden, required, ordered or counted, and what must be true of each."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.checks.messages import describe_broken, format_value
from namel3ss_debug.analysis.checks.shapes import find_misfits, plain
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.expressions import event_scope
from namel3ss_debug.traces.costs import priced
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.measures import CheckedRun
    from namel3ss_debug.analysis.checks.subjects import SeenSpan, SpanPattern
    from namel3ss_debug.expressions import Expression
    from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTableBuilder

_LONGEST_VALUE = 200
"""A text that is longer is no value, but may hold some."""
_LEAST_TEXT = 4
"""A shorter text is in many others by chance."""
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
    """`forbid`: no such span.

    With `after`, none that began after one of those had ended, in the same agent. With `before`, none that began before
    the first of those had ended, in the whole run.
    """

    def __init__(
        self, patterns: Sequence[SpanPattern], after: SpanPattern | None, before: SpanPattern | None = None
    ) -> None:
        super().__init__()
        self._patterns = patterns
        self._after, self._before = after, before
        self._since: dict[str, tuple[int, str]] = {}
        self._first_end = 0  # of a span that `before` names; spans arrive by their ends

    def span(self, span: SeenSpan) -> None:
        """Add a violation for a forbidden span."""
        if self._before is not None:
            if (
                any(pattern.matches(span) for pattern in self._patterns)
                and not 0 < self._first_end < span.number
            ):
                what = f"{span.label} was called before {self._before.text}"
                self._violations.add(Violation(span.subject, what, [span.number], span.call_site))
            if not self._first_end and span.end_number and not span.failed and self._before.matches(span):
                self._first_end = span.end_number
            return
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


class ShapeAssert(CollectingWatcher):
    """`shape`: the result of each of these spans has a shape, see `shapes`."""

    def __init__(self, shape: Any, pattern: SpanPattern) -> None:
        super().__init__()
        self._shape, self._pattern = shape, pattern
        self._has_evaluated = False

    def span(self, span: SeenSpan) -> None:
        """Compare the result of a span."""
        if not span.end or span.failed or not self._pattern.matches(span):
            return
        self._has_evaluated = True
        outputs = span.end.get("outputs")
        result = outputs.get("result") if isinstance(outputs, dict) else None
        for path, what in islice(find_misfits(self._shape, result), 5):
            numbers = [span.end_number or span.number]
            self._violations.add(
                Violation(span.subject, f"{span.label}: result{path} {what}", numbers, span.call_site, path)
            )

    def describe_idle(self, run: CheckedRun) -> str:
        """Return that no such span had an output, or ""."""
        del run
        return "" if self._has_evaluated else f"there was no {self._pattern.text} with an output"


class TakenArguments(CollectingWatcher):
    """`taken`: arguments of each of these calls are values of an earlier result of another tool."""

    def __init__(self, pattern: SpanPattern, arguments: Sequence[str]) -> None:
        super().__init__()
        self._pattern, self._arguments = pattern, arguments
        self._results = EarlierResults()
        self._has_evaluated = False

    def span(self, span: SeenSpan) -> None:
        """Look for the arguments of a call among the earlier results; spans arrive by their ends."""
        if span.component != "tool":
            return
        if self._pattern.matches(span):
            self._has_evaluated = True
            inputs = span.start.get("inputs")
            arguments = inputs.get("arguments") if isinstance(inputs, dict) else None
            for name in self._arguments:
                value = arguments.get(name) if isinstance(arguments, dict) else None
                if value is not None and not self._results.hold(value, span.number):
                    what = (
                        f"{span.label}: {name} is {format_value(name, value)}, which no earlier result holds"
                    )
                    self._violations.add(Violation(span.subject, what, [span.number], span.call_site, name))
        self._results.add(span)

    def describe_idle(self, run: CheckedRun) -> str:
        """Return that there was no such call, or ""."""
        del run
        return "" if self._has_evaluated else f"there was no {self._pattern.text}"


class EarlierResults:
    """The values in the results of tools, each with the event that ended the first call that returned it."""

    def __init__(self) -> None:
        self._ends: dict[str | float, int] = {}
        self._texts: list[tuple[int, str]] = []

    def add(self, span: SeenSpan) -> None:
        """Add the result of a tool."""
        outputs = span.end.get("outputs")
        if span.component != "tool" or not isinstance(outputs, dict) or not span.end_number:
            return
        for value in iter_leaves(plain(outputs.get("result"))):
            if isinstance(value, str) and len(value) > _LONGEST_VALUE:
                self._texts.append((span.end_number, value))
            else:
                self._ends.setdefault(value, span.end_number)

    def hold(self, value: Any, before: int) -> bool:
        """Return whether all texts and numbers in a value were returned before an event, alone or within a longer text."""
        return all(self._holds(leaf, before) for leaf in iter_leaves(value))

    def _holds(self, leaf: str | float, before: int) -> bool:
        if self._ends.get(leaf, before) < before:
            return True
        words = leaf if isinstance(leaf, str) else f"{leaf:g}"
        return len(words) >= _LEAST_TEXT and (
            any(end < before and words in text for end, text in self._texts)
            or any(
                isinstance(text, str) and end < before and words in text for text, end in self._ends.items()
            )
        )


def iter_leaves(value: Any) -> Iterator[str | float]:
    """Yield the texts and numbers in a JSON value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from iter_leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from iter_leaves(inner)
    elif isinstance(value, str) or lenient.is_number(value):
        yield value


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
