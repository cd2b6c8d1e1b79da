"""The shape of the code: who may import whom, held as data."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "namel3ss_debug"

FLOOR = frozenset({"errors", "expressions", "fields", "late_patterns", "prices", "version", "wire"})
READERS = frozenset({"config", "traces", "importers"})
LAYERS = {
    "errors": frozenset(),
    "version": frozenset(),
    "fields": frozenset(),
    "late_patterns": frozenset(),
    "expressions": frozenset({"errors", "fields"}),
    "prices": frozenset({"errors"}),
    "wire": frozenset({"errors"}),
    "config": FLOOR,
    "traces": FLOOR | {"config"},
    "capture": FLOOR | {"config", "traces"},
    "importers": FLOOR | {"config", "traces"},
    "replay": FLOOR | READERS,
    "analysis": FLOOR | READERS,
    "inspection": FLOOR | READERS,
    "monitoring": FLOOR | READERS | {"analysis", "inspection"},
    "views": FLOOR | READERS | {"replay", "analysis", "inspection", "monitoring"},
    "exporters": FLOOR | READERS | {"analysis", "inspection", "views"},
    "cli": FLOOR
    | READERS
    | {"capture", "replay", "analysis", "inspection", "monitoring", "views", "exporters"},
}
DOORS = frozenset({"", "__main__", "auto", "hooks", "log_analysis", "pytest_plugin"})
"""The doors may import every layer, lazily."""

BRIDGES = {
    "replay/rerun/preparation.py": frozenset({"capture"}),
    "replay/rerun/running.py": frozenset({"capture"}),
    "replay/debugger/live.py": frozenset({"capture"}),
    "replay/rerun/starting.py": frozenset({"capture"}),
    "replay/rerun/inprocess.py": frozenset({"capture"}),
    "replay/rerun/programs.py": frozenset({"capture"}),
}
"""The six places where the halves meet outside of `traces`."""

THIRD_PARTY = {
    "orjson": frozenset(
        {
            *("config", "traces", "importers", "capture", "replay", "analysis", "inspection", "views"),
            *("exporters", "cli", "wire"),
        }
    ),
    "psutil": frozenset({"capture", "analysis", "monitoring"}),
    "wrapt": frozenset({"capture"}),
    "_time_machine": frozenset({"capture"}),
    "time_machine": frozenset({"capture", "replay"}),
    "genai_prices": frozenset({"prices"}),
    "pandas": frozenset({"traces"}),
    "pyarrow": frozenset({"traces"}),
    "jsonschema": frozenset({"analysis"}),
    "referencing": frozenset({"analysis"}),
    "pyinstrument": frozenset({"capture"}),
    "urllib3": frozenset({"capture", "wire"}),
    "mcp": frozenset({"cli"}),
    "apprise": frozenset({"monitoring"}),
    "google": frozenset({"exporters", "importers"}),
    "opentelemetry": frozenset({"exporters", "importers"}),
    "aiohttp": frozenset({"capture"}),
    "click": frozenset({"cli"}),
    "rich": frozenset({"views", "cli"}),
    "prompt_toolkit": frozenset({"views"}),
    "pygments": frozenset({"views"}),
}
LONGEST_CHAIN = 18
"""How many modules an import chain may have at most. The wanted final state is 18."""

PRINTERS = frozenset({"views", "cli"})

FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    """Return the layer of a file: its first folder, or its own name."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file, parsed once."""
    return ast.parse(path.read_text())


def imports_of(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_a_module_imports_only_what_its_layer_may():
    """Each import stays within its layer, goes to a layer to its right, or crosses a named bridge."""
    found = []
    for path in FILES:
        layer, file = layer_of(path), path.relative_to(PACKAGE).as_posix()
        if layer in DOORS:
            continue
        allowed = LAYERS[layer] | {layer} | BRIDGES.get(file, frozenset())
        for name in imports_of(path):
            top, _, rest = name.partition(".")
            if top == "namel3ss_debug":
                may = rest.partition(".")[0] in allowed
            else:
                may = top in sys.stdlib_module_names or layer in THIRD_PARTY.get(top, frozenset())
            if not may:
                found.append(f"{file} imports {name}")
    assert found == []


def test_the_name_of_a_class_stands_for_one_class():
    """A reader who meets a name, also a private one, knows which class is meant."""
    classes = [node.name for path in FILES for node in tree_of(path).body if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(classes).items() if count > 1] == []


def test_only_the_edge_prints_to_stdout():
    """Below the views nothing prints, except a line on stderr from inside the traced program."""
    found = []
    for path in FILES:
        if layer_of(path) in PRINTERS or "print" not in path.read_text():
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                targets = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "file"]
                if targets not in (["sys.stderr"], ["sys.__stderr__"]):
                    found.append(f"{path}:{node.lineno} prints to stdout")
    assert found == []


@cache
def import_graph() -> dict[str, set[str]]:
    """Return module -> the modules of ours that it imports at its top level, for typing or not."""
    names = {
        ".".join(("namel3ss_debug", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    return {
        name: {nearest(found, names) for found in top_imports(tree_of(path).body)} - {None, name}
        for name, path in names.items()
    }


def top_imports(body: list[ast.stmt]) -> set[str]:
    """Return the imports that stand outside of functions and classes."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            found |= top_imports(node.body) | top_imports(getattr(node, "orelse", []))
            for handler in getattr(node, "handlers", []):
                found |= top_imports(handler.body)
    return found


def test_modules_do_not_import_each_other_in_a_circle():
    """Imports for typing count: a reader has to follow them too."""
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_import_chain_is_longer_than_the_limit():
    """A longer one means rooms that are cut too small, or a thing that stands too high."""
    graph = import_graph()
    longest: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        longest[name] = [name, *max((longest[target] for target in graph[name]), key=len, default=[])]
    chain = max(longest.values(), key=len)
    assert len(chain) <= LONGEST_CHAIN, " -> ".join(chain)


def nearest(name: str, known: dict[str, Path]) -> str | None:
    """Return the module of ours that an import of `name` loads."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


PAIRS_ONLINE = ("capture/", "replay/rerun/")
FOLLOWS_PARENTS = {
    "traces/span_table.py",
    "traces/span_events.py",  # makes events: a message belongs after the start that it names
    "importers/arriving.py",  # replaces the id of a span by that of the event that its trace has for it
    "analysis/sections/event_sequence.py",  # checks that what an event names is there, and before it: pairs nothing
}


def test_only_the_table_of_spans_pairs_starts_with_ends():
    """Nothing else reads which event an event names as its parent; recording and re-running pair while they run."""
    found = set()
    for path in FILES:
        file = path.relative_to(PACKAGE).as_posix()
        if not file.startswith(PAIRS_ONLINE) and any(map(reads_parent, ast.walk(tree_of(path)))):
            found.add(file)
    assert found == FOLLOWS_PARENTS


def reads_parent(node: ast.AST) -> bool:
    """Return whether a node reads `parent_event_id` of an event: by `get`, by a subscript, or by `in`."""
    if isinstance(node, ast.Call):
        is_get = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        name: ast.AST | None = node.args[0] if is_get and node.args else None
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        name = node.slice
    else:
        name = node.left if isinstance(node, ast.Compare) else None
    return isinstance(name, ast.Constant) and name.value == "parent_event_id"
