"""Where a walk through a recording stops: places, conditions, and breakpoints made of them.

A place is one of these, and any of them may be followed by `if CONDITION` (or, as in pdb, `, CONDITION`):

- an event type (`llm_call_start`), or the N-th event of it (`llm_call_start:3`);
- a component (`llm`), or the N-th entry into it (`llm:3`, or `llm@3` as in a mock);
- `component:name` (`llm:gpt-4o`, `tool:search`, `agent:Researcher`), or a bare name (`search`); with `@N` its N-th
  entry;
- `error`: every event that says something failed;
- `file.py:42`: the place in the user's own code that an event came from; of a line in an app, such as `app.ai:42`, the
  start of the statement there;
- a number (`42`): the event with this number;
- `/regex/`: any text in the event, or a number in its inputs or outputs;
- nothing before `if`: every event.

A component or a name stops where its spans begin, as a function breakpoint does. With a condition every event of
it is asked, so that `llm if duration_ms > 500` stops where such a call ended. Names are compared but for upper and
lower case, may hold `*` and `?`, and may be quoted; a name that is a number must be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from namel3ss_debug.errors import DebugError, PlaceError
from namel3ss_debug.expressions import Expression, compile_expression, compile_pattern, name_fits, nearest
from namel3ss_debug.replay.recording.kinds import Kind, Kinds
from namel3ss_debug.replay.recording.nth import Nth, end_of, entered
from namel3ss_debug.replay.recording.texts import texts
from namel3ss_debug.traces.events import EVENT_TYPES, EXECUTION_PREFIX, Event
from namel3ss_debug.traces.totals import is_failure

COMPONENTS: Final = frozenset(
    ["app", "agent", "prompt", "chain", "llm", "tool", "memory", "validation", "http", "mcp", "log"]
)

_MOST_DIGITS = 15
_MOST_SHOWN = 6
_LONGEST_SHOWN = 60
_REGEX = re.compile(r"/((?:\\.|[^/\\])+)/\s*(?:$|(?=,|if\s))")
_SITE = re.compile(r"(.+\.(?:py|ai|ipynb)|In\[\d+\]):(\d+)")
_QUOTED = re.compile(r"""(?:(?P<head>[^\s:"']+):)?(?P<quote>["'])(?P<name>.+)(?P=quote)(?:@(?P<nth>\d+))?""")
_NTH = re.compile(r"(.+)@(\d+)")
_CONDITION = re.compile(r"""("[^"]*"|'[^']*')|(?:^|\s)if(?:\s|$)|,""")

Test = Callable[[Event], bool]
Reads = Literal["kind", "name", "text"]


class Known(NamedTuple):
    """What a recording holds, so that a place that cannot match is refused: how often each thing occurs.

    `components` and `names` (component -> name) count entries. `openings` tells of each line of an app which events
    stand at its start: type and name. `complete` is false where there are so many names or call sites that not all of
    them are here.
    """

    types: Counter[str]
    components: Counter[str]
    names: dict[str, Counter[str]]
    sites: Counter[str]
    openings: dict[str, tuple[str, str | None]]
    complete: bool = True

    def opens(self, event: Event) -> bool:
        """Whether an event stands at the start of its line of an app, and not inside of what the line does."""
        opening = self.openings.get(str(event.get("call_site")))
        return opening is None or opening == (event["event_type"], event.get("component_name"))


@dataclass(frozen=True)
class Place:
    """A parsed place.

    Attributes:
        text: the place as it is written.
        covers: tells the events that belong to it.
        enters: tells those it stops at without a condition.
        occurrence: only so many-th entry is meant.
        condition: what has to be true besides.
        number: the event that is meant, where it is given by its number.
        reads: what `covers` and `enters` ask for: no more of an event than its `kind` (type, component, failure), its
            `name` or call site besides, or any `text` in it.
    """

    text: str
    covers: Test = field(repr=False, compare=False)
    enters: Test = field(repr=False, compare=False)
    occurrence: int | None = None
    condition: Expression | None = None
    number: int | None = None
    reads: Reads = "kind"
    of_app: bool = False


@dataclass(frozen=True)
class Breakpoint:
    """A place where a walk stops; for library users `ReplayBreakpoint`.

    Args:
        place: the place as it is written at the prompt, or a parsed one.
        condition: stop only where this is true; also as `if ...` in the place.
        temporary: stop once only.
        enabled: a disabled breakpoint stops nothing.

    Raises:
        PlaceError: the place does not parse.
        ExpressionError: the condition does not parse.
    """

    place: str | Place
    condition: str | None = None
    temporary: bool = False
    enabled: bool = True
    parsed: Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.place if isinstance(self.place, str) else self.place.text
        whole = text if self.condition is None else f"{text} if {self.condition}"
        parsed = (
            parse_place(whole) if self.condition is not None or isinstance(self.place, str) else self.place
        )
        object.__setattr__(self, "parsed", parsed)

    @property
    def reads_totals(self) -> bool:
        """Whether its condition asks for totals or state, which have to be kept on the way."""
        condition = self.parsed.condition
        return condition is not None and not condition.names.isdisjoint(("totals", "state"))

    @property
    def reads_cost(self) -> bool:
        """Whether its condition asks what a call cost."""
        condition = self.parsed.condition
        return condition is not None and "cost_estimate" in condition.names

    def stops(
        self,
        number: int,
        event: Event,
        totals: Mapping[str, Any],
        state: Mapping[str, Any],
        nth: Nth | None = None,
        known: Callable[[], Known] | None = None,
    ) -> bool:
        """Whether the walk stops at this event.

        Args:
            number: its place in the trace.
            event: the event.
            totals: the totals up to it, where `reads_totals`.
            state: the state at it, where `reads_totals`.
            nth: which entry the place means, where it has an occurrence; see `find_nth`.
            known: tells what the recording holds, up to this event at least; without it, every event of a line of an
                app counts, and not its start alone.
        """
        place = self.parsed
        met = self._meets(number, event, totals, state, nth)
        return met and (not place.of_app or known is None or known().opens(event))

    def _meets(
        self,
        number: int,
        event: Event,
        totals: Mapping[str, Any],
        state: Mapping[str, Any],
        nth: Nth | None,
    ) -> bool:
        place = self.parsed
        if place.number is not None and place.number != number:
            return False
        if place.condition is None:
            return (
                number == nth.number if nth is not None else place.occurrence is None and place.enters(event)
            )
        if place.occurrence is None:
            covered = place.covers(event)
        else:
            covered = nth is not None and nth.covers(number, event)
        return covered and place.condition.matches_event(number, event, totals, state)


ReplayBreakpoint = Breakpoint
"""The name under which library users import it."""


def find_nth(place: Place, events: Iterable[Event]) -> Nth | None:
    """The N-th entry into a place among all events of a trace; None where there are fewer, or no N is given."""
    if place.occurrence is None:
        return None
    numbered = iter(enumerate(events, 1))
    entries = ((number, event) for number, event in numbered if place.enters(event))
    found = next(islice(entries, place.occurrence - 1, None), None)
    return None if found is None else entered(*found, end_of(found[1], numbered))


def know(events: Iterable[Event]) -> Known:
    """Count what a recording holds."""
    kinds = Kinds()
    for event in events:
        kinds.take(event)
    return know_kinds(kinds)


def know_kinds(kinds: Kinds) -> Known:
    """What a recording holds, by the kinds of its events."""
    known = Known(Counter(), Counter(), {}, Counter(), {}, complete=not kinds.times[0])
    for kind, times in kinds.counted():
        entries = times * is_entry(kind.event())
        known.types[kind.event_type] += times
        if kind.site is not None:
            known.sites[kind.site] += times
            _open_line(known.openings, kind)
        if kind.component is None:
            continue
        known.components[kind.component] += entries
        if kind.name is not None:
            known.names.setdefault(kind.component, Counter())[kind.name] += entries
        elif not kind.told:
            known = known._replace(complete=False)
    return known


def _open_line(openings: dict[str, tuple[str, str | None]], kind: Kind) -> None:
    """Take the next kind of events, in the order in which they first came: a statement begins its line, or else the first."""
    site = str(kind.site)
    if not _of_app(site) or kind.event_type[-4:] == "_end":
        return
    is_statement = kind.event_type == "chain_step_start"
    if site not in openings or (is_statement and openings[site][0] != kind.event_type):
        openings[site] = (kind.event_type, kind.name)


def is_entry(event: Event) -> bool:
    """Whether an event is an entry into its component: a start, or a whole event of a component that has no spans."""
    event_type = event["event_type"]
    if event_type[-6:] == "_start":
        return bool(event_type != "trace_start")
    return event_type[-4:] != "_end" and event.get("component") not in EXECUTION_PREFIX


def parse_place(text: str, known: Known | None = None) -> Place:
    """Parse a place.

    Args:
        text: the place as it is written at the prompt.
        known: what the recording holds; with it, a place that can match nothing is refused.

    Raises:
        PlaceError: it does not parse, or cannot match; the message suggests the nearest that would.
        ExpressionError: its condition does not parse.
    """
    text = text.strip()
    if not text:
        raise PlaceError(
            "a place is needed, such as llm, tool:search, llm_call_start:3, error, app.py:42 or /regex/"
        )
    regex = _REGEX.match(text)
    where, condition = (regex[0].strip(), text[regex.end() :]) if regex else _split(text)
    asked = compile_expression(_condition(condition)) if condition else None
    if regex:
        return Place(text, *_regex(regex[1]), condition=asked, reads="text")
    if not where:
        return Place(text, _always, _always, condition=asked)
    if where.isdecimal():
        return Place(text, _always, _always, condition=asked, number=_number(where, known))
    found = _place(where, known)
    if found.nth == 0:
        raise PlaceError(f"{where}: occurrences are counted from 1")
    of_app = _SITE.fullmatch(where) is not None and _of_app(where)
    return Place(text, found.covers, found.enters, found.nth, asked, reads=found.reads, of_app=of_app)


def name_of_place(text: str) -> tuple[str | None, str] | None:
    """Return the component and the name in a place such as `tool:search@2`; None for a place that holds no name.

    Args:
        text: the place as it is written, with or without a condition.
    """
    if _REGEX.match(text):
        return None
    where = _split(text)[0]
    quoted = _QUOTED.fullmatch(where)
    if quoted is not None:
        return quoted["head"], quoted["name"]
    name = _nth(where)[0]
    head, colon, rest = (part.strip() for part in name.partition(":"))
    kinds = {"", "error"} | COMPONENTS | EVENT_TYPES.keys()
    if name.isdecimal() or name in kinds or _SITE.fullmatch(where) or (colon and rest.isdecimal()):
        return None
    return (head, rest) if colon else (None, name)


def nearest_site(text: str, known: Known) -> str:
    """Return the words "; did you mean ...?" with the nearest line that events came from, or nothing."""
    where = "" if _REGEX.match(text) else _split(text)[0]
    if _SITE.fullmatch(where) is None:
        return ""
    return _nearest_line(where, known.sites) or nearest(where, list(known.sites))


def _split(text: str) -> tuple[str, str]:
    """The place and its condition, parted at the first `if` or comma outside quotes."""
    for found in _CONDITION.finditer(text):
        if found[1] is None:
            rest = text[found.start() :]
            if not _condition(rest):
                raise PlaceError(f"{text}: a condition is needed after 'if', such as duration_ms > 500")
            return text[: found.start()].strip(), rest
    return text, ""


def _condition(rest: str) -> str:
    return re.sub(r"^\s*(?:,|if\b)", "", rest).strip()


class _Tests(NamedTuple):
    covers: Test
    enters: Test
    nth: int | None = None
    reads: Reads = "name"


def _number(text: str, known: Known | None) -> int:
    """The number of an event."""
    if len(text) > _MOST_DIGITS:
        raise PlaceError(f"{text[:_MOST_DIGITS]}...: events are not counted that far")
    number = int(text)
    if number < 1:
        raise PlaceError(f"{text}: events are numbered from 1")
    total = known.types.total() if known is not None and known.complete else number
    if number > total:
        raise PlaceError(f"there is no event {number}; the recording has {total} events, numbered from 1")
    return number


def _place(text: str, known: Known | None) -> _Tests:
    """The tests of a place without occurrence and condition: a call site, a name, an event type, a component or `error`."""
    site = _SITE.fullmatch(text)
    if site is not None:
        return _call_site(text, known)
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        nth = int(quoted["nth"]) if quoted["nth"] else None
        return _named(quoted["head"], quoted["name"], nth, known)
    if text == "error":
        return _Tests(is_failure, is_failure, reads="kind")
    counted, nth = _nth(text)
    if nth is not None and (_is_type(counted, known) or _is_component(counted, known)):
        text = f"{counted}:{nth}"
    head, colon, rest = text.partition(":")
    head, rest = head.strip(), rest.strip()
    if colon and not (head and rest):
        missing = "a name or a number is needed after" if head else "a name is needed before"
        raise PlaceError(f"{text}: {missing} the colon")
    if _is_type(head, known):
        if colon and not rest.isdecimal():
            raise PlaceError(f"{text}: after an event type stands the number of the event, as in {head}:3")
        return _typed(head, int(rest) if colon else None, known)
    if _is_component(head, known):
        if not colon or rest.isdecimal():
            return _component(head, int(rest) if colon else None, known)
        return _named(head, *_nth(rest), known)
    if colon and rest.isdecimal():
        raise PlaceError(
            f"{text}: only event types and components are counted so; write {head}@{rest} for a name"
        )
    return _bare(*_nth(text), known)


def _nth(text: str) -> tuple[str, int | None]:
    found = _NTH.fullmatch(text)
    return (text, None) if found is None else (found[1], int(found[2]))


def _is_type(word: str, known: Known | None) -> bool:
    return word in EVENT_TYPES or (known.types[word] > 0 if known else word.endswith(("_start", "_end")))


def _is_component(word: str, known: Known | None) -> bool:
    return word in COMPONENTS or (known is not None and word in known.components)


def _typed(event_type: str, nth: int | None, known: Known | None) -> _Tests:
    if known is not None:
        _enough(event_type, known.types[event_type], nth, "event", nearest(event_type, list(known.types)))

    def test(event: Event) -> bool:
        return bool(event["event_type"] == event_type)

    return _Tests(test, test, nth, "kind")


def _component(component: str, nth: int | None, known: Known | None) -> _Tests:
    """The events of a component, or its n-th entry."""
    if known is not None:
        there = known.components[component]
        holds = [name for name, entries in known.components.items() if entries]
        _enough(component, there, nth, "entry", nearest(component, holds))

    def covers(event: Event) -> bool:
        return event.get("component") == component

    return _Tests(covers, lambda event: covers(event) and is_entry(event), nth, "kind")


def _named(component: str | None, name: str, nth: int | None, known: Known | None) -> _Tests:
    """The events of a name, or its n-th entry, within a component where one is given."""
    whole = name if component is None else f"{component}:{name}"
    if known is not None and known.complete:
        kinds = list(known.names) if component is None else [component]
        counts = [(held, times) for kind in kinds for held, times in known.names.get(kind, {}).items()]
        if component is not None and not counts:
            raise PlaceError(
                f"{whole}: the recording holds no {component}{nearest(component, list(known.names))}"
            )
        if not any(name_fits(held, name) for held, _ in counts):
            words = [held for held, _ in counts] + (list(known.types) + list(known.components)) * (
                component is None
            )
            hint = nearest(name, words) or _there_are([held for held, _ in counts])
            raise PlaceError(f"{whole}: the recording holds no such name{hint}")
        _enough(whole, sum(times for held, times in counts if name_fits(held, name)), nth, "entry", "")

    def covers(event: Event) -> bool:
        held = event.get("component_name")
        return held is not None and component in (None, event.get("component")) and name_fits(held, name)

    return _Tests(covers, lambda event: covers(event) and is_entry(event), nth)


def _bare(name: str, nth: int | None, known: Known | None) -> _Tests:
    """The events of a name, or of what is not known yet: a type or a component of the program's own, or a name in one."""
    named = _named(None, name, nth, known)
    component, colon, rest = name.partition(":")

    def covers(event: Event) -> bool:
        if event.get("component") != component:
            return event["event_type"] == name or named.covers(event)
        held = event.get("component_name")
        return not colon or (held is not None and name_fits(held, rest)) or named.covers(event)

    def enters(event: Event) -> bool:
        return event["event_type"] == name or (covers(event) and is_entry(event))

    return _Tests(covers, enters, nth)


def _there_are(names: list[str]) -> str:
    """The first few names that are there."""
    shown = [
        name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…" for name in names[:_MOST_SHOWN]
    ]
    more = ", ..." if len(names) > _MOST_SHOWN else ""
    return f"; there are {', '.join(shown)}{more}" if names else ""


def _enough(what: str, there: int, nth: int | None, unit: str, hint: str) -> None:
    """Refuse an occurrence that the recording does not reach."""
    units = unit if there == 1 else "entries" if unit == "entry" else "events"
    if there < (nth or 1):
        amount = f"no {what}{hint}" if there == 0 else f"only {there} {units}"
        raise PlaceError(f"{what if nth is None else f'{what}, number {nth}'}: the recording holds {amount}")


def _call_site(site: str, known: Known | None) -> _Tests:
    def covers(event: Event) -> bool:
        return _same_site(event.get("call_site"), site)

    if known is not None and known.complete and not any(_same_site(held, site) for held in known.sites):
        hint = _nearest_line(site, known.sites) or nearest(site, list(known.sites))
        raise PlaceError(f"{site}: no event of the recording came from there{hint}")
    return _Tests(covers, lambda event: covers(event) and event["event_type"][-4:] != "_end")


def _of_app(site: str) -> bool:
    return site.rpartition(":")[0].endswith(".ai")


def _nearest_line(site: str, sites: Iterable[str]) -> str:
    """The words "; did you mean ...?" with the nearest line of the same file that events came from, or nothing."""
    file, _, line = site.rpartition(":")
    lines = [
        int(held.rpartition(":")[2]) for held in sites if _SITE.fullmatch(held) and _same_file(held, file)
    ]
    near = min(lines, key=lambda other: (abs(other - int(line)), other), default=None)
    return "" if near is None else f"; did you mean '{file}:{near}'?"


def _same_file(held: str, file: str) -> bool:
    return _same_site(held.rpartition(":")[0], file)


def _same_site(held: object, site: str) -> bool:
    return isinstance(held, str) and (held == site or held.endswith("/" + site) or site.endswith("/" + held))


def _regex(pattern: str) -> tuple[Test, Test]:
    """The events in which a pattern is found in any text."""
    try:
        search = compile_pattern(pattern).search
    except DebugError as problem:
        raise PlaceError(f"/{pattern}/: {problem}") from None

    def test(event: Event) -> bool:
        return any(map(search, texts(event)))

    return test, test


def _always(_event: Event) -> bool:
    return True
