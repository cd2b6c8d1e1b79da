"""Ask another model in place of one whose circuit is open: the same request, with the other name in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from orjson import dumps, loads

from namel3ss_debug.capture.core.answers import RecordedError, Response
from namel3ss_debug.capture.core.context import INSIDE

_OF_ONE_REQUEST: Final = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "host", "transfer-encoding"}
)
_LONGEST_SECONDS: Final = 600.0


def ask_other_model(url: str, headers: Iterable[tuple[str, str]], body: bytes | None, model: str) -> Response:
    """Return the answer of another model of the same server; a lost connection if there is none.

    The request is a part of the call that it replaces, so that it is not recorded by itself.
    """
    token = INSIDE.set(True)
    try:
        document: dict[str, Any] = loads(body or b"")
        sent = {name: value for name, value in headers if name.lower() not in _OF_ONE_REQUEST}
        request = Request(url, dumps({**document, "model": model}), sent)  # noqa: S310  (the URL is that of the program)
        try:
            answer = urlopen(request, timeout=_LONGEST_SECONDS)  # noqa: S310  (as above)
        except HTTPError as error:
            answer = error
        with answer:
            return Response(answer.status or 0, answer.reason or "", answer.headers.items(), [answer.read()])
    except Exception as error:
        return Response(
            0, "", [], [], RecordedError("connection", f"the fallback {model} failed: {error}", sent=False)
        )
    finally:
        INSIDE.reset(token)
