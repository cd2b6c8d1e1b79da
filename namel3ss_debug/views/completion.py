"""Completion of debugger commands: from tables, and from the parts of the recording that are known already.

Nothing here reads the recording: with a million events a Tab is as quick as with ten. Names of the recording are
offered once they are known; until then only the words of the tables.
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
from namel3ss_debug.replay.recording.breakpoints import COMPONENTS
from namel3ss_debug.replay.walking.commands import COMMANDS, Command
from namel3ss_debug.traces.events import EVENT_TYPES
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean

if TYPE_CHECKING:
    from collections import Counter

    from namel3ss_debug.replay.debugger import Debugger
    from namel3ss_debug.replay.recording.breakpoints import Known

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
    """A possible word at the end of the line: the word, where it begins, and a few words about it."""

    text: str
    start: int
    about: str = ""


def candidates(debugger: Debugger, words: str) -> list[Candidate]:
    """The possible completions of a line; `words` is the line up to the cursor."""
    part_at = words.rfind(";;") + 2 if ";;" in words else 0
    part_at += len(words[part_at:]) - len(words[part_at:].lstrip())
    part = words[part_at:]
    word, space, argument = part.partition(" ")
    if not space:
        return list(_starting(word, part_at, _commands(word)))
    command = next((each for each in COMMANDS if word in (each.name, *each.aliases)), None)
    if command is None:
        return []
    offer = OFFERS.get(command.takes, _nothing)
    return list(islice(offer(debugger, command, argument, part_at + len(part) - len(argument)), MOST_OFFERED))


Offers = Iterator[Candidate]


def _nothing(_debugger: Debugger, _command: Command, _argument: str, _at: int) -> Offers:
    return iter(())


def _starting(word: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    """The words that begin with the typed letters, regardless of case."""
    begun = word.lower()
    return (Candidate(text, at, about) for text, about in offered if text.lower().startswith(begun))


def _last(argument: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    word = argument.rsplit(" ", 1)[-1]
    return _starting(word, at + len(argument) - len(word), offered)


def _commands(word: str) -> Iterator[tuple[str, str]]:
    for each in COMMANDS:
        yield each.name, each.help
        yield from ((alias, each.help) for alias in each.aliases if word and len(alias) > 2)


def _command(_debugger: Debugger, _: Command, argument: str, at: int) -> Offers:
    return _last(argument, at, _commands(argument))


def _places(debugger: Debugger, command: Command, argument: str, at: int) -> Offers:
    condition = list(_CONDITION.finditer(argument))
    if condition:
        begun = condition[-1].end()
        return _expressions(debugger, command, argument[begun:], at + begun)
    known = debugger.walk.known_already
    return _starting_place(argument, at, [*_kinds(known), *(_held(known) if known else ())])


def _starting_place(argument: str, at: int, offered: Iterable[tuple[str, str]]) -> Offers:
    """Places that begin with the typed letters, and after them `component:name` where the name does."""
    begun = argument.lower()
    later = []
    for text, about in offered:
        if text.lower().startswith(begun):
            yield Candidate(text, at, about)
        elif ":" not in begun and text.partition(":")[2].strip('"').lower().startswith(begun):
            later.append(Candidate(text, at, about))
    yield from later


def _kinds(known: Known | None) -> Iterator[tuple[str, str]]:
    yield "error", "whatever failed"
    components: Iterable[str] = COMPONENTS if known is None else known.components
    types: Iterable[str] = EVENT_TYPES if known is None else known.types
    for component in sorted(filter(_plain, components)):
        yield component, count(known.components[component], "entry", "entries") if known else "component"
    for kind in sorted(filter(_plain, types)):
        yield kind, count(known.types[kind], "event") if known else "event type"


def _held(known: Known) -> Iterator[tuple[str, str]]:
    """The names and the places in the code that a recording holds, the most frequent first."""
    for component, names in known.names.items():
        if not _plain(component):
            continue
        for name, times in _frequent(names):
            yield f"{component}:{as_typed(name)}", count(times, "entry", "entries")
    for site, times in _frequent(known.sites):
        if _plain(site.replace(":", "")):
            yield site, count(times, "event")


def _frequent(counted: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_MEMBERS]


def _plain(word: str) -> bool:
    return _PLAIN_NAME.fullmatch(word) is not None


def as_typed(name: str) -> str:
    """A name of the recording as it can be typed: quoted where it must be, with `?` for what no keyboard has."""
    if _plain(name):
        return name
    shown = "".join("?" if each == '"' or clean(each) != each else each for each in name)
    if shown != name:  # now it is a pattern, in which a bracket begins a class of characters
        shown = shown.replace("[", "?")
    return f'"{shown}"'


def _expressions(debugger: Debugger, _: Command, argument: str, at: int) -> Offers:
    """The names that could come next in an expression; none inside a text."""
    if argument.count('"') % 2 or argument.count("'") % 2:
        return
    found = _PATH.search(argument)
    path = found[0] if found else ""
    above, dot, word = path.rpartition(".")
    begun = at + len(argument) - len(word)
    offered = _members(debugger, above) if dot else _names(debugger)
    yield from _starting(word, begun, offered)


def _names(debugger: Debugger) -> Iterator[tuple[str, str]]:
    """The names of the language: first the fields that the current event has."""
    here = debugger.walk.event or {}
    yield from ((name, "") for name in here if name in FIELD_NAMES)
    yield from _DERIVED.items()
    yield from ((name, "not at this event") for name in sorted(FIELD_NAMES.difference(here)))
    yield from ((f"{name}(", "") for name in sorted({*FUNCTIONS, "any", "all"}))


def _members(debugger: Debugger, above: str) -> Iterator[tuple[str, str]]:
    """The members that a value has at the current event."""
    walk = debugger.walk
    first, *deeper = above.split(".")
    if first == "totals":
        yield from ((name, "") for name in _TOTALS)
        return
    if first == "state" and not deeper:
        yield from ((name, "") for name in islice(walk.state.changed, MOST_MEMBERS) if name.isidentifier())
        return
    value: Any = walk.event
    for step in deeper if first == "event" else (first, *deeper):
        value = _stepped(value, step)
    for name in islice(value, MOST_MEMBERS) if isinstance(value, dict) else ():
        if name.isidentifier() and clean(name) == name:
            yield name, ""


def _stepped(value: Any, step: str) -> Any:
    found = _STEP.fullmatch(step)
    value = value.get(found[1]) if found and isinstance(value, dict) else None
    if found and found[2]:
        value = value[int(found[2])] if isinstance(value, list) and int(found[2]) < len(value) else None
    return value


def _events(debugger: Debugger, _: Command, argument: str, at: int) -> Offers:
    marks = [
        (name, f"event {place}") for name, place in debugger.walk.bookmarks.items() if clean(name) == name
    ]
    return _last(argument, at, [("start", "before the first"), ("end", "the last"), *marks])


def _breakpoints(debugger: Debugger, command: Command, argument: str, at: int) -> Offers:
    """The numbers of breakpoints; after the first of `condition N` comes its expression."""
    number, space, rest = argument.partition(" ")
    if command.name == "condition" and space and number.isdecimal():
        return _expressions(debugger, command, rest, at + len(argument) - len(rest))
    rows = [(str(row.number), clean(row.place, 60)) for row in debugger.walk.rows()]
    return _last(argument, at, rows)


def _topics(_debugger: Debugger, command: Command, argument: str, at: int) -> Offers:
    """The words that the usage of a command separates by bars."""
    topics = re.findall(r"[a-z]+(?=\||$)", command.usage.partition(" ")[2].strip("[]"))
    return _last(argument, at, ((topic, "") for topic in topics))


def _mocks(debugger: Debugger, command: Command, argument: str, at: int) -> Offers:
    """Names that can be mocked, or, to remove mocks, those that are mocked."""
    if command.name == "unmock":
        names = [(row.name, "") for row in debugger.walk.mocks.rows() if clean(row.name) == row.name]
        return _starting(argument, at, names)
    head, colon, file = argument.partition(":@")
    if colon:
        return _files(debugger, command, file, at + len(head) + len(colon))
    known = debugger.walk.known_already
    held = (
        (name, about) for name, about in (_held(known) if known else ()) if name.startswith(("llm:", "tool:"))
    )
    return _starting_place(argument, at, [("llm", "every model"), ("tool", "every tool"), *held])


def _files(_debugger: Debugger, _: Command, argument: str, at: int) -> Offers:
    folder, name = os.path.split(argument)
    try:
        with os.scandir(Path(folder or ".").expanduser()) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in islice(entries, MOST_FILES))
    except (OSError, RuntimeError, ValueError):  # also a home that is not there, and a null in the name
        return iter(())
    offered = (
        (f"{entry}/" if is_folder else entry, "")
        for entry, is_folder in found
        if clean(entry) == entry and (name.startswith(".") or not entry.startswith("."))
    )
    return _starting(name, at + len(argument) - len(name), offered)


OFFERS: dict[str, Callable[[Debugger, Command, str, int], Offers]] = {
    "place": _places,
    "expression": _expressions,
    "event": _events,
    "breakpoint": _breakpoints,
    "command": _command,
    "info": _topics,
    "mock": _mocks,
    "file": _files,
    "": _nothing,
}
"""The kinds of arguments in the table of commands, each with the function that offers completions."""
