"""A new user finds the step that failed from the page alone in at most five actions, and where that began in two more."""

from __future__ import annotations

from typing import NamedTuple

import pytest

ACTIONS = 5


class Failure(NamedTuple):
    """What a user should find: the step and its error, the step where it began, and what shows that."""

    step: str
    error: str
    origin: str
    evidence: str


FAILURES = {
    "failing_agent": Failure("tool place_order", "there is no supplier 'S-00'", "tool find_suppliers", "[]"),
    "endless_agent": Failure(
        "llm gpt-4o", "has used $0.05 of $0.05", "tool search", "Nothing on 'unicorns'."
    ),
    "claude-code": Failure(
        "tool Bash", "command not found: tree", "llm claude-haiku-4-5-20251001", "tree /home/USER/projects"
    ),
}


class User:
    """Somebody who sees the page for the first time; counts what they do."""

    def __init__(self, view):
        self.view = view
        self.page = view.page
        self.actions = 0

    def _act(self, action, *arguments):
        self.actions += 1
        action(*arguments)
        self.view.settle()

    def click(self, selector, text=None):
        """Click the first of the elements that can be seen."""
        self._act(self.page.locator(selector, has_text=text).locator("visible=true").first.click)

    def press(self, key):
        """Press a key."""
        self._act(self.page.keyboard.press, key)

    def write(self, text):
        """Write into the field that has the focus."""
        self._act(self.page.keyboard.type, text)

    def scroll(self, pane, wanted):
        """Turn the wheel over a pane until something is in view; a list draws only what is."""
        self.page.locator(pane).hover()
        self._act(lambda: None)
        while not self.page.locator(f"{pane} {wanted}").count():
            self.page.mouse.wheel(0, 400)
            self.view.settle()

    def find_origin(self):
        """Go where the failure began: the second event of its finding, or the next finding."""
        links = self.page.locator("#pane-event .finding-box").first.locator(".link")
        if links.count() > 1:
            self._act(links.nth(1).click)
        else:
            self.click("#tab-findings")
            self.click("#pane-findings .finding-box:nth-child(2) .link")


def by_the_first_look(user, failure):
    """The page opens at the failure."""


def by_the_headline(user, failure):
    """The sentence at the top is clicked."""
    user.click("#first-finding")


def by_the_key(user, failure):
    """`?` says that `e` goes to the next failure; of one inside another, the inner one is the step."""
    user.press("?")
    user.press("Escape")
    user.press("e")
    if failure.step not in user.view.heading():
        user.press("e")


def by_the_findings(user, failure):
    """The list of findings has links to the events."""
    user.click("#tab-findings")
    user.click("#pane-findings .finding-box .link")


def by_failures_only(user, failure):
    """The chip shows what failed, the innermost last; a row shows its event."""
    if not user.page.locator("#chip-failures").is_visible():
        user.click("#tab-tree")
    user.click("#chip-failures")
    user.click("#tree [role=treeitem]", failure.step.split()[0] + "✕")


def by_the_transcript(user, failure):
    """The line of the transcript that is marked as failed."""
    if not user.page.locator("#transcript").is_visible():
        user.click("#tab-transcript")
    user.scroll("#transcript", ".line.failed")
    user.click("#transcript .line.failed")


def by_the_error(user, failure):
    """A word of the error that the user knows from their terminal."""
    user.press("/")
    user.write("status:failed " + failure.error.split()[-1].strip("'"))
    user.click("#tree [role=treeitem]", failure.step.split()[0] + "✕")


WAYS = (
    by_the_first_look,
    by_the_headline,
    by_the_key,
    by_the_findings,
    by_failures_only,
    by_the_transcript,
    by_the_error,
)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FAILURES)
def test_failing_step_and_its_origin_are_found_in_five_actions(failed, watched, name, way, width):
    """Each way leads to the event that failed, with its error, and from there to the event where that began."""
    failure = FAILURES[name]
    view = watched()
    view.page.set_viewport_size({"width": width, "height": 800})
    view.open(failed[name], "" if way is by_the_first_look else "#1")
    user = User(view)
    way(user, failure)
    details = view.page.locator("#pane-event")
    assert details.is_visible()
    assert view.heading().endswith(failure.step)
    assert "✕ failed" in details.inner_text()
    assert failure.error in details.inner_text()
    assert user.actions <= ACTIONS

    user.actions = 0
    user.find_origin()
    assert view.heading().endswith(failure.origin)
    assert failure.evidence in details.inner_text()
    assert user.actions <= 2
