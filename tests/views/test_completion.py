"""What Tab offers: commands, places, names of events, breakpoints, topics, bookmarks, mocks, files."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.replay.debugger.commands import COMMANDS
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.views.completion import OFFERS, find_candidates

EVENTS = [
    {"event_type": "agent_execution_start", "component": "agent", "component_name": "Support", "call_site": "app.py:40"},
    {"event_type": "llm_call_start", "component": "llm", "component_name": "gpt-4o", "parent_event_id": "1"},
    {"event_type": "llm_call_end", "component": "llm", "component_name": "gpt-4o", "parent_event_id": "2", "outputs": {"text": "hi", "tool_calls": [{"name": "look", "arguments": {"a": 1}}], "odd name": 1}},
    {"event_type": "tool_call_start", "component": "tool", "component_name": 'look it "up"\x1b[2J', "parent_event_id": "1"},
    {"event_type": "state_change", "component": "agent", "component_name": "Support", "parent_event_id": "1", "outputs": {"plan": "x", "two words": 1}},
    {"event_type": "tool_call_start", "component": "tool", "component_name": "search", "parent_event_id": "1"},
]  # fmt: skip


@pytest.fixture
def debugger(tmp_path):
    """A session on a small recording, whose shape has been read."""
    path = tmp_path / "trace.jsonl"
    path.write_text(
        "".join(json.dumps({"event_id": str(i)} | event) + "\n" for i, event in enumerate(EVENTS, 1))
    )
    session = Debugger(open_trace(path))
    assert session.stepper.contents is not None
    return session


def offered(debugger, words):
    """The lines that Tab could make of this one."""
    return [words[: found.start] + found.text for found in find_candidates(debugger, words)]


def test_every_kind_of_argument_has_an_offer():
    """What the rows of the table of commands take is in the table of offers."""
    assert {command.takes for command in COMMANDS} <= set(OFFERS)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("reverse-n", ["reverse-next", "reverse-nexti"]),
        ("unt", ["until", "unt"]),
        ("p n ;; whe", ["p n ;; where", "p n ;; when"]),
        ("  whe", ["  where", "  when"]),
        ("nothing", []),
        ("nothing here", []),
        ("break err", ["break error"]),
        ("b tool:s", ["b tool:search"]),
        ("b sea", ["b tool:search"]),
        ("b GPT", ["b llm:gpt-4o"]),
        ("b look", ['b tool:"look it ?up???2J"']),
        ("tbreak state", ["tbreak state_change"]),
        ("b app", ["b app.py:40"]),
        ("b llm if dur", ["b llm if duration_ms"]),
        ("b llm if totals.c", ["b llm if totals.cost"]),
        ("p out", ["p outputs"]),
        ("p outputs.t", ["p outputs.text", "p outputs.tool_calls"]),
        ("p len(outputs.tool_calls[0].ar", ["p len(outputs.tool_calls[0].arguments"]),
        ("p outputs.tool_calls[9].ar", []),
        pytest.param(f"p outputs.tool_calls[{'9' * 5000}].ar", [], id="no index"),
        ("p event.outputs.te", ["p event.outputs.text"]),
        ("p totals.", ["p totals.cost", "p totals.errors", "p totals.ms", "p totals.tokens"]),
        ("p 1 + totals.co", ["p 1 + totals.cost"]),
        ("p matc", ["p matches("]),
        ('p outputs["te', []),
        ('p "a" + outp', ['p "a" + outputs']),
        ("watch state.", []),
        ("info br", ["info breakpoints"]),
        ("i me", ["i messages"]),
        ("help un", ["help until", "help undisplay", "help unmock", "help unt"]),
        ("goto s", ["goto start"]),
        ("mock tool:", ["mock tool:search", 'mock tool:"look it ?up???2J"']),
        ("mock gp", ["mock llm:gpt-4o"]),
        ("save ", []),
    ],
)
def test_what_is_offered(debugger, words, lines):
    """Words of the tables, names of the recording as they can be typed, and members of the current event."""
    debugger.execute("goto 3")
    found = offered(debugger, words)
    assert sorted(found) == sorted(lines) if words != "save " else "save trace.jsonl" not in found


def test_what_was_set_is_offered(debugger):
    """Bookmarks, breakpoints, mocks and recorded variables are offered once they are there."""
    for words in ("b llm", "b tool:search", "bookmark here", "mock search:1", "goto 5"):
        debugger.execute(words)
    assert offered(debugger, "goto he") == ["goto here"]
    assert offered(debugger, "disable ") == ["disable 1", "disable 2"]
    assert find_candidates(debugger, "disable ")[1].about == "tool:search"
    assert offered(debugger, "condition 1 dur") == ["condition 1 duration_ms"]
    assert offered(debugger, "unmock ") == ["unmock search"]
    assert offered(debugger, "p state.") == ["p state.plan"]


def test_files_are_offered(debugger, tmp_path, monkeypatch):
    """Folders end with a slash, hidden files come when they are asked for, and names that would harm never."""
    (tmp_path / "folder").mkdir()
    for name in ("file.txt", ".hidden", "bad\x1bname", "folder/inside.json"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    assert offered(debugger, "save f") == ["save file.txt", "save folder/"]
    assert offered(debugger, "save b") == []
    assert offered(debugger, "save .h") == ["save .hidden"]
    assert offered(debugger, "mock search:@folder/i") == ["mock search:@folder/inside.json"]
    assert offered(debugger, "save missing/") == []
    assert offered(debugger, "save ~nobody-of-this-name/f") == []
    assert offered(debugger, "save a\0b/f") == []


def test_what_is_offered_by_a_place_can_be_set(debugger):
    """Every offered place is one that the recording holds."""
    for found in find_candidates(debugger, "break "):
        (result,) = debugger.execute(f"break {found.text}")
        assert result.text.startswith("breakpoint ") or found.text == "error", found


class Unread:
    """A recording that may not be read."""

    def events(self, start=1):
        """May not be asked for."""
        raise AssertionError(f"events from {start} were read")

    def event(self, number):
        """May not be asked for."""
        raise AssertionError(f"event {number} was read")

    def count(self):
        """Very many."""
        return 1_000_000


@pytest.mark.parametrize("words", ["b ", "b t", "mock ", "info ", "help ", "disable ", "goto ", "unmock "])
def test_nothing_is_read_for_it(words):
    """Where the trace has not been read yet, the words are those of the tables; it is not read for a Tab."""
    session = Debugger(Unread())
    assert offered(session, words) or words in {"disable ", "unmock "}
