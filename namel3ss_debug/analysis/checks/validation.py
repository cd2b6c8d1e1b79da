"""JSON schemas for outputs, by the package jsonschema of the extra `[schema]`. A schema never causes a download."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import MissingExtraError, RuleError, short

INSTALL: Final = "pip install 'namel3ss-debug[schema]'"
_LONGEST = 160


def read_schema(written: object, folder: Path) -> object:
    """Return the schema of a rule: the value itself, or the content of the file that it names.

    Raises:
        RuleError: the file cannot be read, or is not JSON.
    """
    if not isinstance(written, str):
        return written
    path = folder / written
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise RuleError(f"schema: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RuleError(f"schema: {path} is not JSON: {error}") from None


def make_validator(schema: object) -> Callable[[Any], Sequence[tuple[str, str]]]:
    """Return a function that lists where a value does not fit.

    The function parses a text as JSON unless the schema wants a text.

    Raises:
        MissingExtraError: jsonschema is not installed.
        RuleError: the schema is not valid.
    """
    try:
        from jsonschema import exceptions, validators  # an optional extra
        from referencing import Registry
    except ImportError:
        raise MissingExtraError(f"a rule with a schema needs the package jsonschema; {INSTALL}") from None

    if not isinstance(schema, dict | bool):
        raise RuleError("schema: it is no object; write a JSON schema, or the name of a file that holds one")
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)  # type: ignore[arg-type]  # true and false are schemas too
    except exceptions.SchemaError as error:
        raise RuleError(f"schema: it is no JSON schema: {short(error.message, _LONGEST)}") from None
    checker = kind(schema, registry=Registry())  # an empty registry fetches nothing
    wants_text = isinstance(schema, dict) and schema.get("type") == "string"

    def problems(value: Any) -> list[tuple[str, str]]:
        """Return the paths in a value that do not fit, each with the problem there."""
        if isinstance(value, str) and not wants_text:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return [("", "it is no JSON")]
        try:
            errors = sorted(checker.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
            return [(_path(error.absolute_path), short(error.message, _LONGEST)) for error in errors]
        except RecursionError:
            return [("", "it is nested too deep to compare")]
        except Exception as error:  # a reference that the schema does not hold
            raise RuleError(f"schema: {short(str(error), _LONGEST)}") from None

    return problems


def _path(parts: Any) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
