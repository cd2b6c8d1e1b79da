"""Which calls a name means: where answers may be given, and what is said where a recording has no such call.

A name is that of a tool or a model (`search`, `gpt-4o`), a component (`llm`), or `component:name` (`tool:search`). With
`@N` it is the N-th of these calls, from 1. As in a place, upper and lower case are the same, `*` and `?` stand for
any text, and a name is quoted where it holds marks of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from namel3ss_debug.errors import DebugError, MockError, short
from namel3ss_debug.expressions import name_fits, nearest
from namel3ss_debug.replay.recording.breakpoints import COMPONENTS, Known, Place, parse_place
from namel3ss_debug.traces.events import EVENT_TYPES, EXECUTION_PREFIX, span_prefix

QUOTED = re.compile(
    r"""\s*(?:(?P<component>[^\s:"']+)\s*:\s*)?(?P<quote>["'])(?P<name>(?:(?!(?P=quote)).)+)(?P=quote)"""
)
_NTH = re.compile(r"(?P<name>.*?)\s*@\s*(?P<nth>\d{1,9})", re.DOTALL)
_COUNTED = re.compile(r"(?P<component>\w+)\s*:\s*(?P<nth>\d{1,9})")
_MOST_SHOWN = 60
_MOST_NAMES = 6


class Calls(NamedTuple):
    """The calls that a name means: as a place, and their components as far as they are known; none where they are not."""

    place: Place
    components: frozenset[str]

    @property
    def of_model(self) -> bool:
        """Whether a model is known to be among them."""
        return "llm" in self.components


def parse_name(text: str) -> tuple[str, int | None]:
    """A name and which call of it is meant: `search@2` is `("search", 2)`; `llm:2` is `("llm", 2)`, as in a place.

    Raises:
        MockError: there is no name, it cannot be that of a call, or calls are not counted from 1.
    """
    text = text.strip()
    found = _NTH.fullmatch(text)
    name, nth = (text, None) if found is None else (found["name"], int(found["nth"]))
    counted = _COUNTED.fullmatch(text)
    if counted is not None and counted["component"] in COMPONENTS:
        name, nth = counted["component"], int(counted["nth"])
    if not name or name.endswith((":", "@")):
        raise MockError(
            f"{in_line(text) or 'mock'}: the name of a call is needed, such as search, search@2, tool:search or llm"
        )
    if nth == 0:
        raise MockError(f"{in_line(text)}: calls are counted from 1")
    if name == "error" or name in EVENT_TYPES or name.startswith("/"):
        component = name.partition("_")[0]
        hint = f"; write {component}" if component in EXECUTION_PREFIX else ""
        raise MockError(f"{in_line(name)}: an answer is given for the name of a call, not for a place{hint}")
    return name, nth


def same_calls(name: str) -> str:
    """A key that is equal for two names of the same calls."""
    component, plain = parts(name, None)
    return f"{component or ''}:{(plain or '').casefold()}"


def find_calls(name: str, nth: int | None, known: Known | None) -> Calls:
    """The calls that a name means.

    Args:
        name: the name.
        nth: only this one of them, from 1; None for all.
        known: what the recording holds; None while the program still runs, when every name is taken.

    Raises:
        MockError: the recording holds no such call, or fewer; the message suggests the nearest name.
    """
    component, plain = parts(name, known)
    if known is not None:
        components = _check(name, nth, (component, plain), known)
    else:
        components = frozenset() if component is None else frozenset([component])
    return Calls(_place(component, plain, nth, known), components)


def in_line(text: str) -> str:
    """A text of the user in one line of a message, cut where it is long."""
    return short(" ".join(text.split()), _MOST_SHOWN)


def parts(name: str, known: Known | None) -> tuple[str | None, str | None]:
    """The component and the plain name; None for the one that is not given."""
    quoted = QUOTED.fullmatch(name)
    if quoted is not None:
        return quoted["component"], quoted["name"]
    components = COMPONENTS if known is None else COMPONENTS | known.components.keys()
    if name in components:
        return name, None
    head, _, rest = (part.strip() for part in name.partition(":"))
    return (head, rest) if rest and head in components else (None, name)


def _place(component: str | None, name: str | None, nth: int | None, known: Known | None) -> Place:
    """The calls as a place; the name is quoted, so that nothing in it counts as a mark."""
    if name is None:
        text = f"{component}" if nth is None else f"{component}:{nth}"
    else:
        quote = "'" if '"' in name else '"'
        head = "" if component is None else f"{component}:"
        text = f"{head}{quote}{name}{quote}" + ("" if nth is None else f"@{nth}")
    try:
        return parse_place(text, known)
    except DebugError as problem:
        raise MockError(str(problem)) from None


def _check(name: str, nth: int | None, named: tuple[str | None, str | None], known: Known) -> frozenset[str]:
    """Refuse calls that the recording does not hold; tell the components of those that it does."""
    component, plain = named
    with_spans = [each for each in known.components if _has_spans(each, known)]
    kinds = [each for each in with_spans if component in (None, each)]
    names = {each: known.names.get(each, Counter()) for each in kinds}
    if plain is None:
        calls = {each: known.components[each] for each in names}
    else:
        calls = {
            each: sum(times for held, times in listed.items() if name_fits(held, plain))
            for each, listed in names.items()
        }
    there = sum(calls.values())
    if not there:
        listed = sorted({held for kind in names.values() for held, times in kind.items() if times})
        words = listed if component is not None and plain is not None else listed + with_spans
        hint = _suggestion(plain or component or "", words)
        raise MockError(f"{in_line(name)}: the recording holds no such call{hint}")
    if nth is not None and there < nth:
        amount = "1 call" if there == 1 else f"{there} calls"
        raise MockError(f"{in_line(name)}@{nth}: the recording holds only {amount} of it")
    return frozenset(each for each, times in calls.items() if times)


def _has_spans(component: str, known: Known) -> bool:
    """Whether there are calls of a component: a log record or a memory operation has no answer."""
    return component in EXECUTION_PREFIX or known.types[f"{span_prefix(component)}_start"] > 0


def _suggestion(word: str, words: list[str]) -> str:
    """The nearest of the names that there are, else the first few of them."""
    close = nearest(word, words)
    if close or not words:
        return close
    more = ", ..." if len(words) > _MOST_NAMES else ""
    return f"; there are {', '.join(map(in_line, words[:_MOST_NAMES]))}{more}"
