"""Which attempt a request is."""

from __future__ import annotations

import asyncio
import threading

from namel3ss_debug.capture.seams.http.attempts import Attempts

KEY = ("hash", None)


def test_an_attempt_takes_up_the_failed_one_before_it_and_counts():
    """The third attempt names the first and counts two; once taken up, a failure is nobody else's."""
    attempts = Attempts()
    assert attempts.take(KEY) is None
    attempts.add_failure(KEY, "2", None)
    second = attempts.take(KEY)
    assert (second.first, second.count) == ("2", 1)
    assert attempts.take(KEY) is None
    attempts.add_failure(KEY, "4", second)
    third = attempts.take(KEY)
    assert (third.first, third.count) == ("2", 2)


def test_an_equal_request_of_another_thread_is_no_retry_while_the_first_one_lives():
    """A failure belongs to its thread; when that is over, whoever asks again goes on from it."""
    attempts = Attempts()
    failed, looked = threading.Event(), threading.Event()

    def fail():
        attempts.add_failure(KEY, "2", None)
        failed.set()
        looked.wait(10)

    thread = threading.Thread(target=fail)
    thread.start()
    failed.wait(10)
    assert attempts.take(KEY) is None
    looked.set()
    thread.join()
    assert attempts.take(KEY).first == "2"


def test_each_task_has_attempts_of_its_own():
    """Of equal requests in tasks, one that fails is repeated by itself; one made by `wait_for` by the next."""
    attempts = Attempts()

    async def fails_then_asks(event_id):
        attempts.add_failure(KEY, event_id, None)
        await asyncio.sleep(0)
        return attempts.take(KEY).first

    async def fails():
        attempts.add_failure(KEY, "9", None)

    async def main():
        firsts = await asyncio.gather(*map(fails_then_asks, "123"))
        await asyncio.create_task(fails())
        return firsts, attempts.take(KEY).first

    assert asyncio.run(main()) == (["1", "2", "3"], "9")


def test_what_is_never_repeated_is_forgotten():
    """The table keeps a bounded number of requests, and of each a bounded number of failures."""
    attempts = Attempts()
    for number in range(1000):
        attempts.add_failure((str(number), None), "2", None)
        attempts.add_failure(KEY, "2", None)
    assert len(attempts._failed) <= 256
    assert len(attempts._failed[KEY]) <= 64
