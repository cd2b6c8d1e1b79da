"""Completion of debugger commands: from tables, and from the names of the trace that have been read already.

Nothing here reads the trace: with a million events a Tab is as quick as with ten. Names of the trace are offered once
they are contents; until then only the words of the tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.expressions import FIELD_NAMES
from namel3ss_debug.expressions.operations import FUNCTIONS
from namel3ss_debug.replay.debugger.commands import COMMANDS, DebuggerCommand
from namel3ss_debug.replay.debugger.locations import COMPONENTS
from namel3ss_debug.traces.events import EVENT_TYPES
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean

if TYPE_CHECKING:
    from collections import Counter

    from namel3ss_debug.replay.debugger.interpreter import Debugger
    from namel3ss_debug.replay.debugger.locations import TraceContents

MOST_OFFERED = 200
MOST_FILES = 2000
MOST_MEMBERS = 200

_DERIVED = {
    "kind": "the component",
    "name": "its name",
    "llm": "the name, of a model call",
    "tool": "the name, of a tool call",
    "agent": "the name, of an agent",
    "n": "the event's number",
    "totals": "cost, tokens, errors, ms so far",
    "state": "values last recorded",
    "event": "the whole event",
}
_TOTALS = ("cost", "errors", "ms", "tokens")
_PATH = re.compile(r"(?:[^\W\d]\w*(?:\[\d+\])?\.)*(?:[^\W\d]\w*)?$")
_STEP = re.compile(r"(\w+)(?:\[(\d{1,9})\])?")
_CONDITION = re.compile(r"(?:^|\s)if\s|,")
_PLAIN_NAME = re.compile(r"[\w./*?+-]+")


class Candidate(NamedTuple):
    """A possible completion: the text, the column where it begins, and a short description."""

    text: str
    start: int
    about: str = ""


def find_candidates(debugger: Debugger, words: str) -> list[Candidate]:
    """Return the completions of a line; `words` is the line up to the cursor."""
    part_at = words.rfind(";;") + 2 if ";;" in words else 0
    part_at += len(words[part_at:]) - len(words[part_at:].lstrip())
    part = words[part_at:]
    word, space, argument = part.partition(" ")
    if not space:
        return list(_match_prefix(word, part_at, _list_commands(word)))
    command = next((each for each in COMMANDS if word in (each.name, *each.aliases)), None)
    if command is None:
        return []
    offer = OFFERS.get(command.takes, _offer_none)
    return list(islice(offer(debugger, command, argument, part_at + len(part) - len(argument)), MOST_OFFERED))


Offers = Iterator[Candidate]


def _offer_none(_debugger: Debugger, _command: DebuggerCommand, _argument: str, _at: int) -> Offers:
    return iter(())


def _match_prefix(word: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    """Yield the words that begin with the typed letters, regardless of case."""
    begun = word.lower()
    return (Candidate(text, at, about) for text, about in offered if text.lower().startswith(begun))


def _match_last_word(argument: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    word = argument.rsplit(" ", 1)[-1]
    return _match_prefix(word, at + len(argument) - len(word), offered)


def _list_commands(word: str) -> Iterator[tuple[str, str]]:
    for each in COMMANDS:
        yield each.name, each.help
        yield from ((alias, each.help) for alias in each.aliases if word and len(alias) > 2)


def _offer_commands(_debugger: Debugger, _: DebuggerCommand, argument: str, at: int) -> Offers:
    return _match_last_word(argument, at, _list_commands(argument))


def _offer_locations(debugger: Debugger, command: DebuggerCommand, argument: str, at: int) -> Offers:
    condition = list(_CONDITION.finditer(argument))
    if condition:
        begun = condition[-1].end()
        return _offer_names(debugger, command, argument[begun:], at + begun)
    contents = debugger.stepper.contents_read
    return _match_location(
        argument, at, [*_list_kinds(contents), *(_list_names(contents) if contents else ())]
    )


def _match_location(argument: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    """Yield locations that begin with the typed letters, and after them `component:name` if the name does."""
    begun = argument.lower()
    later = []
    for text, about in offered:
        if text.lower().startswith(begun):
            yield Candidate(text, at, about)
        elif ":" not in begun and text.partition(":")[2].strip('"').lower().startswith(begun):
            later.append(Candidate(text, at, about))
    yield from later


def _list_kinds(contents: TraceContents | None) -> Iterator[tuple[str, str]]:
    yield "error", "every failure"
    components: Iterable[str] = COMPONENTS if contents is None else contents.components
    types: Iterable[str] = EVENT_TYPES if contents is None else contents.types
    for component in sorted(filter(_is_plain, components)):
        yield (
            component,
            count(contents.components[component], "entry", "entries") if contents else "component",
        )
    for kind in sorted(filter(_is_plain, types)):
        yield kind, count(contents.types[kind], "event") if contents else "event type"


def _list_names(contents: TraceContents) -> Iterator[tuple[str, str]]:
    """Yield the names and the call sites of a trace, the most frequent first."""
    for component, names in contents.names.items():
        if not _is_plain(component):
            continue
        for name, times in _by_frequency(names):
            yield f"{component}:{as_typed(name)}", count(times, "entry", "entries")
    for site, times in _by_frequency(contents.sites):
        if _is_plain(site.replace(":", "")):
            yield site, count(times, "event")


def _by_frequency(counted: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_MEMBERS]


def _is_plain(word: str) -> bool:
    return _PLAIN_NAME.fullmatch(word) is not None


def as_typed(name: str) -> str:
    """Return a name of the trace as it can be typed: quoted if it must be, with `?` for control characters."""
    if _is_plain(name):
        return name
    shown = "".join("?" if each == '"' or clean(each) != each else each for each in name)
    if shown != name:  # in a pattern a bracket begins a class of characters
        shown = shown.replace("[", "?")
    return f'"{shown}"'


def _offer_names(debugger: Debugger, _: DebuggerCommand, argument: str, at: int) -> Offers:
    """Yield the names that can come next in an expression; none inside a text."""
    if argument.count('"') % 2 or argument.count("'") % 2:
        return
    found = _PATH.search(argument)
    path = found[0] if found else ""
    above, dot, word = path.rpartition(".")
    begun = at + len(argument) - len(word)
    offered = _list_members(debugger, above) if dot else _list_variables(debugger)
    yield from _match_prefix(word, begun, offered)


def _list_variables(debugger: Debugger) -> Iterator[tuple[str, str]]:
    """Yield the names of the expression language, first the fields that the current event has."""
    here = debugger.stepper.event or {}
    yield from ((name, "") for name in here if name in FIELD_NAMES)
    yield from _DERIVED.items()
    yield from ((name, "not at this event") for name in sorted(FIELD_NAMES.difference(here)))
    yield from ((f"{name}(", "") for name in sorted({*FUNCTIONS, "any", "all"}))


def _list_members(debugger: Debugger, above: str) -> Iterator[tuple[str, str]]:
    """Yield the members of a value at the current event."""
    stepper = debugger.stepper
    first, *deeper = above.split(".")
    if first == "totals":
        yield from ((name, "") for name in _TOTALS)
        return
    if first == "state" and not deeper:
        yield from ((name, "") for name in islice(stepper.state.changed, MOST_MEMBERS) if name.isidentifier())
        return
    value: Any = stepper.event
    for step in deeper if first == "event" else (first, *deeper):
        value = _get_member(value, step)
    for name in islice(value, MOST_MEMBERS) if isinstance(value, dict) else ():
        if name.isidentifier() and clean(name) == name:
            yield name, ""


def _get_member(value: Any, step: str) -> Any:
    found = _STEP.fullmatch(step)
    value = value.get(found[1]) if found and isinstance(value, dict) else None
    if found and found[2]:
        value = value[int(found[2])] if isinstance(value, list) and int(found[2]) < len(value) else None
    return value


def _offer_events(debugger: Debugger, _: DebuggerCommand, argument: str, at: int) -> Offers:
    marks = [
        (name, f"event {number}")
        for name, number in debugger.stepper.bookmarks.items()
        if clean(name) == name
    ]
    return _match_last_word(argument, at, [("start", "before the first"), ("end", "the last"), *marks])


def _offer_breakpoints(debugger: Debugger, command: DebuggerCommand, argument: str, at: int) -> Offers:
    """Yield the numbers of breakpoints; after that of `condition N`, the names for its expression."""
    number, space, rest = argument.partition(" ")
    if command.name == "condition" and space and number.isdecimal():
        return _offer_names(debugger, command, rest, at + len(argument) - len(rest))
    rows = [(str(row.number), clean(row.location, 60)) for row in debugger.stepper.stops.rows()]
    return _match_last_word(argument, at, rows)


def _offer_topics(_debugger: Debugger, command: DebuggerCommand, argument: str, at: int) -> Offers:
    """Yield the words that the usage of a command separates by bars."""
    topics = re.findall(r"[a-z]+(?=\||$)", command.usage.partition(" ")[2].strip("[]"))
    return _match_last_word(argument, at, ((topic, "") for topic in topics))


def _offer_mocks(debugger: Debugger, command: DebuggerCommand, argument: str, at: int) -> Offers:
    """Yield the names that can be mocked; for `unmock`, those that are."""
    if command.name == "unmock":
        names = [(row.name, "") for row in debugger.stepper.overrides.rows() if clean(row.name) == row.name]
        return _match_prefix(argument, at, names)
    head, colon, file = argument.partition(":@")
    if colon:
        return _offer_files(debugger, command, file, at + len(head) + len(colon))
    contents = debugger.stepper.contents_read
    names_called = (
        (name, about)
        for name, about in (_list_names(contents) if contents else ())
        if name.startswith(("llm:", "tool:"))
    )
    return _match_location(argument, at, [("llm", "every model"), ("tool", "every tool"), *names_called])


def _offer_files(_debugger: Debugger, _: DebuggerCommand, argument: str, at: int) -> Offers:
    folder, name = os.path.split(argument)
    try:
        with os.scandir(Path(folder or ".").expanduser()) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, MOST_FILES))
    except (OSError, RuntimeError, ValueError):  # an unknown home directory, a null in the name
        return iter(())
    offered = (
        (f"{entry}/" if is_folder else entry, "")
        for entry, is_folder in found
        if clean(entry) == entry and (name.startswith(".") or not entry.startswith("."))
    )
    return _match_prefix(name, at + len(argument) - len(name), offered)


OFFERS: dict[str, Callable[[Debugger, DebuggerCommand, str, int], Offers]] = {
    "location": _offer_locations,
    "expression": _offer_names,
    "event": _offer_events,
    "breakpoint": _offer_breakpoints,
    "command": _offer_commands,
    "info": _offer_topics,
    "mock": _offer_mocks,
    "file": _offer_files,
    "": _offer_none,
}
"""Kind of argument in the table of commands -> the function that offers completions."""
