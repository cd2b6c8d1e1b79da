"""Compare the code behind tools: that of the trace, and that of today.

A trace holds the function of each tool, a digest of each definition in the own source files, the data files that were
opened, and the versions of the installed packages. Where nothing of these has changed, each tool is unchanged, however
it is reached. Otherwise a tool has changed if its function reaches something that has, and is unknown if it only could.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from namel3ss_debug.replay.rerun.code_reach import CodeReach
from namel3ss_debug.replay.rerun.data_parsing import only_parses
from namel3ss_debug.replay.rerun.source_files import (
    RecordedFile,
    SourceFiles,
    add_recorded_files,
    describe_change,
)
from namel3ss_debug.traces.definitions import REST, SCOPES, VERSION
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

UNCHANGED: Final = "unchanged"
CHANGED: Final = "changed"
UNKNOWN: Final = "unknown"

NO_DIGESTS: Final = "the trace holds no digests of code"
MOST_CHANGES: Final = 3


class RecordedCode(NamedTuple):
    """The code behind a tool, as the start event of a call describes it.

    Attributes:
        function: its function, `tools.py:convert`.
        classes: the user's classes that its object is an instance of.
        version: the version of the digests.
    """

    function: str
    classes: tuple[str, ...] = ()
    version: int = VERSION


class CodeComparison(NamedTuple):
    """How the code behind a tool now compares with the recorded code.

    Attributes:
        state: `unchanged`, `changed`, or `unknown` if a change could have reached it.
        reasons: what has changed, or why that is not known, a clause each: `tools.py:convert has changed`.
    """

    state: str
    reasons: tuple[str, ...] = ()


class ChangedData(NamedTuple):
    """A data file that the program read and that differs today.

    Attributes:
        path: the file.
        how: `has changed`, or another clause.
        openers: the functions of the user's that opened it, `tools.py:load`.
        same_content: whether only its comments or its layout differ.
    """

    path: str
    how: str
    openers: tuple[str, ...]
    same_content: bool = False


@dataclass(frozen=True)
class StaleTool:
    """A tool that was answered from the trace although its code has changed since, or may have.

    Attributes:
        name: the tool.
        reasons: what has changed, a clause each.
        numbers: the events of its answered calls in the re-run; () if not counted.
        kept: whether the setting `tools` has `answer` for it.
    """

    name: str
    reasons: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    kept: bool = False

    def describe(self) -> str:
        """Return a clause that describes what has changed."""
        reasons = few_reasons(self.reasons)
        return f"{self.name} has changed since the trace was recorded" + (f": {reasons}" if reasons else "")


def describe_unknown(tools: Collection[StaleTool]) -> str:
    """Return a clause about all tools whose code may have changed."""
    reasons = dict.fromkeys(reason for tool in tools for reason in tool.reasons)
    names = ", ".join(tool.name for tool in tools)
    return f"it is not known whether {names} would return the same now: {few_reasons(reasons)}"


def few_reasons(reasons: Collection[str]) -> str:
    """Return some of the reasons, and how many more there are."""
    more = len(reasons) - MOST_CHANGES
    return ", ".join([*list(reasons)[:MOST_CHANGES], *([f"{more} more"] if more > 0 else [])])


def read_code(event: Event) -> RecordedCode | None:
    """Return the code that the start event of a call describes; None if it describes none."""
    if event.get("event_type") != "tool_call_start":
        return None
    values = lenient.mapping(lenient.mapping(event.get("metadata")).get("code"))
    if not values:
        return None
    return RecordedCode(
        lenient.string(values.get("function")) or "",
        tuple(str(each) for each in lenient.sequence(values.get("classes"))),
        lenient.count(values.get("version")) or 0,
    )


@dataclass
class CodeByTool:
    """The code of each tool, gathered from events.

    Attributes:
        by_name: the name of a tool -> its code; several if it changed, or if two functions have the name.
        files: the source files.
    """

    by_name: dict[str, list[RecordedCode]] = field(default_factory=dict)
    files: dict[str, RecordedFile] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Add the code that an event describes."""
        if event.get("event_type") not in ("tool_call_start", "trace_end"):
            return
        add_recorded_files(self.files, event)
        code = read_code(event)
        if code is not None:
            self.by_name.setdefault(lenient.string(event.get("component_name")) or "", []).append(code)


def gather_codes(events: Iterable[Event]) -> CodeByTool:
    """Return the code of each tool that events describe."""
    codes = CodeByTool()
    for event in events:
        codes.add(event)
    return codes


