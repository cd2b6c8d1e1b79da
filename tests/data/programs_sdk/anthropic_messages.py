"""One message."""

from anthropic import Anthropic

message = Anthropic().messages.create(
    model="claude-haiku-4-5",
    max_tokens=100,
    system="Be brief.",
    messages=[{"role": "user", "content": "hello"}],
)
print(message.id, message.model, message.stop_reason)
print(message.content[0].text)
print(message.usage.input_tokens, message.usage.output_tokens, message.usage.cache_read_input_tokens)
