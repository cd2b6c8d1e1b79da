"""An agent that `adk run weather` starts."""

from google.adk.agents import Agent

PROMPT = "You are a forecaster."


def get_weather(city: str) -> dict:
    """The weather of a city."""
    return {"city": city, "temp_c": -3}


root_agent = Agent(name="weather", model="gemini-2.5-flash", instruction=PROMPT, tools=[get_weather])
