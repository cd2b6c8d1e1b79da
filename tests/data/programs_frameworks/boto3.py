"""Amazon Bedrock by boto3: a conversation, and a stream."""

import boto3

client = boto3.client("bedrock-runtime")
MODEL = "us.amazon.nova-lite-v1:0"
messages = [{"role": "user", "content": [{"text": "How cold is it in Oslo?"}]}]
told = client.converse(modelId=MODEL, messages=messages)
print(told["output"]["message"]["content"], told["usage"]["totalTokens"] > 0)
for event in client.converse_stream(modelId=MODEL, messages=messages)["stream"]:
    print(event)
