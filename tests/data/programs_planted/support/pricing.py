"""What the shop pays back."""

REFUND_DAYS = 30
RESTOCKING_FEE = 0.1
FULL_REFUND = {"damaged", "wrong item"}


def share(days_ago, reason):
    """Return the share of the price that is paid back."""
    if reason in FULL_REFUND:
        return 1.0
    if days_ago > REFUND_DAYS:
        return 0.0
    return 1 - RESTOCKING_FEE


def refund(price, days_ago, reason, opened):
    amount = price * share(days_ago, reason)
    if opened and reason not in FULL_REFUND:
        amount -= 2.5
    return amount


def days_left(days_ago):
    return max(0, REFUND_DAYS - days_ago)
