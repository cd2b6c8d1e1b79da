"""The reports CI reads: valid by their schemas, and proof against whatever stands in a trace."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.checks.findings import (
    CheckReport,
    RuleResult,
    has_severity,
)
from namel3ss_debug.analysis.findings import SEVERITIES, Finding, Site
from namel3ss_debug.exporters import github, gitlab, junit, sarif
from namel3ss_debug.views.checks import check_blocks, check_markdown
from namel3ss_debug.views.finding_text import plain
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.views.renderers.screen import lines

SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"
ROOT = Path("/srv")


@pytest.fixture(scope="module")
def junit_schema():
    """The schema that Jenkins publishes."""
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


@pytest.fixture(scope="module")
def sarif_schema():
    """The schema of OASIS."""
    return jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_bytes()))


def finding(rule="r", level="error", message="m", file="app.py", line=3, events=(4, 7), mark="a", count=1):
    """A finding."""
    site = None if file is None else Site(file, line)
    return Finding(rule, level, message, tuple(events), "", "tool:x", count, site, mark * 32)


def report(*findings, trace="/srv/debug/run.jsonl", skipped="", cwd="/srv", started_at=1.7e9):
    """A report of one recording with these findings, each rule once, and rules that were kept and skipped."""
    names = dict.fromkeys(found.id for found in findings)
    rules = [
        RuleResult(name, "error", "{}", tuple(found for found in findings if found.id == name))
        for name in names
    ]
    rules += [RuleResult("kept rule", "note", "{}"), RuleResult("skipped rule", "error", "{}", (), "why not")]
    return CheckReport(trace, 1, cwd, "app.py", "e1", started_at, 9, 1234.5678, tuple(rules))


hostile = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\r\n\x00\x1b\x85\u2028\ufffe\uffff\ud800<>&\"']%:,`|[]#*$!\\"),
    ),
    max_size=30,
)
attacks = st.one_of(
    hostile,
    st.sampled_from(
        [
            "x\n::error::owned",
            "\r\n::add-mask::a",
            "##[error]owned",
            "%0A::error::owned",
            "]]><testcase name='owned'/>",
            "</failure><testcase name='owned'/>",
            "a\n| owned |",
            "\u2028::error::owned",
            "::stop-commands::x",
        ]
    ),
)
findings = st.builds(
    finding,
    st.sampled_from(["one", "two"]),
    st.sampled_from(SEVERITIES),
    attacks,
    st.one_of(st.none(), attacks.filter(bool)),
    st.integers(1, 10**6),
    st.lists(st.integers(1, 10**6), max_size=20),
    st.sampled_from("abc"),
)
reports = st.lists(
    st.builds(
        lambda found, trace: report(*found, trace=f"/srv/{trace}"), st.lists(findings, max_size=5), attacks
    ),
    min_size=1,
    max_size=2,
)


def test_junit_has_a_suite_for_each_recording_and_a_case_for_each_rule(junit_schema):
    """Findings from the level on are one failure of their case; lighter ones are its output; a skipped rule says why."""
    written = junit.export(
        [report(finding("a"), finding("a", message="<b> & \x00"), finding("c", "warning"))],
        Path.cwd(),
        "error",
    )
    junit_schema.validate(written.decode())
    suite = ET.fromstring(written)[0]
    assert suite.attrib["name"] == "run.jsonl"
    assert [suite.attrib[key] for key in ("tests", "failures", "errors", "skipped", "time")] == [
        *("4", "1", "0", "1", "1.235")
    ]
    cases = {case.get("name"): case for case in suite}
    (failure,) = cases["a"]
    assert failure.get("message") == "m (and 1 more)"
    assert failure.text.splitlines() == [
        "error: m; app.py:3; events 4, 7",
        "error: <b> & ^@; app.py:3; events 4, 7",
    ]
    assert cases["c"][0].tag == "system-out"
    assert cases["skipped rule"][0].get("message") == "why not"
    assert len(cases["kept rule"]) == 0


def test_no_two_cases_of_several_recordings_have_the_same_class_and_name(junit_schema):
    """GitLab would show the first of them only; the class of a single recording is the same for every run."""
    paths = ("runs/a/run.jsonl", "runs/b/run.jsonl", "runs/other.jsonl")
    written = junit.export([report(finding(), trace=path) for path in paths], Path.cwd(), "error")
    junit_schema.validate(written.decode())
    suites = ET.fromstring(written)
    assert [suite.get("name") for suite in suites] == ["runs/a/run.jsonl", "runs/b/run.jsonl", "other.jsonl"]
    assert [suite[0].get("classname") for suite in suites] == [
        "namel3ss-debug.check.runs/a/run_jsonl",
        "namel3ss-debug.check.runs/b/run_jsonl",
        "namel3ss-debug.check.other_jsonl",
    ]
    (alone,) = ET.fromstring(junit.export([report(finding(), trace=paths[0])], Path.cwd(), "error"))
    assert (alone.get("name"), alone[0].get("classname")) == ("run.jsonl", "namel3ss-debug.check")


def test_sarif_stands_at_the_call_site_with_the_events_beside_it(sarif_schema):
    """A result has a stable rule id and fingerprint, a relative uri, and the recording as a related location."""
    document = sarif.sarif([report(finding(file="src/my app.py"), finding("b", file=None, mark="b"))], ROOT)
    sarif_schema.validate(document)
    run = document["runs"][0]
    first, second = run["results"]
    assert first["ruleId"] == "r"
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == "r"
    assert first["partialFingerprints"] == {"namel3ssDebugCheck/v1": "a" * 32}
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "src/my%20app.py"},
        "region": {"startLine": 3},
    }
    assert [place["physicalLocation"]["region"]["startLine"] for place in first["relatedLocations"]] == [4, 7]
    assert second["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "app.py"}


@pytest.mark.parametrize(
    ("file", "cwd", "shown"),
    [
        ("app.py", "/srv", "app.py"),
        ("app.py", "/srv/service", "service/app.py"),
        ("app.py", "/home/other", "app.py"),
        ("/srv/lib/a.py", "/srv", "lib/a.py"),
        ("../b.py", "/srv/service", "b.py"),
    ],
)
def test_a_file_is_named_from_the_root_of_the_repository(file, cwd, shown):
    """Wherever the program ran, CI finds the file in the checkout."""
    (entry,) = gitlab.gitlab([report(finding(file=file), cwd=cwd)], ROOT)
    assert entry["location"]["path"] == shown


def test_the_same_finding_of_several_runs_is_one_entry():
    """GitLab wants every fingerprint once; the message of the first stays."""
    entries = gitlab.gitlab([report(finding()), report(finding(message="again"))], ROOT)
    assert entries == [
        {
            "description": "m (events 4, 7)",
            "check_name": "r",
            "fingerprint": "a" * 32,
            "severity": "major",
            "location": {"path": "app.py", "lines": {"begin": 3}},
        }
    ]


def test_github_shows_ten_of_a_level_and_says_how_many_there_are():
    """What GitHub would drop is counted in one notice."""
    found = [finding(mark=chr(200 + place)) for place in range(13)]
    lines = list(github.annotation_lines([report(*found)], ROOT))
    assert lines[0] == "::error file=app.py,line=3,title=r::m (events 4, 7)"
    assert len(lines) == 11
    assert lines[-1].endswith("3 of error")


def test_what_is_in_an_annotation_is_escaped_as_the_runner_unescapes_it():
    """Commas and colons only in properties, percent signs everywhere."""
    one = finding(message="50% of: a,b", file="a,b:c.py")
    (line,) = github.annotation_lines([report(one)], ROOT)
    assert line == "::error file=a%2Cb%3Ac.py,line=3,title=r::50%25 of: a,b (events 4, 7)"


@given(reports)
def test_a_hostile_trace_adds_no_element_to_junit(junit_schema, given_reports):
    """The document is valid, and has the suites, cases and failures of the report, and no others."""
    written = junit.export(given_reports, Path.cwd(), "warning")
    junit_schema.validate(written.decode())
    tree = ET.fromstring(written)
    rules = [rule for each in given_reports for rule in each.rules]
    assert [case.get("name") for case in tree.iter("testcase")] == [rule.rule for rule in rules]
    assert len(list(tree.iter("failure"))) == sum(has_severity(rule.findings, "warning") for rule in rules)
    for failure in tree.iter("failure"):
        assert len(failure) == 0


def test_what_a_model_wrote_is_no_link_of_a_sarif_message():
    """Plain text may have them, with words in brackets and where they lead in parentheses."""
    (run,) = sarif.sarif([report(finding(message="it said [see\\](https://evil.example) and [1](1)"))], ROOT)[
        "runs"
    ]
    assert run["results"][0]["message"]["text"].startswith(
        "it said [see\\] (https://evil.example) and [1] (1)"
    )


@given(reports)
def test_a_hostile_trace_stays_data_in_sarif_and_gitlab(sarif_schema, given_reports):
    """Both documents are valid, and no text in them has a line or a control character."""
    document = sarif.sarif(given_reports, ROOT)
    sarif_schema.validate(document)
    quality = gitlab.gitlab(given_reports, ROOT)
    assert len({entry["fingerprint"] for entry in quality}) == len(quality)
    for text in texts([document, quality]):
        assert text.isprintable()
        json.loads(json_bytes(text))


def texts(value):
    """Every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


