"""The recorded inputs of a program: clock, randomness, environment and standard input.

They are in `inputs_read` events and in `metadata.randomness` of `trace_start`. `Recorded` gathers them for a re-run,
`sources` lists where a program reads them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from namel3ss_debug.traces.environment import holds_address, may_supply
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

EVENT_TYPE = "inputs_read"

MEMORY_AT_START = "restore"
"""The `operation` of the `memory_operation` with the memory of a namel3ss app at its start, in `outputs.snapshot`."""

VERSION = 3
"""The version of the names of lines of work and places, and of how numbers are drawn for them.

A re-run knows no other.
"""

_INTERPRETER = frozenset({"TZ", "LANG", "LANGUAGE", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE"})


@dataclass
class Recorded:
    """The inputs of one execution, of all its processes.

    Attributes:
        seed: the seed of the random numbers; empty where it was not recorded.
        hash_seed: the value of PYTHONHASHSEED; `None` where it is not known.
        hash_seed_is_set: whether the user had set it.
        version: of the names of lines of work and places.
        state: the state of the generator of `random`, where the program was running already when its trace began;
            of a test, where its function began.
        started: when the trace began, nanoseconds since the epoch.
        clock: the reads by line of work and place, in order.
        left_out: places that read the clock again after the limit, when no more reads were kept.
        uuid1: time, node and sequence of each, by line of work, hexadecimal.
        environment: the variables that were read, `None` for one that was not set. A value read by a child process
            counts only where the process that started it did not read the variable as well.
        redacted: those variables whose value was not kept.
        interpreter: the variables that the interpreter read at its start.
        stdin: what was read from the standard input, base64.
        stdin_whole: whether that is all that was read, unchanged.
        stdin_ended: whether the end of the standard input was reached.
        stdin_lines: how many of its lines were read in a call of a tool, by the line of work of that call.
        terminal: whether the standard input was a terminal.
        trusted: whether this user recorded the trace, or allowed it; else it supplies only locale and time zone.
        supplies_addresses: whether it sets variables that hold the address of a server.
        files_of: the execution by whose key the digests of opened files are keyed; "" if there are none.
        file_key: that key, hexadecimal, if a re-run is to use it.
    """

    seed: str = ""
    hash_seed: int | None = None
    hash_seed_is_set: bool = False
    version: int = VERSION
    state: str = ""
    started: int = 0
    clock: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    uuid1: dict[str, list[str]] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    redacted: list[str] = field(default_factory=list)
    interpreter: dict[str, str] | None = None
    stdin: str = ""
    stdin_whole: bool = True
    stdin_ended: bool = False
    stdin_lines: dict[str, int] = field(default_factory=dict)
    terminal: bool = False
    trusted: bool = True
    supplies_addresses: bool = True
    files_of: str = ""
    file_key: str = ""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Recorded:
        """Gather the inputs from the events of a trace, in the order of the trace; other events are ignored."""
        recorded = cls()
        places: dict[tuple[str, str], str] = {}
        readers: dict[str, int] = {}
        stdin: list[bytes] = []
        for event in events:
            metadata = event.get("metadata")
            if isinstance(metadata, dict):
                if event.get("event_type") == "trace_start":
                    recorded._start(event, metadata)
                elif event.get("event_type") == EVENT_TYPE:
                    recorded._add(metadata, places, stdin)
                    recorded._add_variables(metadata, readers)
        recorded.stdin = base64.b64encode(b"".join(stdin)).decode()
        return recorded

    @property
    def usable(self) -> bool:
        """Whether randomness and clock were recorded in a version that is known here."""
        return bool(self.seed) and self.version == VERSION

    @property
    def stdin_bytes(self) -> bytes:
        """What was read from the standard input."""
        return base64.b64decode(self.stdin)

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment for a re-run: the current one, with the recorded values that a trace may supply.

        A variable whose value was not kept has its current value; where it is not set now, it gets the placeholder,
        since programs check whether a key is set before they use it.
        """
        result = dict(environ)
        recorded: dict[str, Any] = {
            name: value
            for name, value in self.environment.items()
            if value is None or name not in self.redacted or name not in environ
        }
        if self.interpreter is not None:
            recorded |= dict.fromkeys(find_interpreter_variables(environ)) | self.interpreter
        for name, value in recorded.items():
            if not self._may_supply(name, value):
                continue
            if value is None:
                result.pop(name, None)
            else:
                result[name] = value
        return result

    def not_supplied(self, environ: Mapping[str, str]) -> list[str]:
        """Return the variables that the program read and that a re-run leaves at another value than the recorded one."""
        return sorted(
            name
            for name, value in self.environment.items()
            if name not in self.redacted and value != environ.get(name) and not self._may_supply(name, value)
        )

    def _may_supply(self, name: str, value: object) -> bool:
        return may_supply(name, value, trusted=self.trusted) and (
            self.supplies_addresses or not holds_address(value)
        )

    def to_text(self) -> str:
        """Return the inputs as JSON, for the file that a re-run reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Recorded:
        """Read what `to_text` wrote.

        Raises:
            ValueError: the text is something else.
        """
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(str(error)) from error

    def _start(self, event: Event, metadata: Mapping[str, Any]) -> None:
        randomness = metadata.get("randomness")
        if metadata.get("process") or self.seed:  # only the first process is always signed
            return
        if not isinstance(randomness, dict) or not _is_seed(randomness.get("seed")):
            return
        self.seed = randomness["seed"]
        version, hash_seed = randomness.get("lineage", VERSION), randomness.get("hash_seed")
        self.version = version if isinstance(version, int) else 0
        self.hash_seed = hash_seed if type(hash_seed) is int and 0 <= hash_seed < 2**32 else None
        self.hash_seed_is_set = bool(randomness.get("hash_seed_given"))
        self.state = str(randomness.get("state", ""))
        interpreter = randomness.get("interpreter")
        self.interpreter = interpreter if isinstance(interpreter, dict) else None
        self.terminal = randomness.get("terminal") is True
        self.files_of = lenient.string(lenient.mapping(randomness.get("files")).get("execution")) or ""
        self.started = int(float(event.get("timestamp", 0.0)) * 1e9)

    def _add(
        self, metadata: Mapping[str, Any], places: dict[tuple[str, str], str], stdin: list[bytes]
    ) -> None:
        """Add the inputs of one event; where a value is recorded twice, the first counts."""
        process = str(metadata.get("process"))
        self.state = lenient.string(metadata.get("state")) or self.state
        clock = lenient.mapping(metadata.get("clock"))
        for number, place in lenient.mapping(clock.get("places")).items():
            places[process, number] = str(lenient.mapping(place).get("code"))
        for path, by_place in lenient.mapping(clock.get("reads")).items():
            for number, values in lenient.mapping(by_place).items():
                key = places.get((process, number), "")
                self.clock.setdefault(path, {}).setdefault(key, []).extend(_absolute(values))
        self.left_out += [
            places.get((process, str(number)), "") for number in lenient.sequence(clock.get("left_out"))
        ]
        for path, values in lenient.mapping(metadata.get("uuid1")).items():
            self.uuid1.setdefault(path, []).extend(map(str, lenient.sequence(values)))
        self._add_stdin(lenient.mapping(metadata.get("stdin")), stdin)
        for path, count in lenient.mapping(metadata.get("stdin_lines")).items():
            if isinstance(count, int):
                self.stdin_lines[path] = self.stdin_lines.get(path, 0) + count

    def _add_variables(self, metadata: Mapping[str, Any], readers: dict[str, int]) -> None:
        """Add variables: a value that an outer process read takes precedence over those of its child processes.

        Where one child process got a variable and another one beside it has none, the program began without it.

        Args:
            metadata: of an `inputs_read` event.
            readers: for each variable, the depth below the first process of the process that read it.
        """
        below = str(metadata.get("process")).count("/")
        for name, entry in lenient.mapping(metadata.get("environment")).items():
            value = lenient.mapping(entry).get("value")
            known = readers.get(name, below + 1)
            if known < below or (known == below and value is not None):
                continue
            readers[name] = below
            self.environment[name] = value
            if name in self.redacted:
                self.redacted.remove(name)
            if lenient.mapping(entry).get("redacted"):
                self.redacted.append(name)

    def _add_stdin(self, read: Mapping[str, Any], stdin: list[bytes]) -> None:
        if "text" in read:
            stdin.append(str(read["text"]).encode())
        elif "base64" in read:
            try:
                stdin.append(base64.b64decode(read["base64"]))
            except (binascii.Error, TypeError):
                self.stdin_whole = False
        if read.get("redacted") or read.get("left_out"):
            self.stdin_whole = False
        self.stdin_ended = self.stdin_ended or bool(read.get("ended"))


class InputSource(NamedTuple):
    """One place at which a program reads an input: what it reads, where, and how often."""

    source: str
    """`clock`, `uuid1`, `environment`, `stdin` or `randomness`."""
    call_site: str
    """`app.py:12`; empty where none of the user's code was on the stack."""
    what: str
    """The name of the variable, or the library function that reads the clock; may be empty."""
    times: int


