"""What the doctor finds, one by one: each source of what a program cannot repeat, with its line of code and what can be done.

Three weights: an `error` is what a re-run does not give back either; a `warning` is an input that a re-run gives back,
and that reaches a question, the output or the exit status; `info` is an input that reaches nothing of these, or an
answer of a model.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.replay.doctor import ANSWER, NETWORK, OUTPUT, STATUS, UNKNOWN, Cause, Difference
from namel3ss_debug.replay.rerunning.disturbances import (
    CLOCK,
    DISTURBANCES,
    HASH_SEED,
    ORDER,
    RANDOMNESS,
    Disturbance,
    parallel,
)
from namel3ss_debug.replay.rerunning.recorded import Recorded
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE, Source, sources
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.wire import lenient

ERROR, WARNING, INFO = "error", "warning", "info"
WEIGHTS: Final = (ERROR, WARNING, INFO)

ENVIRONMENT: Final = "environment"
STDIN: Final = "stdin"
MODEL_ANSWER: Final = "model"
FILES: Final = "files"

_SOURCES: Final = (
    ANSWER, NETWORK, UNKNOWN, FILES, ORDER, HASH_SEED, CLOCK, RANDOMNESS, ENVIRONMENT, STDIN, MODEL_ANSWER,
)  # fmt: skip
_REACH: Final = ("llm", "tool", "http", STATUS, OUTPUT)

ADVICE: Final[Mapping[str, str]] = {
    CLOCK: "take the time as an argument",
    RANDOMNESS: "seed it, or derive it from the input",
    HASH_SEED: "sort the set before it is used",
    ORDER: "put results in the order of the calls",
    ENVIRONMENT: "pass it as an argument",
    STDIN: "",
    MODEL_ANSWER: "",
    NETWORK: "ask over HTTP, or inside a tool",
    ANSWER: "return plain data, or --run-tools NAME",
    FILES: "start from the same files",
    UNKNOWN: "look for processes, files, state outside, and what tools changed",
}
_READ_AS: Final[Mapping[str, tuple[str, ...]]] = {CLOCK: ("clock",), RANDOMNESS: ("randomness", "uuid1")}
_LEAST_TEXT = 4
_MOST_NAMES = 3


@dataclass(frozen=True)
class Found:
    """One source of what cannot be repeated.

    Attributes:
        weight: `error`, `warning` or `info`.
        source: `clock`, `randomness`, `hash seed`, `order`, `environment`, `files`, `stdin`, `model`, `network`,
            `answer`, `unknown`.
        place: the line of code, `app.py:42`; "" where it is not known.
        what: what is read there, or both sides of what parted, in a few words.
        reaches: what it reaches: `llm`, `tool`, `http`, `status`, `output`.
        times: how often it was read; 0 where that is not known.
        code: the text of the line.
        seen_at: the lines of code where it shows.
        example: both sides of the first thing that parted.
    """

    weight: str
    source: str
    place: str
    what: str = ""
    reaches: tuple[str, ...] = ()
    times: int = 0
    code: str = ""
    seen_at: tuple[str, ...] = ()
    example: str = ""

    @property
    def advice(self) -> str:
        """What can be done."""
        return ADVICE[self.source] if self.weight != INFO else ""


class Record:
    """What the recording of the first run says of the program's inputs.

    Args:
        events: its events.
        recorded: the answers in it.
        inputs: the inputs in it.

    Attributes:
        sources: where the program reads from outside.
        printed: number of a line of output, from 0 -> the line of code that printed it.
        files: path of a file that was read -> the lines of code that read it.
        sites: line of code that reads the clock -> the places in the code that its reads are recorded under.
    """

    def __init__(self, events: Iterable[Event], recorded: Recorded, inputs: Inputs) -> None:
        events = list(events)
        self.sources = sources(events)
        self.sites = clock_sites(events)
        self.inputs = inputs
        self.printed, self.files = printed_by(events), files_of(events)
        self.models = Counter(_models(events))
        self.asked = [
            (event.get("component"), _text(event.get("inputs"))) for event in events if _asks(event)
        ]
        self.asking = {str(event.get("call_site")) for event in events if _asks(event)}
        self.parallel = [
            [recorded.boundaries[number].question.call_site or "" for number in numbers]
            for numbers in parallel(recorded)
        ]

    def present(self) -> tuple[Disturbance, ...]:
        """The kinds of input that the program has, and that a run can be given otherwise."""
        read = {source.source for source in self.sources}
        has = {
            CLOCK: "clock" in read,
            RANDOMNESS: bool(read & {"randomness", "uuid1"}),
            HASH_SEED: self.inputs.hash_seed is not None and not self.inputs.hash_seed_given,
            ORDER: bool(self.parallel),
        }
        return tuple(each for name, each in DISTURBANCES.items() if has[name])


def findings(
    causes: Iterable[Cause], record: Record, stdout: str, root: Path, changed: Collection[str] = ()
) -> tuple[Found, ...]:
    """Every source, the most important first.

    Args:
        causes: why the program did something else when it ran again.
        record: what it reads.
        stdout: what it printed in the first run.
        root: the folder of its code, which call sites are relative to.
        changed: the files of `record.files` that have changed since it began.
    """
    found = [each for cause in causes for each in _of_cause(cause, record, root, changed)]
    reached = {(each.source, each.place) for each in found}
    found += [each for each in _of_record(record, stdout, root) if (each.source, each.place) not in reached]
    coded = [_with_code(each, root) for each in found]
    return tuple(
        sorted(
            coded,
            key=lambda each: (
                WEIGHTS.index(each.weight),
                _SOURCES.index(each.source),
                _line(each.place),
                each.what,
            ),
        )
    )


# --- what parted


def _of_cause(cause: Cause, record: Record, root: Path, changed: Collection[str]) -> Iterator[Found]:
    """One finding for each line of code at which the input is read; where that is not known, for each at which it shows."""
    weight = WARNING if cause.served else ERROR
    source = FILES if cause.source == UNKNOWN and changed else cause.source
    read = _read_at(replace(cause, source=source), record, root, changed)
    if read:
        for (place, what), times in read.items():
            yield _found(weight, source, place, cause.differences, what, times)
        return
    by_place: dict[str, list[Difference]] = {}
    for each in cause.differences:
        by_place.setdefault(each.place, []).append(each)
    for place, own in by_place.items():
        yield _found(weight, source, place, own)


def _found(
    weight: str, source: str, place: str, seen: Sequence[Difference], what: str = "", times: int = 0
) -> Found:
    return Found(
        weight,
        source,
        place,
        what,
        tuple(reach for reach in _REACH if any(each.reaches == reach for each in seen)),
        times,
        seen_at=tuple(dict.fromkeys(each.place for each in seen if each.place)),
        example=next((each.what for each in seen if each.what), ""),
    )


def _read_at(
    cause: Cause, record: Record, root: Path, changed: Collection[str]
) -> dict[tuple[str, str], int]:
    """The lines of code at which an input is read that reaches something, what it is, and how often."""
    if cause.source == FILES:
        return {(place, Path(path).name): 0 for path in changed for place in record.files[path]}
    if not cause.served:
        return {}
    times = Counter[str]()
    if cause.source == ORDER:
        times.update(place for group in record.parallel for place in group)
    for source in record.sources:
        if source.source in _READ_AS.get(cause.source, ()):
            times[source.call_site] += source.times
    chosen = set(cause.places) or {place for place in times if _is_place(place)}
    what = ""
    if cause.source == RANDOMNESS:
        chosen = _own_draws(chosen, record, root) or chosen
        # What is drawn comes from one stream, so that no line can be given other numbers alone.
        what = f"one of {len(chosen)} lines that draw" if len(chosen) > 1 else ""
    return {(place, what): times[place] for place in sorted(chosen, key=_line)}


def _own_draws(places: set[str], record: Record, root: Path) -> set[str]:
    """Those of the lines that draw random numbers which do not do so because a library draws some for itself.

    An SDK does, for the ids of its requests, and a library when it is imported.
    """
    return {
        place for place in places - record.asking if not code_of(place, root).startswith(("import ", "from "))
    }


# --- what is only read


def _of_record(record: Record, stdout: str, root: Path) -> Iterator[Found]:
    by_place: dict[tuple[str, str], int] = {}
    for source in record.sources:
        if source.source in ("clock", "randomness", "uuid1") and _is_place(source.call_site):
            key = (CLOCK if source.source == "clock" else RANDOMNESS, source.call_site)
            by_place[key] = by_place.get(key, 0) + source.times
    own = _own_draws({place for name, place in by_place if name == RANDOMNESS}, record, root)
    for (name, place), times in by_place.items():
        if name != RANDOMNESS or place in own:
            yield Found(INFO, name, place, times=times)
    yield from _of_environment(record, stdout, root)
    if any(source.source == "stdin" for source in record.sources):
        yield Found(INFO, STDIN, "", f"{len(record.inputs.stdin_bytes)} bytes", times=1)
    for path, read in record.files.items():
        for place in read:
            yield Found(INFO, FILES, place, Path(path).name, times=1)
    for (place, what), times in record.models.items():
        yield Found(INFO, MODEL_ANSWER, place, what, times=times)
    places = Counter(place for group in record.parallel for place in group)
    for place, times in places.items():
        yield Found(INFO, ORDER, place, "asked in parallel", times=times)


def _of_environment(record: Record, stdout: str, root: Path) -> Iterator[Found]:
    """Variables that the program's own code names one by one, and those of its libraries by the line that calls these."""
    others: dict[str, list[Source]] = {}
    for source in record.sources:
        if source.source != "environment" or not _is_place(source.call_site):
            continue
        if source.what not in code_of(source.call_site, root):
            others.setdefault(source.call_site, []).append(source)
            continue
        value = record.inputs.environment.get(source.what)
        reaches = _reached_by(value, record, stdout) if source.what not in record.inputs.redacted else ()
        weight = WARNING if reaches else INFO
        yield Found(weight, ENVIRONMENT, source.call_site, source.what, reaches, source.times)
    for place, read in others.items():
        names = sorted(source.what for source in read)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield Found(INFO, ENVIRONMENT, place, ", ".join(names[:_MOST_NAMES]) + more, times=len(names))


