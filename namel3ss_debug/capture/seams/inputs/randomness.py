"""Derive randomness from one recorded seed: the module `random`, `os.urandom` and everything based on them.

Each task path has a stream of its own, so that threads may run in any order. `os.urandom` (and with it `secrets`, `uuid4`
and `SystemRandom`) returns SHAKE-256 of seed, task path and a counter. The generator that the functions of `random` share
is the usual one; the first thread draws from it, and every other task path from a generator of its own.

As soon as the program seeds that generator itself, or reads or sets its state, it is left alone: all threads then draw
from it, as they would without us, and drawing in the same order again is up to the program.
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

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.editing import edit_body
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.core.task_paths import TaskPath

try:  # importing hashlib costs more than everything here
    from _sha3 import shake_256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import shake_256

_SEED_BYTES = 32
_BATCH = 8
_WORDS = struct.Struct("<625I")
_GENERATOR: random.Random = random._inst  # what the functions of `random` are bound to
_plain_random = random.Random.random
_plain_getrandbits = random.Random.getrandbits

OnDraw: TypeAlias = Callable[[int], None]
"""Called at each draw, with the number of frames between its caller and the code that draws."""

_Function: TypeAlias = Callable[..., Any]


class Randomness:
    """Draws from a seed, by task path.

    Args:
        seed: 32 hexadecimal digits.
        on_draw: called at each draw, if the lines that draw are recorded.
    """

    def __init__(self, seed: str, on_draw: OnDraw | None = None) -> None:
        self.seeded = False
        self._seed = bytes.fromhex(seed)
        self._on_draw = on_draw

    def urandom(self, original: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return the replacement of `os.urandom`, from the original one."""

        def urandom(size: int, /) -> bytes:
            if type(size) is not int or size < 0 or not task_paths.is_active():
                return original(size)
            here = task_paths.current_for_draws()
            if self._on_draw is not None:
                self._on_draw(1)
            count = next(here.draws)
            return here.ready.pop((count, size), None) or self._urandom(here, count, size)

        return urandom

    def seed_for(self, generator: random.Random, seed: Any) -> Any:
        """Return the seed that a generator gets; `seed` if the program passes one."""
        if seed is not None:
            self.seeded = self.seeded or generator is _GENERATOR
            return seed
        if generator is _GENERATOR:
            self.seeded = False
        here = task_paths.current_for_draws()
        if self._on_draw is not None:
            self._on_draw(2)
        return int.from_bytes(self._bytes(b"seed", here, next(here.draws), _SEED_BYTES), "big")

    def take_over(self, generator: random.Random) -> None:
        """Leave the shared generator to the program, which reads or sets its state."""
        self.seeded = self.seeded or generator is _GENERATOR

    def generator_here(self) -> random.Random | None:
        """Return the generator of the running task path; `None` if it draws from the shared one."""
        if self._on_draw is not None:
            self._on_draw(2)
        here = None if self.seeded else task_paths.current_unless_root()
        if here is None:
            return None
        if here.generator is None:
            seed = int.from_bytes(self._bytes(b"random", here, 0, _SEED_BYTES), "big")
            here.generator = random.Random(seed)  # noqa: S311  (what the program would have drawn from)
        generator: random.Random = here.generator
        return generator

    def start_generator(self) -> None:
        """Seed the shared generator for the first thread of this process."""
        self.seeded = False
        first = self._bytes(b"random", task_paths.root(), 0, _SEED_BYTES)
        random.Random.seed(_GENERATOR, int.from_bytes(first, "big"))
        self.seeded = False

    def _urandom(self, here: TaskPath, count: int, size: int) -> bytes:
        """Return the bytes of a draw. Several draws are made at once, because each alone costs twice as much."""
        if count % _BATCH or not count or size > _SEED_BYTES:
            return self._bytes(b"urandom", here, count, size)
        numbers = range(count, count + _BATCH)
        here.ready = {(number, size): self._bytes(b"urandom", here, number, size) for number in numbers}
        return here.ready.pop((count, size))

    def _bytes(self, use: bytes, here: TaskPath, count: int, size: int) -> bytes:
        name = here.path.encode("utf-8", "surrogatepass")
        drawn: bytes = shake_256(b"%b:%b:%b:%d" % (self._seed, use, name, count)).digest(size)
        return drawn


