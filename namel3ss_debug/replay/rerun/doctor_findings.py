"""List the findings of the doctor: each source of non-determinism, with its line of code and advice.

An `error` is something that a re-run does not replay. A `warning` is an input that a re-run replays and that reaches a
request, the output or the exit status. `info` is an input that reaches none of these, or an answer of a model.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
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
    describe_texts,
    parallel,
)
from namel3ss_debug.replay.rerun.order_races import find_race
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
_KINDS: Final = {"clock": CLOCK, "randomness": RANDOMNESS, "uuid1": RANDOMNESS}
_BY_LIBRARIES: Final = "randomness of libraries"
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
        request: the event of the first request that changed, in the trace of the first run; 0 if none did.
        race: the parallel calls that this request depends on, as a sentence without its full stop; "" for none.
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
    request: int = 0
    race: str = ""

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
        root: the folder of its code, which call sites are relative to.

    Attributes:
        sources: where the program reads from outside.
        read: kind of input and line of code that reads it -> how often.
        printed: number of a line of output, from 0 -> the line of code that printed it.
        files: path of a file that was read -> the lines of code that read it.
        sites: line of code that reads the clock -> the places in the code that its reads are recorded under.
        models: line of code and model -> how often it was called.
        requests: the component and the text of each request.
        recorded: the recorded calls.
    """

    def __init__(self, events: Iterable[Event], recorded: RecordedCalls, inputs: Inputs, root: Path) -> None:
        events = list(events)
        requesting = {str(event.get("call_site") or "") for event in events if _is_request(event)}
        self.inputs, self.root, self.recorded = inputs, root, recorded
        self.sources = find_sources(events)
        self.printed: dict[int, str] = {}
        self.files: dict[str, tuple[str, ...]] = {}
        self.sites: dict[str, set[str]] = {}
        self.models: Counter[tuple[str, str]] = Counter()
        self.requests: list[tuple[str, str]] = []
        for event in events:
            if event.get("event_type") == EVENT_TYPE:
                self._add_inputs(lenient.mapping(event.get("metadata")))
            elif _is_request(event):
                self._add_request(event)
        self.sites = {site: self.sites[site] for site in sorted(self.sites, key=_line)}
        self.read: Counter[tuple[str, str]] = Counter(
            (ORDER, recorded.calls[number].request.call_site or "")
            for numbers in parallel(recorded)
            for number in numbers
        )
        for source in self.sources:
            kind, place = _KINDS.get(source.source), source.call_site
            # An SDK draws random numbers for the ids of its requests, and a library when it is imported.
            if kind == RANDOMNESS and (
                place in requesting or self.code_at(place).startswith(("import ", "from "))
            ):
                kind = _BY_LIBRARIES
            if kind is not None and _is_place(place):
                self.read[kind, place] += source.times

    def code_at(self, place: str) -> str:
        """Return the text of a line of code; "" if it does not exist."""
        name, _, number = place.rpartition(":")
        return linecache.getline(str(self.root / name), int(number)).strip() if number.isdigit() else ""

    def places_of(self, kind: str) -> list[str]:
        """Return the lines of code that read a kind of input, in order."""
        return sorted((place for each, place in self.read if each == kind), key=_line)

    def present(self) -> tuple[str, ...]:
        """Return the kinds of input that the program has, of those that can be changed."""
        read = {source.source for source in self.sources}
        has = {
            CLOCK: "clock" in read,
            RANDOMNESS: bool(read & {"randomness", "uuid1"}),
            HASH_SEED: self.inputs.hash_seed is not None and not self.inputs.hash_seed_is_set,
            ORDER: bool(self.places_of(ORDER)),
        }
        return tuple(source for source in PERTURBATIONS if has[source])

    def _add_inputs(self, metadata: Mapping[str, Any]) -> None:
        for place in lenient.mapping(lenient.mapping(metadata.get("clock")).get("places")).values():
            site = lenient.string(lenient.mapping(place).get("call_site"))
            if site:
                self.sites.setdefault(site, set()).add(str(lenient.mapping(place).get("code")))
        for site, numbers in lenient.mapping(metadata.get("printed")).items():
            self.printed.update(dict.fromkeys(lenient.sequence(numbers), site))
        for path, sites in lenient.mapping(metadata.get("files")).items():
            uses = lenient.mapping(sites)
            # A later run finds a file that was missing then and exists now.
            missing = lenient.sequence(uses.get("missing")) if Path(path).exists() else []
            read = dict.fromkeys(map(str, [*lenient.sequence(uses.get("read")), *missing]))
            if read:
                self.files[path] = tuple(dict.fromkeys((*self.files.get(path, ()), *read)))

    def _add_request(self, event: Event) -> None:
        inputs, site = lenient.mapping(event.get("inputs")), str(event.get("call_site") or "")
        values = [value for name, value in inputs.items() if name != "model"]
        self.requests.append((str(event.get("component")), "\n".join(describe_texts(values))))
        if event.get("event_type") == "llm_call_start":
            params = lenient.mapping(inputs.get("params"))
            temperature = params.get("temperature")
            shown = "its own temperature" if temperature is None else f"temperature {temperature}"
            seeded = ", seeded" if params.get("seed") is not None else ""
            self.models[site, f"{event.get('component_name')}, {shown}{seeded}"] += 1


