"""Name the line of code that reads something, so that an edited program is still recognised.

A read site is the line of the program's own code, and the library function that read, if it was one. Its key has no line
number, but the function and a checksum of the line's text, so that lines that are added above change nothing.
"""

from __future__ import annotations

import itertools
import linecache
import os
import zlib
from types import CodeType, FrameType

from namel3ss_debug.capture.core import typed_code
from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER

_IGNORED_LIBRARIES = ("http/cookiejar.py:",)
"""Libraries that read the clock to check whether something has expired, once for each answer of a server.

In a re-run their clock goes on from the last recorded value, so that the check has the same result.
"""

_TEST_RUNNERS = frozenset(
    {
        "_pytest",
        "pluggy",
        "xdist",
        "execnet",
        "coverage",
        "hypothesis",
        "freezegun",
        "time_machine",
        "unittest",
    }
)
_PLUGIN_PREFIX = "pytest"

_MOST_FRAMES = 60
_MOST_CACHED = 4096


class ReadSite:
    """A line of code that reads, and how often it has read; `over` if its reads are not kept, or no longer."""

    __slots__ = ("by_library", "call_site", "code", "is_written", "key", "number", "over", "stored")

    def __init__(self, number: int, key: str, call_site: str | None, by_library: bool) -> None:
        self.by_library = by_library
        self.number = str(number)  # its key in the trace
        self.key = key
        self.call_site = call_site
        self.stored = 0
        self.over = False
        self.is_written = False


class ReadSites:
    """Finds and numbers read sites.

    Args:
        sites: finds the user's own frames.
        in_test: whether a test runner runs the program in its own process. Then reads of the runner are ignored.
    """

    def __init__(self, sites: CallSites, *, in_test: bool = False) -> None:
        self._sites = sites
        self._in_test = in_test
        self._foreign = sites.foreign
        self._by_key: dict[str, ReadSite] = {}
        self._numbers = itertools.count()  # some are unused, where two threads create the same site
        # by instruction: sites that do not depend on the outer frames
        self._direct: dict[tuple[int, int], tuple[CodeType, ReadSite | None]] = {}
        # by the function of a library, and the program's instruction from which it is called
        self._reached: dict[tuple[int, int, int], tuple[CodeType, CodeType, ReadSite]] = {}
        # the names of library functions that read
        self._libraries: dict[int, tuple[CodeType, str]] = {}
        # the names of the program's lines, by instruction
        self._names: dict[tuple[int, int], tuple[CodeType, str]] = {}

    def at(self, frame: FrameType) -> ReadSite | None:
        """Return the site of what a frame reads; `None` if our own code reads, or what the user types at a stop.

        This is one long function, because a library reads the clock a dozen times for each call of a model.
        """
        if typed_code.THREADS and typed_code.is_running():
            return None
        code = frame.f_code
        library = self._libraries.get(id(code))
        if library is None or library[0] is not code:
            known = self._direct.get((id(code), frame.f_lasti))
            return known[1] if known is not None and known[0] is code else self._look_at(frame)
        foreign = self._foreign
        outer = frame.f_back
        for _ in range(_MOST_FRAMES):
            if outer is None:
                break
            user = outer.f_code
            if user.co_filename not in foreign:
                reached = id(code), id(user), outer.f_lasti
                known_below = self._reached.get(reached)
                if known_below is not None and known_below[0] is code and known_below[1] is user:
                    return known_below[2]
                if self._sites.shown(user.co_filename) is not None:
                    place = self._place(f"{self._name(outer)} {library[1]}", self._sites.at(outer))
                    if len(self._reached) >= _MOST_CACHED:
                        self._reached.clear()
                    self._reached[reached] = code, user, place
                    return place
            outer = outer.f_back
        return self._place(library[1], None)

    def _look_at(self, frame: FrameType) -> ReadSite | None:
        """Return the site of an instruction that has not read before, or whose library function has not."""
        code = frame.f_code
        place: ReadSite | None
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        is_runner = package in _TEST_RUNNERS or package.startswith(_PLUGIN_PREFIX)
        if code.co_filename.startswith(PACKAGE_FOLDER) or (self._in_test and is_runner):
            place = None
        elif (shown := self._sites.shown(code.co_filename)) is not None:
            place = self._place(self._name(frame), f"{shown}:{frame.f_lineno}", by_library=False)
        else:
            name = f"{_short_path(code.co_filename)}:{code.co_qualname}"
            if not name.startswith(_IGNORED_LIBRARIES):
                if len(self._libraries) >= _MOST_CACHED:
                    self._libraries.clear()
                self._libraries[id(code)] = code, name
                return self.at(frame)
            place = self._place(name, None)
            place.over = True
        if len(self._direct) >= _MOST_CACHED:
            self._direct.clear()
        self._direct[id(code), frame.f_lasti] = code, place
        return place

    def restart(self) -> None:
        """Forget every site, because files have other names from now on."""
        for known in (self._by_key, self._direct, self._reached, self._libraries, self._names):
            known.clear()

    def mark_unwritten(self) -> None:
        """Mark all sites as not written yet, in a process that was just forked."""
        for place in self._by_key.values():
            place.is_written = False

    def _name(self, frame: FrameType) -> str:
        """Return the name of a line of the user's code: file, function and a checksum of its text."""
        code = frame.f_code
        known = self._names.get((id(code), frame.f_lasti))
        if known is None or known[0] is not code:
            text = linecache.getline(code.co_filename, frame.f_lineno).strip()
            checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"))
            name = f"{self._sites.shown(code.co_filename)}:{code.co_qualname}#{checksum:08x}"
            if len(self._names) >= _MOST_CACHED:
                self._names.clear()
            known = self._names[id(code), frame.f_lasti] = code, name
        return known[1]

    def _place(self, key: str, call_site: str | None, *, by_library: bool = True) -> ReadSite:
        place = self._by_key.get(key)
        if place is None:
            made = ReadSite(next(self._numbers), key, call_site, by_library)
            place = self._by_key.setdefault(key, made)
        return place


def _short_path(filename: str) -> str:
    """Return the last two parts of a path: enough to identify the file of a library, wherever it is installed."""
    return "/".join(filename.split(os.sep)[-2:])
