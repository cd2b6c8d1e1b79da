"""The base of all tools."""

import json
from abc import ABC, abstractmethod


class Tool(ABC):
    """A tool: what it is called, and what it does."""

    name = ""
    description = ""
    unit = "pieces"
    parameters = {"sku": {"type": "string"}}

    @abstractmethod
    def run(self, **arguments):
        """Do the work."""

    def render(self, result):
        return json.dumps(result)

    def limit(self):
        return 10

    def __call__(self, **arguments):
        return self.render(self.run(**arguments))

    def schema(self):
        parameters = {"type": "object", "properties": self.parameters, "required": list(self.parameters)}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": parameters},
        }


class Toolbox:
    """The tools of an agent by their names."""

    def __init__(self, tools):
        self.tools = {tool.name: tool for tool in tools}
        self.calls = 0

    def schemas(self):
        return [tool.schema() for tool in self.tools.values()]

    def call(self, name, arguments):
        self.calls += 1
        return self.tools[name](**arguments)
