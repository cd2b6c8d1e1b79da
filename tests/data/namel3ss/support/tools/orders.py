"""The tool of the app."""


def lookup(payload):
    """Look up an order."""
    return {"status": "shipped", "eta_days": 2}
