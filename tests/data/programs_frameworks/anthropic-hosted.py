"""Claude on Amazon Bedrock and on Vertex AI, by the SDK of Anthropic: a message and a stream each."""

import os

from anthropic import AnthropicBedrock, AnthropicVertex

url = os.environ["MODEL_URL"]
bedrock = AnthropicBedrock(base_url=url)
vertex = AnthropicVertex(base_url=f"{url}/v1", region="europe-west1", project_id="p", access_token="unused")
ask = {"max_tokens": 100, "messages": [{"role": "user", "content": "How cold is it in Oslo?"}]}
clients = ((bedrock, "us.anthropic.claude-haiku-4-5-20251001-v1:0"), (vertex, "claude-haiku-4-5@20251001"))
for client, model in clients:
    print(client.messages.create(model=model, **ask).content[0].text)
    with client.messages.stream(model=model, **ask) as stream:
        print(list(stream.text_stream), stream.get_final_message().usage.output_tokens > 0)
