"""The user asks for a Friday, and the room is booked for a Saturday."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

booked = []


def book_room(room, date):
    """Book a room for a day."""
    booked.append((room, date))
    return {"booked": True}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer, booked)


DAY = "2026-12-04" if GOOD else "2026-12-05"
SCRIPT = [say("", call("book_room", room="Fjord", date=DAY)), say("The room Fjord is booked.")]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "You book rooms. Today is 2026-11-30."},
        {"role": "user", "content": "Book the room Fjord for this Friday."},
    ]
    offered = [offer("book_room", room="string", date="string")]
    describe(ask(client, messages, offered, {"book_room": book_room}))
