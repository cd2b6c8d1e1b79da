"""Find where in the user's own code something happened, as `path.py:42`, by walking up the running stack."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from itertools import islice
from sys import _getframe as frame_at
from types import CodeType, FrameType
from typing import Any

from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER

_LIBRARIES = tuple(
    {
        os.path.abspath(sysconfig.get_paths()[key]) + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    }
)
_MOST_FRAMES = 400
_MOST_CACHED = 4096
_LONGEST_CHAIN = 100


class CallSites:
    """Finds the user's frames.

    Args:
        root: the folder of the user's own code; files below it count as the user's, except installed packages.
        cwd: paths are given relative to it where the file is below it.

    Attributes:
        known: the identity of a code object and an instruction -> the code object, and the call site if it is the
            user's. Spans look here first.
        foreign: the files that are not the user's. Most frames are of these, so callers check this set first.
    """

    def __init__(self, root: str, cwd: str) -> None:
        self._root = root.rstrip(os.sep) + os.sep
        self._cwd = cwd.rstrip(os.sep) + os.sep
        self._shown: dict[str, str | None] = {}
        self.foreign: set[str] = set()
        self.known: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
        self._named: dict[int, tuple[CodeType, str | None]] = {}

    @property
    def cwd(self) -> str:
        """The folder that paths are relative to, with a separator at its end."""
        return self._cwd

    def shown(self, filename: str) -> str | None:
        """Return the name of a file in call sites, or `None` if it is not the user's."""
        try:
            return self._shown[filename]
        except KeyError:
            shown = self._look(filename)
            if shown is None:
                self.foreign.add(
                    filename
                )  # first, because a file in `_shown` that is not here counts as the user's
            self._shown[filename] = shown
            return shown

    def renamed(self, filename: str) -> None:
        """Forget the name of a file that has another name from now on, as a notebook cell that runs again."""
        if self._shown.pop(filename, None) is not None:
            self.known.clear()
            self._named.clear()
        self.foreign.discard(filename)

    def rebase(self, root: str, cwd: str, foreign: Iterable[str]) -> None:
        """Name files as in the traces of a program that is started here.

        Args:
            root: the folder of the program's own code.
            cwd: its working directory.
            foreign: files that are not the program's, although they may lie below its folder.
        """
        self._root, self._cwd = root.rstrip(os.sep) + os.sep, cwd.rstrip(os.sep) + os.sep
        self._shown.clear()
        self.known.clear()
        self._named.clear()
        self.foreign.clear()
        self.foreign.update(foreign)
        self._shown.update(dict.fromkeys(self.foreign))

    def find(self, depth: int) -> str | None:
        """Return the call site of the innermost user frame, starting `depth` frames above the caller of this method."""
        return self.at(innermost(depth + 1))

    def above(self, code: CodeType) -> str | None:
        """Return the call site from which the running call of `code` was made."""
        frame = innermost(1)
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        return self.at(frame.f_back) if frame is not None else None

    def at(self, frame: FrameType | None) -> str | None:
        """Return the call site of this frame, or of the innermost user frame above it."""
        sites, foreign = self.known, self.foreign
        for _ in range(_MOST_FRAMES):
            if frame is None:
                return None
            code = frame.f_code
            if code.co_filename in foreign:  # most frames are of these, and this check is the cheapest
                frame = frame.f_back
                continue
            known = sites.get((id(code), frame.f_lasti))
            if known is None or known[0] is not code:
                known = self._look_at(frame)
            if known[1] is not None:
                return known[1]
            frame = frame.f_back
        return None

    def _look_at(self, frame: FrameType) -> tuple[CodeType, str | None]:
        """Return the call site of one frame, `None` if it is not the user's.

        It is cached by instruction, because Python finds the line of an instruction by a search from the start of its
        function.
        """
        code = frame.f_code
        path = self.shown(code.co_filename)
        if len(self.known) >= _MOST_CACHED:
            self.known.clear()
        known = (code, None if path is None else f"{path}:{frame.f_lineno}")
        self.known[id(code), frame.f_lasti] = known
        return known

    def chain(self, depth: int) -> list[str]:
        """Return the qualified names of the user's functions on the stack, such as `agent.py:main`, outermost first.

        A longer chain has only the innermost hundred.
        """
        return self.trail(depth + 1)[0]

    def trail(self, depth: int) -> tuple[list[str], str | None]:
        """Return what `chain` and `find` return, from one walk up the stack."""
        site: str | None = None
        names: list[str] = []
        for frame, name in self.own_frames(innermost(depth + 1)):
            site = site if names else self.at(frame)
            names.append(name)
            if len(names) == _LONGEST_CHAIN:
                break
        names.reverse()
        return names, site

    def innermost_name(self, depth: int) -> str | None:
        """Return the qualified name of the innermost user function on the stack, such as `agent.py:main`."""
        return next((name for _frame, name in self.own_frames(innermost(depth + 1))), None)

    def frames(self, depth: int) -> list[str]:
        """Return the lines of the user's code that run now, innermost first; `depth` is as in `find`."""
        sites = (self.at(frame) for frame, _name in self.own_frames(innermost(depth + 1)))
        return list(islice(dict.fromkeys(filter(None, sites)), _LONGEST_CHAIN))

    def own_frames(self, frame: FrameType | None) -> Iterator[tuple[FrameType, str]]:
        """Yield the user's frames from this one outwards, each with the name of its function."""
        named, foreign = self._named, self.foreign
        while frame is not None:
            code = frame.f_code
            if code.co_filename not in foreign:
                known = named.get(id(code))
                if known is None or known[0] is not code:
                    known = self._name(code)
                if known[1] is not None:
                    yield frame, known[1]
            frame = frame.f_back

    def _name(self, code: CodeType) -> tuple[CodeType, str | None]:
        """Return a function's name in a chain, `None` if it is not the user's.

        It is cached by the identity of the code object, because code objects of two files can be equal.
        """
        path = self.shown(code.co_filename)
        if len(self._named) >= _MOST_CACHED:
            self._named.clear()
        known = self._named[id(code)] = (code, None if path is None else f"{path}:{code.co_qualname}")
        return known

    def _look(self, filename: str) -> str | None:
        """Return the shown path of a file if it is the user's own code; of a cell of IPython, `In[5]`."""
        cell = cell_name(filename)
        if cell is not None or filename.startswith("<"):
            return cell
        path = os.path.abspath(filename)
        if path.startswith((PACKAGE_FOLDER, *_LIBRARIES)) or not path.startswith(self._root):
            return None
        if f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path:
            return None
        return path.removeprefix(self._cwd)


def is_library(filename: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    return os.path.abspath(filename).startswith(_LIBRARIES)


def cell_name(filename: str) -> str | None:
    """Return the name `In[5]` of a cell that IPython has compiled under this file name; `None` for other files."""
    shell = running_shell()
    try:
        named = None if shell is None else shell.compile.format_code_name(filename)
    except Exception:  # another IPython than those that are known
        return None
    return None if named is None else str(named[1])


def running_shell() -> Any:
    """Return the shell of IPython that runs the cells of this process; `None` if there is none."""
    shells: Any = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
    try:
        return shells.instance() if shells is not None and shells.initialized() else None
    except Exception:  # as above
        return None


def innermost(depth: int) -> FrameType | None:
    """Return the frame `depth` above the caller, or the outermost frame if there are fewer."""
    try:
        return frame_at(depth + 1)
    except ValueError:
        return None


def on_stack(frame_id: int, code: CodeType) -> bool:
    """Return whether a frame, known by its identity and code, is running now; a suspended generator's is not."""
    frame = innermost(1)
    while frame is not None:
        if frame.f_code is code and id(frame) == frame_id:
            return True
        frame = frame.f_back
    return False
