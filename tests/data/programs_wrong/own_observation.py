"""A model that writes actions as text goes on to write the observation itself."""

import re

from loop import GOOD, ask, model
from scripted_model import say

ACTION = "Thought: I need the weather.\nAction: weather\nAction Input: Oslo\n"
INVENTED = "Observation: sunny, 24 degrees\nThought: I know it.\nFinal Answer: It is sunny in Oslo."


def weather(city):
    """The weather in a city."""
    return f"rain in {city}, 6 degrees"


def step(client, messages):
    """Ask once, and run the action that the answer asks for."""
    text = ask(client, messages)
    match = re.search(r"Action Input: (.+)", text)
    if "Final Answer:" in text or match is None:
        return text.rpartition("Final Answer:")[2].strip()
    messages.append({"role": "user", "content": f"Observation: {weather(match[1])}"})
    return None


FINAL = "Thought: I know it.\nFinal Answer: It rains in Oslo."
SCRIPT = [say(ACTION if GOOD else ACTION + INVENTED), say(FINAL)]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "What is the weather in Oslo? Think, act, observe."}]
    answer = None
    while answer is None:
        answer = step(client, messages)
print(answer)
