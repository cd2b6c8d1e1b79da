"""Make one frozen configuration from four sources, of which later ones take precedence.

1. the defaults of `DebugConfiguration`, where each setting stands once,
2. `.namel3ss/debug.json`, searched upwards from the working directory,
3. `NAMEL3SS_DEBUG_*` environment variables,
4. command options and keyword arguments.

The guide's table is generated from these fields, and `namel3ss debug config` shows each value with its source.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from namel3ss_debug.config import guarding, values
from namel3ss_debug.config.unverified import ACCEPTABLE
from namel3ss_debug.config.values import ALERTS, CANARY_LIMITS, NEVER, TRIGGERS
from namel3ss_debug.errors import SettingError

FILE_NAME = ".namel3ss/debug.json"
ENVIRONMENT_PREFIX = "NAMEL3SS_DEBUG_"
SESSION_VARIABLE = "NAMEL3SS_DEBUG_SESSION"
"""The variable that describes the trace to a traced process and its children."""

PARENT_VARIABLE = "NAMEL3SS_DEBUG_PARENT"
"""The variable with the span in which a child process was started, as a `traceparent` (`capture.traceparent`)."""

LINEAGE_VARIABLE = "NAMEL3SS_DEBUG_LINEAGE"
"""The variable with the name of a child process among all of the program's, and the standard input it may share."""

INTERNAL_VARIABLES = frozenset({LINEAGE_VARIABLE, SESSION_VARIABLE, PARENT_VARIABLE})

TRUST_VARIABLE = "NAMEL3SS_DEBUG_TRUST"
"""The variable that allows re-runs of traces that this user did not record, as `--trust` does."""

TRUST_KEY_VARIABLE = "NAMEL3SS_DEBUG_TRUST_KEY"
"""The variable with the secret that traces are signed with, in place of a key file."""


FOR_READERS = frozenset(
    {
        *("triggers", "error_indicators", "checks", "diff_ignore", "rerun_ignore", "tools", "accept"),
        *("alert_thresholds", "alert_rules", "alert_channels", "canary_limits", "trace_retention"),
    }
)
"""Settings of commands that read traces; they are not passed to a program that is recorded."""

REDACTING = frozenset({"redact", "redact_keys", "redact_patterns"})
"""Settings for what must not be written to a trace."""


def _setting(
    default: Any, read: Callable[[object], object], allowed: str, purpose: str, short_name: str = ""
) -> Any:
    """Return the field of a setting: its default, the reader of its values, what is allowed, and what it is for."""
    metadata = {"read": read, "allowed": allowed, "help": purpose, "short_name": short_name}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


_FLAG = (values.flag, "true or false")
_SIZE = (values.size, "a number of bytes, or one with KB, MB or GB after it")
_SECONDS = (values.number(0), "a number of seconds from 0")


