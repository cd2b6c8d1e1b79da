"""Tests of what is recorded of the code behind tools."""

from __future__ import annotations

import importlib
import sys

import pytest

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.seams.functions import codedigest
from namel3ss_debug.capture.seams.functions.codedigest import ToolCode


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Imports modules of a project from their texts, and returns them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(codedigest, "_STARTED", float("inf"))
    names = []

    def load(name, text):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(name)

    load.codes = ToolCode(CallSites(str(tmp_path), str(tmp_path)))
    load.folder = tmp_path
    load.codes.new_files()  # those of the tests themselves
    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_a_tool_is_described_with_its_first_call(project):
    """Later calls of the same function add nothing; another function of the same name is described again."""
    tools = project("recorded_tools", "def double(x): return 2 * x\ndef triple(x): return 3 * x\n")
    codes = project.codes
    described = codes.of_call("double", tools.double.__code__)
    assert described == {"version": 4, "function": "recorded_tools.py:double"}
    assert codes.of_call("double", tools.double.__code__) is None
    assert codes.of_call("double", tools.triple.__code__)["function"] == "recorded_tools.py:triple"


def test_a_method_is_described_with_the_classes_of_its_object(project):
    """Those of the user, in the order in which Python looks for a method."""
    text = "import json\nclass A:\n    def run(self): pass\nclass B(A, json.JSONDecoder): pass\n"
    tools = project("recorded_tools", text)
    described = project.codes.of_call("run", tools.A.run.__code__, tools.B())
    assert described["function"] == "recorded_tools.py:A.run"
    assert described["classes"] == ["recorded_tools.py:B", "recorded_tools.py:A"]


def test_a_function_without_a_file_is_named_all_the_same(project):
    """A re-run then knows that it cannot compare it."""
    space = {}
    exec("def made(): pass", space)
    assert project.codes.of_call("made", space["made"].__code__)["function"] == "<string>:made"


def test_each_file_of_the_user_is_described_once(project):
    """Modules that are loaded later are described later; those of libraries never."""
    project("recorded_tools", "LIMIT = 1\n")
    first = project.codes.new_files()
    assert list(first) == ["recorded_tools.py"]
    assert first["recorded_tools.py"]["module"] == "recorded_tools"
    assert list(first["recorded_tools.py"]["definitions"]) == ["LIMIT", "<module>"]
    assert project.codes.new_files() == {}
    project("recorded_more", "import json\n")
    assert list(project.codes.new_files()) == ["recorded_more.py"]


def test_a_file_that_was_edited_while_the_program_ran_has_no_digest(project, monkeypatch):
    """The file does not hold what runs."""
    project("recorded_tools", "LIMIT = 1\n")
    monkeypatch.setattr(codedigest, "_STARTED", 0.0)
    assert project.codes.new_files()["recorded_tools.py"] == {
        "module": "recorded_tools",
        "digest": "",
        "edited": True,
    }


def test_a_package_that_was_installed_from_a_folder_is_the_users(project, monkeypatch):
    """One from an index is not; its version says what it is."""
    site = project.folder.parent / "elsewhere" / "site-packages"
    for name, url in (("recorded_ours", "file:///src"), ("recorded_theirs", "https://example.org/a.whl")):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "direct_url.json").write_text(f'{{"url": "{url}"}}')
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n")
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(site))
    try:
        importlib.import_module("recorded_ours")
        importlib.import_module("recorded_theirs")
        found = ToolCode(CallSites(str(project.folder), str(project.folder))).new_files()
    finally:
        sys.modules.pop("recorded_ours", None)
        sys.modules.pop("recorded_theirs", None)
    assert [each["module"] for path, each in found.items() if "site-packages" in path] == ["recorded_ours"]
