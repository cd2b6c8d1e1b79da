"""Find secrets and put `[REDACTED:<rule>]` in their place.

A text is searched once: the result is remembered, so that a system prompt that is sent with every call costs one
look-up in a table. All rules search the same text and their finds are united, so that no rule leaves the tail of a
secret that another rule has cut; that is repeated until nothing changes, since a placeholder may uncover a secret
beside it.

The rules also search what a text hides: its percent, JSON and HTML escapes decoded, and the text in its runs of base64. What
they find there is replaced as it stands in the text itself, a run of base64 as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from namel3ss_debug.config.values import check_pattern
from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.redaction.checks import (
    SECRET_HEADERS,
    SECRET_PARAMETERS,
    is_in_data,
    is_secret_field,
    is_secret_name,
    is_stand_in,
    snake,
)
from namel3ss_debug.traces.redaction.decoding import (
    SHORTEST_RUN,
    decode_base64,
    has_base64,
    hidden_texts,
    unescape,
    without_data,
)
from namel3ss_debug.traces.redaction.openings import LONGEST_LITERAL, first_literal, opening
from namel3ss_debug.traces.redaction.rules import HASHES, PHRASES, RUN, TOKENS, Rule, assigned

KEY = "[REDACTED:key]"
"""The placeholder for the value of a field whose name is secret."""

HEADER = "[REDACTED:header]"
"""The placeholder for the value of a header with credentials."""

PRIVATE_KEY = "[REDACTED:private_key]"
"""The placeholder for a line of a private key."""

OPTION = "--"
"""The beginning of an option of a command line, and of a private key: what follows such an item may be secret."""

_NOT_A_WORD = "q7Rk29xLm4Tz81Wvq7Rk29xLm4Tz81Wvq7Rk29xL"
_NAMED = tuple(
    f'{{"%s": {value}}}'
    for value in (f'"{_NOT_A_WORD}"', f'"Digest {_NOT_A_WORD}"', f'"sid={_NOT_A_WORD}; a=b"', "7294618305")
)
"""Templates of a field whose value is secret if its name is, in the forms that such values have."""

_SHORTEST = 12
_SHORT = 256
_REMEMBERED = 4096
_ROUNDS = 6
_BESIDE = 2048
_LOOK_BACK = 4096
_LONGEST_NAME = 100
_MOST_VALUES = 1000
_PLACEHOLDER = compile_late(r"(\[REDACTED:[\w.\-]{1,64}\])")
_PARAMETER = compile_late(r"([?&;#])([^=&#?;\s]{1,100}+)=([^&#;\s]*+)")
_RUNS = compile_late(rf"[A-Za-z0-9_\-+/=.:]{{{RUN},}}+")
_IN_RUNS = bytes(code < 128 and (chr(code).isalnum() or chr(code) in "_-+/=.:") for code in range(256))
_SHORTEST_RUN = b"\1" * RUN
_IN_NUMBERS = bytes(1 if chr(code) in "0123456789 -" else 0 for code in range(256))
_SHORTEST_NUMBER = b"\1" * 13
_NUMBER = compile_late(r"-?\d[\d.]*\Z")
_OPTION = compile_late(r"--[A-Za-z][\w\-]{0,100}\Z")
_WORD = compile_late(r"\S{1,1000}\Z")
_KEY_BEGINS = compile_late(r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----\s*\Z")
_KEY_LINE = compile_late(r"\s*(?:[A-Za-z0-9+/=]+|(?:Proc-Type|DEK-Info|Version|Comment): .*)?\s*\Z")


_TOKEN_LITERALS: dict[str, list[tuple[str, int]]] = {}
"""First character of a literal that is no letter or digit, "" where there is none -> literals, each with its rule's place.