@dataclass(frozen=True)
class DebugConfiguration:
    """Every setting, checked. Sizes are bytes, durations are in the unit the name ends with."""

    enabled: bool = _setting(
        False,
        values.enabled,
        f"true or false, or {NEVER} in the environment",
        "trace whenever the program runs under `namel3ss run` or imports `namel3ss_debug.auto`",
    )
    trace_output_dir: str = _setting(
        "./debug/traces",
        values.path,
        "a path, in which ~ is the home",
        "where traces are written; `trace_latest.jsonl` points to the newest",
        short_name="OUTPUT_DIR",
    )
    tags: Mapping[str, str] = _setting(
        {},
        values.tags,
        "names with values, as an object or as user=42,team=search",
        "what `list --tag` finds the runs by",
    )
    default_components: tuple[str, ...] = _setting(
        (),
        values.words,
        "a list of component names, or all",
        "which components are recorded; all when empty",
        short_name="COMPONENTS",
    )
    level: str = _setting(
        "detailed",
        values.level,
        "basic, detailed or comprehensive",
        "basic: no payloads; detailed: all payloads; comprehensive: also locals and resource samples",
    )
    sample_rate: float = _setting(
        1.0,
        values.number(0, 1),
        "a number from 0 to 1",
        "the share of executions that is recorded, whole ones only",
    )
    buffer_size: int = _setting(
        1,
        values.whole(1),
        "a whole number of events from 1",
        "1: an event is in the kernel before the call returns, so a kill loses nothing",
    )
    flush_interval_seconds: float = _setting(
        1.0, *_SECONDS, "how long an event may wait in a buffer; only with a buffer"
    )
    max_payload_size: int = _setting(
        16384, *_SIZE, "how much of one payload is kept; 0: all of it, which `debug trace` makes the default"
    )
    variables_event_bytes: int = _setting(
        16384,
        *_SIZE,
        "level comprehensive: how much of the values of variables one event may have; the names of the others are listed",
    )
    variables_run_bytes: int = _setting(
        50 * 1024 * 1024,
        *_SIZE,
        "level comprehensive: how much of the values of variables one process records; 0: no limit",
    )
    record_randomness: bool = _setting(
        False,
        *_FLAG,
        "record the seed and the clock reads that a re-run needs; `debug trace` makes true the default",
    )
    file_digests: int = _setting(
        1000,
        values.whole(0),
        "a whole number of files from 0",
        "of how many opened files a digest is kept, to report what changed since; 0: none; only with record_randomness",
    )
    log_level: str = _setting(
        "info",
        values.log_level,
        "off, debug, info, warning, error or critical",
        "from which level on records of the standard `logging` are recorded, of those the program lets through",
    )
    slow_ms: float = _setting(
        1000.0, values.number(0), "a number of milliseconds from 0", "what counts as a slow operation"
    )
    hang_seconds: float = _setting(
        10.0,
        *_SECONDS,
        "how much longer than the longest silence in its trace a re-run may do nothing before it is stopped; 0: for ever",
    )
    rotate_max_bytes: int = _setting(
        100 * 1024 * 1024,
        *_SIZE,
        "how large a segment grows before the next one is begun; 0: one segment only",
    )
    rotate_keep: int = _setting(
        0, values.whole(0), "a whole number from 0", "how many segments of a process are kept; 0 keeps all"
    )
    trace_retention_days: float = _setting(
        30.0,
        values.number(0),
        "a number of days from 0",
        "how old a trace grows before `clean` removes it; 0: any age is kept",
    )
    trace_retention: Mapping[str, str] = _setting(
        {},
        values.retention,
        f"""an object of {", ".join(values.RETENTION_KINDS)} to times, such as {{"failed": "180d", "marked": "forever", "rerun": "7d", "default": "30d"}}""",
        "how old traces of these kinds grow before `clean` removes them; the first of marked, rerun and failed that fits "
        "counts, else default, else trace_retention_days; what is kept forever is removed for no size either",
    )
    trace_retention_bytes: int = _setting(
        0, *_SIZE, "how much room all traces may take before `clean` removes the oldest; 0: no limit"
    )
    capture_memory: bool = _setting(True, *_FLAG, "record the memory of the process with each span")
    capture_performance: bool = _setting(True, *_FLAG, "record the CPU time of each span")
    redact: bool = _setting(True, *_FLAG, "replace secrets before anything reaches the disk")
    redact_keys: tuple[str, ...] = _setting(
        (), values.words, "a list of names", "further names of fields whose values are secret"
    )
    redact_patterns: Mapping[str, str] = _setting(
        {}, values.patterns, "an object of rule name to regular expression", "further formats of secrets"
    )
    propagate: tuple[str, ...] = _setting(
        (),
        values.hosts,
        "a list of hosts, such as orders.internal, *.example.com or localhost:8000",
        "to which hosts requests carry a `traceparent` header, so that a traced service there goes on with the trace",
    )
    join: str = _setting(
        "",
        values.optional_path,
        "a path that ends with .jsonl",
        "one trace for several services: each that starts with the same path writes files of the same trace",
    )
    export_url: str = _setting(
        "",
        values.optional_url,
        "a URL such as http://localhost:4318",
        "to which receiver of OpenTelemetry traces are sent after they were recorded, by a process of its own; see `export --to`",
    )
    profile: bool = _setting(
        False,
        *_FLAG,
        "sample the program's stacks, so that `analyze` can name the functions that take time; needs the extra `[profile]`",
    )
    auto_breakpoints: tuple[str, ...] = _setting(
        (),
        values.texts,
        'a list of locations, such as ["tool:search", "llm if duration_ms > 500"]',
        "where every debugging session stops; locations that a trace does not hold are skipped",
    )
    break_on_errors: bool = _setting(False, *_FLAG, "stop a debugging session at whatever fails")
    break_on_warnings: bool = _setting(
        False,
        *_FLAG,
        "stop it at what ended partial, skipped, cancelled or by timeout, and at log records from warning on",
    )
    mocks: tuple[str, ...] = _setting(
        (),
        values.texts,
        """a list of NAME:JSON, NAME@N:JSON, NAME:@file.json or NAME.MEMBER=VALUE, such as ["search:{}", "llm@2.text=No"]""",
        "mocks, in every replay and re-run of a trace that has such calls",
    )
    faults: tuple[str, ...] = _setting(
        (),
        values.texts,
        'a list of NAME:FAULT or NAME@N:FAULT, such as ["search:timeout", "llm@2:status:429"]',
        "faults, in every replay and re-run of a trace that has such calls",
    )
    tools: Mapping[str, str] = _setting(
        {},
        values.tools,
        """an object of tool name (with * and ? for many) to "run" or "answer", such as {"lookup_*": "run", "send_email": "answer"}""",
        "what a re-run does with a tool whose code has changed: run it, or answer it from the trace in any case",
    )
    accept: tuple[str, ...] = _setting(
        (),
        values.accepted,
        f"a list of {', '.join(ACCEPTABLE)}",
        "kinds of recorded answers that a re-run or a test may use although they may differ now, as --accept",
    )
    diff_ignore: tuple[str, ...] = _setting(
        (),
        values.texts,
        'a list of keys and paths, such as ["request_id", "outputs.result.generated_at", "**.seed"]',
        "what `diff` does not compare: a key wherever it occurs, or a path from the event on; * stands for one key, ** for any",
    )
    rerun_ignore: tuple[str, ...] = _setting(
        (),
        values.output_patterns,
        'a list of regular expressions, such as ["build [0-9a-f]{7}", "^Downloading "]',
        "what `rerun` does not compare of the program's output, of the exception that ended it, and of the paths of its files",
    )
    prices: Mapping[str, Mapping[str, float] | None] = _setting(
        {},
        values.prices,
        """an object of model (with * and ? for many) to US dollars per million tokens, such as {"my-model": {"input": 0.5, "output": 2}}""",
        "what models cost, before the published prices of the extra `[prices]`; null: no price",
    )
    checks: tuple[Mapping[str, Any] | str, ...] = _setting(
        (),
        values.checks,
        """a list of rules, such as [{"forbid": "tool:delete_*"}, "cost <= 0.05"]""",
        "rules for `check`, besides those of its options",
    )
    alert_channels: Mapping[str, Mapping[str, Any]] = _setting(
        {},
        values.channels,
        """an object of name to channel, such as {"ops": {"kind": "webhook", "url": "http://localhost:9000/alerts", "token_env": "OPS_TOKEN"}}""",
        "where `monitor` sends alerts; secrets are in environment variables, which `url_env` and `token_env` name",
    )
    triggers: Mapping[str, float | None] = _setting(
        TRIGGERS,
        values.triggers,
        """an object of rule to threshold, such as {"error_rate": 0.01, "timeouts": null}""",
        "what `analyze --triggers` allows before it reports a finding; rules that are not named keep their thresholds, null switches one off",
    )
    limits: tuple[Mapping[str, Any], ...] = _setting(
        (),
        guarding.limits,
        """a list of limits, such as [{"cost": 0.05}, {"cost": 10, "by": "day", "action": "warn"}]; see `debug help limits`""",
        "what a traced program may use before it is warned, paused or stopped",
    )
    limits_file: str = _setting(
        "",
        values.optional_path,
        "a path",
        "the SQLite file in which all runs and processes add up what they use; `limits.db` in `trace_output_dir` when empty",
    )
    circuit_breakers: Mapping[str, Mapping[str, Any]] = _setting(
        {},
        guarding.circuit_breakers,
        """an object of model:NAME, tool:NAME or host:NAME (with * and ? for many) to a circuit breaker, such as {"model:*": {}, "host:api.example.com": {"failure_threshold": 3}}; see `debug help limits`""",
        "which models, tools and hosts are not called for a while after they failed several times in a row",
    )
    retries: Mapping[str, Mapping[str, Any]] = _setting(
        {},
        guarding.retries,
        """an object of model:NAME or host:NAME (with * and ? for many) to attempts, delay and longest, such as {"model:*": {"attempts": 3}}; see `debug help limits`""",
        "which requests to models and hosts are made again after they failed",
    )
    canary_limits: Mapping[str, Sequence[float | None]] = _setting(
        CANARY_LIMITS,
        values.canary_limits,
        """an object of measure to two limits, such as {"error_rate": [0.02, 0.1], "cost": [0.05, 0.2]}""",
        "`check --canary`: a version that is worse is promoted below the first limit, and rolled back above the second",
    )
    alert_thresholds: Mapping[str, float | None] = _setting(
        ALERTS,
        values.alert_thresholds,
        """an object of rule to threshold, such as {"throughput": 10, "slow_response": null}""",
        "what `monitor` allows before it alerts, besides `triggers`; rules that are not named keep their thresholds, null switches one off",
    )
    alert_rules: tuple[Mapping[str, Any] | str, ...] = _setting(
        (),
        values.checks,
        """a list of rules, such as [{"limit": "error_rate <= 0.01", "by": "tool", "window": "10m", "for": "1m"}]""",
        "further alert rules for `monitor`",
    )
    error_indicators: Mapping[str, str] = _setting(
        {},
        values.indicators,
        "an object of name to regular expression",
        "further messages in the log that report an error; `analyze --log-errors` lists them",
    )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON would hold them."""
        document = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in document.items():
            if isinstance(value, tuple | Mapping):
                document[name] = list(value) if isinstance(value, tuple) else dict(value)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DebugConfiguration:
        """Return the configuration that `to_json` wrote down; unknown keys are left out, for a newer writer's sake."""
        known = {f.name for f in fields(cls)}
        settings = {name: value for name, value in document.items() if name in known}
        lists = {name: tuple(value) for name, value in settings.items() if isinstance(value, list)}
        return cls(**settings | lists)


