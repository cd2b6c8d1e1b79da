"""The differences at one place of two runs: their kinds, their events, and what exactly differs there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.diff.requests import (
    HISTORY,
    INSTRUCTIONS,
    QUESTION,
    answer_field,
    classify_messages,
    request_field,
)
from namel3ss_debug.analysis.diff.rows import NEVER, NO_ROW, OPEN, Rows
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conversations import MessageChange, diff_messages
from namel3ss_debug.wire.value_changes import PathChange, diff_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.diff.alignment import RowPair
    from namel3ss_debug.analysis.diff.masks import Masks
    from namel3ss_debug.traces.events import Event

ARGUMENTS: Final = "arguments"
RESULT: Final = "result"
PATH: Final = "path"
ORDER: Final = "order"
MODEL: Final = "model"
PROMPT: Final = "prompt"
CONTEXT: Final = "context"
RETRY: Final = "retry"
STATUS: Final = "status"
ADDED: Final = "added"
MISSING: Final = "missing"

KINDS: Final[Mapping[str, str]] = {
    ARGUMENTS: "the same call with other arguments",
    RESULT: "the same call had another result",
    PATH: "another call was made in its place",
    ORDER: "the same call, earlier or later among its neighbours",
    MODEL: "another model, or other parameters of it",
    PROMPT: "the model got another prompt",
    CONTEXT: "the model read other answers or results of what came before",
    RETRY: "another number of attempts",
    STATUS: "it ended with another status",
    ADDED: "only the second run did this",
    MISSING: "only the first run did this",
}
"""The kinds of differences, and what each means."""

PARTS: Final = ("model", "parameters", INSTRUCTIONS, QUESTION, "tools", HISTORY, "other")
"""The parts of a request to a model, as named by `Part.name`."""

_MESSAGES: Final = (INSTRUCTIONS, QUESTION, HISTORY)
_KEYS: Final = {"model": ("model",), "parameters": ("params",), "tools": ("tools",)}
_PARTS_OF_KIND: Final = {
    MODEL: frozenset({"model", "parameters"}),
    PROMPT: frozenset({INSTRUCTIONS, QUESTION, "tools"}),
    CONTEXT: frozenset({HISTORY, "other"}),
}

_WORD: Final = re.compile(r"[^\W_]+(?:[.:-][^\W_]+)*")
_LEAST_WORD: Final = 4

ANSWERS: Final = frozenset({RESULT, STATUS})
"""The kinds that show when a call ends; the others show when it begins."""


class Part(NamedTuple):
    """One part of a request to a model in which something differs.

    Attributes:
        name: `model`, `parameters`, `instructions`, `question`, `tools`, `history` or `other`.
        messages: the messages of this part in both requests, the same ones as well.
        paths: the first places that differ outside of messages.
    """

    name: str
    messages: tuple[MessageChange, ...] = ()
    paths: tuple[PathChange, ...] = ()


@dataclass(frozen=True)
class Detail:
    """What exactly differs, with ids, times and the like masked.

    Attributes:
        parts: of two requests to a model, the parts that belong to the kind of the difference.
        paths: of other events, the first places that differ, as JSON paths in the inputs or the outputs.
        events: the two events themselves; None on a side without one.
    """

    parts: tuple[Part, ...] = ()
    paths: tuple[PathChange, ...] = ()
    events: tuple[Event | None, Event | None] = (None, None)

    @property
    def messages(self) -> list[MessageChange]:
        """Return the messages of two requests that differ."""
        return [change for part in self.parts for change in part.messages if change.kind != "same"]

    @property
    def all_paths(self) -> tuple[PathChange, ...]:
        """Return all paths that differ, those in the parts of a request as well."""
        return (*(change for part in self.parts for change in part.paths), *self.paths)


@dataclass(frozen=True)
class RunDifference:
    """One difference between two runs.

    Attributes:
        kind: one of `KINDS`.
        component: the component: `llm`, `tool`, ...
        event_type: the event type, without `_start` and `_end`.
        name_a, name_b: what was called in either run; None where there was no call, or it has no name.
        number_a, number_b: the events that show it; None where a run has no event there.
        where: the spans around it, from the outermost.
        lasting: whether the runs did not go on the same after it.
        recovered: of a retry, whether the call succeeded in the end in both runs.
        attempts: of a retry, how many there were in either run.
        carried_from: of a prompt or a context, the event of the second run at which the model first read all that
            differs here; None where something of it is new.
        detail: what differs; None where it was not read.
    """

    kind: str
    component: str
    event_type: str
    name_a: str | None
    name_b: str | None
    number_a: int | None
    number_b: int | None
    where: tuple[str, ...]
    lasting: bool = False
    recovered: bool | None = None
    attempts: tuple[int, int] | None = None
    carried_from: int | None = None
    detail: Detail | None = None

    @property
    def name(self) -> str | None:
        """Return the name of what was called: that of the second run, else that of the first."""
        return self.name_b or self.name_a

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON."""
        detail = self.detail or Detail()
        return {
            "kind": self.kind,
            "component": self.component,
            "component_name": self.name,
            "event_type": self.event_type,
            "a": None if self.number_a is None else {"number": self.number_a, "component_name": self.name_a},
            "b": None if self.number_b is None else {"number": self.number_b, "component_name": self.name_b},
            "where": list(self.where),
            "lasting": self.lasting,
            "recovered": self.recovered,
            "attempts": None if self.attempts is None else list(self.attempts),
            "carried_from": self.carried_from,
            "changed": [part.name for part in detail.parts],
            "messages": [change._asdict() for change in detail.messages],
            "paths": [change._asdict() for change in detail.all_paths],
        }


