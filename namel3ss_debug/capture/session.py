"""What the parent decides about a recording and hands to the traced process: where, what, and under which settings.

A session is plain JSON, because it travels in an environment variable to the child and to its own children.
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
from namel3ss_debug.traces.ring import remove_ring
from namel3ss_debug.traces.signing import key_file_for

HASH_SEED = "PYTHONHASHSEED"


@dataclass(frozen=True)
class Session:
    """One recording: where it is written, the run's id, and what is recorded.

    Attributes:
        trace: the file of its first segment.
        root: the folder of the user's own code.
        link_latest: whether the file's name is ours.
        sampled: whether this execution is recorded at all.
        gate: the socket of the shell that steps the program, if there is one.
        waits_at_calls: whether the program waits there at its calls alone, and not at every event.
        joins: whether another program may have begun the recording.
        randomness: what random numbers are drawn from; empty where that is not recorded.
        offline: whether nothing but the gate may be reached.
        rerun: what a re-run says of itself in its `trace_start`.
        arguments: those of a function, or the input of a flow.
        flow: the flow of a namel3ss app.
        workspace: the folder that a re-run of a namel3ss app may write to.
        key_file: the file with the key that signs the trace; empty where the trace is unsigned.
        tries_tools: whether tools run in a re-run that refuses them side effects.
    """

    trace: str
    execution_id: str
    settings: dict[str, Any]
    target: str = ""
    root: str = ""
    session_id: str | None = None
    link_latest: bool = True
    sampled: bool = True
    gate: str = ""
    waits_at_calls: bool = False
    joins: bool = False
    randomness: dict[str, Any] = field(default_factory=dict)
    offline: bool = False
    rerun: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    flow: str | None = None
    workspace: str = ""
    key_file: str = ""
    tries_tools: bool = False


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
    """Decide where a new recording goes; the folder is made when the first event is written.

    Args:
        config: the configuration in force.
        target: the program, as the user named it.
        root: the folder of the user's own code; the working directory if left out.
        output: the file the user asked for; a name of ours in `trace_output_dir` if left out.
        session_id: the conversation or job the run belongs to.
        running: whether the program runs already, so that its hash seed is what it is.
        arguments: the keyword arguments of a function, or the input of a flow.
        flow: the flow of a namel3ss app.

    Raises:
        WrongUsageError: `output`, or what the setting `join` names, is there and is not a recording of ours.
    """
    execution_id = os.urandom(8).hex()
    started_at = time.time()
    joins = bool(config.join) and output is None
    if output is not None:
        replace_recording(output)
    elif joins:
        output = working_directory() / config.join
        execution_id = joined_execution(output)
    path = output or Path(config.trace_output_dir) / trace_name(started_at, execution_id)
    sampled = config.sample_rate >= 1 or random.SystemRandom().random() < config.sample_rate
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
        key_file=key_file_for(execution_id) if sampled else "",
    )


def _settings(config: DebugConfiguration, *, joins: bool) -> dict[str, Any]:
    """The settings that the program is told."""
    settings = {key: value for key, value in config.to_json().items() if key not in FOR_READERS}
    return settings if joins else settings | {"join": ""}


def new_randomness(environ: Mapping[str, str], *, running: bool) -> dict[str, Any]:
    """What the random numbers of a new recording are drawn from.

    Args:
        environ: the environment of the program; a hash seed that the user has fixed there stays.
        running: whether the program runs already.

    Returns:
        `seed`, 32 hexadecimal digits; `hash_seed`, which is missing where it cannot be known; `hash_seed_given` where
        it is the user's; `hash_seed_word` where the user asked for a random one by name.
    """
    given = environ.get(HASH_SEED, "")
    randomness: dict[str, Any] = {"seed": os.urandom(16).hex()}
    if given.isdigit() and int(given) < 2**32:
        randomness |= {"hash_seed": int(given), "hash_seed_given": True}
    elif not running:
        randomness["hash_seed"] = int.from_bytes(os.urandom(4), "big") or 1  # 0 would turn randomisation off
        randomness |= {"hash_seed_word": given} if given else {}
    return randomness


def replace_recording(output: Path) -> None:
    """Remove the recording that stands where a new one shall be written.

    Raises:
        WrongUsageError: what stands there is no recording of ours, or the name is not that of a JSONL file.
    """
    name = parse_name(output.name)
    if name is None or name.process or name.segment or output.suffix == ".gz":
        raise WrongUsageError(f"cannot record to {output}: give a file name that ends with .jsonl")
    if not output.parent.is_dir():
        return
    old = [path for path in output.parent.iterdir() if _same_trace(path, name.stem)]
    for path in old:
        if not is_recording(path):
            raise WrongUsageError(
                f"will not overwrite {path}: it is not a recording; give another name with -o"
            )
    for path in old:
        remove_ring(path)
        path.unlink()


def joined_execution(path: Path) -> str:
    """The run that all programs share which record to this path; they need not ask each other.

    Raises:
        WrongUsageError: what stands there is no recording of ours, or the name is not that of a JSONL file.
    """
    name = parse_name(path.name)
    if name is None or name.process or name.segment or path.suffix == ".gz":
        raise WrongUsageError(f"cannot join {path}: give a file name that ends with .jsonl")
    if path.exists() and not is_recording(path):
        raise WrongUsageError(f"cannot join {path}: it is not a recording; give another name")
    return hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_recording(path: Path) -> bool:
    """Whether the file is empty or begins with the `trace_start` that our writer puts first."""
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20)
    except OSError:
        return False
    return not first or (b'"event_type":"trace_start"' in first and b'"execution_id"' in first)


def _same_trace(path: Path, stem: str) -> bool:
    name = parse_name(path.name)
    return name is not None and name.stem == stem
