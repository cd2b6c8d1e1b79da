"""`debug check`: findings, exit statuses, reports and first rules; the rules of the example, each kept and each broken."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from namel3ss_debug.analysis.checks.rules import KINDS
from namel3ss_debug.analysis.checks.states import STATES
from namel3ss_debug.exporters.github import SUMMARY_BYTES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "examples" / "support_agent.rules.json"


@pytest.fixture(autouse=True)
def no_actions(monkeypatch):
    """The suite itself may run in GitHub Actions."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The events of a recording of the support agent."""
    path = tmp_path_factory.mktemp("example") / "support.jsonl"
    words = ["trace", "-o", path, ROOT / "examples" / "support_agent.py"]
    starter = "from namel3ss_debug.cli.main import debug; debug(prog_name='namel3ss debug')"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NAMEL3SS_")}
    subprocess.run(
        [sys.executable, "-c", starter, *map(str, words)], env=environ, capture_output=True, check=True
    )
    return path.read_text().splitlines()


@pytest.fixture
def events(example):
    """The events, to be changed."""
    return [json.loads(line) for line in example]


@pytest.fixture
def write(workspace):
    """Writes events as a recording."""

    def write(events, name="run"):
        path = workspace / f"{name}.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        return path

    return write


def ends(events, name):
    """The end events of a tool or a model."""
    return [e for e in events if e["event_type"].endswith("_end") and e.get("component_name") == name]


def again(events, name, times=1):
    """Repeat the call of a tool before the run ends."""
    call = [event for event in events if event.get("component_name") == name and event["component"] == "tool"]
    copies = []
    for place in range(times):
        for event in call:
            copy = json.loads(json.dumps(event))
            copy["event_id"] = f"copy{place}{event['event_id']}"
            if event["event_type"].endswith("_end"):
                copy["parent_event_id"] = f"copy{place}{call[0]['event_id']}"
            copies.append(copy)
    events[-1:-1] = copies


def fail(events):
    """A tool fails for good."""
    ends(events, "lookup_order")[0].update(status="failed", error="no such order", error_type="KeyError")


def leave_open(events):
    """A call never ends."""
    events.remove(ends(events, "refund_policy")[0])


def handled(error_type, function="load"):
    """An exception that the program handles."""
    metadata = {"function": function, "exit": "end", "until": 9}
    more = {"error_type": error_type, "error": "no", "call_site": "a.py:7", "metadata": metadata}
    event = {"event_type": "exception_handled", "event_id": f"h-{error_type}", "component": "app"}
    return {**event, "timestamp": 1_700_000_000.0, **more}


def hide_failure(events):
    """A tool handles an exception."""
    events.insert(-1, handled("KeyError", "lookup_order"))


def add_secret(events):
    """A key stands in a result."""
    ends(events, "lookup_order")[0]["outputs"]["note"] = "use sk-proj-" + "Ab3xYz9Qw7" * 6


def lose_events(events):
    """Events are missing."""
    del events[3:9]


def use_tokens(events):
    """The model reads far more."""
    for end in ends(events, "gpt-4o-mini"):
        end["usage"] = {"input_tokens": 90_000, "output_tokens": 9}
        end["tokens_used"] = 90_009


def retry_more(events):
    """Every call is a second attempt."""
    for end in ends(events, "gpt-4o-mini"):
        end["retry_count"] = 1


def be_slow(events):
    """A tool takes five seconds."""
    ends(events, "refund_policy")[0]["duration_ms"] = 5000.0


def rename(events, name="send_money"):
    """Another tool is called."""
    for event in events:
        if event.get("component_name") == "refund_policy":
            event["component_name"] = name


def refuse(events):
    """The model refuses, and the program goes on."""
    end = next(end for end in ends(events, "gpt-4o-mini") if end["status"] == "completed")
    end["outputs"]["refusal"] = "I cannot help with that."


def ask_for_another(events):
    """The tools are asked for something else."""
    for event in events:
        if event["event_type"] == "tool_call_start":
            event["inputs"]["arguments"] = {"order_id": "../etc"}


def answer_in_another_shape(events):
    """A tool gives what is no order."""
    ends(events, "lookup_order")[0]["outputs"]["result"] = {"item": 5}


def refund_a_sofa(events):
    """A tool is asked about an item that no order holds."""
    start = next(event for event in events if event.get("component_name") == "refund_policy")
    start["inputs"]["arguments"]["item"] = "sofa"


