"""Record all inputs of one process, or replace them in a re-run."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import _getframe as frame_at
from typing import Any

from namel3ss_debug.capture.core import context, task_paths, typed_code
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.launch.session import HASH_SEED
from namel3ss_debug.capture.seams.inputs import (
    clock,
    environment_reads,
    opened_files,
    randomness,
    stdin,
    watching,
)
from namel3ss_debug.capture.seams.inputs.collecting import Inputs
from namel3ss_debug.capture.seams.inputs.read_sites import ReadSites
from namel3ss_debug.capture.seams.inputs.replayed import OnNew, ReplayedInputs
from namel3ss_debug.capture.seams.outputs import installing as outputs
from namel3ss_debug.capture.seams.outputs import streams
from namel3ss_debug.capture.seams.outputs.files import WrittenFiles
from namel3ss_debug.capture.seams.processes import processes
from namel3ss_debug.config import LINEAGE_VARIABLE
from namel3ss_debug.traces.file_digests import FileDigester
from namel3ss_debug.traces.inputs import VERSION, Recorded, find_interpreter_variables
from namel3ss_debug.traces.signing import file_key

_registered = False
_installed: InstalledInputs | None = None


@dataclass(frozen=True)
class InProcessTest:
    """A test that runs in this process.

    Attributes:
        recorded: the inputs that replace its own; `None` if it is recorded.
    """

    recorded: Recorded | None


class InstalledInputs:
    """The seams that are in place in this process.

    Args:
        tracer: the tracer of this process.
        settings: `Session.randomness`.
        path: the task path of this process; `None` if it is unknown. Then it gets a unique one.
        fresh: whether the program of this process is yet to start.
        test: the inputs of a test in this process; `None` if no test runs in it.
        key_file: the file with the key that signs the trace; "" for none.
    """

    def __init__(
        self,
        tracer: ExecutionTracer,
        settings: Mapping[str, Any],
        path: str | None,
        *,
        fresh: bool,
        test: InProcessTest | None = None,
        key_file: str = "",
    ) -> None:
        self.tracer = tracer
        self._settings = settings
        self._fresh = fresh
        self._in_test = test is not None
        self._state: str | None = None
        task_paths.begin(path or f"?{os.urandom(4).hex()}")
        self._is_first = task_paths.root().path == task_paths.FIRST
        self.places = ReadSites(tracer.sites, in_test=self._in_test)
        self.inputs = Inputs(tracer, self.places, at_once=path != task_paths.FIRST)
        self.replayed = (
            _load_replayed(settings, self.inputs.new, tracer)
            if test is None
            else ReplayedInputs(test.recorded, self.inputs.new)
            if test.recorded is not None
            else None
        )
        self.files: opened_files.OpenedFiles | None = None
        self.written_files: WrittenFiles | None = None
        self.renew_outputs: Callable[[], None] = lambda: None
        self._digests = {} if self._in_test else self._follow_files(key_file)
        self.randomness = randomness.Randomness(
            str(settings["seed"]), self._drawn if settings.get("watch") else None
        )

    def put(self, *, follows_stdin: bool) -> list[Undo]:
        """Put each seam in place, and return the functions that restore everything."""
        undo: list[Undo] = []
        seams: dict[str, Callable[[], list[Undo]]] = {
            "randomness": self._put_randomness,
            "clock": self._put_clock,
        }
        if not self._in_test:  # the environment of a test is its own
            reads = environment_reads.Reads(self._variable, self.inputs.variables_listed)
            seams["environment"] = lambda: [environment_reads.install(reads)]
            if follows_stdin:
                seams["stdin"] = self._put_stdin
            if self.files is not None:
                seams["files"] = self._put_files
            if self._settings.get("watch"):
                seams["watch"] = self._put_watch
        for name, put in seams.items():
            try:
                undo += put()
            except Exception as error:  # the interpreter lacks a seam: the program runs without it
                self.tracer.problem(f"{name} is not recorded", error)
        return undo

    def _follow_files(self, key_file: str) -> dict[str, str] | None:
        """Prepare to digest the files that the program opens; return what `trace_start` holds of the key."""
        tracer, replayed = self.tracer, self.replayed
        execution = tracer.execution_id
        key = file_key(key_file, execution)
        if replayed is not None and replayed.file_key:  # that of the trace, to compare with its digests
            execution, key = replayed.files_of, bytes.fromhex(replayed.file_key)
        if not tracer.config.file_digests or not key:
            return None
        digester = FileDigester(key, opened_files.MOST_BYTES)
        own = opened_files.find_own_files(tracer.writer.first)
        self.written_files = WrittenFiles(digester, tracer.config.file_digests, own)
        self.files = opened_files.OpenedFiles(
            digester, tracer.config.file_digests, own, tracer.sites, self.inputs.digest
        )
        return {"execution": execution, "check": digester.check}

    def _put_files(self) -> list[Undo]:
        assert self.files is not None
        assert self.written_files is not None
        return [
            opened_files.on_open(self.files.opened),
            opened_files.on_open(self.written_files.opened),
            opened_files.on_change(self.files.changed),
            opened_files.on_change(self.written_files.changed),
            opened_files.on_output(self.written_files.opened_output),
        ]

    def _put_randomness(self) -> list[Undo]:
        undo = [randomness.keep_state()] if self._in_test else []
        undo += randomness.install(self.randomness, self.tracer.problem, fresh=self._fresh)
        if self._is_first and self.replayed is not None and self.replayed.state:
            randomness.set_state(self.replayed.state)
        return undo

    def _put_clock(self) -> list[Undo]:
        reader = clock.Clock(self.places, self.inputs, None if self.replayed is None else self.replayed.clock)
        undo = clock.install(reader, self._uuid_time, self.tracer.problem)
        self.tracer.now = reader.now
        return undo

    def _put_stdin(self) -> list[Undo]:
        lines = {} if self.replayed is None else self.replayed.stdin_lines
        poses: Callable[[str], bool] | None = None
        if self.replayed is not None and self.replayed.terminal:
            # Only for the program's own code: a library that checks for a terminal goes on to configure it, as click
            # does to read a key.
            shown = self.tracer.sites.shown

            def poses(file: str) -> bool:
                return shown(file) is not None

        return [stdin.install(self._stdin, self._report_line, lines, poses)]

    def _put_watch(self) -> list[Undo]:
        files = watching.watch_files(self.inputs.opened)
        return [*watching.watch_output(self.inputs.printed), *files] if self._is_first else files

    def describe(self) -> None:
        """Describe the seeds of this process in its `trace_start`."""
        settings = self._settings
        described: dict[str, Any] = {
            "seed": settings["seed"],
            "hash_seed": settings.get("hash_seed"),
            "hash_seed_given": settings.get("hash_seed_given") or None,
            "lineage": VERSION,
            "process": task_paths.root().path,
            "files": self._digests or None,
        }
        if self._is_first:
            if not self._in_test:
                described["interpreter"] = find_interpreter_variables(os.environ)
                terminal = stdin.is_terminal() if self.replayed is None else self.replayed.terminal
                described["terminal"] = terminal or None
                described["output"] = streams.widths() if self._fresh else None
            self._state = None if self._fresh else randomness.state()
            described["state"] = self._state
        self.tracer.described = {"randomness": {k: v for k, v in described.items() if v is not None}}

    def begin_test(self) -> None:
        """Record the state of the shared generator, or restore the recorded one: plugins seed it before each test."""
        if self.replayed is None:
            state = randomness.state()
            if state != self._state:
                self.inputs.state(state)
        elif self.replayed.state:
            randomness.set_state(self.replayed.state)

    def restart(self) -> None:
        """Begin again with the task paths and draws of a program that starts now."""
        task_paths.begin(task_paths.FIRST)
        self.places.restart()
        self.randomness.start_generator()

    def watch_program(self, key: bytes | None) -> Callable[[], None]:
        """Record the output and the files of a program in a test; return a function that writes them and ends it."""
        tracer = self.tracer
        renew, remove = outputs.install(tracer, None, lambda: None)
        self.renew_outputs, undo = renew, [remove]
        if key is not None:
            own = opened_files.find_own_files(tracer.writer.first)
            digester = FileDigester(key, opened_files.MOST_BYTES)
            self.written_files = WrittenFiles(digester, tracer.config.file_digests, own)
            undo.append(opened_files.on_open(self.written_files.opened))
            undo.append(opened_files.on_change(self.written_files.changed))
            undo.append(opened_files.on_output(self.written_files.opened_output))

        def end() -> None:
            while undo:
                undo.pop()()
            self.finish()

        return end

    def renew(self, path: str | None = None) -> None:
        """Take another task path: this process was forked, or got its path only after its start."""
        if path is not None:
            self.inputs.write()
            task_paths.begin(path)
        self.inputs.renew()
        self.renew_outputs()
        if self.written_files is not None:
            self.written_files.renew()
        self.describe()
        self.randomness.start_generator()

    def finish(self) -> None:
        """Write what is left at the end of the process."""
        if self.files is not None:
            self.files.finish()
        if self.written_files is not None:
            for path, described in self.written_files.describe(outputs.find_ids()).items():
                self.inputs.digest(path, {"effect": described})
        self.inputs.finish()

    def _variable(self, name: str, value: str | None, frame: Any) -> None:
        self.inputs.variable(name, value, frame)
        if self.replayed is not None and not typed_code.is_running():
            self.replayed.reads_variable(name, value, self.tracer.sites.at(frame) or "")

    def _stdin(self, data: bytes) -> None:
        self.inputs.stdin(data)
        if not data and self.replayed is not None and not (self.replayed.live or self.replayed.stdin_ended):
            self.inputs.new("stdin", self.tracer.sites.find(1) or "")

    def _report_line(self) -> None:
        self.inputs.lines_read(task_paths.open_tool_calls())

    def _uuid_time(self, original: Callable[[], tuple[bytes, Any]]) -> tuple[bytes, Any]:
        """Return what libuuid returns for a `uuid1`: the bytes, and whether they are sure to be unique."""
        if not task_paths.is_active():
            return original()
        path = task_paths.current().path
        known = None if self.replayed is None else self.replayed.uuid_time(path)
        value, sure = original() if known is None else (known, None)
        if known is None and self.replayed is not None and not self.replayed.live:
            self.inputs.new("uuid1", self.tracer.sites.find(1) or "")
        self.inputs.uuid_time(path, value)
        return value, sure

    def _drawn(self, depth: int) -> None:
        self.inputs.drawn(frame_at(depth + 1))


def install(
    tracer: ExecutionTracer,
    settings: Mapping[str, Any],
    *,
    fresh: bool,
    first_process: bool,
    test: InProcessTest | None = None,
    key_file: str = "",
) -> Undo:
    """Record what this process reads from outside, and in a re-run replace it by what a trace contains.

    Args:
        tracer: the tracer of this process.
        settings: `Session.randomness`: `seed`, `hash_seed`, `hash_seed_given`; for a re-run `recorded`, the path of a file with a `Recorded`; `watch` to list
            where random numbers are drawn, output is printed and files are opened.
        fresh: whether the program of this process is yet to start.
        first_process: whether it is the one that the user has started.
        test: the inputs of a test in this process. Then only clock and randomness are recorded, and processes that the
            test starts do not take part.
        key_file: the file with the key that signs the trace; "" for none. Without it, opened files are not digested.

    Returns:
        A function that restores everything.
    """
    global _installed  # one tracer a process
    path, inherited = (task_paths.FIRST, "") if first_process else _own_path()
    inherited, _, outer_outputs = inherited.partition(";")
    installed = InstalledInputs(tracer, settings, path, fresh=fresh, test=test, key_file=key_file)
    follows = fresh and (first_process or (bool(inherited) and inherited == stdin.identity()))
    undo = installed.put(follows_stdin=follows)
    installed.describe()
    tracer.writer.ahead = installed.inputs.write_before
    if fresh and test is None:
        installed.renew_outputs, remove = outputs.install(
            tracer, None if first_process else outer_outputs, installed.finish
        )
        undo.append(remove)
    tracer.at_end.append(installed.finish)
    context.on_thread_start.append(task_paths.assign_to_thread)
    if test is None:
        undo.append(processes.carry(_InputsForChildren(installed, settings, follows_stdin=follows)))
    _register_once()
    _installed = installed

    def put_back() -> None:
        global _installed
        _installed = None
        tracer.writer.ahead = None
        context.on_thread_start.remove(task_paths.assign_to_thread)
        while undo:
            undo.pop()()
        task_paths.end()

    return put_back


def go_live() -> None:
    """Read the real clock, `uuid1` and standard input from now on; random numbers go on from the recorded seed."""
    if _installed is not None and _installed.replayed is not None:
        _installed.replayed.live = True


def begin_test() -> None:
    """Prepare random numbers where the function of a test begins."""
    if _installed is not None:
        _installed.begin_test()


def watch_program(key: bytes | None) -> Callable[[], None]:
    """Record the output and the files of a program that starts now in a test; return a function that ends this.

    Args:
        key: the key of the digests of the trace; None if this user does not have it.
    """
    return (lambda: None) if _installed is None else _installed.watch_program(key)


def restart() -> None:
    """Begin again with the task paths and draws of a program that starts now, in a test that has begun already."""
    if _installed is not None:
        _installed.restart()


class _InputsForChildren:
    """What a started process needs of the inputs, see `processes.ChildState`."""

    def __init__(
        self, installed: InstalledInputs, settings: Mapping[str, Any], *, follows_stdin: bool
    ) -> None:
        self._installed = installed
        self._stdin = stdin.identity() if follows_stdin else ""
        fixed = settings.get("hash_seed") is not None and not settings.get("hash_seed_given")
        self._hash_seed = str(settings["hash_seed"]).encode() if fixed else b""
        self._users = str(settings.get("hash_seed_word", "")).encode()

    def variables(self, environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return further variables for a process that is started now."""
        added = {
            LINEAGE_VARIABLE.encode(): (
                f"{task_paths.new_process_path()} {os.getpid()} {self._stdin};{streams.identity()}"
            ).encode()
        }
        if self._hash_seed and environment.get(HASH_SEED.encode(), b"") == self._users:
            added[HASH_SEED.encode()] = self._hash_seed
        return added

    def hidden(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Return the variables of this process that are hidden from the program, with what it sees instead."""
        return {HASH_SEED.encode(): (self._hash_seed, self._users)} if self._hash_seed else {}

    def word_for_child(self) -> str | None:
        """Return the task path for a child of the fork server."""
        return task_paths.new_process_path()

    def adopt(self, path: str) -> None:
        """Take, in a child of the fork server, the task path from `word_for_child`."""
        if task_paths.was_forked():
            self._installed.renew(path)


def _own_path() -> tuple[str | None, str]:
    """Return the task path of this process and the identities of the streams it may share, from its environment.

    A process of a shell that the program has started has no path: there may be several, which would share it.
    """
    parts = os.environ.get(LINEAGE_VARIABLE, "").rsplit(" ", 2)
    if len(parts) != 3 or parts[1] != str(os.getppid()):
        return None, parts[-1]
    return parts[0], parts[2]


def _load_replayed(
    settings: Mapping[str, Any], on_new: OnNew, tracer: ExecutionTracer
) -> ReplayedInputs | None:
    path = settings.get("recorded")
    if not path:
        return None
    try:
        return ReplayedInputs(Recorded.from_text(Path(path).read_text(encoding="utf-8")), on_new)
    except (OSError, ValueError) as error:
        tracer.problem("the inputs of the trace cannot be read", error)
        return None


def _register_once() -> None:
    global _registered  # registrations are for the life of the process
    if not _registered:
        _registered = True
        os.register_at_fork(before=_before_fork, after_in_child=_in_forked_child)
        atexit.register(_finish)
        processes.at_end_of_forked_workers(_finish)


@contextmanager
def unforked() -> Iterator[None]:
    """Let a process that is forked inside the block go on as the same task, with the same random numbers."""
    global _installed
    installed, _installed = _installed, None
    keep_random = randomness.keep_state()  # Python seeds the generator anew after a fork
    owner = os.getpid()
    try:
        yield
    finally:
        _installed = installed
        if os.getpid() != owner:
            keep_random()


def _before_fork() -> None:
    if _installed is not None:
        task_paths.before_fork()


def _in_forked_child() -> None:
    if _installed is not None:
        task_paths.after_fork_in_child()
        _installed.renew()


def _finish() -> None:
    if _installed is not None:
        _installed.finish()
