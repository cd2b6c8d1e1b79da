"""The Python that has the namel3ss language: the one asked for, this one, or the one that the command `n3` runs with.

What recording needs may be missing there. Where that Python is of the same version as this one, the modules of this one
are lent to it, behind its own.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress

from namel3ss_debug.errors import TargetError

WORKS = "0.1.0a13"
"""The newest published version that runs apps with AI blocks and can be installed on every Python that recording runs on."""

_BORROW = """
import importlib.util, json, sys
version, paths = json.loads(sys.argv[1])
if list(sys.version_info[:2]) == version and importlib.util.find_spec("orjson") is None:
    sys.path.extend(paths)
"""
_LOOK = f"""{_BORROW}
names = ("orjson", "psutil", "wrapt")
lacks = [name for name in names if importlib.util.find_spec(name) is None]
known = importlib.util.find_spec("namel3ss")
print(json.dumps([sys.version_info >= (3, 11), lacks, known is not None and bool(known.submodule_search_locations)]))
"""


def lent() -> tuple[list[int], list[str]]:
    """The version of this Python, and the folders of its modules that another of this version may use."""
    folders = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")]
    return list(sys.version_info[:2]), list(dict.fromkeys(folders))


def can_sample(python: str) -> bool:
    """Whether an app can import the sampler of `--profile` there, with what is lent."""
    return _run(python, f"{_BORROW}\nimport pyinstrument").returncode == 0


def find_interpreter(python: str | None, app: str) -> str:
    """The interpreter to run an app with, after a look whether it has the language and can record.

    Args:
        python: a path or a name on `PATH`; found where it is left out.
        app: the app, as the user named it.

    Raises:
        TargetError: there is none, or it lacks something.
    """
    if python is not None:
        found = shutil.which(os.path.expanduser(python))
        if found is None:
            raise TargetError(f"there is no Python at {python}: give the path of an interpreter to --python")
        return _checked(found, app)
    if _is_here():
        return sys.executable
    beside = _of_command()
    if beside is not None:
        return _checked(beside, app)
    raise TargetError(
        f"{app} is a namel3ss app, and the language is not installed here: pip install namel3ss=={WORKS}, or give --python PATH of "
        "an interpreter that has it"
    )


def _is_here() -> bool:
    from importlib import metadata  # noqa: PLC0415  (few programs are written in this language)

    try:
        metadata.version("namel3ss")
    except metadata.PackageNotFoundError:
        return False
    return True


def _of_command() -> str | None:
    """The interpreter that the command `n3` names in its first line, or in its second as a word for the shell."""
    command = shutil.which("n3")
    if command is None:
        return None
    try:
        with open(command, "rb") as file:
            first, second = (os.fsdecode(file.readline(4096)) for _ in range(2))
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if words == ["/bin/sh"]:  # so pip and uv name a Python whose path is long or has a space
        words = []
        with suppress(ValueError):
            words = shlex.split(second)
        words = words[1:] if words[:1] == ["exec"] else []
    if words[:1] and os.path.basename(words[0]) == "env":
        words = words[1:]
    return shutil.which(words[0]) if words else None


@functools.cache
def _checked(python: str, app: str) -> str:
    """The interpreter, once it has said itself that it can record an app."""
    try:
        recent, lacks, has_language = json.loads(_run(python, _LOOK).stdout)
    except ValueError:
        raise TargetError(f"{python} does not run as a Python: give another to --python") from None
    if not has_language:
        raise TargetError(
            f"{app} is a namel3ss app, and {python} does not have the language: pip install namel3ss=={WORKS} there, or give another "
            "--python"
        )
    if not recent or lacks:
        why = f"No module named '{lacks[0]}'" if recent else "Python 3.11"
        raise TargetError(
            f"{python} cannot record ({why}): pip install namel3ss-debug there, on Python 3.11 or later"
        )
    return python


def _run(python: str, code: str) -> subprocess.CompletedProcess[bytes]:
    """Run a few lines there, which are given what is lent."""
    words = [python, "-c", code, json.dumps(lent())]
    return subprocess.run(words, capture_output=True, check=False)  # noqa: S603  (the user's own interpreter)
