"""Two threads look up a customer each and then write the same prompt, because they share a note."""

import threading
from concurrent.futures import ThreadPoolExecutor

from loop import GOOD, ask, last_text, model, offer
from scripted_model import call, say

note = {}
both = threading.Barrier(2)


def lookup(person):
    """What is known of a customer."""
    return {"person": person, "plan": "basic"}


def script(request):
    """Look the customer up, or write the letter."""
    text = last_text(request)
    if text.startswith("Look up"):
        return say("", call("lookup", person=text.split()[-1]), seconds=0.02)
    return say("Dear customer, thank you." if text.startswith("Write") else "Done with it.", seconds=0.02)


def serve(client, name):
    """Look a customer up, and write a letter."""
    messages = [{"role": "user", "content": f"Look up {name}"}]
    ask(client, messages, [offer("lookup", person="string")], {"lookup": lookup})
    note["name"] = name
    both.wait()
    asked = name if GOOD else note["name"]
    return ask(client, [{"role": "user", "content": f"Write a letter to {asked} about the plan."}])


with model(script) as client, ThreadPoolExecutor(2) as pool:
    print(list(pool.map(lambda name: serve(client, name), ["Ingrid", "Henrik"])))
