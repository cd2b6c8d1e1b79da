"""A streamed message, read through the SDK's helper and as raw events."""

from anthropic import Anthropic

client = Anthropic()
asked = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "please count"}],
}
with client.messages.stream(**asked) as stream:
    for text in stream.text_stream:
        print(text, end="|")
    message = stream.get_final_message()
print()
print(message.stop_reason, message.usage.input_tokens, message.usage.output_tokens)
for event in client.messages.create(**asked, stream=True):
    print(event.type)