Runs without that character need no search for those literals: in base64 three quarters of the time of redaction.
"""

for _order, _rule in enumerate(TOKENS):
    for _literal in _rule.literals:
        _sign = next((each for each in _literal if not each.isalnum()), "")
        _TOKEN_LITERALS.setdefault(_sign, []).append((_literal, _order))
_PHRASE_LITERALS = [
    (literal, order) for order, rule in enumerate(PHRASES) if rule not in HASHES for literal in rule.literals
]
_PHRASE_ORDERS: dict[str, list[int]] = {one: [] for one in ("~", "$", "-", ":", "pass")}
"""Literal -> the places of its rules; the first ones only tell whether those that contain them are worth a search."""

for _literal, _order in _PHRASE_LITERALS:
    _PHRASE_ORDERS.setdefault(_literal, []).append(_order)


@cache
def _phrase_search() -> list[tuple[str, list[int], str]]:
    """Return each literal, the places of its rules, and a shorter literal in it.

    Where the shorter one is not in a text, this one is not either.
    """
    return [
        (literal, orders, next((one for one in _PHRASE_ORDERS if one != literal and one in literal), ""))
        for literal, orders in sorted(_PHRASE_ORDERS.items(), key=lambda item: len(item[0]))
    ]


_NAME_LITERALS = [
    (literal, order) for order, rule in enumerate(PHRASES) if rule in HASHES for literal in rule.literals
]
_AFTER_TOKENS = 1000
_OWN_FIRST = -1000

_RUN_RULES = [(order, rule) for order, rule in enumerate(TOKENS) if not rule.literals]
_RUN_FORM = compile_late(lambda: "|".join(f"(?:{rule.pattern})" for _, rule in _RUN_RULES))
_LONG_RUN = compile_late(rf"[A-Za-z0-9_\-.+/]{{{SHORTEST_RUN}}}")
_ORDERED = [*enumerate(TOKENS), *enumerate(PHRASES, _AFTER_TOKENS)]


def _shortest(literals: set[str]) -> set[str]:
    """Return those that do not begin with another one of them."""
    return {one for one in literals if literals.isdisjoint(one[:end] for end in range(1, len(one)))}


@cache
def _triggered() -> dict[str, list[tuple[int, Rule]]]:
    """Return the shortest literals, and for each of them the rules with a literal that begins with it."""
    triggers = _shortest({literal for _, rule in _ORDERED for literal in rule.literals})
    found: dict[str, list[tuple[int, Rule]]] = {trigger: [] for trigger in triggers}
    for order, rule in _ORDERED:
        for start in {one[:end] for one in rule.literals for end in range(1, len(one) + 1)} & triggers:
            found[start].append((order, rule))
    return found


_HASH_LIKE = compile_late(r"[0-9]|[A-Za-z]{15}|[A-Za-z_\-+/]{24}")
"""Occurs in every value of the rules that need a name; in nearly all by its digits."""

_FAR_INSIDE = 2000
"""A token so far inside of a run of characters is there by chance."""

_V = TypeVar("_V")


def trie(words: Iterable[str]) -> str:
    """Return a pattern for any of these words, none of which begins with another; it looks at each character once."""
    following: dict[str, list[str]] = {}
    for word in sorted(words):
        following.setdefault(word[0], []).append(word[1:])
    ways = [re.escape(first) + (trie(rest) if rest != [""] else "") for first, rest in following.items()]
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


@cache
def trigger() -> str:
    """Return a pattern that occurs in every lower-case text that may hold a secret, but for the number of a card."""
    return trie(_triggered())


@cache
def longest_trigger() -> int:
    """Return the length of the longest literal that a secret is found by."""
    return max(LONGEST_LITERAL, *map(len, _triggered()))


_TRIGGER = compile_late(lambda: f"(?=({trigger()}))")
_TOKEN_TRIGGER = compile_late(
    lambda: trie(_shortest({literal for rule in TOKENS for literal in rule.literals}))
)
_ANYWHERE = compile_late(
    lambda: trie(
        _shortest({one for rule in TOKENS if "(?<![A-Za-z0-9]" not in rule.pattern for one in rule.literals})
    )
)
"""A literal of a token that may begin in the middle of letters and digits."""

_RUN_BEGINS = compile_late(r"(?<![A-Za-z0-9])(?:AP[0-9A-F]|SK|AC|[MNO][DTjz])")
"""The beginning of a token without a literal; `test_tokens_in_long_runs_are_found` has each of them."""

_REACH = 140
"""The literal of a token is at most so far behind its beginning."""

CARD = r"[0-9](?:[ \-]?[0-9]){12}|[0-9][0-9 \-]{0,24}\.?\Z"
"""Occurs in every text that may hold the number of a card, or the beginning of one at its end."""

_CARD_LIKE = compile_late(CARD)
_LONG_NUMBER = compile_late(r"\d(?:[ \-]?\d){12}")
_CARD = next((order, rule) for order, rule in _ORDERED if rule.name == "card")
_BASE64 = (_AFTER_TOKENS - 1, Rule("base64", "", (), ""))
"""Stands among the rules worth trying for a look at the texts in base64."""

_NAMED_RULES = [(order, rule) for order, rule in _ORDERED if rule.is_named]
"""Rules for which the name of a field, header or variable may be the beginning of a match."""


class Find(NamedTuple):
    """One secret in a text, and the most specific rule that found it."""

    start: int
    end: int
    order: int
    """The place of the rule among all: the lower, the more specific."""
    name: str


class Redactor:
    """Replaces secrets in texts, by names of fields and by known forms; made once, from the settings.

    Args:
        keys: further names of fields whose values are secret (`redact_keys`); they also match as the end of a longer
            name, and with other separators or humps.
        patterns: further rules, name to regular expression (`redact_patterns`); the last group that matched is
            replaced, else the whole match.

    Attributes:
        plain_names: what `is_plain_name` has returned.

    Raises:
        SettingError: a name or a regular expression that cannot be used.
    """

    __slots__ = (
        "_always",
        "_clean",
        "_compiled",
        "_keys",
        "_known",
        "_literals",
        "_names",
        "_own",
        "_words",
        "plain_names",
    )

    def __init__(self, keys: Iterable[str] | None = None, patterns: Mapping[str, str] | None = None) -> None:
        self._keys = tuple(dict.fromkeys(filter(None, map(snake, keys or ()))))
        own = []
        for name, pattern in (patterns or {}).items():
            check_pattern(name, pattern)
            own.append(Rule(name, pattern, (first_literal(pattern),), ""))
        if self._keys:
            words = "|".join(key.replace("_", r"[_\-. ]?") for key in self._keys)
            firsts = tuple({key.partition("_")[0][:LONGEST_LITERAL] for key in self._keys})
            own.append(Rule("key", assigned(f"(?i:{words})", shortest=1), firsts, ""))
        self._own = [(_OWN_FIRST + order, rule) for order, rule in enumerate(own)]
        self._always = any(not literal for rule in own for literal in rule.literals)
        self._literals = tuple({literal for rule in own for literal in rule.literals if literal})
        self._compiled: dict[str, re.Pattern[str]] = {}
        self._names: dict[str, bool] = {}
        self.plain_names: dict[str, bool] = {}
        self._known: dict[str, str] = {}
        self._clean: set[tuple[int, int]] = set()
        self._words: set[str] = set()

    def key_is_secret(self, name: str) -> bool:
        """Return whether the value of a field, header or parameter of this name may be secret; `field_is_secret` decides."""
        known = self._names.get(name)
        if known is None:
            known = is_secret_name(name) or self._is_own_key(snake(name))
            _remember(self._names, name, known)
        return known

    def field_is_secret(self, name: str, value: Any) -> bool:
        """Return whether a JSON value is secret because of this name; of an object or array, whether any value in it is."""
        if not self.key_is_secret(name):
            return False
        if self._is_own_key(snake(name)):
            return True
        waiting, looked = [value], 0
        while waiting:
            one = waiting.pop()
            looked += 1
            if looked > _MOST_VALUES:
                return True
            if isinstance(one, Mapping):
                waiting += list(one.values())
            elif isinstance(one, (list, tuple, set, frozenset)):
                waiting += list(one)
            elif one is not None and type(one) is not bool:
                text = one if type(one) is str else str(one) if type(one) in (int, float) else _NOT_A_WORD
                if text and is_secret_field(name, text):
                    return True
        return False

    def _is_own_key(self, words: str) -> bool:
        return any(words == key or words.endswith("_" + key) for key in self._keys)

    def name_is_clear(self, name: str) -> bool:
        """Return whether no value is secret because of this name, in an object or in the text of one."""
        return (
            not self.key_is_secret(name)
            and not _rules_of_name(name)
            and not any(self.finds(value % name) for value in _NAMED)
        )

    def is_plain_name(self, name: str) -> bool:
        """Return whether the name of a field neither is nor holds a secret, and makes no value one."""
        known = self.plain_names.get(name)
        if known is None:
            known = not (self.key_is_secret(name) or _rules_of_name(name)) and self.text(name) == name
            _remember(self.plain_names, name, known)
        return known

    def is_secret_value(self, name: str, value: str) -> bool:
        """Return whether a value that looks like any hash is secret because of its field's name."""
        rules = _rules_of_name(name)
        begin = f"{name[-_LONGEST_NAME:]}="
        return bool(rules) and any(find.end > len(begin) for find in self.finds(begin + value, 0, rules))

    def field(self, name: str, value: str) -> str:
        """Return the value of a header, parameter or variable without secrets, also those recognised by its name."""
        if self.field_is_secret(name, value) or self.is_secret_value(name, value):
            return KEY
        return self.text(value)

    def text(self, text: str) -> str:
        """Return the text with a placeholder for every secret in it; the same object if there is none.

        Texts seen before cost one look-up in a table. For a long text only its hash and length are kept.
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
            self._mark(mark)
        return scanned

    @property
    def has_own_rules(self) -> bool:
        """Whether the user has added names or patterns, which may recognise a secret by the text around it."""
        return bool(self._own)

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """HTTP headers, name and value, without credentials."""
        return redact_headers(pairs, self)

    def url(self, url: str) -> str:
        """Return a URL without its password and without the values of secret query parameters."""

        def replace(match: re.Match[str]) -> str:
            before, name, value = match.groups()
            secret = value and (snake(name) in SECRET_PARAMETERS or self.field(name, value) == KEY)
            return f"{before}{name}={KEY}" if secret and value != KEY else match[0]

        return self.text(_PARAMETER.sub(replace, url) if "=" in url else url)

    def words(self, words: Iterable[str]) -> list[str]:
        """Return the words of a command line without the values of options with secret names, also those in the next word."""
        clear: list[str] = []
        option = ""
        for word in words:
            is_option = word.startswith("-")
            clear.append(self.field(option, word) if option and word and not is_option else self.text(word))
            option = word.lstrip("-") if is_option and "=" not in word else ""
        return clear

    def hidden(self, items: Sequence[Any]) -> dict[int, str]:
        """Return the placeholders for items of a list that are secret because of an item before them, by their places.

        These are the word after an option with a secret name, and the lines of a private key.
        """
        found: dict[int, str] = {}
        try:
            if OPTION not in "".join(items):
                return found
        except TypeError:  # not all of them are texts
            pass
        for place, item in enumerate(items):
            if type(item) is not str or item[:2] != OPTION:
                continue
            if _KEY_BEGINS.match(item):
                for behind in range(place + 1, len(items)):
                    line = items[behind]
                    if type(line) is not str or not _KEY_LINE.match(line):
                        break
                    found[behind] = PRIVATE_KEY
            elif _OPTION.match(item) and self.key_is_secret(item.lstrip("-")) and place + 1 < len(items):
                value = items[place + 1]
                if (
                    type(value) is str
                    and value[:1] != "-"
                    and _WORD.match(value)
                    and not is_stand_in(value)
                    and self.field_is_secret(item.lstrip("-"), value)
                ):
                    found[place + 1] = KEY
        return found

    def _mark(self, mark: tuple[int, int]) -> None:
        if len(self._clean) >= _REMEMBERED:
            self._clean.clear()
        self._clean.add(mark)

    def _scan(self, text: str) -> str:
        if "[REDACTED:" not in text and not self._finds_in_whole(text):
            return text
        pieces = _PLACEHOLDER.split(text)
        replaced = [piece if index % 2 else self._replace(piece) for index, piece in enumerate(pieces)]
        changed = any(one is not other for one, other in zip(pieces, replaced, strict=True))
        return "".join(replaced) if changed else text

    def _replace(self, text: str) -> str:
        """Return a text without placeholders with one for each secret; the same object if there is none.

        What is left between two of them is searched again, since a placeholder may uncover a secret beside it: `_ROUNDS`
        times all of it, then only its beginning and its end, so that a text in which that goes on and on costs little
        and loses nothing that is no secret.
        """
        done: list[str] = []
        waiting = [(text, 0)]
        while waiting:
            piece, rounds = waiting.pop()
            if rounds < 0:  # a placeholder
                finds = []
            elif rounds <= _ROUNDS or len(piece) <= 2 * _BESIDE:
                finds = self._finds_in_whole(piece)
            else:
                finds = self._finds_in_whole(piece[:_BESIDE])
                behind = len(piece) - _BESIDE
                finds += [
                    find._replace(start=find.start + behind, end=find.end + behind)
                    for find in self._finds_in_whole(piece[behind:])
                ]
            if not finds:
                done.append(piece)
                continue
            following: list[tuple[str, int]] = []
            reached = 0
            for start, end, _order, name in finds:
                following += [
                    (piece[reached:start], rounds + 1),
                    (placeholder(piece, start, end, name), -1),
                ]
                reached = end
            following.append((piece[reached:], rounds + 1))
            waiting += reversed(following)
        return text if len(done) == 1 else "".join(done)

    def _finds_in_whole(self, text: str) -> list[Find]:
        """Return the secrets in a text; what is in the middle of a long run of base64 is searched decoded."""
        shortened = without_data(text, _may_begin)
        finds = self.finds(shortened.text, long=[place for _, place in shortened.runs])
        if not shortened.runs:
            return finds
        finds = [Find(*shortened.origin(*find[:2]), *find[2:]) for find in finds]
        if shortened.gaps:  # a pattern of the user is no coincidence anywhere
            finds += [find for order, rule in self._own for find in self._matches(rule, text, order)]
        for (begin, end), _ in shortened.runs:
            for hidden in hidden_texts(text[begin:end]):
                for first, last, order, name in self._finds_in_hidden(hidden.text):
                    start, stop = hidden.origin(first, last)
                    finds.append(Find(begin + start, min(begin + stop, end), order, name))
        return unite(finds)

    def _finds_in_hidden(self, text: str) -> Iterator[Find]:
        """Yield the secrets in a decoded text, in which nothing is decoded; what was replaced there is no secret."""
        shortened = without_data(text, _may_begin)
        reached = 0
        for piece in _PLACEHOLDER.split(shortened.text):
            if piece[:1] != "[" or not _PLACEHOLDER.fullmatch(piece):
                for order, rule in self._worth_trying(piece):
                    for find in self._matches(rule, piece, order) if rule.pattern else ():
                        yield Find(*shortened.origin(reached + find.start, reached + find.end), *find[2:])
            reached += len(piece)

    def finds(
        self,
        text: str,
        start: int = 0,
        rules: Iterable[tuple[int, Rule]] | None = None,
        long: Sequence[tuple[int, int]] = (),
    ) -> list[Find]:
        """Return the secrets in a text, each once, in order; without those that only a placeholder would uncover.

        Args:
            text: the text.
            start: where the search begins; what a secret is recognised by may be before it.
            rules: the rules to search with, as `near` returns them; all if left out.
            long: where the long runs of base64 are, whose texts the caller searches.
        """
        if rules is None:
            rules = self._worth_trying(text)
        found = [*self._search(text, rules, start, long)]
        for view in unescape(text):
            for find in self._search(view.text, self._worth_trying(view.text), 0):
                begin, end = view.origin(find.start, find.end)
                if end > start:
                    found.append(Find(max(begin, start), end, find.order, find.name))
        return unite(found)

    def _search(
        self,
        text: str,
        rules: Iterable[tuple[int, Rule]],
        start: int,
        long: Sequence[tuple[int, int]] = (),
    ) -> Iterator[Find]:
        for order, rule in rules:
            if order != _BASE64[0]:
                yield from self._matches(rule, text, order, start)
                continue
            for begin, end, decoded in decode_base64(text, start, long):
                inside = [
                    find
                    for piece in _PLACEHOLDER.split(decoded)[::2]  # what was replaced there is no secret
                    for order, rule in self._worth_trying(piece)
                    for find in self._matches(rule, piece, order)
                ]
                if inside:
                    yield Find(begin, end, *min((find.order, find.name) for find in inside))

    def near(self, text: str, start: int = 0) -> list[tuple[int, Rule]]:
        """Return the rules whose secrets may be in a text, or may have begun in it, each with its place among all.

        Args:
            text: the text.
            start: where the secret may begin.
        """
        lower = text[start:].lower()
        found = {literal for literal in _TRIGGER.findall(lower) if literal}
        rules = [rule for literal in found for rule in _triggered()[literal]] if found else []
        if _LONG_RUN.search(text, start):
            rules += [*_RUN_RULES, _BASE64]
        if _CARD_LIKE.search(text, start):
            rules.append(_CARD)
        rules += [(order, rule) for order, rule in self._own if any(one in lower for one in rule.literals)]
        return rules

    @property
    def is_always_near(self) -> bool:
        """Whether the user has added patterns for which it is not known how a match begins."""
        return self._always

    def is_near(self, lower: str) -> bool:
        """Return whether a lower-case text may hold a secret by one of the user's names or patterns."""
        return bool(self._literals) and any(literal in lower for literal in self._literals)

    def _worth_trying(self, text: str) -> list[tuple[int, Rule]]:
        """Return the rules that may find something in a whole text, each with its place among all."""
        rules: list[tuple[int, Rule]] = []
        if len(text) >= _SHORTEST:
            places = _find_runs(text)
            runs = [run for start, end in places if (run := text[start:end]) not in self._words]
            if runs:
                rules += [(order, TOKENS[order]) for order in self._orders(runs)]
                if any(map(_is_special, runs)):
                    rules += [*_RUN_RULES, _BASE64]
            lower = text.lower()
            found = _phrase_orders(lower)
            if places and (names := _around_hashes(text, places).lower()):
                found += [order for literal, order in _NAME_LITERALS if literal in names]
            rules += [(_AFTER_TOKENS + order, PHRASES[order]) for order in dict.fromkeys(found)]
            if _has_long_number(text):
                rules.append(_CARD)
        return rules + self._own if self._own else rules

    def _orders(self, runs: list[str]) -> list[int]:
        """Return the places of the rules of `TOKENS` with a literal in these runs; remembers the runs without one."""
        joined = " ".join(runs).lower()
        found: list[int] = []
        if len(joined) > _SHORT or _TRIGGER.search(joined):
            found = [
                order
                for sign, literals in _TOKEN_LITERALS.items()
                if sign in joined
                for literal, order in literals
                if literal in joined
            ]
        harmless = [run for run in runs if len(run) <= _SHORT and not _is_special(run)]
        if found:
            harmless = [run for run in harmless if not _TOKEN_TRIGGER.search(run.lower())]
        if len(self._words) >= _REMEMBERED:
            self._words.clear()
        self._words.update(harmless)
        return list(dict.fromkeys(found))

    def _matches(self, rule: Rule, text: str, order: int, start: int = 0) -> Iterable[Find]:
        pattern = self._compiled.get(rule.pattern)
        if pattern is None:
            pattern = self._compiled[rule.pattern] = re.compile(rule.pattern)
        reached = 0
        lower = text.lower() if rule.at_literals else ""
        # Some letters are two in lower case; then the places of the literals are unknown.
        for match in (
            at_literals(rule.literals, pattern, text, lower, start)
            if len(lower) == len(text)
            else pattern.finditer(text, start)
        ):
            begin, end = match.span(match.lastindex or 0)
            if is_by_chance(order, text, match.start()):
                continue
            if reached <= begin < end and (rule.check is None or rule.check(match)):
                reached = end
                yield Find(begin, end, order, rule.name)


