"""Switching tracing on and off in a process: by a call, by the runner, or in a child process.

One tracer at a time; the hooks find it in `switch.ACTIVE`. A forked child goes on with a writer of its own, a
spawned one starts here again from the session in its environment.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture import (
    byvalue,
    context,
    delivery,
    frameworks,
    mcp,
    notebooks,
    outer_frames,
    pools,
    processes,
    queues,
    rewrite,
    services,
    switch,
    tools,
    traceparent,
    transport,
)
from namel3ss_debug.capture.answers import Answers, Gate
from namel3ss_debug.capture.callsite import CallSites
from namel3ss_debug.capture.environment import start_metadata
from namel3ss_debug.capture.exchanges import Exchanges
from namel3ss_debug.capture.failures import tell_uncaught
from namel3ss_debug.capture.loaded import LoadedFunctions
from namel3ss_debug.capture.logs import following
from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.session import Session, new_session
from namel3ss_debug.capture.target_hints import NOTEBOOK
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.config import (
    REDACTING,
    DebugConfiguration,
    Mistake,
    enabled_never,
    load_configuration,
    working_directory,
)
from namel3ss_debug.errors import WrongUsageError, short
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.exits import flush_on_exit
from namel3ss_debug.traces.redaction import Redactor
from namel3ss_debug.traces.signing import remove_lent_keys, signer
from namel3ss_debug.traces.unrecorded import take_marks
from namel3ss_debug.traces.writer import TraceWriter

if TYPE_CHECKING:  # imported where a program is stepped
    from namel3ss_debug.capture.determinism.installing import InTest
    from namel3ss_debug.capture.gate import GatedWriter

_undo: list[Callable[[], None]] = []
_renewed_by_fork: list[Callable[[], None]] = []
_registered = False
_LONGEST_TOLD = 500


def initialize_tracing(
    config: DebugConfiguration | Mapping[str, Any] | None = None, **settings: Any
) -> ExecutionTracer | switch.OffTracer:
    """Start tracing in this process; what is already traced goes on as it is.

    Args:
        config: a whole configuration, or settings by key; the configuration in force if left out.
        **settings: further settings by key; they win.

    Returns:
        The tracer, or one that does nothing where this execution is not sampled.

    Raises:
        WrongUsageError: what the setting `join` names is no recording.
        SettingError: a setting given here has an unknown key or a value that is not allowed. What is wrong in the
            configuration file or the environment is one warning on stderr.
    """
    if switch.ACTIVE is not None or enabled_never():
        return switch.get_global_tracer()
    if isinstance(config, DebugConfiguration):
        config = config.to_json()
    given = {**(config or {}), **settings}
    return _start(configuration_in_force(given), given) or switch.get_global_tracer()


def start_if_enabled() -> None:
    """Start tracing where the configuration in force says so; a mistake in it is a warning, never an end."""
    if switch.ACTIVE is None and not enabled_never():
        config = configuration_in_force({})
        if config.enabled:
            _start(config, {})


def _start(config: DebugConfiguration, given: Mapping[str, Any]) -> ExecutionTracer | None:
    """Start tracing in this process, which runs already; `None` where nothing is recorded.

    Raises:
        WrongUsageError: what the setting `join` names is no recording, and it was given by the program.
    """
    try:
        session = new_session(config, target=_running_program(), running=True)
    except WrongUsageError as error:
        if "join" in given:
            raise
        _tell(f"{error}; nothing is recorded")
        return None
    tracer = activate(session, first_process=True)
    if tracer is not None:
        _undo.extend([_install_loaded(session.root), byvalue.install(tracer.problem)])
        _undo.append(processes.record_children(json.dumps(asdict(session))))
    return tracer


def _install_loaded(root: str) -> Callable[[], None]:
    """Edit the modules below a folder that are imported from now on, and the functions of those that are loaded otherwise."""
    return _loaded_below(root).install()


@cache
def _loaded_below(root: str) -> LoadedFunctions:
    """The functions of the program, which are looked for once for all recordings of a process."""
    return LoadedFunctions(root)


def _running_program() -> str:
    """The program of this process as `debug trace` would be given it; a notebook by its file, empty where there is none."""
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", "__main__")
    if name != "__main__":
        return f"-m {name.removesuffix('.__main__')}"
    script = sys.argv[0] if sys.argv else ""
    if script == "-c" or getattr(main, "__file__", None) is None:
        notebook = getattr(main, "__vsc_ipynb_file__", None) or os.environ.get("JPY_SESSION_NAME", "")
        return notebook if isinstance(notebook, str) and notebook.endswith(NOTEBOOK) else ""
    return script


def configuration_in_force(overrides: Mapping[str, Any]) -> DebugConfiguration:
    """The configuration for a program that runs: a mistake in its file or environment is only a warning.

    What is wrong is left out, and the rest is in force. Where it is about secrets, no execution is sampled: it is not
    known what must not be written.

    Raises:
        SettingError: one of the `overrides` is wrong.
    """
    mistakes: list[Mistake] = []
    config = load_configuration(working_directory(), overrides=overrides, mistakes=mistakes).config
    unsafe = [each for each in mistakes if each.may_be_about_secrets and not overrides.keys() >= REDACTING]
    if unsafe:
        config = replace(config, sample_rate=0.0)
    if mistakes:
        first = (unsafe or mistakes)[0].error
        others = len(mistakes) - 1
        more = f", and {others} more" if others else ""
        _tell(f"{first}{more}; {'nothing is recorded' if unsafe else 'it is left out'}")
    return config


def start_in_child(session: Mapping[str, Any], role: str) -> None:
    """Start tracing in a process that was launched for it.

    Args:
        session: the fields of a `Session`.
        role: `main` for the process the user asked for, `grandchild` for one that it started.
    """
    opened = Session(**session)
    _undo.append(outer_frames.install())
    parent_id = None if role == "main" else _parent_id(processes.parent_from_environment(os.environ))
    tracer = activate(opened, first_process=role == "main", parent_id=parent_id, fresh=True)
    if tracer is not None:
        install = rewrite.install if role == "main" else _install_loaded
        _undo.extend([install(opened.root), byvalue.install(tracer.problem)])
        if opened.tries_tools:
            from namel3ss_debug.capture import trials  # noqa: PLC0415  (only here is it needed)

            trials.install(tracer)


def activate(
    session: Session,
    *,
    first_process: bool,
    parent_id: str | None = None,
    fresh: bool = False,
    gate: Gate | None = None,
    test: InTest | None = None,
) -> ExecutionTracer | None:
    """Make the tracer of a session and switch it on; `None` when the execution is not sampled.

    Args:
        session: the recording.
        first_process: whether this process is the first of the recording.
        parent_id: the span of another process that this one was started in.
        fresh: whether the program of this process is yet to start.
        gate: what every event passes, where that is not the socket of the session.
        test: what clock and randomness of a test of this process are served.
    """
    if not session.sampled:
        return None
    config = DebugConfiguration.from_json(session.settings)
    tracer = _make_tracer(session, config, gate, first_process=first_process, parent_id=parent_id)
    switch.ACTIVE = tracer
    _undo.append(context.install(tracer.writer.hold_the_gil))
    _undo.append(pools.install(tracer.problem))
    _undo.append(processes.install(lambda: services.here(tracer), lambda text: _adopt(tracer, text)))
    _undo.extend([services.install(tracer), services.follow_stops(tracer, finish), queues.install(tracer)])
    _undo.extend([following.install(tracer), notebooks.install(tracer)])
    calls, remove_tools = tools.install(tracer)
    exchanges = Exchanges(tracer, calls)
    _undo.extend([remove_tools, transport.install(exchanges), mcp.install(tracer)])
    _undo.append(frameworks.install(tracer, calls))
    tracer.at_end.append(exchanges.abandon)
    _renewed_by_fork.append(exchanges.renew)
    _undo.append(_renewed_by_fork.clear)
    if session.offline:
        _keep_offline(tracer)
    if config.profile:
        _sample_stacks(tracer)
    _register_once()
    if config.buffer_size > 1:
        flush_on_exit(tracer.writer)
    if session.randomness:
        from namel3ss_debug.capture.determinism.installing import install  # noqa: PLC0415  (only here is it needed)

        _undo.append(install(tracer, session.randomness, fresh=fresh, first_process=first_process, test=test))
    if first_process:
        tracer.writer.begin()
    return tracer


def _parent_id(text: str | None) -> str | None:
    """The span that a process was started in, of the `traceparent` that tells it."""
    place = traceparent.read(text) if text else None
    return None if place is None else place.event_id


def _adopt(tracer: ExecutionTracer, text: str) -> None:
    parent_id = _parent_id(text)
    if parent_id is not None:
        tracer.adopt(parent_id)


def _sample_stacks(tracer: ExecutionTracer) -> None:
    from namel3ss_debug.capture import stacks  # noqa: PLC0415  (only here is it needed)

    _undo.append(stacks.install(tracer))
    if tracer.stacks is not None:
        _renewed_by_fork.append(tracer.stacks.renew)


def _keep_offline(tracer: ExecutionTracer) -> None:
    """Let nothing be sent but what the shell lets pass."""
    from namel3ss_debug.capture.offline import Offline  # noqa: PLC0415  (only here is it needed)

    tracer.network = network = Offline(tracer)
    _undo.append(network.install())
    _renewed_by_fork.append(network.renew)


def shutdown_tracing() -> Path | None:
    """Stop tracing in this process, whatever is open stays open; the path of the recording, if there was one."""
    tracer = switch.ACTIVE
    if tracer is None:
        return None
    finish()
    switch.ACTIVE = None
    while _undo:
        _undo.pop()()
    delivery.LOOK = None
    tracer.writer.close()
    remove_lent_keys()
    return tracer.writer.first


def finish() -> None:
    """Write `trace_end`, and tell on stderr what went wrong inside tracing, or cannot be recorded, if anything."""
    tracer = switch.ACTIVE
    if tracer is None or not tracer.writer.started:
        return
    if tracer.writer.process == 0:
        tracer.problems.update(take_marks(tracer.writer.first, tracer.execution_id))
    tracer.finish()
    if tracer.problems:
        others = sum(tracer.problems.values()) - 1
        more = f", and {others} more in trace_end" if others else ""
        when = "while recording" if tracer.network is None else "while running again"
        _tell(f"{when}: {next(iter(tracer.problems))}{more}")


def _tell(text: str) -> None:
    """Say something on the stderr of the process, which is not what the program has put in its place.

    What is told may hold a name out of a recording: a terminal gets nothing of it to obey.
    """
    shown = short(text, _LONGEST_TOLD)
    if not shown.isprintable():
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown
        )
    try:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(f"namel3ss debug: {shown}\n")
    except (OSError, ValueError):  # nobody listens any more
        pass


def program_ended(end: BaseException | None) -> None:
    """The program's main module has ended: in order, by `sys.exit`, or by an exception.

    An exception is recorded, and so is a `sys.exit("no key")`: Python prints the words, and they are why the program
    failed.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return
    tracer.exit_status = _exit_status(end)
    if end is not None and (not isinstance(end, SystemExit) or isinstance(end.code, str)):
        tell_uncaught(tracer, end)


