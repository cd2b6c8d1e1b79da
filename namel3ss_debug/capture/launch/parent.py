"""Run a traced program from its parent: find the program, start it in a child process, and end as the child ended.

The child runs `runner.py` in the same process group, on the same terminal and with the same stdin, so that keys such as
Ctrl-C and Ctrl-Z reach it as they would without us.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, NamedTuple, NoReturn

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.launch.target_hints import (
    check_command,
    check_language,
    check_word,
    installed_command,
    interpreter_of_script,
    suggestion,
)
from namel3ss_debug.config import PARENT_VARIABLE, SESSION_VARIABLE, TRUST_KEY_VARIABLE
from namel3ss_debug.errors import RerunError, TargetError
from namel3ss_debug.traces.own_memory import blank_command_line
from namel3ss_debug.traces.signing import remove_lent_keys, take_key_variable

_FOLDER = Path(__file__).resolve().parent
BOOT = _FOLDER / "boot"
RUNNER = _FOLDER / "runner.py"

_FUNCTION = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*(\.[^\W\d]\w*)*)\Z")
_BARE = re.compile(r"[^\W\d]\w*\Z")
_SignalAction = Literal["forward", "leave", "end"]
# The terminal sends SIGINT and SIGQUIT to the whole process group, so the child has them already. A child in a group of
# its own gets none: there Ctrl-C is for the debugger.
_SHARED_GROUP: dict[int, _SignalAction] = {
    signal.SIGTERM: "forward",
    signal.SIGHUP: "forward",
    signal.SIGUSR1: "forward",
    signal.SIGUSR2: "forward",
    signal.SIGINT: "leave",
    signal.SIGQUIT: "leave",
}
_OWN_GROUP: dict[int, _SignalAction] = {
    signal.SIGTERM: "end",
    signal.SIGHUP: "end",
    signal.SIGUSR1: "forward",
    signal.SIGUSR2: "forward",
    signal.SIGQUIT: "forward",
}
_NOT_INHERITED = frozenset({PARENT_VARIABLE, TRUST_KEY_VARIABLE})
_CHECK = "import sys; assert sys.version_info >= (3, 11), 'Python 3.11'; import orjson, psutil, wrapt"


@dataclass(frozen=True)
class Target:
    """A program to run.

    `value` is the path of a script, folder or archive, the name of a module, `module:function`, or the path of a
    namel3ss app; `argv` the program's own arguments; `arguments` the keyword arguments of a function, or the input of
    an app's flow; `flow` that flow, where it was named; `root` the folder of the user's code.
    """

    kind: Literal["script", "module", "function", "app"]
    value: str
    argv: tuple[str, ...]
    root: Path
    arguments: Mapping[str, Any] = field(default_factory=dict)
    flow: str | None = None

    @property
    def text(self) -> str:
        """The target as the user would name it."""
        return f"-m {self.value}" if self.kind == "module" else self.value

    def command(self) -> list[str]:
        """Return the words after the runner on the child's command line."""
        words = [self.kind, self.value]
        if self.kind == "function":
            words.append(json.dumps(dict(self.arguments)))
        elif self.kind == "app":
            from namel3ss_debug.capture.namel3ss.interpreters import shared_modules  # only apps need it

            words.append(
                json.dumps({"flow": self.flow, "input": dict(self.arguments), "lent": shared_modules()})
            )
        return [*words, *self.argv]


