"""Tests of the comparison of the code behind tools, of a project on disk that is edited after it was recorded."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from namel3ss_debug.replay.rerun.source_files import SourceFiles, add_recorded_files
from namel3ss_debug.replay.rerun.tool_code import (
    CHANGED,
    UNCHANGED,
    UNKNOWN,
    ChangedData,
    RecordedCode,
    TraceCode,
)
from namel3ss_debug.traces.definitions import (
    digest_definitions,
    digest_source,
    find_definitions,
    parse_source,
)

PROJECT = {
    "config.py": """
        RATE = 1.1
        PRICES = {"tea": 2, "milk": 1}
        PRICES["salt"] = 3
        UNUSED = 7
        """,
    "helpers.py": """
        import logging
        from config import RATE
        from tools import looped

        logger = logging.getLogger(__name__)

        def normalise(name):
            logger.debug("normalise %s", name)
            stripped = name.strip()
            return stripped.lower()

        def deeper(value: float) -> float:
            return round(value * RATE)

        class Base:
            factor = 2
            def scale(self, value):
                return value * self.factor
            def total(self):
                return 0

        def unrelated():
            return 1
        """,
    "registry.py": """
        HANDLERS = {}

        def handler(name):
            def register(function):
                HANDLERS[name] = function
                return function
            return register
        """,
    "handlers.py": """
        from registry import handler

        @handler("double")
        def double(value):
            return value * 2
        """,
    "tools.py": '''
        import asyncio
        import functools
        import json
        import helpers as h
        import config
        from helpers import Base, deeper, looped
        from registry import HANDLERS

        LIMIT = 10
        TABLE = {"deeper": deeper}
        LOADED = json.loads("[]")

        def lookup(name: str, unit="EUR") -> str:
            """Find a price."""
            # the name may be anything
            price = config.PRICES[h.normalise(name)]
            return f"{price:.2f} {unit}", deeper(price) < LIMIT

        class Converter(Base):
            def __init__(self, offset=0):
                self.offset = offset

            def run(self, value):
                return self._add(self.scale(value))

            def _add(self, value):
                return value + self.offset

            def other(self):
                return None

        class Doubled(Converter):
            def scale(self, value):
                return value * 4

        def dispatch(name, value):
            return HANDLERS[name](value)

        def table(name, value):
            return TABLE[name](value)

        def made(rate):
            extra = 5
            unused = 6
            def inner(value):
                return value * rate + extra
            return inner

        def late(value):
            from helpers import unrelated
            return unrelated() + value

        async def waits(value):
            await asyncio.sleep(0)
            return value

        def fetch(basket):
            return basket.total()

        def chooses(name, value):
            return getattr(h, name)(value)

        def reads():
            return LOADED

        def add(value, step):
            return value + step

        def loops():
            return looped()

        def plugged(name):
            import importlib
            return importlib.import_module(name).run()

        def judged(value):
            class Outcome:
                def __init__(self, kept):
                    self.kept = kept
            passed = value + 1
            return Outcome(passed)

        async def main():
            rate = 3
            tools = {"inner": made(rate), "add": functools.partial(add, step=1), "run": Doubled(offset=1).run}
            print("working", tools)
            return 0

        if __name__ == "__main__":
            asyncio.run(main())
        ''',
    "patches.py": """
        import config

        config.RATE = 1.2

        def configure():
            config.PRICES["tea"] = 4
        """,
}


class Project:
    """A project on disk, as it was recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        described = {}
        for name, text in PROJECT.items():
            source = textwrap.dedent(text).lstrip().encode()
            (folder / name).write_bytes(source)
            described[name] = {
                "module": name.removesuffix(".py"),
                "digest": digest_source(source),
                "definitions": digest_definitions(find_definitions(parse_source(source))),
            }
        self.files = {}
        add_recorded_files(self.files, {"metadata": {"sources": described}})

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def compare(self, function: str, classes=(), **more):
        """Return the result of comparing the code of a function with the recorded one."""
        label = function if ":" in function else f"tools.py:{function}"
        code = RecordedCode(label, tuple(f"tools.py:{each}" for each in classes))
        sources = SourceFiles(self.files, self.folder)
        return TraceCode({"tool": [code]}, sources, **more).compare("tool", [code])


@pytest.fixture
def project(tmp_path):
    """Return a project that can be edited."""
    return Project(tmp_path)


RUN = ("Converter.run", ("Doubled", "Converter"))
INNER = ("made.<locals>.inner", ())


