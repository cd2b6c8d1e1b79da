"""Record the commands that a program runs as spans, and answer them in a re-run.

The seams are methods of `subprocess.Popen`, which `run`, `call`, `check_*`, `getoutput`, `os.popen` and asyncio's processes
end in, and `os.system`. The class itself stays, so that subclasses, `isinstance` and `Popen[bytes]` work as before.
`os.posix_spawn`, `os.fork`, `os.exec*` and uvloop, which starts processes in C, are not recorded.

A span ends with `result`: the exit `status` (negative for a signal), `stdout` and `stderr` where `communicate` returned them
whole, the `input` that it sent, and how often a timeout expired (`timeouts`), a poll found the command running (`polls`), a
task of asyncio gave up waiting (`abandoned`), and the program sent a running process of asyncio a signal (`signals`).
`metadata.unrecorded` lists what the trace lacks to answer the command: such a command is a span only. Output that the
program's own terminal or pipe receives is not recorded, because the command would see another output than without us.

In a re-run a shell is started in place of the command, which plays what was recorded: see `answered.py`. All other code
of `subprocess` runs as ever.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from sys import _getframe as frame_at
from threading import get_ident
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core import context, task_paths
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer, add_metadata, set_result
from namel3ss_debug.capture.seams.functions.replies import take_reply
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.capture.seams.processes import processes
from namel3ss_debug.capture.seams.processes.answered import AnsweredCommand
from namel3ss_debug.capture.seams.processes.changed_files import ChangedFiles, file_clock_ns
from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.facts import BACKGROUND_THREAD

COMPONENT = "command"
ATTRIBUTE = "_namel3ss_debug_command"
MOST_BYTES = 16 << 20
"""A longer input or output of one stream is not recorded."""

INSIDE_TOOL: ContextVar[bool] = ContextVar("inside a tool that is a process", default=False)
"""Whether the commands belong to a tool that its language runs as a process, whose inside is not recorded."""

_MOST_LAYERS = 4
_PIECE = 1 << 16

_LATE_NS = 1_000_000
_MOST_ENDED = 64
"""So many commands may have ended while the program may still fetch their output."""

_BY_STANDARD_LIBRARY: dict[str, str] = {
    "_aix_support": "", "_osx_support": "", "ctypes.util": "", "getpass": "", "platform": "", "sysconfig": "", "uuid": "",
    "pydoc": "getpager", "webbrowser": "register_standard_browsers",
}  # fmt: skip
"""Module of the standard library that runs commands for its own purposes -> the function that does; "" for all.