class Streams(NamedTuple):
    """The file descriptors for the standard streams of a child; None for that of this process."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


INHERITED: Final = Streams()


def resolve_target(
    words: Sequence[str],
    *,
    module: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    run_args: Mapping[str, Any] | None = None,
    flow: str | None = None,
) -> Target:
    """Find the program that the words of a command line name.

    Args:
        words: the target and the program's own arguments.
        module: whether `-m` was given: the target is the name of a module or package.
        cwd: the folder that relative paths start from; the working directory if left out.
        run_args: keyword arguments, for a function; the input of an app's flow.
        flow: which flow of an app.

    Raises:
        TargetError: there is no such program, or it is of a kind that cannot be run.
    """
    folder = Path(cwd or Path.cwd()).resolve()
    if not words or not words[0]:
        raise TargetError("no program: name a file, -m package, or module:function")
    word, argv = words[0], tuple(words[1:])
    if not module:
        check_word(word, argv, folder)
    function = _FUNCTION.match(word)
    if not module and function and not (folder / word).exists():
        return Target("function", word, argv, folder, dict(run_args or {}))
    target = Target("module", word, argv, folder) if module else _file_or_package(word, argv, folder)
    if target.kind == "app":
        return _app(target, folder, run_args, flow)
    if run_args:
        raise TargetError(
            f"--run-args are for a function (module:function), and {word} is none: leave them out, or put them after -- if they are "
            "the program's own"
        )
    if flow is not None:
        raise TargetError(
            f"--flow is for a namel3ss app, and {word} is none: leave it out, or put it after -- if it is the program's own"
        )
    return target


def _app(target: Target, folder: Path, run_args: Mapping[str, Any] | None, flow: str | None) -> Target:
    """Return an app with the input of its flow.

    Raises:
        TargetError: it has arguments, or is of the older language.
    """
    if target.argv:
        raise TargetError(
            f"{target.value} is a namel3ss app, which has no arguments ({target.argv[0]}): give its flow an input with --run-args"
        )
    from namel3ss_debug.capture.namel3ss.generation import check_generation  # only apps need it

    check_generation(folder / target.value)
    return replace(target, arguments=dict(run_args or {}), flow=flow)


def _file_or_package(word: str, argv: tuple[str, ...], folder: Path) -> Target:
    path = folder / word
    if _BARE.match(word) and not path.is_file():
        for suffix in (".py", ".ai"):
            if (folder / (word + suffix)).is_file():
                return _script(word + suffix, argv, folder)
        if (path / "__init__.py").is_file():
            return Target("module", word, argv, folder)
    if not path.exists() or (path.is_dir() and not (path / "__main__.py").is_file()):
        found = installed_command(word)
        if found is not None:
            return _script(found, argv, folder)
    if not path.exists():
        where = "" if Path(word).is_absolute() else f" in {folder}"
        meant = suggestion(word, folder)
        if not meant:
            check_command(word, argv)
        raise TargetError(f"there is no {word}{where}{meant}")
    return _script(word, argv, folder)


def _script(word: str, argv: tuple[str, ...], folder: Path) -> Target:
    path = folder / word
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise TargetError(f"{word} is a folder without __main__.py: name the file to run in it")
    if path.is_file() and _is_trace(path):
        raise TargetError(
            f"{word} is a trace, and no program: did you mean `namel3ss debug analyze {shlex.quote(word)}`?"
        )
    home = path.resolve() if path.is_dir() else path.resolve().parent
    kind: Literal["script", "app"] = "app" if path.suffix == ".ai" and path.is_file() else "script"
    if path.is_file():
        check_language(path, word)
    return Target(kind, word, argv, folder if home.is_relative_to(folder) or _is_command(path) else home)


def _is_command(path: Path) -> bool:
    """Return whether the file is an installed command: the code that it runs is elsewhere."""
    return path.is_file() and not path.suffix and path.resolve().parent.name == "bin"


def _is_trace(path: Path) -> bool:
    """Return whether the first line of a file is an event."""
    if path.suffix not in {".jsonl", ".gz"}:  # a program is not read a second time
        return False
    from namel3ss_debug.traces.decoding import looks_like_event  # only here are they needed
    from namel3ss_debug.traces.lines import first_line

    try:
        return looks_like_event(json.loads(first_line(path)))
    except (OSError, ValueError, RecursionError):
        return False


def find_python(python: str | None, target: Target | None = None) -> str:
    """Return the interpreter to run the program with, after a check that it can record.

    Args:
        python: a path or a name on `PATH`; the interpreter of this process if left out.
        target: the program; one in the namel3ss language is run where the language is.

    Raises:
        TargetError: there is no such interpreter, or it lacks what recording needs.
    """
    if target is not None and target.kind == "app":
        from namel3ss_debug.capture.namel3ss.interpreters import find_interpreter  # only apps need it

        return find_interpreter(python, target.value)
    if python is None:
        if target is not None:
            _check_command(target)
        return sys.executable
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise TargetError(f"there is no Python at {python}: give the path of an interpreter to --python")
    look = subprocess.run([found, "-c", _CHECK], capture_output=True, check=False)  # noqa: S603  (the user's own interpreter)
    if look.returncode:
        lines = look.stderr.decode("utf-8", "replace").strip().splitlines() or ["it does not run"]
        message = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        missing = message.removeprefix("ModuleNotFoundError: ").removeprefix("AssertionError: ")
        raise TargetError(
            f"{found} cannot record ({missing}): install namel3ss-debug for it, on Python 3.11 or later"
        )
    return found


def _check_command(target: Target) -> None:
    """Check that an installed command belongs to this interpreter.

    Raises:
        TargetError: it belongs to another interpreter.
    """
    if target.kind != "script" or not _is_command(Path(target.value)):
        return
    other = interpreter_of_script(target.value)
    if other is None or " " in other or not os.path.isfile(other) or not os.path.isabs(other):
        return
    if os.path.dirname(other) != os.path.dirname(sys.executable):
        raise TargetError(
            f"{target.value} is installed for {other}: install namel3ss-debug there too, and give --python {shlex.quote(other)}"
        )


def launch(
    target: Target,
    *,
    session: Mapping[str, Any],
    python: str | None = None,
) -> int:
    """Run a program in a child process and wait for its end.

    Args:
        target: the program.
        session: the session of the child, which is passed as JSON in the environment.
        python: the interpreter from `find_python`; that of this process if left out.

    Returns:
        The exit status of the program; of one that died by a signal, the signal's negative number.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    with started(target, session=session, python=python) as child:
        return child.wait()


