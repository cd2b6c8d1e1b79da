"""Switch tracing on and off in a process: by a call, by the runner, or in a child process.

There is one tracer at a time, in `switch.ACTIVE`. A forked child goes on with a writer of its own. A spawned one starts
here again, from the session in its environment.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture import frameworks
from namel3ss_debug.capture.core import context, delivery, outer_frames, switch
from namel3ss_debug.capture.core.answers import ReplySource, StepChannel
from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.core.messages import print_message
from namel3ss_debug.capture.core.tracer import ExecutionTracer, ToolCodeSource
from namel3ss_debug.capture.launch.environment import start_metadata
from namel3ss_debug.capture.launch.session import Session, new_session
from namel3ss_debug.capture.payloads import Payloads, Ready
from namel3ss_debug.capture.seams import mcp
from namel3ss_debug.capture.seams.functions import handlers, notebooks, pickling, rewrite, tools
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions
from namel3ss_debug.capture.seams.http import libraries as transport
from namel3ss_debug.capture.seams.http import services, traceparent
from namel3ss_debug.capture.seams.logs import following
from namel3ss_debug.capture.seams.processes import commands, pools, processes, queues
from namel3ss_debug.config import (
    REDACTING,
    DebugConfiguration,
    SettingMistake,
    enabled_never,
    load_configuration,
    working_directory,
)
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.signing import execution_key, remove_lent_keys
from namel3ss_debug.traces.unrecorded import take_marks
from namel3ss_debug.traces.writer import TraceWriter, flush_on_exit

if TYPE_CHECKING:  # imported only when a program is stepped
    from namel3ss_debug.capture.launch.step_channel import SteppedWriter
    from namel3ss_debug.capture.seams.inputs.installing import InProcessTest

_undo: list[Callable[[], None]] = []
_renewed_by_fork: list[Callable[[], None]] = []
_registered = False


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
        WrongUsageError: the file of the setting `join` is no trace.
        SettingError: a setting passed here has an unknown key or a wrong value. A mistake in the configuration file or
            the environment is one warning on stderr instead.
    """
    if switch.ACTIVE is not None or enabled_never():
        return switch.get_global_tracer()
    if isinstance(config, DebugConfiguration):
        config = config.to_json()
    overrides = {**(config or {}), **settings}
    return _start(configuration_in_force(overrides), overrides) or switch.get_global_tracer()


def start_if_enabled() -> None:
    """Start tracing if the configuration in force enables it; a mistake in it is a warning and never ends the program."""
    if switch.ACTIVE is None and not enabled_never():
        config = configuration_in_force({})
        if config.enabled:
            _start(config, {})


def _start(config: DebugConfiguration, overrides: Mapping[str, Any]) -> ExecutionTracer | None:
    """Start tracing in this process, which runs already, and return the tracer; `None` if nothing is recorded.

    Raises:
        WrongUsageError: the file of the setting `join`, which the program has passed, is no trace.
    """
    try:
        session = new_session(config, target=_running_program(), running=True)
    except WrongUsageError as error:
        if "join" in overrides:
            raise
        print_message(f"{error}; nothing is recorded")
        return None
    tracer = activate(session, first_process=True)
    if tracer is not None:
        _undo.extend([_functions_below(session.root).install(), pickling.install(tracer.problem)])
        _undo.append(processes.record_children(json.dumps(asdict(session))))
    return tracer


@cache
def _functions_below(root: str) -> LoadedFunctions:
    """Return the functions of the program below a folder, which are found once for all traces of a process."""
    return LoadedFunctions(root)


def _running_program() -> str:
    """Return the program of this process as it would be passed to `debug trace`; of a notebook its file, "" if unknown."""
    main = sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", "__main__")
    if name != "__main__":
        return f"-m {name.removesuffix('.__main__')}"
    script = sys.argv[0] if sys.argv else ""
    if script == "-c" or getattr(main, "__file__", None) is None:
        from namel3ss_debug.capture.launch.target_hints import NOTEBOOK  # few programs get here

        notebook = getattr(main, "__vsc_ipynb_file__", None) or os.environ.get("JPY_SESSION_NAME", "")
        return notebook if isinstance(notebook, str) and notebook.endswith(NOTEBOOK) else ""
    return script


