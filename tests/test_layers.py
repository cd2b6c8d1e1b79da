"""The shape of the code: who may import whom, held as data."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "namel3ss_debug"

FLOOR = frozenset({"errors", "expressions", "prices", "wire"})
LAYERS = {
    "errors": frozenset(),
    "expressions": frozenset({"errors"}),
    "prices": frozenset({"errors"}),
    "wire": frozenset({"errors"}),
    "config": FLOOR,
    "traces": FLOOR | {"config"},
    "capture": FLOOR | {"config", "traces"},
    "replay": FLOOR | {"config", "traces"},
    "analysis": FLOOR | {"config", "traces"},
    "inspection": FLOOR | {"config", "traces"},
    "views": FLOOR | {"config", "traces", "replay", "analysis", "inspection"},
    "cli": FLOOR | {"config", "traces", "capture", "replay", "analysis", "inspection", "views"},
}
DOORS = frozenset({"", "__main__", "auto", "hooks", "log_analysis", "pytest_plugin"})
"""The doors may import every layer, lazily."""

BRIDGES = {
    "replay/rerun.py": frozenset({"capture"}),
    "replay/live.py": frozenset({"capture"}),
    "replay/starting.py": frozenset({"capture"}),
    "replay/inprocess.py": frozenset({"capture"}),
    "replay/programs.py": frozenset({"capture"}),
}
"""The five places where the halves meet outside of `traces`."""

THIRD_PARTY = {
    "orjson": frozenset(
        {"config", "traces", "capture", "replay", "analysis", "inspection", "views", "cli", "wire"}
    ),
    "psutil": frozenset({"capture", "analysis"}),
    "wrapt": frozenset({"capture"}),
    "_time_machine": frozenset({"capture"}),
    "time_machine": frozenset({"capture", "replay"}),
    "genai_prices": frozenset({"prices"}),
    "jsonschema": frozenset({"analysis"}),
    "referencing": frozenset({"analysis"}),
    "pyinstrument": frozenset({"capture"}),
    "urllib3": frozenset({"capture"}),
    "aiohttp": frozenset({"capture"}),
    "click": frozenset({"cli"}),
    "rich": frozenset({"views", "cli"}),
    "prompt_toolkit": frozenset({"views"}),
    "pygments": frozenset({"views"}),
}
PRINTERS = frozenset({"views", "cli"})

FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    """The layer a file belongs to: its first folder, or its own name."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports_of(path: Path) -> set[str]:
    """The full names of all modules a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(path):
    """Each import stays within its layer, goes to a layer to its right, or crosses a named bridge."""
    layer = layer_of(path)
    if layer in DOORS:
        return
    allowed = LAYERS[layer] | {layer} | BRIDGES.get(str(path.relative_to(PACKAGE)), frozenset())
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "namel3ss_debug":
            target = rest.partition(".")[0]
            assert target in allowed or target == "__version__", f"{layer} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert layer in THIRD_PARTY.get(top, frozenset()), f"{layer} imports {top}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_edge_prints_to_stdout(path):
    """Below the views nothing prints, except a line on stderr from inside the traced program."""
    if layer_of(path) in PRINTERS:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            targets = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "file"]
            assert targets in (["sys.stderr"], ["sys.__stderr__"]), f"{path}:{node.lineno} prints to stdout"


def test_modules_do_not_import_each_other_in_a_circle():
    """The imports at the top of the modules form no cycle."""
    names = {
        ".".join(("namel3ss_debug", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        name: {
            target for target in (nearest(i, names) for i in top_imports(path)) if target not in {None, name}
        }
        for name, path in names.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def top_imports(path: Path) -> set[str]:
    """The imports that run when the module is imported."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def nearest(name: str, known: dict[str, Path]) -> str | None:
    """The module of ours that an import of `name` loads."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None
