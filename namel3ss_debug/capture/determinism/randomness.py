"""Randomness from one recorded seed: the module `random`, `os.urandom` and all that stands on it.

Each line of work has a stream of its own, so threads may run as they come. `os.urandom` (with it `secrets`, `uuid4` and
`SystemRandom`) gives SHAKE-256 of seed, line of work and a counter. The generator that the functions of `random` share
is the usual one; the first line of work draws from it, every other one from a generator of its own.

As soon as the program seeds that generator itself, or reads or sets its state, it is left alone: all threads then draw
from it, as they would without us, and it is the program's to draw in the same order again.
"""

from __future__ import annotations

import ast
import base64
import os
import random
import struct
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.determinism.lineage import Lineage
from namel3ss_debug.capture.editing import edit_body
from namel3ss_debug.capture.patching import Undo, replace

try:  # the builtin one: importing hashlib costs more than all of this
    from _sha3 import shake_256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import shake_256

_SEED_BYTES = 32
_SOME = 8
_WORDS = struct.Struct("<625I")
_SHARED: random.Random = random._inst  # noqa: SLF001  (what the functions of `random` are bound to)
_plain_random = random.Random.random
_plain_getrandbits = random.Random.getrandbits

Told: TypeAlias = Callable[[int], None]
"""Called at each draw, with how many frames above its caller the code stands that draws."""

_Function: TypeAlias = Callable[..., Any]


