"""Sign what a re-run takes from a trace, so that a trace of this user can be distinguished from one of another user.

The first line of each segment (`trace_start`) and each `inputs_read` event carry `metadata.signature`: BLAKE2b over the
rest of the event, keyed with a key that belongs to one execution. That key is derived from the user's key and the
execution id, so an event of another execution never verifies.

The user's key is `NAMEL3SS_DEBUG_TRUST_KEY`, for CI, or else a file in the user's configuration directory. The variable
is taken out of the environment as soon as it is read. Every process of a traced program reads the key from a file that
its session names: the user's own file, or, where the key came from the variable, a temporary file with the key of this
execution alone, because a program could otherwise read the secret in its environment.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from orjson import OPT_SORT_KEYS, dumps, loads

from namel3ss_debug.config import TRUST_KEY_VARIABLE
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

SIGNATURE: Final = "signature"
"""The member of `metadata` that holds the signature, 32 hexadecimal digits."""

KEY_FILE: Final = "trust.key"

_USER, _EXECUTION = b"namel3ss-debug user key ", b"namel3ss-debug execution key "
_UNSIGNED: Final[Event] = {"event_type": "inputs_read"}
_KEY_BYTES = 32
_SIGNATURE_BYTES = 16
_BLOCK_BYTES = 1024 * 1024
_LONGEST_LINE = 64 * 1024 * 1024
_ESCAPED_NAME = re.compile(rb"\\u00[567]")  # a letter as an escape, which our writer never needs
_PERSON: Final = b"namel3ss-debug/1"

_from_environment: bytes | None = None
_lent: list[tuple[int, str]] = []


def configuration_folder() -> Path | None:
    """Return the folder of the user's own configuration; `None` for a user who has no home."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    base = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".config")
    return Path(base, "namel3ss-debug") if os.path.isabs(base) else None


def take_key_variable() -> bytes | None:
    """Return the key of the environment, if there is one, and remove the variable from the environment."""
    global _from_environment  # the environment belongs to the process, and so does this
    secret = os.environ.pop(TRUST_KEY_VARIABLE, None)
    if secret:
        _from_environment = _digest(secret.encode("utf-8", "surrogateescape"))
    return _from_environment


def load_key() -> bytes | None:
    """Return the user's key, to verify with; `None` where there is none yet, or it cannot be used."""
    key = take_key_variable()
    if key is not None:
        return key
    folder = configuration_folder()
    return None if folder is None else _read_key(folder / KEY_FILE, _USER)


def key_file_for(execution_id: str) -> str:
    """Return the path of the file from which the processes of a new execution read their key.

    The user's key is made on first use. Where that is not possible, the result is empty and the trace is unsigned.
    """
    try:
        key = take_key_variable()
        if key is not None:
            return _lend(derive_key(key, execution_id))
        folder = configuration_folder()
        if folder is None:
            return ""
        path = folder / KEY_FILE
        if _read_key(path, _USER) is None:
            _make_user_key(path)
        return str(path) if _read_key(path, _USER) is not None else ""
    except (OSError, ValueError):  # a read-only or full disk: the program must not notice
        return ""


def signer(key_file: str, execution_id: str) -> Callable[[Event], None] | None:
    """Return the function that signs the events of an execution in place; `None` without a key.

    Args:
        key_file: the path that `key_file_for` returned.
        execution_id: the execution, whose id stands in the events.
    """
    key = _execution_key(key_file, execution_id)
    if key is None:
        return None
    # A keyed hash object is costly to make and cheap to copy.
    keyed = _keyed(key)

    def sign(event: Event) -> None:
        metadata = event["metadata"]
        metadata.pop(SIGNATURE, None)  # of an earlier attempt, with another `seq`
        with suppress(TypeError):  # what JSON refuses is written in part, and without a signature
            state = keyed.copy()
            state.update(dumps(event, None, OPT_SORT_KEYS))
            metadata[SIGNATURE] = state.hexdigest()

    return sign


def _execution_key(key_file: str, execution_id: str) -> bytes | None:
    """Return the key of an execution from the file that its session names; None without a usable file."""
    if not key_file:
        return None
    path = Path(key_file)
    key = _read_key(path, _EXECUTION)
    user_key = _read_key(path, _USER) if key is None else None
    return key if user_key is None else derive_key(user_key, execution_id)


def file_key(key_file: str, execution_id: str) -> bytes | None:
    """Return the key of the digests of the files that an execution opens; None without a usable key file."""
    key = _execution_key(key_file, execution_id)
    return None if key is None else derive_file_key(key)


def derive_file_key(execution_key: bytes) -> bytes:
    """Return the key of the digests of opened files, from that of their execution."""
    return hashlib.blake2b(b"files", key=execution_key, digest_size=_KEY_BYTES, person=_PERSON).digest()


def derive_key(user_key: bytes, execution_id: str) -> bytes:
    """Return the key of one execution."""
    execution = execution_id.encode("utf-8", "replace")
    return hashlib.blake2b(execution, key=user_key, digest_size=_KEY_BYTES, person=_PERSON).digest()


