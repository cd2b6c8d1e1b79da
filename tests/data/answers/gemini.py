"""A program that calls Gemini: streamed or not, and refused."""

from google import genai
from google.genai import errors
from scripted_model import ScriptedModel, fail, say


def answer(request):
    """Answer what is not about the quota."""
    asked = request["messages"][0]["parts"][0]["content"]
    return fail(429, "The quota is used up.") if "quota" in asked else say("Eight.")


def main():
    """Print every answer."""
    with ScriptedModel(answer) as model:
        client = genai.Client(api_key="unused", http_options={"base_url": model.url})
        models, name = client.models, "gemini-2.5-flash"
        print(models.generate_content(model=name, contents="How many planets?").text)
        for piece in models.generate_content_stream(model=name, contents="How many moons?"):
            print(piece.text, end="")
        print()
        try:
            models.generate_content(model=name, contents="How much quota?")
        except errors.APIError as error:
            print(type(error).__name__, error)


main()
