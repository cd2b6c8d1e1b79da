"""Where in the source of an app something stands: the file of a flow, and how it is named in a call site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A place in the source; `column` counts from 1."""

    site: str | None = None
    column: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What an event says of it beside its call site."""
        return {} if self.column is None else {"column": self.column}


class Places:
    """The places of one app.

    Args:
        sources: the files of the app and their texts.
        app: the file of the app itself, which what is not found elsewhere stands in.
        shown: how a file is named in a call site; None where it is not the user's.
        flows: its flows.
    """

    def __init__(
        self,
        sources: Mapping[Path, str],
        app: Path,
        shown: Callable[[Path], str | None],
        flows: Iterable[Any] = (),
    ) -> None:
        self._shown = shown
        self._app = app
        self._files: dict[str, Path] = {}
        lines = {path: text.splitlines() for path, text in sources.items()}
        for flow in flows:
            self._files[flow.name] = next(
                (path for path in [app, *lines] if _declares(lines.get(path, []), flow)), app
            )

    def at(self, node: Any, flow: str | None) -> Place:
        """The place of a statement or an expression.

        Args:
            node: anything with `line` and `column`.
            flow: the name of the flow that it belongs to.
        """
        return self.line(getattr(node, "line", None), getattr(node, "column", None), flow)

    def line(self, line: Any, column: Any, flow: str | None) -> Place:
        """The place of a line, which the language counts from 1."""
        name = self.file(flow)
        if not isinstance(line, int) or name is None:
            return Place()
        return Place(f"{name}:{line}", column if isinstance(column, int) else None)

    def file(self, flow: str | None) -> str | None:
        """The file that a flow stands in, as a call site names it."""
        return self._shown(self._files.get(flow or "", self._app))


def _declares(lines: list[str], flow: Any) -> bool:
    """Whether a flow is declared on its line in a file; a flow of a module has the module's name before its own."""
    line, name = getattr(flow, "line", None), str(flow.name).rpartition(".")[2]
    if not isinstance(line, int) or not 0 < line <= len(lines):
        return False
    text = lines[line - 1].strip()
    return text.startswith("flow") and name in text