def _exit_status(end: BaseException | None) -> int | None:
    """The status that the process will end with: of a number, the system takes the lowest eight bits."""
    if isinstance(end, SystemExit):
        return end.code & 0xFF if isinstance(end.code, int) else int(end.code is not None)
    if isinstance(end, KeyboardInterrupt):
        return None  # the process dies by the signal
    return 0 if end is None else 1


def _make_tracer(
    session: Session,
    config: DebugConfiguration,
    gate: Gate | None,
    *,
    first_process: bool,
    parent_id: str | None,
) -> ExecutionTracer:
    whole = _whole(config.redact, tuple(config.redact_keys), tuple(config.redact_patterns.items()))
    redactor = whole.redactor
    tracer: ExecutionTracer

    def header(process: int, segment: int, seq: int) -> Event:
        metadata = start_metadata(session, process, segment, seq)
        if redactor is not None:
            metadata["argv"] = redactor.words(metadata["argv"])
        return tracer.header(whole.mapping(metadata) | tracer.described)

    place: dict[str, Any] = {
        "first_process": first_process,
        "header": header,
        "buffer_size": config.buffer_size,
        "flush_interval": config.flush_interval_seconds,
        "rotate_max_bytes": config.rotate_max_bytes,
        "rotate_keep": config.rotate_keep,
        "link_latest": session.link_latest,
        "joins": session.joins,
        "sign": signer(session.key_file, session.execution_id),
    }
    answers: Answers | None = None
    writer: TraceWriter
    if session.gate or gate is not None:
        answers = writer = gated = _gated_writer(session, place, lambda: tracer, gate)
        delivery.LOOK = gated.look
    else:
        writer = TraceWriter(Path(session.trace), **place)
    tracer = ExecutionTracer(
        writer,
        config,
        execution_id=session.execution_id,
        session_id=session.session_id,
        sites=CallSites(session.root, str(working_directory())),
        payloads=Payloads(redactor, max_size=config.max_payload_size),
        parent_id=parent_id,
    )
    tracer.answers = answers
    tracer.held = None if answers is None else Counter()
    return tracer


