"""Finds secrets and puts `[REDACTED:<rule>]` in their place.

A text is looked at once: what was found is remembered, so that a system prompt that is sent with every call costs
one look into a table. All rules look at the same text and their finds are united, so no rule leaves the tail of
what another one has cut; that is repeated until nothing changes, since a placeholder may bare what it bordered on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from namel3ss_debug.errors import SettingError
from namel3ss_debug.traces.redaction.keys import SECRET_HEADERS, SECRET_PARAMETERS, is_secret_name, snake
from namel3ss_debug.traces.redaction.rules import PHRASES, RUN, TOKENS, Rule, assigned

KEY = "[REDACTED:key]"
"""Stands for the value of a field whose name is secret."""

HEADER = "[REDACTED:header]"
"""Stands for the value of a header that carries credentials."""

_GIVEN_UP = "[REDACTED:text]"
_SHORTEST = 12
_SHORT = 256
_REMEMBERED = 4096
_ROUNDS = 6
_LOOK_BACK = 4096
_PLACEHOLDER = re.compile(r"(\[REDACTED:[\w.\-]{1,64}\])")
_RULE_NAME = re.compile(r"[\w.\-]{1,64}")
_PARAMETER = re.compile(r"([?&;#])([^=&#?;\s]{1,100}+)=([^&#;\s]*+)")
_RUNS = re.compile(rf"[A-Za-z0-9_\-+/=.:]{{{RUN},}}+")
_NUMBER = re.compile(r"-?\d[\d.]*\Z")


_TOKEN_LITERALS = [(literal, order) for order, rule in enumerate(TOKENS) for literal in rule.literals]
_PHRASE_LITERALS = [
    (literal, order) for order, rule in enumerate(PHRASES) for literal in rule.literals or ("",)
]
_AFTER_TOKENS = 1000
_OWN_FIRST = -1000

_V = TypeVar("_V")


class _Find(NamedTuple):
    start: int
    end: int
    order: int
    """The place of the rule among all: the lower is the more telling name."""
    name: str


class Redactor:
    """Replaces secrets in texts, by names of fields and by known forms; made once, from the settings.

    Args:
        keys: further names of fields whose values are secret (`redact_keys`); they also match as the end of a longer
            name, and with other separators or humps.
        patterns: further rules, name to regular expression (`redact_patterns`); the last group that matched is
            replaced, else the whole match.

    Raises:
        SettingError: a name or a regular expression that cannot be used.
    """

    __slots__ = ("_clean", "_compiled", "_finds", "_keys", "_known", "_names", "_own")

    def __init__(self, keys: Iterable[str] | None = None, patterns: Mapping[str, str] | None = None) -> None:
        self._keys = tuple(dict.fromkeys(filter(None, map(snake, keys or ()))))
        self._own = tuple(_own_rule(name, pattern) for name, pattern in (patterns or {}).items())
        if self._keys:
            words = "|".join(key.replace("_", r"[_\-. ]?") for key in self._keys)
            self._own += (Rule("key", assigned(f"(?i:{words})", shortest=1), ()),)
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._names: dict[str, bool] = {}
        self._known: dict[str, str] = {}
        self._clean: set[tuple[int, int]] = set()

    def key_is_secret(self, name: str) -> bool:
        """Whether the value of a field, header or parameter of this name is secret."""
        known = self._names.get(name)
        if known is None:
            known = is_secret_name(name) or self._is_own_key(name)
            _remember(self._names, name, known)
        return known

    def text(self, text: str) -> str:
        """The text with a placeholder for every secret in it; the same object if there is none.

        Texts seen before cost one look into a table. Of a long text only its hash and length are kept.
        """
        if len(text) < _SHORTEST and not self._own:
            return text
        if len(text) <= _SHORT:
            known = self._known.get(text)
            if known is None:
                known = self._scan(text)
                _remember(self._known, text, known)
            return text if known == text else known
        mark = (hash(text), len(text))
        if mark in self._clean:
            return text
        scanned = self._scan(text)
        if scanned is text:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(mark)
        return scanned

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """HTTP headers, name and value, without credentials."""
        return redact_headers(pairs, self)

    def url(self, url: str) -> str:
        """A URL without its password and without the values of secret query parameters."""

        def replace(match: re.Match[str]) -> str:
            before, name, value = match.groups()
            secret = value and (snake(name) in SECRET_PARAMETERS or self.key_is_secret(name))
            return f"{before}{name}={KEY}" if secret and value != KEY else match[0]

        return self.text(_PARAMETER.sub(replace, url) if "=" in url else url)

    def _is_own_key(self, name: str) -> bool:
        words = snake(name)
        return any(words == key or words.endswith("_" + key) for key in self._keys)

    def _scan(self, text: str) -> str:
        for _ in range(_ROUNDS):
            replaced = self._once(text)
            if replaced is text:
                return text
            text = replaced
        return _GIVEN_UP if self._once(text) is not text else text

    def _once(self, text: str) -> str:
        """One round: every rule once; the same object if nothing was found. Placeholders are left alone."""
        if "[REDACTED:" not in text:
            return self._replace(text)
        pieces = _PLACEHOLDER.split(text)
        replaced = [piece if index % 2 else self._replace(piece) for index, piece in enumerate(pieces)]
        return "".join(replaced) if any(map(_differ, pieces, replaced)) else text

    def _replace(self, text: str) -> str:
        finds = sorted(self._finds_in(text))
        if not finds:
            return text
        parts: list[str] = []
        done = 0
        index = 0
        while index < len(finds):
            start, end, order, name = finds[index]
            index += 1
            while index < len(finds) and finds[index].start < end:
                end = max(end, finds[index].end)
                order, name = min((order, name), finds[index][2:])
                index += 1
            parts += [text[done:start], _placeholder(text, start, end, name)]
            done = end
        return "".join([*parts, text[done:]])

    def _finds_in(self, text: str) -> Iterable[_Find]:
        """Where the rules find secrets, in no order; they may overlap."""
        if len(text) >= _SHORTEST:
            runs = " ".join(_RUNS.findall(text)).lower()
            if runs:
                for order in dict.fromkeys([order for literal, order in _TOKEN_LITERALS if literal in runs]):
                    yield from self._matches(TOKENS[order], text, order)
            lower = text.lower()
            for order in dict.fromkeys([order for literal, order in _PHRASE_LITERALS if literal in lower]):
                yield from self._matches(PHRASES[order], text, _AFTER_TOKENS + order)
        for order, rule in enumerate(self._own):
            yield from self._matches(rule, text, _OWN_FIRST + order)

    def _matches(self, rule: Rule, text: str, order: int) -> Iterable[_Find]:
        pattern = self._compiled.get(rule.pattern)
        if pattern is None:
            pattern = self._compiled[rule.pattern] = re.compile(rule.pattern)
        reached = 0
        for match in pattern.finditer(text):
            start, end = match.span(match.lastindex or 0)
            if reached <= start < end and (rule.check is None or rule.check(match)):
                reached = end
                yield _Find(start, end, order, rule.name)


def redact_headers(pairs: Iterable[tuple[str, str]], redactor: Redactor | None) -> list[tuple[str, str]]:
    """HTTP headers without credentials; those of `SECRET_HEADERS` are replaced even where redaction is off.

    Args:
        pairs: name and value of each header, in their order.
        redactor: looks at the other headers; `None` where redaction is off.
    """
    secret = redactor.key_is_secret if redactor else is_secret_name
    clean: Callable[[str], str] = redactor.text if redactor else str
    return [
        (name, HEADER if name.lower() in SECRET_HEADERS or secret(name) else clean(value))
        for name, value in pairs
    ]


def _own_rule(name: str, pattern: str) -> Rule:
    """A rule of the user's."""
    if not _RULE_NAME.fullmatch(name):
        raise SettingError(
            f"redact_patterns: {name!r} is not a usable name; use letters, digits, '_', '-' and '.'"
        )
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise SettingError(f"redact_patterns: {name!r} is not a valid regular expression: {error}") from None
    return Rule(name, pattern, ())


def _remember(table: dict[str, _V], key: str, value: _V) -> None:
    """Put a verdict into a table that never grows beyond its bound."""
    if len(table) >= _REMEMBERED:
        table.clear()
    table[key] = value


def _differ(one: str, other: str) -> bool:
    return one is not other


def _placeholder(text: str, start: int, end: int, name: str) -> str:
    """What stands in place of `text[start:end]`; in quotes where a bare number of JSON text is replaced.

    The quotes are those used last before it, with their backslashes, for JSON text is often nested in JSON text.
    """
    placeholder = f"[REDACTED:{name}]"
    if not _NUMBER.match(text, start, end):
        return placeholder
    before = text[max(0, start - 8) : start].rstrip()
    after = text[end : end + 8].lstrip()
    if not before.endswith((":", ",", "[")) or not after.startswith((",", "]", "}")):
        return placeholder
    quote = text.rfind('"', max(0, start - _LOOK_BACK), start)
    backslashes = quote
    while backslashes > 0 and text[backslashes - 1] == "\\":
        backslashes -= 1
    mark = text[backslashes : quote + 1] if quote >= 0 else '"'
    return mark + placeholder + mark