def configuration_in_force(overrides: Mapping[str, Any]) -> DebugConfiguration:
    """Return the configuration for a running program, where a mistake in the file or the environment is only a warning.

    A wrong setting is ignored. If it is about secrets, nothing is recorded, because it is unknown what must not be
    written.

    Raises:
        SettingError: one of the `overrides` is wrong.
    """
    mistakes: list[SettingMistake] = []
    config = load_configuration(working_directory(), overrides=overrides, mistakes=mistakes).config
    unsafe = [each for each in mistakes if each.may_be_about_secrets and not overrides.keys() >= REDACTING]
    if unsafe:
        config = replace(config, sample_rate=0.0)
    if mistakes:
        first = (unsafe or mistakes)[0].error
        others = len(mistakes) - 1
        more = f", and {others} more" if others else ""
        print_message(f"{first}{more}; {'nothing is recorded' if unsafe else 'it is ignored'}")
    return config


def start_in_child(session: Mapping[str, Any], role: str) -> None:
    """Start tracing in a process that was launched for it.

    Args:
        session: the fields of a `Session`.
        role: `main` for the process the user asked for, `grandchild` for one that it started.
    """
    opened = Session(**session)
    _undo.append(outer_frames.install())
    parent_id = None if role == "main" else _event_id_of(processes.parent_from_environment(os.environ))
    tracer = activate(opened, first_process=role == "main", parent_id=parent_id, fresh=True)
    if tracer is not None:
        is_main = role == "main"
        # The main process has loaded nothing of the program yet; other ones may have.
        edit = rewrite.install(opened.root) if is_main else _functions_below(opened.root).install()
        _undo.extend([edit, pickling.install(tracer.problem)])


def activate(
    session: Session,
    *,
    first_process: bool,
    parent_id: str | None = None,
    fresh: bool = False,
    channel: StepChannel | None = None,
    test: InProcessTest | None = None,
) -> ExecutionTracer | None:
    """Create the tracer of a session and switch it on; return `None` if the execution is not sampled.

    Args:
        session: the trace.
        first_process: whether this process is the first of the trace.
        parent_id: the span of another process that started this one.
        fresh: whether the program of this process is yet to start.
        channel: the step channel, if it is not the socket of the session.
        test: the recorded clock and randomness for a test in this process.
    """
    if not session.sampled:
        return None
    config = DebugConfiguration.from_json(session.settings)
    tracer = _make_tracer(session, config, channel, first_process=first_process, parent_id=parent_id)
    switch.ACTIVE = tracer
    _undo.append(context.install(tracer.writer.hold_the_gil))
    _undo.append(pools.install(tracer.problem))

    def adopt(traceparent_text: str) -> None:
        tracer.parent_id = _event_id_of(traceparent_text) or tracer.parent_id

    _undo.append(processes.install(lambda: services.current_traceparent(tracer), adopt))
    _undo.extend([services.install(tracer), services.follow_stops(tracer, finish), queues.install(tracer)])
    _undo.extend([following.install(tracer), notebooks.install(tracer)])
    _undo.append(commands.install(tracer))
    calls, remove_tools = tools.install(tracer)
    renew_exchanges, remove_libraries = transport.install(tracer, calls)
    _undo.extend([remove_tools, remove_libraries, mcp.install(tracer)])
    _undo.append(frameworks.install(tracer, calls))
    renew_handled, remove_handled = handlers.install(tracer)
    _undo.append(remove_handled)
    _renewed_by_fork.extend([renew_exchanges, calls.renew, renew_handled])
    _undo.append(_renewed_by_fork.clear)
    if session.offline:
        from namel3ss_debug.capture.seams.http.offline import Offline  # only a re-run needs it

        tracer.network = network = Offline(tracer, frozenset(session.refused_hosts))
        _undo.append(network.install())
        _renewed_by_fork.append(network.renew)
    _install_guards(tracer)
    if config.profile:
        from namel3ss_debug.capture.core import stacks  # only a profiled run needs it

        sampler, remove_sampler = stacks.install(tracer)
        _undo.append(remove_sampler)
        if sampler is not None:
            _renewed_by_fork.append(sampler.renew)
    if config.level == "comprehensive":
        from namel3ss_debug.capture.seams.inputs import (
            file_access,
        )  # only this level counts accesses to files

        renew_files, remove_files = file_access.install(tracer)
        _renewed_by_fork.append(renew_files)
        _undo.append(remove_files)
    _register_once()
    if config.buffer_size > 1:
        flush_on_exit(tracer.writer)
    if session.randomness:
        from namel3ss_debug.capture.seams.inputs.installing import install

        remove_inputs = install(
            tracer,
            session.randomness,
            fresh=fresh,
            first_process=first_process,
            test=test,
            key_file=session.key_file,
        )
        _undo.append(remove_inputs)
    if first_process:
        tracer.writer.begin()
    return tracer


