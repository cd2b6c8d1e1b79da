"""Which process a re-run starts: the recorded program, its interpreter, folder and environment.

All but a few recordings say so in their first line. So the process is started ahead, while it is still seen whether the
recording holds what a re-run needs: it imports what recording needs, and waits before the first line of the program.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from namel3ss_debug.capture.launch import (
    Command,
    Streams,
    Target,
    Waiting,
    command_for,
    find_python,
    resolve_target,
    waiting,
)
from namel3ss_debug.capture.target_hints import NOTEBOOK
from namel3ss_debug.errors import DebugError, RerunError, TargetError
from namel3ss_debug.replay.consent import Consent, check_signatures
from namel3ss_debug.replay.rerunning.outputs import Outputs
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    import subprocess

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_MARKS: Final = (".git", "pyproject.toml", "setup.py", ".namel3ss")
STILL: Final = "debug replay --step walks through what is there"
_LONGEST_HEAD = 1 << 20


def target_of(path: Path, start: Mapping[str, Any]) -> tuple[Target, Path]:
    """The recorded program and its working directory.

    Args:
        path: the file of the recording.
        start: the metadata of its `trace_start`.

    Raises:
        RerunError: the recording does not name them.
        TargetError: they are not there any more.
    """
    text, argv = (
        lenient.string(start.get("target")),
        [str(word) for word in lenient.sequence(start.get("argv"))],
    )
    folder = lenient.string(start.get("cwd"))
    if not text or text.endswith(NOTEBOOK) or folder is None:
        raise RerunError(
            f"{path} does not say which program it is of, as nothing that was typed or run in cells does; {STILL}"
        )
    cwd = Path(folder)
    if not cwd.is_dir():
        raise TargetError(
            f"the program was recorded in {folder}, which is not there: put it back to run it again; {STILL}"
        )
    module = text.startswith("-m ")
    try:
        target = resolve_target(
            [text.removeprefix("-m "), *argv[1:]],
            module=module,
            cwd=cwd,
            run_args=lenient.mapping(start.get("arguments")),
            flow=lenient.string(start.get("flow")),
        )
    except TargetError as error:
        raise TargetError(f"{error}: the recorded program has to be there to run again; {STILL}") from None
    if target.kind == "function" and not is_of_project(target.value.partition(":")[0], cwd):
        raise TargetError(
            f"{target.value} is no function of the project in {cwd}: a re-run calls only functions of the project's own files; {STILL}"
        )
    return target, cwd


def is_of_project(module: str, cwd: Path) -> bool:
    """Return whether a module is a file of the project around a folder; nothing is imported to find out.

    A trace could otherwise name any function of an installed package, such as `os:system`, and its arguments.
    """
    path = [str(cwd), *(each for each in sys.path if each)]
    name, *rest = module.split(".")
    if name in sys.stdlib_module_names:
        return False
    spec = PathFinder.find_spec(name, path)
    if spec is None:  # installed from its folder, by a finder of its own
        finders = [getattr(each, "find_spec", None) for each in sys.meta_path]
        spec = next((found for find in finders if find and (found := find(name, None)) is not None), None)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    if spec is None or not spec.has_location or spec.origin is None:
        return False
    file = Path(os.path.realpath(spec.origin))
    outside = {*map(os.path.realpath, (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")))}
    if any(part in _INSTALLED for part in file.parts) or any(file.is_relative_to(each) for each in outside):
        return False
    return file.is_relative_to(_project_folder(Path(os.path.realpath(cwd))))


def _project_folder(folder: Path) -> Path:
    """Return the nearest folder upwards that is marked as a project; the folder itself where none is."""
    marked = (each for each in (folder, *folder.parents) if any((each / mark).exists() for mark in _MARKS))
    return next(marked, folder)


def named_target(words: Sequence[str]) -> tuple[Target, Path]:
    """Return the program that the user names in place of the recorded one, and the current directory.

    Args:
        words: the program and its arguments, as for `debug trace`: `app.py`, or `-m package`.

    Raises:
        TargetError: there is no such program.
    """
    module = words[0] == "-m"
    cwd = Path.cwd()
    return resolve_target(list(words[module:]), module=module, cwd=cwd), cwd


def interpreter_of(
    wanted: str | None, start: Mapping[str, Any], target: Target
) -> tuple[str, tuple[str, ...]]:
    """The interpreter that was asked for, else one that can run the program; a note where another one was recorded.

    A recorded one is not started unasked: a recording is foreign data.
    """
    python = find_python(wanted, target)
    recorded = lenient.string(start.get("executable"))
    if wanted is not None or recorded is None or _is_same(recorded, python):
        return python, ()
    return python, (f"recorded with {recorded}, run again with {python}: --python chooses another",)


def _is_same(one: str, other: str) -> bool:
    """Whether two paths lead to one interpreter: in one folder, as `python` and `python3` of an environment do."""
    one, other = os.path.abspath(one), os.path.abspath(other)
    beside = os.path.dirname(one) == os.path.dirname(other)
    return one == other or (beside and os.path.realpath(one) == os.path.realpath(other))


def randomness_of(inputs: Inputs) -> dict[str, Any]:
    """What a process draws its random numbers from, as the session says it; {} where the recording does not."""
    if not inputs.usable:
        return {}
    randomness: dict[str, Any] = {"seed": inputs.seed, "lineage": inputs.version}
    if inputs.hash_seed is not None:
        randomness["hash_seed"] = inputs.hash_seed
    if inputs.hash_seed_given:
        randomness["hash_seed_given"] = True
    return randomness


def command_of(target: Target, python: str, cwd: Path, inputs: Inputs) -> Command:
    """What the process of a program is started with; what it read of the environment is as it was."""
    session = {"sampled": True, "randomness": randomness_of(inputs)}
    return command_for(target, session=session, python=python, environ=inputs.variables(os.environ), cwd=cwd)


class Early:
    """A process that was started ahead, for the program that the first line of the recording names.

    Args:
        command: what it was started with.
        waiting: the process.
        stdin: what it has for the standard input, empty as yet.
        outputs: where its output goes.

    Attributes:
        command: as given.
        outputs: as given.
    """

    def __init__(self, command: Command, waiting: Waiting, stdin: IO[bytes], outputs: Outputs) -> None:
        self.command = command
        self._waiting = waiting
        self._stdin = stdin
        self.outputs = outputs

    def go(self, session: Mapping[str, Any], stdin: bytes) -> subprocess.Popen[bytes]:
        """Let the program begin.

        Args:
            session: where it is recorded, and by what it is answered.
            stdin: what it reads from the standard input.
        """
        self._stdin.write(stdin)
        self._stdin.seek(0)  # the process has the same place in it
        self.outputs.settle(shown=True)
        self._waiting.go(session)
        return self._waiting.child

    def end(self) -> None:
        """Let the process end if it still waits, as if it had never been: nothing that it has printed is shown."""
        if self._waiting.waits:
            self._waiting.end()
            _forget(self.outputs)


@contextlib.contextmanager
def early(path: Path, outputs: Outputs, consent: Consent = "signature") -> Iterator[Early | None]:
    """Start the program of a recording ahead; it ends with the block where nothing has let it begin.

    Args:
        path: the file of the recording.
        outputs: where the output of the program is to go.
        consent: why the program may be started.

    Returns:
        The process; None where the first line does not say what to start. Why that is so, `prepare` tells.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = _started(stack, path, outputs, consent)
        except (DebugError, OSError, ValueError, TypeError):
            found = None
        yield found