def findings(
    causes: Iterable[Cause], record: FirstRun, stdout: str, changed: Collection[str] = ()
) -> tuple[DoctorFinding, ...]:
    """Return every finding, the most important first.

    Args:
        causes: why the runs of the program differ.
        record: its inputs.
        stdout: what it printed in the first run.
        changed: the files of `record.files` that have changed since the run began.
    """
    found = [each for cause in causes for each in _of_cause(cause, record, changed)]
    reached = {(each.source, each.call_site) for each in found}
    found += [each for each in _of_record(record, stdout) if (each.source, each.call_site) not in reached]

    def place(each: DoctorFinding) -> tuple[int, int, tuple[str, int], str]:
        source = _SOURCES.index(each.source)
        return SEVERITIES.index(each.severity), source, _line(each.call_site), each.what

    return tuple(sorted((replace(each, code=record.code_at(each.call_site)) for each in found), key=place))


def _of_cause(cause: Cause, record: FirstRun, changed: Collection[str]) -> Iterator[DoctorFinding]:
    """Yield one finding for each line of code that reads the input; if unknown, for that at which the difference shows."""
    seen, source, what = cause.difference, cause.source, ""
    if source == UNKNOWN and changed:
        source = FILES
        places = [(place, Path(path).name) for path in changed for place in record.files[path]]
    else:
        read = cause.places or (record.places_of(source) if cause.replayed else ())
        if source == RANDOMNESS:
            read = read or record.places_of(_BY_LIBRARIES)
            # All lines draw from one stream, so no single line can get other numbers.
            what = f"one of {len(read)} lines that draw" if len(read) > 1 else ""
        places = [(place, what) for place in read]
    divergence = seen.divergence
    race = None
    if source == ORDER:
        race = find_race(divergence, record.recorded, parallel(record.recorded), record.root)
    for place, what in places or [(seen.call_site, "")]:
        yield DoctorFinding(
            WARNING if cause.replayed else ERROR,
            source,
            place,
            what,
            (seen.reaches,) if seen.reaches in _REACH else (),
            record.read[source, place] or record.read[_BY_LIBRARIES, place],
            shown_at=(seen.call_site,) if seen.call_site else (),
            example=seen.what,
            request=0 if divergence is None or divergence.recorded is None else divergence.recorded.number,
            race="" if race is None else race.describe(),
        )


def _of_record(record: FirstRun, stdout: str) -> Iterator[DoctorFinding]:
    """Yield the inputs that the program reads, whether they have an effect or not."""
    for (kind, place), times in record.read.items():
        if kind != _BY_LIBRARIES:
            yield DoctorFinding(
                INFO, kind, place, "called concurrently" if kind == ORDER else "", times=times
            )
    yield from _of_environment(record, stdout)
    if any(source.source == "stdin" for source in record.sources):
        yield DoctorFinding(INFO, STDIN, "", f"{len(record.inputs.stdin_bytes)} bytes", times=1)
    for path, read in record.files.items():
        for place in read:
            yield DoctorFinding(INFO, FILES, place, Path(path).name, times=1)
    for (place, what), times in record.models.items():
        yield DoctorFinding(INFO, MODEL_ANSWER, place, what, times=times)


def _of_environment(record: FirstRun, stdout: str) -> Iterator[DoctorFinding]:
    """Yield variables that the program's own code names, and those of its libraries by the line that calls them."""
    others: dict[str, list[InputSource]] = {}
    for source in record.sources:
        if source.source != "environment" or not _is_place(source.call_site):
            continue
        if source.what not in record.code_at(source.call_site):
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
    asked = {component for component, text in record.requests if value in text}
    return tuple(reach for reach in _REACH if reach in asked or (reach == OUTPUT and value in stdout))


def _is_request(event: Event) -> bool:
    return event.get("event_type") in ("llm_call_start", "tool_call_start", "http_exchange_start")


def _is_place(site: str) -> bool:
    name, _, number = site.rpartition(":")
    return bool(name) and number.isdigit()


def _line(place: str) -> tuple[str, int]:
    name, _, number = place.rpartition(":")
    return (name, int(number)) if number.isdigit() else (place, 0)
