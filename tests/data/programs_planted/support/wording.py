"""How amounts and texts are written."""

CURRENCY = "EUR"
LIMIT = 400


def money(amount):
    return f"{amount:.2f} {CURRENCY}"


def shorten(text):
    if len(text) <= LIMIT:
        return text
    return text[:LIMIT] + "..."


def signature():
    return "Kind regards,\nyour Nordlicht team"


def banner(text):
    return "*** " + text + " ***"
