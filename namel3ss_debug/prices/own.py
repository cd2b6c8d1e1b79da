"""Read the user's own prices from the setting `prices`, and find the entry that applies to a model."""

from __future__ import annotations

import difflib
import fnmatch
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import SettingError, short
from namel3ss_debug.prices.rates import PER_REQUEST, PER_TOKEN, Price, Rates

SEARCHES: Final = ("web_search", "file_search")
"""The keys of an entry in US dollars per thousand searches, which the provider makes."""

RATE_NAMES: Final = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", *SEARCHES)
"""The keys of an entry with prices; all but the searches are in US dollars per million tokens."""

WINDOW: Final = "context_window"
"""Another key of an entry: the size of the model's context window in tokens."""

OWN: Final = "settings"
"""The source of a cost that comes from the user's own prices."""

Table = Mapping[str, Mapping[str, float] | None]
"""Model, or pattern of models -> US dollars per million tokens by name; None: no price."""

_ALLOWED = (
    f"an object of {', '.join(RATE_NAMES[:-2])} (US dollars per million tokens), {' and '.join(SEARCHES)} (per thousand "
    "searches), or null for no price"
)
_MOST_DOLLARS = 1e9
_MOST_TOKENS = 1e12


def read_table(value: object) -> Table:
    """Check and return the setting `prices`; a text is parsed as JSON.

    Returns:
        For each model, or pattern with `*` and `?` for anything, its prices in US dollars per million tokens, and its
        `context_window` in tokens if the setting has it.

    Raises:
        SettingError: an entry is not allowed; the message names the entry, its value, and the allowed values.
        TypeError: the setting is not an object.
        ValueError: the text is not JSON.
    """
    try:
        table = json.loads(value) if isinstance(value, str) else value
    except RecursionError:
        raise ValueError from None
    if not isinstance(table, Mapping):
        raise TypeError
    return {
        str(model): _read_entry(f"prices[{_format_value(model)}]", entry) for model, entry in table.items()
    }


def _read_entry(where: str, entry: object) -> dict[str, float] | None:
    """Check and return one entry; None removes a published price."""
    if entry is None:
        return None
    if not isinstance(entry, Mapping):
        raise SettingError(f"{where} is {_format_value(entry)}, allowed is {_ALLOWED}")
    for name, dollars in entry.items():
        if name == WINDOW:
            if type(dollars) is not int or not 0 < dollars < _MOST_TOKENS:
                allowed = "a whole number of tokens from 1"
                raise SettingError(f"{where}.{name} is {_format_value(dollars)}, allowed is {allowed}")
            continue
        if name not in RATE_NAMES:
            near = difflib.get_close_matches(str(name), (*RATE_NAMES, WINDOW), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"{where} has {_format_value(name)}{hint or f', allowed is {_ALLOWED}'}")
        is_number = isinstance(dollars, int | float) and not isinstance(dollars, bool)
        if not is_number or not 0 <= dollars < _MOST_DOLLARS:
            allowed = f"a number of US dollars per {'thousand searches' if name in SEARCHES else 'million tokens'} from 0"
            raise SettingError(f"{where}.{name} is {_format_value(dollars)}, allowed is {allowed}")
    if "input" not in entry:
        raise SettingError(f"{where} has no input, which every price needs: US dollars per million tokens")
    return dict(entry)


def _format_value(value: object) -> str:
    return short(json.dumps(value, default=str), 60, "...")


class _Entry(NamedTuple):
    """The user's entry for a model: its price, and the size of its context window in tokens."""

    price: Price | None
    window: int | None


class OwnPrices:
    """The user's own prices, prepared for look-ups by model."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._exact = {model.lower(): _convert_entry(entry) for model, entry in table.items()}
        patterns = [(model.lower(), entry) for model, entry in table.items() if "*" in model or "?" in model]
        # The most exact pattern comes first: the one with the most characters that are no wildcards.
        patterns.sort(
            key=lambda pair: (sum(pair[0].count(wildcard) for wildcard in "*?") - len(pair[0]), pair[0])
        )
        self._patterns = [
            # `fnmatch` makes expressions that never backtrack, so that long names do not take long.
            (
                re.compile(fnmatch.translate(pattern.replace("[", "[[]"))),
                len(patterns) - index,
                _convert_entry(entry),
            )
            for index, (pattern, entry) in enumerate(patterns)
        ]

    def find(self, model: str | None, asked: str | None) -> tuple[Price | None] | None:
        """Return the price in the most exact entry that fits one of the two names, in a tuple; None if none fits."""
        entry = self._find_entry(model, asked)
        return None if entry is None else (entry.price,)

    def find_window(self, model: str | None, asked: str | None) -> int | None:
        """Return the context window in that entry, in tokens; None if no entry fits or it has none."""
        entry = self._find_entry(model, asked)
        return None if entry is None else entry.window

    def _find_entry(self, model: str | None, asked: str | None) -> _Entry | None:
        """Return the entry that fits best, for the model that answered or for the one in the request."""
        best: tuple[float, _Entry] | None = None
        if not self.table:
            return None
        for name in (model, asked):
            match = None if name is None else self._match(name.lower())
            if match is not None and (best is None or match[0] > best[0]):
                best = match
        return None if best is None else best[1]

    def _match(self, name: str) -> tuple[float, _Entry] | None:
        """Return the entry that fits a name best, with a rank of how exactly it fits."""
        if name in self._exact:
            return math.inf, self._exact[name]
        matches = ((rank, entry) for pattern, rank, entry in self._patterns if pattern.match(name))
        return next(matches, None)


def _convert_entry(entry: Mapping[str, float] | None) -> _Entry:
    if entry is None:
        return _Entry(None, None)
    rates: dict[str, Any] = {
        name: round(dollars * (PER_REQUEST if name in SEARCHES else PER_TOKEN))
        for name, dollars in entry.items()
        if name != WINDOW
    }
    if "cache_write" not in rates:
        rates.setdefault("cache_write_1h", rates["input"])
    window = entry.get(WINDOW)
    return _Entry(Price(OWN, ((-1, Rates(**rates)),)), None if window is None else int(window))
