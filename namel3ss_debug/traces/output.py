"""What a program wrote to its stdout and stderr, in `output` events, and how two runs of it are compared.

An event lists pieces in the order in which they were written, each with the task path that wrote it. Up to `MOST_TEXT`
characters of a stream are kept as text, behind that a digest a line. Order is kept within a task or thread: which of two
threads prints first is chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

EVENT_TYPE: Final = "output"

FURTHER_STREAM: Final = "output through "
"""What the name of a stream begins with that the program opened beside stdout and stderr; it stands among its files."""
STDOUT: Final = "stdout"
STDERR: Final = "stderr"

MOST_TEXT: Final = 1_000_000
"""How many characters of a stream are kept as text."""

NORMALISATIONS: Final[Mapping[str, str]] = {
    # `object.__repr__`, and `id()` of an object in the heap or in a mapping of Linux
    "address": r"\b0x[0-9a-fA-F]{8,16}\b|\b(?:9[3-9]\d{12}|1[0-3]\d{13}|140[0-7]\d{11})\b",
    # tracebacks, warnings, and `%(lineno)d` of logging: a comment above moves the line
    "line": r"(?<=\.py:)\d+\b|(?<=\", line )\d+\b",
    # `tempfile`, and `mktemp` of the shell
    "file": r"(?<=/)tmp(?:[a-z0-9_]{8}|\.\w{6,10})\b",
    # a server of the program takes a free port
    "port": r"(?<=127\.0\.0\.1:)\d{2,5}\b|(?<=localhost:)\d{2,5}\b|(?<=\[::1\]:)\d{2,5}\b|(?<=0\.0\.0\.0:)\d{4,5}\b",
    # tqdm `[00:01<00:02, 33.1it/s]`, its rates alone, and the time columns of `rich.progress`
    "progress": r"\[\d\d:\d\d(?::\d\d)?<[^\]\n]*\]|\b\d+(?:\.\d+)? ?[kMGT]?i?(?:it|[bB]|bytes)/s\b"
    r"|\b\d+(?:\.\d+)?s/it\b|(?<![\d:])\d:\d\d:\d\d(?![\d:])|-:--:--|\? ?[kMG]?B/s",
    # `time.perf_counter` and `time.monotonic` are not served in a re-run
    "duration": r"\b\d+\.\d+(?:e-?\d+)? ?(?:ns|µs|μs|us|ms|s|secs?|seconds?|min|minutes?)\b"
    r"|\b\d+ ?(?:ns|µs|μs|us|ms)\b"
    r"|(?i:\b(?:took|elapsed|duration|latency)\w*)[\"']?[ :=]*\d+\.\d+(?:e-?\d+)?\b",
    # the dots of a spinner of `rich.status`
    "spinner": "[\u2801-\u28ff]",
}
"""What differs from run to run in the output of an unchanged program: the name -> a pattern of it."""

_NORMALISED: Final = compile_late(
    "|".join(f"(?P<{name}>{pattern})" for name, pattern in NORMALISATIONS.items())
)
_MAY_DIFFER: Final = compile_late(r"\d|/tmp|-:--|[\u2801-\u28ff]|/s")
NUMBER: Final = compile_late(r"(\d+)")
_REDRAWS: Final = compile_late(r"[\r\b]|\x1b\[(?:[0-9;?]*[ABEFGHJK]|\?25[hl])")
_CONTROL: Final = compile_late(
    r"(?P<newline>\n)|(?P<cr>\r)|(?P<back>\x08)|\x1b\[(?P<count>[0-9;?]*)(?P<move>[ABEFGHJK])|\x1b\[\?25[hl]"
)
_DIGEST_MARK: Final = "\0"

TOOL_CALL: Final = compile_late(r"\((.*?) \d+\)")
"""A call of a tool in a task path, with the name of the tool."""


class OutputPiece(NamedTuple):
    """A piece of output that one task wrote without another between.

    Attributes:
        task: the task path.
        stream: `stdout` or `stderr`.
        text: what was written; of what is behind the limit, a digest for each line, see `digest_line`.
        number: the number of the event.
    """

    task: str
    stream: str
    text: str
    number: int = 0


@dataclass(slots=True)
class ScreenLine:
    """A line as it is left on the screen.

    Attributes:
        task: the task that wrote it last.
        text: what stands there.
        number: the number of the event.
        restarts: whether the next character is written over the line from its beginning.
        is_redrawn: whether it was written again; the spaces at its end are then those of a longer state.
        is_open: whether no line feed has ended it.
    """

    task: str
    text: str
    number: int
    restarts: bool = False
    is_redrawn: bool = False
    is_open: bool = True


def normalise(line: str) -> str:
    """Return a line without what differs from run to run."""
    if _MAY_DIFFER.search(line) is None:
        return line
    return _NORMALISED.sub(lambda match: f"<{match.lastgroup}>", line)


def digest_line(line: str, ids: AbstractSet[str] = frozenset()) -> str:
    """Return the form of a line behind the limit: a digest of the line as it is compared.

    A line with an id has a second digest, behind a slash, in which the ids are replaced: a small id may be an ordinary
    number, so lines are equal if one of these is.
    """
    if line.startswith(_DIGEST_MARK):
        return line
    _, redrawn, last = line.rpartition("\r")
    found = compared_forms(last.rstrip() if redrawn else last, ids)
    return _DIGEST_MARK + "/".join(
        blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for each in found
    )


def compared_forms(line: str, ids: AbstractSet[str]) -> list[str]:
    """Return a line as it is compared; of a line with an id, also with the ids replaced."""
    shown = normalise(line)
    if not ids or ids.isdisjoint(NUMBER.findall(shown)):
        return [shown]
    return [shown, NUMBER.sub(lambda match: "<id>" if match[0] in ids else match[0], shown)]


def read_pieces(number: int, event: Event) -> Iterator[OutputPiece]:
    """Yield the pieces of an `output` event."""
    for each in lenient.sequence(lenient.mapping(event.get("metadata")).get("output")):
        piece = lenient.mapping(each)
        task, stream = str(piece.get("task")), str(piece.get("stream"))
        text = lenient.string(piece.get("text"))
        if text is None:
            digests = [_DIGEST_MARK + str(digest) for digest in lenient.sequence(piece.get("digests"))]
            text = "".join(f"{digest}\n" for digest in digests)
        yield OutputPiece(task, stream, text, number)


def to_json(piece: OutputPiece, ids: AbstractSet[str], *, as_digests: bool) -> dict[str, Any]:
    """Return a piece as it is written.

    Args:
        piece: whole lines, or the end of all.
        ids: the ids of processes and threads, as digits.
        as_digests: whether it is behind the limit.
    """
    written: dict[str, Any] = {"task": piece.task, "stream": piece.stream}
    if not as_digests:
        return written | {"text": piece.text}
    lines = piece.text.removesuffix("\n").split("\n")
    return written | {"digests": [digest_line(line, ids)[1:] for line in lines]}


def draw(pieces: Iterable[OutputPiece]) -> list[ScreenLine]:
    """Return the lines that the pieces of one stream leave on a screen, in order.

    A line that is written again, by a carriage return or after the cursor went up, has its last state. Frames of
    `rich.live` are drawn by a thread and the last by the program, so each line belongs to who wrote it last.
    """
    return _Screen().draw(pieces)


class _Screen:
    """A screen of lines without columns: a line is written to its end, or from its beginning again."""

    def __init__(self) -> None:
        self._lines: list[ScreenLine] = []
        self._rows: dict[str, int] = {}  # task -> the row of its open line
        self._last = -1  # the row that was written last: where the cursor of a terminal stands

    def draw(self, pieces: Iterable[OutputPiece]) -> list[ScreenLine]:
        for piece in pieces:
            if _REDRAWS.search(piece.text) is None:
                self._write_plain(piece)
            else:
                self._write(piece)
        for line in self._lines:
            if line.is_redrawn:
                line.text = line.text.rstrip()
        return [line for line in self._lines if line.text or not line.restarts]

    def _write_plain(self, piece: OutputPiece) -> None:
        *whole, rest = piece.text.split("\n")
        for line in whole:
            self._put(piece, line)
            self._feed(piece)
        if rest:
            self._put(piece, rest)

    def _write(self, piece: OutputPiece) -> None:
        place = 0
        for match in _CONTROL.finditer(piece.text):
            if match.start() > place:
                self._put(piece, piece.text[place : match.start()])
            place = match.end()
            if match["newline"]:
                self._feed(piece)
            elif match["cr"]:
                # Before the cursor is moved, it stands where another thread may have left it.
                is_moved = piece.text[place : place + 1] == "\x1b"
                row = self._cursor() if is_moved else self._rows.get(piece.task, self._cursor())
                self._at(piece, row).restarts = True
            elif match["back"]:
                line = self._at(piece, self._rows.get(piece.task, self._cursor()))
                line.text = line.text[:-1]
            elif match["move"]:
                self._move(piece, match["move"], match["count"])
        if place < len(piece.text):
            self._put(piece, piece.text[place:])

    def _cursor(self) -> int:
        """Return the row in which a terminal has its cursor."""
        if self._last >= 0 and self._lines[self._last].is_open:
            return self._last
        return self._last + 1

    def _move(self, piece: OutputPiece, letter: str, counts: str) -> None:
        count = int(counts) if counts.isdigit() else 0
        row = self._cursor()
        if letter in "AF":
            row = max(0, row - max(count, 1))
        elif letter in "BE":
            row += max(count, 1)
        elif letter == "J" and count == 0:
            for line in self._lines[row + 1 :]:
                line.text, line.restarts = "", True
            return
        elif letter in "HJ":  # the whole screen is drawn anew
            for line in self._lines:
                line.text, line.restarts = "", True
            row = 0
        line = self._at(piece, row)
        if letter == "K" and (count == 2 or line.restarts):
            line.text, line.restarts = "", True
        elif letter in "EFG":
            line.restarts = True

    def _at(self, piece: OutputPiece, row: int) -> ScreenLine:
        """Return a row, which the task writes next; rows above it that do not exist are added."""
        while len(self._lines) <= row:
            self._lines.append(ScreenLine(piece.task, "", piece.number, restarts=True, is_open=False))
        self._rows[piece.task] = self._last = row
        self._lines[row].is_open = self._lines[row].is_redrawn = True
        return self._lines[row]

    def _put(self, piece: OutputPiece, text: str) -> None:
        row = self._rows.get(piece.task)
        if row is None:
            row = len(self._lines)
            self._lines.append(ScreenLine(piece.task, "", piece.number))
            self._rows[piece.task] = row
        line = self._lines[row]
        if text:
            if line.restarts:
                line.text, line.restarts = text, False
            else:
                line.text += text
            line.task, line.number, line.is_open = piece.task, piece.number, True
        self._last = row

    def _feed(self, piece: OutputPiece) -> None:
        """End the line; below a line that is drawn again, the next one is."""
        row = self._rows.pop(piece.task, None)
        if row is None:
            row = len(self._lines)
            self._lines.append(ScreenLine(piece.task, "", piece.number))
        line = self._lines[row]
        line.is_open = False
        if not line.text:
            line.restarts = False  # an empty line, not one that was erased
        self._last = row
        if row + 1 < len(self._lines) and self._lines[row + 1].restarts:
            self._rows[piece.task] = row + 1


def is_same_line(then: str, now: str, then_ids: AbstractSet[str], now_ids: AbstractSet[str]) -> bool:
    """Return whether two lines are equal but for what differs from run to run.

    Args:
        then: one of the recorded run.
        now: one of the re-run.
        then_ids: the ids of processes and threads of the recorded run, as digits.
        now_ids: those of the re-run.
    """
    if then == now:
        return True
    if then[:1] == _DIGEST_MARK or now[:1] == _DIGEST_MARK:
        before, after = digest_line(then, then_ids)[1:], digest_line(now, now_ids)[1:]
        return not {*before.split("/")}.isdisjoint(after.split("/"))
    then, now = normalise(then), normalise(now)
    if then == now:
        return True
    # By places, because a small id is an ordinary number elsewhere.
    old_parts, new_parts = NUMBER.split(then), NUMBER.split(now)
    return len(old_parts) == len(new_parts) and all(
        old == new or (old in then_ids and new in now_ids)
        for old, new in zip(old_parts, new_parts, strict=True)
    )
