"""The plugin of pytest under pytest's own `pytester`: recording, answering, asking and failing."""

import importlib.metadata
import json
import subprocess
import sys

import anthropic  # noqa: F401  (imported before pytester takes down what modules there are)
import openai  # noqa: F401  (imported before pytester takes down what modules there are)
import pytest
from _pytest.pytester import SysModulesSnapshot

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.pytest_plugin import recorded_tests  # noqa: F401  (as above)

pytest_plugins = ["pytester"]

INSTALLED = any(each.name == "namel3ss_debug" for each in importlib.metadata.entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "namel3ss_debug.pytest_plugin")

AGENT = """
import json, openai

TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {
    "order": {"type": "string"}}}}}]
CALLED = []

def lookup(order):
    CALLED.append(order)
    return {"order": order, "status": "shipped"}

def ask(messages, **settings):
    with openai.OpenAI(max_retries=0) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **settings).choices[0].message

def run(question, tool=None):
    messages = [{"role": "user", "content": question}]
    while True:
        said = ask(messages, tools=TOOLS)
        if not said.tool_calls:
            return said.content
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            result = (tool or lookup)(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
"""

TEST = """
import agent, pytest

@pytest.mark.agent_recording("x.jsonl")
def test_agent(agent_trace):
    agent.CALLED.clear()
    assert agent.run("Where is A-17?") == "It is on its way."
    agent_trace.assert_called("lookup", times=1, with_arguments={"order": "A-17"})
    print("CALLED", agent.CALLED)
"""


@pytest.fixture
def asked(scripted_model_module, monkeypatch):
    """The requests that reach a model which looks up an order and then answers."""
    say, call, fail = scripted_model_module.say, scripted_model_module.call, scripted_model_module.fail
    requests = []

    def answer(request):
        requests.append(request)
        last = request["messages"][-1]
        content = json.dumps(last)
        if "fail" in content:
            return fail(500, "the model is down")
        if "Where" in content and last["role"] == "user":
            return say("", call("lookup", order="A-17"))
        return say("It is on its way.")

    with scripted_model_module.ScriptedModel(answer) as model:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", model.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "unused")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-" + "a1B2c3D4e5F6" * 4)
        yield requests


@pytest.fixture
def suite(pytester, asked, monkeypatch):
    """Writes an agent and tests, and runs them in this process, which keeps the modules that they load."""
    kept = SysModulesSnapshot(preserve=lambda name: name not in {"agent", "test_it"})
    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", lambda: kept)
    pytester._sys_modules_snapshot = kept
    pytester.makepyfile(agent=AGENT)
    pytester.makeini("[pytest]\naddopts = -p no:randomly -p no:xdist -p no:cacheprovider -p no:anyio\n")
    pytester.syspathinsert()

    def run(tests=None, *options):
        if tests is not None:
            pytester.makepyfile(test_it=tests)
        return pytester.runpytest_inprocess(*PLUGIN, "-rA", *options)

    run.path, run.asked, run.recording = pytester.path, asked, pytester.path / "x.jsonl"
    return run


def test_a_test_asks_what_its_agents_did(suite):
    """Without a mark a test is recorded into pytest's own folder, and answers questions while it runs."""
    result = suite("""
        import agent, pytest

        def test_agent(agent_trace):
            assert agent.run("Where is A-17?") == "It is on its way."
            (call,) = agent_trace.tool_calls("lookup")
            assert (call.arguments, call.result["status"], call.error) == ({"order": "A-17"}, "shipped", None)
            assert len(agent_trace.llm_calls("gpt-4o-*")) == 2 and not agent_trace.llm_calls("claude-*")
            assert [message["role"] for message in agent_trace.messages(2)] == ["user", "assistant", "tool"]
            assert agent_trace.messages(-1) == agent_trace.messages(2)
            assert agent_trace.answers == ["It is on its way."] and agent_trace.failures == []
            agent_trace.assert_no_failures()
            agent_trace.assert_order("gpt-4o-mini", "lookup", "gpt-4o-mini")
            agent_trace.check("tool_calls == 1", {"forbid": "tool:delete_*"})
            assert agent_trace.tokens > 0 and agent_trace.cost > 0 and agent_trace.duration_ms > 0
            assert "agent_traces" in agent_trace.path.parts

        def test_two(agent_trace):
            assert agent_trace.llm_calls() == [] and agent_trace.tokens == 0
        """)
    result.assert_outcomes(passed=2)
    assert not suite.recording.exists()
    assert not (suite.path / ".agent_traces").exists()


