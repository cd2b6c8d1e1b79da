"""Exceptions that the user's own code handles are recorded, and handling them stays what it was."""

import ast
import asyncio
import sys
import textwrap
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

import namel3ss_debug
from namel3ss_debug.capture.seams.functions import handlers, rewrite
from namel3ss_debug.traces.reader import open_trace

SOME = [
    "x += 1",
    "pass",
    "return x",
    "return f(-x)",
    "return",
    "raise",
    "raise KeyError(x)",
    "raise ValueError(x) from None",
    "raise ValueError(x) from KeyError(1)",
    "raise ExceptionGroup('g', [KeyError(x), ValueError(x)])",
    "f(-x)",
    "note()",
    "{}[x]",
    "int('x')",
]
BLOCKS = [
    "if x % 2:",
    "with suppress(ValueError):",
    "for i in range(2):",
    "while x < 5:\n  x += 1",
    "try:finally:",
    "try:except KeyError:",
    "try:except KeyError as e:",
    "try:except (ValueError, TypeError) as e:",
    "try:except Exception:",
    "try:except:",
    "try:except* KeyError as g:",
    "try:except KeyError:else:",
    "try:except ValueError:finally:",
]


def in_loop(head):
    """Whether `break` and `continue` may stand in the block."""
    return head.startswith(("for", "while"))


statements = st.recursive(
    st.sampled_from(SOME),
    lambda inner: st.tuples(
        st.sampled_from(BLOCKS),
        st.lists(st.lists(inner, min_size=1, max_size=3), min_size=3, max_size=3),
        st.sampled_from(["", "", "break", "continue"]),
    ),
    max_leaves=14,
)


def lines_of(statement, indent, leave=""):
    """The source of a generated statement; `leave` is what may end its blocks, out of `break` and `continue`."""
    if isinstance(statement, str):
        return [indent + statement]
    head, blocks, wish = statement
    leave = wish if in_loop(head) else leave
    starred = head.startswith("try:except*")
    clauses = [head] if not head.startswith("try:") else []
    if not clauses:
        clauses = ["try:", *(f"{each}:" for each in head[4:].split(":") if each)]
    lines = []
    for clause, block in zip(clauses, blocks, strict=False):
        first, *more = clause.split("\n")
        lines += [indent + first, *(indent + each for each in more)]
        plain = starred and clause.startswith("except*")  # nothing may leave it, except by raising
        body = [line for part in block for line in lines_of(part, indent + "  ", "" if plain else leave)]
        if plain:
            body = [line.replace("return", "pass #") for line in body]
        lines += body
        if leave and not plain and clause != "finally:":
            lines.append(f"{indent}  {leave}")
    return lines


def chain(error):
    """An exception with all that a program can see of it: its text, its lines, and those that it follows from."""
    seen = []
    while error is not None and len(seen) < 20:
        lines = [
            (frame.name, frame.lineno)
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == "<f>"
        ]
        seen.append((repr(error), lines, repr(error.__cause__), error.__suppress_context__))
        error = error.__context__
    return seen


def behaviour(code, kind):
    """What a program can see of the code: results, exceptions, what is handled meanwhile, and the lines that run."""
    from contextlib import suppress

    out, lines = [], set()

    def note():
        out.append(chain(sys.exception()))

    def local(frame, event, _argument):
        if event == "line":
            lines.add(frame.f_lineno)
        return local

    def observe(frame, _event, _argument):
        return local if frame.f_code.co_filename == "<f>" else None

    namespace = {"note": note, "suppress": suppress}
    exec(code, namespace)
    before = sys.gettrace()
    sys.settrace(observe)
    try:
        result = namespace["f"](3)
        if kind == "generator":
            result = list(result)
        elif kind == "async":
            result = asyncio.run(result)
    except Exception as error:
        result = chain(error)
    finally:
        sys.settrace(before)
    return result, out, chain(sys.exception()), lines


