"""List why a re-run can be unverified: the kinds of its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class UnverifiedKind(NamedTuple):
    """A kind of reasons why a re-run is not verified.

    Attributes:
        noun: what is counted in the verdict.
        plural: the plural of `noun`.
        can_be_accepted: whether `--accept` and the setting `accept` take it.
    """

    noun: str
    plural: str
    can_be_accepted: bool = True


STALE_TOOLS: Final = "stale-tools"
UNKNOWN_CODE: Final = "unknown-code"
STALE_MODELS: Final = "stale-models"
CHANGED_FILES: Final = "changed-files"
CHANGED_ARGUMENTS: Final = "changed-arguments"
UNKNOWN_BODIES: Final = "unknown-bodies"
UNUSED: Final = "unused"
"""An override, or a name of `--run-tools`, reached no call."""

UNVERIFIED_KINDS: Final[Mapping[str, UnverifiedKind]] = {
    STALE_TOOLS: UnverifiedKind("stale tool", "stale tools"),
    UNKNOWN_CODE: UnverifiedKind("unknown tool", "unknown tools"),
    STALE_MODELS: UnverifiedKind("stale model call", "stale model calls"),
    CHANGED_FILES: UnverifiedKind("changed file", "changed files"),
    CHANGED_ARGUMENTS: UnverifiedKind("changed argument", "changed arguments"),
    UNKNOWN_BODIES: UnverifiedKind("unknown body", "unknown bodies"),
    "ambiguous": UnverifiedKind(
        "ambiguous call", "ambiguous calls", can_be_accepted=False
    ),  # of a divergence
    UNUSED: UnverifiedKind("unused name", "unused names", can_be_accepted=False),
}
"""Every kind, in the order of the verdict line."""

ACCEPTABLE: Final = tuple(name for name, kind in UNVERIFIED_KINDS.items() if kind.can_be_accepted)
"""The kinds of answers that a re-run uses although they may differ now."""
