"""Where in the source of an app something stands: the file of a flow, a function or a job, and how it is named in a call site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_BEGINS = {"flow": "flow", "function": "define", "job": "job"}
"""How a declaration begins."""


class Place(NamedTuple):
    """A place in the source; `column` counts from 1."""

    site: str | None = None
    column: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What an event says of it beside its call site."""
        return {} if self.column is None else {"column": self.column}


class Body(NamedTuple):
    """What statements stand in: a `flow`, a `function` or a `job`, by its name, which begins with its module's."""

    kind: str
    name: str


class Places:
    """The places of one app.

    Args:
        sources: the files of the app and their texts.
        app: the file of the app itself, which what is not found elsewhere stands in.
        shown: how a file is named in a call site; None where it is not the user's.
        declared: its flows, functions and jobs, each with its declaration, which has a line.
    """

    def __init__(
        self,
        sources: Mapping[Path, str],
        app: Path,
        shown: Callable[[Path], str | None],
        declared: Iterable[tuple[Body, Any]] = (),
    ) -> None:
        self._shown = shown
        self._app = app
        self._files: dict[Body, Path] = {}
        lines = {path: text.splitlines() for path, text in sources.items()}
        for body, node in declared:
            files = [*_of_module(body, lines), app, *lines]
            self._files[body] = next(
                (path for path in files if _declares(lines.get(path, []), body, node)), app
            )

    def at(self, node: Any, body: Body | None) -> Place:
        """The place of a statement or an expression.

        Args:
            node: anything with `line` and `column`.
            body: what it stands in.
        """
        return self.line(getattr(node, "line", None), getattr(node, "column", None), body)

    def line(self, line: Any, column: Any, body: Body | None) -> Place:
        """The place of a line, which the language counts from 1."""
        name = self.file(body)
        if not isinstance(line, int) or name is None:
            return Place()
        return Place(f"{name}:{line}", column if isinstance(column, int) else None)

    def file(self, body: Body | None) -> str | None:
        """The file that something stands in, as a call site names it."""
        return self._shown(self._app if body is None else self._files.get(body, self._app))


def declared_in(program: Any) -> list[tuple[Body, Any]]:
    """The flows, functions and jobs of a program, as the language has them."""
    functions = getattr(program, "functions", None) or {}
    return [
        *((Body("flow", flow.name), flow) for flow in program.flows),
        *((Body("function", name), node) for name, node in functions.items()),
        *((Body("job", job.name), job) for job in getattr(program, "jobs", None) or ()),
    ]


def _of_module(body: Body, files: Iterable[Path]) -> list[Path]:
    """The files of the module that a name begins with: they stand in a folder of its name."""
    module = body.name.rpartition(".")[0]
    return [path for path in files if module and module in path.parent.parts]


def _declares(lines: list[str], body: Body, node: Any) -> bool:
    """Whether it is declared on its line in a file; what is of a module has the module's name before its own."""
    line, name = getattr(node, "line", None), body.name.rpartition(".")[2]
    if not isinstance(line, int) or not 0 < line <= len(lines):
        return False
    text = lines[line - 1].strip()
    return text.startswith(_BEGINS[body.kind]) and name in text
