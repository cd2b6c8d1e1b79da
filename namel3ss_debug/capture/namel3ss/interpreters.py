"""The Python that has the namel3ss language: the requested one, this one, or the one that runs the command `n3`.

It may lack modules that recording needs. If it has the same version as this Python, it may import the modules of this
one, after its own.
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

RECOMMENDED_VERSION = "0.1.0a13"
"""The newest published version that runs apps with AI blocks and can be installed on every Python that can record."""

_BORROW = """
import importlib.util, json, sys
version, paths = json.loads(sys.argv[1])
if list(sys.version_info[:2]) == version and importlib.util.find_spec("orjson") is None:
    sys.path.extend(paths)
"""
_CHECK = f"""{_BORROW}
names = ("orjson", "psutil", "wrapt")
lacks = [name for name in names if importlib.util.find_spec(name) is None]
known = importlib.util.find_spec("namel3ss")
print(json.dumps([sys.version_info >= (3, 11), lacks, known is not None and bool(known.submodule_search_locations)]))
"""


def shared_modules() -> tuple[list[int], list[str]]:
    """Return the version of this Python, and the folders of its modules, for another Python of the same version."""
    folders = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")]
    return list(sys.version_info[:2]), list(dict.fromkeys(folders))


def can_sample(python: str) -> bool:
    """Return whether that Python can import the sampler of `--profile`, with the modules of this one."""
    return _run(python, f"{_BORROW}\nimport pyinstrument").returncode == 0


def find_interpreter(python: str | None, app: str) -> str:
    """Return the interpreter to run an app with, after checking that it has the language and can record.

    Args:
        python: a path or a name on `PATH`; if it is missing, the interpreter is searched for.
        app: the app, as the user named it.

    Raises:
        TargetError: there is no interpreter, or it lacks something.
    """
    if python is not None:
        executable = shutil.which(os.path.expanduser(python))
        if executable is None:
            raise TargetError(f"there is no Python at {python}: give the path of an interpreter to --python")
        return _check_interpreter(executable, app)
    if _is_installed_here():
        return sys.executable
    of_command = _interpreter_of_n3()
    if of_command is not None:
        return _check_interpreter(of_command, app)
    raise TargetError(
        f"{app} is a namel3ss app, and the language is not installed here: pip install namel3ss=={RECOMMENDED_VERSION}, or give --python PATH of "
        "an interpreter that has it"
    )


def _is_installed_here() -> bool:
    from importlib import metadata  # few programs are written in this language

    try:
        metadata.version("namel3ss")
    except metadata.PackageNotFoundError:
        return False
    return True


def _interpreter_of_n3() -> str | None:
    """Return the interpreter of the command `n3`, from its `#!` line or from the shell command after it."""
    command = shutil.which("n3")
    if command is None:
        return None
    try:
        with open(command, "rb") as file:
            first, second = (os.fsdecode(file.readline(4096)) for _ in range(2))
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if words == ["/bin/sh"]:  # pip and uv do so if the path of Python is long or has a space
        words = []
        with suppress(ValueError):
            words = shlex.split(second)
        words = words[1:] if words[:1] == ["exec"] else []
    if words[:1] and os.path.basename(words[0]) == "env":
        words = words[1:]
    return shutil.which(words[0]) if words else None


@functools.cache
def _check_interpreter(python: str, app: str) -> str:
    """Return the interpreter if it can record an app.

    Raises:
        TargetError: it cannot.
    """
    try:
        is_recent, missing, has_language = json.loads(_run(python, _CHECK).stdout)
    except ValueError:
        raise TargetError(f"{python} does not run as a Python: give another to --python") from None
    if not has_language:
        raise TargetError(
            f"{app} is a namel3ss app, and {python} does not have the language: pip install namel3ss=={RECOMMENDED_VERSION} there, or give another "
            "--python"
        )
    if not is_recent or missing:
        reason = f"No module named '{missing[0]}'" if is_recent else "Python 3.11"
        raise TargetError(
            f"{python} cannot record ({reason}): pip install namel3ss-debug there, on Python 3.11 or later"
        )
    return python


def _run(python: str, code: str) -> subprocess.CompletedProcess[bytes]:
    """Run code in an interpreter, with the modules of this one."""
    command = [python, "-c", code, json.dumps(shared_modules())]
    return subprocess.run(command, capture_output=True, check=False)  # noqa: S603  (the user's own interpreter)
