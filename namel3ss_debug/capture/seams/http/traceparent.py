"""Write and read the position of an event as a `traceparent` of W3C Trace Context.

    00-0000000000000000c0ffee0123456789-0000020000000007-01

The trace id is the execution id with zeros before it. The parent id is the event id as a number: the process in its
first 24 bits, the number after the point in the other 40, so that `p2.7` is process 2, event 7. Both can be read back,
so no second header is needed. A trace id without the zeros belongs to another tracing system.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from namel3ss_debug.late_patterns import compile_late

HEADER: Final = "traceparent"

_NUMBER_BITS = 40
_PROCESSES = 1 << 24
_EVENT_ID = compile_late(r"(?:p(?P<process>[1-9]\d{0,7})\.)?(?P<number>[1-9]\d{0,12})\Z", re.ASCII)
_EXECUTION_ID = compile_late(r"[0-9a-f]{16}\Z")
_ZEROS = "0" * 16
_FORM = compile_late(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?\Z"
)


class TraceParent(NamedTuple):
    """The two ids in a `traceparent`, in hexadecimal digits."""

    trace_id: str
    span_id: str

    @property
    def execution_id(self) -> str | None:
        """The execution id, if the trace id can be one of ours."""
        return self.trace_id[16:] if self.trace_id.startswith(_ZEROS) else None

    @property
    def event_id(self) -> str | None:
        """The event id, if the trace id can be one of ours."""
        process, number = divmod(int(self.span_id, 16), 1 << _NUMBER_BITS)
        if self.execution_id is None or not number:
            return None
        return f"p{process}.{number}" if process else str(number)

    def to_json(self) -> dict[str, str]:
        """Return the form of the trace."""
        execution, event = self.execution_id, self.event_id
        if execution is None or event is None:
            return {"trace_id": self.trace_id, "span_id": self.span_id}
        return {"execution_id": execution, "event_id": event}


def write(execution_id: str, event_id: str) -> str | None:
    """Return the `traceparent` of an event, or None if one of the ids is not in our form."""
    found = _EVENT_ID.match(event_id)
    if found is None or not _EXECUTION_ID.match(execution_id) or execution_id == _ZEROS:
        return None
    process, number = int(found["process"] or 0), int(found["number"])
    if process >= _PROCESSES or number >= 1 << _NUMBER_BITS:
        return None
    return f"00-{_ZEROS}{execution_id}-{process << _NUMBER_BITS | number:016x}-01"


def read(text: str) -> TraceParent | None:
    """Read a `traceparent`; return None if the standard does not allow it."""
    found = _FORM.match(text.strip())
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not int(found["trace"], 16) or not int(found["span"], 16):
        return None
    return TraceParent(found["trace"], found["span"])


Headers = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers in the forms of servers: a mapping or pairs, in text or bytes, or the environment of WSGI."""


def read_headers(headers: Headers) -> TraceParent | None:
    """Read the `traceparent` among headers; return None if there is none, or more than one."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    names = (HEADER, f"http_{HEADER}")
    found = [_text(value) for name, value in pairs if _text(name).lower() in names]
    return read(found[0]) if len(found) == 1 else None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
