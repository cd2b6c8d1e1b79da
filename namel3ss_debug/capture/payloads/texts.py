"""Texts that JSON can hold, without secrets, and cut where they are too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.payloads.looks import from_signal, full_name, without_address
from namel3ss_debug.traces.redaction import Redactor

TEXT_LIMIT = 16384
"""The most characters kept of what an object says of itself."""

_MOST = 4 * TEXT_LIMIT

_MARGIN = 4096
"""How much farther than the cut is looked for secrets, so that none is cut in two and its rest kept."""


def clean(text: str, redactor: Redactor | None) -> str:
    r"""A text without secrets; halves of surrogate pairs, which UTF-8 cannot hold, become `\udc80`."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode()
    return redactor.text(text) if redactor else text


def start(text: str, redactor: Redactor | None, size: int) -> str:
    """The first `size` bytes of a text; only a little more of it is read."""
    window = text[: size + _MARGIN]
    cleaned = clean(window, redactor)
    if len(window) < len(text):
        cleaned = cleaned[: max(0, len(cleaned) - _MARGIN)]
    cleaned = cleaned[:size]
    return cleaned if cleaned.isascii() else cleaned.encode()[:size].decode("utf-8", "ignore")


def ends(text: str, redactor: Redactor | None, size: int) -> str:
    """A text of at most about `size` characters: where it is longer, its middle is left out.

    The end stays because that is where a traceback says what went wrong.
    """
    if len(text) <= size:
        return clean(text, redactor)
    half = size // 2
    window = text[-(half + _MARGIN) :]
    cleaned = clean(window, redactor)
    if len(window) < len(text):
        cleaned = cleaned[_MARGIN:]
    head, tail = start(text, redactor, half), cleaned[-half:] if half else ""
    return f"{head}\n… {len(text) - len(head) - len(tail)} characters left out …\n{tail}"


def printed(value: Any, ask: Callable[[Any], str]) -> str:
    """What a value says of itself when asked by `repr` or `str`; never raises but for a signal.

    Memory addresses are left out: they differ from run to run.
    """
    try:
        return without_address(str.__str__(ask(value))[:_MOST])
    except BaseException as error:
        if from_signal(error):
            raise
        return f"<{full_name(type(value))}, whose {ask.__name__} raised {full_name(type(error))}>"
