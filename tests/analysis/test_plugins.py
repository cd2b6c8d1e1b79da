import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, analyze_many
from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.plugins import Guarded, Plugin, load_sections
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.analysis.totals import Options

GUIDE = Path(__file__).parents[2] / "docs" / "library.md"
EXAMPLE = re.compile(
    r"^\[project\.entry-points.*?^refunds = \"(?P<value>.*?)\"$.*?```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

COUNT = """
class Count:
    def __init__(self, options):
        self.spans = 0

    def span(self, span):
        self.spans += 1
        {in_span}

    def merge(self, later):
        self.spans += later.spans

    def result(self, totals):
        return {result}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install packages that add analyses: module name to its code and to what its entry points say."""
    folder = tmp_path / "site"
    folder.mkdir()

    def install(module, code, **entries):
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (info / "entry_points.txt").write_text(f"[namel3ss_debug.folds]\n{lines}")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return folder

    yield install
    for module in folder.glob("*.py"):
        sys.modules.pop(module.stem, None)


@pytest.fixture
def trace(recording, tmp_path):
    """A desk that pays two refunds and declines one."""
    recording.span("tool", "refund", 1, 1.5)
    recording.span("tool", "refund", 2, 2.25)
    recording.span("tool", "refund", 3, 4, status="failed", error="no money")
    recording.add("decision", 5, component_name="no refund")
    path = tmp_path / "desk.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    return path


def test_the_example_of_the_guide_is_a_section(install, trace, tmp_path):
    """It is installed as it stands there, and its figures are in the JSON and in the report."""
    example = EXAMPLE.search(GUIDE.read_text("utf-8"))
    folder = install("shop_analyses", example["code"], refunds=example["value"])
    command = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()", "analyze"]
    env = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "80"}

    def run(*words):
        return subprocess.run(
            [*command, *map(str, words)], env=env, capture_output=True, text=True, check=True
        ).stdout

    document = json.loads(run(trace, "--section", "refunds", "--format", "json"))
    assert list(document) == ["schema", "trace", "refunds", "problems"]
    assert document["refunds"] == {
        "count": 2,
        "declined": 1,
        "total_ms": 750.0,
        "refunds": [{"number": 1, "ms": 500.0}, {"number": 3, "ms": 250.0}],
    }
    shown = run(trace).splitlines()
    assert shown[shown.index("refunds") : shown.index("refunds") + 8] == [
        "refunds",
        "  count     2",
        "  declined  1",
        "  total_ms  750",
        "",
        "refunds: refunds",
        "  number   ms",
        "       1  500",
    ]
    other = shutil.copy(trace, tmp_path / "other.jsonl")
    both = json.loads(run(trace, other, "--section", "refunds", "--format", "json"))
    assert both["refunds"]["count"] == 4
    assert [row["trace"] for row in both["refunds"]["refunds"]] == [str(trace)] * 2 + [str(other)] * 2


def test_an_analysis_that_cannot_pool_is_in_the_recordings_only(install, trace):
    """Without `renumber`, its section stands in `traces` and not in the whole."""
    install("counts", COUNT.format(in_span="", result="{'spans': self.spans}"), spans="counts:Count")
    many = analyze_many([trace, trace], AnalysisRequest(documents=True))
    assert "spans" not in many.document
    assert [json.loads(each)["spans"] for each in many.traces] == [{"spans": 3}] * 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "import nothing_of_this_name",
            "ModuleNotFoundError: No module named 'nothing_of_this_name', at broken.py:1",
        ),
        ("class Count: pass", "TypeError: Count() takes no arguments"),
        ("def Count(options): return 7", "TypeError: it has no method span"),
        (COUNT.format(in_span="1 / 0", result="{}"), "ZeroDivisionError: division by zero, at broken.py:8"),
        (COUNT.format(in_span="", result="[1]"), "TypeError: its result is no JSON object"),
        (
            COUNT.format(in_span="", result="{'a': object()}"),
            "TypeError: Type is not JSON serializable: object",
        ),
        ("", "AttributeError: module 'broken' has no attribute 'Count'"),
    ],
)
def test_a_broken_analysis_costs_only_itself(install, trace, code, error):
    """One line says what and where, and every other section is as without it."""
    before = TraceAnalyzer(trace).analyze()
    install("broken", code, mine="broken:Count")
    after = TraceAnalyzer(trace).analyze()
    told = after.pop("plugin_errors")
    assert list(told) == ["mine"]
    assert told["mine"].startswith(error)
    assert told["mine"].endswith("(broken:Count)")
    assert "\n" not in told["mine"]
    assert after == before
    assert analyze_many([trace, trace], AnalysisRequest()).document["plugin_errors"] == told


def test_a_section_of_ours_is_not_replaced(install, trace):
    """An analysis of one of our names is refused, and so is the second of one name."""
    code = COUNT.format(in_span="", result="{'spans': self.spans}")
    install("first", code, errors="first:Count", traces="first:Count", mine="first:Count")
    install("second", code, mine="second:Count")
    document = TraceAnalyzer(trace).analyze()
    assert document["errors"]["total_errors"] == 1
    assert document["mine"] == {"spans": 3}
    assert document["plugin_errors"] == {
        "errors of first:Count": "there is a section errors already (first:Count)",
        "mine of second:Count": "there is a section mine already (second:Count)",
        "traces of first:Count": "there is a section traces already (first:Count)",
    }


def test_what_nobody_asked_for_is_not_imported(install, trace):
    """Looking for analyses imports none of them, nor does a choice of our own sections."""
    install("late", COUNT.format(in_span="", result="{}"), late="late:Count")
    assert {row.name: row for row in load_sections(SECTIONS)}["late"].fold.value == "late:Count"
    TraceAnalyzer(trace, sections=["errors"]).analyze()
    assert "late" not in sys.modules
    TraceAnalyzer(trace, sections=["late"]).analyze()
    assert "late" in sys.modules


def test_a_fold_that_cannot_go_to_another_process_says_so(install):
    """The others of the recording still can."""
    install(
        "stuck", COUNT.format(in_span="", result="{}").replace("self.spans = 0", "self.spans = lambda: 0")
    )
    stuck = Guarded(Plugin("stuck", "stuck:Count"), Options())
    assert stuck.error is None
    assert "cannot go to another process" in pickle.loads(pickle.dumps(stuck)).error


def test_a_process_that_is_ended_is_made_up_for(install, trace):
    """What it should have read is read by the one that asked."""
    ending = "import os, multiprocessing; multiprocessing.parent_process() and os._exit(1)"
    install("ending", COUNT.format(in_span=ending, result="{'spans': self.spans}"), mine="ending:Count")
    request = AnalysisRequest(documents=True)
    several = [trace] * 12
    assert analyze_many(several, request, processes=2) == analyze_many(several, request, processes=1)
