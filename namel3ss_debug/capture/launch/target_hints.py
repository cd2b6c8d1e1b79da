"""Explain in the message about a target that cannot be run what may have been meant."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from namel3ss_debug.errors import TargetError

NOTEBOOK = ".ipynb"
"""The suffix of a notebook, which Jupyter runs, and not Python."""

TRACEABLE = "trace runs Python: a file, -m MODULE, module:function, an installed Python command, or a namel3ss app (.ai)"
"""What can be traced, for a target that cannot."""

_LONGEST_HEAD = 1000
_OTHER_LANGUAGES = frozenset(
    (
        ".js",
        ".mjs",
        ".cjs",
        ".ts",
        ".mts",
        ".tsx",
        ".jsx",
        ".sh",
        ".rb",
        ".go",
        ".rs",
        ".java",
        ".php",
        ".pl",
        ".lua",
    )
)
_COMPILED = (".pyc", ".pyo")
_EXEC = re.compile(r"""'''exec' "?(?P<python>[^"]+?)"? "\$0\"""")
_INTERPRETER = re.compile(r"(.*/)?(python|pypy)[\d.]*\Z")
_FILE_AND_FUNCTION = re.compile(r"(?P<file>[^:]+)\.py:(?P<function>[^\W\d][\w.]*)\Z")


def check_word(word: str, argv: tuple[str, ...], folder: Path) -> None:
    """Check that a target is no interpreter, no notebook, and no function named by its file.

    Raises:
        TargetError: it is one of these; the message says what was probably meant.
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


def check_language(path: Path, word: str) -> None:
    """Check that a file can be Python.

    Raises:
        TargetError: it is of another language, or a binary.
    """
    if path.suffix.lower() in _OTHER_LANGUAGES:
        raise TargetError(f"{word} is no Python program; {TRACEABLE}")
    if path.suffix.lower() in _COMPILED:
        return
    try:
        with open(path, "rb") as stream:
            head = stream.read(_LONGEST_HEAD)
    except OSError:
        return  # the interpreter reports it as it would without us
    if b"\0" in head:
        import zipfile  # an archive with a __main__ may have any head

        if not zipfile.is_zipfile(path):
            raise TargetError(f"{word} is a binary, and no Python program; {TRACEABLE}")


def check_command(word: str, argv: tuple[str, ...]) -> None:
    """Check that a word is no command of another language, such as `node x.js` or `ls`.

    Raises:
        TargetError: it is one.
    """
    of_another = argv and Path(argv[0]).suffix.lower() in _OTHER_LANGUAGES
    if of_another or (Path(word).name == word and shutil.which(word)):
        raise TargetError(f"{word} is no Python program; {TRACEABLE}")


def suggestion(word: str, folder: Path) -> str:
    """Return "; did you mean ...?" with the most similar program, or "" if none is similar."""
    path = folder / word
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    import difflib  # only needed for this message

    stems: dict[str, str] = {}
    for name in sorted(names):
        if name.endswith((".py", ".ai", ".pyz")) or (path.parent / name).is_dir():
            stems.setdefault(Path(name).stem, name)
    near = difflib.get_close_matches(
        path.stem, stems, n=1
    )  # without suffixes, which would make all names similar
    meant = installed_command(word) or (str(Path(word).with_name(stems[near[0]])) if near else "")
    return f"; did you mean {meant}?" if meant else ""


def installed_command(word: str) -> str | None:
    """Return the path of an installed command that is a Python script, such as pytest: first of this environment."""
    if "/" in word:
        return None
    for place in (os.path.dirname(sys.executable), None):
        found = shutil.which(word, path=place)
        if found is not None and interpreter_of_script(found) is not None:
            return found
    return None


def interpreter_of_script(path: str) -> str | None:
    """Return the interpreter that the first line of a script names; None where it is no Python."""
    try:
        with open(path, "rb") as stream:
            lines = os.fsdecode(stream.read(_LONGEST_HEAD)).splitlines()
    except OSError:
        return None
    if not lines or not lines[0].startswith("#!"):
        return None
    named = lines[0][2:].strip()
    if named == "/bin/sh" and len(lines) > 1:  # as pip writes it where the path is long or has spaces
        found = _EXEC.match(lines[1])
        named = found["python"] if found is not None else ""
    return named if "python" in named else None
