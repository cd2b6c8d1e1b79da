"""An app's calls of its models: one model call for each turn, in the functions through which every provider is called.

There are two of them: `ask` of a provider, for a text, and `run_model` of an adapter, for a turn of a conversation with
tools. Both are recorded as an exchange in the format of OpenAI's chat, so that everything that answers such exchanges
also answers these; the bytes are those of this format and not the provider's. The number of tokens is read from the
provider's own response on its way.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError, URLError

from namel3ss_debug import wire
from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.answers import CallReply, Response, drop_impossible_cut, make_response
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.delivery import Delivery, delivery_turn, wait_forever
from namel3ss_debug.capture.core.tracer import OpenSpan, add_metadata
from namel3ss_debug.capture.namel3ss.calls import RequestedCalls
from namel3ss_debug.capture.namel3ss.messages import error_type, full_message
from namel3ss_debug.capture.namel3ss.patches import Seams, import_language_module
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.values import to_plain
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.contract import Answer

_FORMAT = wire.FORMATS["openai.chat"]
_METHOD = "ASK"
_OK = 200
_LOWEST_ERROR_STATUS = 400
_ERROR_TYPES = {"timeout": "TimeoutError", "connection": "ConnectionError"}
_INTERRUPT = "KeyboardInterrupt"


class ModelFailure(NamedTuple):
    """Why there is no answer: the type of an exception, or the provider's error code, and a text."""

    kind: str
    text: str