def test_a_rule_about_nothing_in_the_run_is_warned_of(suite):
    """It has not been kept either; the warning stands at the line of the test."""
    tests = """
        import agent

        def test_agent(agent_trace):
            agent.run("Where is A-17?")
            agent_trace.check({"limit": "cost < 1", "by": "agent", "of": "packer"}, "tool_calls == 1")
        """
    result = suite(tests, "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_it.py:5: UserWarning: * was not checked: there was no agent packer"])


@pytest.mark.parametrize(
    ("assertion", "told"),
    [
        ('assert_called("search")', "tool search was to be called: it was not called"),
        ('assert_called("lookup", times=2)', "to be called 2 times: it was called 1 time"),
        ('assert_called("lookup", with_arguments={"order": "B"})', "lookup(order=A-17)"),
        (
            'assert_order("lookup", "search")',
            "breaks at search: there was gpt-4o-mini -> lookup -> gpt-4o-mini",
        ),
        ("messages(3)", "there is no LLM call 3: there are 2 LLM calls"),
        ('check("tool_calls == 0")', "1 broken rule:"),
    ],
)
def test_an_assertion_says_what_was_there_instead(suite, assertion, told):
    """Where an assertion fails, its message names what the run did."""
    result = suite(f"""
        import agent

        def test_agent(agent_trace):
            agent.run("Where is A-17?")
            agent_trace.{assertion}
        """)
    result.assert_outcomes(failed=1)
    assert told in result.stdout.str()


def test_a_failure_that_was_not_made_good_is_told(suite):
    """`assert_no_failures` names what failed, with its place in the code."""
    result = suite("""
        import agent, openai, pytest

        def test_agent(agent_trace):
            with pytest.raises(openai.InternalServerError):
                agent.ask([{"role": "user", "content": "fail"}])
            agent_trace.assert_no_failures()
        """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 failure in the run:", "*llm gpt-4o-mini at agent.py:13, event 3:*"])


def test_a_marked_test_records_once_and_is_answered_ever_after(suite):
    """The second run asks no model and calls no tool, and sees the same."""
    first = suite(TEST)
    first.assert_outcomes(passed=1)
    assert "CALLED ['A-17']" in first.stdout.str()
    recorded, asked = suite.recording.read_bytes(), len(suite.asked)
    second = suite()
    second.assert_outcomes(passed=1)
    assert "CALLED []" in second.stdout.str()
    assert (suite.recording.read_bytes(), len(suite.asked)) == (recorded, asked)
    assert b"sk-proj-" not in recorded


def test_a_server_that_the_tests_run_answers_again(suite):
    """What its handler asks a model is answered from the recording, also where the server is older than the test."""
    tests = """
        import threading, urllib.request
        from http.server import BaseHTTPRequestHandler, HTTPServer

        import agent, pytest

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer = agent.ask([{"role": "user", "content": "hello"}]).content
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

        @pytest.fixture(scope="module")
        def address():
            with HTTPServer(("127.0.0.1", 0), Handler) as server:
                threading.Thread(target=server.serve_forever).start()
                yield f"http://127.0.0.1:{server.server_port}"
                server.shutdown()

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent(address):
            assert urllib.request.urlopen(address).read() == b"It is on its way."
        """
    suite(tests).assert_outcomes(passed=1)
    asked = len(suite.asked)
    suite().assert_outcomes(passed=1)
    assert len(suite.asked) == asked


def test_a_tool_that_is_named_runs_for_real(suite):
    """With `run_tools` the tool is called although the recording could answer it."""
    suite(TEST).assert_outcomes(passed=1)
    result = suite(TEST.replace('"x.jsonl"', '"x.jsonl", run_tools="lookup"'))
    result.assert_outcomes(passed=1)
    assert "CALLED ['A-17']" in result.stdout.str()


def test_a_tool_that_is_named_and_was_never_called_is_warned_of(suite):
    """A name that is mistyped runs nothing for real."""
    tests = TEST.replace('"x.jsonl")', '"x.jsonl", run_tools=["lokup", "all"])')
    suite(tests).assert_outcomes(passed=1)
    result = suite(None, "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*PytestWarning: run_tools='lokup': x.jsonl holds no call of such a tool"])