def source_of(body, kind):
    """The source of a generated function."""
    lines = [line for part in body for line in lines_of(part, "  ")]
    base, last = "return -1", ""
    if kind == "generator":
        base, last = "return [][:0]", "  if x < 0: yield"
        lines = [
            line.replace("x += 1", "x += 1; yield x").replace("f(-x)", "len(list(f(-x)))") for line in lines
        ]
    elif kind == "async":
        lines = [line.replace("f(-x)", "await f(-x)") for line in lines]
    head = "async def" if kind == "async" else "def"
    return "\n".join([f"{head} f(x):", f"  if x <= 0: {base}", *lines, last])


@pytest.mark.filterwarnings("ignore:.* in a 'finally' block:SyntaxWarning")
def test_generated_handlers_behave_as_before(tmp_path):
    """Results, exception chains with their lines, `sys.exception()` inside and after, and the lines that run are equal."""

    @given(st.lists(statements, min_size=1, max_size=4), st.sampled_from(["plain", "generator", "async"]))
    def check(body, kind):
        source = source_of(body, kind)
        expected = behaviour(compile(source, "<f>", "exec"), kind)
        assert behaviour(rewrite.compile_source(source, "<f>"), kind)[:3] == expected[:3]
        tree = ast.parse(source)
        handlers.edit_clauses(tree.body, "<f>", lambda _: True)
        assert behaviour(compile(tree, "<f>", "exec"), kind) == expected

    namel3ss_debug.initialize_tracing(trace_output_dir=str(tmp_path), record_randomness=False)
    try:
        check()
    finally:
        namel3ss_debug.shutdown_tracing()


@pytest.fixture
def handled(tmp_path, monkeypatch):
    """Run a program in a recording; the result returns its variables, the handled exceptions, and what was counted."""
    monkeypatch.chdir(tmp_path)

    def run(source, **settings):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(source))
        namel3ss_debug.initialize_tracing(trace_output_dir="traces", record_randomness=False, **settings)
        namespace = {"__name__": "program"}
        try:
            exec(rewrite.compile_source(path.read_text(), str(path)), namespace)
        finally:
            trace = namel3ss_debug.shutdown_tracing()
        events = list(open_trace(trace).events())
        counted = [
            event["metadata"].get("handled", []) for event in events if event["event_type"] == "trace_end"
        ]
        return (
            namespace,
            [event for event in events if event["event_type"] == "exception_handled"],
            counted[0],
        )

    return run


def short(event):
    """What an event says, without ids and times."""
    metadata = event["metadata"]
    value = event.get("outputs", {}).get("result", "none")
    return (
        event["call_site"],
        event["error_type"],
        event["error"],
        metadata["exit"],
        value,
        metadata["raised_at"],
    )


def test_a_handled_exception_is_an_event_with_what_the_clause_returns(handled):
    """Type, text, the line of the clause, the line that raised, the function, and the value of `return`."""
    _, events, counted = handled("""
        class Shop:
            def convert(self, amount):
                try:
                    return {"eur": float(amount)}
                except ValueError:
                    return {"eur": 0}

        Shop().convert("x")
        """)
    (event,) = events
    text = "could not convert string to float: 'x'"
    assert short(event) == ("program.py:6", "ValueError", text, "return", {"eur": 0}, "program.py:5")
    assert event["metadata"]["function"] == "Shop.convert"
    assert event["status"] == "completed"
    assert not counted


def test_how_a_clause_is_left_is_recorded(handled):
    """At its end, which is a `continue` at the end of a loop, by `break` or `continue`, or by `return`; raising is none."""
    _, events, _ = handled("""
        def f():
            try: {}["a"]
            except KeyError: pass
            for number in range(1):
                try: {}["b"]
                except KeyError: pass
            for number in range(3):
                try: {}["c"]
                except KeyError:
                    if number == 0:
                        continue
                    for each in [1]:
                        break
                    break
            try:
                try: {}["d"]
                except KeyError: raise
                finally: pass
            except KeyError as error: return
        try:
            f()
            try: int("e")
            except ValueError as error: raise TypeError("f") from error
        except TypeError: done = True
        """)
    assert [(event["error"], event["metadata"]["exit"]) for event in events] == [
        ("'a'", "end"), ("'b'", "continue"), ("'c'", "continue"), ("'c'", "break"), ("'d'", "return"), ("f", "end"),
    ]  # fmt: skip


