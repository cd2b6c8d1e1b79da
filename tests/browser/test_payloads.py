"""What the page shows of payloads: paths of values, changed messages, short spans, pages without content or events."""

from __future__ import annotations


def call(number, component, name, inputs, outputs, at, ms=100.0):
    """Return the two events of a span."""
    common = {"execution_id": "made", "component": component, "component_name": name}
    event_type = {"llm": "llm_call", "tool": "tool_call"}[component]
    return [
        {
            **common,
            "event_type": f"{event_type}_start",
            "event_id": f"{number}",
            "timestamp": at,
            "inputs": inputs,
            "status": "started",
        },
        {
            **common,
            "event_type": f"{event_type}_end",
            "event_id": f"{number}e",
            "parent_event_id": f"{number}",
            "timestamp": at + ms / 1000,
            "duration_ms": ms,
            "outputs": outputs,
            "status": "completed",
        },
    ]


def message(role, content):
    """Return a message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def test_value_shows_where_it_came_from(examples, watched):
    """Hovering an argument outlines its sources in tree and transcript; a click keeps the path and lists its steps."""
    view = watched()
    page = view.open(examples["failing_agent"])
    before = page.locator("#timeline").screenshot()
    value = page.locator("#pane-event .traced", has_text="S-00")
    value.hover()
    view.settle()
    asked = page.locator("#tree .is-source")
    assert "place_order(supplier=" in asked.inner_text()
    assert page.locator("#transcript .is-source").count() == 1
    page.mouse.move(5, 5)
    view.settle()
    assert page.locator(".is-source").count() == 0
    value.focus()
    page.keyboard.press("Enter")
    view.settle()
    assert page.locator("#pane-event .path li").count() == 2
    assert page.locator("#timeline").screenshot() != before
    page.locator("#pane-event .path li").first.get_by_role("button").click()
    assert view.heading().endswith("llm gpt-4o-mini")


def test_changed_message_shows_its_words(make_page, watched):
    """A message that changed since the request before shows the words that were removed and added."""
    old, new = "Answer in English, and be brief please.", "Answer in German, and be brief please."
    user, answer = message("user", "What is new?"), message("assistant", "Nothing.")
    page_file = make_page(
        [
            *call(
                1,
                "llm",
                "m",
                {"model": "m", "messages": [message("system", old), user]},
                {"text": "Nothing."},
                1e9,
            ),
            *call(
                2,
                "llm",
                "m",
                {
                    "model": "m",
                    "messages": [message("system", new), user, answer, message("user", "And now?")],
                },
                {"text": "Nichts."},
                1e9 + 1,
            ),
        ]
    )
    page = watched().open(page_file, "#3")
    box = page.locator("#pane-event .conversation")
    assert box.locator("del").all_inner_texts() == ["English"]
    assert box.locator("ins").all_inner_texts() == ["German"]
    assert box.locator(".message[data-how=added]").count() >= 1


def test_short_spans_merge_and_do_not_vanish(make_page, watched):
    """Three thousand spans of a microsecond paint every pixel of their track, and a failed one among them is red."""
    events = []
    for number in range(3000):
        events += call(
            number, "tool", "tick", {"arguments": {}}, {"result": number}, 1e9 + number / 1000, 0.001
        )
    events[3000] |= {"event_type": "tool_call_start"}
    events[3001] |= {"status": "failed", "error": "no"}
    view = watched()
    page = view.open(make_page(events), "#1")
    painted = page.evaluate(
        """() => {
          const canvas = document.getElementById("timeline");
          const ratio = canvas.width / canvas.clientWidth;
          const row = canvas.getContext("2d").getImageData(0, Math.round(36 * ratio), canvas.width, 1).data;
          const ground = [...row.slice(-4)];
          let painted = 0, red = 0;
          for (let at = 0; at < row.length; at += 4) {
            const [r, g, b] = row.slice(at, at + 3);
            if (r > 150 && g < 60 && b < 60) red++;
            if (r !== 255 || g !== 255 || b !== 255) painted++;
          }
          return { painted: painted / canvas.width, red };
        }"""
    )
    assert painted["painted"] > 0.95
    assert painted["red"] >= 1
    assert page.locator("#tree [role=treeitem]").count() < 60


def test_page_without_content_names_the_command(make_page, watched):
    """`--no-content` leaves structure, names and figures; the page says where the payloads are."""
    events = call(1, "tool", "lookup", {"arguments": {"city": "Atlantis"}}, {"result": "sunk"}, 1e9)
    target = make_page(events, "--no-content")
    page = watched().open(target)
    assert "lookup" in page.locator("#tree").inner_text()
    assert "Atlantis" not in page.locator("body").inner_text()
    details = page.locator("#pane-event").inner_text()
    assert "written without payloads" in details
    assert "namel3ss debug inspect --event 1" in details


def test_trace_without_spans_names_the_next_command(make_page, watched):
    """A trace in which nothing was called says so in each pane, with the command that finds out why."""
    view = watched()
    event = {
        "event_type": "trace_start",
        "event_id": "1",
        "timestamp": 1e9,
        "component": "app",
        "execution_id": "e",
    }
    page = view.open(make_page([event]))
    assert "namel3ss debug doctor" in page.locator("#tree").inner_text()
    assert "namel3ss debug inspect --tree" in page.locator("#transcript").inner_text()