def test_a_tool_that_the_test_defines_is_answered_too(suite):
    """A function that stands in the test itself is found when a model is offered it, and is put back."""
    tests = """
        import agent, pytest
        called = []

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent(agent_trace):
            def lookup(order):
                called.append(order)
                return "lost"

            agent.run("Where is A-17?", lookup)
            assert agent_trace.tool_calls("lookup")[0].result == "lost"
            print("CALLED", called)
        """
    assert "CALLED ['A-17']" in suite(tests).stdout.str()
    assert "CALLED []" in suite().stdout.str()


def test_another_question_fails_the_test_with_both_sides(suite):
    """The message tells what was asked, what the recording holds, what differs, and how to record again."""
    suite(TEST).assert_outcomes(passed=1)
    recorded, asked = suite.recording.read_bytes(), len(suite.asked)
    result = suite(TEST.replace("Where is A-17?", "Where is B-2 now?"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "agent.py:13 calls gpt-4o-mini, but the trace holds the call of gpt-4o-mini *",
            "  recorded  calls gpt-4o-mini, agent.py:13, event 2",
            "*user*Where is*",
            "to record it again: pytest test_it.py::test_agent --agent-record=rewrite",
            "*- agent trace -*",
            "failed: llm_call gpt-4o-mini, agent.py:13, event 2, which was never answered",
            "debug it: namel3ss debug replay *run.jsonl --step",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert (suite.recording.read_bytes(), len(suite.asked)) == (recorded, asked)


@pytest.mark.parametrize("around", ["", "    try:\n        BODY\n    except BaseException:\n        pass\n"])
def test_a_question_without_an_answer_fails_even_where_the_program_hides_it(suite, around):
    """A further call fails the test, whether or not the program catches everything."""
    suite(TEST).assert_outcomes(passed=1)
    further = 'agent.ask([{"role": "user", "content": "And then?"}])'
    added = around.replace("BODY", further) if around else f"    {further}\n"
    result = suite(TEST + added)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*calls gpt-4o-mini, and x.jsonl holds no answer for this call; it holds nothing more"]
    )


def test_a_missing_answer_is_told_once_where_a_group_of_tasks_fails_with_it(suite):
    """What the program makes of it is no further failure; the message stands there without a traceback."""
    suite(TEST).assert_outcomes(passed=1)
    further = """
    try:
        agent.ask([{"role": "user", "content": "And then?"}])
    except BaseException as error:
        raise BaseExceptionGroup("tasks", [error])
"""
    result = suite(TEST + further)
    result.assert_outcomes(failed=1)
    failures, _, _summary = result.stdout.str().partition(
        "short test summary info"
    )  # it is whole there where CI is set
    assert failures.count("to record it again: ") == 1
    assert "Traceback" not in result.stdout.str()


def test_a_recording_that_another_test_has_made_is_told(suite):
    """Of two tests with one recording that ask otherwise, each record again breaks the other."""
    tests = """
        import agent, pytest

        @pytest.mark.agent_recording("x.jsonl")
        def test_one():
            agent.run("Hello")

        @pytest.mark.agent_recording("x.jsonl")
        def test_two():
            agent.run("Hello")
            {more}
    """
    suite(tests.format(more="")).assert_outcomes(passed=2)
    result = suite(tests.format(more='agent.run("Good bye")'))
    result.assert_outcomes(passed=1, failed=1)
    told = "x.jsonl was recorded by test_it.py::test_one: if that test still exists, each needs a file of its own"
    result.stdout.fnmatch_lines([told])
    suite(tests.format(more='agent.run("Good bye")'), "--agent-record=rewrite").assert_outcomes(passed=2)
    result = suite()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([told.replace("test_one", "test_two")])


def test_a_call_that_is_left_out_fails_the_test(suite):
    """A test that ends well but did not ask what was recorded says so."""
    suite(TEST).assert_outcomes(passed=1)
    result = suite(
        TEST.replace('agent.run("Where is A-17?") == "It is on its way."', "True").replace(
            "    agent_trace.assert_called", "    None and agent_trace.assert_called"
        )
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the test diverges from x.jsonl: 3 divergences", "missing *"])


def test_a_tool_that_is_installed_meanwhile_is_told(suite):
    """Recorded from the sources, a test of tox or nox imports the package that is installed: its tools run, and are not seen."""
    suite(TEST).assert_outcomes(passed=1)
    installed = suite.path / "env" / "site-packages"
    installed.mkdir(parents=True)
    (suite.path / "agent.py").rename(installed / "agent.py")
    (suite.path / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(installed)!r})\n")
    result = suite()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "missing *",
            "lookup was called anyway: *; reinstall your own package, or install it with pip install -e",
        ]
    )


