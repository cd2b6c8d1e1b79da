"""Digest the files of a local MCP server: those that its command names, and the modules beside them that these import.

The recorder and the re-run find them the same way, from the command alone, because the server is another process.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from namel3ss_debug.traces.definitions import ALL_LOGS, digest, digest_source, parse_source

_MOST_FILES: Final = 200
_MOST_BYTES: Final = 1024 * 1024


def digest_server_files(arguments: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the digest of each file of a server; of Python that of its code, without comments.

    Args:
        arguments: the command and its arguments.
        folder: its working directory, which the names of the files are relative to.
    """
    pending = list(_named_files([*arguments], folder))
    found: dict[str, str] = {}
    seen: set[Path] = set()
    while pending and len(found) < _MOST_FILES:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            source = path.read_bytes()
            tree = parse_source(source, ALL_LOGS) if path.suffix == ".py" else None
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        found[os.path.relpath(path, folder)] = digest_source(source) if tree is None else digest([tree])
        if tree is not None:
            pending += _imported_files(tree, path)
    return found


def _named_files(arguments: list[str], folder: Path) -> Iterator[Path]:
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-m":
            stem = folder.joinpath(*word.split("."))
            yield from filter(
                _is_file, (stem.with_name(f"{stem.name}.py"), stem / "__main__.py", stem / "__init__.py")
            )
        elif (
            before and not word.startswith("-") and _is_file(folder / word)
        ):  # the first word is the interpreter
            yield folder / word


def _imported_files(tree: ast.Module, path: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
        names: list[str] = []
        level = 0
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            level, module = node.level, node.module or ""
            names = [module, *(f"{module}.{each.name}".strip(".") for each in node.names)]
        base = path.parents[max(level - 1, 0)] if level <= len(path.parents) else path.parent
        for name in filter(None, names):
            for stem in (base, *(() if level else path.parents[1:2])):
                place = stem.joinpath(*name.split("."))
                yield from filter(_is_file, (place.with_name(f"{place.name}.py"), place / "__init__.py"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
