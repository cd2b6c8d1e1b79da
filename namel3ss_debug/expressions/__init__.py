"""The one expression language, for breakpoint conditions, `--where` and checks, and its regular expressions."""

from namel3ss_debug.expressions.language import (
    NAMES,
    Expression,
    compile_expression,
    event_scope,
    nearest,
)
from namel3ss_debug.expressions.patterns import Pattern, compile_pattern, name_fits
from namel3ss_debug.fields import FIELD_NAMES

__all__ = [
    "FIELD_NAMES",
    "NAMES",
    "Expression",
    "Pattern",
    "compile_expression",
    "compile_pattern",
    "event_scope",
    "name_fits",
    "nearest",
]
