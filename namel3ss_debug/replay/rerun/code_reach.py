"""Find which definitions of a program a tool can reach by name.

Names are resolved in the source text: a name that leads to a function, class or variable of the project is followed, one
that leads into a library is not. Some steps are not certain: a method of a class whose objects a tool only may get, an
assignment to an attribute from elsewhere, a function in a table. What lies behind these *could* be reached. Where code
runs text (`exec`) or reads attributes whose names are computed, everything could be.
"""

from __future__ import annotations

import ast
import builtins
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.replay.rerun.mentions import find_mentions
from namel3ss_debug.replay.rerun.source_files import Label, SourceFile, SourceFiles
from namel3ss_debug.traces.definitions import (
    CodeDefinition,
    Function,
    Method,
    dotted_name,
    find_bindings,
    parameter_names,
)

_BUILTINS: Final = frozenset(vars(builtins)) | {"__name__", "__file__", "__doc__", "super"}
_IMPORTS: Final = (ast.Import, ast.ImportFrom)
_MADE: Final = "it was made while the program ran"
_LISTS_NAMES: Final = frozenset({"vars", "dir", "__dict__", "getmembers"})


class CodeReach:
    """What one tool reaches.

    Args:
        sources: the source files.
        function: the function of the tool, and the definition in which it stands.
        classes: the user's classes that the object of a method is an instance of.

    Attributes:
        certain: the definitions that it reaches for sure, also names that exist no more.
        possible: those that it could reach.
        dynamic: why it could reach everything; () if it cannot.
        libraries: the modules of libraries that it names.
    """

    def __init__(self, sources: SourceFiles, function: Label, classes: Iterable[Label] = ()) -> None:
        self._sources = sources
        self._queue: deque[tuple[SourceFile, str, CodeDefinition]] = deque()
        self._seen: dict[Label, bool] = {}
        self._is_certain = True
        self._classes: set[Label] = set()
        self._made: set[str] = set()  # classes whose objects are made elsewhere: the arguments count
        self._attributes: set[str] = set()
        self._own_attributes: set[str] = set()  # of the objects of methods, whose classes are known
        self._globals: set[str] = set()
        self._lists_names = False
        # It imports a module by a computed name, as loaders of plugins do, or uses one as a value, as `setattr(rates, ...)`
        # does: it reaches what has the name of an attribute that is read.
        self._any_module = False
        self._any_own = False
        self.dynamic: dict[str, None] = {}
        self.libraries: set[str] = set()
        self._importing: set[tuple[str, ...]] = set()
        self._root = function
        file = sources.files.get(function[0]) or sources.find_made(function)
        if file is None or function[1] not in file.definitions:
            self._seen[function] = True
            if file is None:
                self.dynamic[_MADE] = None
        else:
            self._add_root(file, function[1], classes)
        self._follow_all()
        self.certain = frozenset(label for label in self._seen)
        self._is_certain = False
        while self._follow_possible():
            self._follow_all()
        if self._any_module and self._lists_names:
            self.dynamic["it uses a module as a value, and lists what is in one"] = None
        self.possible = frozenset(self._seen.keys() - self.certain)

    def _add_root(self, file: SourceFile, label: str, classes: Iterable[Label]) -> None:
        self._add(file, label)
        definition = file.definitions[label]
        around = [each for each in definition.scopes if isinstance(each, ast.ClassDef)]
        own = (
            [(file.path, label.rpartition(".")[0])] if around and definition.scopes[-1] is around[-1] else []
        )
        for path, name in [*own, *classes]:
            found = self._sources.files.get(path)
            if found is not None:
                self._add(found, name)
                self._made.add(name.rpartition(".")[2])
        # A part of the arguments may be fixed: `partial(convert, rate=2)`.
        self._add_everywhere(f"partial({label.rpartition('.')[2]})")

    @property
    def computed_in(self) -> set[str]:
        """The files of which it reads a variable that a call has made."""
        return {
            path
            for path, label in self.certain
            if path in self._sources.files
            and (definition := self._sources.files[path].definitions.get(label)) is not None
            and not definition.scopes
            and any(_is_computed(node) for node in definition.nodes)
        }

    # --- steps

    def _add(self, file: SourceFile, label: str) -> None:
        key = (file.path, label)
        if key in self._seen:
            return
        self._seen[key] = self._is_certain
        definition = file.definitions.get(label)
        if definition is not None:
            self._queue.append((file, label, definition))
            if any(isinstance(node, ast.ClassDef) for node in definition.nodes):
                self._classes.add(key)

    def _add_everywhere(self, name: str) -> None:
        """Add the definitions of this name in all files and functions: calls of a function or class."""
        for path, label in self._sources.labels.get(name, ()):
            if label == name or label.endswith(f".<locals>.{name}"):
                self._add(self._sources.files[path], label)

    def _follow_all(self) -> None:
        while self._queue or self._follow_classes():
            if self._queue:
                self._follow(*self._queue.popleft())

    def _follow(self, file: SourceFile, label: str, definition: CodeDefinition) -> None:
        is_root = (file.path, label) == self._root
        found = find_mentions(definition.nodes, receiver=_receiver_of(definition), with_signature=is_root)
        self._attributes |= found.attributes
        self._own_attributes |= found.own_attributes
        if not self._is_certain:  # the class of the object is not known
            self._attributes |= found.own_attributes
        self._any_own |= found.any_own
        for what in found.dynamic:
            self.dynamic[f"{file.path}:{label} uses {what}"] = None
        for (level, module, name), rest in found.imports:
            self._follow_import(file, level, module, name, rest)
        decorators = {
            dotted_name(getattr(each, "func", each))
            for node in definition.nodes
            for each in getattr(node, "decorator_list", ())
        }
        if not _LISTS_NAMES.isdisjoint((*found.free, *found.attributes)):
            self._lists_names = True
        for chain in found.free:
            self._follow_name(file, definition, chain.split("."), is_decorator=chain in decorators)
        if (file.path, label) == self._root:
            for name in _signature_names(definition.nodes):
                self._made.add(name)

    def _follow_name(
        self, file: SourceFile, definition: CodeDefinition, names: list[str], *, is_decorator: bool
    ) -> None:
        """Follow a name to the innermost scope that binds it."""
        prefix = _prefixes(definition)
        for scope, label in zip(reversed(definition.scopes), reversed(prefix), strict=True):
            if not isinstance(scope, Function):
                continue
            body = scope.body if isinstance(scope.body, list) else []
            if names[0] in find_bindings(body):
                self._add(file, f"{label}.<locals>.{names[0]}")
                for node in find_bindings(body)[names[0]]:
                    self._follow_import_statement(file, node, names[1:])
                return
            if names[0] in parameter_names(scope):
                # A closure gets it from the calls of the function around it.
                self._add_everywhere(f"{label.rpartition('.')[2]}()")
                return
        self._follow_global(file, names, is_decorator=is_decorator)

    def _follow_global(self, file: SourceFile, names: list[str], *, is_decorator: bool = False) -> None:
        """Follow a name of a module. `names` is the name and the attributes that are used of it."""
        name = names[0]
        bound = file.bindings.get(name, [])
        if not bound:
            self._add(file, name)  # it may have existed when the trace was recorded
            if not file.module and name not in _BUILTINS:
                self.dynamic[_MADE] = None  # with a namespace that is not known
            if name not in _BUILTINS:
                self._follow_stars(file, names)
            return
        if is_decorator and not isinstance(bound[0], (*Method.__args__, ast.ClassDef, *_IMPORTS)):
            # `@agent.tool` belongs to the function, but the agent and its prompt do not.
            return
        self._globals.add(name)
        self._add(file, name)
        place = (file.path, *names)
        if place in self._importing:  # modules may import a name from each other, or from themselves
            return
        self._importing.add(place)
        for node in bound:
            self._follow_import_statement(file, node, names[1:])
        self._importing.discard(place)

    def _follow_import_statement(self, file: SourceFile, node: ast.AST, rest: list[str]) -> None:
        if isinstance(node, ast.ImportFrom):
            self._follow_import(file, node.level, node.module or "", node.names[0].name, rest)
        elif isinstance(node, ast.Import):
            alias = node.names[0]
            top = alias.name if alias.asname else alias.name.partition(".")[0]
            self._follow_import(file, 0, top, "", rest)

    def _follow_stars(self, file: SourceFile, names: list[str]) -> None:
        for node in file.bindings.get("*", ()):
            if isinstance(node, ast.ImportFrom):
                self._follow_import(file, node.level, node.module or "", names[0], names[1:], is_star=True)

    def _follow_import(
        self, file: SourceFile, level: int, module: str, name: str, rest: list[str], *, is_star: bool = False
    ) -> None:
        """Follow `from module import name`, or `import module`, and the attributes that are used of it."""
        absolute = module
        if level:
            package = file.package.rsplit(".", level - 1)[0] if level > 1 else file.package
            absolute = f"{package}.{module}" if module and package else package or module
        names = [name, *rest] if name else rest
        found = self._sources.module(absolute)
        if found is not None and is_star and names[0] not in found.bindings:
            return
        self._follow_module(absolute, found, names)

    def _follow_module(self, absolute: str, found: SourceFile | None, names: list[str]) -> None:
        if found is not None and names and names[0] in found.bindings:
            self._follow_global(found, names)
            return
        inner = self._sources.module(f"{absolute}.{names[0]}") if names else None
        if inner is not None:
            self._follow_module(f"{absolute}.{names[0]}", inner, names[1:])
        elif found is not None and names:
            self._follow_global(found, names)
        elif (
            found is not None
            or names[-1:] == ["import_module"]
            or f"{absolute}.{'.'.join(names)}" == "importlib.import_module"
        ):
            self._any_module = True
        else:
            self.libraries.add(absolute.partition(".")[0])

    def _follow_classes(self) -> bool:
        """Add the methods that are called by name on the classes so far, and return whether there was a new one."""
        before = len(self._seen)
        for path, label in list(self._classes):
            file = self._sources.files[path]
            for name in self._sources.members.get((path, label), ()):
                attribute = name.rpartition(".")[2].removesuffix("=")
                if (
                    self._any_own
                    or attribute in self._attributes | self._own_attributes
                    or (attribute[:2] == "__" == attribute[-2:])
                ):
                    self._add(file, name)
            short = label.rpartition(".")[2]
            if short in self._made:
                self._add_everywhere(f"{short}()")
        return len(self._seen) > before

    def _follow_possible(self) -> bool:
        """Add what could be reached through the attributes and variables so far; return whether there was anything new."""
        before = len(self._seen)
        files, labels = self._sources.files, self._sources.labels
        names = self._attributes | self._own_attributes | self._globals
        for name in names:
            for path, label in labels.get(f"{name}=", ()):
                if label == f"{name}=":
                    self._add(files[path], label)
        for name in self._attributes:
            for path, label in labels.get(name, ()):
                owner = label.rpartition(".")[0]
                if not owner and self._any_module:
                    self._add(files[path], label)
                elif (
                    owner
                    and not owner.endswith("<locals>")
                    and self._sources.is_mentioned(owner.rpartition(".")[2])
                ):
                    self._add(files[path], label)
                    self._add(files[path], owner)  # with its variables
        # A decorator may put a function into a variable which the tool reads, as into `HANDLERS`.
        for (path, label), changed in self._sources.registrations:
            if not changed.isdisjoint(names):
                self._add(files[path], label)
        return len(self._seen) > before


