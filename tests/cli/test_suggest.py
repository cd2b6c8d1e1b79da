"""The command `debug suggest` on programs that failed: each remedy is shown by a re-run, or not called one that helps."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

ASK = """
import os, httpx

def ask(text):
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    answer = httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body)
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""

TWICE = ASK + "print(ask('one'))\nprint(ask('two'))\n"

DEAD_TOOL = (
    ASK
    + """
from namel3ss_debug import trace_tool_call

@trace_tool_call
def search(query):
    raise ConnectionError("the search is down")

failed = 0
for n in range(6):
    try:
        search("a")
    except ConnectionError:
        failed += 1
    if failed == 5:
        raise RuntimeError("gave up")
print(ask("done"))
"""
)


class Shop:
    """A folder with a program, and commands of the debugger in it."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.settings = folder / ".namel3ss" / "debug.json"

    def run(self, *words):
        """Run a command of the debugger."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def record(self, program):
        """Record a program, which fails."""
        (self.folder / "app.py").write_text(program)
        done = self.run("trace", "app.py")
        assert done.returncode == 1, done.stderr

    def suggest(self, *options):
        """Return the document of the command, and its exit status."""
        done = self.run("suggest", "--format", "json", *options)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout), done.returncode


@pytest.fixture
def shop(tmp_path, scripted_model_module, environment_of_model):
    """A folder whose programs reach a model that answers, but not the second request."""

    def script(_request):
        if len(model.requests) == 2:
            return scripted_model_module.fail(429, "slow down")
        return scripted_model_module.say(f"answer {len(model.requests)}")

    with scripted_model_module.ScriptedModel(script) as model:
        yield Shop(tmp_path.resolve(), environment_of_model(model))


def test_a_retry_is_proved_and_only_applied_on_request(shop):
    """Without it the failure happens again; the re-run, the stand-in and what is not tried are in the document."""
    shop.record(TWICE)
    document, status = shop.suggest()
    assert (document["schema"], document["failure"]["category"], status) == (
        "namel3ss-debug/suggest/1",
        "rate_limit",
        0,
    )
    retry, other = document["remedies"]
    assert retry["settings"] == {"retries": {"model:m": {"attempts": 3}}}
    assert (retry["outcome"], retry["mocks"]) == ("went_away", ["llm@3.text=(stand-in answer)"])
    assert "stand-in" in retry["assumes"]
    assert (other["outcome"], other["trace"]) == ("not_tried", None)
    assert not shop.settings.exists()
    start = json.loads((shop.folder / retry["trace"]).read_text().splitlines()[0])
    assert start["metadata"]["rerun"]["guards"] == retry["settings"]

    shop.settings.parent.mkdir()
    shop.settings.write_text('{"redact_keys": ["a",  "b"]}')
    refused = shop.run("suggest", "--apply", "other-model")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "a change of the program" in refused.stderr
    shown = shop.run("suggest", "--apply")
    assert shown.returncode == 0
    assert '+  "retries": {' in shown.stdout
    assert json.loads(shop.settings.read_text()) == {"redact_keys": ["a", "b"]} | retry["settings"]
    assert '["a",  "b"]' in shop.settings.read_text()


def test_a_circuit_breaker_is_proved_for_a_tool_that_is_down(shop):
    """The first failures stay, and the program no longer gives up."""
    shop.record(DEAD_TOOL)
    document, status = shop.suggest()
    (remedy,) = document["remedies"]
    assert (remedy["name"], remedy["outcome"], status) == ("fallback", "went_away", 0)
    assert "3 times in place of 5" in remedy["detail"]


