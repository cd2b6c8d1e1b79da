"""When the parts of an answer come to the program: in the order of the recording, and where asked, at its pace.

A seam waits before each part. In asynchronous code it waits on the loop, so that other work goes on; elsewhere it
sleeps. Code that holds a running loop while it waits is let through at once: nothing it could wait for would come
meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from threading import Lock, get_ident
from time import sleep as sleep_here
from typing import Any, NoReturn

from namel3ss_debug.capture import context
from namel3ss_debug.capture.answers import Given, Step
from namel3ss_debug.traces.clocks import monotonic

Turn = Callable[[Step, int, float], bool]
"""Whether a part may come now: which, its index, and the seconds for which it has waited already."""

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.005
_GROWTH = 1.5
_NO_MORE_PATIENCE = 1e9
_HEARTBEAT = 1.0
_APART = 0.002
_HELD = 0.05
_LONGEST_TURN = 0.1
_TURNS_APART = 5

LOOK: Callable[[], None] | None = None
"""Checks that the other side is still connected, and ends the program where not; set where a recording answers."""

_asking = Lock()
_ended: list[float] = [0, 0.0]
"""The thread that got the last end of an answer, or the task of trio, and when."""

_going_on: list[tuple[Any, int]] = [(None, 0)]
"""The loop on which a task has just got such an end, and the identity of the task."""


class Delivery:
    """How one answer is delivered.

    Args:
        turn: asked before each part; `None` where parts need not wait for others.
        delays: seconds before the head, before each piece and before the end; those that are missing are 0.
        pieces: how many pieces there are. Of one piece alone the head and the end say enough.
    """

    def __init__(self, turn: Turn | None = None, delays: Sequence[float] = (), pieces: int = 0) -> None:
        self._turn = turn
        self._delays = delays
        self._pieces = pieces
        self._task = 0 if turn is None else id(context.current_task())

    def pauses(self, step: Step, index: int = 0) -> Iterator[float]:
        """Seconds to wait, again and again, until the part may come."""
        delay = self._delay(step, index)
        if delay > 0:
            yield delay
        if self._turn is None or (step == "piece" and self._pieces < 2):
            if step == "end":
                _ended[:] = _who(), monotonic()
            return
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            if self._others_go_on():
                yield 0.0
                continue
            left = _left_to_another()
            if left > 0:
                yield min(left, _APART)
                continue
            if self._goes(step, index, waited):
                break
            before = monotonic()
            yield pause
            # without the time for which the program kept us from looking
            waited += min(monotonic() - before, 2 * pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        if step == "end":
            self._go_on()

    def _goes(self, step: Step, index: int, waited: float) -> bool:
        """Whether the part may be delivered now. One thread asks at a time: so each knows who got an end."""
        assert self._turn is not None
        alone = _asking.acquire(blocking=False)
        if not alone and waited < _LONGEST_TURN:  # one that asks for longer is gone, as in a child process
            return False
        try:
            if _left_to_another() > 0 or not self._turn(step, index, waited):
                return False
            if step == "end":
                _ended[:] = _who(), monotonic()
            return True
        finally:
            if alone:
                _asking.release()

    def _others_go_on(self) -> bool:
        """Whether another task of this loop has just got the end of its answer, and may not have used it yet."""
        loop, task = _going_on[0]
        return loop is not None and task != self._task and loop is context.running_loop()

    def _go_on(self) -> None:
        """Give the task that gets this end a few turns of its loop before other tasks get anything.

        So it uses its answer first, as it did when answers came from a network, however many callbacks of the
        loop are between the answer and the task.
        """
        loop = context.running_loop()
        if loop is None:
            return
        here = _going_on[0] = (loop, self._task)

        def turned(left: int) -> None:
            if left:
                loop.call_soon(turned, left - 1)
            elif _going_on[0] is here:
                _going_on[0] = (None, 0)

        turned(_TURNS_APART)

    def wait(self, step: Step, index: int = 0) -> None:
        """Wait until the part may be delivered."""
        if not on_loop():
            for pause in self.pauses(step, index):
                sleep_here(pause)
            return
        sleep_here(self._delay(step, index))
        if self._turn is not None and not self._turn(step, index, 0.0):
            self._turn(step, index, _NO_MORE_PATIENCE)

    async def reach(self, step: Step, index: int = 0) -> None:
        """The same on a loop. The loop gets a turn in any case, as it does while a task waits for the network."""
        await sleep(0)
        for pause in self.pauses(step, index):
            await sleep(pause)

    def _delay(self, step: Step, index: int) -> float:
        place = 0 if step == "head" else index + 1 if step == "piece" else self._pieces + 1
        return self._delays[place] if place < len(self._delays) else 0.0


def hold() -> None:
    """This thread has got the end of its answer, and still works on it until `see_off`: others wait longer for it."""
    if _ended[0] == _who():
        _ended[1] += _HELD


def see_off() -> None:
    """The call of this thread has returned its answer to the program."""
    if _ended[0] == _who():
        _ended[1] = monotonic()


def _left_to_another() -> float:
    """For how many seconds another thread, or task of trio, that has just got the end of its answer goes first.

    What it does later than that cannot be kept in order; real answers came further apart than this.
    """
    who, moment = _ended
    return 0.0 if who == _who() else _APART - (monotonic() - moment)


def _who() -> int:
    """The identity of what uses an answer on its own: a thread, with its loop of asyncio, or a task of trio."""
    trio = sys.modules.get("trio")
    if trio is not None and not on_loop():
        # else this is none of its threads, or it is not all there yet
        with suppress(RuntimeError, AttributeError):
            return id(trio.lowlevel.current_task())
    return get_ident()


def in_turn(given: Given, may: Callable[[str, Step, int, float], bool], event_id: str) -> Turn | None:
    """The function that says when the parts of an answer may be delivered; `None` where they need no order."""
    if not given.ordered:
        return None

    def turn(step: Step, index: int, waited: float) -> bool:
        return may(event_id, step, index, waited)

    return turn


def on_loop() -> bool:
    """Whether an event loop runs in this thread: sleeping here would stop all of its tasks."""
    loops = sys.modules.get("asyncio.events")
    return loops is not None and loops._get_running_loop() is not None  # noqa: SLF001  (the check that never raises)


async def sleep(seconds: float) -> None:
    """Sleep on the loop that runs: that of asyncio, else of trio."""
    if on_loop():
        import asyncio  # noqa: PLC0415  (the program has)

        await asyncio.sleep(seconds)
    elif "trio" in sys.modules:
        await sys.modules["trio"].sleep(seconds)


def never() -> NoReturn:
    """Wait for ever; only an exception, such as one of a signal handler, or the loss of the other side ends it."""
    while True:
        sleep_here(_HEARTBEAT)
        if LOOK is not None:
            LOOK()


async def never_on_loop() -> NoReturn:
    """The same on a loop, until the task is cancelled."""
    while True:
        await sleep(_HEARTBEAT)
        if LOOK is not None:
            LOOK()
