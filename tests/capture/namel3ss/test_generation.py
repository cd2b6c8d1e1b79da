"""The generation of the language that an app is written in."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.namel3ss.generation import check_generation, is_older
from namel3ss_debug.errors import TargetError


@pytest.mark.parametrize(
    "text",
    [
        'spec is "1.0"\n\nflow "x":\n  return 1\n',
        '# app "X" {\nspec is "1.0"\n',
        'flow "x":\n  return 1\n',
        "use inventory as inv\n",
        'use module "modules/common.ai" as common\n',
        'app:\n  theme is "dark"\n',
        'packs:\n  "builtin.text"\n',
        "",
        "# nothing yet\n",
        'page "home":\n  title is "{{NAME}}"\n',
    ],
)
def test_the_present_language(text):
    """Indented blocks behind a colon, and what has no statement, are not the older language."""
    assert not is_older(text)


@pytest.mark.parametrize(
    "text",
    [
        'app "X" {\n}\n',
        'app "X" connects to postgres "db".\n',
        '# a comment\n\n  app "X"\n{\n}\n',
        'agent "a" {\n goal: "x"\n}',
        'model "m" .',
        'page "Home" at "/" {\n}\n',
        'module main\n\nuse example.utils::validation\n\napp "X" {\n}\n',
        'import ai.models as models\n\napp "X" {\n}\n',
        "use shop.core::orders as orders\n",
        'agent triage:\n  name: "Triage"\n',
    ],
)
def test_the_older_language(text):
    """Blocks in braces, statements that end with a full stop, imports of its kind and names without quotes are."""
    assert is_older(text)


def test_an_older_app_is_refused_in_a_line(tmp_path):
    """The message says what it is and how apps of the present language begin."""
    (tmp_path / "old.ai").write_text('app "X" {\n}\n')
    with pytest.raises(TargetError, match=r"old\.ai is an app of the older namel3ss language"):
        check_generation(tmp_path / "old.ai")
    with pytest.raises(TargetError, match="cannot read"):
        check_generation(tmp_path / "none.ai")
