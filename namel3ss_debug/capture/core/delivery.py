"""Deliver recorded answers to the program so that they end in their recorded order, and if requested, at their pace.

A seam waits before each part: for the recorded time, and before the end for its turn. In asynchronous code it waits on the loop, so that other work goes on; elsewhere it
sleeps. Code that blocks a running loop while it waits is let through at once: nothing that it could wait for would
arrive meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock, get_ident
from time import sleep as sleep_here
from typing import Any, NoReturn

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.answers import CallReply, Step
from namel3ss_debug.traces.clocks import monotonic

TakeTurn = Callable[[float], bool]
"""Returns whether an answer may end now, for the seconds that it has waited already."""

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.005
_GROWTH = 1.5
_NO_MORE_WAITING = 1e9  # seconds of waiting that are enough for every answer
_HEARTBEAT = 1.0
_TURN_SECONDS = 0.002  # for so long a thread that got an answer goes first
_LONGEST_CALL = (
    0.05  # so much longer if it is inside a call that works on the answer; its thread may have ended
)
_LONGEST_QUESTION = 0.1
_LOOP_TURNS = 5

CHECK_CONNECTION: Callable[[], None] | None = None
"""Checks that the shell is still connected, and ends the program if not; set where a trace answers the calls."""

_question_lock = Lock()
_ended: list[float] = [0, 0.0]
"""The thread, or task of trio, that got the last end of an answer, and when."""

_task_with_answer: list[tuple[Any, int]] = [(None, 0)]
"""The loop on which a task has just got the end of an answer, and the identity of the task."""


class Delivery:
    """Delivers one answer.

    Args:
        turn: called before the end; `None` if it need not wait for others.
        delays: seconds before the head, before each piece and before the end; those that are missing are 0.
        pieces: how many pieces there are.
    """

    def __init__(self, turn: TakeTurn | None = None, delays: Sequence[float] = (), pieces: int = 0) -> None:
        self._turn = turn
        self._delays = delays
        self._pieces = pieces
        self._task = 0 if turn is None else id(context.current_task())

    def pauses(self, step: Step, index: int = 0) -> Iterator[float]:
        """Yield seconds to wait, again and again, until the part may be delivered."""
        delay = self._delay(step, index)
        if delay > 0:
            yield delay
        if step != "end":
            return
        if self._turn is None:
            _ended[:] = _current_worker(), monotonic()
            return
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            loop, task = _task_with_answer[0]
            if loop is not None and task != self._task and loop is context.running_loop():
                # another task of this loop has just got the end of its answer, and may not have used it yet
                yield 0.0
                continue
            left = _seconds_of_another()
            if left > 0:
                yield min(left, _TURN_SECONDS)
                continue
            if self._try_end(waited):
                break
            before = monotonic()
            yield pause
            # a sleep of this thread may take much longer while the program is busy; that does not count as waiting
            waited += min(monotonic() - before, 2 * pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        self._give_task_turns()

    def _try_end(self, waited: float) -> bool:
        """Return whether the answer may end now. One thread asks at a time, so that each knows who got an end."""
        assert self._turn is not None
        alone = _question_lock.acquire(blocking=False)
        if (
            not alone and waited < _LONGEST_QUESTION
        ):  # a lock that is kept for longer belongs to a thread that a fork has not copied
            return False
        try:
            if _seconds_of_another() > 0 or not self._turn(waited):
                return False
            _ended[:] = _current_worker(), monotonic()
            return True
        finally:
            if alone:
                _question_lock.release()

    def _give_task_turns(self) -> None:
        """Give the task that gets this end a few turns of its loop before other tasks get anything.

        So it uses its answer first, as it did when answers came from a network, however many callbacks of the loop are
        between the answer and the task.
        """
        loop = context.running_loop()
        if loop is None:
            return
        entry = _task_with_answer[0] = (loop, self._task)

        def count_turns(left: int) -> None:
            if left:
                loop.call_soon(count_turns, left - 1)
            elif _task_with_answer[0] is entry:
                _task_with_answer[0] = (None, 0)

        count_turns(_LOOP_TURNS)

    def wait(self, step: Step, index: int = 0) -> None:
        """Wait until the part may be delivered."""
        if not on_loop():
            for pause in self.pauses(step, index):
                sleep_here(pause)
            return
        sleep_here(self._delay(step, index))
        if step == "end" and self._turn is not None and not self._turn(0.0):
            self._turn(_NO_MORE_WAITING)

    async def reach(self, step: Step, index: int = 0) -> None:
        """Wait on a loop. The loop gets a turn in any case, as it does while a task waits for the network."""
        await sleep(0)
        for pause in self.pauses(step, index):
            await sleep(pause)

    def _delay(self, step: Step, index: int) -> float:
        index = 0 if step == "head" else index + 1 if step == "piece" else self._pieces + 1
        return self._delays[index] if index < len(self._delays) else 0.0


def extend_turn() -> None:
    """Let others wait longer for this thread, which has the end of its answer and works on it until `end_turn`."""
    if _ended[0] == _current_worker():
        _ended[1] += _LONGEST_CALL


def end_turn() -> None:
    """Let others go on soon: the call of this thread has returned its answer to the program."""
    if _ended[0] == _current_worker():
        _ended[1] = monotonic()


def _seconds_of_another() -> float:
    """Return for how many seconds another thread, or task of trio, that has just got the end of its answer goes first.

    Later work of that thread cannot be kept in order. Answers of real servers came further apart than this.
    """
    worker, moment = _ended
    return 0.0 if worker == _current_worker() else _TURN_SECONDS - (monotonic() - moment)


def _current_worker() -> int:
    """Return the identity of what uses an answer by itself: a thread, with its asyncio loop, or a task of trio."""
    trio = sys.modules.get("trio")
    if trio is not None and not on_loop():
        # fails in a thread without trio, or while trio is being imported
        with suppress(RuntimeError, AttributeError):
            return id(trio.lowlevel.current_task())
    return get_ident()


def delivery_turn(reply: CallReply, may_end: Callable[[str, float], bool], event_id: str) -> TakeTurn | None:
    """Return the function that asks for the turn of an answer; `None` if it needs no order."""
    return partial(may_end, event_id) if reply.ordered else None


def on_loop() -> bool:
    """Return whether an event loop runs in this thread: sleeping here would stop all of its tasks."""
    loops = sys.modules.get("asyncio.events")
    return loops is not None and loops._get_running_loop() is not None  # the check that never raises


async def sleep(seconds: float) -> None:
    """Sleep on the running loop, of asyncio or of trio."""
    if on_loop():
        import asyncio  # the program has

        await asyncio.sleep(seconds)
    elif "trio" in sys.modules:
        await sys.modules["trio"].sleep(seconds)


def wait_forever() -> NoReturn:
    """Wait forever; only an exception, such as one of a signal handler, or a lost connection ends it."""
    while True:
        sleep_here(_HEARTBEAT)
        if CHECK_CONNECTION is not None:
            CHECK_CONNECTION()


async def wait_forever_on_loop() -> NoReturn:
    """Wait forever on a loop, until the task is cancelled or the connection is lost."""
    while True:
        await sleep(_HEARTBEAT)
        if CHECK_CONNECTION is not None:
            CHECK_CONNECTION()
