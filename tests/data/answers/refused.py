"""A program whose requests fail as those to providers do: by the rate limit, an error, a long context and a timeout."""

import anthropic
import openai
from scripted_model import ScriptedModel, fail, say

REPLIES = {
    "hello": say("Hello!"),
    "limit": fail(429, "The rate limit is reached."),
    "broken": fail(500, "The server had an error."),
    "long": fail(400, "The maximum context length is 128000 tokens."),
    "slow": say("Too late.", seconds=1.5),
}


def ask(client, question):
    """Print the answer, or how the request failed."""
    messages = [{"role": "user", "content": question}]
    try:
        if isinstance(client, anthropic.Anthropic):
            message = client.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=messages)
            print(question, message.content[0].text)
        else:
            completion = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
            print(question, completion.choices[0].message.content)
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        print(question, type(error).__name__, getattr(error, "status_code", None), error)


def main():
    """Ask both providers everything."""
    with ScriptedModel(lambda request: REPLIES[request["messages"][0]["parts"][0]["content"]]) as model:
        options = {"api_key": "unused", "timeout": 0.4, "max_retries": 1}
        clients = openai.OpenAI(base_url=f"{model.url}/v1", **options), anthropic.Anthropic(base_url=model.url, **options)
        for client in clients:
            for question in REPLIES:
                ask(client, question)


main()
