"""Each row of the page that leads from the five documents to this project names something that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import namel3ss_debug
from namel3ss_debug.cli.main import COMMANDS, namel3ss
from namel3ss_debug.config import SETTINGS, DebugConfiguration
from namel3ss_debug.config.guarding import FALLBACKS, MEASURES, Breaker
from namel3ss_debug.monitoring.rules import BUILT_IN

PAGE = (Path(__file__).parents[2] / "docs" / "documents.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!there|key there|---)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
COMMAND = re.compile(r"namel3ss debug ([a-z-]+)((?: --?[a-z-]+(?: [\w]+)?)*)")


@pytest.mark.parametrize(("there", "here"), ROWS)
def test_what_a_row_names_exists(there, here):
    """Commands with their options, and names of the library; a row that says *not* has its reason."""
    for command, options in COMMAND.findall(here):
        assert command in COMMANDS
        usage = CliRunner().invoke(namel3ss, ["debug", command, "--help"]).output
        for option in re.findall(r"--[a-z-]+", options):
            assert option in usage
    for name in re.findall(r"`([A-Z]\w+|[a-z]+_[a-z_]+)\(?", here):
        assert name in known_names(), name
    if here == "the same":
        for name in re.findall(r"`@?([A-Za-z_]+)[(`]", there):
            assert name in known_names(), name


def known_names():
    """Return every name that a row may use: of the library, of settings, and of events and thresholds."""
    from namel3ss_debug.analysis.computing import analyze_events
    from namel3ss_debug.analysis.failures.categories import CATEGORIES
    from namel3ss_debug.capture.seams.logs.loggers import AgentLogger, LearningLogger

    return {
        *namel3ss_debug.__all__,
        *(setting.key for setting in SETTINGS),
        *CATEGORIES,
        *analyze_events([], ["errors"])["errors"],
        *DebugConfiguration().triggers,
        *DebugConfiguration().alert_thresholds,
        *(row.name for row in BUILT_IN),
        *dir(AgentLogger),
        *dir(LearningLogger),
        *MEASURES,
        *Breaker._fields,
        *FALLBACKS,
        *("performance_marker", "state_change", "step_type", "depends_on", "retry_count"),
    }


def test_all_keys_of_the_block_of_yaml_are_rows():
    """There are 34, and each setting that a row names exists."""
    keys = [there for there, _ in ROWS if re.fullmatch(r"`[a-z_]+(\.[a-z_]+)+`", there)]
    assert len(keys) == len(set(keys)) == 34
