"""Compare the source files of a recorded program with those of today: which definitions have changed.

A trace holds a digest of each own source file that was loaded, and of each definition in it. A file whose digest is
the same today is not read further.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from namel3ss_debug.traces.definitions import (
    DIGITS,
    LOG_LEVEL,
    CodeDefinition,
    Method,
    digest_definitions,
    digest_source,
    dotted_name,
    find_bindings,
    find_definitions,
    parse_source,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

MAIN: Final = "__main__"
CHANGED: Final = "has changed"
NEW: Final = "is new"
_OF_PACKAGES: Final = ("site-packages", "dist-packages")
_LISTS_SUBCLASSES: Final = frozenset({"__subclasses__", "__init_subclass__"})
GONE: Final = "does not exist any more"


@dataclass
class RecordedFile:
    """A source file as a trace describes it.

    Attributes:
        module: the name under which it was imported.
        digest: that of the whole file; "" if it could not be read, or was edited since it was loaded.
        definitions: label of each definition -> its digest.
        log_level: the level from which on logging calls count.
    """

    module: str
    digest: str
    definitions: Mapping[str, str] = field(default_factory=dict)
    log_level: int = LOG_LEVEL


def add_recorded_files(files: dict[str, RecordedFile], event: Event) -> None:
    """Add the source files that an event describes; of a file that was loaded twice, the first counts."""
    for path, found in lenient.mapping(lenient.mapping(event.get("metadata")).get("sources")).items():
        values = lenient.mapping(found)
        definitions = {
            str(label): str(each) for label, each in lenient.mapping(values.get("definitions")).items()
        }
        files.setdefault(
            path,
            RecordedFile(
                lenient.string(values.get("module")) or "",
                lenient.string(values.get("digest")) or "",
                definitions,
                LOG_LEVEL if (level := lenient.count(values.get("log_level"))) is None else level,
            ),
        )


class SourceFile:
    """A source file as it is today.

    Attributes:
        path: its name in the trace.
        module: the name under which it is imported.
        digest: that of the whole file; "" if it cannot be read.
    """

    def __init__(self, path: str, module: str, place: Path, log_level: int = LOG_LEVEL) -> None:
        self.path, self.module, self._log_level = path, module, log_level
        self._place = place
        try:
            self._source = place.read_bytes()
        except (OSError, ValueError):
            self._source = b""
            self.digest = ""
        else:
            self.digest = digest_source(self._source)

    @property
    def package(self) -> str:
        """The package that relative imports in it begin from."""
        return self.module if self._place.name == "__init__.py" else self.module.rpartition(".")[0]

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree; an empty one if it is not Python."""
        return self._text.tree

    @property
    def bindings(self) -> Mapping[str, list[ast.AST]]:
        """The statements at the top of the module that bind or change each name."""
        return self._text.bindings

    @property
    def definitions(self) -> Mapping[str, CodeDefinition]:
        """Its definitions by their labels."""
        return self._text.definitions

    @property
    def names(self) -> frozenset[str]:
        """All names in the code, without those of definitions."""
        return self._text.names

    @cached_property
    def _text(self) -> _SourceText:
        return _read_text(self._source, self._log_level)


@lru_cache(maxsize=2048)  # pytest runs each made test by itself, in one process
def _read_text(source: bytes, log_level: int) -> _SourceText:
    try:
        return _SourceText(parse_source(source, log_level))
    except (SyntaxError, ValueError, RecursionError):
        return _SourceText(ast.Module([], []))


