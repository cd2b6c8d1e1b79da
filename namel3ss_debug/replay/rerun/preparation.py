"""Prepare a re-run: check that a trace holds what its program needs, and decide what is started and how it is recorded.

What a trace cannot replay exactly is noted for the user.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.capture.launch.parent import Target
from namel3ss_debug.capture.launch.session import Session, new_session
from namel3ss_debug.config import REDACTING, DebugConfiguration
from namel3ss_debug.config.guarding import add_guards
from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.overrides.grammar import in_line
from namel3ss_debug.replay.rerun.addresses import SuppliedHosts
from namel3ss_debug.replay.rerun.consent import Consent, check_signatures
from namel3ss_debug.replay.rerun.effects import Effects
from namel3ss_debug.replay.rerun.file_changes import (
    find_changed_data,
    find_file_key,
    read_digests,
    relocate,
)
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls, ReplayFlaw, read_recorded
from namel3ss_debug.replay.rerun.server_code import find_server_changes
from namel3ss_debug.replay.rerun.source_files import SourceFiles
from namel3ss_debug.replay.rerun.starting import STILL, interpreter_of, named_target, target_of
from namel3ss_debug.replay.rerun.tool_code import TraceCode
from namel3ss_debug.traces.events import Event, NumberedEvents
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.inputs import MEMORY_AT_START
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.late_ends import PENDING
from namel3ss_debug.traces.output import EVENT_TYPE as OUTPUT
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.signing import load_key
from namel3ss_debug.traces.verification import verify
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock


MOST_NAMED: Final = 3
"""How many newer files a note names."""


def find_ends(trace: Trace, events: Iterable[Event] | None = None) -> tuple[Event, dict[str, Any]]:
    """Return the `trace_start` of the first process, and the metadata of its `trace_end`.

    Args:
        trace: the trace.
        events: its events, or those of these types, if they are at hand.

    Raises:
        RerunError: it has no `trace_start`, or is of several programs.
    """
    first: Event | None = None
    last: dict[str, Any] = {}
    for event in trace.events() if events is None else events:
        if event["event_type"] == "trace_start":
            if first is None and not lenient.mapping(event.get("metadata")).get("process"):
                first = event
        elif event["event_type"] == "trace_end" and "." not in str(event.get("event_id")):
            last = lenient.mapping(event.get("metadata"))
    if first is None:
        raise RerunError(f"{trace.path} names no program; {STILL}")
    if lenient.mapping(lenient.mapping(first.get("metadata")).get("settings")).get("join"):
        raise RerunError(
            f"{trace.path} is of several services (join), which cannot be run again together: "
            f"record the one you mean without join; {STILL}"
        )
    return first, last


_OF_PROGRAM: Final = frozenset({"trace_start", "trace_end", "error_occurred", INPUTS_READ, OUTPUT})


def keep_program_events(kept: list[Event], events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events, and keep those about the program as a whole, so that one pass is enough."""
    for event in events:
        if event["event_type"] in _OF_PROGRAM or is_memory_at_start(event):
            kept.append(event)
        yield event


def check_trace(path: Path, recorded: RecordedCalls) -> Iterator[str]:
    """Check that a trace holds answers, and yield notes on those it does not hold.

    Raises:
        RerunError: it cannot be re-run.
    """
    for flaw in recorded.flaws:
        if flaw.number:
            return
        if flaw.kind == "level":
            raise RerunError(
                f"{path} was recorded at level basic, without answers: record the program again with --level detailed; {STILL}"
            )
        if flaw.kind == "rotated":
            raise RerunError(
                f"{path}: the first {flaw.what} events were rotated away, and the program cannot run again without them: "
                f"record it again with rotate_keep 0; {STILL}"
            )
        yield _NOTES[flaw.kind](flaw)


