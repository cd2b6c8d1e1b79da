"""Write a page: template, style and script of this folder, and the data in elements that no browser executes."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from namel3ss_debug.version import __version__
from namel3ss_debug.views.cleaning import clean
from namel3ss_debug.views.page.page_data import Columns, compress
from namel3ss_debug.views.page.reading import TracePage
from namel3ss_debug.views.page.run_facts import LONGEST_TITLE
from namel3ss_debug.views.page.style import PAGE, policy_of, read_style
from namel3ss_debug.views.payloads import json_bytes

SCHEMA: Final = "namel3ss-debug/page/1"
_COMMON: Final = ("data.js", "dom.js", "text.js")
_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "compare": (
        *_COMMON,
        "json_view.js",
        "keys.js",
        "panes.js",
        "rows.js",
        "state.js",
        "tree.js",
        "words.js",
        "compare.js",
    ),
    "many": (*_COMMON, "graph.js", "keys.js", "panes.js", "state.js", "summary.js", "many.js"),
}
"""The sources of each kind of page, the one that starts it last. The page of a trace has all but `_OF_OTHERS`, and ends with `main.js`."""
_OF_OTHERS: Final = frozenset({"compare.js", "graph.js", "many.js"})
_LIVE: Final = "live.js"
"""What only the live page of a trace has: the code that asks a server."""

_COMMENTS: Final = re.compile(r"^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.MULTILINE | re.DOTALL)
"""Comments that are lines of their own: a quarter of the sources, which a reader of the page does not need."""


def write_page(
    pages: Sequence[TracePage],
    *,
    content: bool,
    kind: str = "trace",
    more: Mapping[str, Any] = MappingProxyType({}),
    title: str = "",
    packed: Mapping[str, Columns] = MappingProxyType({}),
) -> Iterator[bytes]:
    """Yield a page in pieces.

    Args:
        pages: the traces that it shows.
        content: whether the traces have their messages, arguments and results.
        kind: what it shows: `trace`, `live` for one that grows and asks the server that it comes from for what is new,
            `compare` for two, or `many` for the figures of many.
        more: facts besides those of the traces.
        title: its title; empty for that of the first trace.
        packed: data besides those of the traces, by the name of their element.
    """
    live = kind == "live"
    facts = {
        "schema": SCHEMA,
        "kind": kind,
        "made_by": f"namel3ss-debug {__version__}",
        "content": content,
        "live": live,
        "traces": [page.facts for page in pages],
        **more,
    }
    style, script = read_style(PAGE), read_script(kind)
    title = clean(title or f"{pages[0].facts['title']}: {pages[0].facts['outcome_text']}", 2 * LONGEST_TITLE)
    places: Mapping[str, str] = {
        "policy": policy_of(style, script) + ("; connect-src 'self'" if live else ""),
        "title": escape(title),
        "style": style,
        "script": script,
    }
    head, rest = _read("page.html").split("{{data}}")
    yield _fill(head, places).encode()
    yield _element("facts", "application/json", json_bytes(facts).replace("<", "\\u003c").encode())
    for index, page in enumerate(pages):
        yield _packed(f"columns-{index}", compress(_encode(page.columns)))
        for number, block in enumerate(page.blocks):
            yield _packed(f"block-{index}-{number}", block)
    for name, columns in packed.items():
        yield _packed(name, compress(_encode(columns)))
    yield _fill(rest, places).encode()


def _encode(columns: Columns) -> bytes:
    """Return columns as JSON; each by itself, because half of a surrogate pair in a text takes the slow encoder."""
    members = (f"{json_bytes(name)}:{json_bytes(column)}" for name, column in columns.items())
    return f"{{{','.join(members)}}}".encode()


def read_script(kind: str = "trace") -> str:
    """Return the sources of a kind of page as one script, whose names are its own, without comments."""
    every = {entry.name for entry in files(__package__).iterdir() if entry.name.endswith(".js")}
    own = every - _OF_OTHERS if kind == "live" else every - _OF_OTHERS - {_LIVE}
    ordered = _SOURCES.get(kind) or sorted(own, key=lambda name: (name == "main.js", name))
    return _COMMENTS.sub("", "".join(['(() => {"use strict";\n', *map(_read, ordered), "})();\n"]))


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _fill(template: str, places: Mapping[str, str]) -> str:
    """Return a part of the template with its places filled in; what is filled in is not looked at again."""
    pieces = template.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled += (places[name], rest)
    return "".join(filled)


def _element(name: str, kind: str, data: bytes) -> bytes:
    return b'<script type="%b" id="%b">%b</script>\n' % (kind.encode(), name.encode(), data)


def _packed(name: str, data: bytes) -> bytes:
    return _element(name, "text/plain", b64encode(data))