@lru_cache(maxsize=4)  # a test runner starts and stops tracing again and again
def _whole(redact: bool, keys: tuple[str, ...], patterns: tuple[tuple[str, str], ...]) -> Payloads:
    """Makes JSON of what a recording says of itself, which is never cut and names the same packages each time."""
    return Payloads(Redactor(keys=keys, patterns=dict(patterns)) if redact else None)


def _gated_writer(
    session: Session, place: dict[str, Any], tracer: Callable[[], ExecutionTracer], gate: Gate | None
) -> GatedWriter:
    """The writer of a program that is answered: its events pass a gate, the socket of the shell where none is given."""
    from namel3ss_debug.capture.gate import GatedWriter, SocketGate  # noqa: PLC0415  (only here is it needed)

    def held(nanoseconds: int) -> None:
        recording = tracer()
        recording.tracing_ns -= nanoseconds
        if recording.held is not None:
            recording.held[get_ident()] += nanoseconds

    def problem(text: str) -> None:
        tracer().problem(text)

    def live() -> None:
        _leave_recording(tracer())

    gate = gate or SocketGate(
        session.gate,
        on_tools=rewrite.HOT.update,
        on_problem=problem,
        on_live=live,
        alone=not session.offline,
        only_calls=session.waits_at_calls,
    )

    def real() -> None:
        network = tracer().network
        if network is not None:
            network.open_for(None)

    return GatedWriter(gate, held, problem, real, Path(session.trace), **place)


