"""The analyses that installed packages add: those of the entry points `namel3ss_debug.folds`.

An entry point's name is that of the section; its object makes the fold from `Options`, and is usually its class. The
name of one of our sections, or of another key of the document, is refused. An error in a fold of somebody else ends
only this fold, with a line that says what went wrong and where; `Guarded` sees to that.
"""

from __future__ import annotations

import pickle
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from namel3ss_debug.analysis.nesting import EVERY_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

GROUP = "namel3ss_debug.folds"
RESERVED = frozenset(
    {
        "schema",
        "trace",
        "traces",
        "recordings",
        "groups",
        "trends",
        "problems",
        "ending",
        "noted_status",
        "plugin_errors",
    }
)
"""Keys of the document that are no sections."""

_NOT_JSON = "its result is no JSON object"


def found(taken: Collection[str], wanted: Collection[str] | None = None) -> Iterator[tuple[str, Plugin]]:
    """The analyses that are installed, by name, not imported yet; a refused one by its name and where its code is.

    Args:
        taken: the names of the sections that exist already.
        wanted: the names that are asked for; all if left out.
    """
    seen: set[str] = set()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        if wanted is None or entry.name in wanted:
            if entry.name in taken or entry.name in RESERVED or entry.name in seen:
                refused = f"there is a section {entry.name} already"
                yield f"{entry.name} of {entry.value}", Plugin(entry.name, entry.value, refused)
            else:
                seen.add(entry.name)
                yield entry.name, Plugin(entry.name, entry.value)


def errors(folds: Mapping[str, object]) -> dict[str, str]:
    """The error of each analysis that has no result, by section."""
    return {
        name: f"{fold.error} ({fold.plugin.value})"
        for name, fold in folds.items()
        if isinstance(fold, Guarded) and fold.error is not None
    }


class Plugin:
    """An analysis that is installed: makes its fold when it is called, like the classes in `FOLDS`.

    Attributes:
        name: of its section.
        value: where its code is: `package.module:Class`.
        refused: why it is not used; empty where it is.
    """

    def __init__(self, name: str, value: str, refused: str = "") -> None:
        self.name = name
        self.value = value
        self.refused = refused

    def __call__(self, options: Options) -> Guarded:
        """Import it and make a fold."""
        return Guarded(self, options)

    def load(self) -> Callable[[Options], Any]:
        """Import what it names.

        Raises:
            Exception: whatever goes wrong there.
        """
        loaded: Callable[[Options], Any] = EntryPoint(self.name, self.value, GROUP).load()
        return loaded


class Guarded:
    """A fold of somebody else, whose errors end only itself.

    Attributes:
        error: the first error, in one line, after which the fold takes nothing more; None where there was none.
        pooled: whether it can pool several recordings, which is so if it has `renumber`.
    """

    def __init__(self, plugin: Plugin, options: Options) -> None:
        self.plugin = plugin
        self.error: str | None = plugin.refused or None
        self.events: frozenset[str] = frozenset()
        self.needs: tuple[str, ...] = ()
        self.pooled = False
        self._fold: Any = None
        if self.error is None:
            self._try(self._make, options)

    def _make(self, options: Options) -> None:
        fold = self.plugin.load()(options)
        events = frozenset(getattr(fold, "events", ()))
        self.events = EVERY_EVENT if events == EVERY_EVENT else events
        self.needs = tuple(getattr(fold, "needs", ()))
        for name in ("span", "merge", "result"):
            if not callable(getattr(fold, name, None)):
                raise TypeError(f"it has no method {name}")
        self.pooled = callable(getattr(fold, "renumber", None))
        self._fold = fold

    def _try(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # somebody else's code may raise anything
            self._end(error)
            return None

    def _end(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if len(frames) > 1 else ""
        self.error = _words(error) + place
        self._fold = None

    def __getstate__(self) -> dict[str, Any]:
        """Plain data, and the fold pickled; a fold that cannot be pickled ends here."""
        state = vars(self).copy()
        try:
            state["_fold"] = pickle.dumps(self._fold)
        except Exception as error:  # somebody else's object may raise anything
            state["_fold"] = pickle.dumps(None)
            state["error"] = self.error or f"it holds what cannot go to another process: {_words(error)}"
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of `__getstate__`; the bytes are from a process of ours."""
        vars(self).update(state)
        self._fold = pickle.loads(state["_fold"])  # noqa: S301

    def span(self, span: MeasuredSpan) -> None:
        """Hand on a span."""
        if self._fold is not None:
            self._try(self._fold.span, span)

    def open_span(self, span: MeasuredSpan) -> None:
        """Hand on a span that never ended, where the fold wants to see it."""
        if self._fold is not None and hasattr(self._fold, "open_span"):
            self._try(self._fold.open_span, span)

    def event(self, number: int, event: Event) -> None:
        """Hand on a point event."""
        if self._fold is not None:
            self._try(self._fold.event, number, event)

    def merge(self, later: Guarded) -> None:
        """Merge the two folds, or keep what went wrong."""
        self.error = self.error or later.error
        if self._fold is not None and later._fold is not None:
            self._try(self._fold.merge, later._fold)
        elif self.error is not None:
            self._fold = None

    def renumber(self, by: int) -> None:
        """Hand on what is to be added to the numbers of events."""
        if self._fold is not None:
            self._try(self._fold.renumber, by)

    def result(self, totals: Totals) -> dict[str, Any]:
        """The section, as plain JSON; empty where something went wrong."""
        section = None if self._fold is None else self._try(self._plain, totals)
        return section if isinstance(section, dict) else {}

    def _plain(self, totals: Totals) -> dict[str, Any]:
        made = orjson.loads(orjson.dumps(self._fold.result(totals), option=orjson.OPT_NON_STR_KEYS))
        if not isinstance(made, dict):
            raise TypeError(_NOT_JSON)
        return made


def _words(error: Exception) -> str:
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{': ' + words if words else ''}"
