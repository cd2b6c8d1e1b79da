"""Rules about what a run does: calls that are forbidden, required, ordered or counted, and what is true of each."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from namel3ss_debug.analysis.checking.findings import Found
from namel3ss_debug.analysis.checking.words import broken
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.expressions import event_scope
from namel3ss_debug.traces.costs import CallCosts, priced

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checking.baselines import Baseline
    from namel3ss_debug.analysis.checking.measures import Measured
    from namel3ss_debug.analysis.checking.subjects import Pattern, SeenSpan
    from namel3ss_debug.expressions import Expression
    from namel3ss_debug.traces.events import Event

_KEPT = 10_000
"""How many occurrences a rule keeps one by one; later ones are only counted."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a run when its last event has been read.

    Attributes:
        document: the sections that the rules asked for, by their names.
        measured: the measures by kind of subject (`run`, `agent`, `tool`, `model`), then by its name.
        baseline: what earlier runs were like, if there are any.
    """

    document: dict[str, Any]
    measured: dict[str, dict[str, Measured]]
    baseline: Baseline | None = None


class Watcher(Protocol):
    """The evaluation of a rule on one run; it keeps what it needs of the spans and events it is shown."""

    def span(self, span: SeenSpan) -> None:
        """Take a span that ended, or at the end one that never did."""

    def event(self, number: int, event: Event) -> None:
        """Take an event."""

    def found(self, run: Run) -> Iterator[Found]:
        """Yield what the run did that the rule does not allow."""

    def idle(self, run: Run) -> str:
        """Return what the run had none of, so that the rule checked nothing; empty where it checked something."""


@dataclass(slots=True)
class Kept:
    """What was found so far: the first findings one by one, and how many more there were."""

    found: list[Found] = field(default_factory=list)
    more: int = 0

    def add(self, found: Found) -> None:
        """Note one more."""
        if len(self.found) < _KEPT:
            self.found.append(found)
        else:
            self.more += 1

    def all(self) -> Iterator[Found]:
        """Yield all findings that were kept; the last of them also counts those that were not."""
        if self.more:
            last = self.found[-1]
            self.found[-1] = last._replace(times=last.times + self.more)
            self.more = 0
        return iter(self.found)


class Quiet:
    """A base for watchers that ignore spans or events, or whose rule forbids something, so that it is never idle."""

    def span(self, span: SeenSpan) -> None:
        """Ignore the span."""

    def event(self, number: int, event: Event) -> None:
        """Ignore the event."""

    def idle(self, run: Run) -> str:
        """Empty: a run without what such a rule forbids keeps the rule."""
        del run
        return ""


class Noting(Quiet):
    """A watcher that notes what is not allowed as soon as it sees it."""

    def __init__(self) -> None:
        self._kept = Kept()

    def found(self, run: Run) -> Iterator[Found]:
        """Yield what was noted."""
        del run
        return self._kept.all()


class Forbid(Noting):
    """`forbid`: no such span; with `after`, none that began after one of those had ended, in the same agent."""

    def __init__(self, patterns: Sequence[Pattern], after: Pattern | None) -> None:
        super().__init__()
        self._patterns = patterns
        self._after = after
        self._since: dict[str, tuple[int, str]] = {}

    def span(self, span: SeenSpan) -> None:
        """Note a forbidden span."""
        since = self._since.get(span.owner)
        late = self._after is None or (since is not None and span.number > since[0])
        if late and any(pattern.fits(span) for pattern in self._patterns):
            numbers = [span.number]
            what = f"{span.words} is forbidden and was called"
            if since is not None:
                numbers.insert(0, since[0])
                what = f"{span.words} was called after {since[1]}"
            self._kept.add(Found(span.subject, what, numbers, span.call_site))
        if self._after is not None and since is None and span.end_number and self._after.fits(span):
            self._since[span.owner] = (span.end_number, f"{self._after.text} had happened")


class Require(Quiet):
    """`require`: each of these spans, with `in_order` one after the other."""

    def __init__(self, patterns: Sequence[Pattern], *, in_order: bool) -> None:
        self._patterns = patterns
        self._in_order = in_order
        self._numbers = [array("q") for _ in patterns]

    def span(self, span: SeenSpan) -> None:
        """Note which of the required spans it is."""
        for pattern, numbers in zip(self._patterns, self._numbers, strict=True):
            if pattern.fits(span):
                numbers.append(span.number)

    def found(self, run: Run) -> Iterator[Found]:
        """Yield what was missing, or the first that came too early."""
        del run
        reached, before = 0, ""
        proof: list[int] = []
        for pattern, numbers in zip(self._patterns, self._numbers, strict=True):
            ordered = sorted(numbers)
            if not ordered:
                yield Found(pattern.subject, f"there was no {pattern.text}", proof[-1:], detail=pattern.text)
                if self._in_order:
                    return
                continue
            place = bisect_right(ordered, reached)
            if self._in_order and place == len(ordered):
                what = f"{pattern.text} came before {before} and not after it"
                yield Found(pattern.subject, what, [ordered[0], *proof[-1:]], detail=pattern.text)
                return
            if self._in_order:
                reached, before = ordered[place], pattern.text
                proof.append(reached)


class Calls(Quiet):
    """`calls`: at least and at most so many of these."""

    def __init__(self, pattern: Pattern, at_least: int, at_most: int | None) -> None:
        self._pattern = pattern
        self._at_least = at_least
        self._at_most = at_most
        self._numbers = array("q")
        self._last: SeenSpan | None = None

    def span(self, span: SeenSpan) -> None:
        """Count the span if it is one of those meant."""
        if self._pattern.fits(span):
            self._numbers.append(span.number)
            if self._last is None or span.number > self._last.number:
                self._last = span

    def found(self, run: Run) -> Iterator[Found]:
        """Yield whether there were too few or too many."""
        del run
        count = len(self._numbers)
        site = self._last.call_site if self._last else None
        if self._at_most is not None and count > self._at_most:
            beyond = sorted(self._numbers)[self._at_most :][:LISTED]
            what = f"{self._pattern.text}: {count:,} times; at most {self._at_most:,} are allowed"
            yield Found(self._pattern.subject, what, beyond, site, "at_most")
        elif count < self._at_least:
            what = f"{self._pattern.text}: {count:,} times; at least {self._at_least:,} are wanted"
            yield Found(self._pattern.subject, what, sorted(self._numbers), site, "at_least")


class SpanAssert(Noting):
    """`assert` on spans: it must be true of each of them."""

    def __init__(self, expression: Expression, pattern: Pattern) -> None:
        super().__init__()
        self._expression = expression
        self._pattern = pattern
        self._asked = False

    def span(self, span: SeenSpan) -> None:
        """Evaluate the expression for a span."""
        if not self._pattern.fits(span):
            return
        self._asked = True
        scope = span.scope()
        if not self._expression.matches(scope):
            what = f"{span.words}: {broken(self._expression, scope)}"
            self._kept.add(Found(span.subject, what, [span.number], span.call_site))

    def idle(self, run: Run) -> str:
        """Return whether there was no such span."""
        del run
        return "" if self._asked else f"there was no {self._pattern.text}"


class EventAssert(Noting):
    """`assert` on events: it must be true of each of them."""

    def __init__(self, expression: Expression, condition: Expression | None) -> None:
        super().__init__()
        self._expression = expression
        self._condition = condition
        self._asked = False
        read = expression.names if condition is None else expression.names | condition.names
        self._costs = CallCosts() if "cost_estimate" in read else None

    def event(self, number: int, event: Event) -> None:
        """Evaluate the expression for an event."""
        if self._costs is not None:
            event = priced(event, self._costs.of(event))
        if self._condition is not None and not self._condition.matches_event(number, event):
            return
        self._asked = True
        if not self._expression.matches_event(number, event):
            site = event.get("call_site")
            kind, name = str(event.get("event_type", "")), event.get("component_name")
            words = f"{kind} {name}" if isinstance(name, str) else kind
            self._kept.add(
                Found(
                    kind,
                    f"{words}: {broken(self._expression, event_scope(number, event))}",
                    [number],
                    site if isinstance(site, str) else None,
                )
            )

    def idle(self, run: Run) -> str:
        """Return whether there was no such event."""
        del run
        return (
            "" if self._asked or self._condition is None else f"there was no event if {self._condition.text}"
        )


Validate = Callable[[Any], Sequence[tuple[str, str]]]
"""Validates a value: the paths in it that are wrong, each with what is wrong there."""

NO_VALUE: Final = "there is no value to compare with the schema"


class SchemaAssert(Noting):
    """`schema`: a value of each of these spans must fit a JSON schema."""

    def __init__(self, validate: Validate, value: Expression, pattern: Pattern) -> None:
        super().__init__()
        self._validate = validate
        self._value = value
        self._pattern = pattern
        self._asked = False

    def span(self, span: SeenSpan) -> None:
        """Validate the value of a span."""
        if not span.end or span.failed or not self._pattern.fits(span):
            return
        self._asked = True
        value = self._value.evaluate(span.scope())
        problems = [("", NO_VALUE)] if value is None else self._validate(value)
        for place, what in problems[:5]:
            where = f"{self._value.text}{place}"
            numbers = [span.end_number or span.number]
            self._kept.add(
                Found(span.subject, f"{span.words}: {where}: {what}", numbers, span.call_site, place)
            )

    def idle(self, run: Run) -> str:
        """Return whether no such span had an output."""
        del run
        return "" if self._asked else f"there was no {self._pattern.text} with an output"
