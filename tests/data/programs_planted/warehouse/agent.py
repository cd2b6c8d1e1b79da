"""Plan what a warehouse orders: tools are classes on a database, and one runs a script."""

import json

from openai import OpenAI

from stock_tools import Forecast, Reorder, StockLevel, Suppliers
from storage import connect
from toolkit import Toolbox

SYSTEM = "You plan what the warehouse orders. Check the stock, then the forecast."
TASK = "What do we order for the lamps?"


class Planner:
    """Talks with the model until it has a plan."""

    model = "gpt-4o-mini"

    def __init__(self, toolbox, system=SYSTEM):
        self.toolbox = toolbox
        self.messages = [{"role": "system", "content": system}]
        self.client = OpenAI()

    def ask(self, task):
        self.messages.append({"role": "user", "content": task})
        while True:
            response = self.client.chat.completions.create(
                model=self.model, messages=self.messages, tools=self.toolbox.schemas()
            )
            message = response.choices[0].message
            self.messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return message.content
            for call in message.tool_calls:
                result = self.toolbox.call(call.function.name, json.loads(call.function.arguments))
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def main():
    database = connect()
    toolbox = Toolbox([StockLevel(database), Suppliers(database), Reorder(database), Forecast()])
    planner = Planner(toolbox)
    print(planner.ask(TASK))
    print(f"{len(planner.messages)} messages, {toolbox.calls} calls")


if __name__ == "__main__":
    main()
