"""Sign the lines of a trace, so that a trace that this user recorded is told from any other one, and from a changed one.

Each line ends with the field `mac`: BLAKE2b over the bytes before it, keyed with the key of the execution and salted with
the numbers of the process and the segment. The line itself holds its `seq`. So a line that was changed, or moved to
another place or trace, does not verify. Nothing is encoded twice, and no line depends on another one.

The key of an execution is derived from the user's key and the execution id, which is random. The user's key is
`NAMEL3SS_DEBUG_TRUST_KEY`, for CI, or else a file in the user's configuration directory; the variable is taken out of the
environment as soon as it is read. A program that a command starts gets the key of its execution alone, in a temporary
file that goes with the command. A program that starts tracing by itself runs as the user: it reads the user's own file,
and so does a process that is started after the command has ended.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import stat
from binascii import b2a_hex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from namel3ss_debug.config import TRUST_KEY_VARIABLE
from namel3ss_debug.traces.own_memory import blank_variable

MAC: Final = "mac"
"""The last field of a line: 16 hexadecimal digits."""

KEY_FILE: Final = "trust.key"

_USER, _EXECUTION = b"namel3ss-debug user key ", b"namel3ss-debug execution key "
_KEY_BYTES = 32
_MAC_BYTES = 8
_PERSON: Final = b"namel3ss-debug/1"
_BEGINS: Final = b',"%s":"' % MAC.encode()
_ENDS: Final = b'"}\n'
_ADDED: Final = len(_BEGINS) + 2 * _MAC_BYTES + len(_ENDS)
_KEEPS_GIL: Final = 2047
"""How many bytes hashlib digests without releasing the GIL, which a thread that computes returns only after 5 ms."""

Sign = Callable[[bytes], bytes]
"""Puts the signature into a line: a JSON object and a line feed."""

_from_environment: bytes | None = None
_lent: list[tuple[int, str]] = []


def configuration_folder() -> Path | None:
    """Return the folder of the user's own configuration; `None` for a user who has no home."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    base = named if os.path.isabs(named) else os.path.join(os.path.expanduser("~"), ".config")
    return Path(base, "namel3ss-debug") if os.path.isabs(base) else None


def take_key_variable() -> bytes | None:
    """Return the key of the environment, if there is one, and remove the variable from the environment.

    Its value is overwritten in `/proc/PID/environ` as well, where a program could read that of its parent.
    """
    global _from_environment  # the environment belongs to the process, and so does this
    secret = os.environ.pop(TRUST_KEY_VARIABLE, None)
    if secret:
        blank_variable(TRUST_KEY_VARIABLE)
        _from_environment = _digest(secret.encode("utf-8", "surrogateescape"))
    return _from_environment


def load_key() -> bytes | None:
    """Return the user's key, to verify with; `None` where there is none yet, or it cannot be used."""
    key = take_key_variable()
    if key is not None:
        return key
    path = _user_key_file()
    return None if path is None else _read_key(path, _USER)


def key_file_for(execution_id: str, *, running: bool = False) -> str:
    """Return the path of the file from which the processes of a new execution read their key.

    The user's key is made on first use. Where that is not possible, the result is empty and the trace is unsigned.

    Args:
        execution_id: the execution.
        running: whether the program is this process, which needs no file of its own beside the user's.
    """
    try:
        key = take_key_variable()
        if key is not None:
            return _lend(derive_key(key, execution_id))
        path = _user_key_file()
        if path is None:
            return ""
        if _read_key(path, _USER) is None:
            _make_user_key(path)
        key = _read_key(path, _USER)
        if key is None:
            return ""
        return str(path) if running else _lend(derive_key(key, execution_id))
    except (OSError, ValueError):  # a read-only or full disk: the program must not notice
        return ""


def execution_key(key_file: str, execution_id: str) -> bytes | None:
    """Return the key of an execution in one of its processes; None without a usable file.

    Args:
        key_file: the path that `key_file_for` returned.
        execution_id: the execution.
    """
    if not key_file:
        return None
    key = _read_key(Path(key_file), _EXECUTION)
    if key is not None:
        return key
    # The second is for a lent file that is gone with its command.
    for path in filter(None, (Path(key_file), _user_key_file())):
        user_key = _read_key(path, _USER)
        if user_key is not None:
            return derive_key(user_key, execution_id)
    return None


