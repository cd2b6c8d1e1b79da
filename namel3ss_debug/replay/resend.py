"""Send one recorded model call again, as it was or edited, without the program.

The request is written anew from the trace, and read back to make sure that nothing of it is missing. The API key comes
from the user's environment and goes only to the provider that it belongs to: an address from a trace gets no key.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from namel3ss_debug import prices
from namel3ss_debug.errors import RerunError, TrustError, WrongUsageError, short
from namel3ss_debug.traces.costs import call_cost, seller_of, span_cost
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.span_table import read_spans
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.contract import Answer, Format
from namel3ss_debug.wire.formats import FORMATS
from namel3ss_debug.wire.requests import LOOPBACK
from namel3ss_debug.wire.value_changes import diff_values
from namel3ss_debug.wire.values import find_flaws

SCHEMA: Final = "namel3ss-debug/resend/1"
_TIMEOUT: Final = 600.0
_LARGEST: Final = 1 << 26
_LONGEST_ERROR: Final = 400


class Provider(NamedTuple):
    """A provider whose API is known.

    Attributes:
        hosts: endings of its host names.
        variable: the environment variable with the key.
        header: the header that carries the key, with `{}` for it.
        base: the environment variable in which its SDK looks for another address; "" for none.
        formats: the beginning of the names of the formats that this address serves.
    """

    hosts: tuple[str, ...]
    variable: str
    header: tuple[str, str] = ("authorization", "Bearer {}")
    base: str = ""
    formats: str = "openai."


PROVIDERS: Final = (
    Provider(("api.openai.com",), "OPENAI_API_KEY", base="OPENAI_BASE_URL"),
    Provider(
        ("api.anthropic.com",), "ANTHROPIC_API_KEY", ("x-api-key", "{}"), "ANTHROPIC_BASE_URL", "anthropic."
    ),
    Provider(
        (".openai.azure.com", ".cognitiveservices.azure.com"), "AZURE_OPENAI_API_KEY", ("api-key", "{}")
    ),
    Provider(("openrouter.ai",), "OPENROUTER_API_KEY"),
    Provider(("api.groq.com",), "GROQ_API_KEY"),
    Provider(("api.mistral.ai",), "MISTRAL_API_KEY"),
    Provider(("api.deepseek.com",), "DEEPSEEK_API_KEY"),
    Provider(("api.x.ai",), "XAI_API_KEY"),
    Provider(("api.together.xyz",), "TOGETHER_API_KEY"),
)
"""The first one whose host or base fits counts."""


@dataclass(frozen=True)
class ResendRequest:
    """A request to a model that can be sent.

    Attributes:
        number: the event of the recorded call.
        start: its start event.
        end: its end event; {} if it never ended.
        format: the wire format.
        inputs: `model`, `messages`, `tools` and `params`.
        url: where it goes.
        provider: the provider that gets the key; None for a server that gets none.
        notes: what the user should know about the request, a sentence each.
    """

    number: int
    start: Event
    end: Event
    format: Format
    inputs: dict[str, Any]
    url: str
    provider: Provider | None
    notes: tuple[str, ...] = ()

    def estimate_cost(self) -> float | None:
        """Return what one call costs by the tokens of the recorded one, in US dollars; None if it is not known."""
        if self.inputs["model"] == lenient.mapping(self.start.get("inputs")).get("model"):
            cost = span_cost(self.start, self.end)
            return None if cost is None else cost.dollars
        provider = lenient.string(lenient.mapping(self.start.get("metadata")).get("provider"))
        price = prices.find_price(provider, self.inputs["model"], time.time(), address=self.url)
        amount = None if price is None else price.cost(self.end.get("usage"))
        return None if amount is None else amount / prices.PICODOLLARS

    def to_body(self) -> dict[str, Any]:
        """Return the body to send; the answer comes whole, even if the program had it streamed."""
        assert self.format.encode_request is not None
        body = self.format.encode_request(deepcopy(self.inputs))
        if body.get("stream"):
            body.pop("stream_options", None)
            body["stream"] = False
        return body


class ResendAnswer(NamedTuple):
    """One answer to a request.

    Attributes:
        outputs: the outputs, as those of a recorded call.
        usage: the tokens by name.
        cost: in US dollars; None if it is not known.
        duration_ms: how long it took.
    """

    outputs: dict[str, Any]
    usage: dict[str, int]
    cost: float | None
    duration_ms: float


def read_request(
    trace: Trace, number: int, environ: Mapping[str, str], *, is_own: bool, key: str = ""
) -> ResendRequest:
    """Return the recorded request of a model call.

    Args:
        trace: the trace.
        number: the number of the call's start or end event.
        environ: the user's environment.
        is_own: whether this user recorded the trace, and nobody changed it.
        key: the environment variable with the key for a server that is not known; "" for none.

    Raises:
        DebugError: there is no such call, or its request cannot be sent again.
    """
    number, start, end = _find_call(trace, number)
    metadata = lenient.mapping(start.get("metadata"))
    name = lenient.string(metadata.get("format")) or ""
    form = FORMATS.get(name)
    if form is None or form.encode_request is None:
        known = ", ".join(each for each, row in FORMATS.items() if row.encode_request is not None)
        raise RerunError(
            f"event {number} is a request of the format {name or 'unknown'}, and resend sends {known}: "
            f"rerun --live-from {number} lets the program send it"
        )
    recorded = lenient.mapping(start.get("inputs"))
    inputs = {"model": "", "messages": [], "tools": [], "params": {}} | deepcopy(recorded)
    flaws = find_flaws(recorded)
    cut = next((flaw for flaw in flaws if flaw.kind != "redacted"), None)
    if cut is not None:
        raise RerunError(
            f"the request of event {number} was cut when it was recorded ({cut.path}): record it again with max_payload_size 0"
        )
    url = lenient.string(lenient.mapping(metadata.get("exchange")).get("url")) or ""
    path = urlsplit(url).path
    lost = diff_values(
        inputs, form.codec.decode_request(form.complete(path, form.encode_request(deepcopy(inputs))))
    )
    if lost:
        raise RerunError(
            f"the request of event {number} cannot be written anew from the trace, which keeps {short(lost[0].path, 100)} "
            f"in another form: rerun --live-from {number} lets the program send it"
        )
    notes = ("A secret in the request was redacted, and is sent as its placeholder.",) if flaws else ()
    url, provider = _find_address(url, form, environ, is_own=is_own)
    if provider is None and key:
        provider = Provider((), key)
    return ResendRequest(number, start, end, form, inputs, url, provider, notes)


def _find_call(trace: Trace, number: int) -> tuple[int, Event, Event]:
    """Return the number and the start of a model call, and its end.

    Raises:
        WrongUsageError: the event is none of a model call.
    """
    spans = read_spans(trace.events())
    row = next((row for row in spans.of("llm") if number in (spans.number[row], spans.end[row])), None)
    start: Event = {} if row is None else trace.event(spans.number[row])
    if row is None or "exchange" not in lenient.mapping(start.get("metadata")):
        raise WrongUsageError(
            f"event {number} is no recorded call of a model: namel3ss debug show lists them"
        )
    return spans.number[row], start, trace.event(spans.end[row]) if spans.end[row] else {}


def _find_address(
    url: str, form: Format, environ: Mapping[str, str], *, is_own: bool
) -> tuple[str, Provider | None]:
    """Return where a request goes, and whose key it gets.

    The provider's own address is used as it was recorded. Any other one is replaced by the address that the user's
    environment names, as the provider's SDK would do; without one, only the user's own trace may name it.

    Raises:
        TrustError: only a trace of somebody else names the address.
    """
    split = urlsplit(url)
    host = (split.hostname or "").lower()
    for provider in PROVIDERS:
        if split.scheme == "https" and any(
            host == each.lstrip(".") or (each[0] == "." and host.endswith(each)) for each in provider.hosts
        ):
            return url, provider
    for provider in PROVIDERS:
        base = environ.get(provider.base, "") if provider.base else ""
        if base and form.name.startswith(provider.formats):
            tail = next((each for each in form.paths if split.path.endswith(each)), form.paths[0])
            tail = f"/v1{tail}" if provider.base == "ANTHROPIC_BASE_URL" else tail
            return base.rstrip("/") + tail, provider
    if not is_own:
        raise TrustError(
            f"the request went to {short(url, 200)}, and the trace, which is not yours, supplies that address: "
            "set OPENAI_BASE_URL or ANTHROPIC_BASE_URL yourself"
        )
    return url, None


def change_request(
    request: ResendRequest, *, model: str | None, system: str | None, temperature: float | None
) -> ResendRequest:
    """Return a request with another model, system prompt or temperature; None leaves each as it is."""
    inputs = deepcopy(request.inputs)
    if model is not None:
        inputs["model"] = model
    if temperature is not None:
        inputs["params"]["temperature"] = temperature
    if system is not None:
        message = {"role": "system", "parts": [{"type": "text", "content": system}]}
        first = inputs["messages"][0] if inputs["messages"] else {}
        is_system = first.get("role") in ("system", "developer")
        inputs["messages"][: int(is_system)] = [message | ({"role": first["role"]} if is_system else {})]
    return replace(request, inputs=inputs)


def send(request: ResendRequest, environ: Mapping[str, str] = os.environ) -> ResendAnswer:
    """Send a request, and return the answer.

    Raises:
        RerunError: the key is missing, the server cannot be reached, or it answers with an error.
    """
    headers = {"content-type": "application/json", "accept": "application/json"}
    if request.format.provider == "anthropic":
        headers["anthropic-version"] = "2023-06-01"
    provider = request.provider
    if provider is not None:
        key = environ.get(provider.variable)
        if not key:
            raise RerunError(f"{provider.variable} is not set, which {urlsplit(request.url).hostname} needs")
        headers[provider.header[0]] = provider.header[1].format(key)
    elif urlsplit(request.url).hostname in LOOPBACK:
        headers["authorization"] = (
            "Bearer unused"  # local servers of OpenAI's API want a header, with any key
        )
    began = time.perf_counter()
    raw = _post(request.url, json.dumps(request.to_body()).encode(), headers)
    took = (time.perf_counter() - began) * 1000
    body = lenient.load(raw)
    if not isinstance(body, dict):
        raise RerunError(
            f"{request.url} answered with no JSON object: {short(raw.decode('utf-8', 'replace'), _LONGEST_ERROR)}"
        )
    answer: Answer = request.format.codec.decode_response(body)
    outputs = answer.to_outputs()
    end: Event = {
        "event_type": "llm_call_end",
        "component": "llm",
        "timestamp": time.time(),
        "usage": answer.usage,
        "outputs": outputs,
    }
    end["component_name"] = request.inputs["model"]
    cost = call_cost(end, seller_of(request.start.get("metadata")))
    return ResendAnswer(outputs, dict(answer.usage), None if cost is None else cost.dollars, took)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: they would carry the key to an address that nobody chose."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        """Return no further request."""


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Send a body, and return that of the answer.

    Raises:
        RerunError: there is no answer, or an error.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise RerunError(f"{short(url, 200)} is no address of a server")
    asked = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310  (checked above)
    try:
        with urllib.request.build_opener(_NoRedirects).open(asked, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read(_LARGEST)
            return content
    except urllib.error.HTTPError as error:
        text = error.read(_LONGEST_ERROR).decode("utf-8", "replace")
        raise RerunError(f"{short(url, 200)} answered {error.code} {error.reason}: {text.strip()}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RerunError(f"{short(url, 200)} cannot be reached: {reason}") from None