Other functions of these modules show what the program wants to show.
"""

_STARTING = frozenset(
    {
        "Popen", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell", "getoutput",
        "getstatusoutput", "popen", "subprocess", "system",
    }
)  # fmt: skip
"""One of these names is in code that starts a command itself; the loop of a thread pool has none."""


_ASSIGNMENT = compile_late(r"[A-Za-z_]\w*=")
_PREPARING = frozenset({"cd", "export", "set", "source", ".", "unset", "mkdir", "pushd", "true"})
_PREFIXES = frozenset({"sudo", "env", "exec", "nohup", "time", "timeout", "command", "nice"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_SEPARATORS = compile_late(r"&&|\|\||[;|\n&]")


def install(tracer: ExecutionTracer) -> Undo:
    """Record the commands that are run from now on; return a function that restores everything."""
    commands = Commands(tracer)
    undo = [
        when_imported(
            {
                "subprocess": commands.patch_subprocess,
                "asyncio.base_subprocess": commands.patch_transports,
                "asyncio.subprocess": commands.patch_asyncio,
            },
            tracer.problem,
        ),
        replace(os, "system", commands.make_system),
    ]
    tracer.at_end.append(commands.close_ended)
    tracer.at_end.append(commands.report_files)
    undo.append(commands.files.stop)

    def restore() -> None:
        for each in reversed(undo):
            each()

    return restore


class Command:
    """One run of a command.

    Attributes:
        answer: what stands in place of the process; None if there is one.
        streams: of `stdin`, `stdout` and `stderr`, those that the command does not inherit: `pipe`, `null`, `file` or
            `stdout`.
        reads_itself: the streams that the program has used by itself, and not by `communicate`.
        returns_early: whether the caller never fetches output after the process was reaped, as `subprocess.run`.
        keeps_reads: whether the program reads the output as that of `os.popen`, and it is recorded as it is read.
    """

    def __init__(
        self, tracer: ExecutionTracer, name: str, inputs: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        self.answer: AnsweredCommand | None = None
        self.streams: Mapping[str, str] = inputs.get("streams", {})
        self.reads_itself: set[str] = set()
        self.returns_early = self.keeps_reads = False
        self.began_ns = file_clock_ns()
        self._ended_ns = 0
        self._tracer = tracer
        self._name, self._inputs, self._metadata = name, inputs, metadata
        self._communicates = False
        self._status: int | None = None
        self._output: dict[str, Any] = {}
        self._unrecorded: list[str] = []
        self._input: Any = None
        self._timeouts: list[list[int]] = []
        self._abandoned = self._polls = self._signals = 0
        self.span = tracer.span(COMPONENT, name, inputs, metadata)

    def begin(self) -> bool:
        """Open the span, and return whether the command is answered.

        Raises:
            BaseException: the exception that ended its start when it was recorded, or a fault.
        """
        self.span.open()
        reply = take_reply(self._tracer, self.span, has_own_path=False)
        if reply is None:
            return False
        if not reply.answers:
            reply.wait_before()
            return False
        self.answer = AnsweredCommand(reply, reply.answer())
        return True

    def cannot_answer(self, why: str) -> None:
        """Note what the trace will lack to answer this command."""
        self._unrecorded.append(why)

    def fail(self, error: BaseException) -> None:
        """End the span of a command that could not be started."""
        self.span.close(error)

    def poll(self) -> None:
        """Note that a poll found the command running."""
        self._polls += 1

    def expire(self, error: Any) -> None:
        """Note that a timeout expired; of `communicate`, with the output so far."""
        self._timeouts.append([len(each or b"") for each in (error.output, error.stderr)])
        for name, value in (("stdout", error.output), ("stderr", error.stderr)):
            if self.streams.get(name) == "pipe":
                self._output[name] = value or b""

    def begin_communicate(self, value: Any) -> bool:
        """Note that the program hands its input over and waits for the output.

        Returns:
            Whether the answer is that to this input.
        """
        self._communicates = True
        if value is None or not len(value) or "input" in self._inputs:
            return True
        if len(value) > MOST_BYTES:
            self.cannot_answer("its input has more than 16 MB")
        else:
            self._input = value
        return self.answer is None or self.answer.fits(value)

    def ask_again(self, value: Any) -> None:
        """Let the trace answer a command of this input, because the recorded input was another one.

        Raises:
            BaseException: as `begin` raises.
        """
        inputs = {**self._inputs, "input": _as_text(value)}
        again = Command(self._tracer, self._name, inputs, self._metadata)
        again.begin()
        again.span.leave()
        again.span.close()

    def communicated(self, stdout: Any, stderr: Any) -> None:
        """End the span with the output that `communicate` has returned."""
        self._communicates = False
        for name, value in (("stdout", stdout), ("stderr", stderr)):
            if value is not None:
                self._output[name] = value
        self.finish()

    def communicate_failed(self, error: BaseException, *, expired: bool) -> None:
        """Note that `communicate` has raised: a timeout expired, its task was cancelled, or anything else."""
        self._communicates = False
        if expired:
            self.expire(error)
        elif isinstance(error, Exception):
            self.cannot_answer(f"its output could not be read ({type(error).__name__})")
        else:
            self.abandon()

    def abandon(self) -> None:
        """Note that the program has given up waiting: its task was cancelled, as by `asyncio.wait_for`."""
        self._abandoned += 1

    def signalled(self) -> None:
        """Note that the program has sent a signal to the running process."""
        self._signals += 1

    def exited(self, status: int | None) -> bool:
        """Note the exit status, and return whether the program may still fetch the output."""
        if self._status is not None or status is None:
            return False
        self._status, self._ended_ns = status, perf_counter_ns()
        if self._communicates:
            return False
        if self.returns_early or "pipe" not in (self.streams.get("stdout"), self.streams.get("stderr")):
            self.finish()
            return False
        return True

    def collected(self, name: str, value: bytes) -> None:
        """Keep the whole output that the program has read by itself."""
        self._output[name] = value
        self.reads_itself.discard(name)

    @property
    def is_communicating(self) -> bool:
        """Whether `communicate` is running."""
        return self._communicates

    def finish(self) -> None:
        """Write the end of the span."""
        if not self.span.is_open:
            return
        for name in ("stdout", "stderr"):
            value, kind = self._output.get(name), self.streams.get(name)
            if name in self.reads_itself:
                self.cannot_answer(f"the program read its {name} by itself")
            elif kind == "file":
                self.cannot_answer(f"its {name} went to a file")
            elif value is not None and len(value) > MOST_BYTES:
                del self._output[name]
                self.cannot_answer(f"its {name} has more than 16 MB")
        if "stdin" in self.reads_itself:
            self.cannot_answer("the program wrote to its stdin by itself")
        elif self.streams.get("stdin") == "file":
            self.cannot_answer("its stdin came from a file or another command")
        result = {"status": self._status} | {name: _as_text(value) for name, value in self._output.items()}
        counted = {
            "timeouts": self._timeouts,
            "polls": self._polls,
            "abandoned": self._abandoned,
            "signals": self._signals,
        }
        result |= {name: value for name, value in counted.items() if value}
        if self._input is not None:
            result["input"] = _as_text(self._input)
        set_result(self.span, self._tracer, result)
        if self._unrecorded:
            add_metadata(self.span, {"unrecorded": self._unrecorded})
        late_ns = perf_counter_ns() - self._ended_ns if self._ended_ns else 0
        if late_ns > _LATE_NS:  # the program might still have fetched the output
            lasted_ns = self._ended_ns - self.span.started
            self.span.set(timestamp=self._tracer.now() - late_ns / 1e9, duration_ms=lasted_ns / 1e6)
        self.span.close()


class Commands:
    """The commands that this process runs."""

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._ended: list[Command] = []
        self._read_files: list[tuple[str, Command]] = []
        self._awaited: dict[int, Command] = {}  # the running processes of asyncio
        self.files = ChangedFiles(
            lambda path, command: self._read_files.append((path, command)), self._note_signal
        )
        self._run: Any = None  # the code of `subprocess.run`

    def close_ended(self) -> None:
        """End the spans of commands that have ended and whose output the program did not fetch until now."""
        while self._ended:
            self._safely(self._ended.pop(0).finish)

    def report_files(self) -> None:
        """Record which files that commands have changed the program has read; not where it reads them, inside any lock."""
        while self._read_files:
            path, command = self._read_files.pop(0)
            metadata = {"file": path, "command": command.span.event_id}
            self._tracer.emit(
                "state_change",
                component=COMPONENT,
                component_name=command.span.name,
                metadata=metadata,
                call_site="",
            )

    def _note_signal(self, pid: int) -> None:
        command = self._awaited.get(pid)
        if command is not None:
            command.signalled()

    def _note_files(self, command: Command) -> None:
        if command.answer is None and self._tracer.answers is None:
            self.files.add(command.began_ns, command)

    def _safely(self, action: Callable[..., Any], *values: Any, **more: Any) -> Any:
        """Call a function of ours, whose errors are no errors of the program."""
        try:
            return action(*values, **more)
        except Exception as error:
            self._tracer.problem("a command could not be recorded", error)
            return None

    def _exited(self, command: Command, status: int | None) -> None:
        self._safely(self._end, command, status)

    def _end(self, command: Command, status: int | None) -> None:
        if status is not None:
            self._note_files(command)
        if command.exited(status):
            self._ended.append(command)
            if len(self._ended) > _MOST_ENDED:
                self._ended.pop(0).finish()

    def _new(
        self,
        arguments: Any,
        *,
        by_shell: bool,
        folder: Any = None,
        environment: Any = None,
        streams: Mapping[str, str] | None = None,
        value: Any = None,
        frame: FrameType | None,
    ) -> Command:
        """Return a command that is about to run; its span is not open yet."""
        words = [arguments] if isinstance(arguments, str | bytes | os.PathLike) else [*arguments]
        texts = [os.fsdecode(word) for word in words]
        inputs: dict[str, Any] = {"arguments": texts[0] if by_shell and len(texts) == 1 else texts}
        if by_shell:
            inputs["shell"] = True
        if (place := _folder(folder, self._tracer.sites.cwd)) is not None:
            inputs["folder"] = place
        if changed := _changes(environment):
            inputs["environment"] = changed
        if streams:
            inputs["streams"] = dict(streams)
        too_long = value is not None and len(value) > MOST_BYTES
        if value is not None and len(value) and not too_long:
            inputs["input"] = _as_text(value)
        metadata: dict[str, Any] = {"chain": self._tracer.sites.chain(0)}
        metadata |= task_paths.call_metadata()
        if background := _background(self._tracer, frame):
            metadata["background"] = background
        elif self._tracer.answers is None:
            self.files.start()
        command = Command(self._tracer, program_of(texts, by_shell=by_shell), inputs, metadata)
        if too_long:
            command.cannot_answer("its input has more than 16 MB")
        return command

    # --- subprocess

    def patch_subprocess(self, module: Any) -> list[Undo]:
        """Follow the processes of `subprocess`."""
        self._run = module.run.__code__
        popen, expired = module.Popen, module.TimeoutExpired
        return [
            replace(popen, "_execute_child", self._make_execute),
            replace(popen, "communicate", lambda original: self._make_communicate(original, expired)),
            replace(popen, "_wait", lambda original: self._make_wait(original, expired)),
            replace(popen, "_internal_poll", self._make_poll),
            replace(popen, "_handle_exitstatus", self._make_exit),
        ]

    def _begin_popen(self, popen: Any, values: tuple[Any, ...], frame: FrameType) -> Command | None:
        """Return the command that an object of `Popen` is about to start from this frame; None if it is not recorded."""
        try:
            caller = _outside_of_starters(frame)
            # A server of MCP has its own span, and so have the requests to it.
            if (
                INSIDE.get()
                or INSIDE_TOOL.get()
                or (caller is not None and caller.f_code.co_filename.startswith(CAPTURE_FOLDER))
            ):
                return None
            self.close_ended()
            self.report_files()
            arguments, pass_fds, folder, environment = values[0], values[4], values[5], values[6]
            value, of_run = self._input_of_run(frame)
            command = self._new(
                arguments,
                by_shell=bool(values[9]),
                folder=folder,
                environment=environment,
                streams=_streams(popen, *values[10:16]),
                value=value,
                frame=caller,
            )
            command.returns_early = of_run
            command.keeps_reads = _has_code(frame, getattr(os.popen, "__code__", None)) is not None
            if pass_fds:
                command.cannot_answer("it shares open files with the program")
        except Exception as error:
            self._tracer.problem("a command could not be recorded", error)
            return None
        return command

    def _input_of_run(self, frame: FrameType) -> tuple[Any, bool]:
        """Return the input that `subprocess.run` will send, and whether it has called `Popen`."""
        run = _has_code(frame, self._run)
        return (None, False) if run is None else (run.f_locals.get("input"), True)

    def _make_execute(self, original: Callable[..., None]) -> Callable[..., None]:
        def _execute_child(popen: Any, *values: Any) -> None:
            command = self._begin_popen(popen, values, frame_at(1))
            if command is None:
                original(popen, *values)
                return
            try:
                if command.begin() and command.answer is not None:
                    task_paths.new_process_path()  # later processes keep their numbers
                    player = command.answer.player(popen)
                    # Without the program's executable, preexec_fn, pass_fds, cwd, env and shell.
                    with opened_files.hidden():
                        original(
                            popen, player, None, None, values[3], (), None, {}, None, 0, False, *values[10:]
                        )
                else:
                    original(popen, *values)
            except BaseException as error:
                command.fail(error)
                hide_own_frame(error)
                raise
            finally:
                command.span.leave()
            popen.__dict__[ATTRIBUTE] = command
            if _is_started_by_asyncio():
                self._awaited[popen.pid] = command
            elif command.answer is None and not command.returns_early:
                self._safely(_watch_streams, popen, command)

        return _execute_child

    def _make_communicate(self, original: Callable[..., Any], expired: type[Exception]) -> Callable[..., Any]:
        def communicate(popen: Any, input: Any = None, timeout: float | None = None) -> Any:  # noqa: A002  (its name there)
            command: Command | None = popen.__dict__.get(ATTRIBUTE)
            if command is None:
                return original(popen, input, timeout)
            try:
                if self._safely(command.begin_communicate, input) is False:
                    command.ask_again(input)
                found = original(popen, input, timeout)
                if command.answer is not None:
                    command.answer.wait_for_turn()
            except BaseException as error:
                self._safely(command.communicate_failed, error, expired=isinstance(error, expired))
                hide_own_frame(error)
                raise
            self._safely(command.communicated, *found)
            return found

        return communicate

    def _make_wait(self, original: Callable[..., Any], expired: type[Exception]) -> Callable[..., Any]:
        def _wait(popen: Any, timeout: float | None) -> Any:
            command: Command | None = popen.__dict__.get(ATTRIBUTE)
            if command is None:
                return original(popen, timeout)
            try:
                status = original(popen, timeout)
                if command.answer is not None and not command.is_communicating:
                    command.answer.wait_for_turn()
                return status
            except BaseException as error:
                if isinstance(error, expired) and not command.is_communicating:
                    self._safely(command.expire, error)
                hide_own_frame(error)
                raise

        return _wait

    def _make_poll(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _internal_poll(popen: Any, _deadstate: Any = None, **more: Any) -> Any:
            command: Command | None = popen.__dict__.get(ATTRIBUTE)
            if command is None or popen.returncode is not None:
                return original(popen, _deadstate, **more)
            if command.answer is not None and _deadstate is None and not command.is_communicating:
                if not command.answer.is_running():
                    popen.wait()
            else:
                original(popen, _deadstate, **more)
            if popen.returncode is None and _deadstate is None:
                command.poll()
            return popen.returncode

        return _internal_poll

    def _make_exit(self, original: Callable[..., None]) -> Callable[..., None]:
        def _handle_exitstatus(popen: Any, *values: Any) -> None:
            original(popen, *values)
            command: Command | None = popen.__dict__.get(ATTRIBUTE)
            if command is not None:
                self._exited(command, popen.returncode)

        return _handle_exitstatus

    # --- asyncio

    def patch_transports(self, module: Any) -> list[Undo]:
        """Learn when a process of asyncio ends."""

        def make(original: Callable[..., None]) -> Callable[..., None]:
            def _process_exited(transport: Any, returncode: int) -> None:
                command = _command_of(transport)
                if command is not None:
                    self._awaited.pop(transport.get_pid(), None)
                    self._exited(command, returncode)
                original(transport, returncode)

            return _process_exited

        return [replace(module.BaseSubprocessTransport, "_process_exited", make)]

    def patch_asyncio(self, module: Any) -> list[Undo]:
        """Follow what the program does with a process of asyncio."""

        def make_init(original: Callable[..., None]) -> Callable[..., None]:
            def init(process: Any, transport: Any, protocol: Any, loop: Any) -> None:
                original(process, transport, protocol, loop)
                command = _command_of(transport)
                if command is None or command.answer is not None:
                    return
                # A reader calls this method behind each piece that it takes out of its buffer.
                for name in ("stdout", "stderr"):
                    self._safely(
                        _note_first_use, getattr(process, name), "_maybe_resume_transport", command, name
                    )
                self._safely(_note_first_use, process.stdin, "write", command, "stdin")

            return init

        def make_communicate(original: Callable[..., Any]) -> Callable[..., Any]:
            async def communicate(process: Any, input: Any = None) -> Any:  # noqa: A002  (its name there)
                command = _command_of(process._transport)  # it has no public name
                if command is None:
                    return await original(process, input)
                try:
                    if self._safely(command.begin_communicate, input) is False:
                        command.ask_again(input)
                    if command.answer is not None:
                        await command.answer.wait_to_be_abandoned()
                    found = await original(process, input)
                    if command.answer is not None:
                        await command.answer.wait_for_turn_async()
                except BaseException as error:
                    self._safely(command.communicate_failed, error, expired=False)
                    hide_own_frame(error)
                    raise
                self._safely(command.communicated, *found)
                return found

            return communicate

        def make_wait(original: Callable[..., Any]) -> Callable[..., Any]:
            async def wait(process: Any) -> Any:
                command = _command_of(process._transport)
                if command is None or command.is_communicating:  # which waits itself
                    return await original(process)
                try:
                    if command.answer is not None:
                        await command.answer.wait_to_be_abandoned()
                    status = await original(process)
                    if command.answer is not None:
                        await command.answer.wait_for_turn_async()
                    return status
                except BaseException as error:
                    if not isinstance(error, Exception):
                        self._safely(command.abandon)
                    hide_own_frame(error)
                    raise

            return wait

        return [
            replace(module.Process, "__init__", make_init),
            replace(module.Process, "wait", make_wait),
            replace(module.Process, "communicate", make_communicate),
        ]

    # --- os

    def make_system(self, original: Callable[[Any], int]) -> Callable[[Any], int]:
        """Return an `os.system` that records."""

        def system(command: Any) -> int:
            try:
                self.close_ended()
                self.report_files()
                recorded = self._new(command, by_shell=True, frame=frame_at(1))
            except Exception as error:
                self._tracer.problem("a command could not be recorded", error)
                return original(command)
            try:
                if recorded.begin() and recorded.answer is not None:
                    recorded.answer.wait_for_turn()
                    status = recorded.answer.status
                    recorded.exited(status)
                    return -status if status < 0 else status << 8
                with processes.span_in_environment():
                    found = original(command)
            except BaseException as error:
                recorded.fail(error)
                hide_own_frame(error)
                raise
            finally:
                recorded.span.leave()
            self._exited(recorded, os.waitstatus_to_exitcode(found))
            return found

        return system


def _as_text(value: Any) -> Any:
    """Return bytes as text where they are text, and long ones that are not in pieces, which payloads keep whole."""
    if isinstance(value, str):
        return value
    data = bytes(value)
    try:
        if b"\0" not in data:
            return data.decode()
    except UnicodeDecodeError:
        pass
    return data if len(data) <= _PIECE else [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]


def _command_of(transport: Any) -> Command | None:
    """Return the command behind a transport of asyncio; None if it is not recorded."""
    found: Any = getattr(transport.get_extra_info("subprocess"), ATTRIBUTE, None)
    return found if isinstance(found, Command) else None


def program_of(words: list[str], *, by_shell: bool) -> str:
    """Return the name of the program in a command line, such as `pytest` of `cd app && PYTHONPATH=. pytest -q | tail`.

    Args:
        words: the arguments; for a shell, the text is the first.
        by_shell: whether a shell runs the text.
    """
    name = os.path.basename(words[0]) if words else ""
    if not by_shell:
        options, rest = words[1:2], words[2:3]
        is_text = name in _SHELLS and options and re.fullmatch(r"-\w*c", options[0]) and rest
        return (program_of(rest, by_shell=True) if is_text else name) or name
    first = ""
    for line in _SEPARATORS.split(words[0]):
        try:
            parts = shlex.split(line, comments=True)
        except ValueError:
            parts = line.split()
        parts = [part.lstrip("({") for part in parts if not _ASSIGNMENT.match(part)]
        parts = [part for part in parts if part]
        while parts and parts[0] in _PREFIXES and parts[1:]:
            parts = [part for part in parts[1:] if not part.startswith("-")]
        if parts:
            first = first or os.path.basename(parts[0])
            if parts[0] not in _PREPARING:
                return os.path.basename(parts[0])
    return first or "sh"


def _streams(
    popen: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int, errread: int, errwrite: int
) -> dict[str, str]:
    """Return how the standard streams of a command are connected; those that it inherits are left out."""
    null = getattr(popen, "_devnull", None)
    streams: dict[str, str] = {}
    for name, theirs, ours in (
        ("stdin", p2cread, p2cwrite),
        ("stdout", c2pwrite, c2pread),
        ("stderr", errwrite, errread),
    ):
        if ours != -1:
            streams[name] = "pipe"
        elif name == "stderr" and theirs != -1 and theirs == c2pwrite:
            streams[name] = "stdout"
        elif theirs not in (-1, 0, 1, 2):
            streams[name] = "null" if theirs == null else "file"
    return streams


def _folder(folder: Any, start: str) -> str | None:
    """Return the folder that a command runs in as it is recorded: relative to that of the program, None for the same."""
    here = os.getcwd()
    place = here if folder is None else os.path.join(here, os.fsdecode(folder))
    shown = os.path.relpath(place, start)
    if shown == os.curdir:
        return None
    return place if shown.startswith(os.pardir) else shown


def _changes(environment: Any) -> dict[str, str | None]:
    """Return the variables that a command gets another value of than this process has; None for one that it lacks."""
    if environment is None:
        return {}
    # Not by name: reads of `os.environ` by name are recorded as those of the program.
    ours = {os.fsdecode(name): os.fsdecode(value) for name, value in dict(os.environb).items()}
    theirs = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    changed: dict[str, str | None] = {
        name: value for name, value in theirs.items() if ours.get(name) != value
    }
    return changed | dict.fromkeys(name for name in ours if name not in theirs)


def _outside_of_starters(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the code that runs a command, outside of the standard library's modules for it."""
    while frame is not None and _module_of(frame).partition(".")[0] in ("subprocess", "asyncio", "os"):
        frame = frame.f_back
    return frame


