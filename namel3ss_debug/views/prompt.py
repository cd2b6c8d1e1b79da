"""The line editor of the debugger: prompt, status line, completion with Tab, history with the arrows and Ctrl-R.

prompt_toolkit edits, and text of a recording is cleaned before it gets there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
from namel3ss_debug.views.commandlines import history_file, keep_line, kept_lines
from namel3ss_debug.views.completion import candidates
from namel3ss_debug.views.quantities import count, duration, money
from namel3ss_debug.views.stepper import prompt
from namel3ss_debug.views.terminal import cells, clean, shorten

if TYPE_CHECKING:
    from prompt_toolkit.document import Document

    from namel3ss_debug.replay.debugger import Debugger

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
"""The colours of the user's own theme, and few of them."""

ABOUT_LIMIT = 60


def line_editor(debugger: Debugger, terminal: TextIO | None) -> PromptSession[str]:
    """A line editor for a session.

    Args:
        debugger: the session, which completion and the status line look at.
        terminal: the opened terminal where stdin and stdout belong to the program; these two if left out.
    """
    return PromptSession(
        lambda: [("class:prompt", prompt(debugger))],
        completer=_Completer(debugger),
        complete_while_typing=False,
        enable_suspend=True,
        history=_KeptLines(),
        bottom_toolbar=_StatusLine(debugger),
        key_bindings=_keys(),
        style=QUIET,
        color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else ColorDepth.DEPTH_4_BIT,
        input=create_input(terminal) if terminal else None,
        output=create_output(terminal) if terminal else None,
    )


def _keys() -> KeyBindings:
    """Enter in a search of the history (Ctrl-R) runs the line that was found, as with readline."""
    keys = KeyBindings()

    @keys.add("enter", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        accept_search()
        event.app.current_buffer.validate_and_handle()

    return keys


class _Completer(Completer):
    """Offers what `completion` finds."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        del complete_event
        words = document.text_before_cursor
        for found in candidates(self.debugger, words):
            yield Completion(
                found.text,
                start_position=found.start - len(words),
                display=clean(found.text),
                display_meta=clean(found.about, ABOUT_LIMIT),
            )


class _KeptLines(History):
    """The lines of earlier sessions, and those of this one."""

    def __init__(self) -> None:
        super().__init__()
        self.path = history_file()

    def load_history_strings(self) -> Iterable[str]:
        return reversed(kept_lines(self.path)) if self.path else ()

    def store_string(self, string: str) -> None:
        if self.path:
            keep_line(self.path, string)


class _StatusLine:
    """The position of the walk and the totals up to it, computed once for each position."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        self.shown: tuple[Any, StyleAndTextTuples] | None = None

    def __call__(self) -> StyleAndTextTuples:
        from prompt_toolkit.application import get_app  # noqa: PLC0415  (only this call has an application)

        walk = self.debugger.walk
        width = get_app().output.get_size().columns
        key = (walk.position, walk.total, width)
        if self.shown is None or self.shown[0] != key:
            self.shown = key, status_line(self.debugger, width)
        return self.shown[1]


def status_line(debugger: Debugger, width: int) -> StyleAndTextTuples:
    """The status line in at most `width` cells; the least important parts are left out first."""
    walk = debugger.walk
    totals = walk.state.totals
    waiting = waiting_before(debugger)
    parts = [
        (9, "status.waiting", f"waiting before {waiting}" if waiting else ""),
        (8, "status", f"{walk.position:,}/{walk.total:,}"),
        (4, "status", f"depth {len(walk.stack())}"),
        (6, "status", duration(totals.ms) if totals.ms else ""),
        (5, "status", count(totals.tokens, "token") if totals.tokens else ""),
        (5, "status", money(totals.cost) if totals.cost else ""),
        (7, "status.failed", count(totals.errors, "failure") if totals.errors else ""),
    ]
    kept = [part for part in parts if part[2]]
    while len(kept) > 1 and sum(cells(words) + 2 for _, _, words in kept) > width:
        kept.remove(min(kept, key=lambda part: part[0]))
    shown: StyleAndTextTuples = []
    for place, (_, style, words) in enumerate(kept):
        shown.append(("", "  " if place else " "))
        shown.append((f"class:{style}", shorten(words, max(width - 2, 1))))
    return shown


def waiting_before(debugger: Debugger) -> str:
    """The call that a live program waits before, as `llm gpt-4o`; empty where none does."""
    walk = debugger.walk
    event: Event | None = walk.event if walk.waiting else None
    if event is None:
        return ""
    return clean(f"{event.get('component') or ''} {event.get('component_name') or ''}".strip(), 60)
