"""Where in the program something was read: named so that an edited program is still recognised.

A place is where the program's own code stands, and the library function that read, if it was one. Its key holds no line
numbers, but the function and a checksum of the line's text, so lines that are added above change nothing.
"""

from __future__ import annotations

import itertools
import linecache
import os
import zlib
from types import CodeType, FrameType

from namel3ss_debug.capture.callsite import CallSites

_OWN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_NOT_KEPT = ("http/cookiejar.py:",)
"""Libraries that read the clock to know whether something has expired, once for each answer of a server.

A re-run moves their clock on from what it was served last, so what had not expired then has not now.
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
_PLUGINS = "pytest"
"""How the names of the plugins of pytest begin."""

_MOST_FRAMES = 60
_REMEMBERED = 4096


class Place:
    """A place in the code, and how much it has read; `over` where its reads are not kept, or no longer."""

    __slots__ = ("by_library", "call_site", "code", "key", "known", "number", "over", "stored")

    def __init__(self, number: int, key: str, call_site: str | None, by_library: bool) -> None:
        self.by_library = by_library
        self.number = str(number)  # as it stands in the recording
        self.key = key
        self.call_site = call_site
        self.stored = 0
        self.over = False
        self.known = False


class Places:
    """Finds and numbers places.

    Args:
        sites: finds the user's own frames.
        in_test: whether a test runner runs the program in its own process. Then the runner's reads have no place.
    """

    def __init__(self, sites: CallSites, *, in_test: bool = False) -> None:
        self._sites = sites
        self._in_test = in_test
        self._foreign = sites.foreign
        self._by_key: dict[str, Place] = {}
        self._numbers = itertools.count()  # some are left out, where two threads make the same place
        # by the instruction, of frames that need no look at those around them
        self._direct: dict[tuple[int, int], tuple[CodeType, Place | None]] = {}
        # by the function of a library, and the instruction of the program's that it runs below
        self._reached: dict[tuple[int, int, int], tuple[CodeType, CodeType, Place]] = {}
        # the functions of libraries that read, as they are named
        self._libraries: dict[int, tuple[CodeType, str]] = {}
        # the instructions of the program's that were reached, as their lines are named
        self._names: dict[tuple[int, int], tuple[CodeType, str]] = {}

    def at(self, frame: FrameType) -> Place | None:
        """The place of what a frame reads; `None` where our own code reads.

        A library reads the clock a dozen times for a call of a model, so all that is done for one is in this function.
        """
        code = frame.f_code
        library = self._libraries.get(id(code))
        if library is None or library[0] is not code:
            known = self._direct.get((id(code), frame.f_lasti))
            return known[1] if known is not None and known[0] is code else self._first(frame)
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
                    if len(self._reached) >= _REMEMBERED:
                        self._reached.clear()
                    self._reached[reached] = code, user, place
                    return place
            outer = outer.f_back
        return self._place(library[1], None)

    def _first(self, frame: FrameType) -> Place | None:
        """The same, of an instruction that has not read before, or whose function has not, where that is a library's."""
        code = frame.f_code
        place: Place | None
        if code.co_filename.startswith(_OWN) or (self._in_test and _is_of_test_runner(frame)):
            place = None
        elif (shown := self._sites.shown(code.co_filename)) is not None:
            place = self._place(self._name(frame), f"{shown}:{frame.f_lineno}", by_library=False)
        else:
            name = f"{_tail(code.co_filename)}:{code.co_qualname}"
            if not name.startswith(_NOT_KEPT):
                if len(self._libraries) >= _REMEMBERED:
                    self._libraries.clear()
                self._libraries[id(code)] = code, name
                return self.at(frame)
            place = self._place(name, None)
            place.over = True
        if len(self._direct) >= _REMEMBERED:
            self._direct.clear()
        self._direct[id(code), frame.f_lasti] = code, place
        return place

    def restart(self) -> None:
        """Forget every place, because files are named otherwise from now on."""
        for known in (self._by_key, self._direct, self._reached, self._libraries, self._names):
            known.clear()

    def forget_known(self) -> None:
        """Forget which places were written already, as in a process that was just forked."""
        for place in self._by_key.values():
            place.known = False

    def _name(self, frame: FrameType) -> str:
        """A line of the user's code: file, function and a checksum of its text."""
        code = frame.f_code
        known = self._names.get((id(code), frame.f_lasti))
        if known is None or known[0] is not code:
            text = linecache.getline(code.co_filename, frame.f_lineno).strip()
            checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"))
            name = f"{self._sites.shown(code.co_filename)}:{code.co_qualname}#{checksum:08x}"
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            known = self._names[id(code), frame.f_lasti] = code, name
        return known[1]

    def _place(self, key: str, call_site: str | None, *, by_library: bool = True) -> Place:
        place = self._by_key.get(key)
        if place is None:
            made = Place(next(self._numbers), key, call_site, by_library)
            place = self._by_key.setdefault(key, made)
        return place


def _is_of_test_runner(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in _TEST_RUNNERS or package.startswith(_PLUGINS)


def _tail(filename: str) -> str:
    """The last two parts of a path: enough to know a library's file, wherever it is installed."""
    return "/".join(filename.split(os.sep)[-2:])
