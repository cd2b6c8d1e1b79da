"""Compute fingerprints that are equal for the same failure in two runs: they leave out what differs from run to run.

A fingerprint includes the component and its name, the category, the exception's type without its module, the text of
the error, and the file and function of the call site. It leaves out numbers, ids, hashes, times, addresses, folders,
quoted values that hold a digit or are long, and the line of the call site, which moves when the code above it changes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

_LONGEST = 400
"""The characters of an error's text that count."""

_NOISE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (
        re.compile(
            r"\b\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE
        ),
        "<time>",
    ),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "<time>"),
    (re.compile(r"(?<![\w:/])(?:[a-z]:)?(?:[\\/][\w.@+~-]+)*[\\/]([\w.@+~-]+)", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(?=[0-9a-z_-]*\d)(?:[a-z]{2,12}[_-])+[0-9a-z]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[0-9a-z]*\d)(?=[0-9a-z]*[a-z])[0-9a-z]{16,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"'[^'\n]*\d[^'\n]*'|\"[^\"\n]*\d[^\"\n]*\""), "<value>"),
    (re.compile(r"'[^'\n]{41,}'|\"[^\"\n]{41,}\""), "<value>"),
    (re.compile(r"(?<![a-z])[+-]?\d+(?:[.,]\d+)*", re.IGNORECASE), "0"),
    (re.compile(r"\s+"), " "),
)
_INDEX = re.compile(r"[0-9a-f]{7,}|\d{3,}|(?<=[-_#:/ ])\d+$", re.IGNORECASE)
_LINE = re.compile(r":\d+(?=$|[: ])")


def compute_fingerprint(
    component: str,
    name: str | None,
    category: str,
    error_type: str | None,
    error: str | None,
    call_site: str | None = None,
) -> str:
    """Return sixteen hexadecimal digits that are the same for the same failure in another run or checkout.

    Args:
        component: where it failed: `tool`, `llm`, ...
        name: the component's name; an index or an id in it does not count.
        category: one of `categories.CATEGORIES`.
        error_type: the exception's type, with or without its module.
        error: the text of the failure.
        call_site: `path.py:42`, perhaps followed by a function; only the file's own name and the function count.
    """
    parts = (
        component,
        _INDEX.sub("0", name or ""),
        category,
        (error_type or "").rpartition(".")[2],
        normal_words(error or ""),
        site(call_site),
    )
    return blake2b("\0".join(parts).encode(errors="replace"), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def normal_words(words: str) -> str:
    """Return the text of an error in lower case, without the parts that differ from run to run."""
    text = words[:_LONGEST]
    for pattern, replacement in _NOISE:
        text = pattern.sub(replacement, text)
    return text.strip().lower()


def site(call_site: str | None) -> str:
    """Return the file of a call site without folders and line, and the function, if there is one."""
    if not call_site:
        return ""
    return _LINE.sub("", call_site.replace("\\", "/")).rpartition("/")[2]
