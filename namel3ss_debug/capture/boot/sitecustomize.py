# noqa: INP001  (a folder for PYTHONPATH, not a package)
"""The hook for processes that a traced program starts: this folder stands first on their PYTHONPATH.

Python imports `sitecustomize` at its start. The user's own one, which this file hides, is run as if this file
were not there; then recording starts, if the process belongs to a recording. Nothing here may fail or print: an
interpreter that cannot record leaves a mark beside the recording, which is told at the end (`traces/unrecorded.py`).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_CAPTURE = os.path.dirname(_HERE)
_MOST_BYTES = 1 << 16  # of all marks of a recording


def _start() -> None:
    session = os.environ.get("NAMEL3SS_DEBUG_SESSION")
    words = getattr(sys, "orig_argv", ())
    if not session:
        return
    if os.path.join(_CAPTURE, "runner.py") in words[:2]:  # the runner starts recording by itself
        return
    if any("multiprocessing.resource_tracker" in word for word in words):  # runs nothing of the user's
        return
    import json  # noqa: PLC0415  (most processes that come here need none of these)

    told = json.loads(session)
    try:
        if sys.version_info < (3, 11):  # noqa: UP036  (whichever the program starts)
            raise ImportError("Python {}.{}".format(*sys.version_info))  # noqa: TRY301  (told as any other)
        _record(told)
    except Exception as error:
        _leave_mark(told, (str(error).splitlines() or [type(error).__name__])[0])


def _record(session: dict[str, Any]) -> None:
    """Start recording.

    Raises:
        ImportError: this interpreter lacks something.
    """
    import importlib.util  # noqa: PLC0415  (most processes that come here need none of these)

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

        start_in_child(session, "grandchild")
    finally:
        hide()


def _leave_mark(session: dict[str, Any], why: str) -> None:
    """Say beside the recording that this process is not in it, as those of the tools of an app never are."""
    import json  # noqa: PLC0415  (as above)

    if not session["sampled"] or session["target"].endswith(".ai"):
        return
    folder, name = os.path.split(session["trace"])
    line = json.dumps([session["execution_id"], sys.executable, why]) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(os.path.join(folder, "." + name + ".unrecorded"), flags, 0o600)
    try:
        if os.fstat(descriptor).st_size < _MOST_BYTES:
            os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


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
