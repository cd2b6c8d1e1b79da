"""A program that is run again on the inputs of its recording prints what it printed then."""

from __future__ import annotations

import itertools

import pytest

CLOCK = """
import datetime, email.utils, logging, sys, time
logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s")
logging.warning("now")
print(time.time(), time.time_ns(), time.clock_gettime(time.CLOCK_REALTIME))
print(datetime.datetime.now(), datetime.datetime.now(datetime.timezone.utc), datetime.datetime.today())
print(datetime.date.today(), time.localtime(), time.gmtime(), time.strftime("%X"), time.ctime(), time.asctime())
print(email.utils.formatdate(), [time.time_ns() for _ in range(20)])
"""

RANDOMNESS = """
import os, random, secrets, tempfile, uuid
print(random.random(), random.randint(1, 10**9), random.sample(range(1000), 5), random.gauss(0, 1), random.getrandbits(99))
items = list(range(50)); random.shuffle(items); print(items)
print(random.Random().random(), random.SystemRandom().random(), random.choices("abc", k=9), random.randbytes(4))
print(os.urandom(8), secrets.token_urlsafe(), secrets.choice(range(99)), uuid.uuid4(), uuid.uuid1())
random.seed(); print(random.random())
"""

THREADS = """
import random, threading, time, uuid
lines = {}
def work(name):
    for turn in range(5):
        time.sleep(random.random() / 1000)
        lines[name, turn] = name, turn, uuid.uuid4(), time.time(), random.gauss(0, 1), random.choice("abcdef")
        inner = threading.Thread(target=lambda: lines.update({(name, turn, 1): (uuid.uuid4(), time.time_ns())}))
        inner.start(); inner.join()
threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*[(key, lines[key]) for key in sorted(lines)], sep="\\n")
print(random.random())
"""

EXECUTORS = """
import datetime, random, sys, time, uuid
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor
def work(n):
    time.sleep(random.random() / 500)
    return n, uuid.uuid4(), random.random(), datetime.datetime.now()
if __name__ == "__main__":
    with ThreadPoolExecutor(3) as pool:
        print(*pool.map(work, range(8)), sep="\\n")
    with ProcessPoolExecutor(2) as pool:
        print(*pool.map(work, range(6)), sep="\\n")
    print(uuid.uuid4())
"""

WORKERS = """
import anyio, multiprocessing, os, random, sys, time, uuid
from anyio import to_thread
from multiprocessing.pool import ThreadPool
def work(n):
    time.sleep(random.random() / 500)
    return n, uuid.uuid4(), random.random(), time.time()
async def main():
    lines = {}
    async def several(n):
        for turn in range(3):
            lines[n, turn] = await to_thread.run_sync(work, n)
    async with anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(several, n)
    print(*[(key, lines[key]) for key in sorted(lines)], sep="\\n")
if __name__ == "__main__":
    anyio.run(main)
    for pool in multiprocessing.get_context("fork").Pool(3), ThreadPool(3):
        with pool:
            print(*pool.map(work, range(9), chunksize=1), *pool.imap(work, range(4)), pool.apply(work, (7,)), sep="\\n")
    print(uuid.uuid4())
"""

TASKS = """
import asyncio, datetime, random, uuid
async def step(n):
    await asyncio.sleep(random.random() / 200)
    return n, datetime.datetime.now(), uuid.uuid4(), await asyncio.to_thread(lambda: (random.random(), uuid.uuid4()))
async def main():
    print(*await asyncio.gather(*map(step, range(5))), sep="\\n")
    print(random.random(), uuid.uuid4())
asyncio.run(main())
"""

