"""A failure and the steps before it, as the questions of `causes` need them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    SpanStep,
    contains,
    find_named,
    iter_leaves,
    may_contain,
    normal,
    read_json,
    search_text,
)
from namel3ss_debug.analysis.failures.wrapping import find_direct_causes, names_failure
from namel3ss_debug.errors import short
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conversations import is_continuation

MARKED = "marked"
"""The category of an event that only the user's mark calls wrong; it is explained as a wrong value is."""

MOST = 5
"""The most origins of a failure that are reported."""

SIGNALS: tuple[str, ...] = (
    "dependency_failed",
    "failed_inside",
    "sibling_failed",
    "answer_cut",
    "slow_call",
    "large_result",
    "empty_result",
    "added_argument",
    "gave_value",
    "given",
    "wrote_code",
    "wrote_argument",
    "message_cut",
    "context_changed",
    "error_result_used",
    "earlier_failure",
    "repeated_call",
    "last_inside",
    "decided",
    "retries_exhausted",
    "itself",
    "repeated_failure",
)
"""The kinds of causes, the strongest signal first; the table in `causes` explains each."""

STRONG, OWN, WEAK = range(3)
"""A strong signal ranks before the failure itself as its own cause, a weak one after it."""

OF_CALLEES = frozenset({"network", "timeout", "dependency", "rate_limit", "authentication"})
"""Categories of failures that begin with the service that is called, whatever the inputs of the call."""

_OF_ARGUMENTS = frozenset({"parameter", "malformed_output", MARKED})
_OF_ARGUMENTS_IF_RETURNED = frozenset({"tool", "logic", "unknown"})
_LONGEST_NAME = 40
_MOST_ADDED = 40
_CODE_KEYS = frozenset({"code", "script", "python_code", "code_snippet", "command", "sql"})
_LONGEST_TYPE = 60
_OF_CODE = frozenset({"KeyError", "IndexError", "LookupError", "AttributeError", "TypeError"})
_LONGEST_ANSWER = 4_000
_CLAIM = re.compile(r"(?<![\w.])(?:[A-Za-z]{1,12}-)*\d(?:[\w-]|[.,:](?=\d))*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\b")


