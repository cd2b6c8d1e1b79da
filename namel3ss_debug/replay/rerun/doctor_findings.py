"""List the findings of the doctor: each source of non-determinism, with its line of code and advice.

An `error` is something that a re-run does not replay. A `warning` is an input that a re-run replays and that reaches a
request, the output or the exit status. `info` is an input that reaches none of these, or an answer of a model.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.replay.rerun.doctor import (
    ANSWER,
    CLOCK,
    HASH_SEED,
    NETWORK,
    ORDER,
    OUTPUT,
    PERTURBATIONS,
    RANDOMNESS,
    STATUS,
    UNKNOWN,
    Cause,
    DoctorDifference,
    Perturbation,
    parallel,
)
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE, InputSource, find_sources
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.wire import lenient

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES: Final = (ERROR, WARNING, INFO)

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
class DoctorFinding:
    """One source of non-determinism.

    Attributes:
        severity: `error`, `warning` or `info`.
        source: `clock`, `randomness`, `hash seed`, `order`, `environment`, `files`, `stdin`, `model`, `network`,
            `answer`, `unknown`.
        call_site: the line of code, `app.py:42`; "" if unknown.
        what: what is read there, or both sides of the difference, in a few words.
        reaches: what it reaches: `llm`, `tool`, `http`, `status`, `output`.
        times: how often it was read; 0 if unknown.
        code: the text of the line.
        shown_at: the lines of code where the difference shows.
        example: both sides of the first difference.
    """

    severity: str
    source: str
    call_site: str
    what: str = ""
    reaches: tuple[str, ...] = ()
    times: int = 0
    code: str = ""
    shown_at: tuple[str, ...] = ()
    example: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.source] if self.severity != INFO else ""


class FirstRun:
    """The inputs of the program, as the trace of the first run holds them.

    Args:
        events: its events.
        recorded: the recorded calls.
        inputs: the recorded inputs.

    Attributes:
        sources: where the program reads from outside.
        printed: number of a line of output, from 0 -> the line of code that printed it.
        files: path of a file that was read -> the lines of code that read it.
        sites: line of code that reads the clock -> the places in the code that its reads are recorded under.
    """

    def __init__(self, events: Iterable[Event], recorded: RecordedCalls, inputs: Inputs) -> None:
        events = list(events)
        self.sources = find_sources(events)
        self.sites = clock_sites(events)
        self.inputs = inputs
        self.printed, self.files = printed_by(events), files_of(events)
        self.models = Counter(_models(events))
        self.asked = [
            (event.get("component"), _text(event.get("inputs"))) for event in events if _asks(event)
        ]
        self.asking = {str(event.get("call_site")) for event in events if _asks(event)}
        self.parallel = [
            [recorded.calls[number].request.call_site or "" for number in numbers]
            for numbers in parallel(recorded)
        ]

    def present(self) -> tuple[Perturbation, ...]:
        """Return perturbations of the kinds of input that the program has."""
        read = {source.source for source in self.sources}
        has = {
            CLOCK: "clock" in read,
            RANDOMNESS: bool(read & {"randomness", "uuid1"}),
            HASH_SEED: self.inputs.hash_seed is not None and not self.inputs.hash_seed_is_set,
            ORDER: bool(self.parallel),
        }
        return tuple(each for name, each in PERTURBATIONS.items() if has[name])


def findings(
    causes: Iterable[Cause], record: FirstRun, stdout: str, root: Path, changed: Collection[str] = ()
) -> tuple[DoctorFinding, ...]:
    """Return every finding, the most important first.

    Args:
        causes: why the runs of the program differ.
        record: its inputs.
        stdout: what it printed in the first run.
        root: the folder of its code, which call sites are relative to.
        changed: the files of `record.files` that have changed since the run began.
    """
    found = [each for cause in causes for each in _of_cause(cause, record, root, changed)]
    reached = {(each.source, each.call_site) for each in found}
    found += [
        each for each in _of_record(record, stdout, root) if (each.source, each.call_site) not in reached
    ]
    coded = [replace(each, code=read_line(each.call_site, root)) for each in found]
    return tuple(
        sorted(
            coded,
            key=lambda each: (
                SEVERITIES.index(each.severity),
                _SOURCES.index(each.source),
                _line(each.call_site),
                each.what,
            ),
        )
    )


# --- differences


def _of_cause(
    cause: Cause, record: FirstRun, root: Path, changed: Collection[str]
) -> Iterator[DoctorFinding]:
    """Yield one finding for each line of code that reads the input; if unknown, for each at which the difference shows."""
    severity = WARNING if cause.replayed else ERROR
    source = FILES if cause.source == UNKNOWN and changed else cause.source
    read = _read_at(replace(cause, source=source), record, root, changed)
    if read:
        for (place, what), times in read.items():
            yield _found(severity, source, place, cause.differences, what, times)
        return
    by_place: dict[str, list[DoctorDifference]] = {}
    for each in cause.differences:
        by_place.setdefault(each.call_site, []).append(each)
    for place, own in by_place.items():
        yield _found(severity, source, place, own)


def _found(
    severity: str, source: str, place: str, seen: Sequence[DoctorDifference], what: str = "", times: int = 0
) -> DoctorFinding:
    return DoctorFinding(
        severity,
        source,
        place,
        what,
        tuple(reach for reach in _REACH if any(each.reaches == reach for each in seen)),
        times,
        shown_at=tuple(dict.fromkeys(each.call_site for each in seen if each.call_site)),
        example=next((each.what for each in seen if each.what), ""),
    )


def _read_at(
    cause: Cause, record: FirstRun, root: Path, changed: Collection[str]
) -> dict[tuple[str, str], int]:
    """Return the lines of code that read an input which makes a difference, what it is, and how often it is read."""
    if cause.source == FILES:
        return {(place, Path(path).name): 0 for path in changed for place in record.files[path]}
    if not cause.replayed:
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
        # All lines draw from one stream, so no single line can get other numbers.
        what = f"one of {len(chosen)} lines that draw" if len(chosen) > 1 else ""
    return {(place, what): times[place] for place in sorted(chosen, key=_line)}


def _own_draws(places: set[str], record: FirstRun, root: Path) -> set[str]:
    """Return the lines that draw random numbers for the program, and not for a library.

    An SDK draws some for the ids of its requests, and a library when it is imported.
    """
    return {
        place
        for place in places - record.asking
        if not read_line(place, root).startswith(("import ", "from "))
    }


# --- inputs without effect


def _of_record(record: FirstRun, stdout: str, root: Path) -> Iterator[DoctorFinding]:
    by_place: dict[tuple[str, str], int] = {}
    for source in record.sources:
        if source.source in ("clock", "randomness", "uuid1") and _is_place(source.call_site):
            key = (CLOCK if source.source == "clock" else RANDOMNESS, source.call_site)
            by_place[key] = by_place.get(key, 0) + source.times
    own = _own_draws({place for name, place in by_place if name == RANDOMNESS}, record, root)
    for (name, place), times in by_place.items():
        if name != RANDOMNESS or place in own:
            yield DoctorFinding(INFO, name, place, times=times)
    yield from _of_environment(record, stdout, root)
    if any(source.source == "stdin" for source in record.sources):
        yield DoctorFinding(INFO, STDIN, "", f"{len(record.inputs.stdin_bytes)} bytes", times=1)
    for path, read in record.files.items():
        for place in read:
            yield DoctorFinding(INFO, FILES, place, Path(path).name, times=1)
    for (place, what), times in record.models.items():
        yield DoctorFinding(INFO, MODEL_ANSWER, place, what, times=times)
    places = Counter(place for group in record.parallel for place in group)
    for place, times in places.items():
        yield DoctorFinding(INFO, ORDER, place, "called concurrently", times=times)


def _of_environment(record: FirstRun, stdout: str, root: Path) -> Iterator[DoctorFinding]:
    """Yield variables that the program's own code names, and those of its libraries by the line that calls them."""
    others: dict[str, list[InputSource]] = {}
    for source in record.sources:
        if source.source != "environment" or not _is_place(source.call_site):
            continue
        if source.what not in read_line(source.call_site, root):
            others.setdefault(source.call_site, []).append(source)
            continue
        value = record.inputs.environment.get(source.what)
        reaches = _reached_by(value, record, stdout) if source.what not in record.inputs.redacted else ()
        severity = WARNING if reaches else INFO
        yield DoctorFinding(severity, ENVIRONMENT, source.call_site, source.what, reaches, source.times)
    for place, read in others.items():
        names = sorted(source.what for source in read)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield DoctorFinding(INFO, ENVIRONMENT, place, ", ".join(names[:_MOST_NAMES]) + more, times=len(names))