@contextlib.contextmanager
def started(
    target: Target,
    *,
    session: Mapping[str, Any],
    python: str | None = None,
    own_group: bool = False,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    streams: Streams = INHERITED,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a child process, and handle signals for it until the block ends.

    Args:
        target: the program.
        session: as for `launch`.
        python: as for `launch`.
        own_group: whether the child gets a process group of its own, which the keys of the terminal do not reach. Then
            SIGTERM and SIGHUP end the block with `SystemExit`, because the child is for the block to end.
        environ: the environment of the program; that of this process if left out.
        cwd: its working directory; that of this process if left out.
        streams: what it reads and writes.

    Raises:
        TargetError: the interpreter cannot be started.
        RerunError: this process is part of a re-run, and the program would not be.
    """
    if switch.ACTIVE is not None and switch.ACTIVE.network is not None and not session.get("offline"):
        raise RerunError(f"{target.text} is not run for real inside a re-run")
    environment = child_environment(os.environ if environ is None else environ, session)
    take_key_variable()
    blank_command_line()
    with _signals(_OWN_GROUP if own_group else _SHARED_GROUP) as deliver:
        child = _popen(_command_line(target, python), environment, cwd, streams, own_group=own_group)
        deliver(child)
        yield child


def _command_line(target: Target, python: str | None) -> list[str]:
    return [python or sys.executable, str(RUNNER), *target.command()]


def _popen(
    words: list[str], environment: Mapping[str, str], cwd: Path | None, streams: Streams, *, own_group: bool
) -> subprocess.Popen[bytes]:
    """Start a process.

    Raises:
        TargetError: it cannot be started.
    """
    try:
        # Files that the user's shell opened for the program (`app.py <(command)`) stay open: close_fds=False.
        return subprocess.Popen(  # noqa: S603  (running it is the point)
            words,
            env=environment,
            close_fds=False,
            process_group=0 if own_group else None,
            cwd=cwd,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
    except OSError as error:
        raise TargetError(f"cannot start {error.filename or words[0]}: {error.strerror}") from error


def child_environment(environ: Mapping[str, str], session: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of the child: the current one, the hook for its own children, and the session."""
    environment = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
    paths = [str(BOOT), *environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment[SESSION_VARIABLE] = json.dumps(dict(session))
    hash_seed = session.get("randomness", {}).get("hash_seed") if session.get("sampled") else None
    if hash_seed is not None:
        environment["PYTHONHASHSEED"] = str(hash_seed)
    return environment


class _SignalForwarder:
    """Forwards signals to the child, also those that arrived before there was one."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.waiting: list[int] = []

    def __call__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        for number in self.waiting:
            child.send_signal(number)

    def forward(self, number: int, _frame: FrameType | None) -> None:
        if self.child is None:
            self.waiting.append(number)
        else:
            self.child.send_signal(number)


def _leave_alone(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. This is a function, because the child would inherit SIG_IGN."""


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _signals(answers: Mapping[int, _SignalAction]) -> Iterator[_SignalForwarder]:
    delivery = _SignalForwarder()
    handlers = {"forward": delivery.forward, "leave": _leave_alone, "end": _end}
    before: dict[int, Any] = {}
    try:
        for number, answer in answers.items():
            # A signal that is ignored here (nohup, a background job) is ignored by the child as well.
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                before[number] = signal.signal(number, handlers[answer])
            except ValueError:  # not the main thread: signals are not ours to handle
                break
        yield delivery
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)


def leave(returncode: int) -> NoReturn:
    """End this process as the child ended, so that shells and CI see the same status.

    Args:
        returncode: what `launch` gave: an exit status, or the negative number of a signal to die by.
    """
    if returncode >= 0:
        sys.exit(returncode)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    remove_lent_keys()  # a signal ends this process without `atexit`
    # The child may have left a core dump already, and one of this process would mislead.
    import resource  # not on every platform

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler to reset
        signal.signal(-returncode, signal.SIG_DFL)
    os.kill(os.getpid(), -returncode)
    sys.exit(128 - returncode)  # a signal that does not end a process