def _reached_by(value: str | None, record: Record, stdout: str) -> tuple[str, ...]:
    """What the value of a variable stands in."""
    if value is None or len(value.strip()) < _LEAST_TEXT:
        return ()
    asked = {str(component) for component, text in record.asked if value in text}
    return tuple(reach for reach in _REACH if reach in asked or (reach == OUTPUT and value in stdout))


def clock_sites(events: Iterable[Event]) -> dict[str, frozenset[str]]:
    """Line of code that reads the clock -> the places that its reads are recorded under."""
    found: dict[str, set[str]] = {}
    for event in events:
        if event.get("event_type") != EVENT_TYPE:
            continue
        clock = lenient.mapping(lenient.mapping(event.get("metadata")).get("clock"))
        for place in lenient.mapping(clock.get("places")).values():
            told_of = lenient.mapping(place)
            site = lenient.string(told_of.get("call_site"))
            if site:
                found.setdefault(site, set()).add(str(told_of.get("code")))
    return {site: frozenset(found[site]) for site in sorted(found, key=_line)}


def printed_by(events: Iterable[Event]) -> dict[int, str]:
    """Number of a line of output, from 0 -> the line of code that printed it."""
    found: dict[int, str] = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            for site, numbers in lenient.mapping(
                lenient.mapping(event.get("metadata")).get("printed")
            ).items():
                found.update(dict.fromkeys(lenient.sequence(numbers), site))
    return found


