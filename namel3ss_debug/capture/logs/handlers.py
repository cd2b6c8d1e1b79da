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
from namel3ss_debug.capture.tracer import ExecutionTracer

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_STRUCTLOG_FIELDS = frozenset(
    {"event", "level", "logger", "logger_name", "exc_info", "timestamp", "stack_info"}
)


def record_standard(record: logging.LogRecord, tracer: ExecutionTracer) -> None:
    """Put a record of the standard library into the recording; what is wrong with it is the program's to find."""
    try:
        message = record.getMessage()
    except Exception:
        message = f"{record.msg}"
    error = record.exc_info[1] if record.exc_info else None
    path = tracer.sites.shown(record.pathname)
    extra = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    category = extra.pop("category", None)
    record_log(
        message,
        level=level_of(record.levelname),
        logger=record.name,
        category=category if isinstance(category, str) else None,
        extra=extra,
        error=error,
        call_site="" if path is None else f"{path}:{record.lineno}",
    )


class TraceHandler(logging.Handler):
    """Puts the records of the loggers it is added to into the recording, as `log_record` events.

    A record that is recorded without a handler already is not recorded twice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record."""
        tracer = switch.ACTIVE
        if tracer is None or getattr(SEEN, "record", None) is record:
            return
        try:
            record_standard(record, tracer)
        except Exception:
            self.handleError(record)


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
    if switch.ACTIVE is not None:
        told = event_dict.get("exc_info")
        error = told[1] if isinstance(told, tuple) and len(told) > 1 else told
        name = event_dict.get("logger") or event_dict.get("logger_name") or getattr(logger, "name", None)
        category = event_dict.get("category")
        record_log(
            str(event_dict.get("event", "")),
            level=level_of(str(event_dict.get("level") or method_name)),
            logger=name if isinstance(name, str) else None,
            category=category if isinstance(category, str) else None,
            extra={
                key: value
                for key, value in event_dict.items()
                if key not in _STRUCTLOG_FIELDS and key != "category" and not key.startswith("_")
            },
            error=error if isinstance(error, BaseException) else _current_error(told),
        )
    return event_dict


def _current_error(wanted: object) -> BaseException | None:
    return sys.exc_info()[1] if wanted is True else None


def loguru_sink(message: Any) -> None:
    """A sink for loguru: `logger.add(loguru_sink)`."""
    tracer = switch.ACTIVE
    if tracer is None:
        return
    record = message.record
    path = tracer.sites.shown(record["file"].path)
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
        call_site="" if path is None else f"{path}:{record['line']}",
    )