def _started(stack: contextlib.ExitStack, path: Path, outputs: Outputs, consent: Consent) -> Early | None:
    """Start the program ahead, if its process is known.

    Raises:
        DebugError: the program is not there, or its interpreter cannot be started.
        OSError: the file cannot be read.
        ValueError, TypeError: its first line is no event as it should be.
    """
    first = _first_event(path)
    if first is None or consent == "program":  # then another program may be meant than the one in the trace
        return None
    target, cwd = target_of(path, lenient.mapping(first.get("metadata")))
    inputs = Inputs.of([first])
    inputs.trusted = check_signatures(path, [first], consent)
    if target.kind == "app":
        return None
    command = command_of(target, find_python(None, target), cwd, inputs)
    stdin = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  (the stack closes it)
    ends = outputs.ahead()
    try:
        process = stack.enter_context(waiting(command, Streams(stdin.fileno(), ends.stdout, ends.stderr)))
    except BaseException:
        _forget(outputs)
        raise
    found = Early(command, process, stdin, outputs)
    stack.callback(found.end)
    return found


def _forget(outputs: Outputs) -> None:
    """Close the way that was opened ahead, and throw away what has come on it."""
    with outputs.run():
        pass
    outputs.settle(shown=False)


def _first_event(path: Path) -> Event | None:
    """The `trace_start` of the first process, where that is the first line of the file."""
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as file:
        first = lenient.mapping(orjson.loads(file.readline(_LONGEST_HEAD)))
    process = lenient.mapping(first.get("metadata")).get("process")
    return first if first.get("event_type") == "trace_start" and not process else None
