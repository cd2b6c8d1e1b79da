import pytest


def message(role, words):
    """A message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": words}]}


@pytest.fixture
def ask(recording):
    """Record a model call with so many messages after a system message and a question."""

    def ask(at, tokens, more=0, question="why?", model="m", system="be brief", **fields):
        messages = [message("system", system), message("user", question)]
        messages += [message("assistant", f"{n}") for n in range(more)]
        start = recording.start("llm", model, at, inputs={"messages": messages})
        recording.end(start, at + 1, usage={"input_tokens": tokens, "output_tokens": 1}, **fields)

    return ask


@pytest.fixture
def context(recording, analysed):
    """The part `context` of the section."""
    return lambda **options: analysed(recording.events, ["resource_usage"], **options)["resource_usage"][
        "context"
    ]


def test_growth_is_the_slope_over_the_calls_of_a_conversation(ask, context, own_prices):
    """100, 150, 200, 250 tokens of 1000: 50 more a call, so that 15 more calls fit."""
    own_prices({"m": {"input": 1, "output": 1, "context_window": 1000}})
    for n in range(4):
        ask(n, 100 + 50 * n, 2 * n)
    ask(9, 500, question="something else")
    found = context()
    [row] = found["conversations"]
    assert [turn["input_tokens"] for turn in row["turns"]] == [100, 150, 200, 250]
    assert (row["tokens_per_call"], row["calls_left"], row["max_share"], row["window"]) == (
        50.0,
        15,
        0.25,
        1000,
    )
    assert found["by_model"]["m"] == {
        "window": 1000,
        "calls": 5,
        "max_input_tokens": 500,
        "max_number": 9,
        "max_share": 0.5,
        "calls_over": 0,
        "first_over_number": None,
    }


def test_a_window_that_nobody_knows_has_no_share(ask, context):
    """Unknown is null and never guessed."""
    ask(0, 100, model="nobody-knows")
    row = context()["by_model"]["nobody-knows"]
    assert (row["window"], row["max_share"], row["calls_over"]) == (None, None, None)


def test_published_windows_are_those_of_the_model_that_answered(ask, context):
    """The name that was asked for may be another one."""
    pytest.importorskip("genai_prices")
    ask(0, 64_000, model="my-deployment", outputs={"response_model": "gpt-4o"})
    row = context()["by_model"]["my-deployment"]
    assert (row["window"], row["max_share"]) == (128_000, 0.5)


def test_the_same_question_again_is_another_conversation(ask, context):
    """Messages as few as at the beginning begin anew; fewer in the middle is a context that was cut."""
    for at, (tokens, more) in enumerate([(10, 0), (30, 2), (90, 6), (20, 2), (10, 0), (30, 2)]):
        ask(at, tokens, more)
    found = context()
    assert [(row["calls"], row["times_cut"]) for row in found["conversations"]] == [(4, 1), (2, 0)]


def test_system_messages_tell_conversations_apart(ask, context):
    """Two agents are asked the same."""
    for at in range(2):
        ask(at, 10, at, system="you are the first")
        ask(at, 20, at, system="you are the other one")
    assert [row["calls"] for row in context()["conversations"]] == [2, 2]


def test_calls_without_messages_belong_to_the_span_they_were_made_in(recording, context):
    """A recording without payloads still tells how the context grew."""
    for name in ("one", "two"):
        agent = recording.start("agent", name, 0)
        for n in range(3):
            recording.span("llm", "m", n, n + 1, agent, usage={"input_tokens": 10 * n + 10})
    assert [row["tokens_per_call"] for row in context()["conversations"]] == [10.0, 10.0]


def test_one_name_with_two_windows_tells_the_fuller(ask, context, own_prices):
    """Calls are counted together, the window is that of the call that came nearest to it."""
    own_prices({"big": {"input": 1, "context_window": 1000}, "small": {"input": 1, "context_window": 100}})
    ask(0, 500, outputs={"response_model": "big"})
    ask(2, 95, outputs={"response_model": "small"})
    row = context()["by_model"]["m"]
    assert (row["window"], row["max_input_tokens"], row["calls"], row["calls_over"]) == (100, 95, 2, 1)
    assert row["first_over_number"] == 3


def test_a_count_no_model_could_have_is_kept_within_bounds(ask, context):
    """A hostile number breaks nothing."""
    ask(0, 1 << 63)
    assert context()["by_model"]["m"]["max_input_tokens"] == 1 << 62
