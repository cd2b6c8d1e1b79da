"""An agent of pydantic-ai with a tool that returns a model."""

from climate import is_frosty, measured
from pydantic import BaseModel
from pydantic_ai import Agent

PROMPT = "You advise travellers. Be brief."
QUESTION = "How cold is it in Oslo?"
ROUNDED = 1


class Weather(BaseModel):
    city: str
    degrees: float
    frost: bool = False


agent = Agent("openai-chat:gpt-4o-mini", system_prompt=PROMPT)


def observed(city):
    """What a station tells."""
    degrees = round(measured(city) * 1.5, ROUNDED)
    return Weather(city=city, degrees=degrees, frost=is_frosty(degrees))


@agent.tool_plain
def get_weather(city: str) -> Weather:
    """The weather of a city."""
    found = observed(city)
    return found if found.degrees > -90 else Weather(city="nowhere", degrees=0)


def banner(text):
    return "*" * 3 + text


print(agent.run_sync(QUESTION).output)
