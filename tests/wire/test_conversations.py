"""What became of the messages between two requests."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.conversations import diff_message_texts, diff_messages, format_message

words = st.text("ab .…", max_size=12)
parts = st.lists(
    st.builds(lambda text: {"type": "text", "content": text}, words)
    | st.builds(lambda text: {"type": "tool_call", "name": "f", "arguments": {"q": text}}, words),
    max_size=3,
)
own = st.builds(
    lambda role, parts: {"role": role, "parts": parts}, st.sampled_from(["user", "assistant"]), parts
)
foreign = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "tool"]), words
)
anything = (
    st.none()
    | st.integers()
    | words
    | st.lists(words, max_size=2)
    | st.dictionaries(words, words, max_size=2)
)
conversations = st.lists(own | foreign | anything, max_size=8)


def said(role, text, **more):
    """A message as a recording has it."""
    return {"role": role, "parts": [{"type": "text", "content": text, **more}]}


def kinds(before, after):
    """What became of each message, with its places."""
    return [tuple(change[:3]) for change in diff_messages(before, after)]


def numbered(count, text="text {} of the conversation"):
    """So many different messages, of the user and the assistant in turn."""
    return [said(("user", "assistant")[number % 2], text.format(number)) for number in range(count)]


# --- laws


@given(conversations, conversations)
def test_the_rows_make_both_conversations(before, after):
    """A law: in order, without a message left out or told twice, and each with its place."""
    rows = diff_messages(before, after)
    old = [row for row in rows if row.kind != "added"]
    new = [row for row in rows if row.kind != "dropped"]
    assert [(row.before, row.old) for row in old] == list(enumerate(before))
    assert [(row.after, row.new) for row in new] == list(enumerate(after))
    assert all(row.after is None and row.new is None for row in rows if row.kind == "dropped")
    assert all(row.before is None and row.old is None for row in rows if row.kind == "added")
    assert {row.kind for row in rows} <= {"same", "added", "dropped", "changed", "truncated"}


@given(conversations)
def test_nothing_differs_from_itself(before):
    """A law: the order of keys is no difference."""
    turned = [dict(reversed(message.items())) if isinstance(message, dict) else message for message in before]
    assert [row.kind for row in diff_messages(before, turned)] == ["same"] * len(before)


@given(st.lists(own | foreign, max_size=8), st.data())
def test_one_added_or_dropped_message_is_just_that(before, data):
    """A law, wherever it stands, and where the same is said again and again."""
    place = data.draw(st.integers(0, len(before)))
    after = [*before[:place], data.draw(own), *before[place:]]
    assert Counter(row.kind for row in diff_messages(before, after)) == Counter(same=len(before), added=1)
    assert Counter(row.kind for row in diff_messages(after, before)) == Counter(same=len(before), dropped=1)


@given(st.lists(own, min_size=1, max_size=8), st.data())
def test_one_changed_message_is_just_that(before, data):
    """A law: it is changed, in its place, whatever was said before and after."""
    place = data.draw(st.integers(0, len(before) - 1))
    after = [*before]
    after[place] = before[place] | {"parts": [{"type": "text", "content": "another one"}]}
    rows = diff_messages(before, after)
    assert [(row.kind, row.before, row.after) for row in rows] == [
        ("changed" if number == place else "same", number, number) for number in range(len(before))
    ]


# --- what an agent does to its conversation


def test_a_conversation_that_goes_on():
    """What was said stays, what is new is added."""
    before = numbered(4)
    assert kinds(before, [*before, said("tool", "result")])[3:] == [("same", 3, 3), ("added", None, 4)]


def test_a_window_that_moves_on():
    """The system's message stays, the oldest are dropped."""
    before = [said("system", "be brief"), *numbered(6)]
    after = [before[0], *before[4:], *numbered(2, "later {}")]
    assert kinds(before, after) == [
        ("same", 0, 0),
        ("dropped", 1, None),
        ("dropped", 2, None),
        ("dropped", 3, None),
        ("same", 4, 1),
        ("same", 5, 2),
        ("same", 6, 3),
        ("added", None, 4),
        ("added", None, 5),
    ]


