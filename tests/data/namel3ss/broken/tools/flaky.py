"""The tool of the app."""


def run(payload):
    """Fail."""
    message = "the lookup service is away"
    raise ValueError(message)
