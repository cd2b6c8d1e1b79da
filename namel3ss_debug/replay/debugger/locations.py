"""Locations: what a breakpoint or a mock can name in a trace.

A location is one of these, and any of them may be followed by `if CONDITION` (or, as in pdb, `, CONDITION`):

- an event type (`llm_call_start`), or the N-th event of it (`llm_call_start:3`);
- a component (`llm`), or the N-th entry into it (`llm:3`, or `llm@3` as in a mock);
- `component:name` (`llm:gpt-4o`, `tool:search`, `agent:Researcher`), or a bare name (`search`); with `@N` its N-th
  entry;
- `error`: every event that reports a failure;
- `file.py:42`: the line of the user's own code that an event came from; for a line of an app, such as `app.ai:42`, the
  start of the statement there;
- a number (`42`): the event with this number;
- `/regex/`: any text in the event, or a number in its inputs or outputs;
- nothing before `if`: every event.

A component or a name stops where its spans begin, as a function breakpoint does. With a condition every event of
it is tested, so that `llm if duration_ms > 500` stops where such a call ended. Names are compared without regard to
case, may hold `*` and `?`, and may be quoted; a name that is a number must be quoted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, NamedTuple

from namel3ss_debug.errors import DebugError, PlaceError
from namel3ss_debug.expressions import Expression, compile_expression, compile_pattern, name_fits, nearest
from namel3ss_debug.replay.debugger.event_texts import event_texts
from namel3ss_debug.replay.debugger.kinds import EventKind, EventKinds
from namel3ss_debug.traces.events import EVENT_TYPES, EXECUTION_PREFIX, Event
from namel3ss_debug.traces.span_table import read_spans
from namel3ss_debug.traces.totals import is_failure

COMPONENTS: Final = frozenset(
    [
        "app",
        "agent",
        "prompt",
        "chain",
        "llm",
        "tool",
        "memory",
        "validation",
        "http",
        "mcp",
        "command",
        "log",
    ]
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
Reads = Literal["kind", "name", "site", "text"]


class TraceContents(NamedTuple):
    """How often each type, component, name and call site occurs in a trace, so that a location can be checked.

    `components` and `names` (component -> name) count entries. `openings` gives, for each line of an app, the type and
    name of the events at its start. `complete` is false where there are too many names or call sites to keep them all.
    """

    types: Counter[str]
    components: Counter[str]
    names: dict[str, Counter[str]]
    sites: Counter[str]
    openings: dict[str, tuple[str, str | None]]
    complete: bool = True

    def is_opening(self, event: Event) -> bool:
        """Return whether an event begins its line of an app, rather than happening inside what the line does."""
        opening = self.openings.get(str(event.get("call_site")))
        return opening is None or opening == (event["event_type"], event.get("component_name"))


@dataclass(frozen=True)
class Location:
    """A parsed location.

    Attributes:
        text: the location as it was written.
        covers: tests whether an event belongs to it.
        enters: tests whether an event is one that it stops at without a condition.
        occurrence: only the entry with this number, from 1.
        condition: what must be true besides.
        number: the event number, where the location is one.
        reads: what `covers` and `enters` read of an event: its `kind` (type, component, failure), its `name` or call
            `site` besides, or any `text` in it.
    """

    text: str
    covers: Test = field(repr=False, compare=False)
    enters: Test = field(repr=False, compare=False)
    occurrence: int | None = None
    condition: Expression | None = None
    number: int | None = None
    reads: Reads = "kind"
    of_app: bool = False


class Occurrence(NamedTuple):
    """The numbers of the one entry that a location such as `search@2` means: of its event, and of its end, 0 if there is none."""

    number: int
    end: int = 0


def find_occurrence(location: Location, events: Sequence[Event]) -> Occurrence | None:
    """Return the entry that a location means among all events of a trace; None where there are not so many."""
    if location.occurrence is None:
        return None
    entries = (number for number, event in enumerate(events, 1) if location.enters(event))
    number = next(islice(entries, location.occurrence - 1, None), 0)
    table = read_spans(events)
    ends = dict(zip(table.number, table.end, strict=True))
    return Occurrence(number, ends.get(number, 0)) if number else None


def count_contents(events: Iterable[Event]) -> TraceContents:
    """Count what the events of a trace hold."""
    kinds = EventKinds()
    for event in events:
        kinds.add(event)
    return count_kinds(kinds)


def count_kinds(kinds: EventKinds) -> TraceContents:
    """Count what a trace holds, by the kinds of its events."""
    contents = TraceContents(Counter(), Counter(), {}, Counter(), {}, complete=not kinds.times[0])
    for kind, times in kinds.count():
        entries = times * is_entry(kind.to_event())
        contents.types[kind.event_type] += times
        if kind.site is not None:
            contents.sites[kind.site] += times
            _add_opening(contents.openings, kind)
        if kind.component is None:
            continue
        contents.components[kind.component] += entries
        if kind.name is not None:
            contents.names.setdefault(kind.component, Counter())[kind.name] += entries
        elif not kind.exact:
            contents = contents._replace(complete=False)
    return contents


def _add_opening(openings: dict[str, tuple[str, str | None]], kind: EventKind) -> None:
    """Note the kind that opens its line of an app: the statement, or else the kind that occurred first."""
    site = str(kind.site)
    if not _is_app_line(site) or kind.event_type[-4:] == "_end":
        return
    is_statement = kind.event_type == "chain_step_start"
    if site not in openings or (is_statement and openings[site][0] != kind.event_type):
        openings[site] = (kind.event_type, kind.name)


def is_entry(event: Event) -> bool:
    """Return whether an event enters its component: a start, or an event of a component without spans."""
    event_type = event["event_type"]
    if event_type[-6:] == "_start":
        return bool(event_type != "trace_start")
    return event_type[-4:] != "_end" and event.get("component") not in EXECUTION_PREFIX


def parse_location(text: str, contents: TraceContents | None = None) -> Location:
    """Parse a location.

    Args:
        text: the location as it is written at the prompt.
        contents: what the trace holds; with it, a location that can match nothing is refused.

    Raises:
        PlaceError: it does not parse, or cannot match; the message suggests the nearest that would.
        ExpressionError: its condition does not parse.
    """
    text = text.strip()
    if not text:
        raise PlaceError(
            "a location is needed, such as llm, tool:search, llm_call_start:3, error, app.py:42 or /regex/"
        )
    regex = _REGEX.match(text)
    where, condition = (regex[0].strip(), text[regex.end() :]) if regex else _split(text)
    expression = compile_expression(_condition(condition)) if condition else None
    if regex:
        return Location(text, *_regex_tests(regex[1]), condition=expression, reads="text")
    if not where:
        return Location(text, _always, _always, condition=expression)
    if where.isdecimal():
        return Location(text, _always, _always, condition=expression, number=_number(where, contents))
    found = _parse_tests(where, contents)
    if found.nth == 0:
        raise PlaceError(f"{where}: occurrences are counted from 1")
    of_app = _SITE.fullmatch(where) is not None and _is_app_line(where)
    return Location(text, found.covers, found.enters, found.nth, expression, reads=found.reads, of_app=of_app)


def location_name(text: str) -> tuple[str | None, str] | None:
    """Return the component and the name in a location such as `tool:search@2`; None where it has no name.

    Args:
        text: the location as it is written, with or without a condition.
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