def redact_headers(pairs: Iterable[tuple[str, str]], redactor: Redactor | None) -> list[tuple[str, str]]:
    """HTTP headers without credentials; those of `SECRET_HEADERS` are replaced even where redaction is off.

    Args:
        pairs: name and value of each header, in their order.
        redactor: looks at the other headers; `None` where redaction is off.
    """

    def clear(name: str, value: str) -> str:
        if name.lower() in SECRET_HEADERS or (redactor.key_is_secret if redactor else is_secret_name)(name):
            return HEADER
        return redactor.field(name, value) if redactor else value

    return [(name, clear(name, value)) for name, value in pairs]


def unite(finds: Iterable[Find]) -> list[Find]:
    """Return finds in order, those that overlap united under the name of the most specific."""
    united: list[Find] = []
    for find in sorted(finds):
        last = united[-1] if united else None
        if last is None or find.start >= last.end:
            united.append(find)
            continue
        order, name = min(last[2:], find[2:])
        united[-1] = Find(last.start, max(last.end, find.end), order, name)
    return united


def at_literals(
    literals: Iterable[str], pattern: re.Pattern[str], text: str, lower: str, start: int
) -> Iterator[re.Match[str]]:
    """Like `finditer` for a pattern that begins with one of these literals, but much faster: it finds these first.

    Args:
        literals: what every match begins with, in lower case.
        pattern: the pattern.
        text: the text.
        lower: the text in lower case.
        start: where the search begins.
    """
    places: list[int] = []
    for literal in literals:
        place = lower.find(literal, start)
        while place >= 0:
            places.append(place)
            place = lower.find(literal, place + 1)
    reached = start
    for place in sorted(places):
        if place >= reached and (match := pattern.match(text, place)) is not None:
            reached = match.end()
            yield match


