"""What people import: all of it is there, typed and shipped, and importing it costs next to nothing."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
import typing
import zipfile
from pathlib import Path

import pytest

import namel3ss_debug
from namel3ss_debug import hooks

ROOT = Path(__file__).parents[1]
HEAVY = {
    "asyncio",
    "click",
    "orjson",
    "prompt_toolkit",
    "psutil",
    "pygments",
    "rich",
    "time_machine",
    "wrapt",
}


@pytest.mark.parametrize("name", namel3ss_debug.__all__)
def test_every_public_name_loads(name):
    """Each name of `__all__` is there, is listed by `dir`, and says what it is."""
    value = getattr(namel3ss_debug, name)
    assert name in dir(namel3ss_debug)
    assert value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = namel3ss_debug.nothing


def test_the_hooks_are_the_same_in_both_places():
    """`namel3ss_debug.hooks` holds names of the package, and the same objects."""
    assert set(hooks.__all__) < set(namel3ss_debug.__all__)
    for name in hooks.__all__:
        assert getattr(hooks, name) is getattr(namel3ss_debug, name)


def test_the_tracer_that_does_nothing_has_a_name():
    """So a program can annotate what `get_global_tracer` gives it; while tracing is off that says so, and does nothing."""
    tracer = namel3ss_debug.get_global_tracer()
    assert type(tracer) is namel3ss_debug.OffTracer
    assert (tracer.enabled, namel3ss_debug.ExecutionTracer.enabled) == (False, True)
    with tracer.span("tool", "search", inputs={}) as span:
        span.set_output(1)
    assert tracer.emit("decision", component="agent") is None


def imported_by(statement):
    """The top names of the modules that a statement brings into a fresh interpreter."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_imports_nothing_else():
    """Only the package itself and what every interpreter has at hand."""
    assert imported_by("import namel3ss_debug") - {"typing", "collections", "contextlib"} <= {
        "namel3ss_debug", "__future__", "_typing", "_collections_abc", "copyreg", "functools", "operator", "re",
        "reprlib", "types", "keyword", "itertools", "_collections", "_functools", "_operator", "enum", "_sre", "warnings",
        "heapq", "_heapq", "abc", "_abc", "_types",
    }  # fmt: skip


@pytest.mark.parametrize(
    "statement", ["import namel3ss_debug", "from namel3ss_debug import DebugConfiguration"]
)
def test_a_light_import_leaves_the_heavy_ones_alone(statement):
    """No dependency is imported before it is needed."""
    assert not imported_by(statement) & HEAVY


def test_the_command_line_is_quick_to_load():
    """The table of commands needs click alone; no command, and nothing a command needs, is imported with it."""
    assert imported_by("import namel3ss_debug.cli.main") & HEAVY <= {"click"}


@pytest.mark.parametrize(
    "name", ["instrument_agent", "measure_performance", "trace_errors", "trace_performance"]
)
def test_what_is_used_bare_and_with_arguments_has_a_type_for_each(name):
    """So what it decorates keeps its own type in the eyes of a type checker."""
    assert len(typing.get_overloads(getattr(namel3ss_debug, name))) == 2


def test_the_types_are_shipped():
    """The package says that it is typed."""
    assert (importlib.resources.files("namel3ss_debug") / "py.typed").is_file()


@pytest.mark.slow
def test_the_wheel_holds_what_is_needed(tmp_path):
    """The package, the hook for child processes, the marker for types and the licence; no tests, no documents."""
    pytest.importorskip("pip")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        timeout=300,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "namel3ss_debug").rglob("*.py")}
    assert ours | {"namel3ss_debug/py.typed", "namel3ss_debug/capture/launch/boot/sitecustomize.py"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} <= {"namel3ss_debug"}
