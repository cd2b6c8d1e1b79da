"""What the forms of foreign objects may ask of the walk they are part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from namel3ss_debug.traces.redaction import Redactor

FOREIGN_ITEMS = 1000
"""The most items taken of what is not held in memory as JSON would hold it."""


class Conversion(Protocol):
    """The walk that the forms are part of."""

    cut: bool
    redactor: Redactor | None

    @property
    def left(self) -> int:
        """How many bytes the payload may still grow by."""

    def convert(self, value: Any, depth: int) -> Any:
        """Any value as JSON."""

    def pairs(
        self, pairs: Iterable[tuple[Any, Any]], total: int, depth: int, limit: int = 0
    ) -> dict[str, Any]:
        """A JSON object."""

    def items(self, items: Iterable[Any], total: int, depth: int, limit: int = 0) -> list[Any]:
        """A JSON list."""

    def text(self, text: str) -> Any:
        """A text."""

    def clean(self, text: str) -> str:
        """A text without secrets."""

    def charge(self, size: int) -> None:
        """Count what was put into the payload."""


Form = Callable[[Conversion, Any, int], Any]
"""Makes JSON of a value that stands at a depth; may raise whatever the value raises."""
