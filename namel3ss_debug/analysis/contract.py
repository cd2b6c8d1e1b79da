"""What a section is: its row in the table of sections, and its tables in reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from namel3ss_debug.analysis.findings import FindingsOfSection, Row
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import Fact, SpanTable

EVERY_OTHER_SECTION: Final = ("*",)
"""The `needs` of a section that reads all others."""

MERGE: Final = "merge"
"""The pooling of a section that several traces have as one table of all their spans."""


class ComputedSections(dict[str, Any]):
    """The sections that were computed so far, by name; `rows` is the table of sections."""

    rows: Mapping[str, Section]


class ColumnSpec(NamedTuple):
    """One column of a listing.

    Attributes:
        header: its header, with the unit.
        key: the key of its value in a row, which may lead inwards (`context.share`); empty for the key of the row itself.
        shown: how its values are shown, out of `views.sections.CELLS`.
        least: the smallest width to which it shrinks; 0 for what is usual.
    """

    header: str
    key: str
    shown: str = "text"
    least: int = 0


class TableSpec(NamedTuple):
    """A table of a section in reports, as data.

    Attributes:
        title: its heading; empty for a table without one. `{key:format}` in it is the value of a key of the section,
            formatted as `views.sections.TEXTS` has it; any other format is the noun of a count.
        path: the key of its rows in the section, which may lead inwards; empty where the section is the rows.
        fields: its columns.
        aside: words after the heading, with values as in the title.
        total: the key of the number of all rows, where not all are in the section.
        most: the most rows that are shown; None for all.
        rows: returns its rows, where they have to be chosen, ordered or joined from several places of the section.
        alarming: whether its heading is shown as a warning.
    """

    title: str
    path: str
    fields: tuple[ColumnSpec, ...]
    aside: str = ""
    total: str = ""
    most: int | None = 10
    rows: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]] | None = None
    alarming: bool = False


EVENT = ColumnSpec("n", "number", "event")
OPERATION = ColumnSpec("operation", "", "operation")
WHERE = ColumnSpec("where", "", "operation", 14)


def has_content(section: Mapping[str, Any]) -> bool:
    """Return whether a section has anything in it."""
    return bool(section)


class Section(NamedTuple):
    """One row of the table of sections; everything that shows, adds up or judges sections reads it.

    Attributes:
        name: its key in the document.
        flag: the option of `analyze` that chooses it, without the hyphens; empty for none of its own.
        compute: returns the section from the table of spans and the user's options, and the sections it needs, if any.
        facts, points: the further columns of the table that it reads, and the types of the events.
        watch: makes what watches the events for it; its `result`, from the table and the sections, is the section.
        needs: the sections that it reads.
        help: the help of the option; the first row of a flag has it.
        columns: its tables in reports, and the names of what `views.figures.FIGURES` draws between them.
        findings: yields its findings; None for none.
        pooling: how several traces are read together: `MERGE` by the same function, because the section is of columns
            alone; a function of the table and of the section of each trace, for what was read from their events; or
            None for a section that has a meaning for one trace only.
        has_data: returns whether its result shows anything about the run.
        parts: the parts of the health that have a score where it has data.
        in_health: whether the health shows its score.
        scored: whether its score is shown for each of several traces.
    """

    name: str
    flag: str
    help: str = ""
    columns: tuple[TableSpec | str, ...] = ()
    findings: FindingsOfSection | None = None
    pooling: Literal["merge"] | Callable[[SpanTable, Sequence[Row]], dict[str, Any]] | None = None
    has_data: Callable[[Mapping[str, Any]], bool] = has_content
    parts: tuple[str, ...] = ()
    in_health: bool = True
    scored: bool = False
    compute: Callable[..., dict[str, Any]] | None = None
    facts: tuple[Fact, ...] = ()
    points: frozenset[str] = frozenset()
    watch: Callable[[Options], Any] | None = None
    needs: tuple[str, ...] = ()


SectionTable = dict[str, Section]
"""Sections by name, in the order of the document."""
