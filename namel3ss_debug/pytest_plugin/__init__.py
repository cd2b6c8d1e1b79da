"""The door of pytest, which is a plugin wherever the package is installed: also where pytest is too old for it.

What the plugin does is in `door` beside it. An older pytest runs as it would without the package, and says in its header what
is missing. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import inspect

import pytest

if hasattr(pytest, "StashKey") and "wrapper" in inspect.signature(pytest.hookimpl.__call__).parameters:
    from namel3ss_debug.pytest_plugin.door import (  # noqa: F401  (pytest finds them here)
        agent_trace,
        pytest_addoption,
        pytest_configure,
        pytest_runtest_call,
        pytest_runtest_makereport,
        pytest_runtest_setup,
    )
else:

    def pytest_report_header() -> str:
        """One line, for whoever looks for the fixture and the mark."""
        return "namel3ss-debug: recorded agent tests need pytest 7 with pluggy 1.2, or later ones"