def test_messages_become_a_summary():
    """One of another role is added; the many are dropped."""
    before = [said("system", "be brief"), *numbered(4), said("user", "go on")]
    after = [before[0], said("developer", "so far: nothing"), before[5]]
    assert Counter(kind for kind, _, _ in kinds(before, after)) == Counter(same=2, dropped=4, added=1)


def test_the_most_alike_are_each_others():
    """Where one of several of a role is left, it is the one that it looks like."""
    before = [
        said("tool", "the weather in Oslo: -3"),
        said("tool", "the train goes at nine"),
        said("user", "thanks"),
    ]
    after = [said("tool", "the train goes at ten"), said("user", "thanks")]
    assert kinds(before, after) == [("dropped", 0, None), ("changed", 1, 0), ("same", 2, 1)]


def test_other_roles_are_other_messages():
    """Nobody's words become somebody else's."""
    assert kinds([said("user", "yes")], [said("assistant", "yes")]) == [
        ("dropped", 0, None),
        ("added", None, 0),
    ]


def test_what_stands_beside_the_text_counts():
    """A message whose call id changed has changed."""
    assert kinds(
        [{"role": "tool", "content": "7", "id": "a"}], [{"role": "tool", "content": "7", "id": "b"}]
    ) == [("changed", 0, 0)]


# --- cut short

LONG = "The first line.\nThe second line, which says more.\nThe last line."


@pytest.mark.parametrize(
    "cut",
    [
        "The first line.\nThe sec",
        "The first line.\nThe sec…",
        "The first line.\nThe sec...",
        "The first line.\nThe sec... [truncated]",
        "The first line.\n[47 characters omitted]",
        "The first line.\n\n... (2 more lines)",
        "The first line.\n… 1 line skipped …\nThe last line.",
        "The first [...] last line.",
        "… The last line.",
        {"$truncated": "The first line.\nTh", "length": len(LONG)},
        {"$truncated": 1},
    ],
)
def test_a_text_that_was_cut_short_is_told_apart(cut):
    """The beginning, the end or both are left, with or without a mark; in our own form, and in foreign messages."""
    assert kinds([said("tool", LONG)], [said("tool", cut)]) == [("truncated", 0, 0)]
    assert kinds([{"role": "tool", "content": LONG}], [{"role": "tool", "content": cut}]) == [
        ("truncated", 0, 0)
    ]


@pytest.mark.parametrize(
    "changed",
    [
        "",
        "  \n",
        "The first line.\nThe second line, which says less.",
        "The first line. [and so on]",
        "The second line, which says more.",
        LONG + "…",
        "[Old result removed]",
        {"$truncated": "Another", "length": 9},
        {"$truncated": LONG, "length": 900},
    ],
)
def test_a_text_that_became_another_one_has_changed(changed):
    """A mark alone is no cut."""
    assert kinds([said("tool", LONG)], [said("tool", changed)]) == [("changed", 0, 0)]


def test_lists_and_objects_may_be_cut_as_well():
    """In the form in which a recording leaves out what was too long."""
    whole = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "response": {"rows": [1, 2, 3, 4], "n": 4}}],
    }

    def with_response(response):
        return {"role": "tool", "parts": [{"type": "tool_call_response", "response": response}]}

    for cut in (
        {"rows": [1, 2, {"$truncated": 2}], "n": 4},
        {"rows": [1, 2, 3, 4], "$truncated": 1},
        {"$truncated": 2},
    ):
        assert kinds([whole], [with_response(cut)]) == [("truncated", 0, 0)]
    for other in (
        {"rows": [2, {"$truncated": 3}], "n": 4},
        {"rows": [1, 2], "n": 4},
        {"rows": [0], "$truncated": 1},
    ):
        assert kinds([whole], [with_response(other)]) == [("changed", 0, 0)]


def test_a_cut_that_was_cut_again():
    """The shorter one is a cut of the longer one."""
    longer, shorter = ({"$truncated": LONG[:size], "length": len(LONG)} for size in (40, 10))
    assert kinds([said("user", longer)], [said("user", shorter)]) == [("truncated", 0, 0)]
    assert kinds([said("user", shorter)], [said("user", longer)]) == [("changed", 0, 0)]


