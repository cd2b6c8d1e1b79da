"""Find which process a re-run starts: the recorded program, its interpreter, folder and environment.

The first line of almost every trace names them.
"""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.capture.launch.parent import Target, find_python, resolve_target
from namel3ss_debug.capture.launch.target_hints import NOTEBOOK
from namel3ss_debug.errors import RerunError, TargetError
from namel3ss_debug.replay.overrides.grammar import in_line
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.wire import lenient

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_MARKS: Final = (".git", "pyproject.toml", "setup.py", ".namel3ss")
STILL: Final = "debug replay --step steps through the trace"


def refuse_foreign(path: Path, start: Mapping[str, Any]) -> None:
    """Refuse a trace of another tool where the recorded program is wanted.

    Raises:
        RerunError: it is one.
    """
    source = lenient.string(lenient.mapping(start.get("source")).get("format"))
    if source and not start.get("target"):
        raise RerunError(
            f"{path} is a trace of another tool ({in_line(source)}) and names no program: run yours on its answers with "
            f"namel3ss debug rerun app.py --answers {shlex.quote(str(path))}; a test is made of that re-run"
        )


def target_of(path: Path, start: Mapping[str, Any]) -> tuple[Target, Path]:
    """Return the recorded program and its working directory.

    Args:
        path: the file of the trace.
        start: the metadata of its `trace_start`.

    Raises:
        RerunError: the trace does not name them.
        TargetError: they do not exist any more.
    """
    text, argv = (
        lenient.string(start.get("target")),
        [str(word) for word in lenient.sequence(start.get("argv"))],
    )
    folder = lenient.string(start.get("cwd"))
    refuse_foreign(path, start)
    if not text or text.endswith(NOTEBOOK) or folder is None:
        raise RerunError(f"{path} names no program to run again, as it was typed or run in cells; {STILL}")
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
    """Return whether a module is a file of the project around a folder, without importing anything.

    A trace could otherwise name any function of an installed package, such as `os:system`, and its arguments.
    """
    path = [str(cwd), *(each for each in sys.path if each)]
    name, *rest = module.split(".")
    if name in sys.stdlib_module_names:
        return False
    spec = PathFinder.find_spec(name, path)
    if spec is None:  # an editable install, which has its own finder
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
    folder = Path(os.path.realpath(cwd))
    projects = (each for each in (folder, *folder.parents) if any((each / mark).exists() for mark in _MARKS))
    return file.is_relative_to(next(projects, folder))


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
    """Return the wanted interpreter, else one that can run the program, with a note if another one was recorded.

    A recorded one is not started unasked: a trace may be somebody else's data.
    """
    python = find_python(wanted, target)
    recorded = lenient.string(start.get("executable"))
    if wanted is not None or recorded is None or _is_same(recorded, python):
        return python, ()
    return python, (f"recorded with {recorded}, run again with {python}: --python chooses another",)


def _is_same(one: str, other: str) -> bool:
    """Return whether two paths are one interpreter, such as `python` and `python3` of one environment."""
    one, other = os.path.abspath(one), os.path.abspath(other)
    beside = os.path.dirname(one) == os.path.dirname(other)
    return one == other or (beside and os.path.realpath(one) == os.path.realpath(other))


def randomness_of(inputs: Inputs) -> dict[str, Any]:
    """Return the recorded source of random numbers, for a session; {} if there is none."""
    if not inputs.usable:
        return {}
    randomness: dict[str, Any] = {"seed": inputs.seed}
    if inputs.hash_seed is not None:
        randomness["hash_seed"] = inputs.hash_seed
    if inputs.hash_seed_is_set:
        randomness["hash_seed_given"] = True
    return randomness