class SuspectedCause(NamedTuple):
    """An earlier event that may have caused a failure.

    Attributes:
        number: the number of its span's start event.
        component, name: those of its span.
        kind: one of the table in `causes`.
        reason: what it did, as text that follows its name: `llm gpt-4o` `wrote city='Pari'`.
        strength: a sort key, the strongest first: `STRONG`, `OWN` or `WEAK`, the index in `SIGNALS`, and a rank among
            causes of one kind; for the cause of a cause, the strengths of both.
        events: the numbers of the events that show it.
        value: the value that was passed on, with its name; None where there was none.
    """

    number: int
    component: str
    name: str
    kind: str
    reason: str
    strength: tuple[float, ...]
    events: tuple[int, ...]
    value: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the cause as JSON."""
        return {
            "number": self.number,
            "component": self.component,
            "component_name": self.name or None,
            "kind": self.kind,
            "reason": self.reason,
            "evidence": {"events": list(self.events), "value": self.value},
        }


class FailureInfo(NamedTuple):
    """What is known of a failure besides its span.

    Attributes:
        category: one of `categories.CATEGORIES`, or `MARKED`.
        error: its message.
        attempts: the numbers of all attempts of the call.
        before: the number of the first failure of the same fingerprint; None where this is the first.
        claimed: whether the span itself claims success.
    """

    category: str
    error: str
    attempts: Sequence[int] = ()
    before: int | None = None
    claimed: bool = False


def get_failure_info(step: SpanStep) -> FailureInfo | None:
    """Return what is known of the failure of a step; None where it neither failed nor returned an error."""
    if step.info is False:
        step.info = _compute_failure_info(step)
    assert step.info is None or isinstance(step.info, FailureInfo)
    return step.info


def error_type_of(step: SpanStep) -> str | None:
    """Return the type of the exception that a step failed with, or whose text it returned; None if not known."""
    return step.claim.error_type if step.claim else lenient.string(step.end.get("error_type")) or None


def failed_with(step: SpanStep) -> str:
    """Return the words for a failed step: `failed with KeyError`, or `failed` if the type is not known."""
    error_type = error_type_of(step)
    return f"failed with {short(error_type, _LONGEST_TYPE)}" if error_type else "failed"


def _compute_failure_info(step: SpanStep) -> FailureInfo | None:
    """Return what is known of the failure of a step, without a cache."""
    claim = step.claim
    if not step.failed and claim is None:
        return None
    error_type = error_type_of(step)
    words = (claim.error if claim else lenient.string(step.end.get("error"))) or ""
    code = claim.http_status if claim else http_status(step.end)
    status = None if claim else lenient.string(step.end.get("status"))
    category = categorise(error_type, words, http_status=code, status=status, component=step.component)
    return FailureInfo(category, words, claimed=claim is not None)


class FailureView:
    """A failure with the steps before it, and data that several questions need.

    Attributes:
        failed: the step that failed.
        info: what else is known of the failure.
        ended: the steps that had ended before the failure, by number.
        ahead: those of them that had ended before the failed span began.
        inside: those that ran inside it.
        reported: the numbers of those whose failure it reports, where it is a report.
        last_good: component and name -> the number of their latest call that succeeded.
        leaves: the values that it was called with; only those that a model wrote, where that is known. Of an answer that is
            marked bad, the numbers and identifiers in it.
        added: the values that the program added to what the model wrote.
        writer: the model that wrote its arguments; of an answer that is marked bad, its own.
        culprit: the value among these that most likely caused the failure.
        named_added: the value among those added that the error names, where it names none that the model wrote.
        wrote_code: whether the call ran code that a model wrote: its failure is that of the code.
        of_callee: whether the service that it called explains the failure.
        of_arguments: whether its arguments explain the failure: the error names one, or the category is about them. A call
            that returned an error as its result has checked its inputs; an exception need not be about them.
        in_code: whether it is an exception of the tool's own code, such as a missing key, that names no value of its
            arguments.
    """

    def __init__(self, failed: SpanStep, info: FailureInfo, before: Sequence[SpanStep]) -> None:
        self.failed, self.info = failed, info
        self.ended = [
            step for step in before if step.end_number and step.end_number < reporting_number(failed)
        ]
        self.inside = _find_inside(failed, self.ended)
        self.last_good = {
            (step.component, step.name): step.number for step in self.ended if get_failure_info(step) is None
        }
        self.leaves = list(iter_leaves(failed.arguments)) if failed.component != "llm" else []
        self.added: list[Leaf] = []
        self.ahead = [step for step in self.ended if step.end_number < failed.number or not failed.start]
        self.reported = frozenset() if failed.start else _find_reported(failed, info, self.ended)
        self.writer, wrote = find_writer(failed, self.ahead, self.leaves)
        if wrote is not None:
            self.added = find_added(failed, wrote)
            self.leaves = list(iter_leaves(wrote)) if wrote else []
        if failed.component == "llm" and info.category == MARKED:
            self.writer, self.leaves = failed, list(find_claims(failed))
        self.culprit = self._find_named()
        named = find_named(info.error, self.added) if self.culprit is None else []
        self.named_added = named[0][1] if named else None
        if self.culprit is None and not named and info.category in {"parameter", MARKED}:
            self.culprit = self._find_suspect()
        code = [leaf for leaf in self.leaves if _is_code(leaf)] if self.writer is not None else []
        self.wrote_code = bool(code) and info.category not in OF_CALLEES
        if self.wrote_code:
            self.culprit = code[0]
        self.in_code = self.culprit is None and info.category == "parameter" and _raised_by_code(failed, info)
        self.of_callee = info.category in OF_CALLEES
        categories = _OF_ARGUMENTS | _OF_ARGUMENTS_IF_RETURNED if info.claimed else _OF_ARGUMENTS
        self.of_arguments = not (self.of_callee or named) and (
            self.culprit is not None or (info.category in categories and not self.in_code)
        )

    def is_invented(self, leaf: Leaf) -> bool:
        """Return whether the model wrote a value that nothing it had read contains, in any form."""
        return self.writer is not None and bool(self.writer.inputs_text) and not self.may_have_read(leaf)

    def may_have_read(self, leaf: Leaf) -> bool:
        """Return whether the model that wrote the arguments may have read a value, in any form."""
        return self._has_read(leaf, may_contain)

    def had_read(self, leaf: Leaf) -> bool:
        """Return whether the writer had read a value, in this request or in an earlier one that its provider keeps."""
        return self._has_read(leaf, contains)

    def _has_read(self, leaf: Leaf, contains_value: Callable[[str, Leaf], bool]) -> bool:
        """Return whether the writer of the arguments had read a value, as `contains_value` decides."""
        writer = self.writer
        if writer is None:
            return False
        if contains_value(writer.inputs_text, leaf):
            return True
        return is_continuation(writer.start.get("inputs")) and any(
            contains_value(step.inputs_text, leaf) or contains_value(step.outputs_text, leaf)
            for step in self.ahead
            if step.end_number < writer.number
        )

    def _find_named(self) -> Leaf | None:
        """Return the value that the error names: an invented one, else one in quotes, else the longest."""
        named = find_named(self.info.error, self.leaves)
        ranked = sorted(named, key=lambda item: (not self.is_invented(item[1]), not item[0]))
        return ranked[0][1] if ranked else None

    def _find_suspect(self) -> Leaf | None:
        """Return a value without content where one is needed, such as an empty text, null or 0; else an invented name.

        Of an answer it is the first number or identifier that its model made up. A number of one digit is often a count.
        """
        if self.writer is self.failed:
            claims = (leaf for leaf in self.leaves if len(str(leaf.value)) > 1)
            return next((leaf for leaf in claims if self.is_invented(leaf)), None)
        for leaf in self.leaves:
            if leaf.value in (None, "", [], {}) or (leaf.value == 0 and leaf.value is not False):
                return leaf
        return next((leaf for leaf in self.leaves if _is_name(leaf.value) and self.is_invented(leaf)), None)


def _is_code(leaf: Leaf) -> bool:
    """Return whether an argument is code to run, as that of `python_interpreter` of smolagents."""
    return isinstance(leaf.value, str) and leaf.key in _CODE_KEYS


def find_claims(answer: SpanStep) -> Iterator[Leaf]:
    """Yield the numbers and identifiers in the text of an answer, each once."""
    text = lenient.string(lenient.mapping(answer.end.get("outputs")).get("text")) or ""
    for word in dict.fromkeys(match[0] for match in _CLAIM.finditer(text[:_LONGEST_ANSWER])):
        plain = word.replace(",", "")
        try:
            yield Leaf("", "", float(plain) if "." in plain else int(plain))
        except ValueError:
            yield Leaf("", "", word)


def find_added(step: SpanStep, wrote: dict[str, Any]) -> list[Leaf]:
    """Return the values of a call that its model did not write: those that the program or its framework added."""
    arguments = step.arguments
    if not isinstance(arguments, dict):
        return []
    return [
        leaf
        for name, value in arguments.items()
        if name not in wrote
        for leaf in islice(iter_leaves({name: value}), _MOST_ADDED)
    ]


def _raised_by_code(failed: SpanStep, info: FailureInfo) -> bool:
    """Return whether an exception is of a kind that a mistake in code raises, and mentions no argument."""
    kind = (lenient.string(failed.end.get("error_type")) or "").rpartition(".")[2]
    return not info.claimed and kind in _OF_CODE and "argument" not in info.error


def _is_name(value: object) -> bool:
    """Return whether a value looks like an id or a name, which a model cannot compose as it can a text or a date."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_NAME
        and " " not in value.strip()
        and not _DATE.match(value)
    )