def _leave_recording(tracer: ExecutionTracer) -> None:
    """From now on clock, standard input and network are the program's own."""
    installing = sys.modules.get("namel3ss_debug.capture.determinism.installing")
    if installing is not None:
        installing.go_live()
    if tracer.network is not None:
        tracer.network.open_for(None)


def _register_once() -> None:
    """Follow forks and the end of the process; these registrations cannot be taken back, so they ask `ACTIVE`."""
    global _registered  # noqa: PLW0603  (registrations are for the life of the process)
    if _registered:
        return
    _registered = True
    atexit.register(finish)
    os.register_at_fork(
        before=_before_fork, after_in_parent=_in_forking_parent, after_in_child=_in_forked_child
    )
    processes.at_end_of_forked_workers(finish)


def _before_fork() -> None:
    if switch.ACTIVE is not None:
        switch.ACTIVE.writer.before_fork()


def _in_forking_parent() -> None:
    if switch.ACTIVE is not None:
        switch.ACTIVE.writer.after_fork_in_parent()


def _in_forked_child() -> None:
    tracer = switch.ACTIVE
    if tracer is None:
        return
    tracer.writer.after_fork_in_child()
    for renew in _renewed_by_fork:
        renew()
    tracer.parent_id = context.current_id() or tracer.parent_id
    tracer.tracing_ns = 0
    tracer.problems.clear()
