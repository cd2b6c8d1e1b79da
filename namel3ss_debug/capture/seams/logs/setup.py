"""Sets up the program's own logging in one call, so that its lines can be matched with the trace."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO

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
) -> logging.Handler:
    """Give the root logger a handler that writes one line for each record.

    Args:
        level: the lowest level for the root logger: a name, or a number such as `logging.INFO`.
        file: the file to append to; the stream if left out.
        stream: the stream to write to without a file; stderr if left out.
        correlate: whether to add the ids of the execution and of the span to each line.

    Returns:
        The handler, for `logging.getLogger().removeHandler(...)`.

    Raises:
        WrongUsageError: there is no level with this name.
    """
    number = level if isinstance(level, int) else logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        names = ", ".join(name.lower() for name in logging.getLevelNamesMapping() if name != "NOTSET")
        raise WrongUsageError(f"there is no log level {level!r}; there are {names}")
    handler = logging.StreamHandler(stream) if file is None else logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(CORRELATED if correlate else PLAIN))
    if correlate:
        handler.addFilter(CorrelationFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(number)
    return handler
