"""One log record becomes one `log_record` event, whichever library it came from.

    {"event_type": "log_record", "component": "log", "component_name": "shop.checkout", "call_site": "shop.py:42",
     "metadata": {"level": "warning", "message": "no stock for A-17", "category": "agents", "extra": {"sku": "A-17"}}}

`level` is one of `LOG_LEVELS` (`traces.events`), or the program's own word in small letters. With an exception the
event has `error`, `error_type` and `stack_trace`. `category` is only there where the program says one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.failures import describe

_SPELT: Final = {
    "warn": "warning",
    "fatal": "critical",
    "exception": "error",
    "notset": "debug",
    "trace": "debug",
}


def level_of(name: str) -> str:
    """The level that a library calls so; a word that is none of `traces.events.LOG_LEVELS` stays, in small letters."""
    lower = name.lower()
    return _SPELT.get(lower, lower)


def record_log(
    message: str,
    *,
    level: str,
    logger: str | None,
    category: str | None = None,
    extra: object = None,
    error: BaseException | None = None,
    call_site: str | None = None,
) -> str:
    """Record one log record inside the current span; does nothing while tracing is off.

    Args:
        message: its words, complete.
        level: one of `traces.events.LOG_LEVELS`, or the program's own.
        logger: the name of the logger.
        category: which log it belongs to: `agents learning interactions performance system errors events`.
        extra: what else the program says, a mapping; anything else stands under `value`.
        error: the exception that is logged.
        call_site: `path.py:42`; found in the running stack if left out.

    Returns:
        The id of the event; empty where nothing was recorded.
    """
    tracer = switch.ACTIVE
    if tracer is None:
        return ""
    metadata: dict[str, Any] = {"level": level, "message": message}
    if category is not None:
        metadata["category"] = category
    if isinstance(extra, Mapping) and extra:
        metadata["extra"] = dict(extra)
    elif not isinstance(extra, Mapping | None):
        metadata["extra"] = {"value": extra}
    failure = {} if error is None else describe(error, tracer.payloads).fields()
    failure.pop("status", None)
    found = tracer.emit(
        "log_record",
        component="log",
        component_name=logger,
        metadata=metadata,
        call_site=call_site,
        **failure,
    )
    return found or ""