def nearest_site(text: str, contents: TraceContents) -> str:
    """Return the words "; did you mean ...?" with the nearest line that events came from, or nothing."""
    where = "" if _REGEX.match(text) else _split(text)[0]
    if _SITE.fullmatch(where) is None:
        return ""
    return _nearest_line(where, contents.sites) or nearest(where, list(contents.sites))


def _split(text: str) -> tuple[str, str]:
    """Split a location from its condition, at the first `if` or comma outside quotes."""
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


def _number(text: str, contents: TraceContents | None) -> int:
    """Parse an event number."""
    if len(text) > _MOST_DIGITS:
        raise PlaceError(f"{text[:_MOST_DIGITS]}...: event numbers are not that large")
    number = int(text)
    if number < 1:
        raise PlaceError(f"{text}: events are numbered from 1")
    total = contents.types.total() if contents is not None and contents.complete else number
    if number > total:
        raise PlaceError(f"there is no event {number}; the trace has {total} events, numbered from 1")
    return number


def _parse_tests(text: str, contents: TraceContents | None) -> _Tests:
    """Parse a call site, a name, an event type, a component or `error`."""
    site = _SITE.fullmatch(text)
    if site is not None:
        return _call_site_tests(text, contents)
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        nth = int(quoted["nth"]) if quoted["nth"] else None
        return _name_tests(quoted["head"], quoted["name"], nth, contents)
    if text == "error":
        return _Tests(is_failure, is_failure, reads="kind")
    counted, nth = _nth(text)
    if nth is not None and (_is_type(counted, contents) or _is_component(counted, contents)):
        text = f"{counted}:{nth}"
    head, colon, rest = text.partition(":")
    head, rest = head.strip(), rest.strip()
    if colon and not (head and rest):
        missing = "a name or a number is needed after" if head else "a name is needed before"
        raise PlaceError(f"{text}: {missing} the colon")
    if _is_type(head, contents):
        if colon and not rest.isdecimal():
            raise PlaceError(
                f"{text}: an event type is followed by the number of the occurrence, as in {head}:3"
            )
        return _type_tests(head, int(rest) if colon else None, contents)
    if _is_component(head, contents):
        if not colon or rest.isdecimal():
            return _component_tests(head, int(rest) if colon else None, contents)
        return _name_tests(head, *_nth(rest), contents)
    if colon and rest.isdecimal():
        raise PlaceError(f"{text}: only event types and components take :N; write {head}@{rest} for a name")
    return _bare_name_tests(*_nth(text), contents)