def _reached_by(value: str | None, record: FirstRun, stdout: str) -> tuple[str, ...]:
    """Return what contains the value of a variable."""
    if value is None or len(value.strip()) < _LEAST_TEXT:
        return ()
    asked = {str(component) for component, text in record.asked if value in text}
    return tuple(reach for reach in _REACH if reach in asked or (reach == OUTPUT and value in stdout))


def clock_sites(events: Iterable[Event]) -> dict[str, frozenset[str]]:
    """Return line of code that reads the clock -> the places that its reads are recorded under."""
    found: dict[str, set[str]] = {}
    for event in events:
        if event.get("event_type") != EVENT_TYPE:
            continue
        clock = lenient.mapping(lenient.mapping(event.get("metadata")).get("clock"))
        for place in lenient.mapping(clock.get("places")).values():
            values = lenient.mapping(place)
            site = lenient.string(values.get("call_site"))
            if site:
                found.setdefault(site, set()).add(str(values.get("code")))
    return {site: frozenset(found[site]) for site in sorted(found, key=_line)}


def printed_by(events: Iterable[Event]) -> dict[int, str]:
    """Return number of a line of output, from 0 -> the line of code that printed it."""
    found: dict[int, str] = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            for site, numbers in lenient.mapping(
                lenient.mapping(event.get("metadata")).get("printed")
            ).items():
                found.update(dict.fromkeys(lenient.sequence(numbers), site))
    return found


