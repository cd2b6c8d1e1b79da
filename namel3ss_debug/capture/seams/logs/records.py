"""One log record becomes one `log_record` event, whichever library it came from.

    {"event_type": "log_record", "component": "log", "component_name": "shop.checkout", "call_site": "shop.py:42",
     "metadata": {"level": "warning", "message": "no stock for A-17", "category": "agents", "extra": {"sku": "A-17"}}}

`level` is one of `LOG_LEVELS` (`traces.events`), or the program's own name in lower case. With an exception, the event
has `error`, `error_type` and `stack_trace`. It has a `category` only if the program passes one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.failures import to_failure

SEEN = threading.local()
"""The last record of this thread, as `record`, so that a handler does not record it a second time.

It is a weak reference, because a record may hold an exception, which holds all variables of the functions that it
passed.
"""

_OTHER_NAMES: Final = {
    "warn": "warning",
    "fatal": "critical",
    "exception": "error",
    "notset": "debug",
    "trace": "debug",
}


def level_of(name: str) -> str:
    """Return the level for a library's name of it. A name that is not in `traces.events.LOG_LEVELS` is lower-cased."""
    lower = name.lower()
    return _OTHER_NAMES.get(lower, lower)


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
    """Record one log record inside the current span. Does nothing while tracing is off.

    Args:
        message: the complete, formatted message.
        level: one of `traces.events.LOG_LEVELS`, or the program's own name.
        logger: the name of the logger.
        category: which log it belongs to: `agents learning interactions performance system errors events`.
        extra: a mapping of further data; any other value is put under `value`.
        error: the exception that is logged.
        call_site: `path.py:42`; taken from the running stack if left out.

    Returns:
        The id of the event, or "" if nothing was recorded.
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
    failure = {} if error is None else to_failure(error, tracer.payloads).fields()
    failure.pop("status", None)
    event_id = tracer.emit(
        "log_record",
        component="log",
        component_name=logger,
        metadata=metadata,
        call_site=call_site,
        **failure,
    )
    return event_id or ""