class Refusal(NamedTuple):
    """A provider's response in place of an answer, which the language reports in its own words.

    Attributes:
        status: the HTTP status; 0 if there was no response.
        reason: the reason phrase, or why there was no response.
        body: the body of the response.
    """

    status: int
    reason: str
    body: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return the refusal as the metadata of a call."""
        metadata = {"status": self.status, "reason": self.reason}
        if self.body:
            metadata["body"] = {"text": self.body.decode("utf-8", "replace")}
        return {name: value for name, value in metadata.items() if value}

    def explain(self, failure: ModelFailure) -> ModelFailure:
        """Return a failure with what the provider reported."""
        code, text = wire.decode_error(wire.load(self.body)) or ("", "")
        if self.status:
            code = code if code not in ("", "error") else f"HTTP {self.status}"
        reason = text or self.reason
        is_included = not reason or reason in failure.text
        return ModelFailure(
            code or failure.kind, failure.text if is_included else f"{failure.text}: {reason}"
        )


class ModelCallRecorder:
    """Records the model calls of an app.

    Args:
        scope: the running app.
        requested: remembers the tool calls that models request.
    """

    def __init__(self, scope: Scope, requested: RequestedCalls) -> None:
        self._scope = scope
        self._requested = requested
        self._provider_answers: list[Answer] = []
        self._refusal: Refusal | None = None

    def install(self, seams: Seams) -> None:
        """Replace the functions that find providers, and the one with which they send requests."""
        seams.replace_function("runtime.ai.providers.registry", "get_provider", self._wrap_get_provider)
        seams.replace_function(
            "runtime.tool_calls.provider_iface", "get_provider_adapter", self._wrap_get_provider_adapter
        )
        seams.replace_method("runtime.executor.core", "Executor", "__init__", self._wrap_executor_init)
        seams.replace_function("runtime.ai.http.client", "urlopen", self._wrap_urlopen)

    # --- the replaced functions

    def _wrap_get_provider(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def get_provider(name: str, *args: Any, **kwargs: Any) -> Any:
            return _Provider(self, name, original(name, *args, **kwargs))

        return get_provider

    def _wrap_executor_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Replace the providers that an executor has from the start, such as `mock`."""

        def __init__(executor: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
            original(executor, *args, **kwargs)
            cache = executor.ctx.provider_cache
            for name, provider in list(cache.items()):
                if not isinstance(provider, _Provider):
                    cache[name] = _Provider(self, name, provider)
            default = cache.get("mock")
            if default is not None:
                executor.ctx.ai_provider = executor.ai_provider = default

        return __init__

    def _wrap_get_provider_adapter(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def get_provider_adapter(name: str, provider: Any, **kwargs: Any) -> Any:
            inner = provider.inner if isinstance(provider, _Provider) else provider
            adapter = original(name, inner, **kwargs)
            return None if adapter is None else _Adapter(self, name, adapter, kwargs.get("model"))

        return get_provider_adapter

    def _wrap_urlopen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def urlopen(request: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return _RecordedResponse(self, request, original(request, *args, **kwargs))
            except HTTPError as error:
                self._record_refusal(error)
                raise
            except URLError as error:
                self._refusal = Refusal(0, f"{error.reason}")
                raise

        return urlopen

    def _record_refusal(self, error: HTTPError) -> None:
        """Record the refusal of a request, with the part of the body that the language reads."""
        self._refusal = Refusal(error.code, f"{error.reason}")
        read = error.read

        def recording_read(*size: Any) -> bytes:
            data = read(*size)
            self._refusal = Refusal(error.code, f"{error.reason}", data)
            return data

        error.read = recording_read  # type: ignore[method-assign,assignment]

    def record_response(self, request: Any, body: bytes) -> None:
        """Decode the body that a provider has sent, as part of the running call."""
        with contextlib.suppress(Exception):
            format_match = wire.recognise(request.full_url, wire.load(request.data))
            if format_match is not None:
                self._provider_answers.append(format_match.codec.decode_response(wire.load(body)))

    # --- one call

    def exchange(
        self, provider: str, request: dict[str, Any], make: Callable[[], Answer | ModelFailure]
    ) -> Answer | ModelFailure:
        """Return the answer to one turn of a model, from the provider or from a trace.

        Args:
            provider: the provider's name.
            request: the request, in the format of OpenAI's chat.
            make: calls the provider. What it raises reaches the app.
        """
        span = None
        with self._scope.guard("a model call could not be recorded"):
            span = self._open(provider, request)
        if span is None:
            return make()
        answers = self._scope.tracer.answers
        recorded = None if answers is None else answers.take(span.event_id)
        if recorded is not None:
            recorded = drop_impossible_cut(recorded, self._scope.tracer.problem)
        answer: Answer | ModelFailure | None = None
        self._refusal = None
        try:
            response = (
                None
                if recorded is None
                else make_response(recorded, _FORMAT, request, method=_METHOD, event_id=span.event_id)
            )
            if recorded is not None and response is not None:
                answer = self._deliver_recorded(recorded, response, span)
            else:
                answer = self._call_provider(recorded, span, make)
            return answer
        except BaseException as error:
            answer = ModelFailure(error_type(error), full_message(error))
            raise
        finally:
            with self._scope.guard("the end of a model call could not be recorded"):
                self._record_answer(span, request, answer, {} if recorded is None else recorded.to_metadata())
            self._scope.close(span)

    def _open(self, provider: str, request: dict[str, Any]) -> OpenSpan:
        """Open the span of a call, with its request in the format of OpenAI's chat."""
        scope = self._scope
        scope.begin_turn()
        url = f"namel3ss:{provider}"
        metadata: dict[str, Any] = {
            "chain": scope.chain(),
            "provider": provider,
            "operation": _FORMAT.operation,
            "format": _FORMAT.name,
            "exchange": {"method": _METHOD, "url": url, "hash": wire.canonical_hash(_METHOD, url, request)},
        }
        metadata |= task_paths.call_metadata()
        decoded = _FORMAT.codec.decode_request(request)
        return scope.open("llm", decoded.get("model"), scope.location, decoded, metadata)

    def _call_provider(
        self, recorded: CallReply | None, span: OpenSpan, make: Callable[[], Answer | ModelFailure]
    ) -> Answer | ModelFailure:
        """Call the provider. Its HTTP request is part of the call, and not recorded a second time."""
        network = self._scope.tracer.network
        if recorded is not None and recorded.runs and network is not None:
            network.open_for(span)
        if recorded is not None and recorded.effect is not None:
            Delivery(None, (recorded.effect.delay_ms / 1000,)).wait("head")
        self._provider_answers.clear()
        token = INSIDE.set(True)
        try:
            answer = make()
        finally:
            INSIDE.reset(token)
        return (
            answer
            if isinstance(answer, ModelFailure) or not self._provider_answers
            else _merge_answers(answer, self._provider_answers[-1])
        )

    def _deliver_recorded(
        self, recorded: CallReply, response: Response, span: OpenSpan
    ) -> Answer | ModelFailure:
        """Return the recorded answer when it is its turn."""
        answers = self._scope.tracer.answers
        assert answers is not None
        turn = delivery_turn(recorded, answers.may_end, span.event_id)
        delivery = Delivery(turn, response.delays, len(response.pieces))
        if response.status:
            delivery.wait("head")
            for index in range(len(response.pieces)):
                delivery.wait("piece", index)
        if response.hangs:
            wait_forever()
        delivery.wait("end")
        body = b"".join(response.pieces)
        if response.raised is not None:
            if response.raised.type == _INTERRUPT:
                raise KeyboardInterrupt
            if response.status or response.reason:
                self._refusal = Refusal(response.status, response.reason, body)
            return ModelFailure(
                _ERROR_TYPES.get(response.raised.type, response.raised.type), response.raised.text
            )
        if response.status >= _LOWEST_ERROR_STATUS:
            code, text = wire.decode_error(wire.load(body)) or ("", "")
            status = f"HTTP {response.status}"
            return ModelFailure(code or status, text or status)
        return _FORMAT.codec.decode_response(wire.load(body))

    def _record_answer(
        self,
        span: OpenSpan,
        request: dict[str, Any],
        answer: Answer | ModelFailure | None,
        marks: Mapping[str, Any],
    ) -> None:
        """Write the answer into the span, and the body that it has in the format of OpenAI's chat."""
        exchange: dict[str, Any] = {}
        if isinstance(answer, Answer):
            span.set_output(answer.to_outputs())
            span.set(**answer.to_usage_fields())
            text = _format_body(answer, request)
            exchange = {
                "status": _OK,
                "headers": {"content-type": "application/json"},
                "body": {"text": text},
            }
            self._requested.remember(answer.tool_calls, span.event_id)
        elif answer is not None:
            exchange = {"raised": {"type": answer.kind, "text": answer.text}}
            if self._refusal is not None:
                exchange |= self._refusal.to_json()
                explained = self._refusal.explain(answer)
                self._scope.explained = (answer.text, explained.text)
                answer = explained
            status = "cancelled" if answer.kind == _INTERRUPT else "failed"
            span.set(status=status, error_type=answer.kind, error=answer.text)
        add_metadata(span, {"exchange": exchange, **marks})


def _merge_answers(answer: Answer, provider_answer: Answer) -> Answer:
    """Return what the language took from an answer, with what else the provider sent: tokens, model, further calls."""
    calls = answer.tool_calls
    if calls and [call.get("id") for call in provider_answer.tool_calls[:1]] == [calls[0].get("id")]:
        calls = provider_answer.tool_calls
    return Answer(
        text=answer.text,
        tool_calls=calls,
        finish_reason=provider_answer.finish_reason,
        response_model=provider_answer.response_model,
        usage=provider_answer.usage,
        response_id=provider_answer.response_id,
        billing=provider_answer.billing,
        cost=provider_answer.cost,
    )


def _format_body(answer: Answer, request: dict[str, Any]) -> str:
    """Return an answer as the body of a response, without fields that the provider did not send."""
    body = _FORMAT.codec.encode_response(answer, request, response_id=answer.response_id or "", created=0)
    if not answer.usage:
        body.pop("usage", None)
    if answer.response_model is None:
        body.pop("model", None)
    if answer.finish_reason is None:
        for choice in lenient.mappings(body.get("choices")):
            choice["finish_reason"] = None
    return lenient.dump(body).decode("utf-8", "replace")


class _Provider:
    """A provider whose `ask` is recorded. Everything else is delegated."""

    def __init__(self, models: ModelCallRecorder, name: str, inner: Any) -> None:
        self.inner = inner
        self._models = models
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def ask(self, **options: Any) -> Any:
        """Ask for a text."""
        request: dict[str, Any] = {"model": options.get("model"), "messages": _messages(options)}
        if memory := {
            name: to_plain(items) for name, items in (options.get("memory") or {}).items() if items
        }:
            request["memory"] = memory
        responses: list[Any] = []

        def make() -> Answer | ModelFailure:
            response = self.inner.ask(**options)
            responses.append(response)
            name = getattr(response, "tool_name", None)
            if name is not None:
                return Answer(tool_calls=[{"id": None, "name": name, "arguments": response.args}])
            return Answer(text=str(getattr(response, "output", response)))

        answer = self._models.exchange(self._name, request, make)
        if responses:
            return responses[0]
        if isinstance(answer, ModelFailure):
            raise import_language_module("errors.base").Namel3ssError(answer.text)
        return _make_response(answer)


class _Adapter:
    """An adapter whose turns are recorded. Everything else is delegated."""

    def __init__(self, models: ModelCallRecorder, name: str, inner: Any, model: Any) -> None:
        self.inner = inner
        self._models = models
        self._name = name
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def run_model(self, messages: list[dict[str, Any]], tools: list[Any], policy: Any) -> Any:
        """Run one turn of a conversation."""
        request = {"model": self._model, "messages": [dict(message) for message in messages]}
        request["tools"] = [_tool_to_json(tool) for tool in tools]
        turns: list[Any] = []

        def make() -> Answer | ModelFailure:
            turns.append(self.inner.run_model(messages, tools, policy))
            return _parse_turn(turns[0])

        answer = self._models.exchange(self._name, request, make)
        return turns[0] if turns else _make_turn(answer)


class _RecordedResponse:
    """A response of a provider, which is recorded as the language reads it."""

    def __init__(self, models: ModelCallRecorder, request: Any, inner: Any) -> None:
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
        """Read and record the body."""
        data: bytes = self._inner.read(*size)
        self._models.record_response(self._request, data)
        return data


def _messages(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    system = options.get("system_prompt")
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": options.get("user_input")}]


def _tool_to_json(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {
        "type": "function",
        "function": {name: value for name, value in function.items() if value is not None},
    }


def _parse_turn(turn: Any) -> Answer | ModelFailure:
    """Return a turn of the adapter as an answer or a failure."""
    if hasattr(turn, "tool_call_id"):
        arguments = lenient.load_arguments(turn.arguments_json_text)
        call = {"id": turn.tool_call_id, "name": turn.tool_name, "arguments": arguments}
        return Answer(tool_calls=[call])
    if hasattr(turn, "error_message"):
        return ModelFailure(str(turn.error_type), str(turn.error_message))
    return Answer(text=str(turn.text))


def _make_turn(answer: Answer | ModelFailure) -> Any:
    """Return an answer or a failure as a turn in the language's own types."""
    types = import_language_module("runtime.tool_calls.provider_iface")
    if isinstance(answer, ModelFailure):
        return types.AssistantError(error_type=answer.kind, error_message=answer.text)
    if not answer.tool_calls:
        return types.AssistantText(text=answer.text or "")
    call = answer.tool_calls[0]
    arguments = call.get("arguments")
    return types.AssistantToolCall(
        tool_call_id=str(call.get("id") or "call"),
        tool_name=str(call.get("name")),
        arguments_json_text=arguments if isinstance(arguments, str) else json.dumps(arguments),
    )


def _make_response(answer: Answer) -> Any:
    types = import_language_module("runtime.ai.provider")
    if answer.tool_calls:
        call = answer.tool_calls[0]
        return types.AIToolCallResponse(tool_name=call.get("name"), args=call.get("arguments"))
    return types.AIResponse(output=answer.text or "")
