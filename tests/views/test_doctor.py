"""What the doctor says on the screen and to programs."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.doctor_findings import ERROR, INFO, WARNING, DoctorFinding
from namel3ss_debug.views.doctor import doctor_document, doctor_lines

FOUND = (
    DoctorFinding(ERROR, "order", "app.py:9", "", ("output",), 0, "print(name)", ("app.py:9",), "a -> b"),
    DoctorFinding(
        WARNING,
        "clock",
        "deep/down/in/folders/with/long/names/agent_of_agents.py:1234",
        "",
        ("llm", "output"),
        12,
        "now = datetime.now()  # " + "x" * 200,
        ("app.py:9", "app.py:10", "app.py:11"),
        "10:00 -> 17:30",
    ),
    DoctorFinding(WARNING, "hash seed", "", "", ("status",)),
    DoctorFinding(INFO, "model", "app.py:4", "gpt-4o, its own temperature", times=3),
)


def shown(found, width=80, status=0):
    """The lines as text."""
    return [each.plain for each in doctor_lines(found, 7, status, (), width)]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_line_fits_the_screen(width):
    """However long names and lines of code are."""
    assert max(map(len, shown(FOUND, width))) <= width


def test_each_finding_is_told_with_its_line_of_code_and_what_can_be_done():
    """The most important first; inputs that reach nothing follow in a table of their own."""
    lines = shown(FOUND)
    assert lines[1].split() == ["error", "order", "app.py:9", "the", "output"]
    assert lines[2:5] == ["  print(name)", "  a -> b", "  put results in the order of the calls"]
    assert "  at app.py:9, app.py:10, ...: 10:00 -> 17:30" in lines
    assert any("not known" in each and "the exit status" in each for each in lines)
    assert lines[-3].split() == ["model", "app.py:4", "3", "gpt-4o,", "its", "own", "temperature"]
    assert lines[-1] == "1 error, 2 warnings; run 7 times"


def test_nothing_found_is_told_in_one_line():
    """With how the program ended, where that was not in order."""
    assert shown(()) == ["no findings, the runs did not differ; run 7 times"]
    assert shown((), status=-9)[0].endswith("run 7 times, ended by SIGKILL")


def test_nothing_of_the_program_reaches_the_terminal_as_it_is():
    """Control characters in its code, its names and its output are shown, not obeyed."""
    nasty = "\x1b[31m\u202e"
    found = (
        DoctorFinding(ERROR, "unknown", f"{nasty}.py:1", nasty, ("llm",), 1, nasty, (nasty,), nasty),
        DoctorFinding(INFO, "model", nasty, nasty),
    )
    assert not any(character in line for line in shown(found) for character in nasty[0] + nasty[-1])


def test_the_document_holds_everything():
    """Findings and inputs apart, each with what can be done; what is not known is null."""
    document = doctor_document("app.py", FOUND, 7, 3)
    assert next(iter(document)) == "schema"
    assert (document["target"], document["runs"], document["status"]) == ("app.py", 7, 3)
    assert [row["source"] for row in document["findings"]] == ["order", "clock", "hash seed"]
    assert [row["source"] for row in document["inputs"]] == ["model"]
    first = document["findings"][0]
    assert (first["advice"], first["times"]) == ("put results in the order of the calls", None)
    assert document["inputs"][0]["advice"] is None
