"""Decide whether a trace may be re-run: by its signatures, or by the user's consent.

A trace of somebody else is data, and so is one that was changed since. The program that it names is started, and its
answers are given to that program, only after the user agreed.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from namel3ss_debug.config import TRUST_VARIABLE
from namel3ss_debug.errors import TrustError, WrongUsageError, short
from namel3ss_debug.traces.environment import may_supply
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.signing import load_key
from namel3ss_debug.traces.store import ProcessFiles
from namel3ss_debug.traces.trust import content_digest, is_below_trusted_folder, load_trusted
from namel3ss_debug.traces.verification import ChangedLine, Verification, verify
from namel3ss_debug.wire import lenient

Consent = Literal["signature", "user", "program"]
"""Why a re-run may start a process.

- `signature`: this user recorded the trace, and nothing in it was changed.
- `user`: the user allowed this trace.
- `program`: the program is a test that the user runs. The trace answers its calls, and starts and sets nothing.
"""

MOST_SHOWN: Final = 4096
"""How many characters of one value a user may be asked to read."""

_LONGEST: Final = 300
_LONGEST_VALUE: Final = 100
_MOST_NAMED: Final = 8
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class PlannedRun:
    """What a re-run of a trace would start, as the trace describes it.

    Attributes:
        command: the program with its arguments, quoted for a shell.
        arguments: the keyword arguments of a function, or the input of an app's flow, as JSON; empty for none.
        folder: the working directory.
        interpreter: the Python that would run it.
        variables: the environment variables that the trace would set, each with its value; None removes one.
        stdin: what the program would read from its standard input.
        commands: the commands that would be started because their processes are parts of the trace, as JSON.
    """

    command: str
    arguments: str
    folder: str
    interpreter: str
    variables: tuple[tuple[str, str | None], ...]
    stdin: str = ""
    commands: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Return all of it for the user to read: what each value is, and the value."""
        rows = [
            ("program", self.command),
            ("arguments", self.arguments),
            ("folder", self.folder),
            ("interpreter", self.interpreter),
            *(("variable", format_variable(name, value)) for name, value in self.variables),
            ("stdin", self.stdin),
            *(("command", command) for command in self.commands),
        ]
        return [(name, value) for name, value in rows if value]

    def unreadable(self) -> str:
        """Return the name of the first value that is too long to be read before an answer; "" for none."""
        for name, value in self.rows():
            if len(value) > MOST_SHOWN:
                named = value.partition("=")[0] if name == "variable" else ""
                return f"the {name} {short(named, _LONGEST_VALUE)}".strip()
        return ""


def planned_run(
    events: Iterable[Event], commands: Iterable[Event], interpreter: str, program: Sequence[str] = ()
) -> PlannedRun | None:
    """Return what a re-run would start; `None` if neither the trace nor the user names a program.

    Args:
        events: the events of the trace, at least those about the program as a whole.
        commands: the start events of the commands that would start again.
        interpreter: the Python that would run it.
        program: the program that the user named in place of the recorded one, which gets the same answers.
    """
    events = list(events)
    start: Mapping[str, Any] = next(
        (
            metadata
            for event in events
            if event.get("event_type") == "trace_start"
            and not (metadata := lenient.mapping(event.get("metadata"))).get("process")
        ),
        {},
    )
    target = lenient.string(start.get("target"))
    if not target and not program:
        return None
    target = target or ""
    words = target.split(" ", 1) if target.startswith("-m ") else [target]
    words += [str(word) for word in lenient.sequence(start.get("argv"))[1:]]
    arguments = lenient.mapping(start.get("arguments"))
    inputs = Inputs.of(events)
    recorded: dict[str, str | None] = {**inputs.environment, **(inputs.interpreter or {})}
    return PlannedRun(
        shlex.join(program or words),
        json.dumps(arguments) if arguments else "",
        os.getcwd() if program else str(start.get("cwd")),
        interpreter,
        tuple(
            (name, value)
            for name, value in sorted(recorded.items())
            if value != os.environ.get(name)
            and may_supply(name, value, trusted=True)
            and not (name in inputs.redacted and name in os.environ)
        ),
        inputs.stdin_bytes.decode("utf-8", "backslashreplace"),
        tuple(dict.fromkeys(json.dumps(lenient.mapping(event.get("inputs"))) for event in commands)),
    )


def format_variable(name: str, value: str | None) -> str:
    """Return a variable as a shell would set it."""
    return f"{name}=" if value is None else f"{name}={value}"


def is_allowed(files: Iterable[Path]) -> bool:
    """Return whether the user allowed a trace before: by the environment, a trusted folder, or its content.

    Raises:
        WrongUsageError: the variable is neither true nor false.
    """
    word = os.environ.get(TRUST_VARIABLE, "").strip().lower()
    if word not in _YES | _NO:
        raise WrongUsageError(f"{TRUST_VARIABLE}={word!r} is neither yes nor no: set it to 1 or 0")
    if word in _YES:
        return True
    files, trusted = list(files), load_trusted()
    if is_below_trusted_folder(files, trusted):
        return True
    try:
        return bool(trusted.traces) and content_digest(files) in trusted.traces
    except OSError:
        return False


def check_signatures(path: Path, processes: tuple[ProcessFiles, ...], consent: Consent) -> bool:
    """Verify the trace that a re-run uses, and return whether it may set variables.

    Args:
        path: the file of the trace.
        processes: all its files.
        consent: why the re-run may start a process.

    Raises:
        TrustError: the signatures were the reason, and they are not valid.
    """
    if consent == "user":
        return True
    found = verify(processes, load_key())
    if not found.is_own and consent == "signature":
        raise TrustError(f"{describe_verification(path, found)}: read it, and add --trust to run it again")
    return found.is_own


def describe_verification(path: Path, found: Verification) -> str:
    """Return why a trace is not taken for one that this user recorded."""
    if found.flaw:
        return f"{path} is not a trace of yours ({found.flaw})"
    first = describe_change(found.changes[0])
    more = len(found.changes) - 1
    others = f" and {more} more" if more else ""
    return f"{path} is not as you recorded it ({first}{others})"


def describe_change(change: ChangedLine) -> str:
    """Return the place of a changed line, and its event."""
    event = change.event
    name = " ".join(str(event[key]) for key in ("event_type", "component_name") if key in event)
    what = "is there twice" if change.twice else "changed"
    return f"{change.file} line {change.line} {what}: {short(name, _LONGEST_VALUE)}"


def refusal(path: Path, found: Verification, planned: PlannedRun) -> TrustError:
    """Return the error for a trace that nobody allowed, which names what would be run."""
    arguments = f" with {short(planned.arguments, _LONGEST)}" if planned.arguments else ""
    named = [
        short(format_variable(name, value), _LONGEST_VALUE) for name, value in planned.variables[:_MOST_NAMED]
    ]
    more = len(planned.variables) - _MOST_NAMED
    sets = f", and would set {', '.join(named)}" + (f" and {more} more" if more > 0 else "") if named else ""
    return TrustError(
        f"{describe_verification(path, found)}. It would start {short(planned.command, _LONGEST)}{arguments} in "
        f"{short(planned.folder, _LONGEST)} with {planned.interpreter}{sets}. To allow that, add --trust, or run: "
        f"namel3ss debug trust {shlex.quote(str(path.parent))}"
    )


def too_long(path: Path, found: Verification, value: str) -> TrustError:
    """Return the error for a trace with a value that no question can show."""
    return TrustError(
        f"{describe_verification(path, found)}, and {value} has more than {MOST_SHOWN} characters, too many to ask about: "
        "read it with namel3ss debug inspect, and add --trust"
    )
