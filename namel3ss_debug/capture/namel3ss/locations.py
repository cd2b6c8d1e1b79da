"""Locations in the source of an app: the file of a flow, a function or a job, and its name in a call site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_KEYWORDS = {"flow": "flow", "function": "define", "job": "job"}
"""Kind of a definition -> the keyword with which it begins."""


class SourceLocation(NamedTuple):
    """A location in the source; `column` counts from 1."""

    site: str | None = None
    column: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """Return what an event contains of it besides its call site."""
        return {} if self.column is None else {"column": self.column}


class Definition(NamedTuple):
    """A definition that contains statements: a `flow`, a `function` or a `job`. Its name begins with its module's."""

    kind: str
    name: str


class SourceLocations:
    """The source locations of one app.

    Args:
        sources: the files of the app and their texts.
        app: the file of the app itself. It stands for the file of a definition that is not found anywhere.
        display_name: returns the name of a file in a call site; `None` if it is not the user's file.
        definitions: the flows, functions and jobs, each with its node, which has a line.
    """

    def __init__(
        self,
        sources: Mapping[Path, str],
        app: Path,
        display_name: Callable[[Path], str | None],
        definitions: Iterable[tuple[Definition, Any]] = (),
    ) -> None:
        self._display_name = display_name
        self._app = app
        self._files: dict[Definition, Path] = {}
        lines = {path: text.splitlines() for path, text in sources.items()}
        for definition, node in definitions:
            files = [*_files_of_module(definition, lines), app, *lines]
            self._files[definition] = next(
                (path for path in files if _is_defined_in(lines.get(path, []), definition, node)), app
            )

    def at(self, node: Any, definition: Definition | None) -> SourceLocation:
        """Return the location of a statement or an expression.

        Args:
            node: any node with `line` and `column`.
            definition: the definition that contains it.
        """
        return self.line(getattr(node, "line", None), getattr(node, "column", None), definition)

    def line(self, line: Any, column: Any, definition: Definition | None) -> SourceLocation:
        """Return the location of a line, which the language counts from 1."""
        name = self.file(definition)
        if not isinstance(line, int) or name is None:
            return SourceLocation()
        return SourceLocation(f"{name}:{line}", column if isinstance(column, int) else None)

    def file(self, definition: Definition | None) -> str | None:
        """Return the file of a definition, as a call site names it."""
        return self._display_name(self._app if definition is None else self._files.get(definition, self._app))


def list_definitions(program: Any) -> list[tuple[Definition, Any]]:
    """Return the flows, functions and jobs of a program, with their nodes in the language."""
    functions = getattr(program, "functions", None) or {}
    return [
        *((Definition("flow", flow.name), flow) for flow in program.flows),
        *((Definition("function", name), node) for name, node in functions.items()),
        *((Definition("job", job.name), job) for job in getattr(program, "jobs", None) or ()),
    ]


def _files_of_module(definition: Definition, files: Iterable[Path]) -> list[Path]:
    """Return the files of the module that a name begins with. They are in a folder of its name."""
    module = definition.name.rpartition(".")[0]
    return [path for path in files if module and module in path.parent.parts]


def _is_defined_in(lines: list[str], definition: Definition, node: Any) -> bool:
    """Return whether a file contains a definition at the line of its node.

    A name inside a module begins with the module's name, which the source omits.
    """
    line, name = getattr(node, "line", None), definition.name.rpartition(".")[2]
    if not isinstance(line, int) or not 0 < line <= len(lines):
        return False
    text = lines[line - 1].strip()
    return text.startswith(_KEYWORDS[definition.kind]) and name in text