def files_of(events: Iterable[Event]) -> dict[str, tuple[str, ...]]:
    """Return path of a file that was read, or was missing then and exists now -> the lines of code that read it."""
    found: dict[str, tuple[str, ...]] = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            for path, sites in lenient.mapping(lenient.mapping(event.get("metadata")).get("files")).items():
                uses = lenient.mapping(sites)
                read = [*lenient.sequence(uses.get("read"))]
                if Path(path).exists():  # a later run finds the file
                    read += lenient.sequence(uses.get("missing"))
                if read:
                    found[path] = tuple(dict.fromkeys((*found.get(path, ()), *map(str, read))))
    return found


def _models(events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    """Yield where a model was called, and with which temperature."""
    for event in events:
        if event.get("event_type") == "llm_call_start":
            params = lenient.mapping(lenient.mapping(event.get("inputs")).get("params"))
            temperature = params.get("temperature")
            values = "its own temperature" if temperature is None else f"temperature {temperature}"
            seeded = ", seeded" if params.get("seed") is not None else ""
            yield str(event.get("call_site") or ""), f"{event.get('component_name')}, {values}{seeded}"


def _asks(event: Event) -> bool:
    return event.get("event_type") in ("llm_call_start", "tool_call_start", "http_exchange_start")


def _text(inputs: object) -> str:
    """Return the text of a request, without the name of its model."""
    values = {name: value for name, value in lenient.mapping(inputs).items() if name != "model"}
    return "\n".join(_strings(values))


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


def read_line(place: str, root: Path) -> str:
    """Return the text of a line of code; "" if it does not exist."""
    name, _, number = place.rpartition(":")
    return linecache.getline(str(root / name), int(number)).strip() if number.isdigit() else ""


def _is_place(site: str) -> bool:
    name, _, number = site.rpartition(":")
    return bool(name) and number.isdigit()


def _line(place: str) -> tuple[str, int]:
    name, _, number = place.rpartition(":")
    return (name, int(number)) if number.isdigit() else (place, 0)
