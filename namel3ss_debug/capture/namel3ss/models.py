"""What an app asks of its models: one model call for each turn, at the doors through which every provider is asked.

There are two of them: `ask` of a provider, for a text, and `run_model` of an adapter, for a turn of a conversation with
tools. Both are recorded as an exchange in the form of OpenAI's chat, so that all that answers such exchanges answers
these as well; the bytes are those of this form and not of the provider's. How many tokens a call took stands in the
provider's own response, which is looked at on its way.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError, URLError

from namel3ss_debug import wire
from namel3ss_debug.capture.answers import Given, Response, response_of, uncut
from namel3ss_debug.capture.delivery import Delivery, in_turn, never
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.exchanges import INSIDE
from namel3ss_debug.capture.namel3ss.calls import Asked
from namel3ss_debug.capture.namel3ss.messages import kind, message
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.seams import Seams, language
from namel3ss_debug.capture.namel3ss.values import plain
from namel3ss_debug.capture.results import add_metadata
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.wire import Answer, lenient

_FORM = wire.FORMATS["openai.chat"]
_METHOD = "ASK"
_OK = 200
_LEAST_FAILURE = 400
_NATURES = {"timeout": "TimeoutError", "connection": "ConnectionError"}
_INTERRUPT = "KeyboardInterrupt"


class Failure(NamedTuple):
    """Why there is no answer: an exception's type, or the provider's own word, and a text."""

    kind: str
    text: str


class Refusal(NamedTuple):
    """What came over the network in place of an answer, of which the language tells in words of its own.

    Attributes:
        status: the HTTP status; 0 where no response came.
        reason: the words behind it, or why none came.
        body: that of the response.
    """

    status: int
    reason: str
    body: bytes = b""

    def exchange(self) -> dict[str, Any]:
        """It as the metadata of a call tells it."""
        told = {"status": self.status, "reason": self.reason}
        if self.body:
            told["body"] = {"text": self.body.decode("utf-8", "replace")}
        return {name: value for name, value in told.items() if value}

    def explain(self, failure: Failure) -> Failure:
        """A failure with what the provider said of it."""
        word, text = wire.decode_error(wire.load(self.body)) or ("", "")
        if self.status:
            word = word if word not in ("", "error") else f"HTTP {self.status}"
        why = text or self.reason
        known = not why or why in failure.text
        return Failure(word or failure.kind, failure.text if known else f"{failure.text}: {why}")


class Models:
    """Records what models are asked.

    Args:
        scope: where the app is.
        asked: told the calls of tools that models ask for.
    """

    def __init__(self, scope: Scope, asked: Asked) -> None:
        self._scope = scope
        self._asked = asked
        self._heard: list[Answer] = []
        self._refusal: Refusal | None = None

    def install(self, seams: Seams) -> None:
        """Replace what finds providers, and the one way in which they send requests."""
        seams.function("runtime.ai.providers.registry", "get_provider", self._finding)
        seams.function("runtime.tool_calls.provider_iface", "get_provider_adapter", self._adapting)
        seams.method("runtime.executor.core", "Executor", "__init__", self._beginning)
        seams.function("runtime.ai.http.client", "urlopen", self._listening)

    # --- the doors

    def _finding(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def get_provider(name: str, *args: Any, **kwargs: Any) -> Any:
            return _Provider(self, name, original(name, *args, **kwargs))

        return get_provider

    def _beginning(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Providers that are there from the beginning, such as `mock`."""

        def __init__(executor: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it stands in the place of one)
            original(executor, *args, **kwargs)
            cache = executor.ctx.provider_cache
            for name, provider in list(cache.items()):
                if not isinstance(provider, _Provider):
                    cache[name] = _Provider(self, name, provider)
            default = cache.get("mock")
            if default is not None:
                executor.ctx.ai_provider = executor.ai_provider = default

        return __init__

    def _adapting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def get_provider_adapter(name: str, provider: Any, **kwargs: Any) -> Any:
            inner = provider.inner if isinstance(provider, _Provider) else provider
            adapter = original(name, inner, **kwargs)
            return None if adapter is None else _Adapter(self, name, adapter, kwargs.get("model"))

        return get_provider_adapter

    def _listening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def urlopen(request: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return _Watched(self, request, original(request, *args, **kwargs))
            except HTTPError as error:
                self._refused(error)
                raise
            except URLError as error:
                self._refusal = Refusal(0, f"{error.reason}")
                raise

        return urlopen

    def _refused(self, error: HTTPError) -> None:
        """A provider refuses a request: what the language reads of its response is heard."""
        self._refusal = Refusal(error.code, f"{error.reason}")
        read = error.read

        def reading(*size: Any) -> bytes:
            data = read(*size)
            self._refusal = Refusal(error.code, f"{error.reason}", data)
            return data

        error.read = reading  # type: ignore[method-assign,assignment]

    def heard(self, request: Any, body: bytes) -> None:
        """A provider has sent this body: what it says beside its text is part of the running call."""
        with contextlib.suppress(Exception):
            spoken = wire.recognise(request.full_url, wire.load(request.data))
            if spoken is not None:
                self._heard.append(spoken.codec.decode_response(wire.load(body)))

    # --- one call

    def exchange(
        self, provider: str, request: dict[str, Any], make: Callable[[], Answer | Failure]
    ) -> Answer | Failure:
        """One turn of a model: asked, or answered in place of that.

        Args:
            provider: the provider's name.
            request: what is asked, in the form of OpenAI's chat.
            make: asks for real. What it raises goes on to the app.
        """
        span = None
        with self._scope.quiet("a model call could not be recorded"):
            span = self._open(provider, request)
        if span is None:
            return make()
        answers = self._scope.tracer.answers
        given = None if answers is None else answers.take(span.event_id)
        if given is not None:
            given = uncut(given, self._scope.tracer.problem)
        said: Answer | Failure | None = None
        self._refusal = None
        try:
            response = None if given is None else _in_place(given, request, span)
            if given is not None and response is not None:
                said = self._delivered(given, response, span)
            else:
                said = self._made(given, span, make)
            return said
        except BaseException as error:
            said = Failure(kind(error), message(error))
            raise
        finally:
            with self._scope.quiet("the end of a model call could not be recorded"):
                self._tell(span, request, said, {} if given is None else given.marks())
            self._scope.close(span)

    def _open(self, provider: str, request: dict[str, Any]) -> Span:
        """The span of a call, with its request in the form of OpenAI's chat."""
        scope = self._scope
        url = f"namel3ss:{provider}"
        metadata: dict[str, Any] = {
            "chain": scope.chain(),
            "provider": provider,
            "operation": _FORM.operation,
            "format": _FORM.name,
            "exchange": {"method": _METHOD, "url": url, "hash": wire.canonical_hash(_METHOD, url, request)},
        }
        metadata |= lineage.told()
        decoded = _FORM.codec.decode_request(request)
        return scope.open("llm", decoded.get("model"), scope.place, decoded, metadata)

    def _made(
        self, given: Given | None, span: Span, make: Callable[[], Answer | Failure]
    ) -> Answer | Failure:
        """Ask for real; what carries the request is part of the call, and not recorded beside it."""
        network = self._scope.tracer.network
        if given is not None and given.runs and network is not None:
            network.open_for(span)
        if given is not None and given.effect is not None:
            Delivery(None, (given.effect.delay_ms / 1000,)).wait("head")
        self._heard.clear()
        token = INSIDE.set(True)
        try:
            said = make()
        finally:
            INSIDE.reset(token)
        return said if isinstance(said, Failure) or not self._heard else _joined(said, self._heard[-1])

    def _delivered(self, given: Given, response: Response, span: Span) -> Answer | Failure:
        """What a recorded or given response makes of the call, once it is its turn."""
        answers = self._scope.tracer.answers
        assert answers is not None
        turn = in_turn(given, answers.may, span.event_id)
        delivery = Delivery(turn, response.delays, len(response.pieces))
        if response.status:
            delivery.wait("head")
            for index in range(len(response.pieces)):
                delivery.wait("piece", index)
        if response.given_up:
            never()
        delivery.wait("end")
        body = b"".join(response.pieces)
        if response.raised is not None:
            if response.raised.type == _INTERRUPT:
                raise KeyboardInterrupt
            if response.status or response.reason:
                self._refusal = Refusal(response.status, response.reason, body)
            return Failure(_NATURES.get(response.raised.type, response.raised.type), response.raised.text)
        if response.status >= _LEAST_FAILURE:
            word, text = wire.decode_error(wire.load(body)) or ("", "")
            status = f"HTTP {response.status}"
            return Failure(word or status, text or status)
        return _FORM.codec.decode_response(wire.load(body))

    def _tell(
        self, span: Span, request: dict[str, Any], said: Answer | Failure | None, marks: Mapping[str, Any]
    ) -> None:
        """Write into the span what was said, and the body that would have said so in the form of OpenAI's chat."""
        exchange: dict[str, Any] = {}
        if isinstance(said, Answer):
            span.set_output(said.to_outputs())
            span.set(**said.to_usage_fields())
            text = _written(said, request)
            exchange = {
                "status": _OK,
                "headers": {"content-type": "application/json"},
                "body": {"text": text},
            }
            self._asked.asked(said.tool_calls, span.event_id)
        elif said is not None:
            exchange = {"raised": {"type": said.kind, "text": said.text}}
            if self._refusal is not None:
                exchange |= self._refusal.exchange()
                explained = self._refusal.explain(said)
                self._scope.explained = (said.text, explained.text)
                said = explained
            status = "cancelled" if said.kind == _INTERRUPT else "failed"
            span.set(status=status, error_type=said.kind, error=said.text)
        add_metadata(span, {"exchange": exchange, **marks})


def _in_place(given: Given, request: dict[str, Any], span: Span) -> Response | None:
    return response_of(given, _FORM, request, method=_METHOD, event_id=span.event_id)


def _joined(said: Answer, heard: Answer) -> Answer:
    """What the language took of an answer, with what else the provider said: tokens, model, why it ended, further calls."""
    calls = said.tool_calls
    if calls and [call.get("id") for call in heard.tool_calls[:1]] == [calls[0].get("id")]:
        calls = heard.tool_calls
    return Answer(
        text=said.text,
        tool_calls=calls,
        finish_reason=heard.finish_reason,
        response_model=heard.response_model,
        usage=heard.usage,
        response_id=heard.response_id,
        billing=heard.billing,
        cost=heard.cost,
    )


def _written(said: Answer, request: dict[str, Any]) -> str:
    """An answer as the body of a response; what the provider did not say is not said."""
    body = _FORM.codec.encode_response(said, request, response_id=said.response_id or "", created=0)
    if not said.usage:
        body.pop("usage", None)
    if said.response_model is None:
        body.pop("model", None)
    if said.finish_reason is None:
        for choice in lenient.mappings(body.get("choices")):
            choice["finish_reason"] = None
    return lenient.dump(body).decode("utf-8", "replace")


class _Provider:
    """A provider whose `ask` is recorded; all else is its own."""

    def __init__(self, models: Models, name: str, inner: Any) -> None:
        self.inner = inner
        self._models = models
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def ask(self, **asked: Any) -> Any:
        """Ask for a text."""
        request: dict[str, Any] = {"model": asked.get("model"), "messages": _messages(asked)}
        if memory := {name: plain(found) for name, found in (asked.get("memory") or {}).items() if found}:
            request["memory"] = memory
        kept: list[Any] = []

        def make() -> Answer | Failure:
            response = self.inner.ask(**asked)
            kept.append(response)
            name = getattr(response, "tool_name", None)
            if name is not None:
                return Answer(tool_calls=[{"id": None, "name": name, "arguments": response.args}])
            return Answer(text=str(getattr(response, "output", response)))

        said = self._models.exchange(self._name, request, make)
        if kept:
            return kept[0]
        if isinstance(said, Failure):
            raise _error(said)
        return _response(said)


class _Adapter:
    """An adapter whose turns are recorded; all else is its own."""

    def __init__(self, models: Models, name: str, inner: Any, model: Any) -> None:
        self.inner = inner
        self._models = models
        self._name = name
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def run_model(self, messages: list[dict[str, Any]], tools: list[Any], policy: Any) -> Any:
        """One turn of a conversation."""
        request = {"model": self._model, "messages": [dict(message) for message in messages]}
        request["tools"] = [_declared(tool) for tool in tools]
        kept: list[Any] = []

        def make() -> Answer | Failure:
            kept.append(self.inner.run_model(messages, tools, policy))
            return _said(kept[0])

        said = self._models.exchange(self._name, request, make)
        return kept[0] if kept else _turn(said)


class _Watched:
    """A response of a provider; what is read of it is heard."""

    def __init__(self, models: Models, request: Any, inner: Any) -> None:
        self._models, self._request, self._inner = models, request, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._inner.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._inner)

    def read(self, *size: Any) -> bytes:
        """The body."""
        data: bytes = self._inner.read(*size)
        self._models.heard(self._request, data)
        return data


