"""Circuit breakers of the settings refuse models, tools and hosts that failed, in a program that does not know of them."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from namel3ss_debug import CircuitOpenError, hooks, shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

httpx = pytest.importorskip("httpx")

NOBODY = "http://127.0.0.1:9/"


@pytest.fixture
def model(scripted_model_module):
    """A server whose model `bad` fails, and every other one answers."""
    answers = scripted_model_module

    def answer(request):
        return answers.fail(503, "down") if request["model"] == "bad" else answers.say("fine")

    with answers.ScriptedModel(answer) as running:
        yield running


@pytest.fixture
def ask(model):
    """Asks a model, and returns the status with the model that has answered."""

    def ask(name="bad"):
        body = {"model": name, "messages": [{"role": "user", "content": "x"}]}
        response = httpx.post(f"{model.url}/v1/chat/completions", json=body)
        return response.status_code, response.json().get("model")

    return ask


def events_of_guards():
    """End the trace, and return what the guards did."""
    events = open_trace(shutdown_tracing()).events()
    return [(each["event_type"], each["component_name"]) for each in events if each["component"] == "guard"]


def set_clock(tracer):
    """Let the circuits of a tracer read this clock."""
    clock = [0.0]
    tracer.guards._breakers._clock = lambda: clock[0]
    return clock


def test_a_model_is_refused_after_five_failures_and_tried_after_thirty_seconds(
    tracing, model, ask, scripted_model_module
):
    """The defaults of the setting; a failed trial opens it again, a good one closes it."""
    clock = set_clock(tracing(circuit_breakers={"model:*": {}}))
    assert [ask()[0] for _ in range(5)] == [503] * 5
    clock[0] = 29.9
    with pytest.raises(httpx.ConnectError, match="model bad is not called: it failed 5 times in a row"):
        ask()
    assert (ask("good")[0], len(model.requests)) == (200, 6)
    clock[0] = 30.0
    assert ask()[0] == 503
    with pytest.raises(httpx.ConnectError):
        ask()
    clock[0] = 60.0
    model.script = lambda _request: scripted_model_module.say("fine again")
    assert ask()[0] == 200
    assert events_of_guards() == [
        (f"breaker_{state}", "model bad")
        for state in ("opened", "half_open", "opened", "half_open", "closed")
    ]


def test_a_host_is_refused_for_every_library(tracing):
    """What each of them raises is what it raises where nobody listens."""
    tracing(circuit_breakers={"host:127.0.0.1:9": {"failure_threshold": 1}})
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(NOBODY)
    with pytest.raises(httpx.ConnectError, match=r"host 127.0.0.1:9 is not called"):
        httpx.get(NOBODY)
    with pytest.raises(urllib.error.URLError, match=r"host 127.0.0.1:9 is not called"):
        urllib.request.urlopen(NOBODY)
    with pytest.raises(ConnectionError, match=r"host 127.0.0.1:9 is not called"):
        http.client.HTTPConnection("127.0.0.1", 9).request("GET", "/")
    requests = pytest.importorskip("requests")
    with pytest.raises(requests.ConnectionError, match=r"host 127.0.0.1:9 is not called"):
        requests.get(NOBODY, timeout=5)
    aiohttp = pytest.importorskip("aiohttp")

    async def get():
        async with aiohttp.ClientSession() as session:
            await session.get(NOBODY)

    with pytest.raises(aiohttp.ClientConnectorError, match=r"host 127.0.0.1:9 is not called"):
        asyncio.run(get())


def test_a_request_that_is_wrong_is_no_failure_of_the_host(tracing, scripted_model_module):
    """Status 400 speaks against the request; 429 counts."""
    statuses = iter([400, 400, 429, 429, 400])
    with scripted_model_module.ScriptedModel(
        lambda _request: scripted_model_module.fail(next(statuses), "")
    ) as server:
        tracing(circuit_breakers={"model:m": {"failure_threshold": 2}})
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        url = f"{server.url}/v1/chat/completions"
        assert [httpx.post(url, json=body).status_code for _ in range(4)] == [400, 400, 429, 429]
        with pytest.raises(httpx.ConnectError):
            httpx.post(url, json=body)


def test_another_model_answers_in_place_of_one_that_fails(tracing, model, ask):
    """The same request with its name; the trace shows who has answered, and counts one call."""
    tracing(circuit_breakers={"model:bad": {"failure_threshold": 2, "fallback_model": "tiny"}})
    assert [ask() for _ in range(4)] == [(503, None), (503, None), (200, "tiny"), (200, "tiny")]
    assert [each["body"]["model"] for each in model.requests] == ["bad", "bad", "tiny", "tiny"]
    events = list(open_trace(shutdown_tracing()).events())
    ends = [each for each in events if each["event_type"] == "llm_call_end"]
    assert [each.get("outputs", {}).get("response_model") for each in ends] == [None, None, "tiny", "tiny"]
    assert ends[2]["metadata"]["guarded"] == "breaker"


def test_a_fallback_model_that_fails_is_a_lost_connection(tracing, model, ask):
    """Its status reaches the program where it has one."""
    tracing(circuit_breakers={"model:bad": {"failure_threshold": 1, "fallback_model": "bad"}})
    assert [ask()[0], ask()[0]] == [503, 503]
    assert len(model.requests) == 2


def cached(arguments):
    """Answer in place of a model."""
    return f"from the cache: {arguments['model']}"


def looked_up(query):
    """Answer in place of a tool."""
    return [query, "from the cache"]


@pytest.mark.parametrize(
    ("fallback", "found"),
    [
        ({"fallback": {"hits": 0}}, {"hits": 0}),
        ({"fallback_function": f"{__name__}:looked_up"}, ["a", "from the cache"]),
    ],
)
def test_a_tool_has_a_value_or_a_function_as_its_fallback(tracing, fallback, found):
    """In place of the call that is refused; the failures before it reach the caller."""
    tracing(circuit_breakers={"tool:search": {"failure_threshold": 2, **fallback}})

    @hooks.trace_tool_call
    def search(query):
        raise TimeoutError(query)

    for _ in range(2):
        with pytest.raises(TimeoutError):
            search("a")
    assert search("a") == found
    assert events_of_guards() == [("breaker_opened", "tool search"), ("fallback_used", "tool search")]


@hooks.trace_tool_call
def look_up_again(query):
    """Another tool, which is fine."""
    return [query, "again"]


def look_up_in_thread(query):
    """Answer in place of a tool by another one in another thread."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(look_up_again, query).result(timeout=60)


