"""The program `sgpt`, by its command line: it runs a tool before it has read the stream of the answer to its end."""

import os
import sys

home = os.path.join(os.getcwd(), "sgpt-files")
os.makedirs(os.path.join(home, "functions"), exist_ok=True)
os.environ |= {
    "HOME": home,
    "API_BASE_URL": os.environ["OPENAI_BASE_URL"],
    "OPENAI_FUNCTIONS_PATH": os.path.join(home, "functions"),
    "CACHE_PATH": os.path.join(home, "cache"),
    "CHAT_CACHE_PATH": os.path.join(home, "chat_cache"),
}

FUNCTION = '''
import os

from pydantic import BaseModel


class Function(BaseModel):
    """The weather of a city."""

    city: str

    @classmethod
    def execute(cls, city: str) -> str:
        return f"{city}: -3 degrees, process {os.getpid()}"

    @classmethod
    def openai_schema(cls) -> dict:
        parameters = cls.model_json_schema()
        function = {"name": "get_weather", "description": cls.__doc__, "parameters": parameters}
        return {"type": "function", "function": function}
'''
with open(os.path.join(home, "functions", "weather.py"), "w") as file:
    file.write(FUNCTION)

sys.argv[1:] = ["--no-cache", "--no-md", "--model", "gpt-4o-mini", "How cold is it in Oslo?"]
from sgpt import cli

cli()