def _receiver_of(definition: CodeDefinition) -> str:
    """Return the name that a method has for its object or class, `self` or `cls`; "" for other code."""
    node = definition.nodes[0] if definition.nodes else None
    if (
        not isinstance(node, Method)
        or not definition.scopes
        or not isinstance(definition.scopes[-1], ast.ClassDef)
    ):
        return ""
    names = parameter_names(node)
    static = any(dotted_name(each) == "staticmethod" for each in node.decorator_list)
    return names[0] if names and not static else ""


def _is_computed(node: ast.AST) -> bool:
    return not isinstance(node, (*Function.__args__, ast.ClassDef, *_IMPORTS)) and any(
        isinstance(each, ast.Call) for each in ast.walk(node)
    )


def _prefixes(definition: CodeDefinition) -> list[str]:
    """Return the label of each scope around a definition."""
    labels: list[str] = []
    for scope in definition.scopes:
        name = getattr(scope, "name", "<lambda>")
        outer = definition.scopes[len(labels) - 1] if labels else None
        joint = ".<locals>." if isinstance(outer, Function) else "."
        labels.append(f"{labels[-1]}{joint}{name}" if labels else name)
    return labels


def _signature_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names in the annotations of a tool's function: classes whose objects it gets."""
    for node in nodes:
        if isinstance(node, Method):
            arguments = node.args
            for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
                for inner in ast.walk(each.annotation) if each.annotation is not None else ():
                    if isinstance(inner, ast.Name):
                        yield inner.id
                    elif isinstance(inner, ast.Attribute):
                        yield inner.attr