async def look_up_on_loop(query):
    """Answer nothing: nobody awaits it."""
    return query


def test_a_fallback_may_wait_for_calls_of_other_threads(tracing):
    """No call of the process waits while it runs."""
    target = f"{__name__}:look_up_in_thread"
    tracing(circuit_breakers={"tool:search": {"failure_threshold": 1, "fallback_function": target}})

    @hooks.trace_tool_call
    def search(query):
        raise TimeoutError(query)

    with pytest.raises(TimeoutError):
        search("a")
    assert search("a") == ["a", "again"]


def test_a_coroutine_function_is_no_fallback(tracing, capfd):
    """The call is refused, and a line says why."""
    target = f"{__name__}:look_up_on_loop"
    tracing(circuit_breakers={"tool:search": {"failure_threshold": 1, "fallback_function": target}})

    @hooks.trace_tool_call
    def search(query):
        raise TimeoutError(query)

    with pytest.raises(TimeoutError):
        search("a")
    with pytest.raises(CircuitOpenError):
        search("a")
    shutdown_tracing()
    assert "the fallback of tool search failed: TypeError" in capfd.readouterr().err


def test_a_model_may_have_a_value_or_a_function_as_its_fallback(tracing, model, ask):
    """The program gets it as an answer in the format of its request."""
    target = f"{__name__}:cached"
    tracing(circuit_breakers={"model:bad": {"failure_threshold": 1, "fallback_function": target}})
    ask()
    body = {"model": "bad", "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(f"{model.url}/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "from the cache: bad"


@hooks.trace_tool_call
def slow_search():
    """A tool that is not answered."""
    raise TimeoutError("search")


@pytest.mark.parametrize(
    ("kind", "call", "fails_with", "refused_with", "failures", "seconds"),
    [
        ("tool", slow_search, TimeoutError, CircuitOpenError, 3, 10),
        ("host", lambda: httpx.get(NOBODY), httpx.ConnectError, httpx.ConnectError, 10, 60),
    ],
)
def test_a_tool_and_a_host_have_the_defaults_of_their_kind(
    tracing, kind, call, fails_with, refused_with, failures, seconds
):
    """So many failures open the circuit, and after so many seconds one call is tried; there is no fallback."""
    clock = set_clock(tracing(circuit_breakers={f"{kind}:*": {}}))
    refused = f"is not called: it failed {failures} times in a row"
    for _ in range(failures):
        with pytest.raises(fails_with) as caught:
            call()
        assert "is not called" not in str(caught.value)
    clock[0] = seconds - 0.1
    with pytest.raises(refused_with, match=refused):
        call()
    clock[0] = seconds
    with pytest.raises(fails_with) as caught:
        call()
    assert "is not called" not in str(caught.value)
    with pytest.raises(refused_with, match="is not called"):
        call()
    states = [name for name, _ in events_of_guards()]
    assert states == ["breaker_opened", "breaker_half_open", "breaker_opened"]