class Randomness:
    """Draws from a seed, by line of work.

    Args:
        seed: 32 hexadecimal digits.
        told: called at each draw, where somebody wants to know where the program draws.
    """

    def __init__(self, seed: str, told: Told | None = None) -> None:
        self.seeded = False
        self._seed = bytes.fromhex(seed)
        self._told = told

    def urandom(self, original: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The function in place of `os.urandom`, made from the original one."""

        def urandom(size: int, /) -> bytes:
            if type(size) is not int or size < 0 or not lineage.active():
                return original(size)
            here = lineage.drawing()
            if self._told is not None:
                self._told(1)
            count = next(here.draws)
            return here.ready.pop((count, size), None) or self._urandom(here, count, size)

        return urandom

    def seed_for(self, generator: random.Random, seed: Any) -> Any:
        """The seed a generator gets; `seed` where the program gave one."""
        if seed is not None:
            self.seeded = self.seeded or generator is _SHARED
            return seed
        if generator is _SHARED:
            self.seeded = False
        here = lineage.drawing()
        if self._told is not None:
            self._told(2)
        return int.from_bytes(self._bytes(b"seed", here, next(here.draws), _SEED_BYTES), "big")

    def touch(self, generator: random.Random) -> None:
        """The program reads or sets the state of a generator."""
        self.seeded = self.seeded or generator is _SHARED

    def generator_here(self) -> random.Random | None:
        """The generator of the running line of work; `None` where it draws from the shared one."""
        if self._told is not None:
            self._told(2)
        here = None if self.seeded else lineage.branch()
        if here is None:
            return None
        if here.generator is None:
            seed = int.from_bytes(self._bytes(b"random", here, 0, _SEED_BYTES), "big")
            here.generator = random.Random(seed)  # noqa: S311  (what the program would have drawn from)
        generator: random.Random = here.generator
        return generator

    def start_generator(self) -> None:
        """Seed the shared generator for the first line of work of this process."""
        self.seeded = False
        first = self._bytes(b"random", lineage.root(), 0, _SEED_BYTES)
        random.Random.seed(_SHARED, int.from_bytes(first, "big"))
        self.seeded = False

    def _urandom(self, here: Lineage, count: int, size: int) -> bytes:
        """The bytes of a draw. Who draws often is given some more at once: each by itself costs twice as much."""
        if count % _SOME or not count or size > _SEED_BYTES:
            return self._bytes(b"urandom", here, count, size)
        numbers = range(count, count + _SOME)
        here.ready = {(number, size): self._bytes(b"urandom", here, number, size) for number in numbers}
        return here.ready.pop((count, size))

    def _bytes(self, use: bytes, here: Lineage, count: int, size: int) -> bytes:
        name = here.path.encode("utf-8", "surrogatepass")
        drawn: bytes = shake_256(b"%b:%b:%b:%d" % (self._seed, use, name, count)).digest(size)
        return drawn


class Shared(random.Random):
    """The class of the generator that the functions of `random` share, while randomness is recorded."""

    source: Randomness | None = None

    def random(self) -> float:
        """As in the base class, from the generator of the running line of work."""
        source = Shared.source
        return _plain_random(self if source is None else source.generator_here() or self)

    def getrandbits(self, k: int, /) -> int:
        """As in the base class, from the generator of the running line of work."""
        source = Shared.source
        return _plain_getrandbits(self if source is None else source.generator_here() or self, k)

    @property
    def gauss_next(self) -> float | None:
        """The second number of a pair that `gauss` made, which belongs to who made it."""
        here = self._branch()
        return self.__dict__.get("gauss_next") if here is None else here.gauss

    @gauss_next.setter
    def gauss_next(self, value: float | None) -> None:
        here = self._branch()
        if here is None:
            self.__dict__["gauss_next"] = value
        else:
            here.gauss = value

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is an ordinary generator."""
        return random.Random, (), self.getstate()

    def _branch(self) -> Lineage | None:
        source = Shared.source
        return None if source is None or source.seeded or not lineage.active() else lineage.branch()


class _SeedThrough(ast.NodeTransformer):
    """Begins `Random.seed` with `a = _namel3ss_seed(self, a)`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _begin(node, "a = _namel3ss_seed(self, a)")


class _TouchFirst(ast.NodeTransformer):
    """Begins `Random.getstate` and `setstate` with `_namel3ss_touch(self)`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _begin(node, "_namel3ss_touch(self)")


def _begin(node: ast.FunctionDef, statement: str) -> ast.FunctionDef:
    new = ast.parse(statement).body[0]
    for part in ast.walk(new):
        ast.copy_location(part, node.body[1])
    node.body.insert(1, new)  # behind the docstring
    return node


def install(source: Randomness, problem: Callable[[str], None], *, fresh: bool) -> list[Undo]:
    """Draw from `source` from now on.

    Args:
        source: where the numbers come from.
        problem: told in words what this version of Python does not let us do.
        fresh: whether the program is yet to start. Only then is the shared generator ours to seed: a program that
            runs may have seeded it.

    Returns:
        What puts everything back; the numbers that are drawn then follow from those before.
    """
    undo = [replace(os, "urandom", source.urandom), replace(random, "_urandom", source.urandom)]
    undo += _edit_generators(source, problem)
    Shared.source = source
    _SHARED.__class__ = Shared
    undo += [_put(name, getattr(_SHARED, name)) for name in ("random", "getrandbits")]
    source.seeded = not fresh
    if fresh:
        source.start_generator()

    def put_back() -> None:
        Shared.source = None
        _SHARED.__class__ = random.Random

    return [*undo, put_back]


def state() -> str:
    """The state of the shared generator, for a program that was running already when its recording began."""
    words = super(random.Random, _SHARED).getstate()
    return base64.b64encode(_WORDS.pack(*words)).decode()


def set_state(text: str) -> None:
    """Take up the state that `state` gave.

    Raises:
        ValueError: the text is no state.
    """
    try:
        super(random.Random, _SHARED).setstate(_WORDS.unpack(base64.b64decode(text)))
    except (struct.error, TypeError) as error:
        raise ValueError(str(error)) from error


def keep_state() -> Undo:
    """Return a function that puts the shared generator back into the state that it has now."""
    kept, gauss = super(random.Random, _SHARED).getstate(), vars(_SHARED).get("gauss_next")

    def put_back() -> None:
        super(random.Random, _SHARED).setstate(kept)
        vars(_SHARED)["gauss_next"] = gauss

    return put_back


def _put(name: str, function: _Function) -> Undo:
    original = getattr(random, name)
    setattr(random, name, function)

    def put_back() -> None:
        if getattr(random, name) is function:
            setattr(random, name, original)

    return put_back


def _edit_generators(source: Randomness, problem: Callable[[str], None]) -> list[Undo]:
    """Seed generators that the program gives no seed, and learn when it takes over the shared one."""
    names: dict[str, _Function] = {"_namel3ss_seed": source.seed_for, "_namel3ss_touch": source.touch}
    undo = []
    for method, change in (
        (random.Random.seed, _SeedThrough()),
        (random.Random.getstate, _TouchFirst()),
        (random.Random.setstate, _TouchFirst()),
    ):
        put_back = edit_body(method, names, change) if isinstance(method, FunctionType) else None
        if put_back is None:
            problem(
                f"random.Random.{getattr(method, '__name__', '')} has no source: its seeds are not recorded"
            )
        else:
            undo.append(put_back)
    return undo