@pytest.mark.parametrize("change", ["gone", "repaired", "foreign"])
def test_what_cannot_be_tried_is_not_called_a_remedy_that_helps(shop, change):
    """The program is gone, no longer fails, or may not be started; nothing is applied."""
    shop.record(TWICE)
    if change == "gone":
        (shop.folder / "app.py").unlink()
    elif change == "repaired":
        (shop.folder / "app.py").write_text(ASK + "print(ask('one'))\n")
    else:
        shop.environment |= {"NAMEL3SS_DEBUG_TRUST_KEY": "k" * 32}
    document, status = shop.suggest("--apply")
    assert (status, document["applied"], shop.settings.exists()) == (1, None, False)
    assert {each["outcome"] for each in document["remedies"]} == {"not_tried"}
    why = {"gone": "there is no app.py", "repaired": "did not happen again", "foreign": "--trust"}[change]
    assert why in document["remedies"][0]["detail"]
    if change == "gone":  # by name it is applied all the same
        document, _ = shop.suggest("--apply", "retry")
        assert json.loads(shop.settings.read_text()) == document["remedies"][0]["settings"]


def test_the_answer_of_the_user_takes_the_place_of_the_stand_in(shop):
    """A program may need more than a text, and fails otherwise."""
    program = TWICE.replace("print(ask('two'))", "print(int(ask('two')))")
    shop.record(program)
    document, status = shop.suggest()
    assert (document["remedies"][0]["outcome"], status) == ("another_failure", 1)
    assert "ValueError" in document["remedies"][0]["detail"]
    document, status = shop.suggest("--mock", "llm@3.text=42")
    assert (document["remedies"][0]["outcome"], status) == ("went_away", 0)


def test_a_retry_without_an_answer_for_it_is_no_proof(shop):
    """The further attempt is the call that the trace does not hold, so the program went nowhere."""
    shop.record(TWICE)
    document, status = shop.suggest("--mock", "llm@9.text=of a call that is not made")
    assert (document["remedies"][0]["outcome"], status) == ("not_tried", 1)
    assert "could not go on" in document["remedies"][0]["detail"]


def test_a_library_that_retries_do_not_reach_is_not_repaired(shop):
    """The re-run shows it: no further attempt was made."""
    shop.record(TWICE.replace("httpx.post", "requests.post").replace("httpx", "requests"))
    document, status = shop.suggest()
    assert (document["remedies"][0]["outcome"], status) == ("remains", 1)
    assert "did not act" in document["remedies"][0]["detail"]


def test_a_trace_without_a_failure_has_nothing_to_suggest(trace, run):
    """So has an event that did not fail; each is one line."""
    del trace
    done = run("suggest", "--event", "2")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "event 2 of" in done.stderr
    assert "is no failure" in done.stderr


@pytest.mark.parametrize("form", ["table", "markdown", "html", "json"])
def test_hostile_names_are_shown_as_text(hostile_trace, run, form):
    """Names and errors of a trace reach settings, sentences and commands, and no sign of theirs reaches the terminal."""
    text = hostile_trace.read_text().replace('"tool_call_', '"llm_call_').replace('"tool"', '"llm"')
    hostile_trace.write_text(text.replace("lookup", "lookup" + 2000 * "m"))
    done = run("suggest", "--format", form)
    assert done.exit_code == 1, done.stderr
    assert "retry" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)


def test_requests_that_were_made_again_are_made_again_in_a_re_run(shop):
    """The setting of the trace counts, and not the one in force; limits in force do not act there either."""
    shop.environment |= {"NAMEL3SS_DEBUG_RETRIES": '{"model:*": {"delay": 0}}'}
    (shop.folder / "app.py").write_text(TWICE)
    assert shop.run("trace", "app.py").stdout == "answer 1\nanswer 3\n"
    for setting in ("", '{"model:*": {"attempts": 1}}'):
        shop.environment |= {"NAMEL3SS_DEBUG_RETRIES": setting, "NAMEL3SS_DEBUG_LIMITS": '[{"calls": 1}]'}
        done = shop.run("rerun")
        assert (done.returncode, done.stdout) == (0, "answer 1\nanswer 3\n")
        assert "matches the trace" in done.stderr