PROCESSES = """
import multiprocessing, os, random, subprocess, sys, time, uuid
def work(queue):
    queue.put((uuid.uuid4().hex, random.random(), time.time(), list({"a", "b", "c", "d"})))
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        for _ in range(2):
            queue = context.SimpleQueue()
            process = context.Process(target=work, args=(queue,)); process.start(); print(method, queue.get()); process.join()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(uuid.UUID, [uuid.uuid4().hex]), pool.apply(time.time), pool.apply(random.random))
    code = "import random, time, uuid; print(uuid.uuid4(), time.time(), random.random(), {'x', 'y', 'z'})"
    for _ in range(2):
        print(subprocess.check_output([sys.executable, "-c", code], text=True), end="")
    print(flush=True)
    if os.fork() == 0:
        print("forked", uuid.uuid4(), random.random(), time.time(), flush=True)
        os._exit(0)
    os.wait()
    print("parent", uuid.uuid4(), random.random(), time.time())
"""

SETS = """
print({"one", "two", "three", "four", "five"}, hash("text"), list(frozenset(map(str, range(50)))))
"""

ENVIRONMENT = """
import os
print(os.environ.get("TOWN"), os.getenv("NOT_SET"), "TOWN" in os.environ, os.environ["STREET"], os.environb[b"TOWN"])
os.environ["TOWN"] = "set here"
print(os.environ["TOWN"], os.environ.get("LATER", "default"))
"""

STDIN = """
import sys
print(input("name? "), next(sys.stdin), sys.stdin.readline(), sys.stdin.buffer.read(3), sys.stdin.read())
"""

ALL = {
    "clock": CLOCK,
    "randomness": RANDOMNESS,
    "threads": THREADS,
    "executors": EXECUTORS,
    "workers": WORKERS,
    "tasks": TASKS,
    "processes": PROCESSES,
    "sets": SETS,
    "environment": ENVIRONMENT,
    "stdin": STDIN,
}
ENVIRON = {"TOWN": "Ghent", "STREET": "Veldstraat", "LATER": "then"}
INPUT = b"Bob\nfirst\nsecond\nthird lines\nlast"


def differing(first, again):
    """The lines that are not as they were."""
    lines = itertools.zip_longest(first.stdout.splitlines(), again.stdout.splitlines())
    return [pair for pair in lines if pair[0] != pair[1]]


@pytest.mark.parametrize("name", ALL)
def test_a_program_prints_again_what_it_printed(programs, name):
    """Everything a program reads from outside comes again, in each thread, task and process."""
    first = programs.record(ALL[name], INPUT, ENVIRON)
    assert first.status == 0, first.stderr
    again = programs.again(ALL[name], first)
    assert differing(first, again) == []
    assert again.seen == first.seen
    assert again.read("new") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_program_prints_the_same_ten_times(programs, name):
    """Ten times out of ten."""
    first = programs.record(ALL[name], INPUT, ENVIRON)
    for _ in range(10):
        assert programs.again(ALL[name], first).seen == first.seen


def test_reads_that_date_cookies_are_not_kept_and_a_rerun_sees_the_time_of_the_recording(programs):
    """What has not expired then has not expired when the program runs again a day later."""
    program = """
import http.client, http.cookiejar, io, time, urllib.request
jar, asked = http.cookiejar.CookieJar(), urllib.request.Request("http://shop.test/")
class Answer:
    def info(self):
        return http.client.parse_headers(io.BytesIO(b"Set-Cookie: a=1; Max-Age=3600\\r\\n\\r\\n"))
now = time.time()
jar.extract_cookies(Answer(), asked)
jar.add_cookie_header(asked)
print(asked.get_header("Cookie"), [abs(cookie.expires - now - 3600) < 60 for cookie in jar])
"""
    first = programs.record(program)
    assert first.stdout == "a=1 [True]\n"
    [places] = first.recorded.clock.values()
    [(key, [now])] = places.items()
    assert "cookiejar" not in key
    trace = first.trace.read_text()
    first.trace.write_text(trace.replace(str(now), str(now - 86_400 * 10**9)))
    again = programs.again(program, first)
    assert again.seen == first.seen
    assert not again.read("new")


def test_a_recording_of_a_rerun_can_be_run_again(programs):
    """What was served is recorded like what was read."""
    program = CLOCK + RANDOMNESS + SETS
    first = programs.record(program)
    second = programs.again(program, first)
    third = programs.again(program, second)
    assert third.seen == first.seen
    assert second.recorded.clock == first.recorded.clock


