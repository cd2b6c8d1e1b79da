"""One table of settings becomes one frozen configuration, from four sources in order; later wins.

1. the defaults of `SETTINGS`,
2. `.namel3ss/debug.json`, searched upwards from the working directory,
3. `NAMEL3SS_DEBUG_*` environment variables,
4. command options and keyword arguments.

The guide's table is printed from `SETTINGS`, and `namel3ss debug config` shows each value with its source.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from namel3ss_debug.errors import SettingError

FILE_NAME = ".namel3ss/debug.json"
ENVIRONMENT_PREFIX = "NAMEL3SS_DEBUG_"
SESSION_VARIABLE = "NAMEL3SS_DEBUG_SESSION"
"""What a traced process and its children are told about the recording they belong to."""

PARENT_VARIABLE = "NAMEL3SS_DEBUG_PARENT"
"""The id of the span in which a child process was started."""

LINEAGE_VARIABLE = "NAMEL3SS_DEBUG_LINEAGE"
"""The name of a child process among all that the program starts, and the standard input it may share with its parent."""

INTERNAL_VARIABLES = frozenset({LINEAGE_VARIABLE, SESSION_VARIABLE, PARENT_VARIABLE})
LEVELS = ("basic", "detailed", "comprehensive")
NEVER = "never"
"""The value of NAMEL3SS_DEBUG_ENABLED that turns decorators into nothing at all."""


@dataclass(frozen=True)
class DebugConfiguration:
    """Every setting, checked. Sizes are bytes, durations are in the unit the name ends with."""

    enabled: bool = False
    trace_output_dir: str = "./debug/traces"
    default_components: tuple[str, ...] = ()
    level: str = "detailed"
    sample_rate: float = 1.0
    buffer_size: int = 1
    flush_interval_seconds: float = 1.0
    max_payload_size: int = 16384
    record_randomness: bool = False
    slow_ms: float = 1000.0
    rotate_max_bytes: int = 100 * 1024 * 1024
    rotate_keep: int = 0
    trace_retention_days: float = 30.0
    trace_retention_bytes: int = 0
    capture_memory: bool = True
    capture_performance: bool = True
    redact: bool = True
    redact_keys: tuple[str, ...] = ()
    redact_patterns: Mapping[str, str] = field(default_factory=dict)
    auto_breakpoints: tuple[str, ...] = ()
    break_on_errors: bool = False
    break_on_warnings: bool = False
    mocks: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    prices: Mapping[str, Mapping[str, float] | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON would hold them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: list(value)
            if isinstance(value, tuple)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for name, value in values.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DebugConfiguration:
        """The configuration that `to_json` wrote down; unknown keys are left out, for a newer writer's sake."""
        known = {f.name for f in fields(cls)}
        settings = {name: value for name, value in values.items() if name in known}
        for name in ("default_components", "redact_keys", "auto_breakpoints", "mocks", "faults"):
            settings[name] = tuple(settings.get(name, ()))
        return cls(**settings)


class Setting(NamedTuple):
    """One row of the table: the key, how its value is read, what is allowed, and what it is for."""

    key: str
    read: Callable[[object], object]
    allowed: str
    help: str
    short_names: tuple[str, ...] = ()

    @property
    def default(self) -> object:
        """The value where no source says otherwise."""
        return getattr(_DEFAULTS, self.key)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it; the first wins."""
        return tuple(ENVIRONMENT_PREFIX + name for name in (self.key.upper(), *self.short_names))


class Loaded(NamedTuple):
    """A configuration, where each value came from, and the file that was read."""

    config: DebugConfiguration
    sources: dict[str, str]
    file: Path | None


def load_configuration(
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read the settings from their four sources.

    Args:
        cwd: where the search for the file starts; the working directory if left out.
        environ: the environment; `os.environ` if left out.
        overrides: values of command options or keyword arguments; `None` values are not given.
        defaults: defaults of one command that differ from those of the table.

    Raises:
        SettingError: an unknown key or a value that is not allowed, naming where it stands.
    """
    values: dict[str, Any] = dict(defaults or {})
    sources = {setting.key: "default" for setting in SETTINGS}
    path = find_file(cwd or _working_directory())
    for key, value in (_read_file(path) if path else {}).items():
        values[key] = _checked(key, value, str(path))
        sources[key] = str(path)
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    for setting in SETTINGS:
        variable = next((name for name in setting.variables if environ.get(name)), None)
        if variable:
            values[setting.key] = _checked(setting.key, environ[variable], variable)
            sources[setting.key] = variable
    for key, value in (overrides or {}).items():
        if value is not None:
            values[key] = _checked(key, value, "option")
            sources[key] = "option"
    return Loaded(replace(_DEFAULTS, **values), sources, path)


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it has been removed
        return Path("/")


