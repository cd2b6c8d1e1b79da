"""The marks before the lines that a process tells the debugger's shell, as `gate` explains them."""

from __future__ import annotations

from typing import Final

WAITS: Final = b"?"
TOLD: Final = b"."
ASKS: Final = b"!"
TAKEN: Final = b"="
LISTENS: Final = b"@"
FLUSHED: Final = b"~"
