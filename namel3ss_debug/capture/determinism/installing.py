"""Putting everything in place in one process: what it reads is recorded, and in a re-run served."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from namel3ss_debug.capture import context, processes
from namel3ss_debug.capture.determinism import clock, environment_reads, lineage, randomness, stdin, watching
from namel3ss_debug.capture.determinism.inputs import Inputs
from namel3ss_debug.capture.determinism.places import Places
from namel3ss_debug.capture.determinism.served import OnNew, Served
from namel3ss_debug.capture.patching import Undo
from namel3ss_debug.capture.session import HASH_SEED
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.config import LINEAGE_VARIABLE
from namel3ss_debug.traces.inputs import VERSION, Recorded, of_interpreter

_WITHOUT_IMPORTS = 2
"""The last version of the names of lines of work in which imports have none of their own."""

_registered = False
_running: Running | None = None


@dataclass(frozen=True)
class InTest:
    """A test runs in this process.

    Attributes:
        recorded: what it is served; `None` where it is recorded.
    """

    recorded: Recorded | None


class Running:
    """What is in place in this process.

    Args:
        tracer: the tracer of this process.
        settings: `Session.randomness`.
        path: the name of this process; `None` where nobody knows it. Then it gets one that no other has.
        fresh: whether the program of this process is yet to start.
        test: what a test of this process is served; `None` where no test runs in it.
    """

    def __init__(
        self,
        tracer: ExecutionTracer,
        settings: Mapping[str, Any],
        path: str | None,
        *,
        fresh: bool,
        test: InTest | None = None,
    ) -> None:
        self.tracer = tracer
        self._settings = settings
        self._fresh = fresh
        self._in_test = test is not None
        self._state: str | None = None
        self._version = int(settings.get("lineage", VERSION))
        lineage.begin(path or f"?{os.urandom(4).hex()}", imports=self._version > _WITHOUT_IMPORTS)
        self.places = Places(tracer.sites, in_test=self._in_test)
        self.inputs = Inputs(tracer, self.places, at_once=path != lineage.FIRST)
        self.served = (
            _served(settings, self.inputs.new, tracer)
            if test is None
            else Served(test.recorded, self.inputs.new)
            if test.recorded is not None
            else None
        )
        self.randomness = randomness.Randomness(
            str(settings["seed"]), self._drawn if settings.get("watch") else None
        )

    def put(self, *, follows_stdin: bool) -> list[Undo]:
        """Put each source in place; return the functions that put everything back."""
        undo: list[Undo] = []
        sources: tuple[Callable[[], list[Undo]], ...] = (self._put_randomness, self._put_clock)
        if not self._in_test:  # the environment of a test is its own
            sources += (self._put_environment, self._put_stdin, self._put_watch)
        for source in sources:
            if source != self._put_stdin or follows_stdin:
                try:
                    undo += source()
                except (
                    Exception
                ) as error:  # what this interpreter lacks is not recorded, and the program runs
                    self.tracer.problem(f"{source.__name__[5:]} is not recorded", error)
        return undo

    def _put_randomness(self) -> list[Undo]:
        undo = [randomness.keep_state()] if self._in_test else []
        undo += randomness.install(self.randomness, self.tracer.problem, fresh=self._fresh)
        if lineage.root().path == lineage.FIRST and self.served is not None and self.served.state:
            randomness.set_state(self.served.state)
        return undo

    def _put_clock(self) -> list[Undo]:
        reader = clock.Clock(self.places, self.inputs, None if self.served is None else self.served.clock)
        undo = clock.install(reader, self._uuid_time, self.tracer.problem)
        self.tracer.now = reader.now
        return undo

    def _put_environment(self) -> list[Undo]:
        reads = environment_reads.Reads(self._variable, self.inputs.variables_listed)
        return [environment_reads.install(reads)]

    def _put_stdin(self) -> list[Undo]:
        passed = {} if self.served is None else self.served.stdin_lines
        poses = self._is_own if self.served is not None and self.served.terminal else None
        return [stdin.install(self._stdin, self._line_read, passed, poses)]

    def _is_own(self, file: str) -> bool:
        """Whether a file is the program's own: a library that asks for a terminal goes on to set it, as click to read a key."""
        return self.tracer.sites.shown(file) is not None

    def _put_watch(self) -> list[Undo]:
        if not self._settings.get("watch"):
            return []
        files = watching.watch_files(self.inputs.opened)
        if lineage.root().path != lineage.FIRST:
            return files
        return watching.watch_output(self.inputs.printed) + files

    def describe(self) -> None:
        """Write into the `trace_start` of this process what its random numbers follow from."""
        settings = self._settings
        described: dict[str, Any] = {
            "seed": settings["seed"],
            "hash_seed": settings.get("hash_seed"),
            "hash_seed_given": settings.get("hash_seed_given") or None,
            "lineage": self._version,
            "process": lineage.root().path,
        }
        if lineage.root().path == lineage.FIRST:
            if not self._in_test:
                described["interpreter"] = of_interpreter(os.environ)
                terminal = stdin.is_terminal() if self.served is None else self.served.terminal
                described["terminal"] = terminal or None
            self._state = None if self._fresh else randomness.state()
            described["state"] = self._state
        self.tracer.described = {"randomness": {k: v for k, v in described.items() if v is not None}}

    def begin_test(self) -> None:
        """Record the state of the shared generator, or serve the recorded one: plugins seed it before each test."""
        if self.served is None:
            state = randomness.state()
            if state != self._state:
                self.inputs.state(state)
        elif self.served.state:
            randomness.set_state(self.served.state)

    def restart(self) -> None:
        """Begin again with the names and draws of a program that starts now."""
        lineage.begin(lineage.FIRST)
        self.places.restart()
        self.randomness.start_generator()

    def renew(self, path: str | None = None) -> None:
        """This process has another name now: it was forked, or got its name only after its start."""
        if path is not None:
            self.inputs.write()
            lineage.begin(path)
        self.inputs.renew()
        self.describe()
        self.randomness.start_generator()

    def _variable(self, name: str, value: str | None, frame: Any) -> None:
        self.inputs.variable(name, value, frame)
        if self.served is not None:
            self.served.reads_variable(name, value, self.tracer.sites.at(frame) or "")

    def _stdin(self, data: bytes) -> None:
        self.inputs.stdin(data)
        if not data and self.served is not None and not (self.served.live or self.served.stdin_ended):
            self.inputs.new("stdin", self.tracer.sites.find(1) or "")

    def _line_read(self) -> None:
        self.inputs.lines_read(lineage.calls())

    def _uuid_time(self, original: Callable[[], tuple[bytes, Any]]) -> tuple[bytes, Any]:
        """What libuuid gives for a `uuid1`: the bytes, and whether they are sure to be unique."""
        if not lineage.active():
            return original()
        path = lineage.current().path
        known = None if self.served is None else self.served.uuid_time(path)
        value, sure = original() if known is None else (known, None)
        if known is None and self.served is not None and not self.served.live:
            self.inputs.new("uuid1", self.tracer.sites.find(1) or "")
        self.inputs.uuid_time(path, value)
        return value, sure

    def _drawn(self, depth: int) -> None:
        self.inputs.drawn(sys._getframe(depth + 1))  # noqa: SLF001  (the documented way to a frame)