def test_each_recording_has_its_own_seed(programs):
    """Two recordings draw different numbers and hash differently, as two runs do."""
    program = "import random, uuid; print(random.random(), uuid.uuid4(), hash('text'))"
    first, second = programs.record(program), programs.record(program)
    assert not set(first.stdout.split()) & set(second.stdout.split())


EDITED = """
import time, uuid
def first():
    return time.time_ns()
def second():
    return time.time_ns(), uuid.uuid4()
print(first())
print(second())
print(second())
"""


def test_lines_added_to_a_program_do_not_move_its_reads(programs):
    """Each place gets what it got, and the new one a time between; it is told which one that is."""
    first = programs.record(EDITED)
    edited = EDITED.replace("print(first())", "# added\n\nstarted = time.time_ns()\nprint(first())")
    again = programs.again(edited, first)
    assert again.seen == first.seen
    assert again.read("new") == [{"clock": {"app.py:9": 1}}]


def test_a_read_that_is_new_gets_the_last_time_moved_on(programs):
    """Time goes on from the recording's, not from today's."""
    first = programs.record("import time; print(time.time())")
    again = programs.again("import time; print(time.time())\nprint(time.time())", first)
    told, more = map(float, again.stdout.split())
    assert told == float(first.stdout)
    assert told <= more < told + 60


def test_variables_that_were_set_then_are_set_again(programs):
    """A variable that is gone or changed has its recorded value; one that was not there is not there."""
    first = programs.record(ENVIRONMENT, environment=ENVIRON)
    again = programs.again(ENVIRONMENT, first, {"TOWN": "Bruges", "NOT_SET": "set now"})
    assert again.seen == first.seen


STARTS_ITSELF = """
import os, subprocess, sys, time

if "WORKER" in os.environ:
    print("worker", os.environ["WORKER"], os.environ.get("PLACE"), time.time() > 0, flush=True)
else:
    print("first", flush=True)
    for given in ({"WORKER": "1", "PLACE": "0"}, {"WORKER": "2"}):
        subprocess.run([sys.executable, __file__], env={**os.environ, **given}, check=True)
"""


def test_a_variable_that_a_program_gives_to_a_process_of_its_own_is_not_set_before_it_does(programs):
    """A program that knows by a variable which of its processes it is takes the same way, though that was read twice."""
    first = programs.record(STARTS_ITSELF)
    assert first.stdout == "first\nworker 1 0 True\nworker 2 None True\n"
    assert programs.again(STARTS_ITSELF, first).seen == first.seen


def test_a_variable_that_the_recording_has_not_is_told(programs):
    """A program that reads a further variable is told of, with the line, and gets what it is now."""
    first = programs.record("print(1)")
    again = programs.again("import os\nprint(os.environ['TOWN'])", first, ENVIRON)
    assert again.stdout == "Ghent\n"
    assert again.read("new") == [{"environment": {"app.py:2": 1}}]


@pytest.mark.parametrize("given", ["0", "77"])
def test_a_hash_seed_of_the_users_stays(programs, given):
    """What the user has fixed is recorded, visible to the program, and given again."""
    program = (
        "import os, sys; print(os.environ.get('PYTHONHASHSEED'), sys.flags.hash_randomization, hash('a'))"
    )
    environment = {"PYTHONHASHSEED": given}
    first = programs.record(program, environment=environment)
    assert first.seen == programs.plain(program, environment=environment).seen
    assert programs.again(program, first, environment).seen == first.seen


def test_a_user_who_asks_for_a_random_hash_seed_gets_one_that_can_be_given_again(programs):
    """The program sees the word its user wrote."""
    program = "import os, subprocess; print(os.environ['PYTHONHASHSEED'], flush=True); os.system('echo $PYTHONHASHSEED')"
    environment = {"PYTHONHASHSEED": "random"}
    assert (
        programs.record(program, environment=environment).seen
        == programs.plain(program, b"", environment).seen
    )
    first = programs.record(SETS, environment=environment)
    assert programs.again(SETS, first, environment).seen == first.seen
