"""Register the plugin with pytest, which loads this module wherever the package is installed, even with an old pytest.

The plugin itself is in `door`. With an older pytest, tests run as without the package, and a line in the header names
what is missing. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import inspect

import pytest

if hasattr(pytest, "StashKey") and "wrapper" in inspect.signature(pytest.hookimpl.__call__).parameters:
    from namel3ss_debug.pytest_plugin.door import (  # noqa: F401  (pytest finds them here)
        agent_trace,
        pytest_addoption,
        pytest_configure,
        pytest_pyfunc_call,
        pytest_runtest_call,
        pytest_runtest_makereport,
        pytest_runtest_setup,
    )
else:

    def pytest_report_header() -> str:
        """Return a line for the header that explains why the fixture and the mark are missing."""
        return "namel3ss-debug: recorded agent tests need pytest 7 with pluggy 1.2, or later ones"
