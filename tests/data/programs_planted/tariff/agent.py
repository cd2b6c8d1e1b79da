"""Advise a household on its electricity tariff, with tools that are made from data files."""

import json

from openai import OpenAI

import settings
from rates import make_tools
from texts import load_prompt

settings.apply()


class Advisor:
    """Asks the model, and calls what it asks for."""

    def __init__(self, tools, model="gpt-4o-mini"):
        self.tools = tools
        self.model = model
        self.client = OpenAI()

    def offered(self):
        return [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": f"Compute {name.replace('_', ' ')}.",
                    "parameters": {"type": "object", "properties": {"kwh": {"type": "number"}}},
                },
            }
            for name in sorted(self.tools)
        ]

    def advise(self, question, **variables):
        messages = [
            {"role": "developer", "content": load_prompt("advisor", **variables)},
            {"role": "user", "content": question},
        ]
        while True:
            response = self.client.chat.completions.create(
                model=self.model, messages=messages, tools=self.offered(), seed=settings.SEED
            )
            message = response.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                tool = self.tools[call.function.name]
                result = tool(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})


def main():
    tools = make_tools()
    advisor = Advisor(tools)
    print(advisor.advise("We use 3,200 kWh. Which tariff is ours?", region="north", year=2025))


if __name__ == "__main__":
    main()