def _has_code(frame: FrameType | None, code: Any) -> FrameType | None:
    """Return the frame of a function that has called `Popen`, whose `__init__` a subclass may have replaced."""
    for _ in range(_MOST_LAYERS):
        if frame is None or frame.f_code is code:
            return frame
        frame = frame.f_back
    return None


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _background(tracer: ExecutionTracer, frame: FrameType | None) -> bool | str:
    """Return whether the standard library or an installed package runs a command for its own purposes.

    That is a module which is known for it, an installed module that is being imported, and one in a thread of its own,
    whose words may be those of the program.
    """
    if frame is None:
        return False
    if (function := _BY_STANDARD_LIBRARY.get(_module_of(frame))) is not None:
        return function in ("", frame.f_code.co_name)
    if tracer.sites.shown(frame.f_code.co_filename) is not None:
        return False
    if get_ident() != context.MAIN.ident and context.current() is None and tracer.sites.at(frame) is None:
        return not _STARTING.isdisjoint(frame.f_code.co_names) and BACKGROUND_THREAD
    while frame is not None:
        if tracer.sites.shown(frame.f_code.co_filename) is not None:
            return False
        if frame.f_code.co_name == "_load_unlocked" and frame.f_code.co_filename.startswith(
            "<frozen importlib"
        ):
            return True
        frame = frame.f_back
    return False


