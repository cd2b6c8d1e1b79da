"""Load the sections that installed packages add.

The name of an entry point is that of the section. In the group `namel3ss_debug.folds` its object makes the fold from
`Options`, as the class of a fold does, and is imported when the section is made. In the group `namel3ss_debug.sections` it
is a row of the table (`contract.Section`), which is imported with the table. The name of one of our sections, or of
another key of the document, is refused. An error in code of somebody else ends only this section, with a line that says
what went wrong and where; `Guarded` sees to that.
"""

from __future__ import annotations

import pickle
import traceback
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from namel3ss_debug.analysis.contract import MERGE, Section
from namel3ss_debug.analysis.facts import EVERY_EVENT
from namel3ss_debug.analysis.findings import LEAST, make_finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from namel3ss_debug.analysis.facts import MeasuredSpan
    from namel3ss_debug.analysis.findings import Finding, RunAmounts
    from namel3ss_debug.analysis.totals import Options, TraceTotals
    from namel3ss_debug.traces.events import Event

FOLDS_GROUP = "namel3ss_debug.folds"
ROWS_GROUP = "namel3ss_debug.sections"
RESERVED = frozenset(
    {
        "schema",
        "trace",
        "traces",
        "aggregate",
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


def load_sections(taken: Collection[str], wanted: Collection[str] | None = None) -> Iterator[Section]:
    """Yield a row for each section that is installed; a refused one under its name and where its code is.

    Args:
        taken: the names of the sections that exist already.
        wanted: the names that are requested; all if left out.
    """
    seen: set[str] = set()
    entries = [*entry_points(group=FOLDS_GROUP), *entry_points(group=ROWS_GROUP)]
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
        if wanted is not None and entry.name not in wanted:
            continue
        if entry.name in taken or entry.name in RESERVED or entry.name in seen:
            refused = f"there is a section {entry.name} already"
            name = f"{entry.name} of {entry.value}"
            yield Section(name, "", Plugin(entry.name, entry.value, refused), in_health=False)
        else:
            seen.add(entry.name)
            plugin = Plugin(entry.name, entry.value)
            yield plugin.to_section(has_row=entry.group == ROWS_GROUP)


def describe_errors(folds: Mapping[str, object]) -> dict[str, str]:
    """Return the error of each analysis that has no result, by section."""
    return {
        name: f"{fold.error} ({fold.plugin.value})"
        for name, fold in folds.items()
        if isinstance(fold, Guarded) and fold.error is not None
    }


class Plugin:
    """An analysis that is installed: makes its fold when it is called, like the classes in the table.

    It holds names only, so that it can go to another process, which loads it again.

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

    def load(self) -> Any:
        """Import what it names.

        Raises:
            Exception: whatever goes wrong there.
        """
        return EntryPoint(self.name, self.value, FOLDS_GROUP).load()

    def to_section(self, *, has_row: bool) -> Section:
        """Return its row of the table, which its object is, or which is made for a fold."""
        row: Any = None
        if has_row:
            with suppress(Exception):  # the fold reports what goes wrong
                row = self.load()
        if isinstance(row, Section):
            findings = None if row.findings is None else self.find_findings
            return row._replace(name=self.name, flag="", fold=self, findings=findings, has_data=self.has_data)
        return Section(self.name, "", self, pooling=MERGE, in_health=False)

    def has_data(self, section: Mapping[str, Any]) -> bool:
        """Return whether its result shows anything about the run."""
        try:
            return bool(self.load().has_data(section))
        except Exception:  # somebody else's code may raise anything
            return bool(section)

    def find_findings(
        self, section: Mapping[str, Any], sections: Mapping[str, Any], run: RunAmounts
    ) -> Iterator[Finding]:
        """Yield the findings of its section; an error is a finding of its own."""
        try:
            found = [finding for finding in self.load().findings(section, sections, run) if finding.id]
        except Exception as error:  # somebody else's code may raise anything
            evidence = f"the findings of the section {self.name} are not known: {_describe(error)}"
            found = [make_finding("plugin_error", "", self.name, LEAST, evidence)]
        yield from found


class Guarded:
    """A fold of somebody else, whose errors end only itself.

    Attributes:
        error: the first error, in one line, after which the fold takes nothing more; None where there was none.
        pooled: whether it can be merged with that of another trace, which is so if it has `renumber`.
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
        loaded = self.plugin.load()
        fold = (loaded.fold if isinstance(loaded, Section) else loaded)(options)
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
        self.error = _describe(error) + place
        self._fold = None

    def __getstate__(self) -> dict[str, Any]:
        """Plain data, and the fold pickled; a fold that cannot be pickled ends here."""
        state = vars(self).copy()
        try:
            state["_fold"] = pickle.dumps(self._fold)
        except Exception as error:  # somebody else's object may raise anything
            state["_fold"] = pickle.dumps(None)
            state["error"] = (
                self.error or f"it holds a value that cannot go to another process: {_describe(error)}"
            )
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

    def result(self, totals: TraceTotals) -> dict[str, Any]:
        """Return the section, as plain JSON; empty where something went wrong."""
        section = None if self._fold is None else self._try(self._plain, totals)
        return section if isinstance(section, dict) else {}

    def _plain(self, totals: TraceTotals) -> dict[str, Any]:
        made = orjson.loads(orjson.dumps(self._fold.result(totals), option=orjson.OPT_NON_STR_KEYS))
        if not isinstance(made, dict):
            raise TypeError(_NOT_JSON)
        return made


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{': ' + text if text else ''}"
