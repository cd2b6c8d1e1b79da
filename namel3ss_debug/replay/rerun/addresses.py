"""Keep a program from calling an address that a trace of somebody else supplies.

Behind `--live-from`, and inside tools that are run, a program sends the user's own keys. The address that it calls may be one
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
from namel3ss_debug.wire.requests import LOOPBACK

_IN_URL: Final = re.compile(r"://(?:[^/?#@\s\"]*@)?(\[[0-9a-f:.]+\]|[^/?#:\s\"'\\<>)]+)", re.IGNORECASE)


_WITH_PORT: Final = re.compile(r"[\w.-]+:\d+")


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
        return _hosts_in(self._inputs) - {each for each in self._own if not _is_loopback(each)}

    @cached_property
    def _of_answers(self) -> frozenset[str]:
        texts = (text for event in self._events() for text in _answer_texts(event))
        return frozenset(
            found.lower().strip("[]") for text in texts for found in _IN_URL.findall(text) if len(found) < 256
        )

    @cached_property
    def _own(self) -> frozenset[str]:
        """The hosts in the user's environment, each with and without its port."""
        values = tuple(self._environ.values())
        return _hosts_in(values) | {found.lower() for value in values for found in _WITH_PORT.findall(value)}

    def check(self, url: str, where: str) -> None:
        """Refuse a call to a host that the trace supplies.

        On loopback, where others may listen on another port, the port counts as well.

        Args:
            url: the address.
            where: the call, for the message.

        Raises:
            TrustError: the trace supplies the host.
        """
        try:
            split = urlsplit(url)
            host, port = (split.hostname or "").lower(), split.port
        except ValueError:
            host, port = "", None
        if (f"{host}:{port}" if _is_loopback(host) else host) in self._own:
            return
        if not host or host in self.of_inputs or host in self._of_answers:
            raise TrustError(
                f"{where} would call {short(url, 200)} for real, and the trace, which is not yours, supplies that address: to "
                "allow it, set the variable that names the server yourself"
            )


def _hosts_in(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(found.lower() for text in texts for found in HOST.findall(text))


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


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
