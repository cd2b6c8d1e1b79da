"""Refuse calls that would pass a limit, or whose circuit breaker is open: from settings, and by the decorator `limits`.

`Guards` sees the start and the end of each span of this process. About a call of a model, a tool or a host it decides
at its start event, and the seam of the call takes that decision as it takes an answer of the debugger: the exception is
raised where the call would have been made. So each kind of call that can be mocked can be refused, and a re-run raises
the same exception at the same call, because it is the recorded answer.

An error in here is counted, and the call is made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from orjson import OPT_SORT_KEYS, dumps

from namel3ss_debug import prices
from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.answers import CallReply, RecordedError, ReplySource
from namel3ss_debug.capture.core.failures import type_name
from namel3ss_debug.capture.core.messages import print_message
from namel3ss_debug.capture.guards.breaking import Breakers, replace_call
from namel3ss_debug.capture.guards.ledger import Ledger, LedgerClaim, Reached
from namel3ss_debug.capture.seams.functions.wrapping import enclose, name_of
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.config.guarding import UseLimit, read_breakers, read_limits
from namel3ss_debug.errors import LimitExceeded, LimitExceededInPoolError, short
from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.traces.clocks import time
from namel3ss_debug.traces.costs import Seller, call_cost, seller_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.capture.core.tracer import ExecutionTracer, GuardsLike, OpenSpan

F = TypeVar("F", bound=Callable[..., Any])

GUARD: Final = "guard"
_CALLS: Final = frozenset({"llm", "tool", "http", "command"})
_COUNTED: Final = frozenset({"llm", "tool"})
_OF_MODELS: Final = frozenset({"cost", "tokens", "context"})
_WINDOWS: Final = {"calls_per_minute": 60.0, "calls_per_second": 1.0}
_UNITS: Final = {"cost": PICODOLLARS, "seconds": 1000}
_MOST_OUTPUT: Final = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "maxTokens",
    "num_predict",
)
_BYTES_OF_TOKEN: Final = 4
_LONGEST_NAME: Final = 60
_WARNED: set[str] = set()
"""The functions whose limits were called while tracing is off."""


class Subject(NamedTuple):
    """Whose use a limit adds up: the key in the ledger, and the name for people."""

    key: str
    shown: str


@dataclass
class _GuardedCall:
    """A call that is being made, until its end event."""

    owner: str
    claimed: list[tuple[UseLimit, LedgerClaim]] = field(default_factory=list)
    seller: Seller | None = None
    has_inner: bool = False


class Guards:
    """The limits and circuit breakers of one process; a source of replies that the seams of calls take.

    Args:
        tracer: the tracer of the process.
        ledger: where use is added up.
        now: returns the time in seconds since 1970.
        clock: returns the seconds by which circuit breakers wait.
    """

    def __init__(
        self,
        tracer: ExecutionTracer,
        ledger: Ledger,
        now: Callable[[], float] = time,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.scopes: dict[str, list[UseLimit]] = {}  # the id of a call of a decorated function -> its limits
        self._tracer, self._ledger, self._now = tracer, ledger, now
        self._limits = list(read_limits(tracer.config.limits))
        self._breakers = Breakers(read_breakers(tracer.config.circuit_breakers), clock)
        self._inner: ReplySource | None = tracer.answers
        self._calls: dict[str, _GuardedCall] = {}
        self._replies: dict[str, CallReply] = {}
        self._warned: set[tuple[str, str]] = set()
        self._lock, self._pid = RLock(), os.getpid()

    def begin(self, span: OpenSpan, event: Event) -> None:
        """Decide about the call that begins with this event."""
        if event["component"] not in _CALLS:
            return
        try:
            with self._alone():
                refused = self._breakers.refuse(event)
                reply = self._claim(span, event) if refused is None else None
                if reply is not None:
                    self._breakers.release(event["event_id"])
            if (
                refused is not None
            ):  # outside of the lock: a function of the program may wait for calls of other threads
                reply = replace_call(*refused, event)
        except Exception as error:
            self._tracer.problem("limits could not be checked, so a call was made", error)
            return
        if reply is not None:
            self._replies[event["event_id"]] = reply

    def end(self, event: Event) -> None:
        """Add what the call has used that ends with this event."""
        started = event.get("parent_event_id", "")
        if event["component"] not in _CALLS or not started:
            return
        if self._replies.pop(started, None) is not None:
            self._tracer.report_once(f"a call of {event.get('component_name')} was refused, but it cannot be")
        try:
            with self._alone():
                self._breakers.end(started, event)
                call = self._calls.pop(started, None)
                if call is not None:
                    self._settle(call, event)
        except Exception as error:
            self._tracer.problem("the use of a call could not be added up", error)

    def take(self, event_id: str) -> CallReply | None:
        """Return the reply to a call: that of the debugger, or else the decision, which replaces an answer of a trace."""
        own = self._replies.pop(event_id, None)
        reply = None if self._inner is None else self._inner.take(event_id)
        if own is None or reply is None or not reply.answers:
            return own or reply
        return own if reply.recorded and reply.effect is None else reply

    def may_end(self, event_id: str, waited: float) -> bool:
        """Return whether an answer may end now."""
        return self._inner is None or self._inner.may_end(event_id, waited)

    def report_listening(self, port: int, site: str | None) -> None:
        """Report that the program listens on this port from now on."""
        if self._inner is not None:
            self._inner.report_listening(port, site)

    def start(self) -> None:
        """Note when the run begins, and remove old figures."""
        try:
            now = self._now()
            with self._alone():
                self._ledger.forget_old(now)
                if any(limit.measure == "seconds" and limit.by == "run" for limit in self._limits):
                    self._ledger.begin(f"seconds|run|{self._tracer.execution_id}", now)
        except Exception as error:
            self._tracer.problem("the file of the limits could not be opened", error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread of this process use the ledger; a fork may have copied a lock that another thread has."""
        if self._pid != os.getpid():
            self._lock, self._pid = RLock(), os.getpid()
            self._calls.clear()
        with self._lock, opened_files.hidden():
            yield

    def _claim(self, span: OpenSpan, event: Event) -> CallReply | None:
        """Reserve what a call needs of each limit; return the refusal if one would be passed."""
        outer = list(span.outer_spans())
        limits = [*self._limits, *(one for each in outer for one in self.scopes.get(each.event_id, ()))]
        if not limits:
            return None
        now = self._now()
        inside = next(
            (each for each in outer if each.component == "llm" and each.event_id in self._calls), None
        )
        call = _GuardedCall(f"{self._tracer.execution_id}/{event['event_id']}")
        if event["component"] == "llm":
            call.seller = seller_of(event.get("metadata"))
            if (
                inside is not None
            ):  # the request that a hook's call of a model makes, which counts in its place
                self._calls[inside.event_id].has_inner = True
                self._ledger.settle(self._calls[inside.event_id].owner, {}, {}, now)
        need = _Need(event, call.seller)
        claims: list[tuple[UseLimit, LedgerClaim, Subject]] = []
        for limit in limits:
            if _concerns(limit, event["component"], is_inside=inside is not None):
                for subject in self._subjects(limit, event, outer, now):
                    claim = self._make_claim(limit, subject, need)
                    claims += [] if claim is None else [(limit, claim, subject)]
        reached = self._ledger.claim(call.owner, [claim for _, claim, _ in claims], now)
        refusal = None
        for each in reached:
            limit, claim, subject = claims[each.place]
            text, value = _describe(limit, claim, subject, each, need, outer)
            self._report(span, limit, claim, subject, value, text)
            if claim.enforced and (refusal is None or limit.action == "stop"):
                refusal = _refuse(limit, subject, value, text)
        if refusal is None and claims:
            call.claimed = [(limit, claim) for limit, claim, _ in claims]
            self._calls[event["event_id"]] = call
        return refusal

    def _subjects(
        self, limit: UseLimit, event: Event, outer: list[OpenSpan], now: float
    ) -> Iterable[Subject]:
        """Return whose use the call adds to."""
        run, name = self._tracer.execution_id, str(event.get("component_name"))
        by = limit.by
        if by == "run":
            return [Subject(run, "the run")]
        if by == "session":
            session = event.get("session_id") or run
            return [Subject(session, f"session {session}")]
        if by in ("day", "month"):
            period = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d" if by == "day" else "%Y-%m")
            return [Subject(period, f"all runs of {period}")]
        if by == "agent":
            names = {str(each.name) for each in outer if each.component == "agent" and each.event_id}
            return [
                Subject(f"{run}|{found}", f"agent {found}")
                for found in sorted(names)
                if fnmatchcase(found, limit.name)
            ]
        if by == "function":
            spans = (each for each in outer if limit in self.scopes.get(each.event_id, ()))
            return [Subject(f"{run}|{each.event_id}", f"this call of {each.name}") for each in spans]
        is_one = event["component"] == ("llm" if by == "model" else "tool") and fnmatchcase(name, limit.name)
        return [Subject(f"{run}|{name}", f"{by} {name}")] if is_one else []

    def _make_claim(self, limit: UseLimit, subject: Subject, need: _Need) -> LedgerClaim | None:
        measure, key = limit.measure, f"{limit.measure}|{limit.by}|{subject.key}"
        most = int(limit.most * _UNITS.get(measure, 1) + 0.5)
        # Where a debugger is attached, it stops at the event of a pause, and the call is made.
        stops = limit.action == "pause" and self._inner is not None
        enforced = limit.action != "warn" and not stops
        if measure == "seconds":
            return LedgerClaim(key, most, "since", enforced=enforced)
        if measure in _WINDOWS:
            return LedgerClaim(key, most, "rate", window=_WINDOWS[measure], enforced=enforced)
        if measure == "calls":
            return LedgerClaim(key, most, adds=1, enforced=enforced)
        if measure == "repeats":
            digest = need.digest
            if digest is None:
                self._tracer.report_once("repeated calls are not counted at the level basic")
                return None
            return LedgerClaim(f"{key}|{digest}", most, adds=1, enforced=enforced)
        if measure == "context":
            window = need.window
            if limit.most <= 1:
                if window is None:
                    self._tracer.report_once(
                        f"the context window of {need.model} is not known, so it is not limited"
                    )
                    return None
                most = int(limit.most * window)
            return LedgerClaim(key, most, "last", enforced=enforced)
        if measure == "tokens":
            return LedgerClaim(key, most, reserves=need.tokens or 1, enforced=enforced)
        if need.price is None and limit.unknown_cost is None:
            return LedgerClaim(key, -1, enforced=enforced)
        return LedgerClaim(key, most, reserves=need.cost or 1, enforced=enforced)

    def _settle(self, call: _GuardedCall, event: Event) -> None:
        """Replace what a call has reserved by what it has used."""
        used: dict[str, int] = {}
        last: dict[str, int] = {}
        usage = lenient.mapping(event.get("usage"))
        total = lenient.count(event.get("tokens_used")) or 0
        has_failed = event.get("status") == "failed" and not usage
        for limit, claim in call.claimed:
            if limit.measure == "tokens" and not call.has_inner:
                used[claim.key] = total
                if not total and not has_failed:
                    self._tracer.report_once(
                        f"the tokens of {event.get('component_name')} are not known, so limits do not count them"
                    )
            elif limit.measure == "cost" and not call.has_inner:
                cost = call_cost(event, call.seller)
                used[claim.key] = 0 if cost is None else cost.amount
                if cost is None and not has_failed:
                    dollars = limit.unknown_cost or 0.0
                    used[claim.key] = int(dollars * PICODOLLARS)
                    self._tracer.report_once(
                        f"the cost of {event.get('component_name')} is not known, so limits count each call as ${dollars:g}"
                    )
            elif limit.measure == "context" and (tokens := lenient.count(usage.get("input_tokens"))):
                last[claim.key] = tokens
        if used or last or any(claim.reserves for _, claim in call.claimed):
            self._ledger.settle(call.owner, used, last, self._now())

    def _report(
        self, span: OpenSpan, limit: UseLimit, claim: LedgerClaim, subject: Subject, value: float, text: str
    ) -> None:
        """Write the event that a limit was reached; of a warning once for each subject."""
        if not claim.enforced:
            if (limit.action, claim.key) in self._warned:
                return
            self._warned.add((limit.action, claim.key))
            if limit.action == "warn":
                print_message(f"limit reached: {text}; it is made, because the limit only warns")
        tracer = self._tracer
        event = tracer.base(
            "limit_reached", GUARD, tracer.payloads.text(f"{limit.measure} by {limit.by}"), span
        )
        event |= {"status": "failed", "error_type": "LimitExceeded", "error": tracer.payloads.text(text)}
        tracer.add_payloads(event, None, None, {"action": limit.action, **_figures(limit, subject, value)})
        tracer.writer.append(event)