class Setting(NamedTuple):
    """One row of the table: the key, its default, how its value is read, what is allowed, and what it is for."""

    key: str
    default: object
    read: Callable[[object], object]
    allowed: str
    help: str
    short_name: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it; the first wins."""
        return tuple(ENVIRONMENT_PREFIX + name for name in (self.key.upper(), self.short_name) if name)


_DEFAULTS = DebugConfiguration()
SETTINGS = tuple(
    Setting(each.name, getattr(_DEFAULTS, each.name), **each.metadata) for each in fields(_DEFAULTS)
)
_BY_KEY = {setting.key: setting for setting in SETTINGS}
_VARIABLES = {
    *(variable for setting in SETTINGS for variable in setting.variables),
    *INTERNAL_VARIABLES,
    TRUST_VARIABLE,
    TRUST_KEY_VARIABLE,
}


class Loaded(NamedTuple):
    """A configuration, where each value came from, and the file that was read."""

    config: DebugConfiguration
    sources: dict[str, str]
    file: Path | None


class SettingMistake(NamedTuple):
    """What is wrong with a setting of the file or the environment; without a key, with the whole file."""

    key: str
    error: SettingError

    @property
    def may_be_about_secrets(self) -> bool:
        """Whether the wrong setting may have been one of those for what must not be written."""
        return not self.key or self.key.startswith("redact")


def load_configuration(
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    mistakes: list[SettingMistake] | None = None,
) -> Loaded:
    """Read the settings from their four sources.

    Args:
        cwd: where the search for the file starts; the working directory if left out.
        environ: the environment; `os.environ` if left out.
        overrides: values of command options or keyword arguments; `None` values are ignored.
        defaults: defaults of one command that differ from those of the table.
        mistakes: takes what is wrong in the file and the environment, which is then left out, and the rest read.

    Raises:
        SettingError: an unknown key or a value that is not allowed; the message names the source.
    """
    values: dict[str, Any] = dict(defaults or {})
    sources = {setting.key: "default" for setting in SETTINGS}

    def take(key: str, value: object, source: str) -> None:
        with _collect_mistakes(key, mistakes):
            values[key] = _read_value(key, value, source)
            sources[key] = source

    path = find_file(cwd or working_directory())
    in_file: dict[str, Any] = {}
    with _collect_mistakes("", mistakes):
        in_file = _read_file(path) if path else {}
    for key, value in in_file.items():
        take(key, value, str(path))
    environ = os.environ if environ is None else environ
    for name in sorted(environ.keys() - _VARIABLES):
        if name.startswith(ENVIRONMENT_PREFIX):
            with _collect_mistakes(name.removeprefix(ENVIRONMENT_PREFIX).lower(), mistakes):
                raise _unknown_variable(name)
    for setting in SETTINGS:
        variable = next((name for name in setting.variables if environ.get(name)), None)
        if variable:
            take(setting.key, environ[variable], variable)
    for key, value in (overrides or {}).items():
        if value is not None:
            values[key] = _read_value(key, value, "option")
            sources[key] = "option"
    return Loaded(replace(_DEFAULTS, **values), sources, path)


@contextmanager
def _collect_mistakes(key: str, mistakes: list[SettingMistake] | None) -> Iterator[None]:
    """Add errors of a setting to `mistakes` instead of raising them, if it is not None."""
    try:
        yield
    except SettingError as error:
        if mistakes is None:
            raise
        mistakes.append(SettingMistake(key, error))


def working_directory() -> Path:
    """Return the working directory; the root where it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def find_file(start: Path) -> Path | None:
    """Return the nearest `.namel3ss/debug.json` at or above `start`."""
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if path.is_file():
            return path
    return None


