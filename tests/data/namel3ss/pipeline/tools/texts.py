"""The tool of the app."""


def count(payload):
    """Count the words of a text."""
    return {"words": len(payload["text"].split())}