def reporting_number(failed: SpanStep) -> int:
    """Return the number of the event that reports a failure."""
    return failed.end_number or failed.number


def _find_inside(failed: SpanStep, ended: Sequence[SpanStep]) -> list[SpanStep]:
    """Return the spans that ran inside a span, by number."""
    within = {failed.row} if failed.start else set()
    steps = []
    for step in sorted(ended, key=lambda step: step.number):
        if step.parent in within and step.number > failed.number:
            within.add(step.row)
            steps.append(step)
    return steps


def _find_reported(report: SpanStep, info: FailureInfo, ended: Sequence[SpanStep]) -> frozenset[int]:
    """Return the steps whose failure a report names, by the same text or by their exceptions."""
    causes, words = find_direct_causes(report.end.get("stack_trace")), normal(info.error)[:80]
    failures = [(step, failure) for step in ended if (failure := get_failure_info(step)) is not None]
    return frozenset(
        step.number
        for step, failure in failures
        if (words and words == normal(failure.error)[:80])
        or names_failure(info.error, causes, lenient.string(step.end.get("error_type")), failure.error)
    )


def find_writer(
    failed: SpanStep, ahead: Sequence[SpanStep], leaves: Sequence[Leaf]
) -> tuple[SpanStep | None, dict[str, Any] | None]:
    """Return the model that wrote the arguments of a span, and what it wrote where the call is known.

    Arguments that a framework adds to a call, such as its context, were not written by the model.
    """
    if not failed.start or failed.component == "llm":
        return None, None
    models = [step for step in reversed(ahead) if step.writes]
    inputs = failed.start.get("inputs")
    call_id = inputs.get("call_id") if isinstance(inputs, dict) else None
    if call_id:
        for step in models:
            for call in step.calls():
                if call.get("id") == call_id:
                    return step, _as_object(call.get("arguments"))
    arguments = failed.arguments
    for step in models:
        for call in step.calls():
            if call.get("name") == failed.name:
                wrote = read_json(call.get("arguments"))
                if wrote == arguments or _is_part(wrote, arguments):
                    return step, _as_object(wrote)
    traceable = [leaf for leaf in leaves if search_text(leaf)]
    best: tuple[int, SpanStep] | None = None
    for step in models:
        count = sum(contains(step.outputs_text, leaf) for leaf in traceable)
        if count and (best is None or count > best[0]):
            best = count, step
    return (best[1] if best and best[0] * 2 >= len(traceable) else None), None