def _watch_streams(popen: Any, command: Command) -> None:
    """Note when the program uses the pipes of a process by itself; keep what it reads of `os.popen`.

    Methods of the stream objects are hidden by attributes of the same name, which the buffers above them call. They
    refer to the streams weakly, so that a stream which the program drops is closed at once, as before.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(popen, name)
        raw = getattr(getattr(stream, "buffer", stream), "raw", stream)
        if not isinstance(raw, io.FileIO):
            continue
        _watch_reads(raw, command, name, keep=command.keeps_reads)
    _note_first_use(popen.stdin, "write", command, "stdin")


def _watch_reads(raw: io.FileIO, command: Command, name: str, *, keep: bool) -> None:
    where, pieces = weakref.ref(raw), bytearray()

    def note(data: Any, *, ends: bool) -> None:
        if command.is_communicating:
            return
        command.reads_itself.add(name)
        if keep and data is not None and len(pieces) <= MOST_BYTES:
            pieces.extend(data)
        if keep and ends:
            command.collected(name, bytes(pieces))

    def readinto(buffer: Any) -> int | None:
        stream = where()
        count = None if stream is None else io.FileIO.readinto(stream, buffer)
        note(memoryview(buffer).cast("B")[: count or 0], ends=count == 0)
        return count

    def readall() -> bytes | None:
        stream = where()
        data = None if stream is None else io.FileIO.readall(stream)
        note(data, ends=True)
        return data

    def read(size: int = -1) -> bytes | None:
        stream = where()
        data = None if stream is None else io.FileIO.read(stream, size)
        note(data, ends=size < 0 or (size > 0 and data == b""))
        return data

    def fileno() -> int:
        stream = where()
        if not command.is_communicating:
            command.reads_itself.add(name)  # it may be read by its number, or by another command
        if stream is None:
            raise ValueError("I/O operation on closed file")
        return io.FileIO.fileno(stream)

    vars(raw).update(readinto=readinto, readall=readall, read=read, fileno=fileno)


def _note_first_use(stream: Any, method: str, command: Command, name: str) -> None:
    """Note when the program first calls a method of a stream; from then on, the method is its own again."""
    if stream is None:
        return
    where = weakref.ref(stream)

    def call(*values: Any) -> Any:
        stream = where()
        if not command.is_communicating:
            command.reads_itself.add(name)
            vars(stream).pop(method, None)
        try:
            return getattr(type(stream), method)(stream, *values)
        except BaseException as error:
            hide_own_frame(error)
            raise

    vars(stream)[method] = call


def _is_started_by_asyncio() -> bool:
    """Return whether asyncio starts the process: `Popen` is then called by the loop's own transport."""
    frame: FrameType | None = frame_at(1)
    for _ in range(_MOST_LAYERS + 2):
        if frame is None or frame.f_globals.get("__name__") == "asyncio.unix_events":
            return frame is not None
        frame = frame.f_back
    return False
