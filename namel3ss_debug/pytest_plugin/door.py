"""What pytest finds in the plugin: the fixture `agent_trace`, the mark `agent_recording`, and the option `--agent-record`.

pytest imports this file in every run, so it imports nothing of ours: what does the work is `recorded_tests` beside it, loaded
with the first test that has the fixture or the mark. Its asserts are not pytest's business: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # loaded with the first test that needs it
    from namel3ss_debug.pytest_plugin.recorded_tests import RecordedTest
    from namel3ss_debug.views.assertions import AgentTrace

MARK, FIXTURE = "agent_recording", "agent_trace"
MODES = ("once", "none", "rewrite")

_TEST: pytest.StashKey[RecordedTest] = pytest.StashKey()
_MARK_HELP = (
    'agent_recording(path=None, *, mode="once", run_tools=()): record what the agents of the test do on its first run, and '
    "answer from that ever after, with the network closed"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the setting of the same meaning."""
    group = parser.getgroup("agents", "recorded agent tests (namel3ss-debug)")
    group.addoption(
        "--agent-record",
        choices=MODES,
        metavar="MODE",
        help="for every test with agent_recording: once (record what has no recording), none (never record) or rewrite "
        "(record anew); without it, as the mark says",
    )
    parser.addini(
        "agent_record", "MODE of tests whose agent_recording has no mode of its own", default="once"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", _MARK_HELP)
    mode = config.getini("agent_record")
    if mode not in MODES:
        raise pytest.UsageError(
            f"agent_record is {mode!r} in the ini file; it must be one of {', '.join(MODES)}"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """A test with the mark has the fixture, the first of its own, so that what other fixtures do is recorded too.

    Only now are all marks there: a conftest gives some to whole folders when all tests have been collected.
    """
    names = getattr(item, "fixturenames", None)
    if names is None or (FIXTURE not in names and item.get_closest_marker(MARK) is None):
        return
    others = [name for name in names if name != FIXTURE]
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    wider = [place for place, name in enumerate(others, 1) if _scope(known.get(name)) != "function"]
    place = max(wider, default=0)
    # a list of its own, because the tests of one function with other parameters share theirs
    item.fixturenames = [*others[:place], FIXTURE, *others[place:]]


def _scope(definitions: Any) -> str:
    """The scope of a fixture; what is none, as `request`, is of the test."""
    return str(definitions[-1].scope) if definitions else "function"


@pytest.fixture
def agent_trace(request: pytest.FixtureRequest) -> Generator[AgentTrace]:
    """What the agents of this test do, recorded; see `AgentTrace` for what can be asked of it."""
    from namel3ss_debug.pytest_plugin import recorded_tests  # noqa: PLC0415  (loaded with the first test that needs it)

    test = recorded_tests.begin(request)
    request.node.stash[_TEST] = test
    try:
        yield test.trace
    finally:
        test.end()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The end of the test itself is the end of its recording, before anything else is put away."""
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the agents did; that of a subtest comes before the end of its test."""
    report = yield
    test = item.stash.get(_TEST, None)
    if test is not None and report.failed and report.when == "call":
        test.failed_within()
        report.sections.extend(test.sections())
    return report
