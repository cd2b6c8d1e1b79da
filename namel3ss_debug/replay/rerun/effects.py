"""Compare what a program did by itself: what it printed, which files it wrote, and how it ended.

Calls are compared where they are answered (`attempts`). What an answered tool or command would print or write is not
expected of the re-run, because neither runs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.divergences import END, FILES, OUTPUT, Difference, Divergence
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.output import (
    EVENT_TYPE,
    FURTHER_STREAM,
    STDERR,
    STDOUT,
    TOOL_CALL,
    OutputPiece,
    ScreenLine,
    compared_forms,
    draw,
    is_same_line,
    normalise,
    read_pieces,
)
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.value_changes import PathChange

FIRST: Final = "0"
_DIGITS: Final = re.compile(r"\d+")
_IGNORED: Final = "<ignored>"
_TERMINAL_ONLY: Final = re.compile(r"[\x1b\r\b]")

_TRACEBACK: Final = "Traceback (most recent call last):\n"
OF_TRACE: Final = "output, which the trace does not hold"
_DEPENDENT: Final = frozenset({"updated", "database"})
"""The uses of a file whose content depends on what it held before."""


class Uncaught(NamedTuple):
    """An exception that ended the program.

    Attributes:
        kind: its type.
        message: its message.
        function: the innermost function of the program's own code that it passed.
        line: the text of the line there.
        number: the number of the event.
    """

    kind: str
    message: str
    function: str
    line: str
    number: int = 0


@dataclass
class Effects:
    """What one run did by itself.

    Attributes:
        pieces: what it printed, by process and stream.
        screens: stream -> the width of its terminal, 0 for none; None if output was not recorded.
        ids: the ids of its processes and threads, as digits.
        ended: the processes that ended in order.
        uncaught: the exception that ended it.
        ran: the names of the tools that were run for real, in a re-run.
        files: the files that it wrote, by path, see `seams.outputs.files`.
        writers: path -> the process that wrote the file.
        started_by: process -> the id of the event inside which it began.
        file_key: a check value of the key of their digests; None if files were not recorded.
        cwd: its working directory, which its files are named from.
    """

    pieces: dict[tuple[str, str], list[OutputPiece]] = field(default_factory=dict)
    screens: dict[str, int] | None = None
    ids: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    uncaught: Uncaught | None = None
    ran: set[str] = field(default_factory=set)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    writers: dict[str, str] = field(default_factory=dict)
    started_by: dict[str, str] = field(default_factory=dict)
    file_key: str | None = None
    cwd: str = ""
    _processes: dict[str, str] = field(
        default_factory=dict
    )  # what the ids of its events begin with -> process

    @classmethod
    def of(cls, events: Iterable[Event]) -> Effects:
        """Return the effects that a trace holds."""
        found = cls()
        for number, event in enumerate(events, 1):
            found.observe(number, event)
        return found

    def process_of(self, event_id: str) -> str:
        """Return the process that an event belongs to."""
        prefix, dot, _ = event_id.rpartition(".")
        return self._processes.get(prefix if dot else "", "")

    def observe(self, number: int, event: Event) -> None:
        """Take an event of the run, and its number; most are nothing here."""
        event_type = event["event_type"]
        if event_type not in _READ:
            return
        metadata = lenient.mapping(event.get("metadata"))
        process = self.process_of(str(event.get("event_id")))
        if event_type == INPUTS_READ:
            for path, described in lenient.mapping(metadata.get("digests")).items():
                effect = lenient.mapping(lenient.mapping(described).get("effect"))
                if effect:
                    self.files[path] = effect
                    self.writers[path] = process
        elif event_type == EVENT_TYPE:
            self.ids.update(map(str, lenient.sequence(metadata.get("ids"))))
            place = str(metadata.get("process"))
            for piece in read_pieces(number, event):
                self.pieces.setdefault((place, piece.stream), []).append(piece)
        elif event_type == "trace_start":
            randomness = lenient.mapping(metadata.get("randomness"))
            self.ids.update(str(metadata[name]) for name in ("pid", "parent_pid") if name in metadata)
            prefix = str(event.get("event_id")).rpartition(".")[0]
            process = self._processes[prefix] = str(randomness.get("process"))
            self.started_by[process] = str(event.get("parent_event_id"))
            if not prefix:
                self.cwd = lenient.string(metadata.get("cwd")) or ""
                self.file_key = lenient.string(lenient.mapping(randomness.get("files")).get("check"))
            if not prefix and "output" in randomness:
                self.screens = {
                    name: lenient.count(width) or 0
                    for name, width in lenient.mapping(randomness["output"]).items()
                }
        elif event_type == "trace_end":
            self.ended.add(process)
        elif metadata.get("uncaught"):
            self.uncaught = Uncaught(
                str(event.get("error_type")),
                str(event.get("error")),
                str(metadata.get("function")),
                str(metadata.get("line")),
                number,
            )


def without_processes(effects: Effects, started_by: Collection[str]) -> Effects:
    """Return the effects without those of the processes that began inside these events, and of their own processes."""
    left_out: set[str] = set()
    for process, event_id in effects.started_by.items():  # a process begins after the one that starts it
        if event_id in started_by or effects.process_of(event_id) in left_out:
            left_out.add(process)
    pieces = {place: each for place, each in effects.pieces.items() if place[0] not in left_out}
    files = {path: each for path, each in effects.files.items() if effects.writers[path] not in left_out}
    return replace(effects, pieces=pieces, files=files)


_READ: Final = frozenset({EVENT_TYPE, INPUTS_READ, "trace_start", "trace_end", "error_occurred"})


class EffectsComparison(NamedTuple):
    """How the effects of a re-run differ from the recorded ones.

    Attributes:
        divergences: the differences.
        not_compared: what was not compared, each as it stands in a sentence.
    """

    divergences: tuple[Divergence, ...] = ()
    not_compared: tuple[str, ...] = ()


def compare_effects(
    then: Effects,
    now: Effects,
    *,
    ignored: Sequence[str] = (),
    killed: bool = False,
    in_test: bool = False,
) -> EffectsComparison:
    """Compare the effects of a re-run that ended by itself with the recorded ones.

    Args:
        then: the recorded ones.
        now: those of the re-run.
        ignored: patterns of texts that are not compared.
        killed: whether the recorded run was killed, so that the end of its trace is missing.
        in_test: whether the program runs inside a test: the interpreter then prints no traceback at its end.
    """
    if in_test and then.uncaught is not None:
        then = replace(then, pieces=_without_traceback(then.pieces))
        if then.uncaught is not None and then.uncaught.kind == "SystemExit":  # the test sees its status
            then, now = replace(then, uncaught=None), replace(now, uncaught=None)
    sides = _Sides(then, now, [re.compile(each) for each in ignored], killed=killed)
    divergences = [] if killed else [*sides.compare_ends(), *sides.compare_files()]
    if killed:
        sides.not_compared.append("the end and the files of the recorded run, which was killed")
    if then.screens is None or now.screens is None:
        return EffectsComparison(tuple(divergences), (OF_TRACE, *sides.not_compared))
    for stream in sorted({stream for _, stream in (*then.pieces, *now.pieces)}, key=(STDOUT).__ne__):
        divergences += sides.compare_output(stream)
    return EffectsComparison(tuple(divergences), tuple(sides.not_compared))


class _Sides:
    """Two runs, side by side."""

    def __init__(
        self, then: Effects, now: Effects, ignored: Sequence[re.Pattern[str]], *, killed: bool
    ) -> None:
        self._then, self._now, self._ignored, self._killed = then, now, ignored, killed
        self._then_ids, self._now_ids = frozenset(then.ids), frozenset(now.ids)
        self.not_compared: list[str] = []

    def compare_ends(self) -> Iterator[Divergence]:
        """Yield the difference between the exceptions that ended the program."""
        old, new = self._then.uncaught, self._now.uncaught
        shown = [None if each is None else f"{each.kind}: {each.message}" for each in (old, new)]
        changes: list[tuple[str, str | None, str | None]] = []
        if (old is None) != (new is None):
            changes = [("exception", shown[0], shown[1])]
        elif old is not None and new is not None:
            changes = [
                ("exception", shown[0], shown[1]),
                ("function", old.function, new.function),
                ("line", old.line, new.line),
            ]
        different = [
            _change(name, before, after)
            for name, before, after in changes
            if before is None or after is None or not self._is_same(before, after)
        ]
        if different:
            number = 0 if new is None else new.number
            yield Divergence(END, number, None, None, Difference(paths=tuple(different)))

    def compare_files(self) -> Iterator[Divergence]:
        """Yield the files to which the program wrote something else."""
        if not (self._then.files or self._now.files) or self._then.file_key is None:
            return
        if self._then.file_key != self._now.file_key:
            self.not_compared.append("files, whose digests need the key of another user")
            return
        then, now = _by_name(self._then.files, self._then.cwd), _by_name(self._now.files, self._now.cwd)
        for name in dict.fromkeys((*then, *now)):
            if any(pattern.search(name) for pattern in self._ignored):
                continue
            old, new = then.get(name, []), now.get(name, [])
            uses = {str(each.get("use")) for each in (*old, *new)}
            tools = {str(tool) for each in (*old, *new) for tool in lenient.sequence(each.get("tools"))}
            answered = tools - self._now.ran - {""}
            if answered and answered == tools:
                continue
            if name.startswith(FURTHER_STREAM) and not (old and new):
                change = _change(name, "opened" if old else None, "opened" if new else None)
                yield Divergence(OUTPUT, 0, None, None, Difference(paths=(change,)))
                continue
            if answered or uses & _DEPENDENT or not all(map(_has_content, (*old, *new))):
                self.not_compared.append(name)
                continue
            for path, kind, before, after in _compare_contents(name, old, new, self._now.cwd):
                change = PathChange(path, kind, before, after)
                yield Divergence(FILES, 0, None, None, Difference(paths=(change,)))

    def compare_output(self, stream: str) -> Iterator[Divergence]:
        """Yield where the tasks of the program print other lines than recorded, at the first line of each."""
        then, now = self._lines(self._then, stream), self._lines(self._now, stream)
        unequal = [task for task in (*then, *now) if not self._is_equal(task, then, now)]
        # Tasks get their numbers as they first read or print: what is equal but for these is the same task.
        pairs = self._pair(list(dict.fromkeys(unequal)), then, now)
        found = [divergence for pair in pairs if (divergence := self._first_difference(stream, *pair))]
        if found and self._is_other_terminal(stream):
            self.not_compared.append(f"{stream}, because it went to another kind of terminal")
            return
        yield from found

    def _lines(self, run: Effects, stream: str) -> dict[str, list[ScreenLine]]:
        """Return what each task left on a stream, without what only an answered tool would print."""
        tasks: dict[str, list[ScreenLine]] = {}
        for (_, name), pieces in run.pieces.items():
            if name == stream:
                for line in draw(pieces):
                    if all(tool in self._now.ran for tool in TOOL_CALL.findall(line.task)):
                        tasks.setdefault(line.task, []).append(line)
        return tasks

    def _is_equal(
        self, task: str, then: Mapping[str, list[ScreenLine]], now: Mapping[str, list[ScreenLine]]
    ) -> bool:
        return self._first_unequal(task, then.get(task, []), now.get(task, [])) is None

    def _pair(
        self, tasks: list[str], then: Mapping[str, list[ScreenLine]], now: Mapping[str, list[ScreenLine]]
    ) -> Iterator[tuple[str, list[ScreenLine], list[ScreenLine]]]:
        families: dict[str, tuple[list[str], list[str]]] = {}
        for task in tasks:
            sides = families.setdefault(_DIGITS.sub("#", task), ([], []))
            for side, lines in zip(sides, (then, now), strict=True):
                if task in lines:
                    side.append(task)
        for old, new in families.values():
            for task in list(old):
                same = next((e for e in new if self._first_unequal(task, then[task], now[e]) is None), None)
                if same is not None:
                    old.remove(task)
                    new.remove(same)
            # Which process of a pool takes a job is chance, and each numbers its threads.
            if _process_of((old or new or [FIRST])[0]) != FIRST and self._printed(
                self._then_ids, old, then
            ) == self._printed(self._now_ids, new, now):
                continue
            for place in range(max(len(old), len(new))):
                before = then[old[place]] if place < len(old) else []
                after = now[new[place]] if place < len(new) else []
                yield (old[place] if place < len(old) else new[place]), before, after

    def _printed(
        self, ids: frozenset[str], tasks: Iterable[str], lines: Mapping[str, list[ScreenLine]]
    ) -> Counter[str]:
        """Return how often these tasks printed each line, as it is compared."""
        counts: Counter[str] = Counter()
        for task in tasks:
            for line in lines[task]:
                text = line.text
                for pattern in self._ignored:
                    text = pattern.sub(_IGNORED, text)
                counts[compared_forms(text, ids)[-1]] += 1
        return counts

    def _first_unequal(
        self, task: str, before: Sequence[ScreenLine], after: Sequence[ScreenLine]
    ) -> int | None:
        """Return the index of the first line that differs; None if all are equal that can be compared."""
        shared = min(len(before), len(after))
        for place in range(shared):
            if not self._is_same(before[place].text, after[place].text):
                begun = self._is_cut(task) and place == len(before) - 1 and before[place].is_open
                if begun and after[place].text.startswith(before[place].text):
                    return None
                return place
        if len(before) == len(after):
            is_same_end = not before or before[-1].is_open == after[-1].is_open
            return None if is_same_end or self._is_cut(task) or self._is_killed_now(task) else shared - 1
        if self._is_cut(task) and len(before) < len(after):
            return None
        return None if self._is_killed_now(task) and len(after) < len(before) else shared

    def _is_cut(self, task: str) -> bool:
        """Return whether the trace of this task may have lost its end."""
        process = _process_of(task)
        return self._killed or (process != FIRST and process not in self._then.ended)

    def _is_killed_now(self, task: str) -> bool:
        process = _process_of(task)
        return process != FIRST and process not in self._now.ended

    def _is_same(self, before: str, after: str) -> bool:
        if self._then.cwd != self._now.cwd and self._then.cwd:  # another checkout, in tracebacks and warnings
            before = before.replace(self._then.cwd + os.sep, self._now.cwd + os.sep)
        for pattern in self._ignored:
            before, after = pattern.sub(_IGNORED, before), pattern.sub(_IGNORED, after)
        return is_same_line(before, after, self._then_ids, self._now_ids)

    def _first_difference(
        self, stream: str, task: str, before: Sequence[ScreenLine], after: Sequence[ScreenLine]
    ) -> Divergence | None:
        place = self._first_unequal(task, before, after)
        if place is None:
            return None
        old, new = (lines[place] if place < len(lines) else None for lines in (before, after))
        where = f"{stream} line {place + 1}" + ("" if task == FIRST else f" of {task}")
        texts = [None if line is None else line.text for line in (old, new)]
        if texts[0] == texts[1]:  # only one of them ends with a line feed
            texts = [None if line is None else line.text + "\n" * (not line.is_open) for line in (old, new)]
        change = _change(where, *texts)
        number = (new or after[-1]).number if new or after else 0
        return Divergence(OUTPUT, number, None, None, Difference(paths=(change,)))

    def _is_other_terminal(self, stream: str) -> bool:
        """Return whether a stream that is drawn on a terminal went to one of another width, or to none."""
        assert self._then.screens is not None
        assert self._now.screens is not None
        if self._then.screens.get(stream) == self._now.screens.get(stream):
            return False
        drawn = (
            piece.text for run in (self._then, self._now) for each in run.pieces.values() for piece in each
        )
        return any(map(_TERMINAL_ONLY.search, drawn))


def _without_traceback(
    pieces: Mapping[tuple[str, str], list[OutputPiece]],
) -> dict[tuple[str, str], list[OutputPiece]]:
    """Return what was printed without the traceback that ended the program."""
    kept = dict(pieces)
    errors = kept.get((FIRST, STDERR), [])
    for place in range(len(errors) - 1, -1, -1):
        head, found, _ = errors[place].text.rpartition(_TRACEBACK)
        if found:
            kept[FIRST, STDERR] = [*errors[:place], errors[place]._replace(text=head)]
            break
    return kept


def _by_name(files: Mapping[str, dict[str, Any]], cwd: str) -> dict[str, list[dict[str, Any]]]:
    """Return the files by their paths; temporary ones have other names in each run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, described in files.items():
        found.setdefault(normalise(path.removeprefix(f"{cwd}{os.sep}")), []).append(described)
    return found


