"""Places in the source of an app."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from namel3ss_debug.capture.namel3ss.places import Place, Places

APP, MODULE = Path("/x/app.ai"), Path("/x/modules/stock/main.ai")
FLOWS = [SimpleNamespace(name="start", line=2), SimpleNamespace(name="stock.check", line=3)]
SOURCES = {
    APP: 'spec is "1.0"\nflow "start":\n  return 1\n',
    MODULE: '# the stock\n\nflow "check":\n  return 2\n',
}


def places(shown=lambda path: str(path.relative_to("/x"))):
    """The places of an app with one module."""
    return Places(SOURCES, APP, shown, FLOWS)


def test_a_flow_of_a_module_stands_in_the_file_of_the_module():
    """The file is the one that declares the flow on its line; what is not found stands in the app."""
    assert places().file("start") == "app.ai"
    assert places().file("stock.check") == "modules/stock/main.ai"
    assert places().file("nowhere") == "app.ai"
    assert places().file(None) == "app.ai"


def test_a_statement_is_named_by_file_and_line():
    """Its column is told beside it; without a line there is no place."""
    found = places().at(SimpleNamespace(line=4, column=3), "stock.check")
    assert found == Place("modules/stock/main.ai:4", 3)
    assert found.metadata == {"column": 3}
    assert places().line(4, None, "start").metadata == {}
    assert places().at(SimpleNamespace(), "start") == Place()


def test_a_file_that_is_not_the_users_gives_no_place():
    """Nothing is guessed then."""
    assert places(lambda _path: None).line(4, 3, "start") == Place()
