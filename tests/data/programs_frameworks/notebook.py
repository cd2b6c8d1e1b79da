"""A notebook of Jupyter, executed by nbclient in a kernel of its own: a tool, a chat, a stream, a cell that fails."""

import nbformat
from nbclient import NotebookClient

CELLS = [
    """
import json
from openai import AsyncOpenAI, OpenAI

client = OpenAI()
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
function = {"name": "get_weather", "description": "The weather of a city.", "parameters": parameters}
""",
    """
def get_weather(city):
    return {"city": city, "temp_c": -3}


def chat(messages, **more):
    tools = [{"type": "function", "function": function}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools, **more)
""",
    """
messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
asked = chat(messages).choices[0].message
messages.append(asked)
for each in asked.tool_calls:
    result = get_weather(**json.loads(each.function.arguments))
    messages.append({"role": "tool", "tool_call_id": each.id, "content": json.dumps(result)})
print(chat(messages).choices[0].message.content)
""",
    """
async with AsyncOpenAI() as waiting:
    stream = await waiting.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "And what to wear?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
words
""",
    """
get_weather("Oslo", "Bergen")
""",
    """
get_weather("Rome")["city"]
""",
]


def main():
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip(), id=f"cell-{at}") for at, source in enumerate(CELLS)]
    )
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=120).execute()
    for cell in notebook.cells:
        for output in cell.outputs:
            print(f"[{cell.execution_count}]", output.get("text") or output.get("ename") or output.data["text/plain"])


if __name__ == "__main__":
    main()
