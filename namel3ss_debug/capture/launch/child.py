"""Run the user's program in its process as `__main__`, as `python` itself would, after recording has started.

The parent starts the script `runner.py`, which loads this module and calls `main`, so that the namespace of `__main__`
is free for the program. The program can only notice us by the depth of its stack: two frames are below its own.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from types import CodeType, ModuleType, TracebackType
from typing import Any

from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.launch.messages import exit_with_error, print_message

_MAIN_NAMES = frozenset(
    [
        "__name__",
        "__doc__",
        "__package__",
        "__loader__",
        "__spec__",
        "__annotations__",
        "__builtins__",
        "__file__",
        "__cached__",
    ]
)
"""What is in the namespace of a fresh `__main__`."""


def main(words: list[str]) -> None:
    """Run a program: return when its main module ends, and raise what it raises.

    Args:
        words: `script PATH`, `module NAME`, `function MODULE:NAME JSON` or `app PATH JSON`, then the program's own
            arguments.
    """
    kind, value, *argv = words
    arguments = argv.pop(0) if kind in {"function", "app"} else ""
    app = _app(arguments) if kind == "app" else None
    folder = kind == "script" and _has_main_module(value)
    _arrange_interpreter(kind, value, argv, folder)
    _start_recording()
    try:
        if kind == "function":
            _run_function(value, arguments)
        elif app is not None:
            app(value)
        elif kind == "module" or folder:
            _run_module(value, folder)
        else:
            path, code = _compile_script(value)
            exec(code, _namespace(path))  # noqa: S102  (this is what python does with a script)
    except SystemExit as end:
        _record_end(end)
        raise
    except BaseException as error:
        _record_end(error)
        _hide_own_frames()
        raise
    _record_end(None)


def _arrange_interpreter(kind: str, value: str, argv: list[str], folder: bool) -> None:
    """Set `sys.argv`, `sys.orig_argv` and `sys.path[0]` as the interpreter does."""
    sys.argv[:] = ["-m" if kind == "module" else value, *argv]
    sys.orig_argv[1:] = [*(["-m"] if kind == "module" else []), value, *argv]
    if folder:
        sys.path.insert(0, _absolute(value))
    elif sys.flags.safe_path or kind == "app":
        return
    elif kind == "script":
        sys.path.insert(0, os.path.dirname(os.path.realpath(value)))
    else:
        sys.path.insert(0, os.getcwd())


def _start_recording() -> None:
    """Start recording. An error is one line on stderr, and the program runs all the same.

    Raises:
        SystemExit: it was to be a re-run, so it must not run for real.
    """
    from namel3ss_debug.capture.seams.processes import processes  # sys.path is arranged only now

    text = os.environ.get("NAMEL3SS_DEBUG_SESSION")
    session: dict[str, Any] = {}
    gc.disable()  # nothing that is loaded here is garbage; looking for it takes a twentieth of the start
    try:
        if text:
            import json

            session = json.loads(text)
            from namel3ss_debug.capture.launch.start import start_in_child

            start_in_child(session, "main")
    except Exception as error:
        print_message(f"not recording: {type(error).__name__}: {error}")
        if session.get("offline"):
            raise SystemExit(1) from None
    finally:
        processes.hide()
        gc.enable()


def _record_end(end: BaseException | None) -> None:
    """Record how the main module ended; threads and `atexit` may still record after it."""
    start = sys.modules.get("namel3ss_debug.capture.launch.start")
    try:
        if start is not None:
            start.program_ended(end)
    except Exception:  # the program ends as it would have, whatever goes wrong here
        pass


def _absolute(path: str) -> str:
    """Return the path as the interpreter makes it absolute: joined, but not normalised."""
    return os.path.join(os.getcwd(), path)


def _has_main_module(path: str) -> bool:
    """Return whether the path is a folder or an archive that Python runs by its `__main__` module."""
    for hook in sys.path_hooks:
        try:
            hook(_absolute(path))
        except ImportError:
            continue
        return True
    return False


def _compile_script(value: str) -> tuple[str, CodeType]:
    import io

    path = _absolute(value)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        what = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {path!r}: {what}", file=sys.stderr)
        raise SystemExit(2) from None
    rewrite = sys.modules.get("namel3ss_debug.capture.seams.functions.rewrite")
    try:
        if rewrite is not None and rewrite.is_installed():
            code: CodeType = rewrite.compile_source(source, path)
            return path, code
        return path, compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # hide the frames below, which are all ours
        raise error.with_traceback(None)  # noqa: B904  (it is the same error)


def _namespace(path: str) -> dict[str, Any]:
    """Return the namespace of `__main__`, without the names that the runner left in it."""
    namespace = vars(sys.modules["__main__"])
    for name in namespace.keys() - _MAIN_NAMES:
        del namespace[name]
    namespace["__doc__"] = None
    if "__annotations__" in namespace:
        namespace["__annotations__"] = {}
    namespace["__loader__"] = type(namespace["__loader__"])("__main__", path)
    namespace["__file__"] = path
    return namespace


def _fresh_main() -> None:
    """Replace `__main__` by an empty module: when the runner ends, Python removes `__file__` from the old one."""
    old = vars(sys.modules["__main__"])
    module = ModuleType("__main__")
    if "__annotations__" in old:
        vars(module)["__annotations__"] = {}
    module.__dict__["__builtins__"] = old["__builtins__"]
    sys.modules["__main__"] = module


def _run_module(value: str, folder: bool) -> None:
    import runpy  # python -m imports it as well

    _fresh_main()
    run: Callable[..., Any] = runpy._run_module_as_main  # type: ignore[attr-defined]  # what python -m calls; its frames stand in every traceback
    run("__main__" if folder else value, alter_argv=not folder)


def _run_function(value: str, arguments: str) -> None:
    import json

    _fresh_main()
    name, _, path = value.partition(":")
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        exit_with_error(f"there is no module {error.name} for {value}: run from the folder that holds it")
    function: Any = sys.modules[name]
    for part in path.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        exit_with_error(_no_function(sys.modules[name], path, function))
    result = function(**json.loads(arguments))
    if hasattr(result, "__await__"):
        import asyncio

        async def wait() -> None:
            await result

        asyncio.run(result if asyncio.iscoroutine(result) else wait())


def _no_function(module: ModuleType, path: str, found: object) -> str:
    """Return the message about a name that is no function, with the functions that the module has."""
    import difflib  # only needed for this message

    if found is not None:
        return f"{path} of {module.__name__} is no function, it is of type {type(found).__name__}"
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = difflib.get_close_matches(path, names, n=1)
    own = [name for name in names if getattr(vars(module)[name], "__module__", None) == module.__name__]
    hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(own[:6])}" if own else ""
    return f"{module.__name__} has no function {path}{hint}"


def _app(arguments: str) -> Callable[[str], None]:
    """Return the function that runs an app of the namel3ss language; missing modules for recording are borrowed."""
    import json

    options = json.loads(arguments)
    version, folders = options["lent"]
    if list(sys.version_info[:2]) == version:
        try:
            import orjson  # noqa: F401
        except ImportError:
            sys.path.extend(folders)
    # once recording has begun, the environment no longer shows the session
    session = json.loads(os.environ.get("NAMEL3SS_DEBUG_SESSION") or "{}")

    def run(value: str) -> None:
        from namel3ss_debug.capture.namel3ss import running  # only apps need it

        stepped = bool(session.get("step_socket")) and not session.get("waits_at_calls")
        running.run(value, options, session.get("workspace") or "", stepped=stepped)

    return run


def _hide_own_frames() -> None:
    """Let the exception hook, even if it is the program's, see the traceback that plain Python would show it.

    The hook is replaced only after the program has failed, and only for this one call: until then `sys.excepthook` is
    the program's. The exception goes on to the interpreter, which handles the rest (threads, `atexit`, dying by SIGINT).
    """
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = hook
        trace = _without_own_frames(trace)
        error.__traceback__ = sys.last_traceback = trace
        try:
            hook(kind, error, trace)
        except SystemExit:
            raise
        except BaseException as broken:
            below = broken.__traceback__.tb_next if broken.__traceback__ else None
            print("Error in sys.excepthook:", file=sys.stderr)
            sys.__excepthook__(type(broken), broken.with_traceback(below), below)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = show


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without frames of ours: above the program, and between it and what it calls."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(CAPTURE_FOLDER):
        trace = trace.tb_next
    inner = trace
    while inner is not None:
        while inner.tb_next is not None and inner.tb_next.tb_frame.f_code.co_filename.startswith(
            CAPTURE_FOLDER
        ):
            inner.tb_next = inner.tb_next.tb_next
        inner = inner.tb_next
    return trace
