"""Find the secrets of a text that arrives in pieces, wherever it was cut.

A piece is decided when it arrives, unless the end of the text may be the beginning of a secret: from there on it waits
for what follows. Nearly every piece is searched once, together with a few characters before it, for the literals that
the patterns contain; the patterns themselves are tried only where there is a literal, and while a match may go on.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from orjson import loads

from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.redaction.decoding import BEGUN_ESCAPE, LONGEST, has_base64, unescape
from namel3ss_debug.traces.redaction.openings import opening
from namel3ss_debug.traces.redaction.redactor import (
    CARD,
    Redactor,
    is_by_chance,
    longest_trigger,
    placeholder,
    trigger,
)
from namel3ss_debug.traces.redaction.rules import Rule

_BEFORE = 320
"""How many characters of the decided text are kept, since a secret may be recognised by what is before it."""

_BEFORE_LITERAL = 64
"""A match begins at most so many characters before the piece that completes one of its literals."""

_OFTEN = 4096
"""A waiting text is searched at every piece until it is so long, and then each time it has grown by a quarter."""

_NAMED = compile_late(
    r'"((?:[^"\\]|\\.){1,200}+)"\s{0,8}:\s{0,8}'
    r'(?:"((?:[^"\\]|\\.)*+)"|(-?[0-9][0-9.eE+\-]*+)|(\{[^{}]*+\}|\[[^\[\]]*+\]))',
    re.DOTALL,
)
"""A name and its value in JSON: the value is a text, a number, or an object or array with none inside."""


class Secret(NamedTuple):
    """A secret in a growing text: its place, counted from the beginning of the text, and its placeholder."""

    start: int
    end: int
    shown: str


_RUN = 16
"""A run of so many characters at the end of a text waits for its end: what tells a secret by may be in its middle."""

_LONGEST_RUN = 100
"""A longer run waits only if it may be a text in base64; no secret that its middle or end marks is longer."""

_RUN_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.~:@"
_BASE64_CHARACTERS = _RUN_CHARACTERS[:64] + "_-"
_ALERT = compile_late(lambda: rf'{trigger()}|":|{CARD}|%[0-9a-f]{{2}}|\\\\/|\\\\u00|[a-z0-9+/_\-]{{{_RUN}}}')
"""Matches in a lower-case text that may hold a secret or the beginning of one."""


class IncrementalRedaction:
    """A text that grows piece by piece.

    Args:
        redactor: knows the secrets.
        is_json: whether the text is JSON, so that the value of a field with a secret name is a secret.

    Attributes:
        length: how many characters have arrived.
        settled: how many of these are decided.
        secrets: the secrets before `settled`, in order; may be cleared when they are no longer needed.
    """

    __slots__ = (
        "_alert",
        "_due",
        "_from",
        "_is_json",
        "_last",
        "_redactor",
        "_text",
        "length",
        "secrets",
        "settled",
    )

    def __init__(self, redactor: Redactor, *, is_json: bool = False) -> None:
        self.length = 0
        self.settled = 0
        self.secrets: list[Secret] = []
        self._redactor = redactor
        self._is_json = is_json
        self._text = ""  # the end of what has arrived
        self._from = 0  # where in it an unfinished match may begin
        self._alert = redactor.is_always_near
        self._due = 0
        self._last = ""

    def is_plain(self, piece: str) -> bool:
        """Return whether a piece, if it were the next, would be decided at once and hold no secret."""
        if self._alert:
            return False
        lower = (self._text[-longest_trigger() :] + piece).lower()
        return not _ALERT.search(lower) and not self._redactor.is_near(lower)

    def take_plain(self, piece: str) -> None:
        """Take a piece for which `is_plain` is true."""
        self.length += len(piece)
        self.settled = self.length
        self._last = piece
        text = self._text + piece
        if len(text) > 2 * _BEFORE:
            text = text[-_BEFORE:]
        self._text = text
        self._from = max(0, len(text) - _BEFORE_LITERAL)

    def feed(self, piece: str) -> None:
        """Take the next piece."""
        if self.is_plain(piece):
            self.take_plain(piece)
            return
        self.length += len(piece)
        self._text += piece
        is_repeated = len(piece) > 2 and piece == self._last
        self._last = piece
        if self.length >= self._due:
            self._look(self._text, is_repeated)

    def finish(self) -> None:
        """Decide the rest of the text, which has ended."""
        if self.settled < self.length:
            self._take(self._text, len(self._text), self._redactor.near(self._text, self._from))

    def _look(self, text: str, is_repeated: bool) -> None:
        """Find where the end of the text may be the beginning of a secret, and decide everything before it.

        What is the same in each event of a stream, such as an id, makes a run without end that need not wait.
        """
        end = len(text)
        rules = self._redactor.near(text, self._from)
        kept, begun = self._unfinished(text, rules, self._from)
        ends = BEGUN_ESCAPE.search(text, max(0, end - 12))
        if ends is not None:  # the secret may end or go on after it
            whole = text[: ends.start()]
            unfinished = self._unfinished(whole, self._redactor.near(whole, self._from), self._from)
            kept, begun = min(kept, *unfinished), min(begun, unfinished[1])
        for view in unescape(text if ends is None else whole):
            start = view.position(self._from)
            found = self._unfinished(view.text, self._redactor.near(view.text, start), start)
            for place in found:
                if place < len(view.text):
                    kept = min(kept, view.origin(place, place + 1)[0])
            if found[1] < len(view.text):
                begun = min(begun, view.origin(found[1], found[1] + 1)[0])
        run = len(text.rstrip(_RUN_CHARACTERS))
        if end - run > _LONGEST_RUN:
            run = len(text.rstrip(_BASE64_CHARACTERS))
            if end - run > LONGEST or not has_base64(text[max(0, run - 2) : run + _LONGEST_RUN]):
                run = end
        # A run that is decided but for its end did not wait, or no longer does.
        if not is_repeated and end - run >= _RUN and self.settled - (self.length - end) - run <= 2 * _RUN:
            kept, begun = min(kept, run), min(begun, run)
        if self._is_json:
            kept, begun = self._named_begun(text, kept, begun)
        begun = self._take(text, begun, rules)
        kept = min(kept, begun)
        self._alert = self._redactor.is_always_near or kept < end
        self._due = self.length + (end - begun) // 4 if end - begun > _OFTEN else 0
        cut = max(0, kept - _BEFORE)
        self._text, self._from = text[cut:], max(0, min(kept, end - _BEFORE_LITERAL) - cut)

    def _unfinished(self, text: str, rules: list[tuple[int, Rule]], start: int) -> tuple[int, int]:
        """Return where matches that the end of the text may have cut begin, and where their secret parts do."""
        end = begun = kept = len(text)
        for order, rule in rules:
            if not rule.pattern:
                continue
            pattern = opening(rule.pattern)
            at = pattern.search(text, start)
            while at is not None and at.start() < end:
                if not is_by_chance(order, text, at.start()):
                    kept = min(kept, at.start())
                    if not pattern.groups or at.lastindex:
                        begun = min(begun, at.start(at.lastindex or 0))
                at = pattern.search(text, at.start() + 1)
        return kept, begun

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
        """Decide the text up to this place, or to a secret that reaches over it; return where the decided part ends."""
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
        """Return the values of secret names, also of those inside an object or array of another name."""
        found = []
        at = _NAMED.search(text, self._from)
        while at is not None:
            start, end = at.span(at.lastindex or 0)
            behind = at.end()
            if self._redactor.field_is_secret(at[1], _value_of(at)):
                found.append((start, end, "key"))
            elif at[4] is not None:
                behind = start + 1
            at = _NAMED.search(text, behind)
        return found


def _value_of(named: re.Match[str]) -> Any:
    """Return the value of a match of `_NAMED`; a text may keep its escapes."""
    if named[4] is None:
        return named[2] if named[2] is not None else named[3]
    try:
        return loads(named[4])
    except ValueError:
        return named[4]


def _united(finds: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return the finds, with those that overlap united."""
    united: list[tuple[int, int, str]] = []
    for find in sorted(finds):
        if united and find[0] < united[-1][1]:
            start, end, name = united[-1]
            united[-1] = (start, max(end, find[1]), name)
        else:
            united.append(find)
    return united
