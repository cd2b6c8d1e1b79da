"""Two agents share a variable, so one asks about the city of the other: the race of the three planted bugs."""

import threading
from concurrent.futures import ThreadPoolExecutor

from loop import GOOD, ask, last_text, model
from scripted_model import say

from namel3ss_debug.hooks import trace_agent_execution


class Guide:
    """An agent that keeps the city of its task in itself."""

    def __init__(self, client):
        self.client = client
        self.city = None
        self.both = threading.Barrier(2)

    @trace_agent_execution("guide")
    def advise(self, city):
        """Advise on a city."""
        self.city = city
        self.both.wait()
        asked = city if GOOD else self.city
        return ask(self.client, [{"role": "user", "content": f"Name one museum in {asked}."}])


def script(request):
    """Name a museum."""
    text = last_text(request)
    return say("The Munch museum." if "Oslo" in text else "The Louvre is a good one.", seconds=0.05)


with model(script) as client:
    guide = Guide(client)
    with ThreadPoolExecutor(2) as pool:
        print(list(pool.map(guide.advise, ["Oslo", "Paris"])))