class SharedGenerator(random.Random):
    """The class of the generator that the functions of `random` share, while randomness is recorded."""

    source: Randomness | None = None

    def random(self) -> float:
        """Draw as the base class does, from the generator of the running task path."""
        source = SharedGenerator.source
        return _plain_random(self if source is None else source.generator_here() or self)

    def getrandbits(self, k: int, /) -> int:
        """Draw as the base class does, from the generator of the running task path."""
        source = SharedGenerator.source
        return _plain_getrandbits(self if source is None else source.generator_here() or self, k)

    @property
    def gauss_next(self) -> float | None:
        """The second number of a pair that `gauss` made, which belongs to the task path that drew the first."""
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
        """Copy as an ordinary generator."""
        return random.Random, (), self.getstate()

    def _branch(self) -> TaskPath | None:
        source = SharedGenerator.source
        return (
            None
            if source is None or source.seeded or not task_paths.is_active()
            else task_paths.current_unless_root()
        )


class _SeedThrough(ast.NodeTransformer):
    """Begins `Random.seed` with `a = _namel3ss_seed(self, a)`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _insert_first(node, "a = _namel3ss_seed(self, a)")


class _TakeOverFirst(ast.NodeTransformer):
    """Begins `Random.getstate` and `setstate` with `_namel3ss_take_over(self)`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return _insert_first(node, "_namel3ss_take_over(self)")


def _insert_first(node: ast.FunctionDef, statement: str) -> ast.FunctionDef:
    new = ast.parse(statement).body[0]
    for part in ast.walk(new):
        ast.copy_location(part, node.body[1])
    node.body.insert(1, new)  # behind the docstring
    return node


def install(source: Randomness, problem: Callable[[str], None], *, fresh: bool) -> list[Undo]:
    """Draw from `source` from now on.

    Args:
        source: where the numbers come from.
        problem: called with a message about what this version of Python does not allow.
        fresh: whether the program is yet to start. Only then do we seed the shared generator: a running program may
            have done so.

    Returns:
        The functions that restore everything. Numbers that are drawn then follow from those before.
    """
    undo = [replace(os, "urandom", source.urandom), replace(random, "_urandom", source.urandom)]
    undo += _edit_generators(source, problem)
    SharedGenerator.source = source
    _GENERATOR.__class__ = SharedGenerator
    undo += [_replace_function(name, getattr(_GENERATOR, name)) for name in ("random", "getrandbits")]
    source.seeded = not fresh
    if fresh:
        source.start_generator()

    def restore() -> None:
        SharedGenerator.source = None
        _GENERATOR.__class__ = random.Random

    return [*undo, restore]


def state() -> str:
    """Return the state of the shared generator, for a program that was running before its trace began."""
    words = super(random.Random, _GENERATOR).getstate()
    return base64.b64encode(_WORDS.pack(*words)).decode()


def set_state(text: str) -> None:
    """Restore the state that `state` has returned.

    Raises:
        ValueError: the text is no state.
    """
    try:
        super(random.Random, _GENERATOR).setstate(_WORDS.unpack(base64.b64decode(text)))
    except (struct.error, TypeError) as error:
        raise ValueError(str(error)) from error


def keep_state() -> Undo:
    """Return a function that restores the current state of the shared generator."""
    kept, gauss = super(random.Random, _GENERATOR).getstate(), vars(_GENERATOR).get("gauss_next")

    def restore() -> None:
        super(random.Random, _GENERATOR).setstate(kept)
        vars(_GENERATOR)["gauss_next"] = gauss

    return restore


def _replace_function(name: str, function: _Function) -> Undo:
    original = getattr(random, name)
    setattr(random, name, function)

    def restore() -> None:
        if getattr(random, name) is function:
            setattr(random, name, original)

    return restore


def _edit_generators(source: Randomness, problem: Callable[[str], None]) -> list[Undo]:
    """Seed generators for which the program passes no seed, and notice when it takes over the shared one."""
    names: dict[str, _Function] = {"_namel3ss_seed": source.seed_for, "_namel3ss_take_over": source.take_over}
    undo = []
    for method, change in (
        (random.Random.seed, _SeedThrough()),
        (random.Random.getstate, _TakeOverFirst()),
        (random.Random.setstate, _TakeOverFirst()),
    ):
        restore = edit_body(method, names, change) if isinstance(method, FunctionType) else None
        if restore is None:
            problem(
                f"random.Random.{getattr(method, '__name__', '')} has no source, so its seeds are not recorded"
            )
        else:
            undo.append(restore)
    return undo
