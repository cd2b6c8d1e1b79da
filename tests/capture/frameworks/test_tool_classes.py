"""Tools of frameworks that are followed for these alone; against stand-ins with the interface of their classes."""

from __future__ import annotations

import asyncio
import functools
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import tool_classes
from namel3ss_debug.capture.seams.functions import rewrite, tools

OUTCOME = SimpleNamespace(result="SNOW", error=None)
OUTPUT = SimpleNamespace(raw_output="SNOW")


class OfHaystack:
    """A tool that has a function, or a component."""

    def __init__(self, name, function=None, async_function=None, component=None):
        self.name = name
        self.function = function or component.run
        self.async_function = async_function
        self._component = component

    def invoke(self, **kwargs):
        """Call it."""
        return self.function(**kwargs)

    async def invoke_async(self, **kwargs):
        """Call it on a loop, in a thread where it is made for none."""
        if self.async_function is None:
            return await asyncio.to_thread(self.invoke, **kwargs)
        return await self.async_function(**kwargs)


class OfAgno:
    """A call of a tool, which says what came of it."""

    def __init__(self, name, function, outcome=OUTCOME):
        self.function = SimpleNamespace(name=name, entrypoint=function)
        self.arguments = {"word": "snow"}
        self.call_id = "c1"
        self.outcome = outcome

    def execute(self):
        """Make it."""
        self.function.entrypoint(**self.arguments)
        return self.outcome

    async def aexecute(self):
        """Make it on a loop."""
        return self.execute()


class OfLlamaIndex:
    """A tool that may be given the context of its workflow."""

    ctx_param_name = "ctx"

    def __init__(self, name, function):
        self.metadata = SimpleNamespace(get_name=lambda: name)
        self.real_fn = self.fn = self.async_fn = function

    def call(self, *args, ctx=None, **kwargs):
        """Call it."""
        self.fn(*args, **kwargs)
        return OUTPUT

    async def acall(self, *args, **kwargs):
        """Call it on a loop."""
        return self.call(*args, **kwargs)


class OfDspy:
    """A tool that is called as its function is."""

    def __init__(self, name, func):
        self.name = name
        self.func = func

    def __call__(self, **kwargs):
        """Call it."""
        return self.func(**kwargs)

    async def acall(self, **kwargs):
        """Call it on a loop."""
        return self.func(**kwargs)


