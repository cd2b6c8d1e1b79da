"""Rules about the state of a run: what its analysis must report, and what must not be in it.

The analysis is read by the names of its sections. A missing section or key is an error of the rule. Otherwise it would
count as null, which can be compared with everything: the rule would always be kept, or always broken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.checks.budgets import measure_run, refuse_unpriced
from namel3ss_debug.analysis.checks.conduct import BaseWatcher, CollectingWatcher
from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.checks.measures import MEASURES, CheckedRun
from namel3ss_debug.analysis.checks.messages import describe_broken, iter_values
from namel3ss_debug.analysis.findings import format_subject
from namel3ss_debug.analysis.sections.handled import name_of_handled
from namel3ss_debug.errors import RuleError, short
from namel3ss_debug.expressions import nearest
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.expressions import Expression
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.redaction.redactor import Redactor

_BY_NAME = frozenset({"component_breakdown", "event_type_breakdown"})
"""Sections whose keys are names of the run."""

_LONGEST = 160
_COSTS: Final = frozenset({"cost", "execution_overview.cost", "resource_usage.cost.total"})
_EVIDENCE: Final = (
    *(("errors", "failures"), ("integrity", "findings"), ("patterns", "found")),
    ("handled_exceptions", "sites"),
)
"""The lists in the sections that name the events behind their figures."""


class RunAssert(BaseWatcher):
    """`assert` on the run: it must be true of the analysis and of the measures of the run."""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield a violation where the expression is not true.

        Raises:
            RuleError: the expression reads a key that its section does not have.
        """
        document = run.document
        refuse_unknown_keys(self._expression, document)
        reads_measures = not self._expression.names.isdisjoint(MEASURES)
        scope = {**measure_run(run), **document} if reads_measures else document
        if self._expression.matches(scope):
            return
        unknown = {path for path, value in iter_values(self._expression, scope) if value is None}
        if unknown & _COSTS:
            refuse_unpriced(run.document, self._expression.text)
        yield Violation("run", describe_broken(self._expression, scope), self._evidence(run))

    def _evidence(self, run: CheckedRun) -> list[int]:
        """Return the events behind the figures of the sections that the expression reads."""
        numbers: list[int] = []
        for section, key in _EVIDENCE:
            if section in self._expression.names:
                rows = run.document.get(section, {}).get(key) or []
                numbers += [number for row in rows for number in row.get("numbers") or [row.get("number")]]
        return sorted({number for number in numbers if isinstance(number, int)})


def refuse_unknown_keys(expression: Expression, document: Mapping[str, Any]) -> None:
    """Refuse `errors.totl`: a key that its section does not have.

    Raises:
        RuleError: there is such a key.
    """
    for path, _ in iter_values(expression, document):
        name, _, rest = path.partition(".")
        key, section = rest.partition(".")[0], document.get(name)
        if key and isinstance(section, dict) and name not in _BY_NAME and key not in section:
            hint = nearest(key, set(section)) or f"; there are {', '.join(section)}"
            raise RuleError(f"the section {name} has no {key!r}{hint}")


class NoFailures(BaseWatcher):
    """`no: failures`: nothing failed for good, or nothing of some categories."""

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = categories

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the failures."""
        errors = run.document["errors"]
        for row in errors["failures"]:
            if self._categories and row["category"] not in self._categories:
                continue
            subject = format_subject(row)
            reason = ": ".join(str(row[key]) for key in ("error_type", "error") if row[key])
            yield Violation(
                subject,
                f"{subject.replace(':', ' ', 1)} failed ({row['category']})"
                + (f": {short(reason, _LONGEST)}" if reason else ""),
                sorted({row["number"], row["end_number"]}),
                row["call_site"],
                row["fingerprint"],
            )
        missing = errors["total_errors"] - len(errors["failures"])
        if missing > 0 and (
            not self._categories or any(errors["error_categories"].get(c) for c in self._categories)
        ):
            yield Violation(
                "run", f"the run failed {missing:,} times more than are listed", detail="more", times=missing
            )


class NoOpenSpans(BaseWatcher):
    """`no: open_spans`: everything that began ended, and so did the run."""

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the run where it was killed, and the innermost spans that never ended."""
        overview, errors = run.document["execution_overview"], run.document["errors"]
        if overview["status"] == "killed":
            last = overview["events"]
            yield Violation(
                "run", f"the run never ended: the last event is {last:,}", [last], detail="killed"
            )
        for row in errors["open_spans"]:
            if row["innermost"]:
                subject = format_subject(row)
                yield Violation(
                    subject,
                    f"{subject.replace(':', ' ', 1)} never ended",
                    [row["number"]],
                    row["call_site"],
                )