def install(
    tracer: ExecutionTracer,
    settings: Mapping[str, Any],
    *,
    fresh: bool,
    first_process: bool,
    test: InTest | None = None,
) -> Undo:
    """Record what this process reads from outside, and in a re-run serve what a recording holds.

    Args:
        tracer: the tracer of this process.
        settings: `Session.randomness`: `seed`, `hash_seed`, `hash_seed_given`; `lineage`, the version of the names of
            lines of work, where it is not the current one; for a re-run `recorded`, the path of a
            file with a `Recorded`; `watch` to list where random numbers are drawn, output is
            printed and files are opened.
        fresh: whether the program of this process is yet to start.
        first_process: whether it is the one the user asked for.
        test: what a test of this process is served. Then clock and randomness alone are recorded, and what the test
            starts is told nothing.

    Returns:
        A function that puts everything back.
    """
    global _running  # noqa: PLW0603  (one tracer a process)
    path, inherited = (lineage.FIRST, "") if first_process else _own_name()
    running = Running(tracer, settings, path, fresh=fresh, test=test)
    follows = fresh and (first_process or (bool(inherited) and inherited == stdin.identity()))
    undo = running.put(follows_stdin=follows)
    running.describe()
    tracer.writer.ahead = running.inputs.ahead
    tracer.at_end.append(running.inputs.finish)
    context.thread_starts.append(lineage.thread_starts)
    if test is None:
        undo.append(processes.carry(_Carried(running, settings, follows_stdin=follows)))
    _register_once()
    _running = running

    def put_back() -> None:
        global _running  # noqa: PLW0603  (as above)
        _running = None
        tracer.writer.ahead = None
        context.thread_starts.remove(lineage.thread_starts)
        while undo:
            undo.pop()()
        lineage.end()

    return put_back


