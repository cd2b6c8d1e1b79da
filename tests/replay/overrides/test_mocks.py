"""What a mock says: its text, whole answers, and members of the recorded one."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.overrides import grammar
from namel3ss_debug.replay.overrides.mocks import (
    MemberChange,
    Mock,
    apply_mock,
    format_mock,
    merge_mocks,
    parse_mock,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


# --- the text


@pytest.mark.parametrize(
    ("text", "name", "nth", "answer"),
    [
        ('get_weather:{"temp_c": -30}', "get_weather", None, {"temp_c": -30}),
        ('search@2:"nothing"', "search", 2, "nothing"),
        ("search @ 2 : null", "search", 2, None),
        ("tool:search:[1, 2]", "tool:search", None, [1, 2]),
        ("tool:search@3:[1, 2]", "tool:search", 3, [1, 2]),
        ('llm:"yes"', "llm", None, "yes"),
        ('llm:{"text": "a:b"}', "llm", None, {"text": "a:b"}),
        ('llm:gpt-4o:"yes"', "llm:gpt-4o", None, "yes"),
        ('llm:2:"yes"', "llm", 2, "yes"),
        ('llm@2:"yes"', "llm", 2, "yes"),
        ("a:b:c:1", "a:b:c", None, 1),
        ('"my tool":{"a": 1}', '"my tool"', None, {"a": 1}),
        ('"a:{b}"@2:{"a": 1}', '"a:{b}"', 2, {"a": 1}),
        ("tool:'it:1':2", "tool:'it:1'", None, 2),
        ('"search@2":1', '"search@2"', None, 1),
        ("search@home:1", "search@home", None, 1),
        ("  search :  7  ", "search", None, 7),
        ("""'search:{"a": 1}'""", "search", None, {"a": 1}),
        ("search:123456789012345678901234", "search", None, 123456789012345678901234),
    ],
)
def test_a_mock_is_a_name_and_an_answer(text, name, nth, answer):
    """The split is at the first colon that leaves JSON; `@N` is the N-th call; a quoted name may hold anything."""
    assert parse_mock(text) == Mock(name, nth, answer, text)


@given(
    st.from_regex(r"[a-z][a-z0-9_:.-]{0,20}[a-z]", fullmatch=True),
    json_values,
    st.integers(1, 99) | st.none(),
)
def test_whatever_json_is_written_is_the_answer(name, answer, nth):
    """A law for every name without brackets and quotes in it: nothing in the answer is taken for the name."""
    parsed = parse_mock(f"{name}{'' if nth is None else f'@{nth}'}:{json.dumps(answer)}")
    assert (parsed.name, parsed.nth, parsed.answer) == (name, nth, answer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "get_weather:{temp_c:-30}",
            "get_weather:{temp_c:-30}: not JSON at column 14: expecting property name enclosed in double quotes",
        ),
        (
            "get_weather:{temp_c:-30}",
            """a shell removes the double quotes of JSON; put the whole argument in single quotes: 'get_weather:{"temp_c":-30}'""",
        ),
        (
            "search:not found",
            """column 8: expecting value; a shell removes the double quotes of JSON; put the whole argument in single quotes: 'search:"not found"'""",
        ),
        ("search:{'a': true}", """'search:{"a": true}'"""),
        ("tool:search:{a: [b, null]}", """'tool:search:{"a": ["b", null]}'"""),
        ('tool:get_weather:{"temp":}', "not JSON at column 26: expecting value"),
        ('search:{"a": 1}}', "not JSON at column 16: extra data"),
        ('search:"abc', "not JSON at column 8: unterminated string starting at"),
        (
            "get_weather:{temp_c:",
            "column 14: expecting property name enclosed in double quotes; a shell removes the double quotes of JSON",
        ),
        ("tool:search", "tool:search: not JSON at column 6"),
        ("search", "search: write NAME:JSON, as in search:{"),
        ("", "mock: write NAME:JSON"),
        ('{"a": 1}', '{"a": 1}: write NAME:JSON'),
        ("search:", "search:: an answer is needed after the colon"),
        ("search:  @ ", "search:@: the name of a file is needed after the @"),
        (":1", "mock: the name of a call is needed"),
        ("@2:1", "@2: the name of a call is needed"),
        ("search@:1", "search@: the name of a call is needed"),
        ("search@0:1", "search@0: calls are counted from 1"),
        ("error:1", "error: a mock needs the name of a call, not another kind of location"),
        ("llm_call_start:1", "not another kind of location; write llm"),
        ("/sea.ch/:1", "not another kind of location"),
        ("search:NaN", "column 8: NaN is no number here"),
        ("search:[1, 1e999]", "column 12: 1e999 is no number here"),
        (r'search:"\ud800"', "it holds half a character"),
        ("search:" + "[" * 100_000, "it is nested too deeply"),
        ("search:" + "9" * 5000, "is no number here"),
    ],
)
def test_what_is_no_mock_is_told_in_one_line(refused, text, message):
    """What is wrong, at which column of the whole text, and what to write instead."""
    assert message in refused(parse_mock, text)


PARTS = [
    *"ab:@{}[]\"' 12,\\\n/*.=",
    "text",
    "result",
    "finish_reason",
    "tool_calls",
    "llm",
    "search",
    "null",
    "é",
]


@given(st.lists(st.sampled_from(PARTS), max_size=20).map("".join) | st.text(max_size=20))
def test_a_text_is_refused_or_comes_back_when_it_is_written(text):
    """A law: the parser gives a `MockError` of one line, or a mock whose own text gives the same mock again."""
    try:
        parsed = parse_mock(text)
    except MockError as problem:
        assert "\n" not in str(problem)
        return
    assert replace(parse_mock(format_mock(parsed)), text=text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        'search@2:{"a": 1}',
        "search.result=cold",
        "search@2.result.t[-1]=[1]",
        "llm.text=No, sorry",
        'llm:{"text": "yes", "reasoning": "hm"}',
        'llm@3.tool_calls=[{"name": "search"}]',
        "llm.finish_reason=length",
    ],
)
def test_every_kind_of_mock_comes_back_when_it_is_written(text):
    """As the law says; and of several changes the last is written."""
    parsed = parse_mock(text)
    assert replace(parse_mock(format_mock(parsed)), text=text) == parsed
    first, second = parse_mock("search.result.t=1"), parse_mock("search.result.u=2")
    assert parse_mock(format_mock(merge_mocks(first, second))).changes == second.changes


def test_a_mended_answer_is_a_mock():
    """What the message proposes can be typed as it stands, here and in a shell."""
    with pytest.raises(MockError) as caught:
        parse_mock("search:{title: it's, n: 2}")
    assert str(caught.value).endswith(
        "put the whole argument in single quotes"
    )  # what a single quote means is not guessed at
    with pytest.raises(MockError) as caught:
        parse_mock("search:{title: none, n: 2}")
    proposed = str(caught.value).rpartition("single quotes: ")[2]
    assert parse_mock(proposed).answer == {"title": "none", "n": 2}


# --- answers in files


def test_an_answer_may_stand_in_a_file(tmp_path):
    """Relative to the folder that is given; a byte order mark does not count."""
    (tmp_path / "my answer.json").write_bytes(b'\xef\xbb\xbf{"text": "from a file"}\n')
    parsed = parse_mock("llm:gpt-4o@2:@my answer.json", tmp_path)
    assert (parsed.name, parsed.nth, parsed.answer) == ("llm:gpt-4o", 2, {"text": "from a file"})


def test_a_file_is_found_from_the_working_directory(tmp_path, monkeypatch):
    """Where no folder is given; a whole path is taken as it is."""
    (tmp_path / "a.json").write_text("7")
    monkeypatch.chdir(tmp_path)
    assert parse_mock("search:@a.json").answer == 7
    assert parse_mock(f"search:@{tmp_path / 'a.json'}", tmp_path / "elsewhere").answer == 7


def test_a_file_may_stand_in_the_home_folder(tmp_path, monkeypatch):
    """As `save` and completion have it; what is nobody's home is the name of a file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text("7")
    (tmp_path / "~nobody.json").write_text("8")
    assert parse_mock("search:@~/a.json", tmp_path / "elsewhere").answer == 7
    assert parse_mock("search:@~nobody.json").answer == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "search:@answer.json: there is no such file"),
        (b'{"a":\n  b}', "search:@answer.json: not JSON at line 2, column 3: expecting value"),
        (b"", "not JSON at line 1, column 1: expecting value"),
        (b'"\xff"', "the file is not UTF-8 at byte 2"),
    ],
)
def test_a_file_that_is_no_answer_is_refused(tmp_path, content, message):
    """The message names the file and the place in it."""
    if content is not None:
        (tmp_path / "answer.json").write_bytes(content)
    with pytest.raises(MockError) as caught:
        parse_mock("search:@answer.json", tmp_path)
    assert message in str(caught.value)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    """A folder, and a pipe that nobody writes to, are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe"):
        with pytest.raises(MockError, match="this is not a file"):
            parse_mock(f"search:@{name}", tmp_path)


def test_why_a_file_cannot_be_read_is_told(tmp_path):
    """In the words of the system."""
    name = "x" * 300
    with pytest.raises(MockError, match=f"^search:@{name}: the file cannot be read: File name too long$"):
        parse_mock(f"search:@{name}", tmp_path)


def test_a_very_long_answer_is_refused(tmp_path, monkeypatch):
    """In a file and in the text."""
    monkeypatch.setattr(grammar, "MOST_BYTES", 30)
    (tmp_path / "long.json").write_text('"' + "x" * 30 + '"')
    with pytest.raises(MockError, match="the file has more than 30 bytes"):
        parse_mock("search:@long.json", tmp_path)
    with pytest.raises(MockError, match="more than 30 characters; give a file"):
        parse_mock('search:"' + "x" * 30 + '"')


# --- members of an answer


@pytest.mark.parametrize(
    ("text", "mock"),
    [
        ("llm@2.text=No, sorry", Mock("llm", 2, {"text": "No, sorry"}, of="llm")),
        ('llm.text="quoted"', Mock("llm", None, {"text": "quoted"}, of="llm")),
        ("llm.text=3", Mock("llm", None, {"text": "3"}, of="llm")),
        ('llm.text={"a": 1}', Mock("llm", None, {"text": '{"a": 1}'}, of="llm")),
        ("llm.text=null", Mock("llm", None, {"text": None}, of="llm")),
        ("gpt-4.1.text=a:b=c", Mock("gpt-4.1", None, {"text": "a:b=c"}, of="llm")),
        ("llm:gpt-4o@3 . text = hi", None),
        (
            'llm@2.tool_calls=[{"name": "search", "arguments": {}}]',
            Mock("llm", 2, {"tool_calls": [{"name": "search", "arguments": {}}]}, of="llm"),
        ),
        (
            "llm@2.finish_reason=length",
            Mock("llm", 2, None, changes=(MemberChange(("finish_reason",), "length"),), of="llm"),
        ),
        (
            "llm.tool_calls[0].arguments.city=Rome",
            Mock(
                "llm",
                None,
                None,
                changes=(MemberChange(("tool_calls", 0, "arguments", "city"), "Rome"),),
                of="llm",
            ),
        ),
        (
            "search@2.result.temp_c=-30",
            Mock("search", 2, None, changes=(MemberChange(("result", "temp_c"), -30),), of="tool"),
        ),
        (
            """tool:"a.b".result['x y'][-1]["z"]=[1]""",
            Mock(
                'tool:"a.b"', None, None, changes=(MemberChange(("result", "x y", -1, "z"), [1]),), of="tool"
            ),
        ),
        ("search.result=cold", Mock("search", None, "cold", of="tool")),
        ("'search.result=it is cold'", Mock("search", None, "it is cold", of="tool")),
        ('search:{"x.text=": 1}', Mock("search", None, {"x.text=": 1})),
        ("search.text:5", Mock("search.text", None, 5)),
    ],
)
def test_a_member_of_an_answer_is_given_a_value(text, mock):
    """JSON where it parses, else the text as it is; what of a model's answer is a text stays one."""
    if mock is None:
        with pytest.raises(MockError):
            parse_mock(text)
        return
    assert parse_mock(text) == replace(mock, text=text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("llm.txt=1", "llm.txt: this is not a member of an answer; did you mean 'text'?"),
        ("gpt-4.1.finish=1", "did you mean 'finish_reason'?"),
        (
            "search.temp_c=5",
            "search.temp_c: this is not a member of an answer; for a tool write search.result.temp_c",
        ),
        ("llm.tool_calls=search", "'tool_calls' is a text here, not a list"),
        ('llm.tool_calls=[{"nme": 1}]', "each of 'tool_calls' is an object with a 'name'"),
        ("llm@0.text=1", "llm@0: calls are counted from 1"),
        ("error.text=1", "a mock needs the name of a call, not another kind of location"),
        ("search.result" + ".a" * 60 + "=1", "a member is at most 50 steps inside an answer"),
        (r'search.result["\x"]=1', "this is not the name of a member"),
        ("llm.text=\udc80", "it holds an invalid character; write it as UTF-8"),
        ("search:timeout", "not JSON at column 8"),
        ("search:timeout", "; as a fault, set it with --fault"),
    ],
)
def test_what_is_no_member_is_told_in_one_line(text, message):
    """With the nearest member, or how the member of a tool's result is written."""
    with pytest.raises(MockError) as caught:
        parse_mock(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


LLM = {"event_type": "llm_call_start", "component": "llm", "component_name": "gpt-4o"}
TOOL = {"event_type": "tool_call_start", "component": "tool", "component_name": "search"}
SAID = {
    "text": "look it up",
    "tool_calls": [{"id": "c1", "name": "search", "arguments": {"q": 1}}],
    "finish_reason": "tool_calls",
}


@pytest.mark.parametrize(
    ("text", "call", "recorded", "outputs"),
    [
        ("llm.text=No", LLM, SAID, {"text": "No", "tool_calls": []}),
        (
            'llm.tool_calls=[{"name": "f"}]',
            LLM,
            SAID,
            {"tool_calls": [{"id": "call_7_1", "name": "f", "arguments": {}}]},
        ),
        ("llm.finish_reason=length", LLM, SAID, SAID | {"finish_reason": "length"}),
        (
            "llm.tool_calls[0].arguments.q=2",
            LLM,
            SAID,
            SAID | {"tool_calls": [{"id": "c1", "name": "search", "arguments": {"q": 2}}]},
        ),
        ("search.result.t=-30", TOOL, {"result": {"t": 20, "u": "C"}}, {"result": {"t": -30, "u": "C"}}),
        ("search.result=cold", TOOL, {"result": {"t": 20}}, {"result": "cold"}),
    ],
)
def test_the_rest_of_the_recorded_answer_stays(text, call, recorded, outputs):
    """Except of what a model says, which is given whole."""
    before = json.dumps(recorded)
    assert parse_mock(text).outputs(7, call, recorded) == outputs
    assert json.dumps(recorded) == before


@pytest.mark.parametrize(
    ("text", "call", "recorded", "message"),
    [
        (
            "search.result.t=1",
            TOOL,
            None,
            "search.result.t: there is no recorded answer to change; give the whole",
        ),
        ("llm.finish_reason=length", LLM, {}, "llm.finish_reason: there is no recorded answer to change"),
        (
            "search.result.t=1",
            TOOL,
            {"result": "30 days"},
            "search.result.t: the answer has no such member; result is a text",
        ),
        (
            "gpt-4o.result=1",
            LLM,
            SAID,
            "gpt-4o: a model's answer has no result; it is a text, or an object such as",
        ),
        (
            "search.text=1",
            TOOL,
            {},
            "search: only a model's answer has this; for a tool write search.result=VALUE",
        ),
        (
            "llm.tool_calls[0].arguments=[",
            LLM,
            {"vectors": 2},
            "llm.tool_calls: the answer has no such member",
        ),
        ("llm.text[0]=x", LLM, SAID, "llm.text[0]: the answer has no such member; text is a text"),
        ("llm.finish_reason=stop", LLM, {"vectors": 2}, "it has no 'vectors'"),
    ],
)
def test_an_answer_that_cannot_be_that_of_the_call_is_refused(text, call, recorded, message):
    """When the call is there to be looked at."""
    with pytest.raises(MockError) as caught:
        parse_mock(text).outputs(7, call, recorded)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("component", "recorded", "outputs"),
    [
        ("retrieval", {"found": 3}, {"found": 2}),
        ("retrieval", {"result": {"found": 3}}, {"result": {"found": 2}}),
        ("retrieval", {}, {"result": {"found": 2}}),
        ("tool", {"found": 3}, {"result": {"found": 2}}),
    ],
)
def test_a_span_of_the_program_has_the_members_that_it_had(component, recorded, outputs):
    """Where it recorded members, and no result, a whole answer has members."""
    call = {"event_type": f"{component}_start", "component": component, "component_name": "documents"}
    assert parse_mock('documents:{"found": 2}').outputs(7, call, recorded) == outputs


