"""The first byte of each message from a stepped process to the debugger's shell, see `step_channel`."""

from __future__ import annotations

from typing import Final

WAITS: Final = b"?"
REPORTS: Final = b"."
ASKS: Final = b"!"
LISTENS: Final = b"@"
FLUSHED: Final = b"~"
ANSWERS: Final = b"="
PDB_ENDS: Final = b"%"