def go_live() -> None:
    """From now on the clock, `uuid1` and standard input are real; random numbers go on from the recorded seed."""
    if _running is not None and _running.served is not None:
        _running.served.live = True


def begin_test() -> None:
    """Take up random numbers where the function of a test begins."""
    if _running is not None:
        _running.begin_test()


def restart() -> None:
    """Begin again with the names and draws of a program that starts now, in a test that has begun already."""
    if _running is not None:
        _running.restart()


class _Carried:
    """What a started process is given, see `processes.Carried`."""

    def __init__(self, running: Running, settings: Mapping[str, Any], *, follows_stdin: bool) -> None:
        self._running = running
        self._stdin = stdin.identity() if follows_stdin else ""
        fixed = settings.get("hash_seed") is not None and not settings.get("hash_seed_given")
        self._hash_seed = str(settings["hash_seed"]).encode() if fixed else b""
        self._users = str(settings.get("hash_seed_word", "")).encode()

    def variables(self, given: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Further variables for a process that is started now."""
        added = {LINEAGE_VARIABLE.encode(): f"{lineage.new_process()} {os.getpid()} {self._stdin}".encode()}
        if self._hash_seed and given.get(HASH_SEED.encode(), b"") == self._users:
            added[HASH_SEED.encode()] = self._hash_seed
        return added

    def hidden(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Variables of this process that are hidden from the program, with what it sees instead."""
        return {HASH_SEED.encode(): (self._hash_seed, self._users)} if self._hash_seed else {}

    def prepared(self) -> str | None:
        """What a child of the fork server is given."""
        return lineage.new_process()

    def adopt(self, path: str) -> None:
        """Take up, in a child of the fork server, what `prepared` gave it."""
        if lineage.was_forked():
            self._running.renew(path)


def _own_name() -> tuple[str | None, str]:
    """The name of this process and the identity of the standard input it may follow, as its environment tells.

    What a shell starts that the program started has no name: there may be several, and each would have the same.
    """
    words = os.environ.get(LINEAGE_VARIABLE, "").rsplit(" ", 2)
    if len(words) != 3 or words[1] != str(os.getppid()):
        return None, words[-1]
    return words[0], words[2]


def _served(settings: Mapping[str, Any], on_new: OnNew, tracer: ExecutionTracer) -> Served | None:
    path = settings.get("recorded")
    if not path:
        return None
    try:
        return Served(Recorded.from_text(Path(path).read_text(encoding="utf-8")), on_new)
    except (OSError, ValueError) as error:
        tracer.problem("the inputs of the recording cannot be read", error)
        return None


def _register_once() -> None:
    global _registered  # noqa: PLW0603  (registrations are for the life of the process)
    if not _registered:
        _registered = True
        os.register_at_fork(before=_before_fork, after_in_child=_in_forked_child)
        atexit.register(_finish)
        processes.at_end_of_forked_workers(_finish)


def _before_fork() -> None:
    if _running is not None:
        lineage.before_fork()


def _in_forked_child() -> None:
    if _running is not None:
        lineage.after_fork_in_child()
        _running.renew()


def _finish() -> None:
    if _running is not None:
        _running.inputs.finish()
