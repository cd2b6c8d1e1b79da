"""Change members of a file of settings, and leave every other byte as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_INDENT: Final = re.compile(r"\n([ \t]+)\"")


class _Member(NamedTuple):
    key: str
    start: int
    end: int


def set_members(document: str, values: Mapping[str, Any]) -> str:
    """Return the text of a JSON object with these members, in place of their earlier values or behind the last member.

    Args:
        document: the text of a JSON object, or "" for none.
        values: the members.
    """
    text = document if document.strip() else "{}\n"
    found = _INDENT.search(text)
    indent = found[1] if found else "  "
    for key, value in values.items():
        members = list(_list_members(text))
        written = json.dumps(value, indent=indent).replace("\n", f"\n{indent}")
        same = next((member for member in members if member.key == key), None)
        if same is not None and json.loads(text[same.start : same.end]) == value:
            continue
        if same is not None:
            text = text[: same.start] + written + text[same.end :]
            continue
        new = f"\n{indent}{json.dumps(key)}: {written}"
        if members:
            text = text[: members[-1].end] + "," + new + text[members[-1].end :]
        else:
            end = text.index("{") + 1
            text = text[:end] + new + "\n" + text[end:].lstrip()
    return text


def _list_members(text: str) -> Iterator[_Member]:
    """Yield the members of a JSON object with the place of each value; the text was read as one before."""
    decoder = json.JSONDecoder()
    place = _skip_space(text, text.index("{") + 1)
    while text[place] != "}":
        key, place = decoder.raw_decode(text, place)
        start = _skip_space(text, _skip_space(text, place) + 1)
        _, end = decoder.raw_decode(text, start)
        yield _Member(key, start, end)
        place = _skip_space(text, end)
        if text[place] == ",":
            place = _skip_space(text, place + 1)


def _skip_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()
