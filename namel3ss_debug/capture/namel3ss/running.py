"""An app from its file to the end of one of its flows, in the process that has the language.

What a flow returns goes to stdout: a text as it is, anything else as JSON. An app that cannot be loaded, or whose flow
fails, ends with status 1 and the language's own message on stderr.
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

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.child import give_up, tell
from namel3ss_debug.capture.namel3ss.calls import Asked, Calls
from namel3ss_debug.capture.namel3ss.interpreters import WORKS
from namel3ss_debug.capture.namel3ss.memory import Memory
from namel3ss_debug.capture.namel3ss.messages import is_own, kind, words
from namel3ss_debug.capture.namel3ss.models import Models
from namel3ss_debug.capture.namel3ss.places import Places, declared_in
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.seams import Seams, language
from namel3ss_debug.capture.namel3ss.steps import Steps
from namel3ss_debug.capture.namel3ss.values import plain
from namel3ss_debug.capture.namel3ss.workspace import copy_database, mirror
from namel3ss_debug.capture.tracer import ExecutionTracer

SNAPSHOT_FILE = "memory_snapshot.json"
"""The file in the workspace of a re-run that holds the memory to begin with."""

_PERSIST = "N3_PERSIST_ROOT"
_MOST_NAMED = 5


class App(NamedTuple):
    """A loaded app: the program, the texts of its files, and its own folder, wherever it runs."""

    program: Any
    sources: Mapping[Path, str]
    root: Path


def run(value: str, options: Mapping[str, Any], workspace: str = "", *, stepped: bool = False) -> None:
    """Run an app; returns when the flow has ended.

    Args:
        value: the path of the app.
        options: `flow`, which may be missing where there is one only, and its `input`.
        workspace: the folder of a re-run, in which it may write; empty where the app runs in its own.
        stepped: whether somebody steps it.

    Raises:
        SystemExit: the app cannot be run, or the flow has failed.
    """
    path = Path(os.path.abspath(value))
    tracer = switch.ACTIVE
    seams = Seams(_told_missing(tracer))
    try:
        here = _mirrored(path, Path(workspace), seams) if workspace else path
        repaired = _repair()
        app = _loaded(here, path, tracer)
        if repaired and app.program.ais:
            tell(
                f"namel3ss {_version()} was published without files that apps with AI blocks need; they run here all the same, and "
                f"with n3 itself in {WORKS}"
            )
        flow = _flow(app.program, options.get("flow"), path.name)
        scope = None if tracer is None else _install(tracer, app, seams, stepped=stepped)
        try:
            result = _executed(app.program, flow, options.get("input") or {})
        except Exception as error:
            if scope is not None and scope.failure != id(error):
                _told(scope.tracer, error, path)
            _fail(error, here)
    finally:
        seams.undo()
    _show(result)


def _told_missing(tracer: ExecutionTracer | None) -> Callable[[str], None]:
    return (lambda _text: None) if tracer is None else tracer.problem


# --- the way there


def _mirrored(path: Path, workspace: Path, seams: Seams) -> Path:
    """The app in a folder of its own, with the memory of the recording and a copy of its records.

    The language takes it for the one that it was.
    """
    held = workspace / SNAPSHOT_FILE
    snapshot = held.read_text(encoding="utf-8") if held.is_file() else None
    into = mirror(path.parent, workspace / "app" / path.parent.name, snapshot)
    if os.environ.get(_PERSIST):
        os.environ[_PERSIST] = str(into)

    def known(original: Callable[..., Any]) -> Callable[..., Any]:
        def _resolve_project_id(_project_root: Any, _app_path: Any) -> Any:
            return original(str(path.parent), str(path))

        return _resolve_project_id

    def apart(original: Callable[..., Any]) -> Callable[..., Any]:
        def resolve_config(*args: Any, **kwargs: Any) -> Any:
            config, sources = original(*args, **kwargs)
            held = config.persistence
            held.db_path = str(copy_database(Path(held.db_path), workspace))
            return config, sources

        return resolve_config

    seams.function("runtime.memory.spaces", "_resolve_project_id", known)
    seams.function("config.loader", "resolve_config", apart)
    return into / path.name


def _repair() -> bool:
    """Let a version that was published without the descriptions of its providers do without them; whether it is one.

    Some wheels lack files that are read when an app has an AI block. The language remembers what it has read in an
    attribute of the function that reads it, and takes an empty one for no descriptions.
    """
    try:
        registry = language("runtime.providers.pack_registry")
        read: Any = registry._metadata_map  # noqa: SLF001  (there is no other way to it)
    except (ImportError, AttributeError):
        return False
    try:
        read()
    except Exception:
        read._cache = {}  # noqa: SLF001  (as above)
        return True
    return False


def _version() -> str:
    try:
        return importlib.metadata.version("namel3ss")
    except importlib.metadata.PackageNotFoundError:
        return "of this interpreter"


def _loaded(here: Path, path: Path, tracer: ExecutionTracer | None) -> App:
    """Load an app as the language's own command does.

    Args:
        here: the file that is loaded.
        path: the file that is meant.
        tracer: where it is recorded.
    """
    name = path.name
    span = None if tracer is None else tracer.span("app", name, prefix="app_load", call_site="").open()
    try:
        try:
            load = language("cli.app_loader").load_program
        except (ImportError, AttributeError) as error:
            give_up(
                f"the namel3ss in {sys.executable} cannot load an app ({error}): pip install namel3ss=={WORKS} there, or give "
                "--python PATH of another interpreter"
            )
        program, sources = load(str(here))
        app = App(program, {Path(file): text for file, text in sources.items()}, path.parent)
        if span is not None:
            span.set_output(_summary(program))
        return app
    except Exception as error:
        if tracer is not None and span is not None:
            span.set(**_told(tracer, error, path))
        _fail(error, here)
    finally:
        if span is not None:
            span.leave()
            span.close()


def _told(tracer: ExecutionTracer, error: Exception, path: Path) -> dict[str, Any]:
    """Record that the app could not be run; the same fields, for a span that has failed so."""
    line, shown = getattr(error, "line", None), tracer.sites.shown(str(path))
    site = f"{shown}:{line}" if shown and line else shown or ""
    told: dict[str, Any] = {"status": "failed", "error": words(error), "error_type": kind(error)}
    tracer.emit("error_occurred", component="app", component_name=path.name, call_site=site, **told)
    return told


def _summary(program: Any) -> dict[str, Any]:
    """What an app consists of, by names."""
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


def _flow(program: Any, wanted: str | None, name: str) -> str:
    """The flow that is run: the one asked for, or the only one."""
    flows = [flow.name for flow in program.flows]
    entries = getattr(program, "entry_flows", None) or flows
    if wanted is not None and wanted not in flows:
        give_up(f"{name} has no flow {wanted!r}; it has {_some(flows)}")
    if wanted is None and len(entries) != 1:
        give_up(f"{name} has {'several flows' if entries else 'no flow'}: {_choice(entries)}")
    return str(wanted or entries[0])


def _choice(flows: list[str]) -> str:
    return f"choose one with --flow: {_some(flows)}" if flows else "there is nothing to run"


def _some(flows: list[str]) -> str:
    more = ", ..." if len(flows) > _MOST_NAMED else ""
    return ", ".join(flows[:_MOST_NAMED]) + more if flows else "none"


# --- the run


def _install(tracer: ExecutionTracer, app: App, seams: Seams, *, stepped: bool) -> Scope:
    """Put what records in place at the doors of the language; where the app is from now on."""
    program = app.program
    here = Path(program.app_path).parent

    def shown(file: Path) -> str | None:
        """A file as it is called, though a re-run has it somewhere else."""
        own = app.root / file.relative_to(here) if file.is_relative_to(here) else file
        return tracer.sites.shown(str(own))

    places = Places(app.sources, Path(program.app_path), shown, declared_in(program))
    scope = Scope(tracer, places, shows_variables=stepped or tracer.sampler is not None)
    asked, memory = Asked(), Memory(scope)
    memory.tell_start(here)
    Steps(scope).install(seams)
    memory.install(seams)
    Models(scope, asked).install(seams)
    Calls(scope, asked).install(seams)
    return scope


def _executed(program: Any, flow: str, given: Mapping[str, Any]) -> Any:
    """Run a flow with the identity and the settings that the language's own command gives it."""
    api = language("runtime.executor.api")
    config = language("config.loader").load_config(app_path=program.app_path, root=program.project_root)
    settings: dict[str, Any] = {"config": config}
    with suppress(ImportError, AttributeError, TypeError):
        resolve = language("runtime.auth").resolve_auth_context
        auth = resolve(None, config=config, identity_schema=getattr(program, "identity", None), store=None)
        settings |= {"auth_context": auth, "identity": getattr(auth, "identity", None)}
    return api.execute_program_flow(program, flow, state={}, input=dict(given), **settings).last_value


def _show(result: Any) -> None:
    """Print the result of a flow as the language's own command does."""
    if result is None:
        return
    text = (
        result
        if isinstance(result, str)
        else json.dumps(plain(result), indent=2, ensure_ascii=False, default=str)
    )
    sys.stdout.write(f"{text}\n")


def _fail(error: Exception, app: Path) -> NoReturn:
    """End as the language's command does, with its own message and the line of the source."""
    undecodable = _undecodable(error, app.parent) if isinstance(error, UnicodeDecodeError) else None
    if undecodable is not None:
        tell(f"{undecodable} is not UTF-8 ({error}): save it as UTF-8")
        raise SystemExit(1)
    if not is_own(error):
        raise error
    text = f"{error}"
    with suppress(Exception):
        render = language("errors.render").format_error
        text = render(error, app.read_text(encoding="utf-8"))
    print(text, file=sys.stderr)
    raise SystemExit(1)


def _undecodable(error: UnicodeDecodeError, root: Path) -> Path | None:
    """The file of an app that could not be decoded, found by what it holds; None where it is none of its source."""
    for path in root.rglob("*.ai"):
        with suppress(OSError):
            if path.read_bytes() == error.object:
                return path.relative_to(root)
    return None
