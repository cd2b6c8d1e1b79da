"""What a program puts into its own logging, so that records reach the recording: for `logging`, structlog and loguru.

Records of the standard library come there without it, unless the setting `log_level` is `off` (`following`): a
`TraceHandler` is for some loggers alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

from namel3ss_debug.capture import context, switch
from namel3ss_debug.capture.logs.following import SEEN
from namel3ss_debug.capture.logs.records import level_of, record_log
from namel3ss_debug.capture.payloads.texts import format_value
from namel3ss_debug.capture.tracer import ExecutionTracer

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_STRUCTLOG_FIELDS = frozenset(
    {"event", "level", "logger", "logger_name", "exc_info", "timestamp", "stack_info"}
)
UNRECORDED = "a log record could not be recorded"
"""The problem that is told of a record so broken that nothing of it could be recorded."""


def record_standard(record: logging.LogRecord, tracer: ExecutionTracer) -> None:
    """Put a record of the standard library into the recording; what is wrong with it is the program's to find.

    A member that is not what it should be is told as well as it can be; a record may be so broken that this raises.
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
        error=_error(record.exc_info),
        call_site=_site(tracer, record.pathname, record.lineno),
    )


def _error(told: object) -> BaseException | None:
    """The exception of an `exc_info`, in any of the forms that a record may have it in."""
    if told is True:
        return sys.exc_info()[1]
    if isinstance(told, tuple):
        told = told[1] if len(told) > 1 else None
    return told if isinstance(told, BaseException) else None


def _site(tracer: ExecutionTracer, path: object, line: object) -> str:
    """`path.py:42`; empty where that is not the user's own code, or no file and line."""
    shown = tracer.sites.shown(path) if isinstance(path, str) and isinstance(line, int) else None
    return "" if shown is None else f"{shown}:{line}"


def _nothing() -> None:
    """What was logged before anything was."""


class TraceHandler(logging.Handler):
    """Puts the records of the loggers it is added to into the recording, as `log_record` events.

    A record that is recorded without a handler already is not recorded twice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record."""
        tracer = switch.ACTIVE
        if tracer is None or getattr(SEEN, "record", _nothing)() is record:
            return
        try:
            record_standard(record, tracer)
        except Exception as error:
            tracer.problem(UNRECORDED, error)


class CorrelationFilter(logging.Filter):
    """Gives every record `execution_id`, `event_id` and `session_id` of where it was made, for the program's own logs.

    They are empty while nothing is recorded. `event_id` is that of the span the record was made in, which
    `debug inspect --event` takes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, with its ids."""
        tracer, inside = switch.ACTIVE, context.current()
        record.execution_id = "" if tracer is None else tracer.execution_id
        record.event_id = "" if inside is None else inside.event_id
        session = None if inside is None else inside.session_id
        record.session_id = session or ("" if tracer is None else tracer.session_id or "")
        return True


def structlog_processor(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor for structlog that records each event and hands it on as it is.

    Put it before the renderer. Where structlog writes through the standard `logging`, which is recorded anyway, it is
    not needed.
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
        extra={key: value for key, value in event_dict.items() if not _is_known(key)},
        error=_error(event_dict.get("exc_info")),
    )


def _is_known(key: object) -> bool:
    """Whether what stands under a key of a structlog event is recorded in another place, or is structlog's own."""
    return key in _STRUCTLOG_FIELDS or key == "category" or (isinstance(key, str) and key.startswith("_"))


def loguru_sink(message: Any) -> None:
    """A sink for loguru: `logger.add(loguru_sink)`."""
    tracer = switch.ACTIVE
    if tracer is not None:
        try:
            _record_loguru(message.record, tracer)
        except Exception as error:
            tracer.problem(UNRECORDED, error)


def _record_loguru(record: Any, tracer: ExecutionTracer) -> None:
    extra = dict(record["extra"])
    category = extra.pop("category", None)
    caught = record["exception"]
    record_log(
        record["message"],
        level=level_of(record["level"].name),
        logger=record["name"],
        category=category if isinstance(category, str) else None,
        extra=extra,
        error=None if caught is None else caught.value,
        call_site=_site(tracer, record["file"].path, record["line"]),
    )