class _SourceText:
    """A parsed text; the properties are those of `SourceFile`."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree

    @cached_property
    def bindings(self) -> Mapping[str, list[ast.AST]]:
        return find_bindings(self.tree.body)

    @cached_property
    def definitions(self) -> Mapping[str, CodeDefinition]:
        return find_definitions(self.tree)

    @cached_property
    def names(self) -> frozenset[str]:
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.FunctionDef) and node.name in _LISTS_SUBCLASSES:
                found.add(node.name)
        return frozenset(found)


Label = tuple[str, str]
"""The name of a file in the trace, and the label of a definition in it."""


class _Index:
    """Lookups in all definitions: a program may have tens of thousands, of which a tool reaches few."""

    def __init__(self, files: Mapping[str, SourceFile], changed: Iterable[Label]) -> None:
        self.labels: dict[str, list[Label]] = {}
        self.members: dict[Label, list[str]] = {}
        every = dict.fromkeys((path, label) for path, file in files.items() for label in file.definitions)
        for path, label in every | dict.fromkeys(changed):
            owner, _, last = label.rpartition(".")
            self.labels.setdefault(last, []).append((path, label))
            self.members.setdefault((path, owner), []).append(label)
        self.registrations = [*_find_registrations(files)]


def _find_registrations(files: Mapping[str, SourceFile]) -> Iterator[tuple[Label, frozenset[str]]]:
    decorated: dict[Label, set[str]] = {}
    for path, file in files.items():
        for label, definition in file.definitions.items():
            for node in definition.nodes if not label.endswith("=") else ():
                for decorator in getattr(node, "decorator_list", ()):
                    name = dotted_name(getattr(decorator, "func", decorator)).rpartition(".")[2]
                    decorated.setdefault((path, label), set()).add(name)
    wanted = {name for names in decorated.values() for name in names if name}
    changed: dict[str, set[str]] = {}
    for file in files.values():
        stores = {
            id(node): label.rpartition(".")[2][:-1]
            for label, definition in file.definitions.items()
            if label.endswith("=")
            for node in definition.nodes
        }
        for label, definition in file.definitions.items():
            last = label.rpartition(".")[2]
            if last in wanted and any(isinstance(each, Method) for each in definition.nodes):
                inner = (id(each) for node in definition.nodes for each in ast.walk(node))
                changed.setdefault(last, set()).update(stores[each] for each in inner if each in stores)
    for key, names in decorated.items():
        variables = frozenset().union(*(changed.get(name, ()) for name in names))
        if variables:
            yield key, variables


@dataclass
class SourceFiles:
    """The source files of a recorded program, and what has changed in them.

    Args:
        recorded: the files of the trace.
        root: the folder that their names are relative to.
        moved: the recorded file -> the present one, for those that run from another place.
    """

    recorded: Mapping[str, RecordedFile]
    root: Path = Path()
    moved: Mapping[str, str] = field(default_factory=dict)
    _modules: dict[str, SourceFile | None] = field(default_factory=dict)
    _indexed: tuple[tuple[int, int], _Index] | None = None

    @cached_property
    def files(self) -> dict[str, SourceFile]:
        """The files as they are today, by their names in the trace."""
        return {
            path: SourceFile(path, each.module, self._place(path), each.log_level)
            for path, each in self.recorded.items()
        }

    def _place(self, path: str) -> Path:
        return self.root / self.moved.get(path, path)

    @cached_property
    def _recorded_names(self) -> dict[str, str]:
        return {os.path.abspath(self.root / now): then for then, now in self.moved.items()}

    def recorded_label(self, label: str) -> Label:
        """Return the file and the definition of a label such as `tools.py:convert`, by the names in the trace."""
        path, _, name = label.rpartition(":")
        return self._recorded_names.get(os.path.abspath(self.root / path), path) if path else path, name

    @cached_property
    def differ(self) -> bool:
        """Whether the text of a file is another one."""
        return any(each.digest != self.files[path].digest for path, each in self.recorded.items())

    @cached_property
    def changed(self) -> dict[Label, str]:
        """What has changed: the definition -> `has changed`, `is new` or `does not exist any more`."""
        found: dict[Label, str] = {}
        for path, before in self.recorded.items():
            now = self.files[path]
            if before.digest and before.digest == now.digest:
                continue
            found |= {(path, label): how for label, how in _compare(before, now)}
        return found

    @property
    def labels(self) -> Mapping[str, Sequence[Label]]:
        """All definitions by the last part of their labels, also those that exist no more."""
        return self._index.labels

    @property
    def members(self) -> Mapping[Label, Sequence[str]]:
        """The labels below that of a definition."""
        return self._index.members

    @property
    def registrations(self) -> Sequence[tuple[Label, frozenset[str]]]:
        """The decorated definitions, each with the variables and attributes that a function named as its decorator changes."""
        return self._index.registrations

    @property
    def _index(self) -> _Index:
        size = (len(self.files), len(self.changed))
        if self._indexed is None or self._indexed[0] != size:
            self._indexed = (size, _Index(self.files, self.changed))
        return self._indexed[1]

    def is_mentioned(self, name: str) -> bool:
        """Return whether a class could have an object: the code names it somewhere, or asks for subclasses."""
        return name in self._mentioned or not _LISTS_SUBCLASSES.isdisjoint(self._mentioned)

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        return frozenset().union(*(file.names for file in list(self.files.values())))

    def has_other_signature(self, label: Label) -> bool:
        """Return whether the annotations of a function have changed. They count for tools, of which models get a schema."""
        before, now = self.recorded.get(label[0]), self.files.get(label[0])
        if before is None or now is None or label[1] not in now.definitions or before.digest == now.digest:
            return False
        present = digest_definitions({label[1]: now.definitions[label[1]]})
        return before.definitions.get(label[1], "")[DIGITS:] != present[label[1]][DIGITS:]

    @cached_property
    def edited(self) -> tuple[str, ...]:
        """The files that could not be compared, because the trace holds no digest of what ran."""
        return tuple(path for path, each in self.recorded.items() if not each.digest)

    def module(self, name: str) -> SourceFile | None:
        """Return an own module; None for any other. One that the recorded program did not load is found beside the others."""
        if name not in self._modules:
            known = next((each for each in self.files.values() if each.module == name), None)
            self._modules[name] = known or self._find_new(name)
        return self._modules[name]

    def is_file_of(self, label: Label, path: str) -> bool:
        """Return whether a definition stands in the file with an absolute path."""
        return bool(label[0]) and os.path.abspath(self._place(label[0])) == path

    def find_made(self, label: Label) -> SourceFile | None:
        """Return the file whose text `exec` ran to make a function, as templates and formulas do; None if there is none.

        It is none of the modules, and has the module name "".
        """
        path, name = label
        place = self._place(path)
        if not path or path[0] == "<" or not place.is_file():
            return None
        found = SourceFile(path, "", place)
        if name not in found.definitions:
            return None
        return self.files.setdefault(path, found)

    def _find_new(self, name: str) -> SourceFile | None:
        for folder in self._folders:
            stem = folder.joinpath(*name.split("."))
            for place in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
                if place.is_file():
                    shown = os.path.relpath(place, self.root)
                    found = self.files[shown] = SourceFile(shown, name, place)
                    self.changed.update({(shown, label): NEW for label in found.definitions})
                    return found
        return None

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        """The folders from which the own modules were imported."""
        found: dict[Path, None] = {}
        for path, each in self.recorded.items():
            place = self._place(path)
            depth = 0 if each.module == MAIN else each.module.count(".") + (place.name == "__init__.py")
            if depth < len(place.parents) and place.parents[depth].name not in _OF_PACKAGES:
                found[place.parents[depth]] = None
        return tuple(found)


def _compare(before: RecordedFile, now: SourceFile) -> Iterable[tuple[str, str]]:
    """Yield the definitions that differ, each with how; annotations count only where a tool is the root, see `same_signature`.

    What stands inside a function whose own digest is equal does not differ: its local variables may have other names.
    """
    then, present = before.definitions, digest_definitions(now.definitions)
    for label in sorted(then.keys() | present.keys()):
        outer = label.partition(".<locals>.")[0]
        if outer != label and outer in then and then[outer][:DIGITS] == present.get(outer, "")[:DIGITS]:
            continue
        if label not in present:
            yield label, GONE
        elif label not in then:
            yield label, NEW
        elif then[label][:DIGITS] != present[label][:DIGITS]:
            yield label, CHANGED


def describe_change(label: Label, how: str) -> str:
    """Return a clause about a change: `tools.py:convert has changed`."""
    path, name = label
    if name.endswith("()"):
        return f"a call of {name[:-2]} in {path} {how}"
    if name.endswith("="):
        return f"an assignment of {name[:-1]} in {path} {how}"
    return f"{path}:{name} {how}"