def _event_id_of(text: str | None) -> str | None:
    """Return the span in which a process was started, from its `traceparent`."""
    place = traceparent.read(text) if text else None
    return None if place is None else place.event_id


def shutdown_tracing() -> Path | None:
    """Stop tracing in this process, and return the path of the trace, if there is one. Open spans stay open."""
    tracer = switch.ACTIVE
    if tracer is None:
        return None
    finish()
    switch.ACTIVE = None
    while _undo:
        _undo.pop()()
    delivery.CHECK_CONNECTION = None
    tracer.writer.close()
    remove_lent_keys()
    return tracer.writer.first


def finish() -> None:
    """Write `trace_end`, and print to stderr what went wrong inside tracing, or could not be recorded."""
    tracer = switch.ACTIVE
    if tracer is None or not tracer.writer.started:
        return
    if tracer.writer.process == 0:
        tracer.problems.update(take_marks(tracer.writer.first, tracer.execution_id))
    tracer.finish()
    if tracer.problems:
        others = sum(tracer.problems.values()) - 1
        more = f", and {others} more in trace_end" if others else ""
        when = "while recording" if tracer.network is None else "during the re-run"
        print_message(f"{when}: {next(iter(tracer.problems))}{more}")


def program_ended(end: BaseException | None) -> None:
    """Record the end of the program's main module: regular, by `sys.exit`, or by an exception.

    An exception is recorded, and so is `sys.exit("no key")`: Python prints this text, which is why the program failed.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return
    tracer.exit_status = _exit_status(end)
    if end is not None and (not isinstance(end, SystemExit) or isinstance(end.code, str)):
        tracer.record_uncaught(end)


def _exit_status(end: BaseException | None) -> int | None:
    """Return the exit status of the process. The system keeps the lowest eight bits of a number."""
    if isinstance(end, SystemExit):
        return end.code & 0xFF if isinstance(end.code, int) else int(end.code is not None)
    if isinstance(end, KeyboardInterrupt):
        return None  # the process dies by the signal
    return 0 if end is None else 1


def _make_tracer(
    session: Session,
    config: DebugConfiguration,
    channel: StepChannel | None,
    *,
    first_process: bool,
    parent_id: str | None,
) -> ExecutionTracer:
    payloads = _uncut_payloads(
        config.redact, tuple(config.redact_keys), tuple(config.redact_patterns.items())
    )
    redactor = payloads.redactor
    tracer: ExecutionTracer

    def header(process: int, segment: int, seq: int) -> Event:
        metadata = start_metadata(session, process, segment, seq)
        if "packages" in metadata:  # a hundred names, no secret among them, are 9 ms of a start
            metadata["packages"] = Ready(metadata["packages"])
        if redactor is not None:
            metadata["argv"] = redactor.words(metadata["argv"])
        return tracer.header(payloads.mapping(metadata) | tracer.described)

    settings: dict[str, Any] = {
        "first_process": first_process,
        "header": header,
        "buffer_size": config.buffer_size,
        "flush_interval": config.flush_interval_seconds,
        "rotate_max_bytes": config.rotate_max_bytes,
        "rotate_keep": config.rotate_keep,
        "link_latest": session.link_latest,
        "joins": session.joins,
        "key": execution_key(session.key_file, session.execution_id),
    }
    answers: ReplySource | None = None
    writer: TraceWriter
    if session.step_socket or channel is not None:
        answers = writer = stepped = _make_stepped_writer(session, settings, lambda: tracer, channel)
        delivery.CHECK_CONNECTION = stepped.check_connection
    else:
        writer = TraceWriter(Path(session.trace), **settings)
    tracer = ExecutionTracer(
        writer,
        config,
        execution_id=session.execution_id,
        session_id=session.session_id,
        sites=CallSites(session.root, str(working_directory())),
        payloads=Payloads(redactor, max_size=config.max_payload_size),
        parent_id=parent_id,
    )
    tracer.load_tool_code = _load_tool_code
    tracer.answers = answers
    tracer.paused_ns = None if answers is None else Counter()
    return tracer


def _load_tool_code(sites: CallSites) -> ToolCodeSource:
    from namel3ss_debug.capture.seams.functions.codedigest import ToolCode  # most programs start without it

    return ToolCode(sites)


@lru_cache(maxsize=4)  # a test runner starts and stops tracing again and again
def _uncut_payloads(redact: bool, keys: tuple[str, ...], patterns: tuple[tuple[str, str], ...]) -> Payloads:
    """Return what makes JSON of the description of a trace, which is never cut."""
    return Payloads(Redactor(keys=keys, patterns=dict(patterns)) if redact else None)


def _make_stepped_writer(
    session: Session,
    settings: dict[str, Any],
    tracer: Callable[[], ExecutionTracer],
    channel: StepChannel | None,
) -> SteppedWriter:
    """Return the writer for a program that is stepped or re-run."""
    from namel3ss_debug.capture.launch.step_channel import SocketStepChannel, SteppedWriter

    def add_pause(nanoseconds: int) -> None:
        current = tracer()
        current.tracing_ns -= nanoseconds
        if current.paused_ns is not None:
            current.paused_ns[get_ident()] += nanoseconds

    def report_problem(text: str) -> None:
        tracer().problem(text)

    def leave_trace() -> None:
        _leave_trace(tracer())

    @contextmanager
    def unrecorded() -> Iterator[None]:
        from namel3ss_debug.capture.core import typed_code
        from namel3ss_debug.capture.seams.inputs import opened_files

        with typed_code.running(), opened_files.hidden():
            yield

    def answer_question(question: dict[str, Any]) -> dict[str, Any]:
        from namel3ss_debug.capture.launch import waiting_frames  # only where the user asks

        with unrecorded():
            return waiting_frames.answer_question(question, tracer().sites, tracer().payloads)

    def run_pdb(terminal: str) -> bool:
        from namel3ss_debug.capture.launch.waiting_frames import waiting_frame
        from namel3ss_debug.capture.launch.waiting_pdb import WaitingPdb

        def add_typing(nanoseconds: int) -> None:
            paused_ns = tracer().paused_ns
            if paused_ns is not None:
                paused_ns[get_ident()] += nanoseconds
            writer.add_pause(nanoseconds)

        sites = tracer().sites
        frame = waiting_frame(sites)
        if frame is None:
            return False
        debugger = WaitingPdb(
            terminal,
            sites,
            unrecorded=unrecorded,
            on_pause=add_typing,
            on_end=lambda: writer.report_pdb_end(socket_channel),
        )
        return debugger.run_at(frame)

    socket_channel = SocketStepChannel(
        session.step_socket,
        on_tools=rewrite.HOT.update,
        on_problem=report_problem,
        on_live=leave_trace,
        on_question=answer_question,
        on_pdb=run_pdb,
        alone=not session.offline,
        only_calls=session.waits_at_calls,
    )

    def run_for_real() -> None:
        network = tracer().network
        if network is not None:
            network.open_for(None)

    def frames() -> list[str]:
        return tracer().sites.frames(0)

    writer = SteppedWriter(
        channel or socket_channel,
        add_pause,
        report_problem,
        run_for_real,
        Path(session.trace),
        frames=None if session.waits_at_calls else frames,
        **settings,
    )
    return writer


def _leave_trace(tracer: ExecutionTracer) -> None:
    """Give the program its own clock, standard input and network from now on."""
    installing = sys.modules.get("namel3ss_debug.capture.seams.inputs.installing")
    if installing is not None:
        installing.go_live()
    if tracer.network is not None:
        tracer.network.open_for(None)


def _install_guards(tracer: ExecutionTracer) -> None:
    """Let limits, circuit breakers and retries act, which few programs have; a re-run gets what the first two did from its trace."""
    if tracer.config.limits or tracer.config.circuit_breakers:
        from namel3ss_debug.capture.guards import limiting

        limiting.install(tracer)
    if tracer.config.retries:
        from namel3ss_debug.capture.guards.retrying import Retries
        from namel3ss_debug.config.guarding import read_retries

        tracer.retries = Retries(read_retries(tracer.config.retries))


def _register_once() -> None:
    """Register for forks and the end of the process, once: this cannot be undone, so the callbacks check `ACTIVE`."""
    global _registered  # registrations are for the life of the process
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