@lru_cache(_REMEMBERED)
def _rules_of_name(name: str) -> list[tuple[int, Rule]]:
    """Return the rules of which `name=` may be the beginning of a match."""
    lower, begin = name.lower(), f"{name[-_LONGEST_NAME:]}="
    return [
        (order, rule)
        for order, rule in _NAMED_RULES
        if any(literal in lower for literal in rule.literals)
        and (found := opening(rule.pattern).search(begin)) is not None
        and found.start() < len(begin) - 1
    ]


def _is_special(run: str) -> bool:
    """Return whether a run of characters may be a secret without a literal, or a text in base64."""
    # The letter of an escape such as `\\n`, whose backslash is in no run, may be before the secret.
    return len(run) >= SHORTEST_RUN and (
        has_base64(run := "\\" + run) or _RUN_FORM.search(run, 0, _FAR_INSIDE) is not None
    )


def _may_begin(data: str, before: int) -> bool:
    """Return whether a token may begin in characters of base64, up to this place."""
    if data[:before].isalnum():
        return _ANYWHERE.search(data[: before + LONGEST_LITERAL].lower()) is not None
    near = data[: before + _REACH]
    return _TOKEN_TRIGGER.search(near.lower()) is not None or _RUN_BEGINS.search(near) is not None


def _phrase_orders(lower: str) -> list[int]:
    """Return the places of the rules of `PHRASES` with a literal in a lower-case text."""
    found: list[int] = []
    present = {""}
    for literal, orders, inside in _phrase_search():
        if inside in present and literal in lower:
            present.add(literal)
            found += orders
    return found