def test_a_cut_and_another_change_is_a_change():
    """Everything else has to be equal; names are never cut."""
    before = {"role": "tool", "name": "search", "content": LONG}
    assert kinds([before], [before | {"content": LONG[:20], "name": "find"}]) == [("changed", 0, 0)]
    assert kinds([before], [before | {"name": "sea"}]) == [("changed", 0, 0)]


@given(st.text(max_size=40), st.data())
def test_every_beginning_is_a_cut(text, data):
    """A law, for every text and with every mark; but where only dots are left, which are the mark's."""
    kept = text[: data.draw(st.integers(0, len(text)))]
    mark = data.draw(st.sampled_from(["", "…", "...", " [truncated]"]))
    if kept.strip().strip(".…") and len(kept) < len(text):
        assert kinds([said("user", text)], [said("user", kept + mark)])[0][0] in ("truncated", "same")


# --- many messages, and odd ones


@pytest.mark.parametrize("count", [10_000])
def test_long_conversations_are_compared(count):
    """Changes all over ten thousand messages, and the same few said over and over."""
    before = numbered(count)
    chance = random.Random(7)
    places = set(chance.sample(range(count), 500))
    after = [
        said(message["role"], "changed") if place in places else message
        for place, message in enumerate(before)
    ]
    assert [row.before for row in diff_messages(before, after) if row.kind == "changed"] == sorted(places)
    looped = numbered(20) * (count // 20)
    assert Counter(kind for kind, _, _ in kinds(looped, looped[10:])) == Counter(same=count - 10, dropped=10)
    other = numbered(count, "nothing of it {}")
    assert Counter(kind for kind, _, _ in kinds(before, other)) == Counter(changed=count)


def test_any_json_may_be_a_message():
    """Also what is nested very deeply."""
    deep = []
    for _ in range(500):
        deep = [deep]
    before = [None, 7, "text", deep, {"role": "user", "content": deep}, {}]
    assert {kind for kind, _, _ in kinds(before, before)} == {"same"}
    after = [None, 8, "te", [deep], {"role": "user", "content": [deep]}, {"role": 1}]
    assert [kind for kind, _, _ in kinds(before, after)] == [
        "same",
        "changed",
        "truncated",
        "changed",
        "changed",
        "changed",
    ]


# --- inside a message


def test_a_changed_message_is_compared_as_text():
    """Texts as they are, everything else as JSON on a line of its own."""
    before = {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "I look it up", "cached": True},
            {"type": "tool_call", "name": "search", "arguments": {"q": "refund"}},
            "bare",
        ],
        "name": "Ann",
    }
    assert format_message(before) == (
        '[reasoning] hm\nI look it up\n{"cached":true}\n{"arguments":{"q":"refund"},"name":"search","type":"tool_call"}'
        '\nbare\n{"name":"Ann"}'
    )
    after = before | {
        "parts": [
            before["parts"][0],
            {"type": "text", "content": "I look him up", "cached": True},
            *before["parts"][2:],
        ]
    }
    assert [piece for piece in diff_message_texts(before, after) if piece.kind != "same"] == [
        ("dropped", "it"),
        ("added", "him"),
    ]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        (None, "null"),
        ({"role": "user", "content": "hello"}, "hello"),
        ({"role": "user", "content": None}, ""),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
            'a\n{"type":"image"}',
        ),
        ({"role": "tool", "content": {"$truncated": "a", "length": 2}}, '{"$truncated":"a","length":2}'),
    ],
)
def test_foreign_messages_have_a_text(message, text):
    """Whatever their shape."""
    assert format_message(message) == text


def test_data_of_a_picture_are_told_by_how_many_and_which_they_are():
    """Two that differ read otherwise, and nobody has to read them; short data are shown."""

    def seen(data):
        part = {"type": "blob", "mime_type": "image/png", "content": data}
        return format_message({"role": "user", "parts": [part]})

    first, second = seen("A" * 12_000), seen("A" * 11_999 + "B")
    head = "[blob] 12,000 characters of data, SHA-256 "
    assert first.startswith(head)
    assert second.startswith(head)
    assert first != second
    assert first.endswith('\n{"mime_type":"image/png"}')
    assert seen("iVBO") == '[blob] iVBO\n{"mime_type":"image/png"}'
