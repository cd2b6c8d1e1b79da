"""What the scripted model says to the programs beside this file: to every request something else, also to the same one."""

import itertools

from scripted_model import call, say

CITIES = ("Oslo", "Bergen", "Bodo", "Molde", "Narvik", "Alta")


def answers():
    """The function that answers requests: a call of the first tool, then the result of it; later ones may be faster."""
    numbers = itertools.count()

    def answer(request):
        number = next(numbers)
        seconds = 0.03 * (number * 5 % 4)
        results = [
            part for message in request["messages"] for part in message["parts"] if part["type"] == "tool_call_response"
        ]
        if results or not request["tools"]:
            return say(f"Answer {number}: {results[-1]['response'] if results else 'hello'}", seconds=seconds)
        city = CITIES[number % len(CITIES)]
        # A provider gives every call an id of its own, also in answers to the same request.
        asked = call(request["tools"][0]["name"], city=city) | {"id": f"call_{number}"}
        return say("", asked, seconds=seconds)

    return answer
