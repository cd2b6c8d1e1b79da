"""Where in the user's own code something happened: `path.py:42`, found by walking up the running stack."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(
    {
        os.path.abspath(sysconfig.get_paths()[key]) + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    }
)
_MOST_FRAMES = 400
_REMEMBERED = 4096
_LONGEST_CHAIN = 100


class CallSites:
    """Finds the user's frames.

    Args:
        root: the folder of the user's own code; files below it count as the user's, except installed packages.
        cwd: paths are given relative to it where the file is below it.

    Attributes:
        known: the identity of a code object and an instruction -> the code object, and the call site if it is the
            user's. Spans look here first.
        foreign: the files that were found not to be the user's; most frames are of these, and this is the cheapest to
            ask.
    """

    def __init__(self, root: str, cwd: str) -> None:
        self._root = root.rstrip(os.sep) + os.sep
        self._cwd = cwd.rstrip(os.sep) + os.sep
        self._shown: dict[str, str | None] = {}
        self.foreign: set[str] = set()
        self.known: dict[tuple[int, int], tuple[CodeType, str | None]] = {}
        self._named: dict[int, tuple[CodeType, str | None]] = {}

    def shown(self, filename: str) -> str | None:
        """How the file is named in a call site, or `None` when it is not the user's."""
        try:
            return self._shown[filename]
        except KeyError:
            shown = self._look(filename)
            if shown is None:
                self.foreign.add(filename)  # before the other: what is known and not here is the user's
            self._shown[filename] = shown
            return shown

    def renamed(self, filename: str) -> None:
        """A file is called otherwise from now on, as a cell that runs once more is."""
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
        """The call site of the innermost user frame, starting `depth` frames above the caller of this method."""
        return self.at(innermost(depth + 1))

    def above(self, code: CodeType) -> str | None:
        """The call site from which the running call of `code` was made."""
        frame = innermost(1)
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        return self.at(frame.f_back) if frame is not None else None

    def at(self, frame: FrameType | None) -> str | None:
        """The call site of this frame, or of the innermost user frame above it."""
        sites, foreign = self.known, self.foreign
        for _ in range(_MOST_FRAMES):
            if frame is None:
                return None
            code = frame.f_code
            if code.co_filename in foreign:  # the most frequent, and the cheapest to know
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
        """The call site of one frame, `None` when it is not the user's.

        It is remembered for the instruction, because the line of an instruction is searched from the first line of
        its function on.
        """
        code = frame.f_code
        path = self.shown(code.co_filename)
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        known = (code, None if path is None else f"{path}:{frame.f_lineno}")
        self.known[id(code), frame.f_lasti] = known
        return known

    def chain(self, depth: int) -> list[str]:
        """The qualified names of the user's functions on the stack, outermost first: `agent.py:main`; the innermost hundred."""
        return self.trail(depth + 1)[0]

    def trail(self, depth: int) -> tuple[list[str], str | None]:
        """The same, and what `find` gives, from one walk up the stack."""
        frame = innermost(depth + 1)
        site: str | None = None
        names: list[str] = []
        named, foreign = self._named, self.foreign
        while frame is not None:
            code = frame.f_code
            if code.co_filename in foreign:
                frame = frame.f_back
                continue
            known = named.get(id(code))
            if known is None or known[0] is not code:
                known = self._name(code)
            if known[1] is not None:
                if not names:
                    site = self.at(frame)
                names.append(known[1])
                if len(names) == _LONGEST_CHAIN:
                    break
            frame = frame.f_back
        names.reverse()
        return names, site

    def _name(self, code: CodeType) -> tuple[CodeType, str | None]:
        """A function as a chain names it, `None` when it is not the user's.

        It is remembered for the code object itself: those of two files can be equal.
        """
        path = self.shown(code.co_filename)
        if len(self._named) >= _REMEMBERED:
            self._named.clear()
        known = self._named[id(code)] = (code, None if path is None else f"{path}:{code.co_qualname}")
        return known

    def _look(self, filename: str) -> str | None:
        """The path of a file as it is shown, where it is of the user's own code; of a cell of IPython `In[5]`."""
        cell = cell_name(filename)
        if cell is not None or filename.startswith("<"):
            return cell
        path = os.path.abspath(filename)
        if path.startswith((_OWN, *_LIBRARIES)) or not path.startswith(self._root):
            return None
        if f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path:
            return None
        return path.removeprefix(self._cwd)


def cell_name(filename: str) -> str | None:
    """What IPython calls a cell, `In[5]`, of the name under which it has compiled it; `None` of any other file."""
    shell = running_shell()
    try:
        named = None if shell is None else shell.compile.format_code_name(filename)
    except Exception:  # another IPython than those that are known
        return None
    return None if named is None else str(named[1])


def running_shell() -> Any:
    """The shell of IPython in which the cells of this process are run; `None` where there is none."""
    shells: Any = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
    try:
        return shells.instance() if shells is not None and shells.initialized() else None
    except Exception:  # as above
        return None


def innermost(depth: int) -> FrameType | None:
    """The frame `depth` above the caller, or the outermost one there is."""
    try:
        return sys._getframe(depth + 1)  # noqa: SLF001  (the documented way to a frame)
    except ValueError:
        return None


def on_stack(frame_id: int, code: CodeType) -> bool:
    """Whether a frame, known by its identity and code, is running now: a suspended generator's is not."""
    frame = innermost(1)
    while frame is not None:
        if frame.f_code is code and id(frame) == frame_id:
            return True
        frame = frame.f_back
    return False
