"""A text that comes in pieces: what of it is decided, and where secrets stand in it, whatever way it was cut.

A piece is decided when it comes, unless the end of the text may be the beginning of a secret: from there on it waits
for what follows. Nearly every piece is looked at once, together with a few characters before it, for any of the literals
that every known form holds; the forms themselves are tried where there is one, and as long as one may go on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from namel3ss_debug.traces.redaction.openings import opening
from namel3ss_debug.traces.redaction.redactor import (
    CARD,
    LONGEST_TRIGGER,
    TRIGGER,
    Redactor,
    is_by_chance,
    placeholder,
)
from namel3ss_debug.traces.redaction.rules import Rule

_BEFORE = 320
"""How much of what is decided is kept, for what a secret is known by may stand before it."""

_BEFORE_LITERAL = 64
"""A form begins at most so far before the piece that completes a literal of its own."""

_OFTEN = 4096
"""A text that waits is looked at with every piece until it is so long, and then each time it has grown by a quarter."""

_NAMED = re.compile(
    r'"((?:[^"\\]|\\.){1,200}+)"\s{0,8}:\s{0,8}'
    r'(?:"((?:[^"\\]|\\.)*+)"|(-?[0-9][0-9.eE+\-]*+)|(\{[^{}]*+\}|\[[^\[\]]*+\]))',
    re.DOTALL,
)
"""A name and its value in JSON: the value is a text, a number, or an object or array with none inside."""


class Secret(NamedTuple):
    """A secret in a growing text: its place, counted from the beginning of the text, and what stands for it."""

    start: int
    end: int
    shown: str


_ALERT = re.compile(rf'{TRIGGER}|":|{CARD}')
"""What a text in lower case holds where a secret may be in it, or have begun."""


class Growing:
    """One text as it comes.

    Args:
        redactor: knows the secrets.
        is_json: whether the text is JSON, so that the value of a field with a secret name is one.

    Attributes:
        length: how much has come.
        settled: how much of that is decided.
        secrets: those before that place, in order; may be cleared when they are no longer needed.
    """

    __slots__ = ("_alert", "_due", "_from", "_is_json", "_redactor", "_text", "length", "secrets", "settled")

    def __init__(self, redactor: Redactor, *, is_json: bool = False) -> None:
        self.length = 0
        self.settled = 0
        self.secrets: list[Secret] = []
        self._redactor = redactor
        self._is_json = is_json
        self._text = ""  # the end of what has come
        self._from = 0  # where in it a form may begin that goes on
        self._alert = redactor.is_always_near
        self._due = 0

    def is_plain(self, piece: str) -> bool:
        """Whether a piece that would come next is decided as it comes, and holds no secret."""
        if self._alert:
            return False
        lower = (self._text[-LONGEST_TRIGGER:] + piece).lower()
        return not _ALERT.search(lower) and not self._redactor.is_near(lower)

    def take_plain(self, piece: str) -> None:
        """Take such a piece."""
        self.length += len(piece)
        self.settled = self.length
        text = self._text + piece
        if len(text) > 2 * _BEFORE:
            text = text[-_BEFORE:]
        self._text = text
        self._from = max(0, len(text) - _BEFORE_LITERAL)

    def feed(self, piece: str) -> None:
        """Take what comes next."""
        if self.is_plain(piece):
            self.take_plain(piece)
            return
        self.length += len(piece)
        self._text += piece
        if self.length >= self._due:
            self._look(self._text)

    def finish(self) -> None:
        """Nothing more comes: decide the rest."""
        if self.settled < self.length:
            self._take(self._text, len(self._text), self._redactor.near(self._text, self._from))

    def _look(self, text: str) -> None:
        """Find where the end may be the beginning of a secret, and decide what stands before it."""
        end = begun = kept = len(text)
        rules = self._redactor.near(text, self._from)
        for order, rule in rules:
            pattern = opening(rule.pattern)
            at = pattern.search(text, self._from)
            while at is not None and at.start() < end:
                if not is_by_chance(order, text, at.start()):
                    kept = min(kept, at.start())
                    if not pattern.groups or at.lastindex:
                        begun = min(begun, at.start(at.lastindex or 0))
                at = pattern.search(text, at.start() + 1)
        if self._is_json:
            kept, begun = self._named_begun(text, kept, begun)
        begun = self._take(text, begun, rules)
        kept = min(kept, begun)
        self._alert = self._redactor.is_always_near or kept < end
        self._due = self.length + (end - begun) // 4 if end - begun > _OFTEN else 0
        cut = max(0, kept - _BEFORE)
        self._text, self._from = text[cut:], max(0, min(kept, end - _BEFORE_LITERAL) - cut)

    def _named_begun(self, text: str, kept: int, begun: int) -> tuple[int, int]:
        pattern = opening(_NAMED.pattern)
        at = pattern.search(text, self._from)
        while at is not None and at.start() < len(text):
            kept = min(kept, at.start())
            values = [at.start(group) for group in (2, 3, 4) if at.end(group) > at.start(group)]
            if values and self._redactor.key_is_secret(at[1]):
                begun = min(begun, *values)
            at = pattern.search(text, at.start() + 1)
        return kept, begun

    def _take(self, text: str, begun: int, rules: list[tuple[int, Rule]]) -> int:
        """Decide the text before this place, or before a secret that reaches over it; up to where it is decided."""
        base = self.length - len(text)
        finds = [(find.start, find.end, find.name) for find in self._redactor.finds(text, self._from, rules)]
        if self._is_json:
            finds = _united([*finds, *self._named(text)])
        for start, end, _name in finds:
            if start < begun < end:
                begun = start
        for start, end, name in finds:
            if end <= begun and base + end > self.settled:
                first = max(base + start, self.settled)
                self.secrets.append(Secret(first, base + end, placeholder(text, start, end, name)))
        self.settled = max(self.settled, base + begun)
        return begun

    def _named(self, text: str) -> list[tuple[int, int, str]]:
        """The values of secret names, also of those inside an object or array of another name."""
        found = []
        at = _NAMED.search(text, self._from)
        while at is not None:
            start, end = at.span(at.lastindex or 0)
            behind = at.end()
            if self._redactor.key_is_secret(at[1]):
                found.append((start, end, "key"))
            elif at[4] is not None:
                behind = start + 1
            at = _NAMED.search(text, behind)
        return found


def _united(finds: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Finds of which some overlap, each place once."""
    united: list[tuple[int, int, str]] = []
    for find in sorted(finds):
        if united and find[0] < united[-1][1]:
            start, end, name = united[-1]
            united[-1] = (start, max(end, find[1]), name)
        else:
            united.append(find)
    return united
