"""Digest files, so that a later run can tell whether their contents have changed.

A digest is keyed with a key that is derived from the user's own key and never written to a trace. The trace alone does
not suffice to test guesses of what a file holds, such as a short password. The price: digests can be compared
only where the user's key is, and a trace names by a check value which key it needs.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Set as AbstractSet
from typing import Any, Final

from namel3ss_debug.traces import data_formats
from namel3ss_debug.traces.output import compared_forms

MOST_BYTES: Final = 1024 * 1024
"""How large a file may be to be read whole."""
PART_BYTES: Final = 64 * 1024
"""How much is read of a larger one, at its beginning and at its end."""
_DIGEST_BYTES: Final = 16
_MOST_LINES: Final = 500
_CHECK_BYTES: Final = 4
_PERSON: Final = b"namel3ss-debug/1"

MISSING: Final[dict[str, Any]] = {"missing": True}
"""The description of a file that does not exist."""


class FileDigester:
    """Describes files by their size, time and digest.

    Args:
        key: the key of the digests.
        most_bytes: how much is read of all files together; beyond it, only the parts of each.

    Attributes:
        check: a value that shows whether two traces have digests with the same key.
    """

    def __init__(self, key: bytes, most_bytes: int | None = None) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES, person=_PERSON)
        self._left = most_bytes
        self.check = hashlib.blake2b(key=key, digest_size=_CHECK_BYTES, person=_PERSON).hexdigest()

    def describe_content(self, data: bytes, ids: AbstractSet[str]) -> dict[str, Any]:
        """Return the description of what a program has written.

        Args:
            data: the bytes.
            ids: the ids of its processes and threads, as digits, which are other ones in each run.

        Returns:
            `size`, `digest`, and of a text `lines`: a short digest for each of its first lines. A text is digested without what differs
            from run to run; with ids in it, it has a second digest behind a slash, as `traces.output.digest_line`.
        """
        described: dict[str, Any] = {"size": len(data)}
        try:
            text = data.decode() if len(data) <= MOST_BYTES else None
        except UnicodeDecodeError:
            text = None
        if text is None or "\0" in text:
            return described | {"digest": self._digest(data)}
        forms = [compared_forms(line, ids) for line in text.split("\n")]
        digests = [self._digest("\n".join(form[0] for form in forms).encode())]
        if any(len(form) > 1 for form in forms):
            digests.append(self._digest("\n".join(form[-1] for form in forms).encode()))
        lines = ["/".join(self._digest(each.encode())[:8] for each in form) for form in forms[:_MOST_LINES]]
        return described | {"digest": "/".join(digests), "lines": lines}

    def _digest(self, data: bytes) -> str:
        state = self._keyed.copy()
        state.update(data)
        return state.hexdigest()

    def describe(self, path: str, status: os.stat_result) -> dict[str, Any]:
        """Return the description of a regular file.

        Returns:
            `size` in bytes, `mtime_ns`, `digest` (left out if the file cannot be read), `part` if only its beginning
            and its end were digested, and `content`, a digest without comments and layout, of the formats that have one.
        """
        found: dict[str, Any] = describe_status(status)
        size = status.st_size
        whole = size <= MOST_BYTES and (self._left is None or size <= self._left)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return found
        state = self._keyed.copy()
        reduced = whole and size <= data_formats.MOST_BYTES and data_formats.is_reducible(path)
        try:
            if whole:
                read = b""
                while data := os.read(descriptor, MOST_BYTES):
                    state.update(data)
                    read += data if reduced else b""
                if reduced:
                    found["content"] = self._digest(data_formats.reduce(path, read))
            else:
                state.update(os.pread(descriptor, PART_BYTES, 0))
                state.update(os.pread(descriptor, PART_BYTES, max(0, size - PART_BYTES)))
                found["part"] = True
        except OSError:
            return found
        finally:
            os.close(descriptor)
        if self._left is not None and whole:
            self._left -= size
        found["digest"] = state.hexdigest()
        return found


def describe_status(status: os.stat_result) -> dict[str, Any]:
    """Return the description of a file without its contents."""
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def regular_status(path: str) -> os.stat_result | None:
    """Return the status of a file; None if it exists, but is a folder, device, pipe or socket.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None