_NOTES: Final[Mapping[str, Callable[[ReplayFlaw], str]]] = {
    "filtered": lambda flaw: (
        f"the trace leaves out {flaw.what.replace(' ', ', ')}: such a call stops the run; record it again without --filter"
    ),
    "lost": lambda flaw: (
        f"events are missing in the trace ({flaw.what}): a call whose answer is among them stops the run"
    ),
    "inputs": lambda flaw: (
        f"calls whose inputs were cut ({flaw.setting}): {flaw.what}; a tool or a word that is missing there is not recognised, "
        f"and a call may find no answer: record it again with {flaw.setting} 0"
    ),
    "unseen": lambda flaw: (
        f"{in_line(flaw.what)}: the program has no function of this name, so only the results were seen, and what gives them runs "
        "again; a function of yours there is answered with trace_tool_call(name=...) on it, and a hand-off or a structured answer "
        "needs nothing"
    ),
    "spans": lambda flaw: (
        f"{in_line(flaw.what)}: only the framework reports such calls, so the code behind them runs again; decorate "
        "functions of yours there with trace_tool_call(name=...) to have them answered"
    ),
}


def note_inputs(inputs: Inputs) -> Iterator[str]:
    """Yield notes on inputs that cannot be replayed."""
    if not inputs.usable:
        why = (
            "were recorded by another version" if inputs.seed else "are not in the trace (record_randomness)"
        )
        yield f"clock and random numbers {why}: the current ones are used"
    if not inputs.stdin_whole:
        yield "the standard input is not complete in the trace: the program reads only the recorded part"