@pytest.mark.parametrize(
    ("tool", "edit", "state"),
    [
        ("lookup", ("tools.py", ":.2f", ":.3f"), CHANGED),
        ("lookup", ("helpers.py", "stripped.lower()", "stripped.upper()"), CHANGED),
        ("lookup", ("config.py", '"tea": 2', '"tea": 5'), CHANGED),
        ("lookup", ("config.py", '["salt"] = 3', '["salt"] = 4'), CHANGED),
        ("lookup", ("config.py", "RATE = 1.1", "RATE = 1.3"), CHANGED),
        ("lookup", ("tools.py", "LIMIT = 10", "LIMIT = 11"), CHANGED),
        ("lookup", ("tools.py", "name: str", "name: bytes"), CHANGED),
        ("lookup", ("tools.py", "import Base, deeper", "import Base, unrelated as deeper"), CHANGED),
        ("lookup", ("helpers.py", "def deeper", "def deepest"), CHANGED),
        ("lookup", ("patches.py", "1.2", "1.3"), UNKNOWN),
        ("lookup", ("patches.py", "= 4", "= 5"), UNKNOWN),
        ("lookup", ("tools.py", "# the name may be anything", "# whatever"), UNCHANGED),
        ("lookup", ("tools.py", "Find a price.", "Finds a price."), UNCHANGED),
        ("lookup", ("helpers.py", "stripped", "bare"), UNCHANGED),
        ("lookup", ("helpers.py", '"normalise %s"', '"normalising %s"'), UNCHANGED),
        ("lookup", ("helpers.py", "value: float) -> float", "value: int) -> int"), UNCHANGED),
        ("lookup", ("helpers.py", "return 1", "return 2"), UNCHANGED),
        ("lookup", ("config.py", "UNUSED = 7", "UNUSED = 8"), UNCHANGED),
        ("lookup", ("tools.py", '"working"', '"busy"'), UNCHANGED),
        ("lookup", ("helpers.py", 'logger.debug("normalise %s", name)', "logger.debug(unrelated())"), CHANGED),
        (RUN, ("tools.py", "value * 4", "value * 5"), CHANGED),
        (RUN, ("tools.py", "value + self.offset", "value - self.offset"), CHANGED),
        (RUN, ("tools.py", "self.offset = offset", "self.offset = offset + 1"), CHANGED),
        (RUN, ("tools.py", "Doubled(offset=1)", "Doubled(offset=2)"), CHANGED),
        (RUN, ("tools.py", "class Doubled(Converter):\n    def scale", "class Doubled(Converter):\n    def scaled"), CHANGED),
        (RUN, ("tools.py", "return None", "return 1"), UNCHANGED),
        (INNER, ("tools.py", "extra = 5", "extra = 7"), CHANGED),
        (INNER, ("tools.py", "rate = 3", "rate = 4"), CHANGED),
        (INNER, ("tools.py", "made(rate)", "made(rate + 1)"), CHANGED),
        (INNER, ("tools.py", "unused = 6", "unused = 7"), UNCHANGED),
        ("loops", ("helpers.py", "factor = 2", "factor = 3"), UNCHANGED),
        ("plugged", ("tools.py", "passed", "good"), UNCHANGED),
        ("plugged", ("config.py", "UNUSED = 7", "UNUSED = 7\nSPARE = {1: 2}\ndef spare(): return 1"), UNCHANGED),
        ("plugged", ("config.py", "UNUSED = 7", "UNUSED = 7\n__all__ = ['RATE']"), UNCHANGED),
        ("plugged", ("config.py", "UNUSED = 7", "UNUSED = 7\ndef run(): return 1"), UNKNOWN),
        ("chooses", ("config.py", "UNUSED = 7", "UNUSED = 7\nSPARE = 1"), UNKNOWN),
        ("add", ("tools.py", "step=1", "step=2"), CHANGED),
        ("add", ("tools.py", '"working"', '"busy"'), UNCHANGED),
        ("table", ("helpers.py", "round(value", "int(value"), CHANGED),
        ("dispatch", ("handlers.py", "value * 2", "value * 3"), UNKNOWN),
        ("dispatch", ("tools.py", "extra = 5", "extra = 7"), UNCHANGED),
        ("late", ("helpers.py", "return 1", "return 2"), CHANGED),
        ("waits", ("tools.py", '"working"', '"busy"'), UNCHANGED),
        ("waits", ("tools.py", "asyncio.run(main())", "asyncio.run(main(), debug=True)"), UNCHANGED),
        ("fetch", ("helpers.py", "return 0", "return 1"), UNKNOWN),
        ("fetch", ("helpers.py", "return 1", "return 2"), UNCHANGED),
        ("fetch", ("config.py", "UNUSED = 7", "class Unused:\n    def total(self): return 7"), UNCHANGED),
        ("fetch", ("tools.py", "class Doubled(Converter):", "class Doubled(Converter):\n    def total(self): return 1\n"), UNKNOWN),
        (RUN, ("handlers.py", "def double", "class Other:\n    def scale(self): return 1\nOther()\ndef double"), UNCHANGED),
        (RUN, ("helpers.py", "factor = 2\n", "unit = 1\n    factor = 2\n"), CHANGED),
        ("chooses", ("config.py", "UNUSED = 7", "UNUSED = 8"), UNKNOWN),
        ("chooses", ("config.py", "UNUSED = 7", "UNUSED = 7  # of old"), UNCHANGED),
        ("<string>:tool", ("config.py", "UNUSED = 7", "UNUSED = 8"), UNKNOWN),
        ("<string>:tool", ("tools.py", "asyncio.run(main())", "asyncio.run(main(), debug=True)"), UNKNOWN),
        ("<string>:tool", ("tools.py", "# the name may be anything", "# whatever"), UNCHANGED),
    ],
)  # fmt: skip
def test_an_edit_is_found_where_the_tool_can_reach_it(project, tool, edit, state):
    """An edit that can change what a tool returns is found, whatever leads to it; others are not."""
    function, classes = tool if isinstance(tool, tuple) else (tool, ())
    assert project.compare(function, classes).state == UNCHANGED
    project.edit(*edit)
    found = project.compare(function, classes)
    assert found.state == state, found