def test_clauses_in_clauses_are_left_together(handled):
    """A `return` from an inner clause has handled the exception of the outer one too."""
    _, events, _ = handled("""
        def other():
            try: [][0]
            except IndexError: pass
            int("x")

        def f():
            try: {}["a"]
            except KeyError:
                try: other()
                except ValueError: return 5
        f()
        """)
    assert [(event["error_type"], event.get("outputs")) for event in events] == [
        ("IndexError", None), ("ValueError", {"result": 5}), ("KeyError", {"result": 5}),
    ]  # fmt: skip


def test_generators_coroutines_and_groups_are_recorded(handled):
    """A clause handles where it ends, whenever that is; a group is recorded with the part that was caught."""
    _, events, _ = handled("""
        import asyncio

        def numbers():
            for text in ("1", "x"):
                try: yield int(text)
                except ValueError:
                    yield -1

        async def fetch():
            try: raise TimeoutError("late")
            except TimeoutError:
                await asyncio.sleep(0)
                return "nothing"

        list(numbers()), asyncio.run(fetch())
        try: raise ExceptionGroup("both", [KeyError("k"), ValueError("v")])
        except* KeyError: pass
        except* ValueError as group: pass
        """)
    assert [(event["error_type"], event["error"]) for event in events] == [
        ("ValueError", "invalid literal for int() with base 10: 'x'"),
        ("TimeoutError", "late"),
        ("ExceptionGroup", "both (1 sub-exception)"),
        ("ExceptionGroup", "both (1 sub-exception)"),
    ]


def test_the_first_of_a_clause_are_events_and_the_others_are_counted(handled):
    """Each type at each clause has its own count, in `trace_end` if not all are events."""
    _, events, counted = handled("""
        for number in range(30):
            try:
                if number % 10 == 9: int("x")
                {}["a"]
            except (KeyError, ValueError):
                pass
        """)
    assert [event["error_type"] for event in events].count("ValueError") == 3
    assert len(events) == handlers.MOST_EVENTS + 3
    assert counted == [{"call_site": "program.py:6", "error_type": "KeyError", "times": 27}]


def test_an_ordinary_way_to_end_is_only_counted(handled):
    """The end of an iterator or a queue, a missing module and a cancelled task are no events."""
    _, events, counted = handled("""
        import asyncio, queue

        async def stop():
            try: await asyncio.sleep(9)
            except asyncio.CancelledError: return
        async def main():
            task = asyncio.create_task(stop())
            await asyncio.sleep(0)
            task.cancel()
            await task

        try: import there_is_no_such_module
        except ImportError: pass
        try: next(iter(()))
        except StopIteration: pass
        try: queue.Queue().get_nowait()
        except queue.Empty: pass
        try: raise KeyboardInterrupt
        except KeyboardInterrupt: pass
        asyncio.run(main())
        """)
    assert not events
    assert {row["error_type"] for row in counted} == {
        "ModuleNotFoundError", "StopIteration", "Empty", "KeyboardInterrupt", "CancelledError",
    }  # fmt: skip


def test_an_event_belongs_to_the_span_it_happened_in(handled):
    """Component and name are those of the span; outside of spans it is the program's."""
    namespace, events, _ = handled(
        """
        def look():
            try: {}["a"]
            except KeyError: return None
        look()
        with tracer.span("tool", "search"):
            look()
        """.replace("tracer", "__import__('namel3ss_debug').get_global_tracer()")
    )
    assert [(event["component"], event.get("component_name")) for event in events] == [
        ("app", None),
        ("tool", "search"),
    ]
    assert "parent_event_id" in events[1]
    assert namespace["look"]() is None  # edited code works without a trace too


def test_nothing_is_recorded_at_level_basic(handled):
    """Without payloads there is no event."""
    _, events, counted = handled("try: {}['a']\nexcept KeyError: pass", level="basic")
    assert (events, counted) == ([], [])


def test_secrets_in_text_and_value_are_redacted(handled, tmp_path):
    """A handled exception shows no more than other events."""
    key = "sk-proj-" + "a1B2c3D4" * 5
    handled(f"""
        def f():
            try: raise ValueError("bad key {key}")
            except ValueError: return {{"api_key": "{key}"}}
        f()
        """)
    assert all(key.encode() not in path.read_bytes() for path in (tmp_path / "traces").glob("*.jsonl"))