def note_variables(inputs: Inputs, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a note on variables that the program read, differ now, and may not be set by a trace."""
    names = inputs.not_supplied(environ)
    if names:
        more = ", ..." if len(names) > MOST_NAMED else ""
        why = "a trace does not set" if inputs.trusted else "a trace that is not trusted does not set"
        yield f"{why} {', '.join(names[:MOST_NAMED])}{more}: the program reads the current value, which differs"


def trace_code(
    recorded: RecordedCalls,
    trace: NumberedEvents,
    kept: Iterable[Event],
    start: Mapping[str, Any],
    cwd: Path,
    moved: Mapping[str, str] = MappingProxyType({}),
) -> TraceCode:
    """Return the code that a trace holds of its tools.

    Args:
        recorded: the calls.
        trace: the trace.
        kept: its `inputs_read` events, among others.
        start: the metadata of its `trace_start`.
        cwd: the working directory, which the names of files are relative to.
        moved: the recorded file -> the present one, for those that run from another place.
    """
    then = lenient.string(start.get("cwd")) or ""
    elsewhere = {path: now for path in recorded.codes.files if (now := relocate(path, then, cwd)) != path}
    opened = {relocate(path, then, cwd): each for path, each in read_digests(kept).items()}
    return TraceCode(
        recorded.codes.by_name,
        SourceFiles(recorded.codes.files, cwd, {**elsewhere, **moved}),
        find_changed_data(opened, find_file_key(start)),
        {str(name): str(each) for name, each in lenient.mapping(start.get("packages")).items()},
        lambda folder: find_server_changes(recorded, trace, folder),
    )


def moved_script(start: Mapping[str, Any], target: Target, cwd: Path) -> dict[str, str]:
    """Return the recorded and the present file of the program, if another one runs in its place."""
    then = lenient.string(start.get("target")) or ""
    if target.kind != "script" or not then.endswith(".py"):
        return {}
    recorded, now = (os.path.relpath(cwd / each, cwd) for each in (then, target.value))
    return {} if recorded == now else {recorded: now}


def find_newer_code(
    recorded: RecordedCalls, root: Path, script: Path | None, since: float
) -> tuple[str, ...]:
    """Return the files of the user's code that made calls and were changed after a time.

    Args:
        recorded: the calls.
        root: the folder of the user's code, which the names of files are relative to.
        script: the file of the program, if it is one.
        since: seconds since the epoch.
    """
    names = set(_files_of(recorded))
    if script is not None:
        names.add(os.path.relpath(script, root))
    return tuple(sorted(name for name in names if is_newer(root / name, since)))


def is_newer(path: Path, since: float) -> bool:
    """Return whether a file was changed after a time; False for a file that cannot be looked at."""
    try:
        return path.stat().st_mtime > since
    except (OSError, ValueError):
        return False


def note_newer_code(newer: tuple[str, ...]) -> Iterator[str]:
    """Yield a note on code that is newer than the trace."""
    if newer:
        more = ", ..." if len(newer) > MOST_NAMED else ""
        yield f"newer than the trace: {', '.join(newer[:MOST_NAMED])}{more}"


def _files_of(recorded: RecordedCalls) -> Iterable[str]:
    for recorded_call in recorded.calls.values():
        request = recorded_call.request
        for place in (*request.chain, request.call_site or ""):
            name = place.rpartition(":")[0]
            if name.endswith((".py", ".ai")):
                yield name


RECORDED_SETTINGS: Final = (
    "level",
    "max_payload_size",
    "redact",
    "redact_keys",
    "redact_patterns",
    "capture_memory",
    "capture_performance",
    "retries",
)
"""The settings of a trace that its re-run is recorded with too, so that the two can be compared."""


def with_recorded_settings(
    config: DebugConfiguration, recorded: dict[str, Any], *, trusted: bool = True
) -> DebugConfiguration:
    """Return the settings in force, with those of the trace that decide its form; invalid values are skipped.

    Requests that were sent again are sent again. Limits and circuit breakers are left out, because the trace has what they did.

    Args:
        config: the settings in force.
        recorded: those of the trace.
        trusted: whether this user recorded it, or allowed it; else the user's own settings decide what is redacted.
    """
    names = [name for name in RECORDED_SETTINGS if trusted or name not in REDACTING]
    recorded_form = DebugConfiguration.from_json({name: recorded[name] for name in names if name in recorded})
    config = replace(config, limits=(), circuit_breakers={}, retries={})
    same = [name for name in names if isinstance(getattr(recorded_form, name), type(getattr(config, name)))]
    return replace(config, **{name: getattr(recorded_form, name) for name in same if name in recorded})


SNAPSHOT_FILE: Final = "memory_snapshot.json"
"""The file that holds the memory of a namel3ss app, in the app's folder."""


def is_memory_at_start(event: Event) -> bool:
    """Return whether an event holds the memory of a namel3ss app at its start."""
    operation = lenient.mapping(event.get("metadata")).get("operation")
    return event["event_type"] == "memory_operation" and operation == MEMORY_AT_START


def find_memory(events: Iterable[Event]) -> str | None:
    """Return the memory at the start; None for none."""
    found = (lenient.mapping(event.get("outputs")) for event in events if is_memory_at_start(event))
    return next((lenient.string(outputs.get("snapshot")) for outputs in found), None)


def make_workspace(folder: Path, memory: str | None) -> str:
    """Make the folder that a namel3ss app writes to in its re-run, with the memory in it.

    Args:
        folder: a folder that is removed after the run.
        memory: the memory at the start.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    if memory is not None:
        descriptor = os.open(place / SNAPSHOT_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(memory)
    return str(place)


@dataclass(frozen=True)
class RerunOptions:
    """What the user wants of a re-run.

    Attributes:
        overrides: mocks and faults.
        run_tools: the names of tools that are run for real; `all` for every one.
        strict: whether the first divergence ends it.
        live_from: the number of the event from which on everything is called for real; 0 for never.
        realtime: whether answers take their recorded time.
        python: the interpreter; that of this process if left out.
        watch: whether the re-run's trace lists where random numbers are drawn.
        consent: why the program may be started.
        run_changed_tools: whether tools are run whose code has changed since the trace was recorded, or may have.
        ignore: patterns of texts that are not compared.
        accept: what counts as verified although it may differ now: `stale-tools`, `unknown-code`.
        program: the program and its arguments that run in place of the recorded one; () for the recorded one.
        run_commands: the names of the programs whose commands are run for real; `all` for every one.
        try_tools: which answered tools are tried as well, in a copy of the program: `changed`, `all`, or "" for none.
        guards: the settings `limits`, `circuit_breakers` and `retries` that are to act on the recorded calls; {} for those of
            the trace, whose outcome it holds.
    """

    overrides: tuple[Mock | Fault, ...] = ()
    run_tools: tuple[str, ...] = ()
    strict: bool = False
    live_from: int = 0
    realtime: bool = False
    python: str | None = None
    watch: bool = False
    consent: Consent = "signature"
    run_changed_tools: bool = False
    accept: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    run_commands: tuple[str, ...] = ()
    try_tools: str = ""
    ignore: tuple[str, ...] = ()
    guards: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A re-run that can begin.

    Attributes:
        trace: the trace.
        start: the metadata of its `trace_start`.
        last: those of its `trace_end`; {} if there is none.
        plan: how calls are answered.
        wanted: what the user wants.
        inputs: the recorded inputs.
        target: the program.
        python: the interpreter.
        cwd: the working directory.
        session: how the re-run is recorded.
        notes: notes for the user, a line each.
        newer: the user's files of code that are newer than the trace.
        memory: the memory of a namel3ss app at its start; None for none.
        accepted: the setting `accept`.
        effects: what the recorded run did by itself.
        ignored: patterns of texts that are not compared, of the options and the settings.
    """

    trace: Trace
    start: dict[str, Any]
    last: dict[str, Any]
    plan: Plan
    wanted: RerunOptions
    inputs: Inputs
    target: Target
    python: str
    cwd: Path
    session: Session
    notes: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    memory: str | None = None
    accepted: tuple[str, ...] = ()
    effects: Effects = field(default_factory=Effects)
    ignored: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program; the variables it read are as recorded."""
        return self.inputs.variables(os.environ)


def prepare(trace: Trace, wanted: RerunOptions, config: DebugConfiguration, folder: Path) -> Prepared:
    """Check that a recorded program can run again.

    Args:
        trace: the trace.
        wanted: what the user wants.
        config: the settings in force, for what the trace does not decide.
        folder: where the re-run is recorded.

    Raises:
        RerunError: the trace does not hold what is needed.
        TargetError: the program, or its interpreter, does not exist any more.
        TrustError: this user did not record the trace, and nobody allowed to run it.
        MockError: an override does not fit the calls it is for.
    """
    kept: list[Event] = []
    recorded = read_recorded(trace, keep_program_events(kept, trace.indexed_events()))
    first, last = find_ends(trace, kept)
    start = lenient.mapping(first.get("metadata"))
    notes = list(check_trace(trace.path, recorded))
    inputs = Inputs.of(kept)
    if recorded.source:
        notes.append(
            f"approximate: the trace is of another tool ({in_line(recorded.source)}), so requests are matched by their messages, "
            "and responses are made from its decoded answers"
        )
    else:
        notes += note_inputs(inputs)
    target, cwd = named_target(wanted.program) if wanted.program else target_of(trace.path, start)
    inputs.trusted = check_signatures(trace.path, trace.processes, wanted.consent)
    python, noted = interpreter_of(wanted.python, start, target)
    notes += noted
    session = _new_session(trace, first, target, wanted, config, folder, trusted=inputs.trusted)
    since = float(first.get("timestamp") or 0.0)
    plan = Plan(
        recorded,
        frozenset(wanted.run_tools),
        wanted.strict,
        wanted.live_from,
        wanted.realtime,
        wanted.run_changed_tools,
        config.tools,
        trace_code(recorded, trace, kept, start, cwd, moved_script(start, target, cwd)),
        frozenset(wanted.run_commands),
        wanted.try_tools,
        consent=wanted.consent,
        hang_seconds=config.hang_seconds,
    )
    if not plan.is_closed and not verify(trace.processes, load_key()).is_own:
        inputs.supplies_addresses = False
        read = [*map(str, lenient.sequence(start.get("argv"))), json.dumps(start.get("arguments"))]
        stdin = inputs.stdin_bytes.decode("utf-8", "replace")
        plan = replace(plan, supplied=SuppliedHosts([*read, stdin], trace.events, os.environ))
    notes += note_variables(inputs, os.environ)
    script = cwd / target.value if target.kind in {"script", "app"} else None
    newer = find_newer_code(recorded, Path(session.root), script, since)
    notes += note_newer_code(newer)
    notes += _note_names(wanted, trace, is_new=bool(newer or wanted.program))
    all_notes, memory = tuple(notes), find_memory(kept)
    return Prepared(
        *(trace, start, last, plan, wanted, inputs, target, python, cwd, session, all_notes, newer, memory),
        accepted=config.accept,
        effects=Effects.of(kept),
        ignored=(*config.rerun_ignore, *wanted.ignore),
    )


def _new_session(
    trace: Trace,
    first: Event,
    target: Target,
    wanted: RerunOptions,
    config: DebugConfiguration,
    folder: Path,
    *,
    trusted: bool,
) -> Session:
    """Return how the re-run is recorded."""
    recorded = lenient.mapping(lenient.mapping(first.get("metadata")).get("settings"))
    base = replace(
        with_recorded_settings(config, recorded, trusted=trusted),
        enabled=True,
        trace_output_dir=str(folder),
        default_components=(),
        sample_rate=1.0,
        buffer_size=1,
        record_randomness=True,
        join="",
        limits_file="",
    )
    base = replace(base, **add_guards(vars(base), wanted.guards))
    session = new_session(
        base,
        target=target.text,
        root=target.root,
        session_id=first.get("session_id"),
        arguments=target.arguments,
        flow=target.flow,
    )
    rerun: dict[str, Any] = {
        "verdict": PENDING,
        "of": first.get("execution_id"),
        "recording": str(trace.files[0].resolve()),
    } | _changes(wanted)
    return replace(session, link_latest=False, offline=True, rerun=rerun)


def _note_names(wanted: RerunOptions, trace: Trace, *, is_new: bool) -> Iterable[str]:
    """Check overrides against the trace, and return notes on them."""
    if not (wanted.overrides or wanted.run_tools or wanted.run_commands):
        return ()
    from namel3ss_debug.replay.rerun.overriding import checked_names  # only here is it needed

    return checked_names(wanted.overrides, wanted.run_tools, trace, wanted.run_commands, is_new=is_new)


def options_of(wanted: RerunOptions) -> tuple[str, ...]:
    """Return the command-line options that ask for this, each with its value."""
    options: list[str] = []
    if wanted.overrides:
        from namel3ss_debug.replay.rerun.overriding import written  # only here is it needed

        changes = written(wanted.overrides)
        options += [f"--mock {shlex.quote(each)}" for each in changes["mocks"]]
        options += [f"--fault {shlex.quote(each)}" for each in changes["faults"]]
    options += [f"--run-tools {shlex.quote(each)}" for each in wanted.run_tools]
    options += [f"--run-commands {shlex.quote(each)}" for each in wanted.run_commands]
    options += ["--run-changed-tools"] if wanted.run_changed_tools else []
    options += ["--try-tools"] if wanted.try_tools else []
    options += [f"--ignore {shlex.quote(each)}" for each in wanted.ignore]
    options += [f"--live-from {wanted.live_from}"] if wanted.live_from else []
    options += [f"--python {shlex.quote(wanted.python)}"] if wanted.python else []
    options += [f"-- {shlex.join(wanted.program)}"] if wanted.program else []
    return tuple(options)


def _changes(wanted: RerunOptions) -> dict[str, Any]:
    """Return what the user has changed, for the metadata of the new trace."""
    changes: dict[str, Any] = {}
    if wanted.overrides:
        from namel3ss_debug.replay.rerun.overriding import written  # only here is it needed

        changes |= written(wanted.overrides)
    changes |= {
        "run_tools": list(wanted.run_tools),
        "run_commands": list(wanted.run_commands),
        "run_changed_tools": True if wanted.run_changed_tools else None,
        "try_tools": wanted.try_tools or None,
        "accept": list(wanted.accept),
        "program": list(wanted.program),
        "live_from": wanted.live_from or None,
        "guards": dict(wanted.guards),
    }
    return {name: value for name, value in changes.items() if value not in (None, [], {})}
