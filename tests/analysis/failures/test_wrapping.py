"""Whether a failure is another one in other words."""

import traceback

import pytest

from namel3ss_debug.analysis.failures.wrapping import find_direct_causes, names_failure


class RefusedError(Exception):
    """What a library raises."""


def refused():
    """A failure whose text has two lines."""
    raise RefusedError("there is no part 'A-7'\n  | in this list")


def wrapped():
    """The same, as the cause of another one."""
    try:
        refused()
    except RefusedError as error:
        raise RuntimeError("the branch gave up") from error


def handled():
    """Another one, while the first was handled."""
    try:
        refused()
    except RefusedError:
        raise RuntimeError("the branch gave up")  # noqa: B904


def grouped():
    """Both, as members of a group in a group."""
    errors = []
    for raising in (refused, wrapped):
        try:
            raising()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("two branches", [ExceptionGroup("one branch", errors)])


def trace_of(raising):
    """The stack trace that Python prints."""
    try:
        raising()
    except Exception:
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("raising", "named"),
    [(refused, False), (wrapped, True), (handled, False), (grouped, True), (lambda: None, False)],
)
def test_what_caused_it_and_what_is_in_it_is_named(raising, named):
    """As Python prints it, and by the words alone where the library gave the failure a type of its own."""
    causes = find_direct_causes(trace_of(raising))
    for kind in (f"{__name__}.RefusedError", "invalid_request_error"):
        assert (
            names_failure("the run failed", causes, kind, "there is no part 'A-7'\n  | in this list") is named
        )
    assert not names_failure("the run failed", causes, f"{__name__}.RefusedError", "there is no part 'B-8'")


def test_a_failure_without_words_is_named_by_its_type():
    """As a timeout often has none."""
    causes = find_direct_causes(
        trace_of(
            lambda: exec("try:\n raise TimeoutError\nexcept TimeoutError as e:\n raise OSError(1) from e")
        )
    )
    assert names_failure(None, causes, "TimeoutError", None)
    assert not names_failure(None, causes, "KeyError", None)
    assert not names_failure(None, (), None, None)


@pytest.mark.parametrize("trace", [None, "", 7, {"a": 1}, "no trace\n\n", "Exception Group Traceback"])
def test_what_is_no_stack_trace_names_nothing(trace):
    """Whatever stands there."""
    assert find_direct_causes(trace) == ()