def find_kinds(pair: RowPair, one: Rows, other: Rows, *, payloads: bool) -> tuple[str, ...]:
    """Return the kinds of the differences of a pair of rows, except `ORDER`; those that show first come first."""
    a, b = pair.a, pair.b
    if pair.same:
        return ()
    if a == NO_ROW:
        return (ADDED,)
    if b == NO_ROW:
        return (MISSING,)
    was, now = one.kind_of(a), other.kind_of(b)
    kinds: list[str] = []
    if was.component == now.component == "llm":
        kinds += _find_request_kinds(one, a, other, b)
    elif was.name != now.name or was.type != now.type:
        return (PATH,)
    elif one.request[a] != other.request[b]:
        kinds.append(ARGUMENTS if one.end_number[a] != one.number[a] else RESULT)
    if not payloads:
        kinds = [MODEL] if was.name != now.name else []
    if one.attempts[a] != other.attempts[b]:
        kinds.append(RETRY)
    if one.status_of(a) != other.status_of(b):
        kinds.append(STATUS)
    elif payloads and one.answer[a] != other.answer[b]:
        kinds.append(RESULT)
    return tuple(kinds)


def _find_request_kinds(one: Rows, a: int, other: Rows, b: int) -> list[str]:
    """Return the kinds in which two requests to a model differ."""
    kinds = []
    if one.kind_of(a).name != other.kind_of(b).name or one.settings[a] != other.settings[b]:
        kinds.append(MODEL)
    if one.prompt[a] != other.prompt[b]:
        kinds.append(PROMPT)
    if one.request[a] != other.request[b]:
        kinds.append(CONTEXT)
    return kinds


def make_difference(kind: str, pair: RowPair, one: Rows, other: Rows, *, lasting: bool) -> RunDifference:
    """Return one difference of a pair of rows, without its detail."""
    a, b = pair.a, pair.b
    row_kind = other.kind_of(b) if b != NO_ROW else one.kind_of(a)
    retried = kind == RETRY
    return RunDifference(
        kind=kind,
        component=row_kind.component,
        event_type=row_kind.type,
        name_a=None if a == NO_ROW else one.kind_of(a).name,
        name_b=None if b == NO_ROW else other.kind_of(b).name,
        number_a=_event_number(one, a, kind),
        number_b=_event_number(other, b, kind),
        where=one.path_of(a) if b == NO_ROW else other.path_of(b),
        lasting=lasting,
        recovered=one.status_of(a) == other.status_of(b) == "completed" if retried else None,
        attempts=(one.attempts[a], other.attempts[b]) if retried else None,
    )


