"""Faults: how they are written, what is refused, and how they look in a walk."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.overrides.faults import Fault, apply_fault, format_fault, parse_fault
from namel3ss_debug.wire.faults import Effect

LLM = {
    "event_type": "llm_call_start",
    "component": "llm",
    "component_name": "gpt-4o",
    "metadata": {"format": "openai.chat"},
}
STREAMED = LLM | {"inputs": {"params": {"stream": True}}}
TOOL = {"event_type": "tool_call_start", "component": "tool", "component_name": "search"}
HTTP = {"event_type": "http_exchange_start", "component": "http", "component_name": "api"}
SAID = {
    "event_type": "llm_call_end",
    "status": "completed",
    "outputs": {"text": "It is cold.", "tool_calls": [], "finish_reason": "stop", "response_model": "m1"},
    "duration_ms": 700.0,
    "tokens_used": 50,
    "usage": {"input_tokens": 40, "output_tokens": 10},
    "cost_estimate": 0.25,
    "metadata": {"exchange": {"status": 200}, "provider": "openai"},
}
FOUND = {
    "event_type": "tool_call_end",
    "status": "completed",
    "outputs": {"result": "30 days"},
    "duration_ms": 40.0,
}


@pytest.mark.parametrize(
    ("text", "name", "nth", "effect"),
    [
        ("search:timeout", "search", None, Effect("timeout")),
        ("search@2:timeout", "search", 2, Effect("timeout")),
        ("llm:2:truncate", "llm", 2, Effect("truncate")),
        ("tool:search@3:truncate", "tool:search", 3, Effect("truncate")),
        ("llm:status:429", "llm", None, Effect("status", status=429)),
        (
            "llm:gpt-4o:status:503:try later: 5 s",
            "llm:gpt-4o",
            None,
            Effect("status", "", "try later: 5 s", 503),
        ),
        ("search:latency:2s", "search", None, Effect("latency", delay_ms=2000)),
        ("search : latency : 1.5 ms ", "search", None, Effect("latency", delay_ms=1.5)),
        ("search:latency:86400s", "search", None, Effect("latency", delay_ms=86_400_000)),
        ("llm:status:400", "llm", None, Effect("status", status=400)),
        ("llm:status:599", "llm", None, Effect("status", status=599)),
        ("search:latency:2.3s", "search", None, Effect("latency", delay_ms=2300)),
        ("db:error:ValueError", "db", None, Effect("error", "ValueError")),
        ("db:error:KeyError:no 'row': {7}", "db", None, Effect("error", "KeyError", "no 'row': {7}")),
        ("db:error:app.errors.NotFound:x", "db", None, Effect("error", "app.errors.NotFound", "x")),
        (
            "llm:error:rate_limit_error:slow down",
            "llm",
            None,
            Effect("error", "rate_limit_error", "slow down"),
        ),
        ("tool:error:ValueError:x", "tool", None, Effect("error", "ValueError", "x")),
        ('"my: tool"@2:timeout', '"my: tool"', 2, Effect("timeout")),
        ('tool:"error":error:KeyError:k', 'tool:"error"', None, Effect("error", "KeyError", "k")),
        ("'search:error:ValueError:it is'", "search", None, Effect("error", "ValueError", "it is")),
        ("timeout:timeout", "timeout", None, Effect("timeout")),
    ],
)
def test_a_fault_is_a_name_and_what_goes_wrong(text, name, nth, effect):
    """The name is that of a mock; the split is at the first colon that leaves a fault."""
    assert parse_fault(text) == Fault(name, nth, effect, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search:timout", "search:timout: unknown fault 'timout'; did you mean 'timeout'?"),
        ("tool:search:eror:ValueError:x", "unknown fault 'eror'; did you mean 'error'?"),
        (
            "search:explode",
            "unknown fault 'explode'; there are timeout, error:TYPE:TEXT, status:429, latency:2s, truncate",
        ),
        ("search:", "search:: a fault is needed after the colon; there are timeout"),
        ("search", "search: write NAME:FAULT, such as search:timeout; there are"),
        ("", "fault: write NAME:FAULT"),
        ("timeout", "timeout: write NAME:FAULT"),
        ("latency:2s", "latency:2s: the name of a call is needed before it, as in search:latency:2s"),
        ("search@0:timeout", "search@0: calls are counted from 1"),
        (":timeout", "the name of a call is needed"),
        ("llm_call_start:timeout", "not another kind of location; write llm"),
        ("search:timeout:5s", "nothing stands behind timeout, but here is '5s'"),
        (
            "search:latency:2x",
            "a latency is a number with s or ms of at most a day, as in latency:2s or latency:250ms; this is '2x'",
        ),
        ("search:latency:-1s", "this is '-1s'"),
        ("search:latency", "this is ''"),
        ("search:latency:86401s", "this is '86401s'"),
        ("llm:status:200", "a status is a number from 400 to 599, as in status:429; this is '200'"),
        ("llm:status:x", "this is 'x'"),
        ("llm:status:" + "9" * 5000, "a status is a number from 400 to 599"),
        ("search:error", "an error needs a type, as in error:ValueError:no such row"),
        ("search:error:ValueEror:x", "unknown exception type 'ValueEror'; did you mean 'ValueError'?"),
        (
            "search:error:Zonk:x",
            "unknown exception type 'Zonk'; a class of the program's own is written as module.Class",
        ),
        ("search:error:KeyboardInterrupt", "unknown exception type 'KeyboardInterrupt'"),
        ("search:error:a b.c:x", "unknown exception type 'a b.c'"),
        ("llm:error:ratelimit:x", "did you mean 'rate_limit_error'?"),
        ('search:{"a": 1}', "this is a mock, not a fault; give it with --mock"),
        ("search:error:ValueError:\udc80", "it holds an invalid character; write it as UTF-8"),
    ],
)
def test_what_is_no_fault_is_told_in_one_line(refused, text, message):
    """With the nearest kind of fault, or all of them."""
    assert message in refused(parse_fault, text)


PARTS = [
    *"ab:@'\" 25.\n",
    "search",
    "timeout",
    "error",
    "status",
    "latency",
    "truncate",
    "ValueError",
    "429",
    "ms",
    "s",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join) | st.text(max_size=20))
def test_a_text_is_refused_or_comes_back_when_it_is_written(text):
    """A law: the parser gives a `MockError` of one line, or a fault whose own text gives the same fault again."""
    try:
        parsed = parse_fault(text)
    except MockError as problem:
        assert "\n" not in str(problem)
        return
    assert replace(parse_fault(format_fault(parsed)), text=text) == parsed


@given(st.decimals(0, 86_400, places=6).map(lambda number: f"{number:f}"), st.sampled_from(["s", "ms"]))
def test_a_latency_comes_back_when_it_is_written(number, unit):
    """A law: to the last digit."""
    parsed = parse_fault(f"search:latency:{number}{unit}")
    assert parse_fault(format_fault(parsed)).effect == parsed.effect


# --- which calls


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x:timeout", {"llm", "http", "tool", "agent"}),
        ("x:latency:1s", {"llm", "http", "tool", "agent"}),
        ("x:truncate", {"llm", "http", "tool", "agent"}),
        ("x:status:500", {"llm", "http"}),
        ("x:error:overloaded_error", {"llm"}),
        ("x:error:ConnectionError", {"llm", "http", "tool", "agent"}),
        ("x:error:TimeoutError", {"llm", "http", "tool", "agent"}),
        ("x:error:ValueError", {"tool", "agent"}),
        ("x:error:openai.RateLimitError", {"tool", "agent"}),
    ],
)
def test_a_fault_fits_the_calls_that_can_go_wrong_so(text, fits):
    """A model fails by its API or by the connection to it, everything else by an exception."""
    fault = parse_fault(text)
    assert {each for each in ("llm", "http", "tool", "agent") if fault.fits(each)} == fits


@pytest.mark.parametrize(
    ("text", "components", "message"),
    [
        ("search@2:status:429", {"tool"}, "search@2:status:429: only a model's call or an HTTP exchange has a status; write search@2:error:TYPE:TEXT"),
        ("llm:error:ValueError:x", {"llm"}, "llm:error:ValueError:x: a model's call fails by an error of its API such as rate_limit_error, TimeoutError or ConnectionError"),
        ("api:error:ValueError", {"http"}, "an HTTP exchange fails by a status, by TimeoutError or ConnectionError"),
        ("search:error:rate_limit_error", {"tool"}, "this is an error of a model's API; here it is an exception, such as ValueError"),
    ],
)  # fmt: skip
def test_a_fault_that_the_call_cannot_have_is_refused(text, components, message):
    """In one line that says how such a call fails; where the call is not known, it is taken."""
    fault = parse_fault(text)
    with pytest.raises(MockError) as caught:
        fault.check(frozenset(components))
    assert message in str(caught.value)
    fault.check(frozenset())
    fault.check(frozenset(["llm", "tool", "http"]))


# --- in a walk


def test_a_timeout_looks_like_one():
    """Without the answer and what it cost, which stand beside it; the recording is not touched."""
    before = copy.deepcopy(SAID)
    event = apply_fault(parse_fault("llm:timeout"), SAID, LLM)
    assert event == {
        "event_type": "llm_call_end",
        "duration_ms": 700.0,
        "status": "timeout",
        "error_type": "TimeoutError",
        "error": "timed out (fault)",
        "metadata": {
            "exchange": {"status": 200},
            "provider": "openai",
            "mocked": True,
            "fault": "timeout",
            "recorded": {
                name: SAID[name] for name in ("status", "outputs", "usage", "tokens_used", "cost_estimate")
            },
        },
    }
    assert before == SAID


@pytest.mark.parametrize(
    ("text", "start", "status", "error_type", "error"),
    [
        ("x:error:KeyError:no row", TOOL, "failed", "KeyError", "no row"),
        ("x:error:app.ReadTimeout:slow", TOOL, "timeout", "app.ReadTimeout", "slow"),
        ("x:error:asyncio.CancelledError", TOOL, "cancelled", "asyncio.CancelledError", "fault"),
        ("x:error:ConnectionResetError:gone", LLM, "failed", "ConnectionResetError", "gone"),
        ("x:error:TimeoutError", HTTP, "timeout", "TimeoutError", "fault"),
        ("x:error:overloaded_error:full", LLM, "failed", "overloaded_error", "full"),
        ("x:status:429", LLM, "failed", "rate_limit_error", "Too Many Requests (fault)"),
        ("x:status:429", {**LLM, "metadata": "odd"}, "failed", "429", "Too Many Requests (fault)"),
        ("x:status:503:down", HTTP, "failed", "HTTP 503", "down"),
    ],
)
def test_an_error_looks_as_it_is_recorded(text, start, status, error_type, error):
    """The words of the exception, or of the provider."""
    event = apply_fault(parse_fault(text), FOUND, start)
    assert (event["status"], event["error_type"], event["error"]) == (status, error_type, error)
    assert event["metadata"]["recorded"]["outputs"] == {"result": "30 days"}
    assert event["metadata"]["fault"] == text.removeprefix("x:")


def test_a_status_has_its_response_beside_it():
    """The exchange is that of the fault, and the recorded one is kept."""
    metadata = apply_fault(parse_fault("llm:status:429"), SAID, LLM)["metadata"]
    assert metadata["exchange"]["status"] == 429
    assert metadata["exchange"]["headers"]["retry-after"] == "1"
    assert "rate_limit_error" in metadata["exchange"]["body"]["text"]
    assert metadata["recorded"]["exchange"] == {"status": 200}
    outputs = apply_fault(parse_fault("api:status:500"), FOUND, HTTP)["outputs"]
    assert (outputs["status"], outputs["body"]["error"]["status"]) == (500, 500)


def test_latency_changes_the_duration_only():
    """Whatever the recording holds there."""
    event = apply_fault(parse_fault("search:latency:2s"), FOUND, TOOL)
    metadata = {"mocked": True, "fault": "latency:2s", "recorded": {"duration_ms": 40.0}}
    assert event == FOUND | {"duration_ms": 2040.0, "metadata": metadata}
    assert (
        apply_fault(parse_fault("search:latency:2s"), FOUND | {"duration_ms": "x"}, TOOL)["duration_ms"]
        == 2000
    )


@pytest.mark.parametrize(
    ("start", "end", "status", "outputs"),
    [
        (LLM, SAID, "completed", SAID["outputs"] | {"text": "It is", "finish_reason": "length"}),
        (STREAMED, SAID, "partial", {"text": "It is", "tool_calls": [], "response_model": "m1"}),
        (TOOL, FOUND, "completed", {"result": "30 "}),
        (
            HTTP,
            {"outputs": {"status": 200, "body": {"a": "abcd"}}},
            "completed",
            {"status": 200, "body": {"a": "ab"}},
        ),
        (
            HTTP,
            {"outputs": {"status": 200, "headers": {"etag": "abcdefgh"}, "body": "abcd", "result": "abcd"}},
            "completed",
            {"status": 200, "headers": {"etag": "abcdefgh"}, "body": "ab", "result": "abcd"},
        ),
        (
            TOOL,
            {"outputs": {"result": "abcd", "body": "abcd"}},
            "completed",
            {"result": "ab", "body": "abcd"},
        ),
        (LLM, {"outputs": {"refusal": "abcd"}}, "completed", {"refusal": "ab", "finish_reason": "length"}),
        ({"component": "agent"}, {"outputs": {"reply": "abcd"}}, "completed", {"reply": "ab"}),
    ],
)
def test_a_cut_answer_looks_as_it_is_recorded(start, end, status, outputs):
    """A model stopped at the limit of tokens; of a stream the end never came."""
    event = apply_fault(parse_fault("x:truncate"), end, start)
    assert (event["status"], event["outputs"]) == (status, outputs)
    assert event["metadata"]["recorded"]["outputs"] == end["outputs"]


@pytest.mark.parametrize(
    ("start", "outputs"),
    [
        (LLM, {"vectors": 3}),
        (LLM, {"text": {"$truncated": "x"}}),
        (TOOL, {"result": 7}),
        (TOOL, {}),
        (TOOL, "odd"),
    ],
)
def test_an_answer_without_a_text_is_not_cut(start, outputs):
    """It is said, so that nobody waits for the program to fail."""
    with pytest.raises(MockError, match=r"^x:truncate: there is nothing in the recorded answer to cut"):
        apply_fault(parse_fault("x:truncate"), FOUND | {"outputs": outputs}, start)


def test_what_the_program_gets_is_told_as_outputs():
    """Of an error its type and text, of a cut answer the rest of it, of a late one all of it."""
    recorded = {"result": "30 days"}
    told = {each: parse_fault(f"x:{each}").outputs(1, TOOL, recorded) for each in ("truncate", "latency:1s")}
    assert told == {"truncate": {"result": "30 "}, "latency:1s": recorded}
    assert parse_fault("x:timeout").outputs(1, TOOL) == {
        "error_type": "TimeoutError",
        "error": "timed out (fault)",
    }
    assert parse_fault("x:status:500").outputs(1, LLM)["error_type"] == "server_error"
    assert parse_fault("x:truncate").outputs(1, TOOL) == {}
    assert parse_fault("x:truncate").outputs(1, TOOL, {"result": 7}) == {"result": 7}
