"""Keep a program from calling an address that a trace of somebody else supplies.

Behind `--from`, and inside tools that are run, a program sends the user's own keys. The address that it calls may be one
of its settings: a variable, an argument, a line that it reads, or a part of an earlier answer. In a trace that is not the
user's own, these are data of somebody else. So the trace sets no variable that holds an address, and a call to a host
that stands in the other inputs is refused, unless a variable of the user's own environment holds that host as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from namel3ss_debug.errors import TrustError, short
from namel3ss_debug.replay.rerun.recorded_calls import exchange_of
from namel3ss_debug.traces.environment import HOST
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.wire import lenient

_IN_URL: Final = re.compile(r"://(?:[^/?#@\s\"]*@)?(\[[0-9a-f:.]+\]|[^/?#:\s\"'\\<>)]+)", re.IGNORECASE)


class SuppliedHosts:
    """The hosts that a trace names in what its program reads.

    Args:
        inputs: the arguments and the standard input.
        events: returns the events of the trace, whose answers are read when the first call is made for real.
        environ: the user's own environment.
    """

    def __init__(
        self, inputs: Iterable[str], events: Callable[[], Iterable[Event]], environ: Mapping[str, str]
    ) -> None:
        self._inputs, self._events, self._environ = tuple(inputs), events, environ

    @cached_property
    def of_inputs(self) -> frozenset[str]:
        """The hosts in the arguments and the standard input, without those of the user's environment."""
        found = {host.lower() for text in self._inputs for host in HOST.findall(text)}
        return frozenset(found | self._in_urls(self._inputs)) - self._own

    @cached_property
    def _own(self) -> frozenset[str]:
        return frozenset(host.lower() for value in self._environ.values() for host in HOST.findall(value))

    @cached_property
    def _of_answers(self) -> frozenset[str]:
        texts = (text for event in self._events() for text in _answer_texts(event))
        return frozenset(self._in_urls(texts)) - self._own

    @staticmethod
    def _in_urls(texts: Iterable[str]) -> set[str]:
        return {host.lower().strip("[]") for text in texts for host in _IN_URL.findall(text)}

    def check(self, url: str, where: str) -> None:
        """Refuse a call to a host that the trace supplies.

        Args:
            url: the address.
            where: the call, for the message.

        Raises:
            TrustError: the trace supplies the host.
        """
        try:
            host = (urlsplit(url).hostname or "").lower()
        except ValueError:
            host = url
        if host and (host in self.of_inputs or host in self._of_answers):
            raise TrustError(
                f"{where} would call {short(url, 200)} for real, and the trace, which is not yours, supplies that address: to "
                f"allow it, set a variable of your own that holds it, such as ALLOWED_HOST={short(host, 100)}"
            )


def _answer_texts(event: Event) -> Iterable[str]:
    """Yield what a program reads of an event: an answer, a chunk of it, and where it redirects to."""
    if ends_span(event["event_type"]) or event["event_type"] == "stream_chunk":
        exchange = exchange_of(event)
        location = lenient.mapping(exchange.get("headers")).get("location")
        yield from (
            json.dumps(value, ensure_ascii=False)
            for value in (event.get("outputs"), exchange.get("body"), location)
            if value
        )
