"""One class for each kind of failure a user can cause.

Every class has a `slug`, which is a heading in docs/errors.md and a topic of `namel3ss debug help`, and the exit
status of the command line. A message is one line that says what is wrong, where, and what to do. Nothing here prints.
"""

from __future__ import annotations


class DebugError(Exception):
    """A failure the user can understand and repair; the message is all that is shown."""

    slug = "errors"
    exit_code = 2


class WrongUsageError(DebugError):
    """The command cannot work with its options or arguments."""

    slug = "wrong-usage"


class SettingError(DebugError):
    """A setting has an unknown key or a value that is not allowed."""

    slug = "bad-setting"


class TraceNotFoundError(DebugError):
    """No trace has this path, directory or id."""

    slug = "trace-not-found"


class UnreadableTraceError(DebugError):
    """The file is there but holds nothing that can be read as a trace."""

    slug = "unreadable-trace"


class TargetError(DebugError):
    """The program to trace cannot be found or started."""

    slug = "target-not-found"


class ExpressionError(DebugError):
    """An expression does not parse or asks for what the language does not have."""

    slug = "bad-expression"


class RuleError(DebugError):
    """A rule of a check does not parse, asks for what is not there, or cannot be evaluated."""

    slug = "bad-rule"


class PlaceError(DebugError):
    """The location of a breakpoint does not parse or cannot match."""

    slug = "bad-place"


class MockError(DebugError):
    """An override does not parse, has the wrong shape, or is for no call that is there."""

    slug = "mock"


class RerunError(DebugError):
    """A recorded program cannot run again on the answers of its trace, or cannot go on."""

    slug = "re-run"


class TrustError(DebugError):
    """A trace that this user did not record, or that was changed, would run something without consent."""

    slug = "trust"


class MissingExtraError(DebugError):
    """An optional package is needed; the message names the extra that brings it."""

    slug = "missing-extra"


class LimitExceeded(BaseException):
    """A limit was reached: raised in the traced program in place of a call of a model or a tool.

    It is no `Exception`, as `KeyboardInterrupt` is none: SDKs of models repeat a request that ended with an `Exception`,
    and raise another one in its place; frameworks show the one of a tool to the model and go on. Catch it by its name.

    Attributes:
        measure: what was limited, such as `cost`.
        most: how much was allowed.
        value: how much was used.
        subject: whose limit it is, such as `run` or `agent Researcher`.
    """

    measure: str = ""
    most: float = 0.0
    value: float = 0.0
    subject: str = ""


class LimitExceededInPoolError(LimitExceeded, Exception):
    """The same in a worker of `multiprocessing.Pool`, which passes an `Exception` on and would wait forever after another."""


def short(text: str, most: int, mark: str = "…") -> str:
    """Return a text for a message: at most so many characters, with the mark at the end where it was cut."""
    return text if len(text) <= most else text[: most - len(mark)] + mark
