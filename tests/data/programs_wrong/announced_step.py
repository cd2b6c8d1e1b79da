"""The last answer announces a booking and books nothing."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

booked = []


def book(train):
    """Book a seat on a train."""
    booked.append(train)
    return {"booked": train}


def find_trains(to):
    """The trains to a place."""
    return {"trains": ["R 14 at nine"]}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer, booked)


SCRIPT = [
    say("", call("find_trains", to="Bergen")),
    *([say("", call("book", train="R 14")), say("You have a seat on R 14.")] if GOOD else []),
    say("There is a train at nine. I'll book a seat on R 14 for you now."),
]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "Book me a seat to Bergen in the morning."}]
    offered = [offer("find_trains", to="string"), offer("book", train="string")]
    describe(ask(client, messages, offered, {"find_trains": find_trains, "book": book}))
