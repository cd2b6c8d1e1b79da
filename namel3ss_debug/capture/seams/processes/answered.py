"""Stand in for the process of a command that a re-run answers: a shell that plays what was recorded.

It writes the recorded output to the pipes that the program made, waits for the signal that ended the command if there was
one, and ends with the recorded status. So pipes, ids, signals, timeouts and watchers of asyncio are real.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from namel3ss_debug.capture.core.delivery import sleep, wait_forever_on_loop
from namel3ss_debug.capture.seams.functions.replies import Reply
from namel3ss_debug.capture.seams.inputs import opened_files

_PLAYER = """
trap 'exit "$4"' TERM INT HUP USR1 USR2
[ "$3" = drain ] && cat >/dev/null
cat "$1"; cat "$2" >&2; rm -f "$1" "$2"
if [ "$5" != 0 ]; then exec 1>&- 2>&-; [ "$5" = hold ] && while :; do sleep 1 & wait; done; fi
if [ "$4" -lt 0 ]; then kill "$4" $$; fi
exit "$4"
"""
_HOLDING = _PLAYER.replace("exec 1>&- 2>&-; ", "")
_NUMBERS = itertools.count(1)
_LOST_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class AnsweredCommand:
    """A command that is played.

    Args:
        reply: the answer of the re-run.
        value: the `result` of the recorded command; or of a mock a text for its `stdout`, or a number for its `status`.
    """

    def __init__(self, reply: Reply, value: Any) -> None:
        if isinstance(value, bool | int | str | bytes):
            value = {"status": int(value)} if isinstance(value, bool | int) else {"stdout": value}
        form: dict[str, Any] = value if isinstance(value, dict) else {}
        self._reply = reply
        self._form = form
        self.status = _count(form.get("status"))
        self.abandoned = _count(form.get("abandoned"))
        self._polls = _count(form.get("polls"))
        self._took_turn = False

    def fits(self, value: Any) -> bool:
        """Return whether the recorded input is this one; a mock fits every input."""
        return not self._reply.recorded or _to_bytes(value) == _to_bytes(self._form.get("input"))

    def player(self, popen: Any) -> list[str]:
        """Return the command line that plays the command into the streams of an object of `Popen`."""
        # `tempfile` would draw a random name, and shift each number that the program draws after it.
        names = [f"/tmp/namel3ss-{os.getpid()}-{next(_NUMBERS)}" for _ in range(2)]  # noqa: S108
        with opened_files.hidden():
            for name, stream in zip(names, ("stdout", "stderr"), strict=True):
                data = _encode(self._form.get(stream), getattr(popen, stream, None))
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(file, "wb") as written:
                    written.write(data)
        holds = bool(
            self._form.get("timeouts") or self._form.get("signals") or (self.status < 0 and self.abandoned)
        )
        drain = "drain" if popen.stdin is not None and not holds else "no"
        return ["/bin/sh", "-c", _HOLDING, "sh", *names, drain, str(self.status), "hold" if holds else "0"]

    def is_running(self) -> bool:
        """Return whether a poll finds the command running, as it did when it was recorded."""
        self._polls -= 1
        return self._polls >= 0

    def wait_for_turn(self) -> None:
        """Wait until the command may end, in the recorded order."""
        if not self._took_turn:
            self._took_turn = True
            self._reply.wait_for_turn()

    async def wait_to_be_abandoned(self) -> None:
        """Wait forever, until the program gives up, as often as it gave up when this was recorded."""
        if self.abandoned > 0:
            self.abandoned -= 1
            await wait_forever_on_loop()

    async def wait_for_turn_async(self) -> None:
        """Wait on the loop until the command may end, in the recorded order."""
        if not self._took_turn:
            self._took_turn = True
            for pause in self._reply.turns():
                await sleep(pause)


def _encode(value: Any, stream: Any) -> bytes:
    """Return the bytes that a stream decodes to this text."""
    if not isinstance(value, str):
        return _to_bytes(value)
    encoding, errors = (
        getattr(stream, "encoding", None) or "utf-8",
        getattr(stream, "errors", None) or "strict",
    )
    try:
        return value.encode(encoding, "strict" if errors in ("replace", "ignore") else errors)
    except (UnicodeError, LookupError):
        # Bytes that were not valid became this character; the same bytes become it again.
        invalid = _invalid_byte(encoding)
        return invalid.join(part.encode(encoding, "replace") for part in value.split(_LOST_CHARACTER))


def _invalid_byte(encoding: str) -> bytes:
    """Return a byte that is not valid in an encoding; a question mark if all are."""
    for each in range(0xFF, 0x7F, -1):
        try:
            bytes([each]).decode(encoding)
        except UnicodeDecodeError:
            return bytes([each])
        except LookupError:
            break
    return b"?"


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list):  # the pieces of a long one
        return b"".join(map(_to_bytes, value))
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
