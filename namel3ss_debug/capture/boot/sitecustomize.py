# noqa: INP001  (a folder for PYTHONPATH, not a package)
"""The hook for processes that a traced program starts: this folder stands first on their PYTHONPATH.

Python imports `sitecustomize` at its start. The user's own one, which this file hides, is run as if this file
were not there; then recording starts, if the process belongs to a recording. Nothing here may fail or print.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_CAPTURE = os.path.dirname(_HERE)


def _start() -> None:
    session = os.environ.get("NAMEL3SS_DEBUG_SESSION")
    words = getattr(sys, "orig_argv", ())
    if not session or sys.version_info < (3, 11):
        return
    if os.path.join(_CAPTURE, "runner.py") in words[:2]:  # the runner starts recording by itself
        return
    if any("multiprocessing.resource_tracker" in word for word in words):  # runs nothing of the user's
        return
    import importlib.util  # noqa: PLC0415  (most processes that come here need none of these)
    import json  # noqa: PLC0415

    # By its place, not over sys.path: nothing that lies beside the package may become importable.
    if "namel3ss_debug" not in sys.modules:
        package = os.path.dirname(_CAPTURE)
        spec: Any = importlib.util.spec_from_file_location(
            "namel3ss_debug", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["namel3ss_debug"] = module
        spec.loader.exec_module(module)
    from namel3ss_debug.capture.processes import hide  # noqa: PLC0415

    try:
        from namel3ss_debug.capture.start import start_in_child  # noqa: PLC0415

        start_in_child(json.loads(session), "grandchild")
    finally:
        hide()


sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]
# Make way for the user's own module of this name. If there is none, the ImportError is what `site` expects.
sys.modules.pop(__name__, None)
try:
    __import__(__name__)
finally:
    try:
        _start()
    except Exception:  # noqa: S110  (a process that cannot record runs as if we were not there)
        pass
