"""`write` of the C library without releasing the GIL, and its errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

LibcWrite = Callable[[int, bytes, int], int]
"""Descriptor, data and its length -> bytes written, or -1."""


def libc_write() -> LibcWrite | None:
    """`write` of the C library, called without releasing the GIL; `None` where it cannot be loaded."""
    try:
        import ctypes  # noqa: PLC0415  (only programs with threads pay for it)

        function: Any = ctypes.PyDLL(None, use_errno=True).write
    except (ImportError, OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_ssize_t
    call: LibcWrite = function
    return call


def last_error() -> OSError:
    """The error of the last call of the C library in this thread."""
    import ctypes  # noqa: PLC0415  (only after such a call)

    return OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