@given(reports)
def test_a_hostile_trace_adds_no_annotation(given_reports):
    """Each annotation is one line that begins as ours do, with the properties that we give it."""
    lines = list(github.annotation_lines(given_reports, ROOT))
    assert len(lines) <= 31
    for line in lines:
        assert len(line.splitlines()) == 1
        assert "##[" not in line
        assert re.fullmatch(r"::(error|warning|notice) (file=[^:,]*,(line=\d+,)?)?title=[^:,]*::.*", line), (
            line
        )


@given(reports)
def test_a_hostile_trace_adds_no_row_to_markdown_and_no_line_to_the_terminal(given_reports):
    """A table has a row for each finding; a screen line is printable and no command of a runner."""
    rows = [line for line in check_markdown(given_reports).splitlines() if line.startswith("| ")]
    found = sum(len(each.findings) for each in given_reports)
    heads = sum(bool(each.findings) for each in given_reports)
    assert len(rows) == found + heads
    for line in lines(check_blocks(given_reports), 80):
        assert line.plain.isprintable()
        assert not line.plain.lstrip().startswith("::")
        assert "##[" not in line.plain


@given(attacks)
def test_a_message_is_whole_and_within_the_screen(message):
    """A long message takes several lines, none of them wider than the screen."""
    shown = list(lines(check_blocks([report(finding(message=message * 20))]), 60))[1:]
    assert all(line.cell_len <= 60 for line in shown)
    letters = [letter for letter in "".join(line.plain for line in shown) if letter.isalnum()]
    assert len(letters) >= sum(letter.isalnum() for letter in plain(message * 20, 600))