def test_tools_of_a_package_that_is_installed_from_the_sources_are_answered(suite):
    """As tox and nox install it: the files of the package are those of the project."""
    suite(TEST).assert_outcomes(passed=1)
    installed, sources = suite.path / "env" / "site-packages", suite.path / "src"
    for folder in (installed, sources):
        folder.mkdir(parents=True)
        (folder / "agent.py").write_bytes((suite.path / "agent.py").read_bytes())
    (suite.path / "agent.py").unlink()
    (suite.path / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(installed)!r})\n")
    result = suite(TEST + "    assert 'site-packages' in agent.__file__\n")
    result.assert_outcomes(passed=1)
    assert "CALLED []" in result.stdout.str()


def test_a_way_around_the_seams_is_closed_and_told(suite):
    """While a recording answers, a connection of a socket is refused, and fails the test."""
    tests = """
        import pytest, socket, os

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent():
            with socket.socket() as connection:
                connection.settimeout(1)
                connection.connect_ex(("192.0.2.1", 80)) if os.path.exists("x.jsonl") else None
        """
    suite(tests).assert_outcomes(passed=1)
    result = suite()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 refused connection", "*a connection to 192.0.2.1:80*"])


def test_an_answer_that_the_program_has_no_class_for_fails_the_test(suite):
    """Only the tool imports it, and the tool does not run."""
    tests = """
        import pytest, sys
        from namel3ss_debug.hooks import trace_tool_call

        sys.modules.pop("sched", None)

        @trace_tool_call
        def next_event():
            from sched import Event
            return Event(1, 2, None, None, (), {})

        @pytest.mark.agent_recording("x.jsonl")
        def test_one():
            next_event()
        """
    suite(tests).assert_outcomes(passed=1)
    result = suite()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*sched.Event -> cannot be made here"])


def test_a_result_that_is_no_data_is_told_in_words_of_the_mark(suite):
    """The tool has to be called, and a test has no options of a re-run for that."""
    tests = """
        import agent, pytest

        class Order(str):
            def __reduce__(self):
                return str, (str(self),)

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent():
            def lookup(order):
                return Order(order)

            agent.run("Where is A-17?", lookup)
        """
    suite(tests).assert_outcomes(passed=1)
    result = suite()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "agent.py:* calls lookup as recorded at event 4, but the value is not plain data (*",
            "to run the tool: run_tools='lookup' in the mark",
            "to record it again: pytest test_it.py::test_agent --agent-record=rewrite",
        ]
    )
    result.stdout.no_fnmatch_line("*--run-tools*")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda lines: [*lines[:2], "<<<<<<< HEAD", *lines[2:]],
            "*x.jsonl: line 3: not JSON; keep one side *",
        ),
        (lambda _lines: [], "*x.jsonl: there is no event in it (it is empty); *"),
    ],
)
def test_a_damaged_recording_answers_nothing(suite, damage, told):
    """What git has left of it, or of its place, is said before the test begins."""
    suite(TEST).assert_outcomes(passed=1)
    suite.recording.write_text(
        "".join(f"{line}\n" for line in damage(suite.recording.read_text().splitlines()))
    )
    result = suite()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [told, "to record it again: pytest test_it.py::test_agent --agent-record=rewrite"]
    )


def test_a_recorded_error_comes_back_as_the_same_exception(suite):
    """What the SDK raised for a status of 500 it raises again, from the recording."""
    tests = """
        import agent, openai, pytest

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent():
            with pytest.raises(openai.InternalServerError, match="the model is down"):
                agent.ask([{"role": "user", "content": "fail"}])
        """
    suite(tests).assert_outcomes(passed=1)
    asked = len(suite.asked)
    suite().assert_outcomes(passed=1)
    assert len(suite.asked) == asked


def test_a_test_that_unittest_skips_needs_no_recording(suite):
    """It does nothing, though pytest makes its fixtures."""
    tests = """
        import pytest, unittest

        @pytest.mark.agent_recording
        class TestAgent(unittest.TestCase):
            @unittest.skip("not now")
            def test_one(self):
                pass
        """
    suite(tests, "--agent-record=none").assert_outcomes(skipped=1)