class OfCamel:
    """A tool whose name stands in its schema."""

    def __init__(self, name, func):
        self.openai_tool_schema = {"function": {"name": name}}
        self.func = func

    def __call__(self, **kwargs):
        """Call it."""
        return self.func(**kwargs)

    async def async_call(self, **kwargs):
        """Call it on a loop, in a thread."""
        call = functools.partial(self.func, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(None, call)


class OfAutogen:
    """A tool of which a span of OpenTelemetry tells when it runs."""

    def __init__(self, name, function=None):
        self.name = name
        if function is not None:
            self._func = function

    def run(self, args, token=None):
        """Run it."""
        return self._func(**args)


class OfSemanticKernel:
    """A function that has another name in each plugin."""

    def __init__(self, method, plugin):
        self.method = method
        self.fully_qualified_name = f"{plugin}-look"

    def function_copy(self, plugin):
        """The same in another plugin."""
        copy = object.__new__(type(self))
        copy.__dict__ = self.__dict__ | {"fully_qualified_name": plugin}
        return copy


class OfStrands:
    """A decorated function."""

    def __init__(self, tool_name, tool_func):
        self.tool_name = tool_name
        self._tool_func = tool_func


class OfAgentFramework:
    """A tool whose calls its spans report."""

    def __init__(self, name, func):
        self.name = name
        self.func = func


STAND_INS = {
    "agent_framework._tools": OfAgentFramework,
    "agno.tools.function": OfAgno,
    "autogen_core.tools._base": OfAutogen,
    "camel.toolkits.function_tool": OfCamel,
    "dspy.adapters.types.tool": OfDspy,
    "haystack.tools.tool": OfHaystack,
    "llama_index.core.tools.function_tool": OfLlamaIndex,
    "semantic_kernel.functions.kernel_function_from_method": OfSemanticKernel,
    "strands.tools.decorator": OfStrands,
}


@pytest.fixture(autouse=True)
def followed(structure):
    """Follow the classes of this file, each under the name that the module has for it."""
    undo = []
    for name, kind in STAND_INS.items():
        module = SimpleNamespace(__name__=name, **{tool_classes._CLASSES[name].name: kind})
        undo += tool_classes.follow(module, structure)
    yield
    while undo:
        undo.pop()()


def on_a_loop(call, **kwargs):
    """Call a coroutine function to its end."""
    return asyncio.run(call(**kwargs))


CALLS = {
    "agno": lambda look: OfAgno("lookup", look).execute(),
    "agno on a loop": lambda look: on_a_loop(OfAgno("lookup", look).aexecute),
    "camel": lambda look: OfCamel("lookup", look)(word="snow"),
    "camel in a thread": lambda look: on_a_loop(OfCamel("lookup", look).async_call, word="snow"),
    "dspy": lambda look: OfDspy("lookup", look)(word="snow"),
    "dspy on a loop": lambda look: on_a_loop(OfDspy("lookup", look).acall, word="snow"),
    "haystack": lambda look: OfHaystack("lookup", look).invoke(word="snow"),
    "haystack in a thread": lambda look: on_a_loop(OfHaystack("lookup", look).invoke_async, word="snow"),
    "llama-index": lambda look: OfLlamaIndex("lookup", look).call(word="snow", ctx=object()),
    "llama-index on a loop": lambda look: on_a_loop(OfLlamaIndex("lookup", look).acall, word="snow"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_tool_of_another_name_is_recorded_where_its_function_runs(own, call, one_call_of_lookup):
    """Once, also where one method of the class calls another, and what it returns is what it was."""
    assert call(own.look) in ("SNOW", OUTCOME, OUTPUT)
    own.look("a helper of the program")
    one_call_of_lookup()


def test_an_argument_by_place_has_the_name_that_the_function_gives_it(own, one_call_of_lookup):
    """As LlamaIndex gives the only one that a tool takes."""
    assert OfLlamaIndex("lookup", own.look).call("snow") is OUTPUT
    one_call_of_lookup()


def test_a_component_of_haystack_is_what_its_tool_runs(own, one_call_of_lookup):
    """The tool itself has a function of the framework's."""
    component = SimpleNamespace(run=own.look)
    names = {"component": component, "__name__": "haystack.tools.component_tool"}
    exec("def invoke(**given): return component.run(**given)", names)
    assert OfHaystack("lookup", names["invoke"], component=component).invoke(word="snow") == "SNOW"
    one_call_of_lookup()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_function_that_is_not_seen_is_told_by_its_framework(call, recorded):
    """What it is called with, what it returned, and who tells of it; a function in C cannot be reached."""
    call(dict)
    start, end = recorded()
    assert (start["event_type"], start["component_name"]) == ("tool_call_start", "lookup")
    assert start["inputs"]["arguments"] == {"word": "snow"}
    assert (start["metadata"]["seen"], start["metadata"]["scope"]) == (False, __name__)
    assert end["outputs"]["result"] in ({"word": "snow"}, "SNOW")  # some have an outcome of their own


def test_what_fails_has_failed_and_shows_none_of_our_frames(recorded):
    """By an exception, on a loop as well, or by what the outcome says."""
    for call in (OfDspy("lookup", str).__call__, functools.partial(on_a_loop, OfDspy("lookup", str).acall)):
        with pytest.raises(TypeError) as caught:
            call(word="snow")
        files = {frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)}
        assert not any(name.endswith("tool_classes.py") for name in files - {__file__})
    OfAgno("lookup", dict, SimpleNamespace(result=None, error="no snow")).execute()
    ends = [event for event in recorded() if event["event_type"] == "tool_call_end"]
    assert [end["status"] for end in ends] == ["failed"] * 3
    assert ends[-1]["error"] == "no snow"


def test_a_version_without_methods_for_loops_is_followed(structure, recorded):
    """Haystack of a year ago calls its tools in one way."""

    class Tool:
        name, function = "lookup", None

        def invoke(self, word):
            return word.upper()

    undo = tool_classes.follow(SimpleNamespace(__name__="haystack.tools.tool", Tool=Tool), structure)
    assert Tool().invoke(word="snow") == "SNOW"
    undo[0]()
    assert [event["component_name"] for event in recorded() if "component_name" in event][:1] == ["lookup"]


def test_the_tool_by_which_an_agent_of_dspy_ends_is_none(recorded):
    """It is the framework's own; one of the program's of that name is a tool."""
    done = functools.partial(str)
    done.__module__ = "dspy.predict.react"
    OfDspy("finish", done)()
    OfDspy("finish", str)()
    assert [event["component_name"] for event in recorded()] == ["finish", "finish"]


LEARNED = {
    "agent-framework": lambda own: OfAgentFramework("lookup", own.look),
    "autogen": lambda own: OfAutogen("lookup", own.look),
    "semantic-kernel": lambda own: OfSemanticKernel(own.look, "words").function_copy("lookup"),
    "strands": lambda own: OfStrands("lookup", own.look),
    "a partial": lambda own: OfStrands("lookup", functools.partial(own.look)),
}


@pytest.mark.parametrize("make", LEARNED.values(), ids=LEARNED)
def test_what_a_tool_runs_is_known_before_a_span_tells_of_it(own, make, structure, one_call_of_lookup):
    """Then the function is what is recorded."""
    make(own)
    structure.begin_tool(1, "lookup", {"word": "snow"})
    own.look("snow")
    structure.end_tool(1, "SNOW")
    one_call_of_lookup()


OWN = """
class Look(OfAutogen):
    def run(self, args, token=None):
        return args["word"].upper()
"""


def test_a_class_of_autogen_is_given_all_arguments_at_once(tracer, structure, one_call_of_lookup):
    """They are those of the tool; a token to cancel it by is none."""
    _calls, uninstall = tools.install(tracer)
    names = {"OfAutogen": OfAutogen}
    exec(rewrite.compile_source(OWN, str(Path.cwd() / "own_tools.py")), names)
    tool = names["Look"]("lookup")
    structure.begin_tool(1, "lookup", None)
    assert tool.run({"word": "snow"}, token=object()) == "SNOW"
    structure.end_tool(1, "SNOW")
    uninstall()
    one_call_of_lookup()