class NoLoops(BaseWatcher):
    """`no: loops`: nothing was done over and over."""

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the loops in the section `patterns`."""
        for row in run.document["patterns"]["found"]:
            if row["kind"] == "loop":
                subject = format_subject(row)
                what = (
                    f"{subject.replace(':', ' ', 1)} repeated in a loop ({row['form']}, {row['count']} calls)"
                )
                yield Violation(subject, what, row["numbers"], None, f"loop {row['form']}")


class NoHandledExceptions(BaseWatcher):
    """`no: handled_exceptions`: the program handled no exceptions but those of some types in some functions."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the handled exceptions that are not allowed, each type once in each function."""
        rows = run.document["handled_exceptions"]["sites"]
        for row in rows:
            name = name_of_handled(row)
            if name in self._allowed:
                continue
            subject = f"function:{row['function']}"
            error = short(": ".join(filter(None, (row["error_type"], row["error"]))), _LONGEST)
            returned = "" if row["returned"] is None else f" and returned {row['returned']}"
            what = f"{row['function']} handled {error}{returned}"
            yield Violation(subject, what, row["numbers"], row["call_site"], name, row["times"])


class Triggered(BaseWatcher):
    """`trigger`: none of the thresholds of the setting `triggers` was exceeded.

    The section `triggers` evaluates the same rules, so `analyze`, the health and a check agree.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the thresholds that were exceeded."""
        for row in run.document["triggers"]["triggered"]:
            if row["rule"] in self._names:
                what = f"{row['rule'].replace('_', ' ')}: {row['value']:g} is over {row['threshold']:g} {row['unit']}"
                what += f" ({row['what']})" if row["what"] else ""
                yield Violation(
                    format_subject(row), what, row["numbers"], detail=row["rule"], times=row["times"]
                )

    def describe_idle(self, run: CheckedRun) -> str:
        """Return why none of the rules could be evaluated; "" where one was."""
        rules = [row for row in run.document["triggers"]["rules"] if row["rule"] in self._names]
        if any(row["state"] in {"ok", "triggered"} for row in rules):
            return ""
        return "; ".join(row["reason"] or f"{row['rule']} is switched off" for row in rules)


class NoSecrets(CollectingWatcher):
    """`no: secrets`: the trace holds nothing that redaction recognises as a secret.

    The secrets are never reported, only which rule recognises them and where they are.
    """

    _RULE = re.compile(r"\[REDACTED:([\w.\-]{1,64})\]")
    _FIELDS = ("inputs", "outputs", "metadata", "error", "stack_trace")

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def event(self, number: int, event: Event) -> None:
        """Search the payloads of an event."""
        for field in self._FIELDS:
            if field not in event:
                continue
            for path, rule in self._secrets(event[field], field):
                name = event.get("component_name")
                subject = f"{event['component']}:{name}" if isinstance(name, str) else event["component"]
                site = event.get("call_site")
                self._violations.add(
                    Violation(
                        subject,
                        f"{subject.replace(':', ' ', 1)} has a secret ({rule}) in {path}",
                        [number],
                        site if isinstance(site, str) else None,
                        f"{rule} {path}",
                    )
                )

    def _secrets(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        """Yield the paths of secrets with the rules that recognise them; no recursion, because depth is not bounded."""
        todo = [(value, path)]
        while todo:
            value, path = todo.pop()
            if isinstance(value, str):
                for rule in self._rules(value):
                    yield path, rule
            elif isinstance(value, list):
                todo += [(item, f"{path}[]") for item in value]
            elif isinstance(value, dict):
                for key, item in value.items():
                    below = f"{path}.{key[:40]}"
                    if self._redactor.field_is_secret(key, item) and self._is_bare(item):
                        yield below, "key"
                    else:
                        todo.append((item, below))

    def _is_bare(self, value: object) -> bool:
        """Return whether the value of a key with a secret name is readable: it was not redacted."""
        if isinstance(value, str):
            return bool(value) and not self._RULE.search(value)
        return lenient.is_number(value)

    def _rules(self, text: str) -> Iterator[str]:
        """Yield the rules that redaction would apply to a text, apart from those applied before."""
        redacted = self._redactor.text(text)
        if redacted != text:
            new = Counter(self._RULE.findall(redacted))
            new.subtract(self._RULE.findall(text))
            yield from sorted(rule for rule, count in new.items() if count > 0)


STATES: Final[dict[str, tuple[str, ...]]] = {
    "failures": ("errors",),
    "open_spans": ("errors", "execution_overview"),
    "loops": ("patterns",),
    "handled_exceptions": ("handled_exceptions",),
    "secrets": (),
}
"""The values of `no`, and the sections that each reads."""
