"""Recognise exceptions of the program's signal handlers that interrupt the tracer: they belong to the program."""

from __future__ import annotations

import sys
from functools import partial
from types import CodeType
from typing import Any


def is_from_signal_handler(error: BaseException) -> bool:
    """Return whether a signal handler has raised this, as handlers of timeouts do.

    Then nothing has gone wrong in the code that it interrupted.
    """
    signals: Any = sys.modules.get("signal")
    if signals is None:  # without the module, no handler can have been set
        return False
    handlers = {_code_of(signals.getsignal(number)) for number in signals.valid_signals()}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """Return the code of a handler: a function, a method, a partial of one or a callable object; `None` for one in C."""
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = vars(type(handler)).get("__call__")
    return getattr(function, "__code__", None)