def test_a_test_that_fails_leaves_no_recording(suite):
    """Only a test that passed is kept, so that `once` never takes half a recording."""
    result = suite(TEST + "    assert False\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the test failed, so x.jsonl was not written"])
    assert not list(suite.path.glob("*.jsonl*"))
    suite(TEST).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "end",
    [
        "self.assertEqual(said, '')",
        "self.skipTest('later')",
        "with self.subTest(): self.assertEqual(said, '')",
    ],
)
def test_a_test_of_unittest_that_does_not_pass_leaves_no_recording(suite, end):
    """A test case that fails, is skipped, or fails in a subtest is not kept, though pytest is told by no exception."""
    tests = f"""
        import agent, pytest, unittest

        @pytest.mark.agent_recording
        class TestAgent(unittest.TestCase):
            def test_passes(self):
                self.assertEqual(agent.run("Hello"), "It is on its way.")

            def test_does_not(self):
                said = agent.run("Hello")
                {end}
    """
    suite(tests)
    assert [path.name for path in suite.path.rglob(".agent_traces/**/*.jsonl")] == [
        "TestAgent.test_passes.jsonl"
    ]


def test_modes_of_the_mark_the_option_and_the_settings(suite):
    """`none` fails without a recording, `rewrite` records anew; the option goes before the mark, the mark before the settings."""
    result = suite(TEST.replace('"x.jsonl"', '"x.jsonl", mode="none"'))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["there is no trace x.jsonl, and none is made (mode none); *=once"])
    suite(None, "-o", "agent_record=none").assert_outcomes(errors=1)
    suite(None, "--agent-record=once").assert_outcomes(passed=1)
    before = suite.recording.read_bytes()
    suite(TEST, "--agent-record=rewrite", "-o", "agent_record=none").assert_outcomes(passed=1)
    assert suite.recording.read_bytes() != before
    assert suite(None, "-o", "agent_record=never").ret == pytest.ExitCode.USAGE_ERROR


def test_each_test_has_a_recording_of_its_own(suite):
    """Without a name a recording stands below `.agent_traces`, by class and parameters; a named one gets the parameters."""
    result = suite("""
        import agent, pytest

        @pytest.mark.agent_recording
        class TestAgent:
            @pytest.mark.parametrize("order", ["A-17", "B/2"])
            def test_one(self, order):
                agent.run(f"Where is {order}?")

        @pytest.mark.agent_recording("x.jsonl")
        @pytest.mark.parametrize("order", ["A-17"])
        def test_two(order):
            agent.run(f"Where is {order}?")
        """)
    result.assert_outcomes(passed=3)
    names = sorted(path.name for path in (suite.path / ".agent_traces" / "test_it").iterdir())
    assert names[0] == "TestAgent.test_one-A-17.jsonl"
    assert names[1].startswith("TestAgent.test_one-B-2-")
    assert (suite.path / "x-A-17.jsonl").exists()


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ('"x.json"', "ends with .jsonl"),
        ('"x.jsonl", mode="all"', "no mode 'all': it is one of once, none, rewrite"),
        ('"x.jsonl", "none"', "agent_recording('x.jsonl', 'none'): it takes a path, mode= and run_tools="),
        ('"x.jsonl", modes="none"', "agent_recording('x.jsonl', modes='none'): it takes a path, mode= and "),
        ("7", "agent_recording(7): it takes a path, mode= and run_tools="),
        (
            '"x.jsonl", run_tools=[7]',
            "agent_recording('x.jsonl', run_tools=[7]): it takes a path, mode= and ",
        ),
    ],
)
def test_a_mark_that_is_wrong_is_told(suite, mark, told):
    """What a mark cannot mean fails the test in one line."""
    result = suite(TEST.replace('"x.jsonl"', mark))
    result.assert_outcomes(errors=1)
    assert told in result.stdout.str()