def _concerns(limit: UseLimit, component: str, *, is_inside: bool) -> bool:
    """Return whether a limit counts a call of a component; the request of a hook's model call is inside that call."""
    if limit.measure in _OF_MODELS:
        return component == "llm"
    return limit.measure == "seconds" or (component in _COUNTED and not is_inside)


class _Need:
    """What is known of a call before it is made."""

    def __init__(self, event: Event, seller: Seller | None) -> None:
        self.event, self.model = event, event.get("component_name")
        self.shown = short(f"{self.model}", _LONGEST_NAME)
        self.component = event["component"]
        self._inputs = lenient.mapping(event.get("inputs"))
        self._exchange = lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange"))
        self._seller = seller or Seller()

    @property
    def output_tokens(self) -> int | None:
        """The most tokens that the answer may have; `None` if the request does not limit them."""
        params = lenient.mapping(self._inputs.get("params"))
        nested = (value for value in params.values() if isinstance(value, dict))
        for holder in (params, *nested):
            for name in _MOST_OUTPUT:
                if count := lenient.count(holder.get(name)):
                    return count * (lenient.count(params.get("n")) or 1)
        return None

    @property
    def input_tokens(self) -> int:
        """An estimate of the tokens of the request."""
        return -(-(lenient.count(self._exchange.get("request_bytes")) or 0) // _BYTES_OF_TOKEN)

    @property
    def tokens(self) -> int | None:
        """The most tokens that the call may take."""
        output = self.output_tokens
        return None if output is None else output + self.input_tokens

    @property
    def price(self) -> prices.Price | None:
        """The price of the model."""
        provider, address = self._seller
        return prices.find_price(provider, None, self.event["timestamp"], asked=self.model, address=address)

    @property
    def cost(self) -> int | None:
        """The most that the call may cost, in 1e-12 dollars."""
        price, output = self.price, self.output_tokens
        if price is None or output is None:
            return None
        return price.cost({"input_tokens": self.input_tokens, "output_tokens": output})

    @property
    def window(self) -> int | None:
        """The context window of the model."""
        return prices.find_window(self._seller.provider, None, asked=self.model, address=self._seller.address)

    @property
    def digest(self) -> str | None:
        """A digest of the model or tool and its input; `None` if the input is not recorded."""
        sent = self._exchange.get("hash") or self._inputs.get("arguments", self._inputs or None)
        if sent is None:
            return None
        text = dumps([self.component, self.model, sent], default=repr, option=OPT_SORT_KEYS)
        return blake2b(text, digest_size=12).hexdigest()


def _describe(
    limit: UseLimit,
    claim: LedgerClaim,
    subject: Subject,
    reached: Reached,
    need: _Need,
    outer: list[OpenSpan],
) -> tuple[str, float]:
    """Return a sentence that names the limit, the value and the caller, and the value."""
    unit, measure = _UNITS.get(limit.measure, 1), limit.measure
    value, most = reached.value / unit, claim.most / unit
    agents = (each.name for each in outer if each.component == "agent" and each.event_id)
    agent = next((f" by agent {short(f'{name}', _LONGEST_NAME)}" for name in agents), "")
    asked = f"the call of {need.model}{agent}"
    if claim.most < 0:
        return (
            f"the price of {need.shown} is not known, so its cost cannot be limited; next is {asked}",
            value,
        )
    figures = {
        "cost": f"has used ${value:.4g} of ${most:.4g}",
        "seconds": f"has taken {value:.1f} of {most:g} seconds",
        "repeats": f"has made {value:g} of {most:g} calls with the same input",
        "context": f"has sent {value:g} of {most:g} input tokens in its last request",
        "calls_per_minute": f"has made {value:g} of {most:g} calls in the last minute",
        "calls_per_second": f"has made {value:g} of {most:g} calls in the last second",
        "calls": f"has made {value:g} of {most:g} calls",
        "tokens": f"has used {value:g} of {most:g} tokens",
    }[measure]
    flying = f", calls in flight may use {_amount(measure, reached.reserved)}" if reached.reserved > 1 else ""
    most_needed = f", which may use {_amount(measure, claim.reserves)}" if claim.reserves > 1 else ""
    return f"{subject.shown} {figures}{flying}; next is {asked}{most_needed}", value


def _amount(measure: str, value: int) -> str:
    return f"${value / PICODOLLARS:.4g}" if measure == "cost" else f"{value} {measure}"


def _figures(limit: UseLimit, subject: Subject, value: float) -> dict[str, Any]:
    return {"measure": limit.measure, "most": limit.most, "value": value, "subject": subject.shown}


def _refuse(limit: UseLimit, subject: Subject, value: float, text: str) -> CallReply:
    if limit.action == "stop":
        raised = RecordedError("SystemExit", f"limit reached: {text}", sent=False)
    else:
        state = {"attributes": _figures(limit, subject, value)}
        processes = sys.modules.get("multiprocessing.process")
        in_pool = processes is not None and "PoolWorker" in processes.current_process().name
        raised = RecordedError(
            type_name(LimitExceededInPoolError if in_pool else LimitExceeded), text, sent=False, state=state
        )
    return CallReply(raised=raised, guarded="limit")


def install(tracer: ExecutionTracer) -> Guards:
    """Let the limits and circuit breakers of the settings decide about the calls of a process."""
    if tracer.config.prices:
        prices.use(tracer.config.prices)
    guards = Guards(tracer, Ledger(tracer.config.limits_file))
    guards.start()
    if tracer.components:  # what is not recorded cannot be counted
        tracer.components |= {*_CALLS, "agent", GUARD}
    tracer.guards = tracer.answers = guards
    return guards


def limits(**measures: Any) -> Callable[[F], F]:
    """Limit what happens inside each call of a function: its model calls, tool calls and everything that they start.

    Works on functions, coroutine functions and generators, while the program is traced; in a re-run, the calls that
    were refused are refused again.

    Args:
        **measures: how much is allowed, as in a row of the setting `limits`: `cost`, `tokens`, `calls`, `seconds`,
            `repeats`, `context`, `calls_per_minute`, `calls_per_second`; and `action`, `unknown_cost`.

    Raises:
        SettingError: an unknown or a wrong value, or none.
    """
    rows = [limit._replace(by="function") for limit in read_limits([measures])]

    def decorate(function: F) -> F:
        name = name_of(function)
        return enclose(function, lambda: _Scope(name, rows))

    return decorate


class _Scope:
    """One call of a function with limits of its own."""

    _span: OpenSpan | None = None
    _guards: GuardsLike | None = None

    def __init__(self, name: str, limits: list[UseLimit]) -> None:
        self._name, self._limits = name, limits

    def __enter__(self) -> None:
        tracer = switch.ACTIVE
        if tracer is None:
            if self._name not in _WARNED:
                _WARNED.add(self._name)
                print_message(f"the limits of {self._name} have no effect, because tracing is off")
            return
        if tracer.guards is None and tracer.network is None:  # a re-run gets what they did from its trace
            install(tracer)
        self._guards = tracer.guards
        self._span = tracer.span(GUARD, self._name).open()
        if isinstance(self._guards, Guards):
            self._guards.scopes[self._span.event_id] = self._limits

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._span is None:
            return
        if isinstance(self._guards, Guards):
            self._guards.scopes.pop(self._span.event_id, None)
        self._span.close(error)
