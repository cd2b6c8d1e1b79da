"""The program `llm`, by its command line: a tool of its own package and a function that the user types in, streamed."""

import os

os.environ["LLM_USER_PATH"] = os.path.join(os.getcwd(), "llm-files")

from llm.cli import cli

FUNCTION = '''
def get_weather(city: str) -> str:
    "The weather of a city."
    import os
    return f"{city}: -3 degrees, process {os.getpid()}"
'''

for chosen in (["-T", "llm_version"], ["--functions", FUNCTION]):
    arguments = ["prompt", "-m", "gpt-4o-mini", *chosen, "How cold is it in Oslo?"]
    cli.main(arguments, prog_name="llm", standalone_mode=False)