def _event_number(rows: Rows, row: int, kind: str) -> int | None:
    """Return the number of the event of a row that shows a difference of this kind."""
    if row == NO_ROW:
        return None
    if kind == RETRY:
        return rows.first_attempt[row]
    if kind in ANSWERS and rows.end_number[row] != NEVER:
        return rows.end_number[row]
    return rows.number[row]


def make_detail(kind: str, old: Event | None, new: Event | None, masks: Masks) -> Detail:
    """Return what exactly differs between the two events of a difference.

    Args:
        kind: its kind.
        old: the event of the first run.
        new: that of the second.
        masks: what is not compared.
    """
    events = (old, new)
    if old is None or new is None or kind in {ORDER, RETRY}:
        return Detail(events=events)
    if kind in _PARTS_OF_KIND:
        parts = find_changed_parts(old, new, masks)
        return Detail(tuple(part for part in parts if part.name in _PARTS_OF_KIND[kind]), (), events)
    if kind == STATUS:
        return Detail((), diff_values(_compared_ending(old, masks), _compared_ending(new, masks)), events)
    of_answer = kind == RESULT and not str(new.get("event_type")).endswith("_start")
    sides = []
    for event in (old, new):
        field, compared = _compared_field(event, of_answer=of_answer)
        sides.append(masks.mask(compared, field))
    return Detail((), diff_values(sides[0], sides[1]), events)


def pair_messages(old: Event, new: Event, masks: Masks) -> tuple[MessageChange, ...]:
    """Return the messages of two requests to a model, paired."""
    return diff_messages(_messages(old, masks), _messages(new, masks))


def find_changed_parts(old: Event, new: Event, masks: Masks) -> list[Part]:
    """Return the parts of two requests to a model in which they differ.

    A message that belongs to different parts in the two requests counts for the first of these parts.
    """
    before, after = _messages(old, masks), _messages(new, masks)
    changes = diff_messages(before, after)
    was, now = classify_messages(before), classify_messages(after)
    of_change = [
        min(
            {was[change.before] if change.before is not None else HISTORY}
            | {now[change.after] if change.after is not None else HISTORY},
            key=_MESSAGES.index,
        )
        for change in changes
    ]
    paths = _diff_beside_messages(old, new, masks)
    parts = []
    for name in PARTS:
        messages = tuple(change for change, part in zip(changes, of_change, strict=True) if part == name)
        if all(change.kind == "same" for change in messages):
            messages = ()
        if messages or paths.get(name):
            parts.append(Part(name, messages, paths.get(name, ())))
    return parts


def _messages(event: Event, masks: Masks) -> list[Any]:
    """Return the masked messages of a request to a model."""
    inputs = lenient.mapping(event.get("inputs"))
    return lenient.sequence(masks.mask(inputs, "inputs").get("messages"))


def _diff_beside_messages(old: Event, new: Event, masks: Masks) -> dict[str, tuple[PathChange, ...]]:
    """Return what differs in two requests beside their messages, by part."""
    sides = [masks.mask(lenient.mapping(event.get("inputs")), "inputs") for event in (old, new)]
    changes = {}
    for name, keys in _KEYS.items():
        before, after = ({key: side[key] for key in keys if key in side} for side in sides)
        changes[name] = diff_values(before, after)
    known = {"messages", *(key for keys in _KEYS.values() for key in keys)}
    changes["other"] = diff_values(*(_without(side, known) for side in sides))
    if old.get("component_name") != new.get("component_name") and not changes["model"]:
        names = old.get("component_name"), new.get("component_name")
        changes["model"] = (PathChange("$.model", "changed", *names),)
    return changes


def _compared_field(event: Event, *, of_answer: bool) -> tuple[str, Any]:
    """Return the field of an event that holds its request or its answer, and the value with the error in it."""
    if of_answer and str(event.get("event_type")).endswith("_end"):
        field, compared = answer_field(event)
        error = {key: event[key] for key in ("error_type", "error") if key in event}
        if error:
            compared = compared | error if isinstance(compared, dict) else error
        return field, compared
    if of_answer:
        return "metadata", {
            key: event[key] for key in ("inputs", "outputs", "metadata", "error") if key in event
        }
    return request_field(event)


