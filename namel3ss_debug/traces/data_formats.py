"""Reduce data files to what a parser makes of them, so that a comment or another layout is no change of their contents."""

from __future__ import annotations

import os
import re
from typing import Final

from orjson import JSONDecodeError, dumps, loads

MOST_BYTES: Final = 256 * 1024
"""How large a file may be to be reduced."""

_COMMENTS: Final = {
    ".toml": r"^[ \t]*(?:#.*)?\n",
    ".yaml": r"^[ \t]*#.*\n",
    ".yml": r"^[ \t]*#.*\n",
    ".ini": r"^[ \t]*[#;].*\n",
    ".cfg": r"^[ \t]*[#;].*\n",
    # SQLite keeps the text of a CREATE statement with its comments.
    ".sql": r"(?:\A|(?<=;\n))(?:[ \t]*(?:--.*)?\n)+",
}
"""The suffix of a format -> the lines that its parsers skip."""
_BLOCK_SCALAR: Final = re.compile(r"[|>][+-]?\d?[ \t]*$", re.MULTILINE)
_QUOTES: Final = ("'", '"', "`")


def is_reducible(path: str) -> bool:
    """Return whether the format of a file is known."""
    suffix = os.path.splitext(path)[1]
    return suffix == ".json" or suffix in _COMMENTS


def reduce(path: str, data: bytes) -> bytes:
    """Return the contents of a data file without comments and layout; as they are where these may count."""
    suffix = os.path.splitext(path)[1]
    if suffix == ".json":
        try:
            return dumps(loads(data))
        except (JSONDecodeError, TypeError):
            return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if suffix in (".yaml", ".yml") and _BLOCK_SCALAR.search(text):
        return data

    def drop(match: re.Match[str]) -> str:
        is_in_text = any(text.count(quote, 0, match.start()) % 2 for quote in _QUOTES)
        return match[0] if is_in_text else ""

    return re.sub(_COMMENTS[suffix], drop, text, flags=re.MULTILINE).encode()
