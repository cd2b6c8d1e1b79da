"""Tests of comparing what two runs did by themselves."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.effects import Effects, compare_effects


def effects(*printed, width=0, ended=True):
    """What a run has printed, as pairs of a task and a text."""
    pieces = [{"task": task, "stream": "stdout", "text": text} for task, text in printed]
    start = {"randomness": {"process": "0", "output": {"stdout": width, "stderr": 0}}, "pid": 7}
    events = [
        {"event_type": "trace_start", "event_id": "1", "metadata": start},
        {"event_type": "output", "event_id": "2", "metadata": {"process": "0", "output": pieces}},
    ]
    return Effects.of(events + [{"event_type": "trace_end", "event_id": "3"}] * ended)


def first(then, now, **options):
    """The place of each difference, and what was not compared."""
    compared = compare_effects(then, now, **options)
    return [each.difference.paths[0].path for each in compared.divergences], compared.not_compared


def test_tasks_are_known_by_what_they_print_where_their_numbers_changed():
    """Tasks get their numbers when they first print, which is chance; their own lines are in order."""
    then = effects(("0~work.1", "a\n"), ("0~work.2", "b\n"), ("0~work.1", "c\n"))
    assert first(then, effects(("0~work.1", "b\n"), ("0~work.2", "a\nc\n"))) == ([], ())
    swapped = effects(("0~work.1", "b\n"), ("0~work.2", "c\na\n"))
    assert first(then, swapped) == (["stdout line 1 of 0~work.1"], ())


def test_which_process_of_a_pool_prints_a_line_is_chance():
    """All of them together print the recorded lines."""
    then = effects(("0/1", "a\nb\n"), ("0/2", "c\n"))
    assert first(then, effects(("0/1", "a\n"), ("0/2", "c\nb\n"))) == ([], ())
    assert first(then, effects(("0/1", "a\nb\nc\n"))) == ([], ())
    assert first(then, effects(("0/1", "other\nb\n"), ("0/2", "c\n")))[0] == ["stdout line 1 of 0/1"]


def test_what_an_answered_tool_printed_is_not_expected():
    """It does not run; one that runs for real prints it again."""
    then, now = effects(("0", "x\n"), ("0(search 1)", "searching\n")), effects(("0", "x\n"))
    assert first(then, now) == ([], ())
    now.ran.add("search")
    assert first(then, now) == (["stdout line 1 of 0(search 1)"], ())


@pytest.mark.parametrize(("text", "kind"), [("plain\n", "differs"), ("\x1b[1mbold\x1b[0m\n", "not compared")])
def test_a_screen_of_another_width_is_no_difference(text, kind):
    """Of what is drawn for a terminal; plain lines are compared."""
    found, left_out = first(effects(("0", text), width=80), effects(("0", "other\n")))
    assert (bool(found), bool(left_out)) == (kind == "differs", kind != "differs")


def test_a_trace_without_output_says_so():
    """One of an earlier version, or of a program that ran already when it was recorded."""
    then = effects()
    then.screens = None
    assert first(then, effects(("0", "x\n"))) == ([], ("output, which the trace does not hold",))


@pytest.mark.parametrize("text", ["a\nb", "a\nb \n", "a\nb\n\n", "a \nb\n"])
def test_spaces_and_the_last_line_feed_count(text):
    """Programs that read the output see them."""
    then = effects(("0", "a\nb\n"))
    assert first(then, effects(("0", text)))[0] != []
    assert first(effects(("0", text)), effects(("0", text))) == ([], ())


def test_spaces_behind_a_line_that_was_drawn_again_do_not_count():
    """They cover what stood there before, which a clock decides."""
    assert first(effects(("0", "\rdone   \n")), effects(("0", "\rdone\n"))) == ([], ())


def wrote(use, *, kept=False):
    """What a run has written to a file."""
    file = {"use": use, "digest": "1", "size": 3, "tools": [""], **({"kept": True} if kept else {})}
    start = {"randomness": {"process": "0", "files": {"check": "1"}, "output": {"stdout": 0, "stderr": 0}}}
    return Effects.of(
        [
            {"event_type": "trace_start", "event_id": "1", "metadata": start},
            {
                "event_type": "inputs_read",
                "event_id": "2",
                "metadata": {"digests": {"log": {"effect": file}}},
            },
            {"event_type": "trace_end", "event_id": "3"},
        ]
    )


def test_a_file_that_is_emptied_differs_from_one_that_is_appended_to():
    """Unless there was nothing in it."""
    assert first(wrote("appended", kept=True), wrote("written"))[0] == ["log"]
    assert first(wrote("appended"), wrote("written")) == ([], ())
    assert first(wrote("appended"), wrote("appended", kept=True)) == ([], ())