def _find_runs(text: str) -> list[tuple[int, int]]:
    """Return where the runs of characters that may be tokens are."""
    if not text.isascii():
        return [match.span() for match in _RUNS.finditer(text)]
    # A tenth of the time of the pattern: 1 ns for a character.
    classes, found, end = text.encode().translate(_IN_RUNS), [], 0
    while (start := classes.find(_SHORTEST_RUN, end)) >= 0:
        end = classes.find(b"\0", start)
        end = len(text) if end < 0 else end
        found.append((start, end))
    return found


def _has_long_number(text: str) -> bool:
    """Return whether there may be the number of a card."""
    if text.isascii() and _SHORTEST_NUMBER not in text.encode().translate(_IN_NUMBERS):
        return False
    return _LONG_NUMBER.search(text) is not None


def _around_hashes(text: str, runs: Iterable[tuple[int, int]]) -> str:
    """Return the parts of a text in which a name before a value that looks like a hash may be."""
    parts = []
    for start, end in runs:
        run = text[start:end]
        if _HASH_LIKE.search(run):
            has_name = "=" in run[:-2] or ":" in run
            parts.append(text[max(0, start - _LONGEST_NAME) : end if has_name else start])
    return "\n".join(parts)


def is_by_chance(order: int, text: str, start: int) -> bool:
    """Return whether a match of the rule with this place among all is only a coincidence in a run of base64."""
    return 0 <= order < len(TOKENS) and is_in_data(text, start)


def _remember(table: dict[str, _V], key: str, value: _V) -> None:
    """Put a result into a table of limited size."""
    if len(table) >= _REMEMBERED:
        table.clear()
    table[key] = value


def placeholder(text: str, start: int, end: int, name: str) -> str:
    """Return the placeholder for `text[start:end]`; in quotes where a bare number in JSON text is replaced.

    The quotes are those used last before it, with their backslashes, because JSON text is often nested in JSON text.
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