def _as_object(wrote: Any) -> dict[str, Any] | None:
    """Return the arguments that a model wrote if they are an object."""
    wrote = read_json(wrote)
    return wrote if isinstance(wrote, dict) else None


def _is_part(wrote: Any, arguments: Any) -> bool:
    """Return whether a call has all the arguments that a model wrote, and others."""
    return (
        isinstance(wrote, dict)
        and isinstance(arguments, dict)
        and bool(wrote)
        and all(name in arguments and arguments[name] == value for name, value in wrote.items())
    )


def make_cause(
    step: SpanStep,
    kind: str,
    reason: str,
    events: tuple[int, ...],
    value: str | None = None,
    *,
    tier: int = STRONG,
    rank: float = 0,
    number: int | None = None,
) -> SuspectedCause:
    """Make a cause that names a step.

    Args:
        step: the step.
        kind: one of `SIGNALS`.
        reason: what it did.
        events: the numbers of the events that show it.
        value: the value that was passed on.
        tier: `STRONG`, `OWN` or `WEAK`.
        rank: the place among causes of the kind, the lowest first.
        number: the number of the event, where it is not that of the step.
    """
    strength = (tier, SIGNALS.index(kind), rank)
    return SuspectedCause(
        number or step.number, step.component, step.name, kind, reason, strength, events, value
    )


def sort_events(*numbers: int) -> tuple[int, ...]:
    """Return numbers of events in order, each once, without 0."""
    return tuple(sorted({number for number in numbers if number}))


def format_step(step: SpanStep) -> str:
    """Return a step as its component and name."""
    return f"{step.component} {step.name}".strip()


def shorten(words: str) -> str | None:
    """Return the beginning of a text; None where the text is empty."""
    return short(words, 120, "...") or None