def line_signer(key: bytes, process: int, segment: int) -> Sign:
    """Return the function that signs the lines of one segment.

    Args:
        key: the key of the execution.
        process: the number of the process.
        segment: the number of its segment.
    """
    # A keyed hash object is costly to make and cheap to copy.
    keyed = _keyed(key, process, segment)

    def sign(line: bytes) -> bytes:
        content = line[:-2]
        return b"".join((content, _BEGINS, b2a_hex(_digest_of(keyed, content)), _ENDS))

    return sign


def line_verifier(key: bytes, process: int, segment: int) -> Callable[[bytes], bool]:
    """Return the function that tells whether a line, with its line feed, was signed for this segment."""
    keyed = _keyed(key, process, segment)

    def is_valid(line: bytes) -> bool:
        content = line[:-_ADDED]
        return compare_digest(line[-_ADDED:], b"".join((_BEGINS, b2a_hex(_digest_of(keyed, content)), _ENDS)))

    from hmac import compare_digest  # a program that is traced only signs

    return is_valid


def _digest_of(keyed: hashlib.blake2b, content: bytes) -> bytes:
    state = keyed.copy()
    if len(content) <= _KEEPS_GIL:
        state.update(content)
    else:
        for start in range(0, len(content), _KEEPS_GIL):
            state.update(content[start : start + _KEEPS_GIL])
    return state.digest()


def _keyed(key: bytes, process: int, segment: int) -> hashlib.blake2b:
    salt = process.to_bytes(8, "big") + segment.to_bytes(8, "big")
    return hashlib.blake2b(key=key, digest_size=_MAC_BYTES, salt=salt, person=_PERSON)


def file_key(key_file: str, execution_id: str) -> bytes | None:
    """Return the key of the digests of the files that an execution opens; None without a usable key file."""
    key = execution_key(key_file, execution_id)
    return None if key is None else derive_file_key(key)


def derive_file_key(execution_key: bytes) -> bytes:
    """Return the key of the digests of opened files, from that of their execution."""
    return hashlib.blake2b(b"files", key=execution_key, digest_size=_KEY_BYTES, person=_PERSON).digest()


def derive_key(user_key: bytes, execution_id: str) -> bytes:
    """Return the key of one execution."""
    execution = execution_id.encode("utf-8", "replace")
    return hashlib.blake2b(execution, key=user_key, digest_size=_KEY_BYTES, person=_PERSON).digest()


def remove_lent_keys() -> None:
    """Remove the temporary key files of this process; a forked process leaves those of its parent alone."""
    while _lent:
        pid, path = _lent.pop()
        if pid == os.getpid():
            with suppress(OSError):
                os.unlink(path)


def _user_key_file() -> Path | None:
    folder = configuration_folder()
    return None if folder is None else folder / KEY_FILE


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
    """Write the key of one execution to a temporary file, which is removed when this process ends.

    Raises:
        OSError: there is no folder for it.
    """
    descriptor, path = _make_temporary_file()
    atexit.unregister(remove_lent_keys)  # a test runner lends a key for each test
    atexit.register(remove_lent_keys)
    _lent.append((os.getpid(), path))
    with os.fdopen(descriptor, "wb") as file:
        file.write(_EXECUTION + key.hex().encode() + b"\n")
    return path


def _make_temporary_file() -> tuple[int, str]:
    # `tempfile` finds the same folder, and imports more than a command needs before it starts a program.
    *folders, last = filter(None, (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", os.getcwd()))  # noqa: S108
    for folder in folders:
        with suppress(OSError):
            return _make_file(Path(folder))
    return _make_file(Path(last))


def _make_file(folder: Path) -> tuple[int, str]:
    """Make a file that only this user can read, and return its descriptor and path.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = str(folder / f".namel3ss-debug-{os.urandom(8).hex()}")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path
