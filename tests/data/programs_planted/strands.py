"""An agent of Strands with a tool that a function makes, on a loop."""

import climate
from strands import Agent, tool
from strands.models.openai import OpenAIModel

PROMPT = "You advise travellers. Be brief."
QUESTION = "How cold is it in Oslo?"


def thermometer(name):
    decimals = 1

    def shown(degrees):
        return round(degrees * 1.05, decimals)

    @tool(name=name)
    async def weather(city: str) -> str:
        """The weather of a city."""
        degrees = shown(climate.measured(city))
        return f"{city}: {degrees} degrees" + (", frost" if climate.is_frosty(degrees) else "")

    return weather


def banner(text):
    return "*" * 3 + text


model = OpenAIModel(model_id="gpt-4o-mini", client_args={"api_key": "unused"})
agent = Agent(model=model, system_prompt=PROMPT, tools=[thermometer("get_weather")], callback_handler=None)
print(agent(QUESTION).message["content"][0]["text"])