def test_a_reason_names_the_definition(project):
    """The reasons name files and definitions as the program has them."""
    project.edit("helpers.py", "round(value", "int(value")
    assert project.compare("lookup").reasons == ("helpers.py:deeper has changed",)
    project.edit("helpers.py", "def deeper", "def deepest")
    assert project.compare("lookup").reasons == ("helpers.py:deeper does not exist any more",)


@pytest.mark.parametrize(
    ("opener", "tool", "state"),
    [
        ("tools.py:lookup", "lookup", CHANGED),
        ("helpers.py:deeper", "lookup", CHANGED),
        ("tools.py:<module>", "reads", CHANGED),
        ("tools.py:<module>", "add", UNCHANGED),
        ("tools.py:main", "lookup", UNCHANGED),
        ("helpers.py:Base.total", "fetch", UNKNOWN),
    ],
)
def test_a_data_file_counts_for_the_tools_that_reach_its_reader(project, opener, tool, state):
    """A file is of the functions that opened it, or of the variables of the module that read it."""
    data = (ChangedData("prices.json", "has changed", (opener,)),)
    assert project.compare(tool, data=data).state == state


def test_a_function_that_exec_made_of_a_file_counts_by_that_file(project):
    """As long as it names nothing that the file does not define."""
    (project.folder / "formula.txt").write_text("FACTOR = 2\ndef formula(x):\n    return x * FACTOR\n")
    project.edit("config.py", "UNUSED = 7", "UNUSED = 8")
    assert project.compare("formula.txt:formula").state == UNCHANGED
    data = (ChangedData(str(project.folder / "formula.txt"), "has changed", ("tools.py:load",)),)
    assert project.compare("formula.txt:formula", data=data).state == CHANGED
    (project.folder / "formula.txt").write_text("def formula(x):\n    return x * UNUSED\n")
    assert project.compare("formula.txt:formula").state == UNKNOWN


PLUGINS = """
import importlib
import config

class Loader:
    def __init__(self, name):
        self.module = importlib.import_module(name)
        setattr(config, "RATE", 3)

    def call(self, name):
        return getattr(self, name)()

    def run(self):
        return self.module.RATE

    def other(self):
        return 1
"""


@pytest.mark.parametrize(
    ("edit", "state"),
    [
        (("config.py", "UNUSED = 7", "UNUSED = 8"), UNCHANGED),
        (("config.py", "RATE = 1.1", "RATE = 1.2"), CHANGED),
        (("plugins.py", "return 1", "return 2"), CHANGED),
        (("helpers.py", "return 1", "return 2"), UNCHANGED),
    ],
)
def test_plug_ins_are_reached_by_the_names_that_are_read(tmp_path, monkeypatch, edit, state):
    """A module with a computed name, a module that is used as a value, and methods with computed names."""
    monkeypatch.setitem(PROJECT, "plugins.py", PLUGINS)
    project = Project(tmp_path)
    project.edit(*edit)
    code = RecordedCode("plugins.py:Loader.call", ("plugins.py:Loader",))
    trace = TraceCode({"tool": [code]}, SourceFiles(project.files, project.folder))
    assert trace.compare("tool", [code]).state == state


