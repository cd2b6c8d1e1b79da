"""Post a body over HTTP, and post it again where the receiver may take it later.

That is after 429, 502, 503 and 504, and where there is no connection, with growing pauses or as long as `Retry-After` says.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from namel3ss_debug.errors import MissingExtraError

RETRIES: Final = 6
BACKOFF_SECONDS: Final = 0.25
"""The first pause; each further one is twice as long, 8 s with `RETRIES`."""

TIMEOUT_SECONDS: Final = 10.0
AGAIN: Final = (429, 502, 503, 504)
_LONGEST_TEXT = 200


class Posted(NamedTuple):
    """What a receiver answered; its status is 0 where it was not reached. The problem is empty if it took the body."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    problem: str

    @property
    def retry_after(self) -> float:
        """The seconds after which the receiver wants to be asked again; 0 where it does not say."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdecimal() else 0.0


Post = Callable[[str, bytes, Mapping[str, str]], Posted]
"""Posts a body with headers to a URL."""


def split_login(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without the name and the password in it, and the header that carries them."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return address, {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@contextmanager
def open_poster(purpose: str, extra: str, retries: int | None = None) -> Iterator[Post]:
    """Open connections that the block posts with.

    Args:
        purpose: what needs urllib3, for the message where it is missing.
        extra: the extra that brings it.
        retries: how often a body is posted again; `RETRIES` if left out.

    Raises:
        MissingExtraError: urllib3 is not installed.
    """
    try:
        import urllib3
    except ImportError:
        raise MissingExtraError(f"{purpose} needs urllib3: pip install 'namel3ss-debug[{extra}]'") from None
    again = RETRIES if retries is None else retries
    policy = urllib3.Retry(
        again,
        redirect=False,
        allowed_methods=None,
        status_forcelist=AGAIN,
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=BACKOFF_SECONDS,
        raise_on_status=False,
    )
    attempts = f" after {again + 1} attempts" if again else ""
    with urllib3.PoolManager(retries=policy, timeout=TIMEOUT_SECONDS) as pool:

        def post(url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
            try:
                response = pool.request("POST", url, body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                reason = type(getattr(error, "reason", None) or error).__name__
                return Posted(0, b"", {}, f"was not reached{attempts} ({reason})")
            text = response.data[:_LONGEST_TEXT].decode("utf-8", "replace").strip()
            problem = "" if 200 <= response.status < 300 else f"answered {response.status} {text}".rstrip()
            return Posted(response.status, response.data, response.headers, problem)

        yield post