def find_flaw(events: Iterable[Event], key: bytes | None) -> str:
    """Return why the signatures of a trace do not show that this user recorded it; "" where they do.

    Every segment of the first process and everything that a program read must be signed, under the execution id of the
    first line. The first line of a further process may be unsigned, because a re-run takes nothing from it.

    Args:
        events: the events of the trace in order; those that are never signed are ignored.
        key: the user's key.
    """
    needed = [event for event in events if _must_be_signed(event)]
    first = next((event for event in needed if event["event_type"] == "trace_start"), None)
    if first is None:
        return "it does not name its program"
    if any(SIGNATURE not in lenient.mapping(event.get("metadata")) for event in needed):
        return "it is not signed"
    if key is None:
        return "this user has no key to check its signature with"
    execution = first.get("execution_id")
    keyed = _keyed(derive_key(key, str(execution)))
    seen: set[object] = set()
    for event in needed:
        event_id = event.get("event_id")
        if event.get("execution_id") != execution or not _is_valid(event, keyed):
            return (
                f"the signature of its event {event_id} is not valid: changed, or recorded by somebody else"
            )
        if event_id in seen:
            return f"its event {event_id} appears in it twice"
        seen.add(event_id)
    return ""


def signed_lines(files: Iterable[Path]) -> Iterable[Event]:
    """Read only the lines of a trace that can hold a signed event, which is much faster than reading all of it.

    What is left out here, because it is damaged or compressed, is checked again by the events that a re-run uses.
    """
    for path in files:
        try:
            if not path.is_file():  # a FIFO would block
                continue
            with path.open("rb") as file:
                is_first = True
                while block := file.read(_BLOCK_BYTES):
                    *lines, rest = (block + file.readline(_LONGEST_LINE)).split(b"\n")
                    for line in lines:
                        if is_first or b"inputs_read" in line or _ESCAPED_NAME.search(line):
                            yield from _parse(line, torn=False)
                        is_first = False
                    yield from _parse(rest, torn=True) if rest else ()
        except OSError:
            continue


def remove_lent_keys() -> None:
    """Remove the temporary key files of this process; a forked process leaves those of its parent alone."""
    while _lent:
        pid, path = _lent.pop()
        if pid == os.getpid():
            with suppress(OSError):
                os.unlink(path)


def _parse(line: bytes, *, torn: bool) -> tuple[Event, ...]:
    try:
        event = loads(line)
    except ValueError:
        # A reader may find an event in a damaged line, and that one is unsigned. A process that was killed leaves a
        # torn last line, which holds nothing.
        return () if torn else (dict(_UNSIGNED),)
    return (event,) if isinstance(event, dict) else (dict(_UNSIGNED),)


def _must_be_signed(event: Event) -> bool:
    """Return whether a re-run takes something from the event that only this user may write."""
    event_type = event.get("event_type")
    if event_type == "trace_start":
        return not lenient.mapping(event.get("metadata")).get("process")
    return event_type == "inputs_read"


def _keyed(key: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=key, digest_size=_SIGNATURE_BYTES, person=_PERSON)


def _is_valid(event: Event, keyed: hashlib.blake2b) -> bool:
    import hmac  # a program that is traced only signs

    rest = dict(event["metadata"])
    signature = rest.pop(SIGNATURE)
    if not isinstance(signature, str):
        return False
    try:
        content = dumps({**event, "metadata": rest}, None, OPT_SORT_KEYS)
    except TypeError:
        return False
    state = keyed.copy()
    state.update(content)
    return hmac.compare_digest(state.hexdigest().encode(), signature.encode("utf-8", "replace"))


def _digest(secret: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=_KEY_BYTES, person=_PERSON).digest()


def _read_key(path: Path, kind: bytes) -> bytes | None:
    """Return the key in a file; `None` where it is another kind of file, or others can read or write it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid != os.geteuid():
            return None
        content = os.read(descriptor, 256)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if not content.startswith(kind):
        return None
    try:
        key = bytes.fromhex(content.removeprefix(kind).decode().strip())
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _make_user_key(path: Path) -> None:
    """Make the user's key. Of several processes that do so at once, one wins, and no reader sees half a key.

    Raises:
        OSError: the folder cannot be written to, or a file that is no usable key is in the way.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, made = _make_file(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_USER + os.urandom(_KEY_BYTES).hex().encode() + b"\n")
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links, where the last of several keys wins
            os.replace(made, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(made)


def _lend(key: bytes) -> str:
    """Write the key of one execution to a temporary file, which is removed when this process ends."""
    from tempfile import gettempdir  # it imports much, and few have the variable

    descriptor, path = _make_file(Path(gettempdir()))
    atexit.unregister(remove_lent_keys)  # a test runner lends a key for each test
    atexit.register(remove_lent_keys)
    _lent.append((os.getpid(), path))
    with os.fdopen(descriptor, "wb") as file:
        file.write(_EXECUTION + key.hex().encode() + b"\n")
    return path


def _make_file(folder: Path) -> tuple[int, str]:
    """Make a file that only this user can read, and return its descriptor and path.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = str(folder / f".namel3ss-debug-{os.urandom(8).hex()}")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path