def _nth(text: str) -> tuple[str, int | None]:
    found = _NTH.fullmatch(text)
    return (text, None) if found is None else (found[1], int(found[2]))


def _is_type(word: str, contents: TraceContents | None) -> bool:
    return word in EVENT_TYPES or (
        contents.types[word] > 0 if contents else word.endswith(("_start", "_end"))
    )


def _is_component(word: str, contents: TraceContents | None) -> bool:
    return word in COMPONENTS or (contents is not None and word in contents.components)


def _type_tests(event_type: str, nth: int | None, contents: TraceContents | None) -> _Tests:
    if contents is not None:
        _require(
            event_type, contents.types[event_type], nth, "event", nearest(event_type, list(contents.types))
        )

    def test(event: Event) -> bool:
        return bool(event["event_type"] == event_type)

    return _Tests(test, test, nth, "kind")


def _component_tests(component: str, nth: int | None, contents: TraceContents | None) -> _Tests:
    """Return the tests of a component, or of its n-th entry."""
    if contents is not None:
        there = contents.components[component]
        others = [name for name, entries in contents.components.items() if entries]
        _require(component, there, nth, "entry", nearest(component, others))

    def covers(event: Event) -> bool:
        return event.get("component") == component

    return _Tests(covers, lambda event: covers(event) and is_entry(event), nth, "kind")


def _name_tests(component: str | None, name: str, nth: int | None, contents: TraceContents | None) -> _Tests:
    """Return the tests of a name, or of its n-th entry, in one component or in any."""
    whole = name if component is None else f"{component}:{name}"
    if contents is not None and contents.complete:
        kinds = list(contents.names) if component is None else [component]
        counts = [item for kind in kinds for item in contents.names.get(kind, {}).items()]
        if component is not None and not counts:
            raise PlaceError(
                f"{whole}: the trace has no {component}{nearest(component, list(contents.names))}"
            )
        if not any(name_fits(other, name) for other, _ in counts):
            words = [other for other, _ in counts] + (list(contents.types) + list(contents.components)) * (
                component is None
            )
            hint = nearest(name, words) or _list_names([other for other, _ in counts])
            raise PlaceError(f"{whole}: the trace has no such name{hint}")
        _require(whole, sum(times for other, times in counts if name_fits(other, name)), nth, "entry", "")

    def covers(event: Event) -> bool:
        other = event.get("component_name")
        return other is not None and component in (None, event.get("component")) and name_fits(other, name)

    return _Tests(covers, lambda event: covers(event) and is_entry(event), nth)


