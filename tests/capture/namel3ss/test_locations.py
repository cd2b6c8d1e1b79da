"""Locations in the source of an app."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from namel3ss_debug.capture.namel3ss.locations import (
    Definition,
    SourceLocation,
    SourceLocations,
    list_definitions,
)

APP, COMMON = Path("/x/app.ai"), Path("/x/common.ai")
MODULE, OTHER = Path("/x/modules/stock/main.ai"), Path("/x/modules/till/main.ai")
PROGRAM = SimpleNamespace(
    flows=[
        SimpleNamespace(name="start", line=2),
        SimpleNamespace(name="stock.check", line=3),
        SimpleNamespace(name="till.check", line=3),
    ],
    functions={"start": SimpleNamespace(line=1), "till.add": SimpleNamespace(line=5)},
    jobs=[SimpleNamespace(name="start", line=4)],
)
SOURCES = {
    APP: 'spec is "1.0"\nflow "start":\n  return 1\n',
    COMMON: 'define function "start":\n  return 1\n\njob "start":\n',
    MODULE: '# the stock\n\nflow "check":\n  return 2\n',
    OTHER: '# the till\n\nflow "check":\n  return 2\ndefine function "add":\n',
}
START, CHECK = Definition("flow", "start"), Definition("flow", "stock.check")


def places(shown=lambda path: str(path.relative_to("/x"))):
    """The places of an app with modules."""
    return SourceLocations(SOURCES, APP, shown, list_definitions(PROGRAM))


def test_a_flow_of_a_module_stands_in_the_file_of_the_module():
    """The file is the one that declares the flow on its line; what is not found stands in the app."""
    assert places().file(START) == "app.ai"
    assert places().file(CHECK) == "modules/stock/main.ai"
    assert places().file(Definition("flow", "nowhere")) == "app.ai"
    assert places().file(None) == "app.ai"


def test_two_modules_that_declare_the_same_on_the_same_line_are_told_apart():
    """The name of a module is that of its folder."""
    assert places().file(Definition("flow", "till.check")) == "modules/till/main.ai"
    assert places().file(Definition("function", "till.add")) == "modules/till/main.ai"


def test_functions_and_jobs_have_files_of_their_own():
    """They may have the name of a flow, and stand in a file that has no module's name."""
    assert places().file(Definition("function", "start")) == "common.ai"
    assert places().file(Definition("job", "start")) == "common.ai"
    assert list_definitions(SimpleNamespace(flows=[])) == []


def test_a_statement_is_named_by_file_and_line():
    """Its column is told beside it; without a line there is no place."""
    found = places().at(SimpleNamespace(line=4, column=3), CHECK)
    assert found == SourceLocation("modules/stock/main.ai:4", 3)
    assert found.metadata == {"column": 3}
    assert places().line(4, None, START).metadata == {}
    assert places().at(SimpleNamespace(), START) == SourceLocation()


def test_a_file_that_is_not_the_users_gives_no_place():
    """Nothing is guessed then."""
    assert places(lambda _path: None).line(4, 3, START) == SourceLocation()