BREAKS = {
    "no-failures": fail,
    "no-open-spans": leave_open,
    "no-loops": lambda events: again(events, "lookup_order", 8),
    "nothing-hidden": hide_failure,
    "no-secrets": add_secret,
    "whole-recording": lose_events,
    "budget": use_tokens,
    "few-retries": retry_more,
    "quick-tools": be_slow,
    "known-tools": rename,
    "no-deleting": lambda events: rename(events, "delete_orders"),
    "obey-refusals": refuse,
    "look-before-promising": rename,
    "one-look-up": lambda events: again(events, "lookup_order"),
    "order-numbers": ask_for_another,
    "shape-of-an-order": answer_in_another_shape,
    "price-of-an-order": answer_in_another_shape,
    "only-what-was-ordered": refund_a_sofa,
    "no-triggers": lambda events: again(events, "lookup_order", 8),
    "no-worse": use_tokens,
}
"""What has to happen to the run of the example for each of its rules to be broken."""


def check_document(run, *words):
    """The exit status and the document of a check."""
    result = run("check", *words, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


def test_the_example_keeps_its_rules(run, write, events):
    """The rules that the repository's own CI holds the example against are kept."""
    good = write(events, "good")
    status, document = check_document(run, write(events), "--rules", RULES, "--baseline", good)
    assert (status, document["findings"]) == (0, [])
    assert {rule["state"] for rule in document["rules"]} == {"kept"}


@pytest.mark.parametrize("name", BREAKS)
def test_each_rule_of_the_example_is_broken_when_it_should_be(run, write, events, name):
    """After one change to the recording, the rule has a finding with its events."""
    good = write(events, "good")
    BREAKS[name](events)
    words = (write(events), "--rules", RULES, "--baseline", good, "--fail-on", "warning")
    status, document = check_document(run, *words)
    broken = [finding for finding in document["findings"] if finding["id"] == name]
    assert status == 1
    assert broken
    assert all(0 < number <= len(events) for finding in broken for number in finding["events"])


def test_the_example_has_every_kind_of_rule():
    """No kind is left without a run that keeps it and one that breaks it."""
    rules = json.loads(RULES.read_bytes())["checks"]
    assert {key for rule in rules for key in rule if key in KINDS} == set(KINDS)
    assert {rule["no"] for rule in rules if "no" in rule} == set(STATES)
    assert [rule["name"] for rule in rules] == list(BREAKS)


@pytest.mark.parametrize(
    ("level", "fail_on", "status"),
    [("error", "error", 1), ("warning", "error", 0), ("warning", "warning", 1), ("note", "note", 1)],
)
def test_the_exit_status_is_that_of_the_heaviest_finding(run, trace, level, fail_on, status):
    """A finding below the level is told and ends with 0."""
    rule = json.dumps({"forbid": "tool:lookup", "level": level})
    result = run("check", trace, "--rule", rule, "--fail-on", fail_on)
    assert result.exit_code == status
    assert f"1 {level}" in result.stdout


def test_without_findings_the_status_is_0(run, trace):
    """The answer says what was kept."""
    result = run("check", "--rule", "tokens < 1000", trace)
    assert (result.exit_code, result.stdout) == (0, f"No findings  {trace.name}, 1 of 1 rule kept\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rule", "tokens <"], "--rule tokens <: assert: expression"),
        (["--rules", "nowhere.json"], "cannot read the rules nowhere.json"),
        (["--rule", "errors.totl == 0"], "errors has no 'totl'"),
        ([], "there are no rules; give --rules FILE"),
        (["--rule", "tokens < 1", "--baseline", "none.jsonl"], "none.jsonl"),
        (["--rule", "tokens < 1", "--junit", "debug"], "cannot write debug"),
        (["--init", "--rules", "notes.txt/rules.json"], "notes.txt/rules.json: notes.txt is no dir"),
        (["--rule", "tokens < 1", "nothing.jsonl"], "nothing.jsonl"),
    ],
)
def test_a_check_that_cannot_be_done_ends_with_2(run, trace, workspace, words, said):
    """A bad rule, an unreadable recording or a report that cannot be written is no finding."""
    (workspace / "notes.txt").touch()
    result = run("check", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_rules_of_the_settings_hold_with_those_of_the_options(run, trace, workspace):
    """The setting checks is in force, and its mistakes name the file."""
    settings = workspace / ".namel3ss" / "debug.json"
    settings.parent.mkdir()
    settings.write_text('{"checks": [{"name": "mine", "forbid": "tool:lookup"}]}')
    status, document = check_document(run, trace, "--rule", "tokens < 1000")
    assert status == 1
    assert [rule["name"] for rule in document["rules"]] == ["mine", "assert-tokens-1000"]
    settings.write_text('{"checks": [{"forbid": "tol:x"}]}')
    result = run("check", trace)
    assert result.exit_code == 2
    assert re.search(r"debug\.json: checks, rule 1: forbid: 'tol:x'", result.stderr)


def test_first_rules_are_kept_by_the_run_they_come_from(run, write, events, workspace):
    """They are written once, and never over a file that is there."""
    path = write(events)
    result = run("check", "--init", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(
        f" rules; namel3ss debug check {quote(str(path))} --rules debug.rules.json\n"
    )
    rules = json.loads((workspace / "debug.rules.json").read_bytes())["checks"]
    assert len(rules) >= 10
    assert run("check", path, "--rules", "debug.rules.json", "--fail-on", "note").exit_code == 0
    again = run("check", "--init", path)
    assert again.exit_code == 2
    assert "debug.rules.json exists already" in again.stderr
    assert run("check", "--init", path, "--rules", "ci/mine.json").exit_code == 0
    assert (workspace / "ci" / "mine.json").exists()


def test_first_budgets_of_what_is_counted_are_whole_numbers(run, write, events, workspace):
    """Half a call is none: of three, as many again and a half are five."""
    again(events, "lookup_order")
    assert run("check", "--init", write(events)).exit_code == 0
    rules = json.loads((workspace / "debug.rules.json").read_bytes())["checks"]
    limits = {rule["name"]: rule["limit"].split(" <= ")[1] for rule in rules if "limit" in rule}
    counted = ("budget-tokens", "budget-model-calls", "budget-tool-calls", "budget-retries")
    assert all(limits[name].isdigit() for name in counted)
    assert limits["budget-tool-calls"] == "5"


def test_first_rules_leave_out_what_the_run_itself_does_not_keep(run, trace, workspace):
    """A run with a failure and an open call gives no rule against them."""
    result = run("check", "--init", trace)
    assert result.exit_code == 0
    assert result.stderr == (
        "namel3ss debug: the run never ended, so these rules are left out: no-failures, no-open-spans, "
        "whole-recording; take rules from a run that completed\n"
    )
    names = {rule["name"] for rule in json.loads((workspace / "debug.rules.json").read_bytes())["checks"]}
    assert "no-secrets" in names
    assert not {"no-failures", "no-open-spans"} & names
    assert run("check", trace, "--rules", "debug.rules.json", "--fail-on", "note").exit_code == 0


def test_first_rules_go_together_with_those_of_the_settings(run, write, events, workspace):
    """A name that the setting has already is left out of the file, so that the command that is told holds both."""
    path = write(events)
    (workspace / ".namel3ss").mkdir()
    settings = {"checks": [{"name": "no-failures", "no": "failures"}]}
    (workspace / ".namel3ss" / "debug.json").write_text(json.dumps(settings))
    result = run("check", "--init", path)
    told = "rules of these names are in the setting checks already, and are left out: no-failures"
    assert result.stderr == f"namel3ss debug: {told}\n"
    names = [rule["name"] for rule in json.loads((workspace / "debug.rules.json").read_bytes())["checks"]]
    assert "no-open-spans" in names
    assert "no-failures" not in names
    assert run("check", path, "--rules", "debug.rules.json", "--fail-on", "note").exit_code == 0


def test_all_reports_are_written_at_once(run, trace, workspace):
    """Each format has the finding; folders are made."""
    words = ["--rule", '{"forbid": "tool:lookup"}']
    for kind in ("junit", "sarif", "gitlab", "markdown"):
        words += [f"--{kind}", f"reports/{kind}"]
    assert run("check", trace, *words).exit_code == 1
    for kind in ("junit", "sarif", "gitlab", "markdown"):
        assert "lookup" in (workspace / "reports" / kind).read_text()


def test_inside_github_actions_annotations_come_by_themselves(run, trace, workspace, monkeypatch):
    """They go to stderr, the summary is appended, and stdout stays the answer; --no-github says no."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(workspace / "summary.md"))
    words = ("check", trace, "--rule", '{"name": "x", "forbid": "tool:lookup"}', "--format", "json")
    result = run(*words)
    assert result.stderr.startswith("::error file=app.py,title=x::tool lookup is forbidden")
    assert json.loads(result.stdout)["counts"]["error"] == 1
    assert run(*words).exit_code == 1
    assert (workspace / "summary.md").read_text().count("# 1 error") == 2
    assert run(*words, "--no-github").stderr == ""


def test_a_step_summary_that_cannot_be_written_leaves_the_check_as_it_is(run, trace, workspace, monkeypatch):
    """One line says so; the answer and the exit status are those of the check."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(workspace))
    result = run("check", trace, "--rule", '{"name": "x", "forbid": "tool:lookup"}')
    assert result.exit_code == 1
    assert result.stdout.startswith("1 error")
    assert f"the step summary {workspace} is not written: Is a directory\n" in result.stderr


def test_step_summaries_end_where_github_takes_no_more(run, trace, workspace, monkeypatch):
    """All checks of a step write the same file, which is dropped as a whole where it is too large."""
    summary = workspace / "summary.md"
    summary.write_bytes(b"x" * (SUMMARY_BYTES - 10))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for _ in range(2):
        run("check", trace, "--rule", '{"name": "x", "forbid": "tool:lookup"}')
    assert summary.stat().st_size == SUMMARY_BYTES


def test_a_hostile_recording_writes_no_command_and_no_control_character(run, hostile_trace, workspace):
    """Whatever the names and texts of a recording hold, each annotation is one line of printable text."""
    result = run(
        "check", hostile_trace, "--rule", '{"forbid": "tool"}', "--rule", '{"no": "failures"}', "--github"
    )
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("::error file=") and line.isprintable() for line in lines)
    assert all(line.isprintable() for line in result.stdout.splitlines())


def test_reruns_in_a_directory_are_neither_checked_nor_baselines(run, write, events, workspace):
    """The recordings are judged, and one line says what was left out; a re-run that is named, or alone, is checked."""
    (workspace / "runs").mkdir()
    real = write(events, "runs/a")
    fail(events)
    events[0]["metadata"]["rerun"] = {"of": "0123456789abcdef"}
    rerun = write(events, "runs/b")
    words = ("--rule", "errors.total_errors == 0", "--format", "json")
    folder = run("check", "runs", *words)
    document = json.loads(folder.stdout)
    assert (folder.exit_code, len(document["traces"]), document["left_out"]) == (0, 1, ["runs/b.jsonl"])
    assert folder.stderr == "namel3ss debug: 1 re-run left out; name it to check it\n"
    assert run("check", "runs", rerun, *words).exit_code == 1
    alone = run("check", real, "--baseline", "runs")
    assert (alone.exit_code, "no trace other than those that are compared with it" in alone.stderr) == (
        2,
        True,
    )
    real.unlink()
    assert run("check", "runs", *words).exit_code == 1


def test_a_recording_of_a_directory_that_may_not_be_read_ends_the_check(
    run, write, events, workspace, forbid
):
    """One that another user recorded may be the one that breaks a rule."""
    (workspace / "runs").mkdir()
    write(events, "runs/a")
    forbid(write(events, "runs/b"))
    done = run("check", "runs", "--rule", "tokens < 1000")
    told = "namel3ss debug: runs/b.jsonl: cannot be opened: Permission denied (see namel3ss debug help unreadable-trace)\n"
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", told)


def test_no_file_of_a_directory_is_passed_over_in_silence(run, write, events, workspace):
    """What holds no event is named; a recording of our own name that cannot be read ends the check, as it does by itself."""
    (workspace / "runs").mkdir()
    write(events, "runs/a")
    (workspace / "runs/questions.jsonl").write_text('{"question": "why"}\n')
    words = ("check", "runs", "--rule", "tokens < 1000")
    others = run(*words)
    assert (others.exit_code, others.stderr) == (
        0,
        "namel3ss debug: runs: 1 file without an event left out: questions.jsonl\n",
    )
    (workspace / "runs/trace_20261121_210013_d373deeb.jsonl").touch()
    damaged = run(*words)
    assert (damaged.exit_code, damaged.stdout) == (2, "")
    assert (
        "runs/trace_20261121_210013_d373deeb.jsonl: there is no event in it (it is empty)" in damaged.stderr
    )
    analysed = run("analyze", "runs", "--summary")
    assert analysed.exit_code == 0
    assert "trace_20261121_210013_d373deeb.jsonl: there is no event in it" in analysed.stderr


def test_a_directory_is_checked_whole_and_is_its_own_baseline(run, write, events, workspace):
    """Of a directory every recording is checked; a recording is no baseline of itself."""
    (workspace / "runs").mkdir()
    for name in ("a", "b"):
        write(events, f"runs/{name}")
    status, document = check_document(run, "runs", "--rule", "tokens < 9")
    assert status == 1
    assert len(document["traces"]) == 2
    status, document = check_document(run, "runs/a.jsonl", "--baseline", "runs")
    assert (status, [rule["name"] for rule in document["rules"]]) == (
        0,
        ["baseline", "baseline-divergence", "baseline-time"],
    )
    (workspace / "runs/b.jsonl").unlink()
    (workspace / "runs/a.s1.jsonl").write_text(json.dumps({**events[-1], "seq": len(events)}) + "\n")
    for name in ("a", "a.s1"):
        alone = run("check", f"runs/{name}.jsonl", "--baseline", "runs")
        assert alone.exit_code == 2
        assert "no trace other than those that are compared with it" in alone.stderr


@pytest.mark.parametrize(("baselines", "status"), [(4, 0), (5, 1)])
def test_more_time_than_the_baselines_is_a_warning_below_five_of_them(
    run, write, events, workspace, baselines, status
):
    """The spread of fewer is not known."""
    (workspace / "runs").mkdir()
    for number in range(baselines):
        write(events, f"runs/{number}")
    slow = copy.deepcopy(events)
    slow[-1]["timestamp"] += 3600
    path = write(slow, "slow")
    found, document = check_document(run, path, "--baseline", "runs")
    assert [(each["id"], each["severity"]) for each in document["findings"]] == [
        ("baseline-time", "error" if status else "warning")
    ]
    assert found == status


def test_another_argument_or_result_than_in_the_baseline_is_an_error(run, write, events):
    """A run that costs the same and fails nowhere may still do something else."""
    path, other = write(events), copy.deepcopy(events)
    ended = next(event for event in other if event["event_type"] == "tool_call_end")
    ended["outputs"] = {"result": "something else"}
    status, document = check_document(run, write(other, "other"), "--baseline", str(path))
    assert (status, [each["id"] for each in document["findings"]]) == (1, ["baseline-divergence"])


def test_how_full_a_context_was_can_be_limited(run, write, events):
    """The share of the window is that of the analysis, by run and by model."""
    path = write(events)
    for by in ("run", "model"):
        kept, broken = (json.dumps({"limit": f"context_share {sign} 0.5", "by": by}) for sign in ("<", ">"))
        assert check_document(run, path, "--rule", kept)[1]["findings"] == []
        (finding,) = check_document(run, path, "--rule", broken)[1]["findings"]
        assert "context_share is 0.00" in finding["evidence"]


def test_what_could_not_be_read_is_told(run, write, events):
    """A check of a damaged recording says so beside its answer."""
    path = write(events)
    path.write_text(path.read_text() + "{broken\n")
    result = run("check", path, "--rule", "tokens > 0")
    assert result.exit_code == 0
    assert result.stderr == f"1 problem while reading: not JSON (run.jsonl:{len(events) + 1})\n"


def test_init_takes_no_rules_and_no_reports(run, trace):
    """What would be left undone is refused."""
    result = run("check", "--init", "--junit", "x.xml", trace)
    assert result.exit_code == 2
    assert "--init takes TRACE and --rules FILE only" in result.stderr


def test_init_forbids_exceptions_that_the_good_run_did_not_handle(run, write, events):
    """Those that it handled stay allowed; a later run that handles another one breaks the rule."""
    good = write([*events, handled("KeyError")], "good")
    assert run("check", "--init", "--rules", "rules.json", good).exit_code == 0
    status, document = check_document(run, good, "--rules", "rules.json")
    assert (status, document["findings"]) == (0, [])
    bad = write([*events, handled("KeyError"), handled("ValueError")], "bad")
    (finding,) = check_document(run, bad, "--rules", "rules.json")[1]["findings"]
    assert finding["id"] == "no-new-handled-exceptions"
    assert "load handled ValueError: no" in finding["evidence"]