def _bare_name_tests(name: str, nth: int | None, contents: TraceContents | None) -> _Tests:
    """Return the tests of a name that may turn out to be a type or component of the program's own, or a name in one."""
    named = _name_tests(None, name, nth, contents)
    component, colon, rest = name.partition(":")

    def covers(event: Event) -> bool:
        if event.get("component") != component:
            return event["event_type"] == name or named.covers(event)
        other = event.get("component_name")
        return not colon or (other is not None and name_fits(other, rest)) or named.covers(event)

    def enters(event: Event) -> bool:
        return event["event_type"] == name or (covers(event) and is_entry(event))

    return _Tests(covers, enters, nth)


def _list_names(names: list[str]) -> str:
    """Return the words "; there are ..." with the first few names."""
    shown = [
        name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…" for name in names[:_MOST_SHOWN]
    ]
    more = ", ..." if len(names) > _MOST_SHOWN else ""
    return f"; there are {', '.join(shown)}{more}" if names else ""


def _require(what: str, there: int, nth: int | None, unit: str, hint: str) -> None:
    """Refuse a location that the trace does not have, or an occurrence that it does not reach."""
    units = unit if there == 1 else "entries" if unit == "entry" else "events"
    if there < (nth or 1):
        amount = f"no {what}{hint}" if there == 0 else f"only {there} {units}"
        raise PlaceError(f"{what if nth is None else f'{what}, number {nth}'}: the trace has {amount}")


def _call_site_tests(site: str, contents: TraceContents | None) -> _Tests:
    def covers(event: Event) -> bool:
        # Only a running program sends its frames; of a trace, only the innermost line is known.
        frames = event.get("frames") or ()
        return _is_same_site(event.get("call_site"), site) or any(
            _is_same_site(each, site) for each in frames
        )

    if (
        contents is not None
        and contents.complete
        and not any(_is_same_site(other, site) for other in contents.sites)
    ):
        hint = _nearest_line(site, contents.sites) or nearest(site, list(contents.sites))
        raise PlaceError(f"{site}: no event of the trace came from there{hint}")
    return _Tests(covers, lambda event: covers(event) and event["event_type"][-4:] != "_end", reads="site")


def _is_app_line(site: str) -> bool:
    return site.rpartition(":")[0].endswith(".ai")


def _nearest_line(site: str, sites: Iterable[str]) -> str:
    """Return the words "; did you mean ...?" with the nearest line of the same file that events came from, or nothing."""
    file, _, line = site.rpartition(":")
    lines = [
        int(other.rpartition(":")[2])
        for other in sites
        if _SITE.fullmatch(other) and _is_same_site(other.rpartition(":")[0], file)
    ]
    near = min(lines, key=lambda other: (abs(other - int(line)), other), default=None)
    return "" if near is None else f"; did you mean '{file}:{near}'?"


def _is_same_site(one: object, other: str) -> bool:
    return isinstance(one, str) and (one == other or one.endswith("/" + other) or other.endswith("/" + one))


def _regex_tests(pattern: str) -> tuple[Test, Test]:
    """Return the tests of a pattern in any text of an event."""
    try:
        search = compile_pattern(pattern).search
    except DebugError as problem:
        raise PlaceError(f"/{pattern}/: {problem}") from None

    def test(event: Event) -> bool:
        return any(map(search, event_texts(event)))

    return test, test


def _always(_event: Event) -> bool:
    return True