def find_sources(events: Iterable[Event]) -> list[InputSource]:
    """Return the places at which a recorded program read its inputs, by source and call site.

    Draws of random numbers are only listed in a trace that watched for them.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    places: dict[tuple[str, str], tuple[str, str]] = {}
    for event in events:
        if event.get("event_type") != EVENT_TYPE:
            continue
        metadata = lenient.mapping(event.get("metadata"))
        process = str(metadata.get("process"))
        clock = lenient.mapping(metadata.get("clock"))
        for number, place in lenient.mapping(clock.get("places")).items():
            library = str(lenient.mapping(place).get("code", "")).rpartition(" ")[2]
            places[process, number] = (
                str(lenient.mapping(place).get("call_site", "")),
                "" if "#" in library else library,
            )
        for by_place in lenient.mapping(clock.get("reads")).values():
            for number, values in lenient.mapping(by_place).items():
                found["clock", *places.get((process, number), ("", ""))] += len(values)
        for values in lenient.mapping(metadata.get("uuid1")).values():
            found["uuid1", "", ""] += len(values)
        for name, entry in lenient.mapping(metadata.get("environment")).items():
            found["environment", str(lenient.mapping(entry).get("call_site", "")), name] += 1
        for site, count in lenient.mapping(metadata.get("drawn")).items():
            found["randomness", site, ""] += count
        if metadata.get("stdin"):
            found["stdin", "", ""] += 1
    return [InputSource(*key, count) for key, count in sorted(found.items())]


def find_interpreter_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those of the variables that the interpreter itself reads at its start."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if name in _INTERPRETER or name.startswith("LC_")
    }


def _absolute(values: object) -> list[int]:
    result: list[int] = []
    total = 0
    for value in values if isinstance(values, list) else ():
        total += value if isinstance(value, int) else 0
        result.append(total)
    return result


def _is_seed(value: object) -> bool:
    """Return whether a value is a seed as the recorder writes it: hexadecimal digits."""
    try:
        return isinstance(value, str) and bool(bytes.fromhex(value))
    except ValueError:
        return False
