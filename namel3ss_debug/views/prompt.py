"""The line editor of the debugger: prompt, status line, completion with Tab, history with the arrows and Ctrl-R.

Text of a trace is cleaned before it is passed to prompt_toolkit, which would print control sequences. Typed lines are
kept between sessions, in a file that only the user can read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.search import accept_search
from prompt_toolkit.styles import Style

from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.completion import find_candidates
from namel3ss_debug.views.quantities import count, duration, money
from namel3ss_debug.views.terminal import cells, clean, shorten

if TYPE_CHECKING:
    from prompt_toolkit.document import Document

    from namel3ss_debug.replay.debugger.interpreter import Debugger

QUIET = Style.from_dict(
    {
        "prompt": "bold",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "noreverse",
        "status": "dim",
        "status.failed": "ansired nodim",
        "status.waiting": "ansiyellow nodim",
        "completion-menu": "fg:default bg:default",
        "completion-menu.completion": "fg:default bg:default",
        "completion-menu.completion.current": "fg:default bg:default reverse",
        "completion-menu.meta.completion": "fg:default bg:default dim",
        "completion-menu.meta.completion.current": "fg:default bg:default reverse",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:default reverse",
    }
)
"""Few colours, all from the theme of the user's terminal."""

ABOUT_LIMIT = 60
MOST_BYTES = 1_000_000
MOST_LINES = 2000


def line_editor(debugger: Debugger, prompt: Callable[[], str], terminal: TextIO | None) -> PromptSession[str]:
    """Return a line editor for a session.

    Args:
        debugger: the session, for completion and the status line.
        prompt: returns the prompt.
        terminal: the opened terminal, if stdin and stdout belong to the program.
    """
    return PromptSession(
        lambda: [("class:prompt", prompt())],
        completer=_Completer(debugger),
        complete_while_typing=False,
        enable_suspend=True,
        history=_HistoryFile(),
        bottom_toolbar=_StatusLine(debugger),
        key_bindings=_keys(),
        style=QUIET,
        color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else ColorDepth.DEPTH_4_BIT,
        input=create_input(terminal) if terminal else None,
        output=create_output(terminal) if terminal else None,
    )


def _keys() -> KeyBindings:
    """Return the key bindings: Enter in a history search (Ctrl-R) runs the line that was found, as with readline."""
    keys = KeyBindings()

    @keys.add("enter", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        accept_search()
        event.app.current_buffer.validate_and_handle()

    return keys


class _Completer(Completer):
    """Offers the candidates of `completion`."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        del complete_event
        words = document.text_before_cursor
        for found in find_candidates(self.debugger, words):
            yield Completion(
                found.text,
                start_position=found.start - len(words),
                display=clean(found.text),
                display_meta=clean(found.about, ABOUT_LIMIT),
            )


class _HistoryFile(History):
    """The lines of earlier sessions, and those of this one."""

    def __init__(self) -> None:
        super().__init__()
        self.path = history_file()

    def load_history_strings(self) -> Iterable[str]:
        return reversed(read_history(self.path)) if self.path else ()

    def store_string(self, string: str) -> None:
        if self.path:
            append_history(self.path, string)


class _StatusLine:
    """The current event number and the running totals, computed once for each event."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        self.shown: tuple[Any, StyleAndTextTuples] | None = None

    def __call__(self) -> StyleAndTextTuples:
        from prompt_toolkit.application import get_app  # only this call has an application

        stepper = self.debugger.stepper
        width = get_app().output.get_size().columns
        key = (stepper.position, stepper.total, width)
        if self.shown is None or self.shown[0] != key:
            self.shown = key, status_line(self.debugger, width)
        return self.shown[1]


def status_line(debugger: Debugger, width: int) -> StyleAndTextTuples:
    """Return the status line in at most `width` cells; the least important parts are left out first."""
    stepper = debugger.stepper
    totals = stepper.state.totals
    waiting = waiting_before(debugger)
    parts = [
        (9, "status.waiting", f"waiting before {waiting}" if waiting else ""),
        (8, "status", f"{stepper.position:,}/{stepper.total:,}"),
        (4, "status", f"depth {len(stepper.stack()[0])}"),
        (6, "status", duration(totals.ms) if totals.ms else ""),
        (5, "status", count(totals.tokens, "token") if totals.tokens else ""),
        (5, "status", money(totals.cost) if totals.cost else ""),
        (7, "status.failed", count(totals.errors, "failure") if totals.errors else ""),
    ]
    kept = [part for part in parts if part[2]]
    while len(kept) > 1 and sum(cells(words) + 2 for _, _, words in kept) > width:
        kept.remove(min(kept, key=lambda part: part[0]))
    shown: StyleAndTextTuples = []
    for index, (_, style, words) in enumerate(kept):
        shown.append(("", "  " if index else " "))
        shown.append((f"class:{style}", shorten(words, max(width - 2, 1))))
    return shown


def waiting_before(debugger: Debugger) -> str:
    """Return the call that a live program waits before, such as `llm gpt-4o`; empty if there is none."""
    stepper = debugger.stepper
    event: Event | None = stepper.event if stepper.waiting else None
    if event is None:
        return ""
    return clean(f"{event.get('component') or ''} {event.get('component_name') or ''}".strip(), 60)


def history_file() -> Path | None:
    """Return the file of typed lines; None for a user without a home directory."""
    state = os.environ.get("XDG_STATE_HOME")
    if not state or not Path(state).is_absolute():  # the XDG specification ignores relative paths
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:
            return None
    return Path(state) / "namel3ss-debug" / "history"


def read_history(path: Path) -> list[str]:
    """Return the lines of earlier sessions, oldest first; none if they cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MOST_BYTES, 0))
            content = file.read().decode(errors="replace").removesuffix("\n")
            return content.split("\n")[-MOST_LINES:] if content else []
    except OSError:
        return []


def append_history(path: Path, words: str) -> None:
    """Append a line; if the file cannot be written, keep nothing."""
    row = " ;; ".join(filter(None, map(str.strip, words.split("\n"))))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            other = path.with_name(f"{path.name}.{os.getpid()}")
            _append(other, read_history(path))
            other.replace(path)  # whole or not at all: another session may read it
        _append(path, [row])


def _append(path: Path, rows: Iterable[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write("".join(f"{row}\n" for row in rows).encode(errors="replace"))