def _messages(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    system = asked.get("system_prompt")
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": asked.get("user_input")}]


def _declared(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {
        "type": "function",
        "function": {name: value for name, value in function.items() if value is not None},
    }


def _said(turn: Any) -> Answer | Failure:
    """A turn as the adapter gave it."""
    if hasattr(turn, "tool_call_id"):
        arguments = lenient.load_arguments(turn.arguments_json_text)
        call = {"id": turn.tool_call_id, "name": turn.tool_name, "arguments": arguments}
        return Answer(tool_calls=[call])
    if hasattr(turn, "error_message"):
        return Failure(str(turn.error_type), str(turn.error_message))
    return Answer(text=str(turn.text))


def _turn(said: Answer | Failure) -> Any:
    """A turn in the language's own types."""
    types = language("runtime.tool_calls.provider_iface")
    if isinstance(said, Failure):
        return types.AssistantError(error_type=said.kind, error_message=said.text)
    if not said.tool_calls:
        return types.AssistantText(text=said.text or "")
    call = said.tool_calls[0]
    arguments = call.get("arguments")
    return types.AssistantToolCall(
        tool_call_id=str(call.get("id") or "call"),
        tool_name=str(call.get("name")),
        arguments_json_text=arguments if isinstance(arguments, str) else json.dumps(arguments),
    )


def _response(said: Answer) -> Any:
    types = language("runtime.ai.provider")
    if said.tool_calls:
        call = said.tool_calls[0]
        return types.AIToolCallResponse(tool_name=call.get("name"), args=call.get("arguments"))
    return types.AIResponse(output=said.text or "")


def _error(failure: Failure) -> Exception:
    error: Exception = language("errors.base").Namel3ssError(failure.text)
    return error
