"""The one place where failures become messages and an exit status.

A user's mistake is one line and status 2, as is an answer for which there is no room; Ctrl-C is 130; a pipe closed by
its reader is quiet and 141, as the shell reports it for any tool; a bug of ours is 3 and leaves a report to attach to
an issue.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

import click

from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.version import __version__

PREFIX = "namel3ss debug: "
HELP = "namel3ss debug help"
USAGE, BUG, INTERRUPTED, CLOSED_PIPE = 2, 3, 130, 141
NEW_OBJECTS = 20_000
"""The number of new container objects after which Python looks for reference cycles."""

RECURSION_LIMIT: Final = 4 * 1024
"""orjson reads JSON of 1,024 levels; a text of such a value takes up to three calls for each of them."""

REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.EIO})
"""The errors of the system for a path that the user named and that cannot be used."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of the system when there is no room for what a command writes, on stdout as well."""

_PLAINER = {
    "is not a valid integer( range)?$": "is not a whole number",
    "is not a valid float( range)?$": "is not a number",
    r"is not in the range x>=(\d+)$": r"is less than \1",
}
"""What click reports about a number -> a plainer wording."""


_NO_COMMAND: Final = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""Raised by click from version 8.2 on when a program is called without a command: its message is the help."""


class ClosedPipeError(Exception):
    """The reader of the output of the command has closed it."""


@contextmanager
def closed_pipe() -> Iterator[None]:
    """Give a closed pipe a name click does not know, so that it arrives in `run`.

    Raises:
        ClosedPipeError: in place of BrokenPipeError.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        raise ClosedPipeError from error


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Collect reference cycles seldom, and not at the end of the process.

    By default Python collects some hundred times while a command imports its modules, and once more through all objects
    when the process ends; a command makes few cycles and is soon over.
    """
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    atexit.unregister(gc.freeze)  # what is frozen is not looked through
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def deeply_nesting() -> Iterator[None]:
    """Let Python follow values that are as deep as a trace may have them; its own limit of 1,000 calls is below that."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def run(command: Callable[[], object]) -> int:
    """Run a command and return the exit status; every failure is reported on stderr here and nowhere else."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        open_closed_streams()
    take_every_character(sys.stdout)
    try:
        with seldom_collecting(), deeply_nesting():
            return _status_of(command)
    finally:
        for stream in (sys.stdout, sys.stderr):
            settle(stream)


def take_every_character(stream: TextIO) -> None:
    """Let a stream whose encoding lacks a character write its number instead of failing; stderr does so by itself.

    A console of `views` does it for its stream, too; help and documents go out by none.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def open_closed_streams() -> None:
    """Open standard streams that the parent process has closed on /dev/null, here and in the programs that we start.

    Otherwise a file of ours would get the number of one, and what is printed would go there; git does the same
    (`sanitize_stdfds`).
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _status_of(command: Callable[[], object]) -> int:
    try:
        result = command()
        with closed_pipe():
            sys.stdout.flush()
    except DebugError as error:
        notify(f"{error} (see {HELP} {error.slug})")
        return error.exit_code
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, _NO_COMMAND):
            show_help(error)
        else:
            notify(usage_message(error))
        return USAGE
    except ClosedPipeError:
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # the boundary: any unexpected exception is a bug of ours
        refused = refusal(error)
        notify(refused or bug_message(error))
        return USAGE if refused else BUG
    return result if isinstance(result, int) else 0


def refusal(error: Exception) -> str:
    """Return why the system refuses a path, or has no room; "" for any other failure."""
    if not isinstance(error, OSError):
        return ""
    if error.errno == errno.ENOENT and is_folder_gone():
        return "the working directory was removed; change to another"
    if error.errno in FULL:
        what = "the answer" if error.filename is None else os.fsdecode(error.filename)
        return f"cannot write {what}: {error.strerror}"
    if error.errno not in REFUSALS or error.filename is None:
        return ""
    return f"cannot use {os.fsdecode(error.filename)}: {error.strerror} (see {HELP} {WrongUsageError.slug})"


def notify(message: str) -> None:
    """Write one line on stderr, cleaned, behind the name of the program."""
    # Help and version need no view, and importing one would cost more than they do.
    from namel3ss_debug.views.cleaning import clean

    with suppress(OSError, ValueError):
        sys.stderr.write(f"{PREFIX}{clean(message)}\n")
        sys.stderr.flush()


def show_help(error: click.ClickException) -> None:
    """Write the help that is the message of an error on stderr, unchanged."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{error.format_message()}\n")
        sys.stderr.flush()


def usage_message(error: click.ClickException) -> str:
    """Return what is wrong with the command line, and which help describes it."""
    if isinstance(error, click.NoSuchOption):
        import difflib

        near = difflib.get_close_matches(error.option_name, error.possibilities or (), 1)
        word = error.option_name.removeprefix("--")
        meant = f"--format {word}" if word in _formats(error.ctx) else near[0] if near else ""
        message = f"there is no option {error.option_name}" + (f"; did you mean {meant}?" if meant else "")
    else:
        message = error.format_message().strip().rstrip(".")
        message = message[:1].lower() + message[1:]
    for pattern, words in _PLAINER.items():
        message = re.sub(pattern, words, message)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "namel3ss debug"
    return f"{message} (see {path} --help)"


def _formats(context: click.Context | None) -> Sequence[str]:
    """Return the values of the option `--format` of a command."""
    for parameter in context.command.params if context else ():
        if "--format" in parameter.opts and isinstance(parameter.type, click.Choice):
            return parameter.type.choices
    return ()


def bug_message(error: Exception) -> str:
    """Write the report of a bug, and return a message that names it."""
    what = f"{type(error).__name__}: {error}"
    try:
        path = write_report(error)
    except (OSError, RuntimeError) as failure:  # also a user who has no home
        import traceback

        traceback.print_exception(error)
        return f"this is a bug in the debugger: {what}; the report could not be written: {failure}"
    return f"this is a bug in the debugger: {what}; please attach {path} to an issue"


def write_report(error: Exception) -> Path:
    """Write a Markdown report to the cache directory.

    Raises:
        OSError: the directory cannot be written to.
        RuntimeError: there is no home directory.
    """
    import traceback

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "namel3ss-debug" / "reports"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"report_{time.strftime('%Y%m%d_%H%M%S', time.gmtime())}_{os.getpid()}.md"
    trace = "".join(traceback.format_exception(error))
    content = f"""# Bug report of namel3ss-debug

- version: {__version__}
- Python: {platform.python_version()} ({platform.python_implementation()})
- platform: {platform.platform()}
- command: `{" ".join(sys.argv)}`

Please look through this report before you post it: the command and the messages may name your files.

```
{trace}```
"""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(content)
    return path


def is_folder_gone() -> bool:
    """Return whether the working directory was removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def settle(stream: TextIO) -> None:
    """Point a stream that cannot be written at nothing: Python's last flush would change the exit status."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