def _compared_ending(event: Event, masks: Masks) -> Any:
    """Return the masked fields of an event that show how a span ended."""
    if str(event.get("event_type")).endswith("_start"):
        return {"status": OPEN}
    compared: dict[str, Any] = {
        key: value for key in ("status", "error_type", "error") if (value := event.get(key)) is not None
    }
    field, answer = answer_field(event)
    if field == "outputs":
        compared[field] = answer
    return masks.mask(compared, "")


def _without(value: Any, left_out: set[str]) -> Any:
    return (
        {key: item for key, item in value.items() if key not in left_out}
        if isinstance(value, dict)
        else value
    )


def find_duplicates(differences: Iterable[RunDifference]) -> list[int]:
    """Return the indexes of differences that only repeat the other difference of the same two events.

    A message that is part of the context in one request and of the prompt in the other changes both, but is one change.
    """
    detailed = [
        (index, difference) for index, difference in enumerate(differences) if difference.detail is not None
    ]
    explained = {
        (difference.number_a, difference.number_b)
        for _, difference in detailed
        if difference.kind in {PROMPT, CONTEXT} and difference.detail and difference.detail.parts
    }
    return [
        index
        for index, difference in detailed
        if difference.kind in {PROMPT, CONTEXT}
        and not (difference.detail and difference.detail.parts)
        and (difference.number_a, difference.number_b) in explained
    ]


def mark_lasting_values(
    differences: Sequence[RunDifference], effects: Sequence[RunDifference]
) -> list[RunDifference]:
    """Return the differences, where those last as well that have a value which a later difference has again.

    The next steps may be the same although the value matters: a program keeps a result, and uses it much later. A word
    or number counts that only one run has in both differences.

    Args:
        differences: the differences of calls, in order, with their details.
        effects: what the programs printed, which comes after all of them.
    """
    later = _own_words(effects[0]) if effects else (set[str](), set[str]())
    for effect in effects[1:]:
        later = (later[0] | _own_words(effect)[0], later[1] | _own_words(effect)[1])
    marked = []
    for difference in reversed(differences):
        words = _own_words(difference)
        side = (
            1 if words[1] else 0
        )  # what the first run has may be the usual value, which many differences drop
        returns = difference.kind != RETRY and not words[side].isdisjoint(later[side])
        later = (later[0] | words[0], later[1] | words[1])
        marked.append(replace(difference, lasting=True) if returns else difference)
    return marked[::-1]


def _own_words(difference: RunDifference) -> tuple[set[str], set[str]]:
    """Return the words and numbers of a difference that only the first, and that only the second run has there."""
    detail = difference.detail or Detail()
    sides = [(change.old, change.new) for change in detail.messages]
    sides += [(change.old, change.new) for change in detail.all_paths]
    old, new = ({word for side in sides for word in _words(side[index])} for index in (0, 1))
    return old - new, new - old


def _words(value: Any) -> Iterator[str]:
    """Yield the words of a value that are long enough to be the same on purpose, and its numbers in one spelling."""
    for word in _WORD.findall(lenient.dump(value).decode()):
        try:
            yield f"{float(word):g}"
        except ValueError:
            if len(word) >= _LEAST_WORD:
                yield word


def mark_carried_changes(differences: Iterable[RunDifference]) -> list[RunDifference]:
    """Return the differences, with `carried_from` set where the prompt or context differed before.

    A message is read again at every later call of the conversation, so most of these differences are not new.
    """
    known: dict[tuple[str, bytes, bytes], int] = {}
    marked: list[RunDifference] = []
    for difference in differences:
        detail = difference.detail or Detail()
        changes = [(change.kind, change.old, change.new) for change in detail.messages]
        changes += [(f"{change.kind} {change.path}", change.old, change.new) for change in detail.all_paths]
        keys = [
            (how, lenient.dump(old, ordered=True), lenient.dump(new, ordered=True))
            for how, old, new in changes
        ]
        number = difference.number_b or 0
        carried = difference.kind in {PROMPT, CONTEXT} and bool(keys) and all(key in known for key in keys)
        marked.append(
            replace(difference, carried_from=max(known[key] for key in keys)) if carried else difference
        )
        if difference.kind in _PARTS_OF_KIND:
            for key in keys:
                known.setdefault(key, number)
    return marked
