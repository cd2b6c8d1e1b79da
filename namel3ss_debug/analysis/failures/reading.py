"""Find what a model call read: results, answers of other models, documents, errors; and which messages it no longer read.

A program composes prompts: a user's message may hold the answers of three models. So texts are searched for everywhere but in
the assistant's messages, which are what the model itself wrote, and a text belongs to the first step that produced it. A
step that had read a text only passed it on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.failures.steps import (
    SpanStep,
    iter_leaves,
    message_text,
    normal,
    searchable_text,
)
from namel3ss_debug.errors import short
from namel3ss_debug.wire import lenient

MOST_DROPPED: Final = 50
_MOST_PASSAGES = 40
_SHORTEST_PASSAGE = 24
"""Shorter sentences than this are alike by chance: `You are welcome.`"""
_SHORTEST_ANSWER = 12
_SHORTEST_RESULT = 3
_LONGEST_PASSAGE = 160
_LONGEST_SHOWN = 120
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w*\d\w*|\w{4,}")
_OF_SYSTEM = frozenset({"system", "developer"})


class SourceRead(NamedTuple):
    """A step whose result, answer or error a model call read.

    Attributes:
        step: the step.
        reason: what it did, as text that follows its name: `returned [...]`, `wrote '...'`, `raised KeyError: ...`.
    """

    step: SpanStep
    reason: str


class DroppedMessage(NamedTuple):
    """A message that a later call of the same conversation no longer read.

    Attributes:
        number: the last call that read it.
        gone: the next call, which did not.
        role: whose message it was.
        text: its beginning.
    """

    number: int
    gone: int
    role: str
    text: str


def find_sources_read(step: SpanStep, earlier: Sequence[SpanStep]) -> list[SourceRead]:
    """Return the steps that produced what a model call read, the most telling first.

    New ones stand first, because the call before did not read them; among these the one whose words the answer has.

    Args:
        step: the model call.
        earlier: the steps that had ended before it, and reads of a memory.
    """
    incoming = _incoming_text(step)
    models = [other for other in earlier if other.component == "llm" and other.parent == step.parent]
    known = max(models, key=_by_end).inputs_text if models else ""
    words = set(_WORD.findall(normal(str(lenient.mapping(step.end.get("outputs")).get("text") or ""))))
    taken: set[str] = set()
    # The spans around a step that is found only passed on what it produced.
    around: set[int] = set()
    found = []
    for other in sorted(earlier, key=_by_end):
        if other.start and other.row in around:
            around.add(other.parent)
            continue
        passages = [
            (text, passage)
            for text, passage in _iter_passages(other)
            if text in incoming and text not in other.inputs_text and not _is_passed_on(text, taken)
        ]
        call_id = searchable_text(lenient.mapping(other.start.get("inputs")).get("call_id"))
        mark = call_id if call_id and call_id in incoming else passages[0][0] if passages else ""
        if mark:
            taken.update(text for text, _ in passages)
            around.add(other.parent if other.start else other.row)
            written = " ".join(text for text, _ in passages) or other.outputs_text
            rank = (mark in known, -len(words & set(_WORD.findall(written))), -other.end_number)
            found.append((rank, SourceRead(other, _describe(other, passages[0][1] if passages else None))))
    return [source for _, source in sorted(found, key=lambda item: item[0])]


def _is_passed_on(text: str, taken: set[str]) -> bool:
    """Return whether a text, or a whole passage in it, belongs to an earlier step: `Here is a summary: ...` is composed."""
    return text in taken or any(len(one) >= _SHORTEST_PASSAGE and one in text for one in taken)


def _by_end(step: SpanStep) -> int:
    return step.end_number


def _incoming_text(step: SpanStep) -> str:
    """Return what a model call read without what assistants wrote, as text to search."""
    messages = lenient.mappings(lenient.mapping(step.start.get("inputs")).get("messages"))
    if not messages:
        return step.inputs_text
    return searchable_text([message for message in messages if message.get("role") != "assistant"])


def _iter_passages(step: SpanStep) -> Iterator[tuple[str, str]]:
    """Yield the texts that a step produced, and the sentences in them: each as text to search for, and as it was written."""
    outputs = lenient.mapping(step.end.get("outputs"))
    if step.failed:
        error = str(step.end.get("error") or "")
        if len(error) >= _SHORTEST_RESULT:
            yield normal(error)[:_LONGEST_PASSAGE], error
        return
    if step.component == "llm":
        payload: Any = outputs.get("text")
    else:
        payload = outputs.get("result", outputs.get("text", outputs))
        whole = searchable_text(payload)[:_LONGEST_PASSAGE].strip('"')
        if len(whole) >= _SHORTEST_RESULT and "result" in outputs:
            yield whole, ""
    for leaf in islice(iter_leaves(payload), _MOST_PASSAGES):
        if isinstance(leaf.value, str):
            whole = normal(leaf.value)
            if len(whole) >= _SHORTEST_ANSWER:
                yield whole[:_LONGEST_PASSAGE], leaf.value
            for sentence in islice(_SENTENCE.split(leaf.value), _MOST_PASSAGES):
                text = normal(sentence)
                if len(text) >= _SHORTEST_PASSAGE and text != whole:
                    yield text[:_LONGEST_PASSAGE], sentence


def holds_output(message: dict[str, Any], step: SpanStep) -> bool:
    """Return whether a message holds a text that a step produced."""
    text = searchable_text(message)
    return any(passage in text for passage, _ in _iter_passages(step))


def _describe(step: SpanStep, passage: str | None) -> str:
    """Return what a step did, as text that follows its name.

    Args:
        step: the step.
        passage: the text that was read of what it wrote; None or "" where its whole result was.
    """
    if step.failed:
        error = ": ".join(str(step.end[key]) for key in ("error_type", "error") if step.end.get(key))
        return f"raised {short(error, _LONGEST_SHOWN, '...')}" if error else "failed"
    outputs = lenient.mapping(step.end.get("outputs"))
    value = passage or outputs.get("result", outputs.get("text"))
    shown = short(repr(" ".join(value.split()) if isinstance(value, str) else value), _LONGEST_SHOWN, "...")
    return f"{'wrote' if step.writes else 'returned'} {shown}"


def find_call_before(step: SpanStep, earlier: Sequence[SpanStep]) -> SpanStep | None:
    """Return the call before a model call in the same conversation; None for the first one."""
    messages = _read_messages(step)
    models = [other for other in earlier if other.component == "llm" and other.number < step.number]
    return next(
        (
            other
            for other in sorted(models, key=_by_end, reverse=True)
            if _is_continued(_read_messages(other), messages)
        ),
        None,
    )


def _is_continued(messages: Collection[tuple[str, str]], later: Collection[tuple[str, str]]) -> bool:
    """Return whether later messages go on with a conversation: they have at least half of its messages, or its last one.

    Those of the system do not count, for unrelated calls often share them.
    """
    own = [message for message in messages if message[0] not in _OF_SYSTEM]
    shared = sum(message in later for message in own)
    return bool(shared) and (2 * shared >= len(own) or own[-1] in later)


def _is_summarised(
    messages: Collection[tuple[str, str]], between: Sequence[SpanStep], later: SpanStep
) -> bool:
    """Return whether a call read the answer of one in between that had read the last of some messages."""
    last = [text for role, text in messages if role not in _OF_SYSTEM][-1:]
    read = [model for model in between if last and normal(last[0])[:_LONGEST_PASSAGE] in model.inputs_text]
    incoming = _incoming_text(later) if read else ""
    return any(text in incoming for model in read for text, _ in _iter_passages(model))


def list_dropped(step: SpanStep, earlier: Sequence[SpanStep]) -> list[DroppedMessage]:
    """Return the messages that earlier calls of the same conversation read, and this one did not, in their order.

    A system message is only missing where there is no other in its place. Where a program replaces the history by a summary,
    the call that wrote the summary had read what is gone.

    Args:
        step: the model call.
        earlier: the steps before it.
    """
    kept = _read_messages(step)
    seen, later, later_step = set(kept), kept, step
    models = sorted((other for other in earlier if other.component == "llm"), key=_by_end, reverse=True)
    dropped: list[list[DroppedMessage]] = []
    for other in models:
        messages = _read_messages(other)
        between = [model for model in models if other.end_number < model.number < later_step.number]
        is_continued = _is_continued(messages, later)
        if not is_continued and not _is_summarised(messages, between, later_step):
            continue
        other_system = not is_continued or any(role in _OF_SYSTEM for role, _ in kept)  # as another agent has
        dropped.append(
            [
                DroppedMessage(
                    other.number,
                    later_step.number,
                    role,
                    short(" ".join(text.split()), _LONGEST_SHOWN, "..."),
                )
                for role, text in messages
                if (role, text) not in seen
                and not (other_system and role in _OF_SYSTEM)
                and normal(text)[:_LONGEST_PASSAGE] not in step.inputs_text
            ]
        )
        seen.update(messages)
        later, later_step = messages, other
    return [message for group in reversed(dropped) for message in group][:MOST_DROPPED]


def _read_messages(step: SpanStep) -> dict[tuple[str, str], None]:
    """Return the roles and texts of the messages of a call, in order."""
    messages = lenient.mappings(lenient.mapping(step.start.get("inputs")).get("messages"))
    return {(lenient.string(message.get("role")) or "", message_text(message)): None for message in messages}
