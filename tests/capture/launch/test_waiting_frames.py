"""Questions about the user's frames that wait, answered in the thread that waits."""

from __future__ import annotations

import sys

import pytest

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.launch.waiting_frames import answer_question
from namel3ss_debug.capture.payloads.conversion import Payloads
from namel3ss_debug.traces.redaction.redactor import Redactor

PROGRAM = """
import wait

class Agent:
    def __init__(self):
        self.city = "Oslo"
        self.api_key = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
        self.wide = "x" * 5000

    def __repr__(self):
        raise ValueError("no repr")

    def run(self, question):
        return self.step(question.upper())

    def step(self, plan):
        cities = [self.city, "Rome"]
        return wait.here()

def main():
    agent = Agent()
    return agent.run("why")
"""


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Run the program, and ask a question at the line that waits."""
    (tmp_path / "program.py").write_text(PROGRAM)
    sites = CallSites(str(tmp_path), str(tmp_path))
    payloads = Payloads(Redactor())
    asked = {}
    waiting = type(sys)("wait")
    waiting.here = lambda: answer_question(asked, sites, payloads)
    monkeypatch.setitem(sys.modules, "wait", waiting)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "program", raising=False)

    def ask(about, **question):
        import program

        asked.clear()
        asked.update(question, about=about)
        return program.main()

    yield ask
    sys.modules.pop("program", None)


def test_the_stack_has_the_lines_of_the_users_functions(ask):
    """Innermost first, without the frames of others, each with the text of its line."""
    frames = ask("stack")["frames"]
    assert [(frame["at"], frame["function"]) for frame in frames] == [
        ("program.py:18", "Agent.step"),
        ("program.py:14", "Agent.run"),
        ("program.py:22", "main"),
    ]
    assert frames[0]["text"] == "return wait.here()"


def test_the_variables_are_those_of_the_frame_and_its_callers(ask):
    """An object called self is opened one level deep, once; secrets and long values are cut as in the trace."""
    inner, outer, main = (frame["values"] for frame in ask("variables")["frames"])
    assert inner["plan"] == "WHY"
    assert inner["cities"] == ["Oslo", "Rome"]
    fields = inner["self"]["fields"]
    assert inner["self"]["$type"] == "program.Agent"
    assert fields["city"] == "Oslo"
    assert "sk-proj" not in str(fields)
    assert len(fields["wide"]) < 3000
    assert set(outer["self"]) == {"$type", "repr"}
    assert set(main) == {"agent"}


@pytest.mark.parametrize(
    ("expression", "value", "function"),
    [
        ("self.city", "Oslo", "Agent.step"),
        ("[city for city in cities if city != self.city]", ["Rome"], "Agent.step"),
        ("question", "why", "Agent.run"),
        ("agent.city + '!'", "Oslo!", "main"),
        ("len(PROGRAM) if False else sorted(cities)", ["Oslo", "Rome"], "Agent.step"),
        ("self.api_key", "[REDACTED:key]", "Agent.step"),
    ],
)
def test_an_expression_is_evaluated_in_the_innermost_frame_that_has_its_names(
    ask, expression, value, function
):
    """A secret is replaced by its name too; where no frame has a name, it is the innermost one."""
    answer = ask("value", expression=expression)
    assert answer["value"] == value
    assert answer["frames"][0]["function"] == function


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nothing", "NameError: name 'nothing' is not defined"),
        ("self.nothing", "AttributeError: 'Agent' object has no attribute 'nothing'"),
        ("exit(3)", "SystemExit: 3"),
        ("repr(self)", "ValueError: no repr"),
    ],
)
def test_what_raises_is_a_problem_and_the_program_goes_on(ask, expression, problem):
    """Whatever it raises, also what would end the program."""
    answer = ask("value", expression=expression)
    assert (answer["problem"], "value" in answer) == (problem, False)


@pytest.mark.parametrize("expression", ["x = 1", "self.", "\0", "(" * 500])
def test_what_is_no_expression_has_no_frame(ask, expression):
    """The shell then says what the expression language says."""
    assert ask("value", expression=expression)["frames"] == []
