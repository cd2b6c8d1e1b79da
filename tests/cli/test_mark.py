"""The user's judgement on the command line, and the commands that read it."""

import json
import shutil

import pytest

from namel3ss_debug.traces.marks import Mark, mark_of, write_mark
from namel3ss_debug.traces.names import mark_path


@pytest.fixture
def sound(trace):
    """A run in which nothing failed."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    for key in ("error", "error_type", "stack_trace"):
        del events[5][key]
    events[5] |= {"status": "completed", "outputs": {"result": "Oslo"}}
    events[7] = {"event_type": "trace_end", "component": "app"} | {
        key: events[7][key] for key in ("event_id", "seq", "timestamp", "execution_id")
    }
    return write(trace, events)


def write(path, events):
    """Write a trace, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def another(trace, path, execution_id):
    """Write the same events as another run, and return its path."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    return write(path, [event | {"execution_id": execution_id} for event in events])


def lines(result):
    """The lines on stdout of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_run_is_marked_shown_and_cleared(run, sound):
    """The latest trace is judged without its name; every form shows the mark in one line."""
    (line,) = lines(run("mark"))
    assert line == "debug/traces/trace_20251121_120000_ab12cd34.jsonl: outcome not judged"
    (line,) = lines(run("mark", "bad", "--why", "wrong\n city", "--event", 6))
    assert ": marked bad: wrong city (event 6), 20" in line
    assert lines(run("mark", sound)) == [line]
    document = json.loads(run("mark", "ab12cd34", "--format", "json").stdout)
    assert document["schema"] == "namel3ss-debug/mark/1"
    assert {key: document["mark"][key] for key in ("judgement", "why", "event")} == {
        "judgement": "bad",
        "why": "wrong city",
        "event": 6,
    }
    assert lines(run("mark", "ab12cd34", "--clear"))[0].endswith(": outcome not judged")
    assert mark_of(sound) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ab12cd34", "great"), "'great' is not a judgement; give good or bad"),
        (("--why", "slow"), "--why and --event belong to a judgement"),
        (("good", "--clear"), "--clear removes the mark; leave out good or bad"),
        (("bad", "--event", 99), "99"),
        (("nothere", "good"), "nothere"),
    ],
)
def test_a_mistake_is_one_line_and_marks_nothing(run, sound, words, message):
    """Status 2, what is wrong, and no mark."""
    result = run("mark", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert mark_of(sound) is None


def test_a_run_without_errors_is_not_praised(run, sound):
    """Without findings there is the way to judge the run; no command calls it good."""
    shown = run("analyze").stdout
    assert "  or: namel3ss debug mark bad --event N" in shown.splitlines()
    assert "# No errors seen; outcome not judged" in run("report").stdout
    document = run("analyze", "--format", "json").stdout
    for word in ("excellent", "healthy", "perfect", '"good"'):
        assert word not in shown + document


def test_a_run_that_is_marked_bad_says_so_first(run, sound):
    """The report, the explanation and the page begin with the mark, and the search begins at the marked event."""
    run("mark", "bad", "--why", "wrong city", "--event", 6)
    told = "marked bad: wrong city (event 6)"
    shown = lines(run("analyze", sound))
    assert shown[2] == f"  judged   {told}"
    assert f"  1  event 6: {told}" in shown
    health = json.loads(run("analyze", "--format", "json").stdout)["health"]
    assert (health["level"], health["findings"][0]["suggestion"]) == ("serious", "namel3ss debug explain 6")
    assert health["score"] < 0.5
    explained = json.loads(run("explain", 6, "--format", "json").stdout)
    assert [(row["number"], row["kind"]) for row in explained["chain"]] == [
        (5, "itself"),
        (3, "wrote_argument"),
    ]
    assert (explained["failed"], explained["error"], explained["category"]) == (False, None, None)
    assert lines(run("explain", 6))[1] == f"  run  {told}"
    page = lines(run("report"))
    assert page[0] == "# Marked bad: wrong city (event 6)"
    assert "## Where it began (each step from the one below it)" in page
    assert any("namel3ss debug explain 6" in line for line in page)


def test_a_mark_does_not_hide_a_failure(run, trace):
    """The failure is what is explained; the mark stands above it."""
    run("mark", "bad", "--why", "no mail", "--event", 8)
    page = json.loads(run("report", "--format", "json").stdout)
    assert (page["failure"]["number"], page["origin"]["number"]) == (5, 5)
    assert page["mark"]["why"] == "no mail"
    assert lines(run("analyze"))[2] == "  judged   marked bad: no mail (event 8)"


def test_the_list_shows_marks_and_names_those_without_effect(run, sound):
    """A column where any run is marked, a key in JSON; a mark copied to another trace is one line on stderr."""
    assert "mark" not in lines(run("list"))[0]
    write_mark(sound, Mark("good"))
    other = another(sound, sound.with_name("trace_20251121_130000_ffff0000.jsonl"), "ffff000012345678")
    shutil.copy(mark_path(sound), mark_path(other))
    result = run("list")
    header, *rows = lines(result)
    assert header.split()[-1] == "mark"
    assert [row.split()[-1] for row in rows[:2]] == ["completed", "good"]
    assert "is of another run (ab12cd34), so it has no effect" in result.stderr
    listed = json.loads(run("list", "--format", "json").stdout)["recordings"]
    assert [row["mark"] and row["mark"]["judgement"] for row in listed] == [None, "good"]


def test_several_traces_are_counted_by_their_marks(run, sound):
    """The aggregate says how many runs are good, bad and not judged."""
    another(sound, sound.with_name("b.jsonl"), "b")
    write_mark(sound, Mark("good"))
    assert "  marked  good 1, not judged 1" in lines(run("analyze", sound.parent))
    document = json.loads(run("analyze", sound.parent, "--format", "json").stdout)
    assert document["aggregate"]["marked"] == {"good": 1, "bad": 0}


@pytest.mark.parametrize("command", [("check", "--rule", "tokens < 1e9"), ("diff",)])
def test_a_baseline_that_is_marked_bad_is_refused(run, sound, command):
    """A run that the user calls wrong is never what others are compared with."""
    baseline = another(sound, sound.with_name("b.jsonl"), "b")
    write_mark(baseline, Mark("bad", "wrong city"))
    result = run(*command, sound, "--baseline", baseline)
    assert result.exit_code == 2
    assert "b.jsonl is marked bad: wrong city; name a run that is not marked bad" in result.stderr


def test_a_check_without_findings_names_a_mark(run, sound):
    """The rules hold; what the user thinks of the run stands beside them, and changes no status."""
    write_mark(sound, Mark("bad", "wrong city"))
    result = run("check", sound, "--rule", "tokens < 1e9")
    assert result.exit_code == 0
    assert result.stderr.endswith("_ab12cd34.jsonl is marked bad: wrong city\n")


def test_a_folder_of_baselines_leaves_out_those_marked_bad(run, sound):
    """`check` compares with the rest, and names what it left out."""
    folder = sound.parent.parent / "base"
    for name in "ab":
        path = another(sound, folder / f"{name}.jsonl", name)
    write_mark(path, Mark("bad"))
    result = run("check", sound, "--rule", "tokens < 1e9", "--baseline", folder)
    assert result.exit_code == 0, result.output
    assert "b.jsonl is marked bad, and is left out" in result.stderr


def test_a_folder_as_baseline_of_a_diff_means_its_good_runs(run, sound):
    """A failing run is compared with the runs marked good, and not with itself."""
    folder = sound.parent
    for name, judgement in (("a", "good"), ("b", None), ("c", "good")):
        path = another(sound, folder / f"{name}.jsonl", name)
        if judgement:
            write_mark(path, Mark(judgement))
    write_mark(sound, Mark("good"))
    document = json.loads(run("diff", sound, "--baseline", folder, "--format", "json").stdout)
    assert sorted(side["path"].rpartition("/")[2] for side in document["passing"]) == ["a.jsonl", "c.jsonl"]


def test_rules_from_a_run_that_is_marked_bad_come_with_a_warning(run, sound):
    """`check --init` writes them, and says what the user thinks of the run."""
    write_mark(sound, Mark("bad"))
    result = run("check", "--init", "--rules", "rules.json")
    assert "is marked bad; take rules from a run that is not marked bad" in result.stderr


def test_hostile_text_in_a_mark_does_not_reach_the_screen(run, sound):
    """A mark file is foreign data: control sequences show as text."""
    write_mark(sound, Mark("bad", "\x1b[31mred\x07", 6))
    for words in (("mark",), ("analyze",), ("explain", 6), ("report",), ("list",)):
        result = run(*words)
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