def _has_content(described: Mapping[str, Any]) -> bool:
    return "digest" in described or bool(described.get("missing"))


def _compare_contents(
    name: str, then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], cwd: str
) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield the differences between the files of one name: place, kind, and both sides."""
    left = list(now)
    unequal = []
    for old in then:
        same = next((new for new in left if _is_same_digest(old, new)), None)
        if same is None:
            unequal.append(old)
        else:
            left.remove(same)
    for place in range(max(len(unequal), len(left))):
        if place >= len(left):
            if not unequal[place].get("missing"):
                yield name, "dropped", _describe(unequal[place]), None
        elif place >= len(unequal):
            if not left[place].get("missing"):
                yield name, "added", None, _describe(left[place])
        else:
            old, new = unequal[place], left[place]
            line = _first_line(lenient.sequence(old.get("lines")), lenient.sequence(new.get("lines")))
            text = (
                _read_line(os.path.join(cwd, name), line, len(lenient.sequence(new.get("lines"))))
                if line
                else None
            )
            shown = _describe(new) if text is None else text
            yield f"{name}{f' line {line}' if line else ''}", "changed", _describe(old), shown


def _is_same_digest(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if old.get("use") != new.get("use") and old.get("kept") != new.get("kept"):
        return False  # one run emptied the file that the other appended to
    if old.get("missing") or new.get("missing"):
        return bool(old.get("missing") and new.get("missing"))
    return not {*str(old["digest"]).split("/")}.isdisjoint(str(new["digest"]).split("/"))


def _first_line(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Return the number of the first line that differs; 0 if it is not known."""
    for number, (before, after) in enumerate(zip_longest(old, new, fillvalue=""), 1):
        if {*str(before).split("/")}.isdisjoint(str(after).split("/")):
            return number if old and new else 0
    return 0


def _read_line(path: str, number: int, of: int) -> str | None:
    """Return a line of the last lines of a file, as the re-run left it; None if it is not there."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")[-of:]
    except (OSError, ValueError):
        return None
    return lines[number - 1] if number <= len(lines) else None


def _describe(described: Mapping[str, Any]) -> str:
    return "no file" if described.get("missing") else f"{described.get('size')} bytes"


def _process_of(task: str) -> str:
    """Return the process in a task path, see `task_paths`."""
    return re.split(r"[.:(~]", task, maxsplit=1)[0]


def _change(path: str, old: Any, new: Any) -> PathChange:
    kind = "added" if old is None else "dropped" if new is None else "changed"
    return PathChange(path, kind, old, new)
