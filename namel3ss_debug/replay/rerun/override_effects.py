"""Decide whether two requests differ only because of the user's overrides.

An override comes back in later requests: as the result of the call it answers, under that call's id; as a model's
answer, with its tool calls; or as words in a text that the program made of it. The recorded answer is missing from them
in the same way. Only such words are explained. What the program computes from them is not, and is reported as a
divergence that may be a consequence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from namel3ss_debug.replay.rerun.divergences import Difference
from namel3ss_debug.replay.rerun.requests import MODEL, TOOL, Request
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import matching_blocks
from namel3ss_debug.wire.value_changes import PathChange

if TYPE_CHECKING:
    from namel3ss_debug.wire.conversations import MessageChange

_TOKEN = re.compile(r"(?<!\w)-\d(?:[\w.]*\w)?|\w+|[^\w\s]")
_WORD = re.compile(r"-?\w")
_LINE_END = re.compile(r"\\+[nrt]")
"""A line end or tab as JSON writes it: before a word it looks like the first letter of that word."""
_LONGEST = 200_000  # characters of a text that are compared
_MOST_WORDS = 100_000


@dataclass(frozen=True)
class ReplacedAnswer:
    """An answer that was not the recorded one.

    Attributes:
        request: the request that it answers.
        old: the recorded `outputs`; {} for none.
        new: the `outputs` that the program got, or the `error_type` and `error` of a failure.
    """

    request: Request
    old: dict[str, Any]
    new: dict[str, Any]


class OverrideEffects:
    """The answers so far that were not the recorded ones."""

    def __init__(self) -> None:
        self._replaced: list[ReplacedAnswer] = []
        self._old = _AnswerWords()
        self._new = _AnswerWords()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the requests that got them, in the re-run."""
        return tuple(replaced.request.number for replaced in self._replaced)

    def add(self, replaced: ReplacedAnswer) -> None:
        """Add an answer."""
        self._replaced.append(replaced)
        self._old.take(replaced.request, replaced.old)
        self._new.take(replaced.request, replaced.new)

    def explain(self, request: Request, difference: Difference) -> bool:
        """Return whether the difference between this request and the recorded one consists of these answers alone."""
        if not self._replaced:
            return False
        if request.kind == TOOL and request.call_id is not None and request.call_id in self._new.asked:
            return True
        return all(map(self._message, difference.messages)) and all(map(self._path, difference.paths))

    def _message(self, change: MessageChange) -> bool:
        if change.kind == "added":
            return all(map(self._new.explains, _parts(change.new)))
        if change.kind == "dropped":
            return all(map(self._old.explains, _parts(change.old)))
        old, new = _parts(change.old), _parts(change.new)
        i = j = 0
        for first, second, size in matching_blocks([*map(_key, old)], [*map(_key, new)]):
            if not self._between(old[i:first], new[j:second]):
                return False
            i, j = first + size, second + size
        beside, now = _beside(change.old), _beside(change.new)
        return _key(beside) == _key(now) or self._value(beside, now)

    def _between(self, old: list[Any], new: list[Any]) -> bool:
        """Return whether the changed parts of a message are explained."""
        if len(old) != len(new):
            return all(map(self._old.explains, old)) and all(map(self._new.explains, new))
        return all(map(self._part, old, new))

    def _part(self, old: Any, new: Any) -> bool:
        return (self._old.explains(old) and self._new.explains(new)) or self._value(old, new)

    def _path(self, change: PathChange) -> bool:
        if change.kind == "added":
            return bool(_words_of(change.new)) and self._new.contains(change.new)
        if change.kind == "dropped":
            return bool(_words_of(change.old)) and self._old.contains(change.old)
        return self._value(change.old, change.new)

    def _value(self, old: Any, new: Any) -> bool:
        """Return whether the words removed from a value were in recorded answers, and the added words in new ones."""
        gone, added = _changed_words(_in_one_line(old), _in_one_line(new))
        return bool(gone or added) and self._old.words.issuperset(gone) and self._new.words.issuperset(added)


class _AnswerWords:
    """The words and ids in all recorded answers, or in all answers that replaced them.

    Attributes:
        words: the words in them.
        texts: the texts of models.
        asked: the ids of the tool calls that models requested.
        answered: the ids of the tool calls that were answered so, or that those models requested.
    """

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.texts: set[str] = set()
        self.asked: set[str] = set()
        self.answered: set[str] = set()

    def take(self, request: Request, outputs: dict[str, Any]) -> None:
        if len(self.words) < _MOST_WORDS:
            self.words.update(_words(_text(outputs)), _words(_in_one_line(outputs)))
            for text in _strings(outputs):
                self.words.update(_words(text))
        if request.kind == TOOL and request.call_id:
            self.answered.add(request.call_id)
        if request.kind == MODEL:
            calls = lenient.mappings(outputs.get("tool_calls"))
            self.asked.update(call["id"] for call in calls if isinstance(call.get("id"), str))
            self.answered |= self.asked
            if isinstance(answer := outputs.get("text"), str):
                self.texts.add(answer)

    def explains(self, part: Any) -> bool:
        """Return whether a part of a message is one of these answers."""
        if not isinstance(part, dict):
            return self.contains(part)
        call_id = part.get("id")
        if isinstance(call_id, str) and call_id and part.get("type") in ("tool_call", "tool_call_response"):
            return call_id in (self.asked if part["type"] == "tool_call" else self.answered)
        content = {key: value for key, value in part.items() if key != "type"}
        return part.get("content") in self.texts or self.contains(content)

    def contains(self, value: Any) -> bool:
        """Return whether all the words of a value are in these answers."""
        return self.words.issuperset(_words_of(value))


def _parts(message: Any) -> list[Any]:
    """Return the parts of a message as a trace holds it."""
    parts = message.get("parts") if isinstance(message, dict) else None
    return parts if isinstance(parts, list) else [message]


def _beside(message: Any) -> dict[str, Any]:
    """Return the members of a message other than its parts."""
    has_parts = isinstance(message, dict) and isinstance(message.get("parts"), list)
    return {name: value for name, value in message.items() if name != "parts"} if has_parts else {}


def _key(part: Any) -> bytes:
    return lenient.dump(part, ordered=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else lenient.dump(value, ordered=True).decode("utf-8", "replace")


def _in_one_line(value: Any) -> str:
    """Return the text of a value with spaces for line ends, however deep JSON is nested in texts."""
    return _LINE_END.sub(" ", _text(value))


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a JSON value, and its numbers and constants as a program would print them; names are left out."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str):
            yield item
            if not item.isascii():
                yield json.dumps(item)  # with escapes, as a program may have written it
        else:
            yield f"{item}"


def _words_of(value: Any) -> set[str]:
    return {word for text in _strings(value) for word in _words(text)}


def _words(text: str) -> Iterable[str]:
    return (token for token in _TOKEN.findall(text[:_LONGEST]) if _WORD.match(token))


def _changed_words(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return the words removed from a text, and the words added."""
    before, after = _TOKEN.findall(old[:_LONGEST]), _TOKEN.findall(new[:_LONGEST])
    gone: list[str] = []
    added: list[str] = []
    i = j = 0
    for first, second, size in matching_blocks(before, after):
        gone += before[i:first]
        added += after[j:second]
        i, j = first + size, second + size
    return [word for word in gone if _WORD.match(word)], [word for word in added if _WORD.match(word)]
