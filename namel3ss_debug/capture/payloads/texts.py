"""Texts that JSON can represent, without secrets, and cut if they are too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.payloads.introspection import full_name, is_from_signal, remove_addresses
from namel3ss_debug.traces.redaction.redactor import Redactor

TEXT_LIMIT = 16384
"""The most characters kept of an object's `repr` or `str`."""

_LONGEST_READ = 4 * TEXT_LIMIT

_MARGIN = 4096
"""How many characters beyond a cut are searched for secrets, so that no part of a secret is kept."""


def clean(text: str, redactor: Redactor | None) -> str:
    r"""Return a text without secrets. Halves of surrogate pairs, which UTF-8 cannot encode, become `\udc80`."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode()
    return redactor.text(text) if redactor else text


def take_start(text: str, redactor: Redactor | None, size: int) -> str:
    """Return the first `size` bytes of a text. Only a little more of it is read."""
    window = text[: size + _MARGIN]
    cleaned = clean(window, redactor)
    if len(window) < len(text):
        cleaned = cleaned[: max(0, len(cleaned) - _MARGIN)]
    cleaned = cleaned[:size]
    return cleaned if cleaned.isascii() else cleaned.encode()[:size].decode("utf-8", "ignore")


def shorten(text: str, redactor: Redactor | None, size: int) -> str:
    """Return a text of at most about `size` characters, without its middle if it is longer.

    The end stays because that is where a traceback names the error.
    """
    if len(text) <= size:
        return clean(text, redactor)
    half = size // 2
    window = text[-(half + _MARGIN) :]
    cleaned = clean(window, redactor)
    if len(window) < len(text):
        cleaned = cleaned[_MARGIN:]
    head, tail = take_start(text, redactor, half), cleaned[-half:] if half else ""
    return f"{head}\n… {len(text) - len(head) - len(tail)} characters left out …\n{tail}"


def format_value(value: Any, to_text: Callable[[Any], str]) -> str:
    """Return the `repr` or `str` of a value. Raises nothing but what a signal raises.

    Memory addresses are left out: they differ from run to run.
    """
    try:
        return remove_addresses(str.__str__(to_text(value))[:_LONGEST_READ])
    except BaseException as error:
        if is_from_signal(error):
            raise
        return f"<{full_name(type(value))}, whose {to_text.__name__} raised {full_name(type(error))}>"
