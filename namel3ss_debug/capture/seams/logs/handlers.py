"""Handlers for a program's own logging, so that records are added to the trace: for `logging`, structlog and loguru.

Records of the standard library are recorded without a handler unless the setting `log_level` is `off` (see
`following`). With `off`, a `TraceHandler` records single loggers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

from namel3ss_debug.capture.core import context, switch
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.payloads.texts import format_value
from namel3ss_debug.capture.seams.logs.records import SEEN, level_of, record_log

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_STRUCTLOG_FIELDS = frozenset(
    {"event", "level", "logger", "logger_name", "category", "exc_info", "timestamp", "stack_info"}
)
UNRECORDED = "a log record could not be recorded"
"""The problem that is reported for a record so broken that nothing of it could be recorded."""


def record_standard(record: logging.LogRecord, tracer: ExecutionTracer) -> None:
    """Record a record of the standard library, even if it is malformed.

    A member of the wrong type is recorded as well as possible. A record may be so broken that this raises.
    """
    try:
        message = record.getMessage()
    except Exception:
        message = format_value(record.msg, str)
    name: object = record.levelname
    extra = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    category = extra.pop("category", None)
    record_log(
        message,
        level=level_of(name if isinstance(name, str) else logging.getLevelName(record.levelno)),
        logger=record.name,
        category=category if isinstance(category, str) else None,
        extra=extra,
        error=_exception_of(record.exc_info),
        call_site=_format_site(tracer, record.pathname, record.lineno),
    )


def _exception_of(exc_info: object) -> BaseException | None:
    """Return the exception of an `exc_info` in any of its forms."""
    if exc_info is True:
        return sys.exc_info()[1]
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1] if len(exc_info) > 1 else None
    return exc_info if isinstance(exc_info, BaseException) else None


def _format_site(tracer: ExecutionTracer, path: object, line: object) -> str:
    """Return `path.py:42`, or "" if that is not the user's own code or not a file and a line."""
    name = tracer.sites.shown(path) if isinstance(path, str) and isinstance(line, int) else None
    return "" if name is None else f"{name}:{line}"


class TraceHandler(logging.Handler):
    """Adds the records of its loggers to the trace, as `log_record` events.

    A record that was recorded without a handler is not recorded a second time.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record."""
        tracer = switch.ACTIVE
        seen = getattr(SEEN, "record", None)  # missing in a thread that has not logged yet
        if tracer is None or (seen is not None and seen() is record):
            return
        try:
            record_standard(record, tracer)
        except Exception as error:
            tracer.problem(UNRECORDED, error)


class CorrelationFilter(logging.Filter):
    """Adds `execution_id`, `event_id` and `session_id` to every record, for the program's own logs.

    They are empty while nothing is recorded. `event_id` is the id of the current span, which `debug inspect --event`
    accepts.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, and add the ids to it."""
        tracer, span = switch.ACTIVE, context.current()
        record.execution_id = "" if tracer is None else tracer.execution_id
        record.event_id = "" if span is None else span.event_id
        session = None if span is None else span.session_id
        record.session_id = session or ("" if tracer is None else tracer.session_id or "")
        return True


def structlog_processor(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Record each event of structlog, and pass it on unchanged.

    Put this processor before the renderer. It is not needed if structlog writes through the standard `logging`, which
    is recorded anyway.
    """
    tracer = switch.ACTIVE
    if tracer is not None:
        try:
            _record_structlog(logger, method_name, event_dict)
        except Exception as error:
            tracer.problem(UNRECORDED, error)
    return event_dict


def _record_structlog(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> None:
    event = event_dict.get("event", "")
    name = event_dict.get("logger") or event_dict.get("logger_name") or getattr(logger, "name", None)
    category = event_dict.get("category")
    record_log(
        event if type(event) is str else format_value(event, str),
        level=level_of(str(event_dict.get("level") or method_name)),
        logger=name if isinstance(name, str) else None,
        category=category if isinstance(category, str) else None,
        extra={
            key: value
            for key, value in event_dict.items()
            if key not in _STRUCTLOG_FIELDS and not (isinstance(key, str) and key.startswith("_"))  # internal
        },
        error=_exception_of(event_dict.get("exc_info")),
    )


def loguru_sink(message: Any) -> None:
    """Record a message of loguru. Add it with `logger.add(loguru_sink)`."""
    tracer = switch.ACTIVE
    if tracer is not None:
        try:
            _record_loguru(message.record, tracer)
        except Exception as error:
            tracer.problem(UNRECORDED, error)


def _record_loguru(record: Any, tracer: ExecutionTracer) -> None:
    extra = dict(record["extra"])
    category = extra.pop("category", None)
    exception = record["exception"]
    record_log(
        record["message"],
        level=level_of(record["level"].name),
        logger=record["name"],
        category=category if isinstance(category, str) else None,
        extra=extra,
        error=None if exception is None else exception.value,
        call_site=_format_site(tracer, record["file"].path, record["line"]),
    )