def test_a_setting_that_is_wrong_is_told(suite, monkeypatch):
    """Nothing is recorded, for the setting may have said what must not be written."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_REDACT_PATTERNS", '{"ticket": "T-("}')
    result = suite(TEST)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["NAMEL3SS_DEBUG_REDACT_PATTERNS: redact_patterns: 'ticket' is not a valid *"]
    )
    assert not suite.asked


def test_a_mark_that_a_conftest_gives_is_one(suite):
    """The tests of a folder are marked when all have been collected; of parameters, only those that are meant."""
    suite.path.joinpath("conftest.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'plain' not in item.name:\n"
        "            item.add_marker(pytest.mark.agent_recording)\n"
    )
    tests = """
        import agent, pytest
        from namel3ss_debug.capture.core import switch

        @pytest.mark.parametrize("kind", ["marked", "plain"])
        def test_agent(kind):
            assert (switch.ACTIVE is None) == (kind == "plain")
            if kind == "marked":
                agent.run("Where is A-17?")
        """
    suite(tests).assert_outcomes(passed=2)
    asked = len(suite.asked)
    suite(tests, "--agent-record=none").assert_outcomes(passed=2)
    assert len(suite.asked) == asked


def test_what_the_other_fixtures_of_a_test_do_is_recorded_too(suite):
    """A marked test is recorded from before its own fixtures on, whether or not it names the fixture."""
    tests = """
        import agent, pytest

        @pytest.fixture
        def answer():
            return agent.run("Where is A-17?")

        @pytest.fixture(scope="module")
        def greeting():
            return 1

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent(answer, greeting):
            assert answer == "It is on its way."
        """
    suite(tests).assert_outcomes(passed=1)
    asked = len(suite.asked)
    suite().assert_outcomes(passed=1)
    assert len(suite.asked) == asked


def test_nothing_is_left_behind(suite):
    """After a test tracing is off, and every function and method is what it was."""
    tests = """
        import agent, socket, threading, pytest, sys
        from namel3ss_debug.capture.core import context, switch
        from namel3ss_debug.capture.seams.functions import hot_calls, rewrite

        def state():
            transport = agent.openai.DefaultHttpxClient.__mro__[1].__init__.__globals__["HTTPTransport"]
            return (switch.ACTIVE, hot_calls.CALL, rewrite.LOADED, agent.lookup.__code__, transport.handle_request,
                    socket.socket.connect_ex, threading.Thread.start, list(sys.meta_path), context.CURRENT.get())

        before = state()

        @pytest.mark.parametrize("question", ["Where is A-17?", "Hello"])
        @pytest.mark.agent_recording("x.jsonl")
        def test_agent(question, agent_trace):
            assert switch.ACTIVE is not None
            agent.run(question)

        def test_after():
            assert state() == before
        """
    suite(tests).assert_outcomes(passed=3)
    suite(
        tests.replace('"Hello"', '"Hallo"', 1).replace(
            "    agent.run(question)", "    agent.run(question + '!')"
        )
    )
    suite(tests).assert_outcomes(passed=3)
    assert switch.ACTIVE is None


def test_a_process_that_is_recorded_already_is_refused(suite, tmp_path):
    """A test cannot be recorded inside another recording, and says so."""
    initialize_tracing(trace_output_dir=str(tmp_path))
    try:
        result = suite(TEST)
    finally:
        shutdown_tracing()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["this process is recorded already*"])


def test_hostile_text_in_a_recording_stays_text(suite):
    """What a report shows of a run holds no control sequence of it."""
    result = suite(
        r"""
        import namel3ss_debug

        def test_agent(agent_trace):
            with namel3ss_debug.get_global_tracer().span("tool", "\x1b[2Jx\u202e"):
                raise ValueError("\x1b]0;owned\x07")
        """
    )
    result.assert_outcomes(failed=1)
    section = result.stdout.str().partition("- agent trace -")[2].partition("short test summary")[0]
    assert "^[[2Jx" in section
    assert "\x1b" not in section
    assert "\u202e" not in section


def test_streams_threads_and_other_providers_are_answered(suite):
    """A streamed answer, several threads at once and another SDK get their recorded answers, each its own."""
    tests = """
        import agent, anthropic, openai, pytest
        from concurrent.futures import ThreadPoolExecutor

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent(agent_trace):
            with openai.OpenAI(max_retries=0) as client:
                stream = client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": "stream"}], stream=True)
                said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            assert said == "It is on its way."
            with anthropic.Anthropic(max_retries=0) as client:
                message = client.messages.create(
                    model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
            assert message.content[0].text == "It is on its way."
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(agent.run, [f"Question {number}" for number in range(3)]))
            assert len(agent_trace.llm_calls()) == 5
        """
    suite(tests).assert_outcomes(passed=1)
    asked = len(suite.asked)
    suite().assert_outcomes(passed=1)
    suite(tests.replace("number in range(3)", "number in (2, 0, 1)")).assert_outcomes(passed=1)
    suite(tests.replace("Question {", "Query {")).assert_outcomes(failed=1)
    assert len(suite.asked) == asked


def test_asynchronous_tests_are_recorded_and_answered(suite):
    """A test that anyio runs on a loop asks two models at once, and is answered the same."""
    tests = """
        import asyncio, openai, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        @pytest.mark.agent_recording("x.jsonl")
        async def test_agent(agent_trace):
            async with openai.AsyncOpenAI(max_retries=0) as client:
                def ask(word):
                    return client.chat.completions.create(
                        model="gpt-4o-mini", messages=[{"role": "user", "content": word}])

                found = await asyncio.gather(ask("one"), ask("two"))
            assert [each.choices[0].message.content for each in found] == ["It is on its way."] * 2
            assert len(agent_trace.answers) == 2
        """
    options = "-p", "anyio.pytest_plugin", "-W", "error"
    suite(tests, *options).assert_outcomes(passed=1)
    asked = len(suite.asked)
    suite(None, *options).assert_outcomes(passed=1)
    suite(tests.replace('ask("two")', 'ask("three")'), *options).assert_outcomes(failed=1)
    assert len(suite.asked) == asked


def test_calls_that_are_made_at_once_may_change_places(suite):
    """Tasks that are not told apart, as those of Trio, ask in any order; calls one after the other do not."""
    tests = """
        import contextlib, http.client, json, os, pytest, urllib.parse

        ASKED, AT_ONCE = ["one", "two"], True

        def asked(question):
            url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
            waiting = http.client.HTTPConnection(url.netloc)
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}]}
            waiting.request("POST", f"{url.path}/chat/completions", json.dumps(body))
            return waiting

        def answer(waiting):
            with contextlib.closing(waiting):
                assert waiting.getresponse().read()

        @pytest.mark.agent_recording("x.jsonl")
        def test_agent():
            waiting = [asked("Hello"), asked("Hallo")] if AT_ONCE else []
            for each in waiting:
                answer(each)
            for question in ASKED:
                answer(asked(question))
    """
    swapped = '["two", "one"]'
    suite(tests).assert_outcomes(passed=1)
    suite(tests.replace('["one", "two"]', swapped)).assert_outcomes(passed=1)
    suite(tests.replace("True", "False"), "--agent-record=rewrite").assert_outcomes(passed=1)
    suite(tests.replace("True", "False").replace('["one", "two"]', swapped)).assert_outcomes(failed=1)


@pytest.mark.slow
def test_under_xdist_and_in_random_order(suite):
    """Several processes record and answer the tests of a suite in any order."""
    tests = """
        import agent, pytest

        @pytest.mark.agent_recording
        @pytest.mark.parametrize("number", range(6))
        def test_agent(number, agent_trace):
            assert agent.run(f"Where is {number}?") == "It is on its way."
            agent_trace.assert_called("lookup")
        """
    (suite.path / "test_it.py").write_text("\n".join(line[8:] for line in tests.splitlines()))
    (suite.path / "tox.ini").unlink()
    words = [
        sys.executable,
        "-m",
        "pytest",
        *PLUGIN,
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:anyio",
        "-n",
        "2",
    ]
    for seed in ("1", "2"):
        run = subprocess.run(
            [*words, f"--randomly-seed={seed}"],
            cwd=suite.path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "6 passed" in run.stdout, run.stdout + run.stderr
    assert len(suite.asked) == 12


def test_the_door_imports_nothing_of_ours():
    """Starting pytest with the plugin loads the package, its version and the door alone."""
    code = (
        "import sys, namel3ss_debug.pytest_plugin; "
        "print(sorted(name for name in sys.modules if name.startswith('namel3ss_debug')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    door = "namel3ss_debug.pytest_plugin"
    assert run.stdout.strip() == f"['namel3ss_debug', '{door}', '{door}.door', 'namel3ss_debug.version']"


@pytest.mark.parametrize(
    "old", ["del pytest.StashKey", "type(pytest.hookimpl).__call__ = lambda self, hookwrapper=False: None"]
)
def test_a_pytest_that_is_too_old_for_the_plugin_runs_without_it(old):
    """The package may be installed beside one that nobody chose for it; the header of a run says what is missing."""
    code = (
        f"import pytest; {old}; import namel3ss_debug.pytest_plugin as door; "
        "print([name for name in vars(door) if name.startswith(('pytest_', 'agent_'))], door.pytest_report_header())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == (
        "['pytest_report_header'] "
        "namel3ss-debug: recorded agent tests need pytest 7 with pluggy 1.2, or later ones\n"
    )


DATED = """
import datetime, os, random, time, uuid
import agent, pytest

