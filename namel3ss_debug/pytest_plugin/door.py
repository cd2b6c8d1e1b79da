"""Define the fixture `agent_trace`, the mark of the same name, and the option `--agent-record`.

pytest imports this file in every run, so it imports no other modules of ours: the work is done by `recorded_tests`,
which is loaded with the first test that has the fixture or the mark. pytest shall not rewrite its asserts:
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:  # loaded with the first test that needs it
    from namel3ss_debug.views.assertions import AgentTrace

MARKS, FIXTURE = ("agent_trace", "agent_recording"), "agent_trace"
"""The second mark is the earlier name of the first."""

MODES = ("once", "none", "rewrite")


class RunningTest(Protocol):
    """A test that is recorded, or runs on its trace, as the hooks of pytest drive it; `recorded_tests` makes it."""

    def begin(self) -> None:
        """Begin where the function of the test begins."""

    def passed(self) -> None:
        """End after a test that passed."""

    def failed(self, error: BaseException) -> None:
        """End after a test that failed with an exception."""

    def failed_within(self) -> None:
        """Note the failure of a subtest, before the test itself has ended."""

    def sections(self) -> list[tuple[str, str]]:
        """Return what the report of a failure shows: titles and texts."""


_TEST: pytest.StashKey[RunningTest] = pytest.StashKey()
_MARK_HELP = (
    (
        'agent_trace(path=None, *, mode="once", run_tools=()): record the agents of the test on its first run, '
        "and answer them from that trace later, with the network closed"
    ),
    "agent_recording(...): the earlier name of agent_trace",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, and the setting with the same meaning."""
    group = parser.getgroup("agents", "recorded agent tests (namel3ss-debug)")
    group.addoption(
        "--agent-record",
        choices=MODES,
        metavar="MODE",
        help="for every test with the mark agent_trace: once (record what has no trace), none (never record) or rewrite "
        "(record again); without it, the mode of the mark",
    )
    parser.addini(
        "agent_record", "MODE of tests whose mark agent_trace has no mode of its own", default="once"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    for row in _MARK_HELP:
        config.addinivalue_line("markers", row)
    mode = config.getini("agent_record")
    if mode not in MODES:
        raise pytest.UsageError(
            f"agent_record is {mode!r} in the ini file; it must be one of {', '.join(MODES)}"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """Give a test with the mark the fixture, as its first one, so that the work of other fixtures is recorded too.

    All marks are known only now: a conftest can add marks to whole folders after all tests have been collected.
    """
    names = getattr(item, "fixturenames", None)
    if names is None or (FIXTURE not in names and mark_of(item) is None):
        return
    others = [name for name in names if name != FIXTURE]
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    wider = [place for place, name in enumerate(others, 1) if _scope(known.get(name)) != "function"]
    place = max(wider, default=0)
    # a new list, because the tests of one function with different parameters share theirs
    item.fixturenames = [*others[:place], FIXTURE, *others[place:]]


def mark_of(item: pytest.Item) -> pytest.Mark | None:
    """Return the mark of a test, under either of its names."""
    return next(filter(None, map(item.get_closest_marker, MARKS)), None)


def _scope(definitions: Any) -> str:
    """Return the scope of a fixture; for built-in arguments such as `request`, that of the test."""
    return str(definitions[-1].scope) if definitions else "function"


@pytest.fixture
def agent_trace(request: pytest.FixtureRequest) -> Generator[AgentTrace]:
    """Record what the agents of this test do; `AgentTrace` describes what it offers."""
    from namel3ss_debug.pytest_plugin import recorded_tests  # loaded with the first test that needs it

    test = recorded_tests.begin(request, mark_of(request.node))
    request.node.stash[_TEST] = test
    try:
        yield test.trace
    finally:
        test.end()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End the trace with the test itself, before any teardown."""
    test = item.stash.get(_TEST, None)
    if test is None:
        return (yield)
    try:
        result = yield
    except BaseException as error:
        test.failed(error)
        raise
    caught = getattr(item, "_excinfo", None)
    if caught:  # a test of unittest, whose exceptions pytest keeps until the report
        test.failed(caught[0].value)
    else:
        test.passed()
    return result


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let the recorded test begin where its function does."""
    test = pyfuncitem.stash.get(_TEST, None)
    if test is not None:
        test.begin()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the agents did to the report of a failure; a subtest's failure comes before the end of its test."""
    report = yield
    test = item.stash.get(_TEST, None)
    if test is not None and report.failed and report.when == "call":
        test.failed_within()
        report.sections.extend(test.sections())
    return report
