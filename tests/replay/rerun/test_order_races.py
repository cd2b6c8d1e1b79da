"""Which parallel calls a request depends on, and the state that they share, as its source shows it."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.divergences import CHANGED, Divergence, difference_of
from namel3ss_debug.replay.rerun.order_races import find_race
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded

ATTRIBUTE = """
class Guide:
    async def visit(self, city):
        await self.ask(city)
        self.city = city

    async def run(self):
        await gather(self.visit("Oslo"), self.visit("Rome"))
        await self.ask(f"best of {self.city}")
"""
GLOBAL = """
seen = []

class Guide:
    async def visit(self, city):
        cities = [city]
        cities.append("x")
        seen.append(city)

    async def run(self):
        cities = 1
        return seen[-1], cities
"""
NOTHING = """
class Guide:
    async def visit(self, city):
        self.done = True

    async def run(self):
        return await self.ask(self.city)
"""


@pytest.mark.parametrize(("source", "state"), [(ATTRIBUTE, "self.city"), (GLOBAL, "seen"), (NOTHING, "")])
def test_a_request_depends_on_the_parallel_calls_that_its_words_come_from(
    tmp_path, listed, boundary_events, source, state
):
    """Of three parallel calls the two whose cities are in it; what their functions assign and its own reads is named."""
    (tmp_path / "app.py").write_text(source)
    made = boundary_events()
    visit, run = ("app.py:Guide.visit",), ("app.py:Guide.run",)
    calls = [made.ask(city, chain=visit) for city in ("Oslo", "Rome", "Bern")]
    for call in calls:
        made.say(call, "fine")
    made.ask("best of Oslo", chain=run)
    recorded = read_recorded(listed(made.events))
    inputs = [
        {"messages": [{"role": "user", "parts": [{"type": "text", "content": f"best of {city}"}]}]}
        for city in ("Oslo", "Rome")
    ]
    found = Divergence(CHANGED, 7, None, recorded.calls[7], difference_of("llm", *inputs))
    race = find_race(found, recorded, [[1, 2, 3]], tmp_path)
    assert (race.request, race.calls, race.state) == (7, (1, 2), state)
    shared = f": shared state `{state}`?" if state else ""
    assert race.describe() == f"event 7 depends on the order of events 1 and 2{shared}"


def test_without_parallel_calls_before_it_a_request_depends_on_none(tmp_path, listed, boundary_events):
    """Neither does a difference that is no request."""
    made = boundary_events()
    made.say(made.ask("one"), "fine")
    recorded = read_recorded(listed(made.events))
    assert find_race(Divergence(CHANGED, 1, None, recorded.calls[1]), recorded, [[1, 2]], tmp_path) is None
    assert find_race(None, recorded, [[1, 2]], tmp_path) is None
