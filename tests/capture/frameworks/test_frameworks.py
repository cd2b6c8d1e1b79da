"""Frameworks are followed when the program imports them; one that cannot be followed costs its structure alone."""

from __future__ import annotations

import ast
import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from namel3ss_debug.capture import frameworks
from namel3ss_debug.capture.launch.start import shutdown_tracing

PACKAGE = Path(frameworks.__file__).parent
ROOT = Path(__file__).parents[3]


@pytest.fixture
def weave(tmp_path, monkeypatch):
    """A framework that the program has not imported, and a seam for it whose `follow` the test sets."""
    (tmp_path / "weave_frame.py").write_text("looms = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "weave_frame", raising=False)
    seam = ModuleType("weave")
    monkeypatch.setitem(sys.modules, f"{frameworks.__name__}.weave", seam)
    monkeypatch.setattr(frameworks, "SEAMS", {"weave_frame": frameworks.Seam("weave", "weave")})
    return seam


def test_a_framework_is_followed_from_its_import_on(weave, tracer):
    """The seam is given the module and where to tell, and nothing happens before."""
    seen = []
    weave.follow = lambda module, structure: seen.append((module.looms, structure)) or []
    assert seen == []
    import_module("weave_frame")
    [(looms, structure)] = seen
    assert (looms, structure.framework, structure.tracer) == (3, "weave", tracer)


def test_letting_go_takes_the_observers_away(weave, tracing):
    """What a seam returns is called when tracing ends."""
    gone = []
    weave.follow = lambda _module, _structure: [lambda: gone.append("observer")]
    tracing()
    import_module("weave_frame")
    shutdown_tracing()
    assert gone == ["observer"]


def test_a_framework_that_cannot_be_followed_is_one_line(weave, tracer):
    """Whatever its seam raises is a problem of tracing that names the framework, and the import goes on."""

    def follow(module, _structure):
        return [module.no_such_place]

    weave.follow = follow
    assert import_module("weave_frame").looms == 3
    [problem] = tracer.problems
    assert problem.startswith("weave is not followed, only its traffic: ")


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_seam_imports_what_it_follows(path):
    """A framework is loaded by the program or not at all."""
    names = {seam.partition(".")[0] for seam in frameworks.SEAMS}
    imported = {
        name.partition(".")[0]
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
    }
    assert imported.isdisjoint(names)


def test_every_framework_that_is_followed_has_a_program_and_its_tree():
    """What the script runs, what stands beside it, and the rows of the guide's table are the same frameworks.

    A row with a third word has tests in place of a program.
    """
    script = ast.parse((ROOT / ".ci" / "frameworks").read_text("utf-8"))
    [table] = [
        node.value
        for node in script.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FRAMEWORKS"
    ]
    names = {ast.literal_eval(key) for key in table.keys}
    tested = {
        ast.literal_eval(key) for key, row in zip(table.keys, table.values, strict=True) if len(row.args) > 2
    }
    programs = ROOT / "tests" / "data" / "programs_frameworks"
    assert {path.stem for path in programs.glob("*.py")} == names - tested | {"script"}
    assert {path.stem for path in programs.glob("*.tree")} == names - tested
    rows = json.loads((ROOT / "docs" / "frameworks.json").read_text("utf-8"))
    assert {row["name"] for row in rows} == names
    assert {row["name"] for row in rows if row.get("tests")} == tested
    assert [row["differences"] for row in rows] == [[]] * len(rows)


def test_every_seam_has_its_module():
    """The table names modules that are there."""
    assert all((PACKAGE / f"{seam.module}.py").exists() for seam in frameworks.SEAMS.values())
