"""What a command reports, in a form that every format can write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from namel3ss_debug.views.blocks import Block


class Records(NamedTuple):
    """A table of raw values for other programs.

    Attributes:
        rows: the rows, each a JSON object.
        columns: the keys in order; without them the keys of all rows, which are read first for that.
    """

    rows: Iterable[Mapping[str, Any]]
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What a command reports. A format reads only the parts that it writes.

    The parts may be generators, so that a long trace is read once, for the format in use, while it is written.

    Attributes:
        blocks: the report for people.
        document: the JSON document, or a function that makes it. An iterator as a value is written element by element; a function as a value is
            called when its turn comes, so that it can report what was met on the way.
        rows: one JSON value for each line of `jsonl`; without them the document is the only line.
        tables: the tables of `csv` by name; without them those found in the document (see `find_tables`).
        status: the exit status of the command.
        notices: called after the report was written; prints on stderr what is known only then.
        file: the file that is written instead of stdout.
        live: whether the report grows while it is written; it then appears line by line and without a pager.
    """

    blocks: Iterable[Block]
    document: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)
    rows: Iterable[Any] | None = None
    tables: Mapping[str, Records] | None = None
    status: int = 0
    notices: Callable[[], None] | None = None
    file: Path | None = None
    live: bool = False

    def find_document(self) -> Mapping[str, Any]:
        """Return the document; generators and functions in it are as they are."""
        return self.document() if callable(self.document) else self.document

    def resolve_document(self) -> dict[str, Any]:
        """Return the document with its generators read and its functions called, in their order."""
        return {
            key: list(value) if isinstance(value, Iterator) else value() if callable(value) else value
            for key, value in self.find_document().items()
        }

    def find_tables(self) -> Mapping[str, Records]:
        """Return the tables of the report, or those found in its document."""
        return find_tables(self.resolve_document()) if self.tables is None else self.tables


def find_tables(value: Any, path: str = "") -> dict[str, Records]:
    """Return the tables in a document, each under its path, such as `performance.slow_operations`.

    A table is a list of objects, or an object of objects that share a key; the name of each object is then the first
    column. An empty list counts as a table without rows, so that a name is valid whatever the data.
    """
    if isinstance(value, list):
        return {path: Records(value)} if all(isinstance(row, Mapping) for row in value) else {}
    if not isinstance(value, Mapping):
        return {}
    rows = list(value.values())
    if path and rows and all(isinstance(row, Mapping) for row in rows) and set.intersection(*map(set, rows)):
        return {path: Records([{"name": name, **row} for name, row in value.items()])}
    found: dict[str, Records] = {}
    for key, item in value.items():
        found |= find_tables(item, f"{path}.{key}" if path else str(key))
    return found
