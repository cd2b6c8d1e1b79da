"""The Google Gen AI SDK: a tool that the SDK calls itself, and a stream."""

from google import genai
from google.genai import types


def get_weather(city: str) -> dict:
    """The weather of a city."""
    return {"city": city, "temp_c": -3}


client = genai.Client()
told = client.models.generate_content(
    model="gemini-2.5-flash",
    contents="How cold is it in Oslo?",
    config=types.GenerateContentConfig(tools=[get_weather]),
)
print(told.text, told.usage_metadata.total_token_count > 0)
stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents="And what to wear?")
print([chunk.text for chunk in stream])
