"""`debug view`: a trace, two beside each other, or many as a page in the browser: one file, or served while a program runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    complete_files,
    find_trace_file,
    open_reference,
    quoted,
    reading,
    report_problems,
    settings,
    trace_directory,
    write_file,
)
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.cleaning import shorter_path

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.views.page.serving import PageServer

LOADING_SECONDS = 10.0
"""So long at most `trace --view` waits at the end until the open pages have all events."""

Written = tuple[Path, Iterable[bytes], Callable[[], None]]
"""The file of a page, the page in pieces, and what prints what could not be read."""


@click.command("view")
@click.argument("references", metavar="[TRACE [TRACE]]", nargs=-1, shell_complete=complete_files)
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
              help="Write the page to FILE, - for the standard output. Without it, beside the trace, or for a file of another tool to trace_output_dir.")  # fmt: skip
@click.option(
    "--open/--no-open", "is_opened", default=True, help="Open the page in the browser, the default."
)
@click.option("--content/--no-content", "content", default=True,
              help="With messages, arguments, results and texts of errors, the default, or without.")  # fmt: skip
@click.option("--live", is_flag=True, help="Serve the page on loopback while the program runs, also one that was started elsewhere, until Ctrl-C.")  # fmt: skip
def command(
    references: tuple[str, ...], *, output: Path | None, is_opened: bool, content: bool, live: bool
) -> int:
    """Show TRACE as a page in the browser, two traces beside each other, or all in a directory.

    The page is one file that needs no server and sends nothing anywhere. TRACE may be of another tool. Two are aligned as
    diff aligns them, also a re-run and its trace. Secrets are replaced again when the page is written.

    With --live, the page of a trace is served to your browser only, and shows new events within a second.
    """
    if len(references) > 2:
        raise WrongUsageError(
            f"view shows one trace, two beside each other, or all in a directory; {len(references)} given"
        )
    if live:
        if output is not None:
            raise WrongUsageError("--live writes no file; leave out -o")
        if len(references) > 1:
            raise WrongUsageError("--live follows one trace; two are compared without it")
        return _serve("".join(references) or None, is_opened=is_opened, content=content)
    if len(references) == 1 and Path(references[0]).is_dir():
        path, pieces, notices = _write_many(Path(references[0]), output, content=content)
    else:
        path, pieces, notices = _write_traces(references or ("",), output, content=content)
    if str(path) == "-":
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
        notices()
        return 0
    write_file(path, b"".join(pieces))
    notices()
    if is_opened and has_display() and webbrowser.open(path.resolve().as_uri()):
        notify(f"the page is in {path} and opens in the browser")
    else:
        notify(f"the page is in {path}")
    return 0


def _write_traces(references: Sequence[str], output: Path | None, *, content: bool) -> Written:
    """Return the page of one trace, or of two beside each other."""
    from namel3ss_debug.cli.analyze import options
    from namel3ss_debug.views.page.reading import PageRequest, read_page
    from namel3ss_debug.views.page.writing import write_page
    from namel3ss_debug.wire import lenient

    traces = [open_reference(reference or None) for reference in references]
    config = settings().config
    pages = []
    path = _path_of(traces, output)
    starts = [next(trace.events(), {}) for trace in traces]
    rerun = lenient.mapping(lenient.mapping(starts[-1].get("metadata")).get("rerun"))
    for reference, trace in zip(references, traces, strict=True):
        with reading(trace):
            pages.append(read_page(trace, PageRequest(config, options(config), quoted(reference), content)))

    def notices() -> None:
        for trace in traces:
            report_problems(trace)
        recording = lenient.string(rerun.get("recording"))
        if len(traces) == 1 and recording and Path(recording).exists():
            beside = f"{quoted(os.path.relpath(recording))} {quoted(os.path.relpath(traces[0].path))}"
            notify(f"it is a re-run; beside its trace: namel3ss debug view {beside}")

    if len(traces) == 1:
        return path, write_page(pages, content=content), notices
    from namel3ss_debug.analysis.diff.masks import Masks
    from namel3ss_debug.views.page.comparison import read_comparison

    is_rerun = bool(rerun.get("of")) and rerun["of"] == starts[0].get("execution_id")
    compared = read_comparison(
        traces,
        [page.columns for page in pages],
        Masks(config.diff_ignore),
        ("trace", "re-run") if is_rerun else ("a", "b"),
    )
    pieces = write_page(
        pages,
        content=content,
        kind="compare",
        more={"compare": compared.facts},
        title=" | ".join(page.facts["title"] for page in pages),
        packed={"lines": compared.lines},
    )
    return path, pieces, notices


def _write_many(directory: Path, output: Path | None, *, content: bool) -> Written:
    """Return the page of all traces in a directory."""
    from namel3ss_debug.cli.analyze import options
    from namel3ss_debug.cli.paths import find_paths
    from namel3ss_debug.traces.names import is_own
    from namel3ss_debug.views.page.many import read_many
    from namel3ss_debug.views.page.reading import PageRequest
    from namel3ss_debug.views.page.writing import write_page
    from namel3ss_debug.views.terminal import byte_progress

    config = settings().config
    reruns: list[Path] = []
    paths = find_paths([str(directory)], trace_directory(), reruns)
    is_ours = any(is_own(found.name) for found in paths)
    path = output or (directory if is_ours else trace_directory()) / "runs.html"
    with byte_progress(f"reading {len(paths):,} traces") as progress:
        facts = read_many(
            paths,
            PageRequest(config, options(config), content=content),
            None if str(path) == "-" else path.resolve(),
            reruns,
            progress,
        )
    title = f"{len(facts['runs']):,} runs in {shorter_path(directory)}"
    pieces = write_page([], content=content, kind="many", more={"many": facts}, title=title)
    return path, pieces, lambda: None


def _serve(reference: str | None, *, is_opened: bool, content: bool) -> int:
    """Serve the live page until Ctrl-C or SIGTERM."""
    path = find_trace_file(reference)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        serving(path, settings().config, quoted(reference or ""), is_opened=is_opened, content=content),
    ):
        threading.Event().wait()
    return 0


@contextmanager
def serving(
    path: Path, config: DebugConfiguration, reference: str = "", *, is_opened: bool, content: bool = True
) -> Iterator[PageServer]:
    """Serve the live page of a trace, and open it in the browser, until the block ends.

    Args:
        path: the first file of the trace, which need not be there yet.
        config: the settings.
        reference: how the trace is named in a command.
        is_opened: whether the browser opens it, where there is one.
        content: whether it has messages, arguments, results and texts of errors.

    Raises:
        WrongUsageError: the file that leads to the page cannot be written.
    """
    from namel3ss_debug.cli.analyze import options
    from namel3ss_debug.views.page.live_trace import LiveTrace
    from namel3ss_debug.views.page.reading import PageRequest
    from namel3ss_debug.views.page.serving import PageServer, leading_file

    server = PageServer(LiveTrace(path, PageRequest(config, options(config), reference, content)))
    # Browsers that are confined, such as those of snap, cannot read the temporary folder.
    with leading_file(Path(config.trace_output_dir).resolve(), server.address) as file:
        server.start()
        try:
            if is_opened and has_display():
                open_browser(file)
                notify(f"the live page opens in the browser; {file} leads to it")
            else:
                notify(f"the live page: open {file} in a browser")
            yield server
        finally:
            server.close()


@contextmanager
def beside(path: Path, config: DebugConfiguration, reference: str) -> Iterator[None]:
    """Serve the live page of a program while the block runs it, and then until the open pages have all of its events."""
    with serving(path, config, reference, is_opened=True) as server:
        yield
        with suppress(KeyboardInterrupt):
            server.finish(LOADING_SECONDS, opening=has_display())


def open_browser(file: Path) -> None:
    """Open a file in the browser, in a process of its own: what browsers print is not for the output of the program."""
    subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "webbrowser", file.as_uri()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _path_of(traces: Sequence[Trace], output: Path | None) -> Path:
    """Return the file of the page.

    Raises:
        WrongUsageError: it is one of the traces.
    """
    names = [trace.path.name.removesuffix(".gz").removesuffix(".jsonl") for trace in traces]
    last = traces[-1]
    path = output or (last.path.parent if last.is_own() else trace_directory()) / f"{'-'.join(names)}.html"
    for trace in traces:
        if path.exists() and path.samefile(trace.path):
            raise WrongUsageError(f"{path} is the trace itself; give another file with -o")
    return path


def has_display() -> bool:
    """Return whether a browser could show a page: without a display, one would take over the terminal."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
