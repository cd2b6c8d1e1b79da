"""Ideas for later; the agent does not import this."""

IDEAS = ["answer in the language of the customer", "offer a voucher"]


def longest():
    return max(IDEAS, key=len)