@pytest.mark.agent_trace("x.jsonl")
def test_agent():
    prompt = f"{datetime.datetime.now()} {uuid.uuid4()} {random.random()} {time.time()} {os.urandom(3).hex()}"
    assert agent.run(prompt) == "It is on its way."
    print("PROMPT", prompt)
"""


def prompt_of(result):
    """The prompt that a test has printed."""
    (line,) = [line for line in result.outlines if line.startswith("PROMPT")]
    return line


def test_clock_and_randomness_are_those_of_the_recording(suite):
    """A prompt with the time, an id and random numbers is the recorded one, and finds its answer."""
    first, second = suite(DATED), suite()
    first.assert_outcomes(passed=1)
    second.assert_outcomes(passed=1)
    assert prompt_of(first) == prompt_of(second)
    assert len(suite.asked) == 1


def test_the_test_runner_keeps_its_clock_and_its_random_numbers(suite):
    """What reads them around the test and in hooks during it gets the real ones, and goes on where it was."""
    suite.path.joinpath("conftest.py").write_text("""
import random, time
import pytest

FUNCTIONS = random.random, random.seed, time.ctime
STATE = []

@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    random.seed(7)
    STATE.append(random.getstate())
    began = time.time()
    yield
    assert STATE == [random.getstate()]
    assert (random.random, random.seed, time.ctime) == FUNCTIONS
    assert type(random._inst) is random.Random
    assert time.time() - began < 600

