"""The typed and shown lines of a session, kept as plain text until `save`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.text import Text

from namel3ss_debug.replay.results import Message, Mistake, Save
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean

MOST_LINES = 100_000


class Transcript:
    """The lines of a session, the last hundred thousand of them.

    Attributes:
        left_out: how many earlier lines are no longer there.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._lines: deque[str] = deque()
        self._written: set[Path] = set()

    def note(self, row: str) -> None:
        """Keep one line."""
        self._lines.append(row)
        if len(self._lines) > MOST_LINES:
            self._lines.popleft()
            self.left_out += 1

    def heard(self, prompt: str, words: str) -> None:
        """Keep a line that was typed."""
        self.note(prompt + clean(words))

    def noted(self, rows: Iterable[Text]) -> Iterator[Text]:
        """The same lines, kept as they pass."""
        for row in rows:
            self.note(row.plain)
            yield row

    def saved(self, wanted: Save) -> Message | Mistake:
        """Write the session to a file that only the user can read; one written before by this session is replaced."""
        shown = clean(wanted.file)
        try:
            path = Path(wanted.file).expanduser().absolute()
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if path in self._written else os.O_EXCL)
            descriptor = os.open(path, flags, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                if self.left_out:
                    file.write(f"... {self.left_out:,} earlier lines are left out\n")
                file.writelines(f"{row}\n" for row in self._lines)
        except FileExistsError:
            return Mistake(f"{shown} is there already; give the name of a new file")
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # also a null in the name, and a home that is not there
            why = error.strerror if isinstance(error, OSError) else error
            return Mistake(f"cannot write {shown}: {why}; give another file")
        self._written.add(path)
        return Message(f"saved {count(len(self._lines), 'line')} in {shown}")
