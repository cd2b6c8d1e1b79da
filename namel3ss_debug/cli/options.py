"""What several commands share: arguments, options, and how a trace is found, opened and reported on."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from namel3ss_debug.config import Loaded
    from namel3ss_debug.traces.reader import Trace

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]


def complete_files(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Complete paths: the shell itself completes them."""
    del ctx, parameter
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


trace_argument = click.argument("reference", metavar="[TRACE]", required=False, shell_complete=complete_files)
traces_argument = click.argument("references", metavar="[TRACE]...", nargs=-1, shell_complete=complete_files)


IS_JSON_LINES = {"table": False, "jsonl": True, "json": True}
"""Format of the results of a session, which have no end to close a document -> whether each is a JSON line."""


def results_format_option(function: Decorated) -> Decorated:
    """Add `--format` to a command that shows results one by one, as the parameter `jsonl`."""
    return click.option(
        "--format",
        "jsonl",
        type=click.Choice(list(IS_JSON_LINES)),
        default="table",
        show_default=True,
        callback=lambda _context, _parameter, name: IS_JSON_LINES[name],
        help="How each result is written; json is the same as jsonl.",
    )(function)


def limit_option(text: str, default: int | None = None) -> Decorator[Any]:
    """Return the option `--limit N`, with the text of its help and its default."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="N",
        callback=lambda _context, _parameter, value: None if value is None else min(value, sys.maxsize),
        help=text,
    )


def component_names(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of `--filter`: one in each, or several with commas between them."""
    del ctx, parameter
    from namel3ss_debug.config.values import words

    return words(",".join(values))


def report_no_events_of(components: Sequence[str], what: str = "no event of the trace is of") -> None:
    """Print that a trace has no events of these components, and which may have been meant."""
    from namel3ss_debug.expressions import nearest
    from namel3ss_debug.replay.debugger.locations import COMPONENTS

    hint = "".join(nearest(name, COMPONENTS) for name in components if name.lower() not in COMPONENTS)
    notify(f"{what} {' or '.join(components)}{hint}")


def settings(**overrides: Any) -> Loaded:
    """Return the configuration in force with the options of this command, and use its prices from now on."""
    from namel3ss_debug.config import load_configuration

    loaded = load_configuration(overrides=overrides)
    if loaded.config.prices or "namel3ss_debug.prices" in sys.modules:
        from namel3ss_debug import prices

        prices.use(loaded.config.prices)
    return loaded


def trace_directory() -> Path:
    """Return the folder of the traces."""
    return Path(settings().config.trace_output_dir)


def open_reference(reference: str | None) -> Trace:
    """Open the trace that the user named, or the latest.

    Raises:
        TraceNotFoundError: there is none.
        UnreadableTraceError: nothing in it can be read.
    """
    settings()  # what is shown of it costs what the settings say
    return open_trace_file(find_trace_file(reference))


def find_trace_file(reference: str | None) -> Path:
    """Return the file of the trace that the user named, or of the latest.

    Raises:
        TraceNotFoundError: there is none.
    """
    if reference and is_trace_file(reference):  # nothing has to be looked for
        return Path(reference)
    from namel3ss_debug.importers.folders import find_any

    return find_any(reference, trace_directory())


def is_trace_file(word: str) -> bool:
    """Return whether a word is the path of a file with the name of a trace."""
    return word.endswith((".jsonl", ".jsonl.gz")) and Path(word).is_file()


def is_reference(word: str) -> bool:
    """Return whether a word that may be something else is a trace: a file of any tool, a folder, or `latest`."""
    return word == "latest" or os.sep in word or bool(Path(word).suffix and Path(word).is_file())


def open_trace_file(path: Path, *, redacted: bool = True) -> Trace:
    """Open a trace by its file; the reader is loaded when it is used. The arguments are those of `open_trace`.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.importers import opening

    return opening.open_nonempty_trace(path, redacted=redacted)


def report_ignored_mark(path: Path) -> None:
    """Print why the mark beside a trace has no effect, if there is such a mark."""
    from namel3ss_debug.traces.marks import find_mark
    from namel3ss_debug.traces.store import execution_of, trace_files

    first = trace_files(path)[0].files[0]
    problem = find_mark(first, execution_of(first) or "")
    if isinstance(problem, str):
        notify(problem)


def quoted(reference: str) -> str:
    """Return a trace as it is named in a command that can be pasted into a shell; nothing for the latest."""
    return "" if reference in {"", "latest"} else shlex.quote(reference)


def print_rows(rows: Iterable[Any]) -> None:
    """Write one JSON value on each line on stdout, as they come."""
    from namel3ss_debug.views.payloads import json_bytes

    for row in rows:
        write_json(json_bytes(row) + "\n")


def write_json(written: str) -> None:
    """Write JSON on stdout: it is UTF-8 whatever the encoding of the terminal."""
    sys.stdout.buffer.write(written.encode())


def write_file(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file that the user named, and the folders above it. A new one is readable for its owner only.

    Args:
        path: the file.
        content: what stands in it then.
        new: whether one that is there is left alone.

    Raises:
        WrongUsageError: it cannot be written.
        FileExistsError: it is there, and has to be new.
    """
    from namel3ss_debug.traces.folders import open_private

    make_folder_for(path)
    try:
        with open(path, "xb" if new else "wb", opener=open_private) as file:
            file.write(content)
    except FileExistsError:
        raise
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror or error}") from None


def make_folder_for(path: Path) -> None:
    """Make the folders above a file that the user named, where they are missing.

    Raises:
        WrongUsageError: they cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise WrongUsageError(f"cannot write {path}: {path.parent} is no directory") from None
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def reading(trace: Trace) -> Iterator[None]:
    """Show the progress of a long reading of this trace on a terminal."""
    if not sys.stderr.isatty():  # no view is needed to show nothing
        yield
        return
    from namel3ss_debug.views.terminal import byte_progress

    with byte_progress(f"reading {trace.path.name}") as progress:
        trace.progress = progress
        yield


def report_problems(trace: Trace) -> None:
    """Print what could not be read, in at most two lines."""
    report_problem_document(trace.problems_document())


def report_problem_document(problems: dict[str, Any]) -> None:
    """Print what was lost and what could not be read, in at most three lines."""
    if problems["total"] or problems.get("dropped_events"):
        from namel3ss_debug.views.terminal import console
        from namel3ss_debug.views.traces import problem_lines

        console(stderr=True).lines(problem_lines(problems))
