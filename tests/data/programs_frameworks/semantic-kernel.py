"""An agent of Semantic Kernel with a function of a plugin, at once and streamed; its result is of this run alone."""

import asyncio
import os

from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function


class Weather:
    @kernel_function(name="look", description="The weather of a city.")
    def outside(self, city: str) -> str:
        return f"{city}: -3 degrees, process {os.getpid()}"


async def main():
    service = OpenAIChatCompletion(ai_model_id="gpt-4o-mini", api_key="unused")
    agent = ChatCompletionAgent(service=service, name="forecaster", plugins=[Weather()])
    print(await agent.get_response(messages="How cold is it in Oslo?"))
    told = [str(part.content) async for part in agent.invoke_stream(messages="How cold is it in Oslo?")]
    print("".join(told))


asyncio.run(main())
