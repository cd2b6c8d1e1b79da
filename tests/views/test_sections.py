from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.sections import any_section


def shown(content):
    """A section as lines of 80 columns."""
    return [line.plain for line in lines(any_section("mine", content), 80)]


def test_single_values_are_facts_and_lists_of_objects_are_tables():
    """Nothing is lost: what is deeper inside shows as short JSON, and what is unknown stays empty."""
    content = {
        "count": 1234,
        "share": 0.25,
        "ok": True,
        "unknown": None,
        "names": ["a", "b"],
        "rows": [{"number": 7, "what": "first"}, {"number": 12, "what": "second", "more": {"x": 1}}],
        "by_name": {"a": {"calls": 1}, "b": {"calls": 20}},
    }
    assert shown(content) == [
        "mine",
        "  count  1,234",
        "  share  0.25",
        "  ok     true",
        '  names  ["a", "b"]',
        "",
        "mine: rows",
        "  number  what    more",
        "       7  first",
        '      12  second  {"x": 1}',
        "",
        "mine: by_name",
        "  by_name  calls",
        "  a            1",
        "  b           20",
    ]


def test_a_long_table_is_cut_and_says_so():
    """The report shows ten rows."""
    assert (
        shown({"rows": [{"n": place} for place in range(12)]})[-1] == "  … 2 more; --format json lists them"
    )


def test_what_a_package_says_is_foreign_text():
    """No control sequence reaches the terminal, and no markup the page."""
    content = {"a\x1b[31m": "x\x07", "rows": [{"k\x1b": "[red]\x1b]0;x\x07"}]}
    assert not any("\x1b" in line or "\x07" in line for line in shown(content))
    assert "\\[red\\]" in "\n".join(markdown(any_section("m", content)))
