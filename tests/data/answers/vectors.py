"""A program that requests embeddings, a stream of chat completions, and a response of the Responses API."""

import openai
from scripted_model import ScriptedModel, say


def main():
    """Print every answer, with the tokens that it took."""
    with ScriptedModel(lambda _request: say("Eight planets.", usage={"input_tokens": 7, "output_tokens": 3})) as model:
        client = openai.OpenAI(base_url=f"{model.url}/v1", api_key="unused")
        found = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=4)
        print([[round(each, 3) for each in item.embedding] for item in found.data], found.usage.total_tokens)
        asked = [{"role": "user", "content": "How many?"}]
        for chunk in client.chat.completions.create(model="gpt-4o-mini", stream=True, messages=asked):
            print(chunk.choices[0].delta.content or "", end="")
        print()
        response = client.responses.create(model="gpt-4o-mini", input="How many, please?", instructions="Be short.")
        print(response.output_text, response.usage.total_tokens)


main()
