"""Decide whether a trace may be re-run: by its signature, by the user's consent, or because the user named the program.

A trace of somebody else is data. The program that it names is started only after the user agreed.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from namel3ss_debug.config import TRUST_VARIABLE
from namel3ss_debug.errors import TrustError, WrongUsageError, short
from namel3ss_debug.traces.environment import may_supply
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.signing import find_flaw, load_key
from namel3ss_debug.traces.trust import content_digest, is_below_trusted_folder, load_trusted
from namel3ss_debug.wire import lenient

Consent = Literal["signature", "user", "program"]
"""Why a re-run may start a process.

- `signature`: this user recorded the trace.
- `user`: the user allowed this trace.
- `program`: the user named the program. The trace answers its calls, and sets only locale and time zone.
"""

_LONGEST: Final = 300
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
        variables: the names of the environment variables that the trace would set.
    """

    command: str
    arguments: str
    folder: str
    interpreter: str
    variables: tuple[str, ...]


def planned_run(events: Iterable[Event], interpreter: str) -> PlannedRun | None:
    """Return what a re-run would start; `None` if the trace names no program.

    Args:
        events: the signed events of the trace, as `signing.signed_lines` reads them.
        interpreter: the Python that would run it.
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
    if not target:
        return None
    words = target.split(" ", 1) if target.startswith("-m ") else [target]
    words += [str(word) for word in lenient.sequence(start.get("argv"))[1:]]
    arguments = lenient.mapping(start.get("arguments"))
    inputs = Inputs.of(events)
    recorded: dict[str, object] = {**inputs.environment, **(inputs.interpreter or {})}
    variables = sorted(
        name
        for name, value in recorded.items()
        if value != os.environ.get(name) and may_supply(name, value, trusted=True)
    )
    return PlannedRun(
        short(shlex.join(words), _LONGEST),
        short(json.dumps(arguments), _LONGEST) if arguments else "",
        short(str(start.get("cwd")), _LONGEST),
        interpreter,
        tuple(variables),
    )


def named_variables(planned: PlannedRun) -> str:
    """Return the first names of the variables that a trace would set, for a message."""
    more = len(planned.variables) - _MOST_NAMED
    return ", ".join(planned.variables[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


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


def check_signatures(path: Path, events: Iterable[Event], consent: Consent) -> bool:
    """Check the events that a re-run uses, and return whether the trace may set variables.

    Args:
        path: the file of the trace.
        events: its events, at least those that are signed.
        consent: why the re-run may start a process.

    Raises:
        TrustError: the signature was the reason, and it is not valid.
    """
    if consent == "user":
        return True
    flaw = find_flaw(events, load_key())
    if flaw and consent == "signature":
        raise TrustError(f"{path} is not a trace of yours ({flaw}): read it, and add --trust to run it again")
    return not flaw


def refusal(path: Path, flaw: str, planned: PlannedRun) -> TrustError:
    """Return the error for a trace that nobody allowed, which names what would be run."""
    arguments = f" with {planned.arguments}" if planned.arguments else ""
    sets = f", and would set {named_variables(planned)}" if planned.variables else ""
    return TrustError(
        f"{path} is not a trace of yours ({flaw}). It would start {planned.command}{arguments} in {planned.folder} with "
        f"{planned.interpreter}{sets}. To allow that, add --trust, or run: namel3ss debug trust "
        f"{shlex.quote(str(path.parent))}"
    )
