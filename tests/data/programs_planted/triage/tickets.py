"""The tickets of today."""

TICKETS = {
    1: {"text": "Smoke from the charger.", "since": 2012, "product": "charger"},
    2: {"text": "The page is slow.", "since": 2018, "product": "web"},
    3: {"text": "How do I change my name?", "since": 2023, "product": "web"},
}
HEADLINE = "Ticket {number}"


def describe(number):
    row = TICKETS[number]
    return HEADLINE.format(number=number) + f" ({row['product']}): {row['text']}"
