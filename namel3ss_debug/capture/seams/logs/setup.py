"""Sets up the program's own logging in one call, so that its lines can be matched with the trace."""

from __future__ import annotations

import atexit
import logging
from pathlib import Path
from typing import IO

from namel3ss_debug.capture.seams.logs import files
from namel3ss_debug.capture.seams.logs.handlers import CorrelationFilter
from namel3ss_debug.errors import WrongUsageError

PLAIN = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
CORRELATED = "%(asctime)s %(levelname)-8s %(name)s [%(execution_id)s/%(event_id)s]: %(message)s"


def setup_logging(
    level: str | int = "info",
    *,
    file: str | Path | None = None,
    stream: IO[str] | None = None,
    correlate: bool = False,
    directory: str | Path | None = None,
) -> logging.Handler:
    """Give the root logger a handler that writes one line for each record, or log files as JSON lines.

    Args:
        level: the lowest level for the root logger: a name, or a number such as `logging.INFO`.
        file: the file to append to; the stream if left out.
        stream: the stream to write to without a file; stderr if left out.
        correlate: whether to add the ids of the execution and of the span to each line.
        directory: write a tree of log files here in place of lines: `agents/ learning/ interactions/ performance/
            system/ errors/ events/` and `session_YYYYMMDD_HHMMSS/`, rotated by size (`files.FOLDERS`). The loggers and
            decorators of this package write there as well, also while tracing is off.

    Returns:
        The handler, for `logging.getLogger().removeHandler(...)`.

    Raises:
        WrongUsageError: there is no level with this name, or the directory cannot be made.
    """
    number = level if isinstance(level, int) else logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        names = ", ".join(name.lower() for name in logging.getLevelNamesMapping() if name != "NOTSET")
        raise WrongUsageError(f"there is no log level {level!r}; there are {names}")
    handler: logging.Handler
    if directory is not None:
        try:
            if files.ACTIVE is not None:
                files.ACTIVE.close()
            files.ACTIVE = files.LogFiles(Path(directory))
            atexit.register(files.ACTIVE.close)
            handler = files.LogFileHandler()
        except OSError as error:
            raise WrongUsageError(
                f"cannot make {directory}: {error.strerror}; name another directory"
            ) from error
    else:
        handler = (
            logging.StreamHandler(stream) if file is None else logging.FileHandler(file, encoding="utf-8")
        )
    handler.setFormatter(logging.Formatter(CORRELATED if correlate else PLAIN))
    if correlate:
        handler.addFilter(CorrelationFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(number)
    return handler
