"""Run a program inside this process, as its command line would start it: a script, a module, a console script or a function.

A test runs its program this way. The program gets its own `sys.argv`, `sys.path[0]`, `__main__` and standard input. All
of them are restored when it ends, and the modules of the program are unloaded: the next test starts as a new process
would.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import importlib
import importlib.metadata
import io
import logging
import os
import runpy
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from operator import attrgetter
from types import ModuleType
from typing import Any, NoReturn, Protocol

from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.inputs import stdin as standard_input
from namel3ss_debug.errors import RerunError
from namel3ss_debug.traces.environment import may_supply

_OF_THE_MACHINE = frozenset([
    "CI", "COLUMNS", "DISPLAY", "FORCE_COLOR", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "LINES", "LOGNAME", "MAIL", "NO_COLOR",
    "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "TEMP", "TERM", "TMP", "TMPDIR", "TZ", "USER", "USERNAME",
])  # fmt: skip
_FAMILIES = (
    *("LC_", "PYTHON", "XDG_", "NAMEL3SS_", "PYTEST_", "VIRTUAL_ENV", "CONDA_", "SSH_", "SSL_"),
    *("LD_", "DYLD_", "GIT_", "COV_", "COVERAGE_"),
)


class RecordedSurroundings(Protocol):
    """The recorded surroundings of a program."""

    @property
    def environment(self) -> Mapping[str, str | None]:
        """The variables that the program read, None for one that was not set."""

    @property
    def stdin_bytes(self) -> bytes:
        """What it read from the standard input."""

    @property
    def stdin_lines(self) -> Mapping[str, int]:
        """How many lines of that were read in each call of a tool."""


Begin = Callable[[str], AbstractContextManager[RecordedSurroundings | None]]
"""Begins the program whose own code is below a folder; yields its recorded surroundings, None if there are none."""


class ProgramRunner:
    """Run the programs of one test.

    Args:
        begin: called before each program starts.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._before = dict(os.environ)

    def run_script(self, path: str, argv: Sequence[str], stdin: str | None) -> int:
        """Run a script as `python PATH ARGV` does, and return its exit status."""
        real = os.path.realpath(path)
        folder = os.path.dirname(real)
        root = os.getcwd() if real.startswith(os.path.realpath("") + os.sep) else folder
        main = ModuleType("__main__")
        main.__dict__.update(__file__=os.path.join(os.getcwd(), path), __builtins__=builtins)

        def run() -> None:
            with io.open_code(real) as file:
                code = rewrite.compile_source(file.read(), main.__dict__["__file__"])
            sys.modules["__main__"] = main
            exec(code, main.__dict__)  # noqa: S102  (this is what python does with a script)

        return self._run(run, root, folder, [path, *argv], stdin)

    def run_module(self, name: str, argv: Sequence[str], stdin: str | None) -> int:
        """Run a module as `python -m NAME ARGV` does, and return its exit status."""
        here = os.getcwd()

        def run() -> None:
            runpy.run_module(name, run_name="__main__", alter_sys=True)

        return self._run(run, here, here, ["-m", *argv], stdin)

    def run_command(self, name: str, argv: Sequence[str], stdin: str | None) -> int:
        """Run a console script of an installed package by its entry point, and return its exit status.

        Raises:
            LookupError: no package that is installed here has a console script of this name.
        """
        found = [*importlib.metadata.entry_points(group="console_scripts", name=name)]
        if not found:
            raise LookupError(
                f"no package in {sys.prefix} has a console script {name}: install the one that has it"
            )
        scripts = sysconfig.get_path("scripts")

        def run() -> None:
            sys.exit(found[0].load()())

        return self._run(run, os.getcwd(), scripts, [os.path.join(scripts, name), *argv], stdin)

    def run_function(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a function, named as `module:function`, await its result if needed, and return that."""
        here = os.getcwd()
        module, _, path = name.partition(":")

        with (
            self._begin(here) as recorded,
            _main_module(here, here, list(sys.argv)),
            self._surroundings(recorded, None),
            _refuse_hard_exits(),
            _own_exit_functions(here),
        ):
            function = attrgetter(path)(importlib.import_module(module))
            result = function(**arguments)
            if hasattr(result, "__await__"):
                result = asyncio.run(result if asyncio.iscoroutine(result) else _wait(result))
        return result

    def _run(
        self,
        run: Callable[[], None],
        root: str,
        folder: str,
        argv: list[str],
        stdin: str | None,
    ) -> int:
        """Run a program as the main module, and return its exit status."""
        with (
            self._begin(root) as recorded,
            _main_module(root, folder, argv),
            self._surroundings(recorded, stdin),
            _refuse_hard_exits(),
            _own_exit_functions(root),
        ):
            try:
                run()
            except SystemExit as end:
                return _status(end)
        return 0

    @contextmanager
    def _surroundings(self, recorded: RecordedSurroundings | None, text: str | None) -> Iterator[None]:
        """Give the program its standard input, and hide variables that were not set when it was recorded.

        A variable that the test itself has set stays.
        """
        hidden = {
            name: os.environ[name]
            for name, value in (recorded.environment.items() if recorded is not None else ())
            if value is None
            and name in os.environ
            and may_supply(name, None, trusted=True)
            and not is_of_machine(name)
        }
        hidden = {name: value for name, value in hidden.items() if self._before.get(name) == value}
        for name in hidden:
            del os.environ[name]
        data = b"" if recorded is None else recorded.stdin_bytes
        passed = {} if recorded is None else recorded.stdin_lines
        restore = standard_input.serve(data if text is None else text.encode(), passed)
        try:
            with _own_messages():
                yield
        finally:
            restore()
            for name, value in hidden.items():
                os.environ.setdefault(name, value)


@contextmanager
def _own_messages() -> Iterator[None]:
    """Let log records and warnings of the program go where they go without a test runner, which catches both."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning  # type: ignore[assignment]  # its names of parameters
        root.handlers[:] = []
        root.setLevel(logging.WARNING)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


def _print_warning(
    message: Any, kind: Any, file: str, line: int, _stream: Any = None, text: Any = None
) -> None:
    print(warnings.formatwarning(message, kind, file, line, text), file=sys.stderr, end="")


def is_of_machine(name: str) -> bool:
    """Return whether a variable describes the machine or the way code is loaded, and not the program."""
    return name in _OF_THE_MACHINE or name.startswith(_FAMILIES) or name.lower().endswith("_proxy")


@contextmanager
def _main_module(root: str, folder: str, argv: list[str]) -> Iterator[None]:
    """Arrange the interpreter for a main module, and restore it afterwards."""
    make_finder = rewrite.Finder(root)
    modules, main = set(sys.modules), sys.modules["__main__"]
    words, path = sys.argv, list(sys.path)
    sys.argv = argv
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    restore = rewrite.install(root)
    try:
        yield
    finally:
        restore()
        sys.argv = words
        with suppress(ValueError):
            sys.path.remove(folder)
        if (
            sys.path != path and folder in path and path[0] == folder
        ):  # the program had removed the entry itself
            sys.path.insert(0, folder)
        sys.modules["__main__"] = main
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__dict__", {}).get("__file__")
            if isinstance(file, str) and make_finder.is_own(file):
                del sys.modules[name]


class _HardExit(BaseException):
    """Ends the program where it calls `os._exit`."""


@contextmanager
def _refuse_hard_exits() -> Iterator[None]:
    """Let `os._exit` end the program and not the tests, which then fails the test.

    Raises:
        RerunError: the program called it, whatever it then did with the exception.
    """
    leave, process = os._exit, os.getpid()
    statuses: list[int] = []

    def end_program(status: int) -> NoReturn:
        if os.getpid() != process:  # a forked child has to end so
            leave(status)
        statuses.append(status)
        raise _HardExit(status)

    os._exit = end_program
    try:
        yield
    finally:
        os._exit = leave
        if statuses:
            raise RerunError(
                f"the program called os._exit({statuses[0]}), which ends a process at once: a test cannot run "
                "what comes with that; end it with sys.exit, or by returning"
            ) from None


@contextmanager
def _own_exit_functions(root: str) -> Iterator[None]:
    """Call what the program's own code gave to `atexit` at the end of the program, and not at that of the tests.

    What libraries registered stays with the process, which goes on to use them.
    """
    is_own = rewrite.Finder(root).is_own
    register, unregister = atexit.register, atexit.unregister
    calls: list[tuple[Callable[..., Any], Callable[[], Any]]] = []

    def register_here(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        if not is_own(sys._getframe(1).f_code.co_filename):  # noqa: SLF001  (the documented way to a frame)
            return register(function, *args, **kwargs)
        calls.append((function, partial(function, *args, **kwargs)))
        return function

    def unregister_here(function: Callable[..., Any], /) -> None:
        calls[:] = [each for each in calls if each[0] != function]
        unregister(function)

    atexit.register, atexit.unregister = register_here, unregister_here
    try:
        yield
    finally:
        atexit.register, atexit.unregister = register, unregister
        if not isinstance(sys.exception(), _HardExit):
            while calls:
                function, call = calls.pop()
                try:
                    call()
                except Exception as error:  # as the interpreter does, which then goes on
                    print(f"Exception ignored in atexit callback: {function!r}", file=sys.stderr)
                    own = error.__traceback__ and error.__traceback__.tb_next
                    traceback.print_exception(error.with_traceback(own))


async def _wait(result: Any) -> Any:
    return await result


def _status(end: SystemExit) -> int:
    """Return the exit status that a `SystemExit` stands for; print its message as Python does."""
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1