def enabled_never(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether the environment forbids that tracing is ever switched on in this process."""
    environ = os.environ if environ is None else environ
    return environ.get(ENVIRONMENT_PREFIX + "ENABLED", "").strip().lower() == NEVER


def _unknown_variable(variable: str) -> SettingError:
    """Return the error for a variable that has our prefix and is no setting, so it is probably mistyped."""
    names = sorted(name.removeprefix(ENVIRONMENT_PREFIX) for name in _VARIABLES - INTERNAL_VARIABLES)
    meant = values.suggest(variable.removeprefix(ENVIRONMENT_PREFIX), names, ENVIRONMENT_PREFIX)
    hint = meant or "; run `namel3ss debug config` to see every setting"
    return SettingError(f"unknown setting {variable} in the environment{hint}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_unique_members)
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror}; make it readable or remove it") from error
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} is not JSON: {error}; repair it or remove it") from error
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise SettingError(f"{path} must hold one JSON object of settings, found {values.shown(document)}")
    return document


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object; of a key that is there twice, the first value would be lost in silence."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise SettingError(f"the key {key!r} appears twice in one object; remove one of them")
        members[key] = value
    return members


def _read_value(key: str, value: object, where: str) -> object:
    """Return a value as its setting reads it."""
    setting = _BY_KEY.get(key)
    if setting is None:
        hint = values.suggest(key, _BY_KEY) or "; run `namel3ss debug config` to see every key"
        raise SettingError(f"{where}: unknown setting {key!r}{hint}")
    try:
        return setting.read(value)
    except SettingError as error:  # about one entry of the value
        raise SettingError(f"{where}: {error}") from None
    except (TypeError, ValueError):
        raise SettingError(f"{where}: {key} is {values.shown(value)}, allowed is {setting.allowed}") from None
