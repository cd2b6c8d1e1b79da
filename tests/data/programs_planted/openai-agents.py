"""An agent of the OpenAI Agents SDK with a tool of another name."""

import climate
from agents import Agent, Runner, function_tool, set_tracing_disabled

PROMPT = "You advise travellers. Be brief."
QUESTION = "How cold is it in Oslo?"
UNIT = "degrees"
DECIMALS = 1


def described(city, degrees):
    """What the model is told."""
    return f"{city}: {degrees:.{DECIMALS}f} {UNIT}" + (", frost" if climate.is_frosty(degrees) else "")


@function_tool(name_override="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return described(city, climate.measured(city) + 0.5)


def banner(text):
    return "*" * 3 + text


set_tracing_disabled(True)
agent = Agent(name="guide", instructions=PROMPT, model="gpt-4o-mini", tools=[weather])
print(Runner.run_sync(agent, QUESTION).final_output)