def files_of(events: Iterable[Event]) -> dict[str, tuple[str, ...]]:
    """Path of a file that was read, or looked for and is there by now -> the lines of code that read it."""
    found: dict[str, tuple[str, ...]] = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            for path, sites in lenient.mapping(lenient.mapping(event.get("metadata")).get("files")).items():
                uses = lenient.mapping(sites)
                read = [*lenient.sequence(uses.get("read"))]
                if Path(path).exists():  # a later run finds what this one did not
                    read += lenient.sequence(uses.get("missing"))
                if read:
                    found[path] = tuple(dict.fromkeys((*found.get(path, ()), *map(str, read))))
    return found


def _models(events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    """Where a model was asked, and with what temperature."""
    for event in events:
        if event.get("event_type") == "llm_call_start":
            params = lenient.mapping(lenient.mapping(event.get("inputs")).get("params"))
            temperature = params.get("temperature")
            told_of = "its own temperature" if temperature is None else f"temperature {temperature}"
            seeded = ", seeded" if params.get("seed") is not None else ""
            yield str(event.get("call_site") or ""), f"{event.get('component_name')}, {told_of}{seeded}"


def _asks(event: Event) -> bool:
    return event.get("event_type") in ("llm_call_start", "tool_call_start", "http_exchange_start")


def _text(inputs: object) -> str:
    """What a question says, without the model it is for."""
    said = {name: value for name, value in lenient.mapping(inputs).items() if name != "model"}
    return "\n".join(_strings(said))


def _strings(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


# --- lines of code


def code_of(place: str, root: Path) -> str:
    """The text of a line of code; "" where it is not there."""
    name, _, number = place.rpartition(":")
    return linecache.getline(str(root / name), int(number)).strip() if number.isdigit() else ""


def _with_code(found: Found, root: Path) -> Found:
    return replace(found, code=code_of(found.place, root)) if found.place else found


def _is_place(site: str) -> bool:
    name, _, number = site.rpartition(":")
    return bool(name) and number.isdigit()


def _line(place: str) -> tuple[str, int]:
    name, _, number = place.rpartition(":")
    return (name, int(number)) if number.isdigit() else (place, 0)
