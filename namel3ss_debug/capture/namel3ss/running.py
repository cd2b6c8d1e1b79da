"""Runs an app, from its file to the end of one of its flows, in the process that has the language.

The result of the flow goes to stdout: a text as it is, anything else as JSON. An app that cannot be loaded, or whose
flow fails, ends with status 1 and the language's own message on stderr.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.launch.messages import exit_with_error, print_message
from namel3ss_debug.capture.namel3ss.calls import RequestedCalls, ToolCallRecorder
from namel3ss_debug.capture.namel3ss.interpreters import RECOMMENDED_VERSION
from namel3ss_debug.capture.namel3ss.locations import SourceLocations, list_definitions
from namel3ss_debug.capture.namel3ss.memory import MemoryRecorder
from namel3ss_debug.capture.namel3ss.messages import describe_error, error_type, is_language_error
from namel3ss_debug.capture.namel3ss.models import ModelCallRecorder
from namel3ss_debug.capture.namel3ss.patches import Seams, import_language_module
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.steps import StepRecorder
from namel3ss_debug.capture.namel3ss.values import to_plain
from namel3ss_debug.capture.namel3ss.workspace import copy_database, mirror
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.traces.definitions import digest_source

SNAPSHOT_FILE = "memory_snapshot.json"
"""The file in the workspace of a re-run with the memory to begin with."""

_PERSIST = "N3_PERSIST_ROOT"
_MOST_LISTED = 5
_MOST_FILES = 500
"""How many files of code an app may have to be compared by a re-run."""
_NO_CODE = frozenset({"node_modules", "venv"})


class App(NamedTuple):
    """A loaded app: the program, the texts of its files, and its original folder."""

    program: Any
    sources: Mapping[Path, str]
    root: Path


def run(value: str, options: Mapping[str, Any], workspace: str = "", *, stepped: bool = False) -> None:
    """Run an app, and return when the flow has ended.

    Args:
        value: the path of the app.
        options: `flow`, which may be missing if the app has only one, and its `input`.
        workspace: the folder of a re-run, in which the app may write; empty if the app runs in its own folder.
        stepped: whether a debugger steps through it.

    Raises:
        SystemExit: the app cannot be run, or the flow failed.
    """
    path = Path(os.path.abspath(value))
    tracer = switch.ACTIVE
    seams = Seams((lambda _message: None) if tracer is None else tracer.problem)
    try:
        here = _copy_app(path, Path(workspace), seams) if workspace else path
        repaired = _repair_wheel()
        app = _load(here, path, tracer)
        if repaired and app.program.ais:
            print_message(
                f"namel3ss {_version()} was published without files that apps with AI blocks need; they run here all the same, and "
                f"with n3 itself in {RECOMMENDED_VERSION}"
            )
        flow = _choose_flow(app.program, options.get("flow"), path.name)
        scope = None if tracer is None else _install(tracer, app, seams, stepped=stepped)
        try:
            result = _execute(app.program, flow, options.get("input") or {})
        except Exception as error:
            if scope is not None and scope.failure != id(error):
                _record_failure(scope.tracer, error, path)
            _fail(error, here)
    finally:
        seams.undo()
    _show(result)


# --- loading


def _copy_app(path: Path, workspace: Path, seams: Seams) -> Path:
    """Copy the app to a folder of its own, with the recorded memory and a copy of its records.

    The language still identifies the project by the original paths.
    """
    snapshot_file = workspace / SNAPSHOT_FILE
    snapshot = snapshot_file.read_text(encoding="utf-8") if snapshot_file.is_file() else None
    with opened_files.hidden():
        into = mirror(path.parent, workspace / "app" / path.parent.name, snapshot)
    if os.environ.get(_PERSIST):
        os.environ[_PERSIST] = str(into)

    def with_original_id(original: Callable[..., Any]) -> Callable[..., Any]:
        def _resolve_project_id(_project_root: Any, _app_path: Any) -> Any:
            return original(str(path.parent), str(path))

        return _resolve_project_id

    def with_copied_database(original: Callable[..., Any]) -> Callable[..., Any]:
        def resolve_config(*args: Any, **kwargs: Any) -> Any:
            config, sources = original(*args, **kwargs)
            persistence = config.persistence
            with opened_files.hidden():
                persistence.db_path = str(copy_database(Path(persistence.db_path), workspace))
            return config, sources

        return resolve_config

    seams.replace_function("runtime.memory.spaces", "_resolve_project_id", with_original_id)
    seams.replace_function("config.loader", "resolve_config", with_copied_database)
    return into / path.name


def _repair_wheel() -> bool:
    """Make up for missing descriptions of providers, and return whether that was necessary.

    Some published wheels lack files that are read when an app has an AI block. The language caches what it has read
    in an attribute of the reading function, and accepts an empty cache as "no descriptions".
    """
    try:
        registry = import_language_module("runtime.providers.pack_registry")
        read: Any = registry._metadata_map  # nothing public reaches it
    except (ImportError, AttributeError):
        return False
    try:
        read()
    except Exception:
        read._cache = {}
        return True
    return False


def _version() -> str:
    try:
        return importlib.metadata.version("namel3ss")
    except importlib.metadata.PackageNotFoundError:
        return "of this interpreter"


def _load(here: Path, path: Path, tracer: ExecutionTracer | None) -> App:
    """Load an app as the language's own command does.

    Args:
        here: the file to load, which may be a copy.
        path: the original file.
        tracer: records the loading, if any.
    """
    name = path.name
    span = None if tracer is None else tracer.span("app", name, prefix="app_load", call_site="").open()
    try:
        try:
            load = import_language_module("cli.app_loader").load_program
        except (ImportError, AttributeError) as error:
            exit_with_error(
                f"the namel3ss in {sys.executable} cannot load an app ({error}): pip install namel3ss=={RECOMMENDED_VERSION} there, or give "
                "--python PATH of another interpreter"
            )
        program, sources = load(str(here))
        app = App(program, {Path(file): text for file, text in sources.items()}, path.parent)
        if span is not None:
            span.set_output(_summary(program))
        return app
    except Exception as error:
        if tracer is not None and span is not None:
            span.set(**_record_failure(tracer, error, path))
        _fail(error, here)
    finally:
        if span is not None:
            span.leave()
            span.close()


def _record_failure(tracer: ExecutionTracer, error: Exception, path: Path) -> dict[str, Any]:
    """Record that the app could not be run, and return the same fields for the span that failed."""
    line, name = getattr(error, "line", None), tracer.sites.shown(str(path))
    site = f"{name}:{line}" if name and line else name or ""
    failure: dict[str, Any] = {
        "status": "failed",
        "error": describe_error(error),
        "error_type": error_type(error),
    }
    tracer.emit("error_occurred", component="app", component_name=path.name, call_site=site, **failure)
    return failure


def _summary(program: Any) -> dict[str, Any]:
    """Return the names of what an app consists of."""
    ais = {
        name: {"provider": getattr(ai, "provider", None), "model": getattr(ai, "model", None)}
        for name, ai in program.ais.items()
    }
    summary = {
        "flows": [flow.name for flow in program.flows],
        "ais": ais,
        "agents": list(program.agents),
        "tools": list(program.tools),
        "records": [record.name for record in program.records],
        "language": _version(),
    }
    return {name: value for name, value in summary.items() if value}


def _choose_flow(program: Any, requested: str | None, name: str) -> str:
    """Return the name of the flow to run: the requested one, or the only one."""
    flows = [flow.name for flow in program.flows]
    entries = getattr(program, "entry_flows", None) or flows
    if requested is not None and requested not in flows:
        exit_with_error(f"{name} has no flow {requested!r}; it has {_format_names(flows)}")
    if requested is None and len(entries) != 1:
        if entries:
            exit_with_error(f"{name} has several flows: choose one with --flow: {_format_names(entries)}")
        exit_with_error(f"{name} has no flow: there is nothing to run")
    return str(requested or entries[0])


def _format_names(flows: list[str]) -> str:
    more = ", ..." if len(flows) > _MOST_LISTED else ""
    return ", ".join(flows[:_MOST_LISTED]) + more if flows else "none"


# --- running


def _install(tracer: ExecutionTracer, app: App, seams: Seams, *, stepped: bool) -> Scope:
    """Replace the recorded functions of the language, and return the state of the app."""
    program = app.program
    here = Path(program.app_path).parent

    def display_name(file: Path) -> str | None:
        """Return the name of a file of the app, even if a re-run has copied it to another folder."""
        original = app.root / file.relative_to(here) if file.is_relative_to(here) else file
        return tracer.sites.shown(str(original))

    locations = SourceLocations(app.sources, Path(program.app_path), display_name, list_definitions(program))
    scope = Scope(tracer, locations, shows_variables=stepped or tracer.sampler is not None)
    if tracer.keeps_payloads:
        tracer.sources |= _digest_files(app.root, tracer)
    requested_calls, memory = RequestedCalls(), MemoryRecorder(scope)
    memory.record_start(here)
    StepRecorder(scope).install(seams)
    memory.install(seams)
    ModelCallRecorder(scope, requested_calls).install(seams)
    ToolCallRecorder(scope, requested_calls).install(seams)
    return scope


def _digest_files(root: Path, tracer: ExecutionTracer) -> dict[str, Any]:
    """Return the digests of the code below the folder of an app, its tools among it; {} if there is too much."""
    found: dict[str, Any] = {}
    with opened_files.hidden():
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(each for each in folders if each[0] not in "._" and each not in _NO_CODE)
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not name.endswith((".ai", ".py")) or (shown := tracer.sites.shown(path)) is None:
                    continue
                if len(found) >= _MOST_FILES:
                    return {}
                with suppress(OSError):
                    found[shown] = {"digest": digest_source(Path(path).read_bytes())}
    return found


def _execute(program: Any, flow: str, inputs: Mapping[str, Any]) -> Any:
    """Run a flow with the identity and the settings that the language's own command uses."""
    api = import_language_module("runtime.executor.api")
    config = import_language_module("config.loader").load_config(
        app_path=program.app_path, root=program.project_root
    )
    settings: dict[str, Any] = {"config": config}
    with suppress(ImportError, AttributeError, TypeError):
        resolve = import_language_module("runtime.auth").resolve_auth_context
        auth = resolve(None, config=config, identity_schema=getattr(program, "identity", None), store=None)
        settings |= {"auth_context": auth, "identity": getattr(auth, "identity", None)}
    return api.execute_program_flow(program, flow, state={}, input=dict(inputs), **settings).last_value


def _show(result: Any) -> None:
    """Print the result of a flow as the language's own command does."""
    if result is None:
        return
    text = (
        result
        if isinstance(result, str)
        else json.dumps(to_plain(result), indent=2, ensure_ascii=False, default=str)
    )
    sys.stdout.write(f"{text}\n")


def _fail(error: Exception, app: Path) -> NoReturn:
    """End as the language's command does, with its own message and the line of the source."""
    undecodable = _find_undecodable_file(error, app.parent) if isinstance(error, UnicodeDecodeError) else None
    if undecodable is not None:
        print_message(f"{undecodable} is not UTF-8 ({error}): save it as UTF-8")
        raise SystemExit(1)
    if not is_language_error(error):
        raise error
    text = f"{error}"
    with suppress(Exception):
        render = import_language_module("errors.render").format_error
        text = render(error, app.read_text(encoding="utf-8"))
    print(text, file=sys.stderr)
    raise SystemExit(1)


def _find_undecodable_file(error: UnicodeDecodeError, root: Path) -> Path | None:
    """Return the source file of an app that could not be decoded, found by its content; `None` if it is no source."""
    for path in root.rglob("*.ai"):
        with suppress(OSError):
            if path.read_bytes() == error.object:
                return path.relative_to(root)
    return None
