"""Count what the program reads from its files and writes to them, at the level `comprehensive`.

One event for each opening, when the file is closed:

    {"event_type": "file_access", "component": "file", "component_name": "notes.txt", "call_site": "app.py:12",
     "metadata": {"mode": "r", "bytes_read": 4711, "bytes_written": 0, "reads": 2, "writes": 0, "io_ms": 0.021}}

The original `open` opens the file. Then methods in the dict of its raw file, which is below the buffer, count the calls of
the system: `io` looks up `readinto`, `readall` and `write` there by name. So every object has the type that the program
expects. A file without a buffer is not followed: these methods refer to it, so it would close only at a garbage collection.
"""

from __future__ import annotations

import _io
import builtins
import io
import os
import stat
import sys
import warnings
import weakref
from collections.abc import Callable
from sys import _getframe as frame_at
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import wrapt

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.traces.clocks import perf_counter_ns

if TYPE_CHECKING:
    _Proxy = wrapt.CallableObjectProxy[Any]
else:
    _Proxy = wrapt.CallableObjectProxy  # in version 1 it takes no parameters

EVENT_TYPE: Final = "file_access"
COMPONENT: Final = "file"

_STANDARD_LIBRARY: Final = (os.path.dirname(os.__file__) + os.sep, "<frozen ")
_READS: Final = ("readinto", "read", "readall")
_NOT_BUFFERED_BY_LINE: Final = (
    "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
)


class FileAccess:
    """What happened to one opened file.

    Attributes:
        name: the path as the program named it.
        mode: the mode in which it was opened.
        parent: the span in which it was opened.
        call_site: the line that opened it.
        bytes_read, bytes_written: how much the system moved.
        reads, writes: how many calls of the system did so.
        io_ns: how long these calls took.
    """

    __slots__ = (
        *("bytes_read", "bytes_written", "call_site", "io_ns", "mode", "name", "parent", "reads", "writes"),
    )

    def __init__(self, name: str, mode: str, parent: context.SpanLike | None, call_site: str | None) -> None:
        self.name = name
        self.mode = mode
        self.parent = parent
        self.call_site = call_site
        self.bytes_read = self.bytes_written = self.reads = self.writes = self.io_ns = 0

    def to_metadata(self) -> dict[str, Any]:
        """Return the counts as the metadata of the event."""
        return {
            "mode": self.mode,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "reads": self.reads,
            "writes": self.writes,
            "io_ms": self.io_ns / 1e6,
        }


class FileAccesses:
    """Writes the events of a process.

    Args:
        tracer: the tracer of this process.
        skipped: the beginnings of the paths of our own files.
    """

    def __init__(self, tracer: ExecutionTracer, skipped: tuple[str, ...]) -> None:
        self._tracer = tracer
        self._skipped = skipped
        self._open: dict[FileAccess, None] = {}
        self._ended = False

    def follow(self, opened: Any) -> None:
        """Count the accesses to a file that was just opened, if it is one of the program's; never raises."""
        tracer = self._tracer
        if self._ended or (tracer.components and COMPONENT not in tracer.components):
            return
        began = perf_counter_ns()
        try:
            buffered = getattr(opened, "buffer", opened)
            raw = getattr(buffered, "raw", None)
            # Descriptors have no path. A class of another library may depend on its own methods.
            if type(raw) is not io.FileIO or not isinstance(raw.name, str | bytes):
                return
            path = opened_files.find_followed(raw.name)
            if (
                path is None
                or path.startswith(self._skipped)
                or opened_files.is_busy()
                or _is_ours(frame_at(2))
            ):
                return
            if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                return
            span = context.current()
            parent = None if span is None else context.Remote(span.event_id)
            if parent is not None and span is not None:
                parent.session_id = span.session_id  # the span itself would keep its payloads in memory
            access = FileAccess(os.fsdecode(raw.name), str(opened.mode), parent, tracer.sites.find(2))
            self._open[access] = None
            _count_calls(buffered, raw, access, self._closed)
        except Exception as error:
            tracer.problem("the accesses to a file are not recorded", error)
        finally:
            tracer.tracing_ns += perf_counter_ns() - began

    def finish(self) -> None:
        """Write the events of the files that are still open at the end of the process."""
        self._ended = True
        for access in list(self._open):
            self._closed(access, None)

    def renew(self) -> None:
        """Leave the files that were open at a fork to the parent process."""
        self._open.clear()

    def stop(self) -> None:
        """Follow no file any more: the program may have kept our `open`, and followed files."""
        self._ended = True
        self._open.clear()

    def _closed(self, access: FileAccess, name: Any) -> None:
        """Write the event of a file, once; never raises.

        Args:
            access: what happened to it.
            name: its name at the end: `tempfile` sets it after opening. None: as it was.
        """
        if self._open.pop(access, self) is self:  # a forked process inherited it, or the trace has ended
            return
        tracer = self._tracer
        began = perf_counter_ns()
        try:
            shown = os.fsdecode(name) if isinstance(name, str | bytes) else access.name
            shown = tracer.payloads.text(shown.encode("utf-8", "replace").decode())
            event = tracer.base(EVENT_TYPE, COMPONENT, shown, access.parent)
            event["metadata"] = access.to_metadata() | ({"open": True} if self._ended else {})
            if access.call_site:
                event["call_site"] = access.call_site
            tracer.writer.append(event)
        except Exception as error:
            tracer.problem("the accesses to a file are not recorded", error)
        finally:
            tracer.tracing_ns += perf_counter_ns() - began


