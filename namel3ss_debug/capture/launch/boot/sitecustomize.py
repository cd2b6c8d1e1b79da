# noqa: INP001  (a folder for PYTHONPATH, not a package)
"""Start recording in processes that a traced program starts: this folder is the first on their PYTHONPATH.

Python imports `sitecustomize` at its start. The user's own one, which this file hides, is run as if this file were not
there. Then recording starts, if the process belongs to a trace. Nothing here may fail or print: an interpreter that
cannot record leaves a mark beside the trace, which is reported at the end (`traces/unrecorded.py`).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_LAUNCH = os.path.dirname(_HERE)
_MOST_BYTES = 1 << 16  # of all marks of a trace


def _start() -> None:
    session = os.environ.get("NAMEL3SS_DEBUG_SESSION")
    command = getattr(sys, "orig_argv", ())
    if not session:
        return
    if os.path.join(_LAUNCH, "runner.py") in command[:2]:  # the runner starts recording by itself
        return
    if any("multiprocessing.resource_tracker" in word for word in command):  # runs nothing of the user's
        return
    import json  # most processes that run this need none of these

    settings = json.loads(session)
    try:
        if sys.version_info < (3, 11):  # noqa: UP036  (a program may start any version)
            raise ImportError("Python {}.{}".format(*sys.version_info))  # noqa: TRY301  (handled as any other)
        _record(settings)
    except Exception as error:
        _leave_mark(settings, (str(error).splitlines() or [type(error).__name__])[0])


def _record(session: dict[str, Any]) -> None:
    """Start recording.

    Raises:
        ImportError: this interpreter lacks something.
    """
    import gc  # most processes that run this need none of these
    import importlib.util

    # By its location and not over sys.path, so that nothing beside the package becomes importable.
    if "namel3ss_debug" not in sys.modules:
        package = os.path.dirname(os.path.dirname(_LAUNCH))
        spec: Any = importlib.util.spec_from_file_location(
            "namel3ss_debug", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["namel3ss_debug"] = module
        spec.loader.exec_module(module)
    from namel3ss_debug.capture.seams.processes.processes import hide

    collects = gc.isenabled()
    gc.disable()  # nothing that is loaded here is garbage; looking for it takes a twentieth of the start
    try:
        from namel3ss_debug.capture.launch.start import start_in_child

        start_in_child(session, "grandchild")
    finally:
        hide()
        if collects:
            gc.enable()


def _leave_mark(session: dict[str, Any], why: str) -> None:
    """Write beside the trace that this process is not in it. Processes of the tools of an app are never recorded."""
    import json

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
    except Exception:  # the process runs as it would without us
        pass
