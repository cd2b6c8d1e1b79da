"""Run the examples of the documents that the project comes from, with nothing changed but their import lines."""

from __future__ import annotations

import ast
import asyncio
import inspect
import textwrap

import pytest

from namel3ss_debug import shutdown_tracing


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Return a function that runs the text of an example, where `await` may stand outside of functions."""
    monkeypatch.chdir(tmp_path)
    variables = {}

    def run(source, **names):
        variables.update(names)
        code = compile(textwrap.dedent(source), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, variables)
        if inspect.iscoroutine(result):
            asyncio.run(result)
        return variables

    yield run
    shutdown_tracing()
