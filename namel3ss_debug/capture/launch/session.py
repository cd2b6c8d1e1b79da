"""Decide where a trace is written and what is recorded, and hand this to the traced process.

A session is plain JSON, because it is passed to the child and its own children in an environment variable.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from namel3ss_debug.config import FOR_READERS, DebugConfiguration, working_directory
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.names import parse_name, trace_name
from namel3ss_debug.traces.signing import key_file_for

HASH_SEED = "PYTHONHASHSEED"


@dataclass(frozen=True)
class Session:
    """One trace: where it is written, the id of the run, and what is recorded.

    Attributes:
        trace: the file of its first segment.
        root: the folder of the user's own code.
        link_latest: whether the file has a name of ours, to which `trace_latest.jsonl` points.
        sampled: whether this execution is recorded at all.
        step_socket: the socket of the shell that steps the program, if there is one.
        waits_at_calls: whether the program waits at its calls alone, and not at every event.
        joins: whether another program may have begun the trace.
        randomness: the seeds of random numbers; empty if they are not recorded.
        offline: whether only the step socket may be reached.
        refused_hosts: the hosts that may not be reached even where calls are made for real.
        rerun: the description of a re-run in its `trace_start`.
        arguments: those of a function, or the input of a flow.
        flow: the flow of a namel3ss app.
        workspace: the folder that a re-run of a namel3ss app may write to.
        key_file: the file with the key that signs the trace; empty where the trace is unsigned.
    """

    trace: str
    execution_id: str
    settings: dict[str, Any]
    target: str = ""
    root: str = ""
    session_id: str | None = None
    link_latest: bool = True
    sampled: bool = True
    step_socket: str = ""
    waits_at_calls: bool = False
    joins: bool = False
    randomness: dict[str, Any] = field(default_factory=dict)
    offline: bool = False
    refused_hosts: tuple[str, ...] = ()
    rerun: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    flow: str | None = None
    workspace: str = ""
    key_file: str = ""


def new_session(
    config: DebugConfiguration,
    *,
    target: str = "",
    root: Path | None = None,
    output: Path | None = None,
    session_id: str | None = None,
    running: bool = False,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    flow: str | None = None,
) -> Session:
    """Decide where a new trace goes; the folder is created when the first event is written.

    Args:
        config: the configuration in force.
        target: the program, as the user named it.
        root: the folder of the user's own code; the working directory if left out.
        output: the file the user asked for; a name of ours in `trace_output_dir` if left out.
        session_id: the conversation or job the run belongs to.
        running: whether the program runs already, so that its hash seed cannot be chosen.
        arguments: the keyword arguments of a function, or the input of a flow.
        flow: the flow of a namel3ss app.

    Raises:
        WrongUsageError: `output`, or the file of the setting `join`, exists and is no trace of ours.
    """
    execution_id = os.urandom(8).hex()
    started_at = time.time()
    joins = bool(config.join) and output is None
    if output is not None:
        remove_old_trace(output)
    elif joins:
        output = working_directory() / config.join
        execution_id = joined_execution(output)
    path = output or Path(config.trace_output_dir) / trace_name(started_at, execution_id)
    # Guards act on what is recorded, so that a run with them is always recorded.
    guarded = bool(config.limits or config.circuit_breakers or config.retries)
    sampled = guarded or config.sample_rate >= 1 or random.SystemRandom().random() < config.sample_rate
    reproducible = sampled and config.record_randomness and config.level != "basic" and not joins
    return Session(
        trace=os.path.normpath(working_directory() / path),
        execution_id=execution_id,
        settings=_settings(config, joins=joins),
        target=target,
        root=os.path.realpath(working_directory() / (root or "")),
        session_id=session_id,
        link_latest=output is None,
        sampled=sampled,
        joins=joins,
        randomness=new_randomness(os.environ, running=running) if reproducible else {},
        arguments=dict(arguments),
        flow=flow,
        key_file=key_file_for(execution_id, running=running) if sampled else "",
    )


def _settings(config: DebugConfiguration, *, joins: bool) -> dict[str, Any]:
    """Return the settings that the program gets."""
    settings = {key: value for key, value in config.to_json().items() if key not in FOR_READERS}
    limits_file = config.limits_file or os.path.join(config.trace_output_dir, "limits.db")
    settings["limits_file"] = os.path.normpath(working_directory() / limits_file)
    return settings if joins else settings | {"join": ""}


def new_randomness(environ: Mapping[str, str], *, running: bool) -> dict[str, Any]:
    """Return the seeds of the random numbers of a new trace.

    Args:
        environ: the environment of the program; a hash seed that the user has set there stays.
        running: whether the program runs already.

    Returns:
        `seed`, 32 hexadecimal digits; `hash_seed`, if it can be known; `hash_seed_given` if the user has set it;
        `hash_seed_word` if the user has set it to `random`.
    """
    fixed = environ.get(HASH_SEED, "")
    randomness: dict[str, Any] = {"seed": os.urandom(16).hex()}
    if fixed.isdigit() and int(fixed) < 2**32:
        randomness |= {"hash_seed": int(fixed), "hash_seed_given": True}
    elif not running:
        randomness["hash_seed"] = int.from_bytes(os.urandom(4), "big") or 1  # 0 would turn randomisation off
        randomness |= {"hash_seed_word": fixed} if fixed else {}
    return randomness


def remove_old_trace(output: Path) -> None:
    """Remove the trace at the place where a new one is to be written.

    Raises:
        WrongUsageError: the file is no trace of ours, or its name is not that of a JSONL file.
    """
    name = parse_name(output.name)
    if name is None or name.process or name.segment or output.suffix == ".gz":
        raise WrongUsageError(f"cannot record to {output}: choose a file name that ends with .jsonl")
    if not output.parent.is_dir():
        return
    old = [
        path
        for path in output.parent.iterdir()
        if (part := parse_name(path.name)) is not None and part.stem == name.stem
    ]
    for path in old:
        if not is_trace(path):
            raise WrongUsageError(
                f"will not overwrite {path}: it is not a trace; choose another name with -o"
            )
    for path in old:
        path.unlink()


def joined_execution(path: Path) -> str:
    """Return the id of the run that all programs share that record to this path, without communication between them.

    Raises:
        WrongUsageError: the file is no trace of ours, or its name is not that of a JSONL file.
    """
    name = parse_name(path.name)
    if name is None or name.process or name.segment or path.suffix == ".gz":
        raise WrongUsageError(f"cannot join {path}: choose a file name that ends with .jsonl")
    if path.exists() and not is_trace(path):
        raise WrongUsageError(f"cannot join {path}: it is not a trace; choose another name")
    return hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_trace(path: Path) -> bool:
    """Return whether the file is empty or begins with the `trace_start` that our writer puts first."""
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20)
    except OSError:
        return False
    return not first or (b'"event_type":"trace_start"' in first and b'"execution_id"' in first)