@dataclass(frozen=True)
class TraceCode:
    """The code that a trace holds of its tools.

    Attributes:
        by_name: the name of a tool -> its code.
        sources: the source files.
        data: the data files that differ today.
        packages: the name of an installed package -> its version; {} to compare none.
        read_servers: returns, for a working directory, the changes in the files of MCP servers by the names of their tools.
    """

    by_name: Mapping[str, Collection[RecordedCode]] = field(default_factory=dict)
    sources: SourceFiles = field(default_factory=lambda: SourceFiles({}))
    data: tuple[ChangedData, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    read_servers: Callable[[Path], Mapping[str, tuple[str, ...]]] = lambda _folder: {}

    @cached_property
    def servers(self) -> Mapping[str, tuple[str, ...]]:
        """The name of a tool of an MCP server -> the changes in the files of that server."""
        return self.read_servers(self.sources.root)

    def compare(
        self, name: str, now: Collection[RecordedCode] = (), packages: Mapping[str, str] | None = None
    ) -> CodeComparison:
        """Compare the code behind a tool with the recorded code.

        Args:
            name: the tool.
            now: its code in the re-run; () if it was not called yet.
            packages: the packages that are installed for the re-run.
        """
        if name in self.servers:
            changes = self.servers[name]
            return CodeComparison(CHANGED if changes else UNCHANGED, changes)
        recorded = self.by_name.get(name, ())
        if not self.sources.recorded:
            return CodeComparison(UNKNOWN, (NO_DIGESTS,))
        if any(code.version != VERSION for code in recorded):
            return CodeComparison(UNKNOWN, ("the trace has digests of another version",))
        moved = tuple(self._moves(recorded, now))
        if moved:
            return CodeComparison(CHANGED, moved)
        packages = self._other_packages(packages or {})
        if not (self.sources.differ or self.sources.edited or self._changed_data or packages):
            return CodeComparison(UNCHANGED)
        if not recorded:
            return CodeComparison(UNKNOWN, ("the trace does not hold which function it is",))
        return self._compare_reach([*recorded, *now], packages)

    def _moves(self, recorded: Iterable[RecordedCode], now: Iterable[RecordedCode]) -> Iterator[str]:
        """Yield the functions and classes that are others than the recorded ones."""
        label = self.sources.recorded_label
        then = {(label(code.function), tuple(map(label, code.classes))) for code in recorded}
        functions = {function for function, _ in then}
        for code in dict.fromkeys(now) if then else ():
            function, classes = label(code.function), tuple(map(label, code.classes))
            if function not in functions:
                yield f"it is now {code.function}"
            elif (function, classes) not in then:
                yield f"its object is now of {', '.join(code.classes)}"

    def _compare_reach(self, codes: Iterable[RecordedCode], packages: Mapping[str, str]) -> CodeComparison:
        certain: dict[str, None] = {}
        possible: dict[str, None] = {}
        for code in dict.fromkeys(codes):
            label = self.sources.recorded_label
            function = label(code.function)
            reach = CodeReach(self.sources, function, tuple(map(label, code.classes)))
            if self.sources.has_other_signature(function):
                certain[f"the annotations of {code.function} have changed"] = None
            for changed, how in self.sources.changed.items():
                if changed in reach.certain:
                    certain[describe_change(changed, how)] = None
                elif changed in reach.possible:
                    possible[describe_change(changed, how)] = None
            for file in self._changed_data:
                openers = [label(each) for each in file.openers]
                if (
                    self.sources.is_file_of(function, file.path)
                    or any(each in reach.certain for each in openers)
                    or self._reads_at_import(reach, file)
                ):
                    certain[f"{file.path} {file.how}"] = None
                elif any(each in reach.possible for each in openers):
                    possible[f"{file.path} {file.how}"] = None
            possible |= {f"{path} was edited while the program ran": None for path in self.sources.edited}
            possible |= {packages[each]: None for each in sorted(reach.libraries & packages.keys())}
            if reach.dynamic and (self.sources.changed or self._changed_data):
                # Statements that define nothing come last: they count here alone.
                in_order = sorted(self.sources.changed.items(), key=lambda each: each[0][1] == REST)
                changes = [describe_change(*each) for each in in_order]
                changes += [f"{each.path} {each.how}" for each in self._changed_data]
                possible |= {f"{why}, and {changes[0]}": None for why in reach.dynamic}
        if certain:
            return CodeComparison(CHANGED, tuple(certain))
        return CodeComparison(UNKNOWN if possible else UNCHANGED, tuple(possible))

    @cached_property
    def _changed_data(self) -> tuple[ChangedData, ...]:
        """The data files that differ, without those that are only parsed and have the same contents."""
        return tuple(
            each
            for each in self.data
            if not (each.same_content and all(map(self._only_parses, each.openers)))
        )

    def _only_parses(self, opener: str) -> bool:
        path, name = self.sources.recorded_label(opener)
        file = self.sources.files.get(path)
        if file is None:
            return False
        if name == REST:
            return only_parses(each for each in file.tree.body if not isinstance(each, SCOPES))
        return name in file.definitions and only_parses(file.definitions[name].nodes)

    def _reads_at_import(self, reach: CodeReach, file: ChangedData) -> bool:
        """Return whether a tool uses a variable of a module that read the file while it was imported."""
        paths = {path for path, name in map(self.sources.recorded_label, file.openers) if name == REST}
        return any(path in paths for path in reach.computed_in)

    def _other_packages(self, now: Mapping[str, str]) -> dict[str, str]:
        """Return the packages that have another version now, by the names of their modules, with a clause each."""
        found: dict[str, str] = {}
        for name, version in self.packages.items():
            if now and now.get(name) != version:
                text = f"{name} is {now.get(name) or 'not there'} now, and was {version}"
                found |= dict.fromkeys(self._modules_of.get(_normal(name), {_normal(name)}), text)
        return found

    @cached_property
    def _modules_of(self) -> Mapping[str, set[str]]:
        """The modules of each installed package of this Python, which names most of them as the program's does."""
        from importlib.metadata import packages_distributions  # slow, and few re-runs have other packages

        found: dict[str, set[str]] = {}
        for module, names in packages_distributions().items():
            for name in filter(None, names):  # a package without METADATA has no name
                found.setdefault(_normal(name), set()).add(module)
        return found


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