@pytest.mark.parametrize(
    ("spoken", "word"),
    [
        ("openai.chat", "length"),
        ("anthropic.messages", "max_tokens"),
        ("openai.responses", "max_output_tokens"),
    ],
)
def test_why_a_model_stopped_is_said_in_the_words_of_its_provider(spoken, word):
    """`length` is understood for all of them, also in a whole answer."""
    call = LLM | {"metadata": {"format": spoken}}
    assert parse_mock("llm.finish_reason=length").outputs(7, call, SAID)["finish_reason"] == word
    assert parse_mock('llm:{"finish_reason": "length"}').outputs(7, call)["finish_reason"] == word


def test_several_changes_are_made_one_after_the_other():
    """To a recorded answer, where a later one for the same member counts, and to a whole answer."""
    first, second, again = (parse_mock(f"search.result.{each}") for each in ("t=1", "u=2", "t=3"))
    changes = merge_mocks(merge_mocks(first, second), again)
    assert changes.outputs(7, TOOL, {"result": {"t": 0, "v": 9}}) == {"result": {"t": 3, "u": 2, "v": 9}}
    whole = merge_mocks(parse_mock('search:{"a": 1, "t": 2}'), first)
    assert (whole.answer, whole.changes) == ({"a": 1, "t": 1}, ())
    assert changes.changes == (*second.changes, *again.changes)
    thought = merge_mocks(
        parse_mock('llm:{"text": "yes", "reasoning": "hm"}'), parse_mock("llm.finish_reason=length")
    )
    assert thought.answer == {"text": "yes", "reasoning": "hm", "finish_reason": "length"}
    said = merge_mocks(parse_mock('llm:"yes"'), parse_mock("llm.finish_reason=length"))
    assert said.outputs(7, LLM) == {"text": "yes", "tool_calls": [], "finish_reason": "length"}
    with pytest.raises(MockError, match="the answer has no such member; result is a number"):
        merge_mocks(parse_mock("search:1"), first)


def test_the_end_of_a_mocked_call_is_marked():
    """With what was recorded beside it."""
    end = {
        "event_type": "tool_call_end",
        "status": "failed",
        "error": "gone",
        "outputs": {"result": {"t": 1}},
    }
    event = apply_mock(parse_mock("search.result.t=2"), end, (7, TOOL))
    assert event == {
        "event_type": "tool_call_end",
        "status": "completed",
        "outputs": {"result": {"t": 2}},
        "metadata": {
            "mocked": True,
            "recorded": {"status": "failed", "error": "gone", "outputs": {"result": {"t": 1}}},
        },
    }