def test_no_exception_frame_or_value_is_kept(handled):
    """They are gone as soon as without recording, without a collection of cycles."""
    namespace, events, _ = handled("""
        import gc, weakref

        class Problem(Exception): pass
        class Value: pass

        def f():
            local = Value()
            kept.append(weakref.ref(local))
            try:
                error = Problem("x")
                kept.append(weakref.ref(error))
                raise error
            except Problem:
                del error
                return Value()

        kept = []
        gc.disable()
        kept.append(weakref.ref(f()))
        gone = [each() is None for each in kept]
        gc.enable()
        """)
    assert namespace["gone"] == [True, True, True]
    assert len(events) == 1


def test_a_handler_at_the_limit_of_the_stack_still_handles(handled):
    """What our call raises there does not reach the program."""
    namespace, _, _ = handled("""
        def deep(n):
            try: return deep(n + 1)
            except RecursionError: return n
        reached = deep(0)
        """)
    assert namespace["reached"] > 500


def test_an_exception_that_cannot_be_shown_is_recorded_without_its_text(handled):
    """Neither a text that raises nor one that handles exceptions itself disturbs the program."""
    _, events, _ = handled("""
        class Silent(Exception):
            def __str__(self): raise RuntimeError
        class Busy(Exception):
            def __str__(self): return look()
        def look():
            try: raise Busy
            except Busy: return "looked"
        try: raise Silent
        except Silent: pass
        try: raise Busy
        except Busy: pass
        """)
    assert [event["error"] for event in events] == ["<Silent whose text cannot be read>", "looked"]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n  try: {}['a']\n  except KeyError: return sorted(locals())\nresult = f()",
        "class A:\n  def __repr__(self):\n    try: {}['a']\n    except KeyError: return 'A'\nresult = repr(A())",
        "def jit(f): return f\n@jit\ndef f():\n  try: {}['a']\n  except KeyError: return 1\nresult = f()",
    ],
)
def test_some_functions_stay_as_they_are(handled, source):
    """One that looks at its locals, a special method that recording may call, one that is compiled elsewhere."""
    namespace, events, _ = handled(source)
    plain = {}
    exec(source, plain)
    assert namespace["result"] == plain["result"]
    assert not events


def test_a_statement_of_a_cell_shows_no_result_of_ours():
    """An interactive statement displays each expression, so only the functions in it are edited."""
    shown = []
    tree = ast.parse("try: {}['a']\nexcept KeyError: pass\n", mode="single")
    code = rewrite.compile_statements(
        tree, compile(tree, "<cell>", "single"), "<cell>", lambda edited: compile(edited, "<cell>", "single")
    )
    before, sys.displayhook = sys.displayhook, shown.append
    try:
        exec(code, {})
    finally:
        sys.displayhook = before
    assert shown == []


def test_threads_count_together(handled):
    """No exception is lost or counted twice where threads handle them at the same time."""
    _, events, counted = handled("""
        import threading

        def work():
            for _ in range(500):
                try: {}["a"]
                except KeyError: pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """)
    assert len(events) == handlers.MOST_EVENTS
    assert [row["times"] for row in counted] == [2000]


def test_a_forked_process_counts_for_itself(handled, tmp_path):
    """Its first exceptions are events, and what it counts is in its own end."""
    handled("""
        import os

        def work(times):
            for _ in range(times):
                try: {}["a"]
                except KeyError: pass

        work(25)
        child = os.fork()
        if not child:
            import namel3ss_debug
            work(22)
            namel3ss_debug.shutdown_tracing()
            os._exit(0)
        os.waitpid(child, 0)
        """)
    (first,) = (
        path
        for path in (tmp_path / "traces").glob("trace_*.jsonl")
        if path.stem.count(".") == 0 and not path.is_symlink()
    )
    events = list(open_trace(first).events())
    assert [event["event_type"] for event in events].count("exception_handled") == 2 * handlers.MOST_EVENTS
    counted = [
        event["metadata"]["handled"][0]["times"] for event in events if event["event_type"] == "trace_end"
    ]
    assert sorted(counted) == [22, 25]