def _is_ours(frame: FrameType | None) -> bool:
    """Return whether our own code opens a file, perhaps by a function of the standard library."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE_FOLDER):
            return True
        if not file.startswith(_STANDARD_LIBRARY) or opened_files.is_in_package(file):
            return False
        frame = frame.f_back
    return False


def _counting(call: Callable[..., Any], access: FileAccess, *, writes: bool) -> Callable[..., Any]:
    """Return a function that calls a method of a raw file, and counts the call."""

    def counted(*args: Any) -> Any:
        began = perf_counter_ns()
        try:
            done = call(*args)
        except BaseException as error:
            access.io_ns += perf_counter_ns() - began
            hide_own_frame(error)
            raise
        access.io_ns += perf_counter_ns() - began
        moved = done if isinstance(done, int) else len(done or b"")  # None: it would block
        if writes:
            access.writes += 1
            access.bytes_written += moved
        else:
            access.reads += 1
            access.bytes_read += moved
        return done

    return counted


def _count_calls(
    buffered: Any, raw: Any, access: FileAccess, closed: Callable[[FileAccess, Any], None]
) -> None:
    """Put methods that count into the dict of a raw file, until it is closed or its buffer is gone.

    Meanwhile the raw file refers to itself. Its buffer does not, so a forgotten file is closed as soon as without this.
    """
    attributes: dict[str, Any] = raw.__dict__
    close_file = raw.close
    buffer: weakref.ref[Any] | None = None

    def close() -> None:
        try:
            try:
                if raw._finalizing:  # the garbage collector begins with the raw file
                    # `io` would report this line as that which lost the file.
                    raw._finalizing = False
                    warnings.warn(f"unclosed file {raw!r}", ResourceWarning, stacklevel=2, source=raw)
            finally:
                close_file()
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            stop()

    def stop() -> None:
        nonlocal buffer
        buffer = None
        for name, method in methods.items():
            if attributes.get(name) is method:
                del attributes[name]
        methods.clear()
        closed(access, raw.name)

    methods = {
        name: _counting(getattr(raw, name), access, writes=name == "write") for name in (*_READS, "write")
    }
    methods["close"] = close
    attributes |= methods
    # A file that was taken from its buffer by `detach` outlives it.
    buffer = weakref.ref(buffered, lambda _: stop())


class FollowedOpen(_Proxy):
    """`open`, whose files are followed. It is no function, which would become a method as the attribute of a class."""

    _self_follow: Callable[[Any], None]

    def __init__(self, original: Callable[..., Any], follow: Callable[[Any], None]) -> None:
        super().__init__(original)
        self._self_follow = follow

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Open a file as the original does."""
        try:
            if (args[2:3] == (1,) or kwargs.get("buffering") == 1) and _warns_of_lines(args, kwargs):
                # The original would report this line as that of the program.
                warnings.warn(_NOT_BUFFERED_BY_LINE, RuntimeWarning, stacklevel=2)
                args, kwargs = args[:2], {**kwargs, "buffering": -1}
            opened = self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        self._self_follow(opened)
        return opened

    def __repr__(self) -> str:
        """Return what the original prints as."""
        return repr(self.__wrapped__)

    def __reduce__(self) -> Any:
        """Return the name by which it is pickled."""
        return self.__wrapped__.__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return the name by which it is pickled."""
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> FollowedOpen:
        """Return itself, as a copy of a built-in function is."""
        return self

    def __deepcopy__(self, memo: Any) -> FollowedOpen:
        """Return itself, as a copy of a built-in function is."""
        return self


def _warns_of_lines(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether these arguments of `open` ask for lines of bytes, and nothing that is an error."""
    named = dict(zip(("file", "mode", "buffering"), args, strict=False))
    if len(args) > len(named) or named.keys() & kwargs.keys():
        return False
    named |= kwargs
    mode = named.get("mode")
    return (
        "file" in named
        and named.keys() <= {"file", "mode", "buffering", "closefd", "opener"}
        and isinstance(mode, str)
        and len(set(mode)) == len(mode)
        and set(mode) <= set("rwaxb+")
        and len(set(mode) & set("rwax")) == 1
        and "b" in mode
    )


def install(tracer: ExecutionTracer) -> tuple[Callable[[], None], Undo]:
    """Follow the files that the program opens.

    Returns:
        What a forked process calls, and a function that restores `open`.
    """
    accesses = FileAccesses(tracer, opened_files.find_own_files(tracer.writer.first))
    if sys.flags.warn_default_encoding:
        # `open` then warns where it is called, and that would be here.
        return accesses.renew, lambda: None
    original = _io.open
    ours = FollowedOpen(original, accesses.follow)
    # All names are one object, which pickle requires.
    changed = [module for module in (builtins, io, _io) if vars(module)["open"] is original]
    for module in changed:
        vars(module)["open"] = ours
    tracer.at_end.append(accesses.finish)

    def put_back() -> None:
        accesses.stop()
        for module in changed:
            if vars(module)["open"] is ours:
                vars(module)["open"] = original

    return accesses.renew, put_back
