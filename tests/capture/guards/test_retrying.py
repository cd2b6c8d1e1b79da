"""A failed call is made again after growing pauses, and each further attempt is an event."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from namel3ss_debug import retry, shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

httpx = pytest.importorskip("httpx")


@pytest.fixture
def pauses(monkeypatch):
    """The pauses, none of which is waited for."""
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def failing(times):
    """Return a function that fails so often, and the list of its calls."""
    calls = []

    def ask(question):
        calls.append(question)
        if len(calls) <= times:
            raise ConnectionError("down")
        return question.upper()

    return ask, calls


def test_a_call_is_made_again_until_it_succeeds(tracing, pauses):
    """The pauses grow up to the longest one, and the trace has an event for each."""
    tracing()
    ask, calls = failing(3)
    assert retry(4, delay=1, factor=3, longest=5, jitter=0)(ask)("a") == "A"
    assert (len(calls), pauses) == (4, [1, 3, 5])
    events = [each for each in open_trace(shutdown_tracing()).events() if each["event_type"] == "retried"]
    assert [(each["component"], each["metadata"]["attempt"]) for each in events] == [
        ("guard", 2), ("guard", 3), ("guard", 4)
    ]  # fmt: skip
    assert events[0]["metadata"]["reason"] == "ConnectionError: down"


def test_the_last_failure_reaches_the_caller(pauses):
    """So does an exception after which it is not to be called again."""
    ask, calls = failing(9)
    with pytest.raises(ConnectionError):
        retry(3)(ask)("a")
    with pytest.raises(ConnectionError):
        retry(3, on=TimeoutError)(ask)("b")
    assert calls == ["a", "a", "a", "b"]
    assert len(pauses) == 2


def test_a_part_of_each_pause_is_random(pauses):
    """Between half of it and all of it."""
    ask, _ = failing(50)
    retry(51, delay=1, factor=1, jitter=0.5)(ask)("a")
    assert all(0.5 <= pause <= 1 for pause in pauses)
    assert len(set(pauses)) > 40


def test_a_coroutine_function_waits_on_its_loop():
    """Other tasks go on meanwhile."""
    ask, calls = failing(1)

    @retry(2, delay=0)
    async def run(question):
        return ask(question)

    assert asyncio.run(run("a")) == "A"
    assert calls == ["a", "a"]


def test_generators_are_refused():
    """A generator fails while it is read."""
    with pytest.raises(TypeError, match="stream is a generator"):

        @retry()
        def stream():
            yield


# --- the setting


BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
NO_PAUSE = {"delay": 0}


@pytest.fixture
def failing_model(scripted_model_module):
    """Starts a model that fails so often by a status, before it answers."""
    running = []

    def start(times, status=503, **headers):
        def answer(_request):
            failed = len(model.requests) <= times
            return (
                scripted_model_module.fail(status, "not now", **headers)
                if failed
                else scripted_model_module.say("ok")
            )

        model = scripted_model_module.ScriptedModel(answer)
        running.append(model)
        return model.__enter__()

    yield start
    for model in running:
        model.__exit__()


def post(model):
    """Ask the model with httpx; return the status."""
    return httpx.post(f"{model.url}/v1/chat/completions", json=BODY).status_code


async def post_async(model):
    """Ask it with the asynchronous client."""
    async with httpx.AsyncClient() as client:
        return (await client.post(f"{model.url}/v1/chat/completions", json=BODY)).status_code


def read_events(kind):
    """End the trace, and return its events of a type."""
    return [each for each in open_trace(shutdown_tracing()).events() if each["event_type"] == kind]


@pytest.mark.parametrize("ask", [post, lambda model: asyncio.run(post_async(model))])
def test_a_request_is_made_again_by_the_setting(tracing, failing_model, ask):
    """The program gets the answer alone; the trace has each attempt as a call, and why there was a further one."""
    model = failing_model(2)
    tracing(retries={"model:*": NO_PAUSE})
    assert ask(model) == 200
    trace = open_trace(shutdown_tracing())
    ends = [each for each in trace.events() if each["event_type"] == "llm_call_end"]
    assert [each["status"] for each in ends] == ["failed", "failed", "completed"]
    assert [each.get("error") for each in ends] == ["not now", "not now", None]
    starts = [each for each in trace.events() if each["event_type"] == "llm_call_start"]
    assert [each["metadata"].get("retry_of") for each in starts] == [None, *2 * [starts[0]["event_id"]]]
    retried = [each for each in trace.events() if each["event_type"] == "retried"]
    assert [(each["component_name"], each["metadata"]["attempt"]) for each in retried] == [
        ("model m", 2),
        ("model m", 3),
    ]
    assert retried[0]["metadata"]["reason"] == "HTTP 503"


@pytest.mark.parametrize(
    ("rows", "status", "made"),
    [
        ({"model:*": NO_PAUSE | {"attempts": 2}}, 503, 2),
        ({"model:other": NO_PAUSE}, 503, 1),
        ({"host:127.0.0.1:*": NO_PAUSE | {"attempts": 4}}, 429, 4),
        ({"model:m": {"attempts": 1}, "model:*": NO_PAUSE}, 503, 1),
        ({"model:*": NO_PAUSE}, 400, 1),
        ({"model:*": NO_PAUSE}, 401, 1),
    ],
)
def test_the_first_row_that_fits_says_how_often(tracing, failing_model, rows, status, made):
    """A request that is wrong in itself is made once, and the last response reaches the program whole."""
    model = failing_model(99, status)
    tracing(retries=rows)
    response = httpx.post(f"{model.url}/v1/chat/completions", json=BODY)
    assert (response.status_code, len(model.requests)) == (status, made)
    assert response.json()["error"]["message"] == "not now"


@pytest.mark.parametrize("ask", [post, lambda model: asyncio.run(post_async(model))])
def test_a_connection_that_fails_is_tried_again(tracing, ask, failing_model):
    """The exception of the last attempt reaches the program."""
    model = failing_model(0)
    model.server.server_close()
    tracing(retries={"model:*": NO_PAUSE})
    with pytest.raises(httpx.ConnectError):
        ask(model)
    assert len(read_events("llm_call_start")) == 3


def test_the_pause_is_as_long_as_the_server_asks(tracing, failing_model, pauses):
    """Up to the longest pause of the setting; without the header the pauses double."""
    tracing(retries={"model:*": {"attempts": 2, "delay": 1, "longest": 7}})
    for header in ({"retry_after": "5"}, {"retry_after": "90"}, {"retry_after": "Fri, 27 Nov 2026"}, {}):
        post(failing_model(1, 429, **header))
    assert pauses[:2] == [5, 7]
    assert all(0.5 <= pause <= 1 for pause in pauses[2:])


def test_what_an_open_circuit_refuses_is_not_tried_again(tracing, failing_model):
    """The failures of all attempts count for the circuit."""
    model = failing_model(99)
    tracing(
        retries={"model:*": NO_PAUSE | {"attempts": 5}},
        circuit_breakers={"model:*": {"failure_threshold": 3}},
    )
    with pytest.raises(httpx.ConnectError, match="m is not called"):
        post(model)
    assert len(model.requests) == 3
    assert len(read_events("retried")) == 3


def test_a_streamed_body_is_sent_once(tracing, failing_model):
    """The program may not be able to produce it again."""
    model = failing_model(9)
    tracing(retries={"model:*": NO_PAUSE, "host:*": NO_PAUSE})
    content = iter([json.dumps(BODY).encode()])
    headers = {"content-length": str(len(json.dumps(BODY)))}
    response = httpx.post(f"{model.url}/v1/chat/completions", content=content, headers=headers)
    assert (response.status_code, len(model.requests)) == (503, 1)