MAKER = """
def read_tables():
    return {"tea": 2}

def make(price):
    def cost(amount):
        return amount * price
    return cost

def tools():
    tables = read_tables()
    found = {}
    for name, price in tables.items():
        found[name] = make(price)
    return found
"""


def test_what_a_closure_got_is_followed_to_where_it_was_read(tmp_path, monkeypatch):
    """Through the variables of the function that called its maker."""
    monkeypatch.setitem(PROJECT, "maker.py", MAKER)
    project = Project(tmp_path)
    data = (ChangedData("prices.json", "has changed", ("maker.py:read_tables",)),)
    assert project.compare("maker.py:make.<locals>.cost", data=data).state == CHANGED
    assert project.compare("maker.py:make.<locals>.cost").state == UNCHANGED


REGISTERED = """
RULES = {}

class Rule:
    def __init_subclass__(cls):
        RULES[cls.__name__] = cls
    def check(self, value):
        return self.holds(value)

class Limit(Rule):
    most = 3
    def holds(self, value):
        return value < self.most

def apply(name, value):
    return RULES[name]().check(value)
"""


@pytest.mark.parametrize(
    "edit", [("value < self", "value > self"), ("most = 3", "most = 4"), ("self.holds(", "not self.holds(")]
)
def test_classes_that_register_themselves_could_be_reached(tmp_path, monkeypatch, edit):
    """By what their base calls on its own object, with the variables of the class."""
    monkeypatch.setitem(PROJECT, "rules.py", REGISTERED)
    project = Project(tmp_path)
    project.edit("rules.py", *edit)
    assert project.compare("rules.py:apply").state == UNKNOWN


def test_another_version_of_a_package_counts_for_the_tools_that_name_it(project):
    """A tool that names a library is unknown if that has another version; the others are not."""
    project.edit("tools.py", "import json\n", "import json\nimport requests\n")
    project.edit("tools.py", "return value + step", "return requests.get(value + step)")
    again = Project.__new__(Project)
    again.folder = project.folder
    source = (project.folder / "tools.py").read_bytes()
    described = {"module": "tools", "digest": digest_source(source), "definitions": {}}
    again.files = {}
    add_recorded_files(again.files, {"metadata": {"sources": {"tools.py": described}}})
    code = RecordedCode("tools.py:add")
    trace = TraceCode({"tool": [code]}, SourceFiles(again.files, again.folder), packages={"requests": "2.31"})
    assert trace.compare("tool", [code], {"requests": "2.31"}).state == UNCHANGED
    found = trace.compare("tool", [code], {"requests": "2.32"})
    assert found == (UNKNOWN, ("requests is 2.32 now, and was 2.31",))
    other = TraceCode(
        {"tool": [code._replace(function="tools.py:reads")]}, trace.sources, packages={"requests": "2.31"}
    )
    assert other.compare("tool", (), {"requests": "2.32"}).state == UNCHANGED


def test_a_tool_that_is_another_function_has_changed(project):
    """The program may have given the name to another function, or its object another class."""
    code = RecordedCode("tools.py:add")
    trace = TraceCode({"tool": [code]}, SourceFiles(project.files, project.folder))
    assert trace.compare("tool", [RecordedCode("tools.py:lookup")]) == (
        CHANGED,
        ("it is now tools.py:lookup",),
    )
    method = RecordedCode("tools.py:Converter.run", ("tools.py:Converter",))
    trace = TraceCode({"tool": [method]}, SourceFiles(project.files, project.folder))
    now = method._replace(classes=("tools.py:Doubled", "tools.py:Converter"))
    assert trace.compare("tool", [now]).state == CHANGED


READERS = """
import json
import tomllib
from pathlib import Path

def parsed(name):
    with open(name, "rb") as file:
        prices = tomllib.load(file)
    return prices[name]

def in_steps(name):
    text = Path(name).read_text()
    return json.loads(text)

def shown(name):
    text = Path(name).read_text()
    return json.loads(text), text

def quoted(name):
    return Path(name).read_text()
"""


@pytest.mark.parametrize(
    ("tool", "state"),
    [("parsed", UNCHANGED), ("in_steps", UNCHANGED), ("shown", CHANGED), ("quoted", CHANGED)],
)
def test_a_comment_in_a_data_file_counts_for_tools_that_do_more_than_parse_it(
    tmp_path, monkeypatch, tool, state
):
    """A tool may return the text itself."""
    monkeypatch.setitem(PROJECT, "readers.py", READERS)
    project = Project(tmp_path)
    opener = f"readers.py:{tool}"
    data = (ChangedData("prices.toml", "has changed", (opener,), same_content=True),)
    assert project.compare(opener, data=data).state == state
    assert project.compare(opener, data=(data[0]._replace(same_content=False),)).state == CHANGED
