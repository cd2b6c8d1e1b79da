from namel3ss_debug.analysis.failures.failing_code import find_failing_code, list_code_lines
from namel3ss_debug.analysis.failures.steps import SpanStep

STACK = """Traceback (most recent call last):
  File "/home/u/shop/app.py", line 30, in price
    total = float(
            ^^^^^^
        found["price"])
        ^^^^^^^^^^^^^^^
  File "/venv/lib/python3.12/site-packages/money/parse.py", line 7, in parse
    raise ValueError(text)
ValueError: 12,95
"""
EXECUTED = 'Traceback (most recent call last):\n  File "/x/app.py", line 3, in run\n    exec(code)\n  File "<string>", line 2, in <module>\nKeyError: 1\n'


def failed(stack, **arguments):
    """A call that failed with a stack trace."""
    start = {"component": "tool", "inputs": {"arguments": arguments}}
    return SpanStep(4, 5, start, {"status": "failed", "stack_trace": stack}, 0, -1)


def test_the_line_is_the_last_of_the_program():
    """Not the library's, which is named beside it; a path below the working directory is relative."""
    assert find_failing_code(failed(STACK), "/home/u/shop") == {
        "number": 5,
        "file": "app.py",
        "line": 30,
        "function": "price",
        "code": 'total = float(\nfound["price"])',
        "raised_at": "money/parse.py:7",
    }
    assert find_failing_code(failed(STACK), "/home/u/sho")["file"] == "/home/u/shop/app.py"


def test_the_line_of_code_that_a_tool_executed_is_in_its_arguments():
    """Python knows only `<string>` and the number."""
    found = find_failing_code(failed(EXECUTED, code="rows = {}\nrows[1]\n"))
    assert (found["file"], found["line"], found["code"]) == ("<string>", 2, "rows[1]")
    assert find_failing_code(failed(EXECUTED, n=3))["code"] is None


def test_a_step_without_a_line_of_the_program_has_none():
    """No stack trace, one of a library alone, or one that is no text."""
    library = STACK.replace("/home/u/shop/app.py", "/usr/lib/python3.12/json/decoder.py")
    assert [find_failing_code(failed(stack)) for stack in (None, "boom", library, 7)] == [None] * 4


def test_the_lines_in_the_output_of_an_executor_are_listed():
    """The innermost first."""
    step = SpanStep(1, 2, {}, {"outputs": {"result": {"stderr": STACK}}}, 0, -1)
    assert list_code_lines(step)[0] == "raise ValueError(text)"