def find_file(start: Path) -> Path | None:
    """The nearest `.namel3ss/debug.json` at or above `start`."""
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if path.is_file():
            return path
    return None


def enabled_never(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment says that tracing shall never be switched on in this process."""
    environ = os.environ if environ is None else environ
    return environ.get(ENVIRONMENT_PREFIX + "ENABLED", "").strip().lower() == NEVER


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {variable for setting in SETTINGS for variable in setting.variables} | INTERNAL_VARIABLES
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, 1)
            hint = (
                f"; did you mean {near[0]}?" if near else "; run `namel3ss debug config` to see every setting"
            )
            raise SettingError(f"unknown setting {variable} in the environment{hint}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror}; make it readable or remove it") from error
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} is not JSON: {error}; mend it or remove it") from error
    if not isinstance(document, dict):
        raise SettingError(f"{path} must hold one JSON object of settings, found {_shown(document)}")
    return document


def _checked(key: str, value: object, where: str) -> object:
    setting = _BY_KEY.get(key)
    if setting is None:
        near = difflib.get_close_matches(key, _BY_KEY, 1)
        hint = f"; did you mean {near[0]}?" if near else "; run `namel3ss debug config` to see every key"
        raise SettingError(f"{where}: unknown setting {key!r}{hint}")
    try:
        return setting.read(value)
    except SettingError as error:  # about one entry of the value
        raise SettingError(f"{where}: {error}") from None
    except (TypeError, ValueError):
        raise SettingError(f"{where}: {key} is {_shown(value)}, allowed is {setting.allowed}") from None


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError


def _enabled(value: object) -> bool:
    if isinstance(value, str) and value.strip().lower() == NEVER:
        return False
    return _flag(value)


def _number(low: float, high: float = float("inf")) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
        if not low <= number <= high or number == float("inf"):
            raise ValueError
        return number

    return read


def _whole(low: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if number < low:
            raise ValueError
        return number

    return read


def _size(value: object) -> int:
    """Bytes, or a number with KB, MB or GB behind it."""
    if isinstance(value, str):
        text = value.strip().upper()
        for unit, factor in (("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("B", 1)):
            if text.endswith(unit):
                return int(_number(0)(text[: -len(unit)].strip()) * factor)
    return _whole(0)(value)


def _words(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise TypeError
    return tuple(item.strip() for item in items if item.strip() and item.strip().lower() != "all")


def _texts(value: object) -> tuple[str, ...]:
    """Texts that may hold commas: a list, or a text that is one as JSON, or else one text alone."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else [value]
        except RecursionError:
            raise ValueError from None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return tuple(item.strip() for item in value if item.strip())


def _text(value: object) -> str:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise TypeError
    return str(value)


def _level(value: object) -> str:
    if value not in LEVELS:
        raise ValueError
    return str(value)


def _patterns(value: object) -> Mapping[str, str]:
    items = json.loads(value) if isinstance(value, str) else value
    if not isinstance(items, dict) or not all(
        isinstance(text, str) for pair in items.items() for text in pair
    ):
        raise TypeError
    return items


def _prices(value: object) -> Mapping[str, Mapping[str, float] | None]:
    from namel3ss_debug.prices import read_table  # noqa: PLC0415  (a program that is traced needs no prices)

    return read_table(value)


_YES_NO = "true or false"
_BYTES = "a number of bytes, or one with KB, MB or GB behind it"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "enabled",
        _enabled,
        f"{_YES_NO}, or {NEVER} in the environment",
        "trace whenever the program runs under `namel3ss run` or imports `namel3ss_debug.auto`",
    ),
    Setting(
        "trace_output_dir",
        _text,
        "a path",
        "where recordings are written; `trace_latest.jsonl` points to the newest",
        ("OUTPUT_DIR",),
    ),
    Setting(
        "default_components",
        _words,
        "a list of component names, or all",
        "which components are recorded; all when empty",
        ("COMPONENTS",),
    ),
    Setting(
        "level",
        _level,
        "basic, detailed or comprehensive",
        "basic: no payloads; detailed: all payloads; comprehensive: also locals and resource samples",
    ),
    Setting(
        "sample_rate",
        _number(0, 1),
        "a number from 0 to 1",
        "the share of executions that is recorded, whole ones only",
    ),
    Setting(
        "buffer_size",
        _whole(1),
        "a whole number of events from 1",
        "1: an event is in the kernel before the call returns, so a kill loses nothing",
    ),
    Setting(
        "flush_interval_seconds",
        _number(0),
        "a number of seconds from 0",
        "how long an event may wait in a buffer; only with a buffer",
    ),
    Setting(
        "max_payload_size",
        _size,
        _BYTES,
        "how much of one payload is kept; 0: all of it, which `debug trace` makes the default",
    ),
    Setting(
        "record_randomness",
        _flag,
        _YES_NO,
        "record the seed and the clock reads that a re-run needs; `debug trace` makes true the default",
    ),
    Setting("slow_ms", _number(0), "a number of milliseconds from 0", "what counts as a slow operation"),
    Setting(
        "rotate_max_bytes",
        _size,
        _BYTES,
        "how large a segment grows before the next one is begun; 0: one segment only",
    ),
    Setting(
        "rotate_keep",
        _whole(0),
        "a whole number from 0",
        "how many segments of a process are kept; 0 keeps all",
    ),
    Setting(
        "trace_retention_days",
        _number(0),
        "a number of days from 0",
        "how old a recording grows before `clean` removes it; 0: any age is kept",
    ),
    Setting(
        "trace_retention_bytes",
        _size,
        _BYTES,
        "how much room all recordings may take before `clean` removes the oldest; 0: no limit",
    ),
    Setting("capture_memory", _flag, _YES_NO, "record the memory of the process with each span"),
    Setting("capture_performance", _flag, _YES_NO, "record the CPU time of each span"),
    Setting("redact", _flag, _YES_NO, "replace secrets before anything reaches the disk"),
    Setting("redact_keys", _words, "a list of names", "further names of fields whose values are secret"),
    Setting(
        "redact_patterns",
        _patterns,
        "an object of rule name to regular expression",
        "further formats of secrets",
    ),
    Setting(
        "auto_breakpoints",
        _texts,
        'a list of places, such as ["tool:search", "llm if duration_ms > 500"]',
        "where every debugging session stops; places that a recording does not hold are passed over",
    ),
    Setting("break_on_errors", _flag, _YES_NO, "stop a debugging session at whatever fails"),
    Setting(
        "break_on_warnings",
        _flag,
        _YES_NO,
        "stop it at what ended partial, skipped, cancelled or by timeout, and at log records from warning on",
    ),
    Setting(
        "mocks",
        _texts,
        """a list of NAME:JSON, NAME@N:JSON, NAME:@file.json or NAME.MEMBER=VALUE, such as ["search:{}", "llm@2.text=No"]""",
        "answers in place of recorded ones, in every replay and re-run of a recording that has such calls",
    ),
    Setting(
        "faults",
        _texts,
        'a list of NAME:FAULT or NAME@N:FAULT, such as ["search:timeout", "llm@2:status:429"]',
        "what goes wrong, in every replay and re-run of a recording that has such calls",
    ),
    Setting(
        "prices",
        _prices,
        """an object of model (with * and ? for many) to US dollars per million tokens, such as {"my-model": {"input": 0.5, "output": 2}}""",
        "what models cost, before the published prices of the extra `[prices]`; null: no price",
    ),
)

_DEFAULTS = DebugConfiguration()
_BY_KEY = {setting.key: setting for setting in SETTINGS}
