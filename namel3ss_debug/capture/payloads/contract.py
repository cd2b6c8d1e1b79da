"""The interface between a conversion to JSON and the forms of single types of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

FOREIGN_ITEMS = 1000
"""The most items taken from a container that may compute or fetch them, such as an array or a view."""


class Conversion(Protocol):
    """The conversion of one payload, as a form sees it."""

    cut: bool

    @property
    def left(self) -> int:
        """Return how many bytes the payload may still grow by."""

    def convert(self, value: Any, depth: int) -> Any:
        """Return any value as JSON."""

    def pairs(
        self, pairs: Iterable[tuple[Any, Any]], total: int, depth: int, limit: int = 0
    ) -> dict[str, Any]:
        """Return names and values as a JSON object."""

    def items(self, items: Iterable[Any], total: int, depth: int, limit: int = 0) -> list[Any]:
        """Return items as a JSON list."""

    def text(self, text: str) -> Any:
        """Return a text as JSON, cut if the payload is full."""

    def clean(self, text: str) -> str:
        """Return a text without secrets."""

    def beginning(self, text: str, size: int) -> str:
        """Return the first `size` bytes of a text, without secrets."""

    def charge(self, size: int) -> None:
        """Subtract the size of what was added to the payload from what is left."""


Form = Callable[[Conversion, Any, int], Any]
"""Returns a value at a depth as JSON; may raise whatever the value raises."""
