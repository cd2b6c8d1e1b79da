"""Whether two requests differ only by what follows from the user's own answers.

An answer of the user's comes back in later requests: as the result of the call that it answers, under the id of that
call; as what a model said, with the calls of tools that it asked for; or as words in a text that the program made of
it. What was recorded in its place is gone from them in the same way. Only the user's own words are explained so: what
the program computes of them is not, and is told as a difference that may be a consequence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from namel3ss_debug.replay.rerunning.boundaries import MODEL, TOOL, Question
from namel3ss_debug.replay.rerunning.divergences import Difference
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import matching_blocks
from namel3ss_debug.wire.value_changes import PathChange

if TYPE_CHECKING:
    from namel3ss_debug.wire.conversations import MessageChange

_TOKEN = re.compile(r"(?<!\w)-\d(?:[\w.]*\w)?|\w+|[^\w\s]")
_WORD = re.compile(r"-?\w")
_LINE_END = re.compile(r"\\+[nrt]")
"""The end of a line, and its kin, as JSON writes it: before a word it looks like the first letter of that."""
_LONGEST = 200_000
_MOST_WORDS = 100_000


@dataclass(frozen=True)
class Replaced:
    """An answer that was not the recorded one.

    Attributes:
        question: what it answers.
        old: the `outputs` that were recorded; {} where nothing was.
        new: the `outputs` that were given, or of a failure its `error_type` and `error`.
    """

    question: Question
    old: dict[str, Any]
    new: dict[str, Any]


class Expectations:
    """The answers that were given so far in place of recorded ones."""

    def __init__(self) -> None:
        self._replaced: list[Replaced] = []
        self._old = _Side()
        self._new = _Side()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the questions that were answered so, in the re-run."""
        return tuple(replaced.question.number for replaced in self._replaced)

    def add(self, replaced: Replaced) -> None:
        """Take another answer."""
        self._replaced.append(replaced)
        self._old.take(replaced.question, replaced.old)
        self._new.take(replaced.question, replaced.new)

    def explain(self, question: Question, difference: Difference) -> bool:
        """Whether the difference of this question from the recorded one is nothing but these answers."""
        if not self._replaced:
            return False
        if question.kind == TOOL and question.call_id is not None and question.call_id in self._new.asked:
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
        """Parts of a changed message that are not the same in both."""
        if len(old) != len(new):
            return all(map(self._old.explains, old)) and all(map(self._new.explains, new))
        return all(map(self._part, old, new))

    def _part(self, old: Any, new: Any) -> bool:
        return (self._old.explains(old) and self._new.explains(new)) or self._value(old, new)

    def _path(self, change: PathChange) -> bool:
        if change.kind == "added":
            return bool(_words_of(change.new)) and self._new.says(change.new)
        if change.kind == "dropped":
            return bool(_words_of(change.old)) and self._old.says(change.old)
        return self._value(change.old, change.new)

    def _value(self, old: Any, new: Any) -> bool:
        """Whether what is gone from a value are words of recorded answers, and what has come words of the ones given."""
        gone, come = _changed_words(_in_one_line(old), _in_one_line(new))
        return bool(gone or come) and self._old.words.issuperset(gone) and self._new.words.issuperset(come)


class _Side:
    """What all the recorded answers, or all the ones given for them, say.

    Attributes:
        words: the words in them.
        texts: what models said.
        asked: the ids of the calls of tools that models asked for.
        answered: the ids of the calls of tools that were answered so, or that those models asked for.
    """

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.texts: set[str] = set()
        self.asked: set[str] = set()
        self.answered: set[str] = set()

    def take(self, question: Question, outputs: dict[str, Any]) -> None:
        if len(self.words) < _MOST_WORDS:
            self.words.update(_words(_text(outputs)), _words(_in_one_line(outputs)))
            for text in _strings(outputs):
                self.words.update(_words(text))
        if question.kind == TOOL and question.call_id:
            self.answered.add(question.call_id)
        if question.kind == MODEL:
            calls = lenient.mappings(outputs.get("tool_calls"))
            self.asked.update(call["id"] for call in calls if isinstance(call.get("id"), str))
            self.answered |= self.asked
            said = outputs.get("text")
            self.texts.update([said] if isinstance(said, str) else [])

    def explains(self, part: Any) -> bool:
        """Whether a part of a message is one of these answers."""
        if not isinstance(part, dict):
            return self.says(part)
        call_id = part.get("id")
        if isinstance(call_id, str) and call_id and part.get("type") in ("tool_call", "tool_call_response"):
            return call_id in (self.asked if part["type"] == "tool_call" else self.answered)
        content = {key: value for key, value in part.items() if key != "type"}
        return part.get("content") in self.texts or self.says(content)

    def says(self, value: Any) -> bool:
        """Whether all the words of a value are in these answers."""
        return self.words.issuperset(_words_of(value))


def _parts(message: Any) -> list[Any]:
    """The parts of a message as a recording holds it."""
    parts = message.get("parts") if isinstance(message, dict) else None
    return parts if isinstance(parts, list) else [message]


def _beside(message: Any) -> dict[str, Any]:
    """What else a message holds than its parts."""
    has_parts = isinstance(message, dict) and isinstance(message.get("parts"), list)
    return {name: value for name, value in message.items() if name != "parts"} if has_parts else {}


def _key(part: Any) -> bytes:
    return lenient.dump(part, ordered=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else lenient.dump(value, ordered=True).decode("utf-8", "replace")


def _in_one_line(value: Any) -> str:
    """The text of a value with spaces between its lines, at whatever depth JSON stands in texts."""
    return _LINE_END.sub(" ", _text(value))


def _strings(value: Any) -> Iterator[str]:
    """The texts of a JSON value: those in it and what a program would print for its numbers and words; names are left out."""
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
                yield json.dumps(item)  # as a program may have written it
        else:
            yield f"{item}"


def _words_of(value: Any) -> set[str]:
    return {word for text in _strings(value) for word in _words(text)}


def _words(text: str) -> Iterable[str]:
    return (token for token in _TOKEN.findall(text[:_LONGEST]) if _WORD.match(token))


def _changed_words(old: str, new: str) -> tuple[list[str], list[str]]:
    """The words that are gone from a text, and those that have come."""
    before, after = _TOKEN.findall(old[:_LONGEST]), _TOKEN.findall(new[:_LONGEST])
    gone: list[str] = []
    come: list[str] = []
    i = j = 0
    for first, second, size in matching_blocks(before, after):
        gone += before[i:first]
        come += after[j:second]
        i, j = first + size, second + size
    return [word for word in gone if _WORD.match(word)], [word for word in come if _WORD.match(word)]