def pytest_runtest_logreport(report):
    assert abs(time.time() - report.stop) < 600
    assert report.duration < 600
""")
    suite(DATED).assert_outcomes(passed=1)
    recorded = suite.recording.read_text()
    old = recorded.replace('"timestamp":1', '"timestamp":0')  # many years ago
    assert old != recorded
    suite().assert_outcomes(passed=1)


def test_a_plugin_that_seeds_each_test_differently_changes_nothing(suite):
    """As pytest-randomly does: the random numbers go on from the state in which the function began when it was recorded."""
    suite.path.joinpath("conftest.py").write_text("""
import random, time

def pytest_runtest_call(item):
    random.seed(time.perf_counter_ns())
""")
    assert prompt_of(suite(DATED)) == prompt_of(suite())


def test_a_clock_that_the_test_sets_wins(suite):
    """Where a test travels in time itself, that is the time of its agents."""
    tests = DATED.replace(
        "agent.run(prompt) ==", 'prompt.startswith("1985") and agent.run(prompt) =='
    ).replace(
        "    prompt =",
        "    traveller = time_machine.travel(datetime.datetime(1985, 10, 26), tick=False)\n    traveller.start()\n    prompt =",
    )
    tests = tests.replace('    print("PROMPT"', '    traveller.stop()\n    print("PROMPT"')
    tests = tests.replace("import agent, pytest", "import agent, pytest, time_machine")
    suite(tests).assert_outcomes(passed=1)
    suite().assert_outcomes(passed=1)


AT_ONCE = """
import asyncio, openai, pytest

@pytest.mark.agent_trace("x.jsonl")
def test_agent():
    async def ask(client, word):
        asked = [{"role": "user", "content": word}]
        made = await client.chat.completions.create(model="gpt-4o-mini", messages=asked)
        return made.id

    async def main():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            return await asyncio.gather(*(ask(client, "Hello") for _ in range(5)))

    print("PROMPT", asyncio.run(main()))
"""


def test_parallel_requests_that_are_the_same_get_their_own_answers(suite, monkeypatch, scripted_model_module):
    """Each task gets the answer that it got when it was recorded, and not the next one."""
    seconds = iter([0.2, 0.0, 0.15, 0.05, 0.1])
    say = scripted_model_module.say
    with scripted_model_module.ScriptedModel(lambda _request: say("Hi", seconds=next(seconds))) as model:
        respond = scripted_model_module.canonical_hash
        numbers = iter(range(9))
        monkeypatch.setattr(
            scripted_model_module, "canonical_hash", lambda *w: f"{next(numbers)}{respond(*w)}"
        )
        monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
        first = suite(AT_ONCE)
    first.assert_outcomes(passed=1)
    ids = prompt_of(first)
    assert len({*ids.split("chatcmpl-")}) == 6, "the answers cannot be told apart"
    assert {prompt_of(suite()) for _ in range(5)} == {ids}
