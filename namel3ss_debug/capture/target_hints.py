"""Hints in the message about a target that cannot be run: what may have been meant."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from namel3ss_debug.errors import TargetError

NOTEBOOK = ".ipynb"
"""How the name of a notebook ends: a file that Jupyter runs, and not Python."""

_INTERPRETER = re.compile(r"(.*/)?(python|pypy)[\d.]*\Z")
_FILE_AND_FUNCTION = re.compile(r"(?P<file>[^:]+)\.py:(?P<function>[^\W\d][\w.]*)\Z")


def check_word(word: str, argv: tuple[str, ...], folder: Path) -> None:
    """See that a target is no interpreter, no notebook, and no function named by its file.

    Raises:
        TargetError: it is; the message says what was meant.
    """
    path = folder / word
    if (
        argv
        and _INTERPRETER.match(word)
        and not path.is_dir()
        and not path.with_name(f"{path.name}.py").is_file()
    ):
        raise TargetError(
            f"{word} is an interpreter: leave it out and name the program alone; --python PATH chooses another one"
        )
    if word.endswith(NOTEBOOK) and path.is_file():
        raise TargetError(
            f"{word} is a notebook, which Python cannot run: trace what runs it, as with -m jupyter execute {shlex.quote(word)}"
        )
    named = _FILE_AND_FUNCTION.match(word)
    if named and not path.exists() and (folder / f"{named['file']}.py").is_file():
        module = ".".join(Path(named["file"]).parts)
        raise TargetError(
            f"{word} names a function by its file; a function is named as module:function"
            + (
                f", so did you mean {module}:{named['function']}?"
                if all(map(str.isidentifier, module.split(".")))
                else ""
            )
        )


def suggestion(word: str, folder: Path) -> str:
    """The words "; did you mean ...?" with the nearest program there is, or nothing where none is near."""
    path = folder / word
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    stems: dict[str, str] = {}
    for name in sorted(names):
        if name.endswith((".py", ".ai", ".pyz")) or (path.parent / name).is_dir():
            stems.setdefault(Path(name).stem, name)
    near = difflib.get_close_matches(path.stem, stems, n=1)  # that both end with .py makes no two names alike
    meant = _installed(word) or (str(Path(word).with_name(stems[near[0]])) if near else "")
    return f"; did you mean {meant}?" if meant else ""


def _installed(word: str) -> str | None:
    """The path of a command of that name which is a Python script, such as pytest; a target is a file, and no command."""
    found = None if "/" in word else shutil.which(word)
    try:
        with open(found or os.devnull, "rb") as stream:
            head = stream.readline(300)
    except OSError:
        return None
    return found if head.startswith(b"#!") and b"python" in head else None
