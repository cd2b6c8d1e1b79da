import sys


def add(a, b=2):
    print(a + b)
    return 1


def fails():
    raise ValueError("no")


async def later(text="x"):
    print("later", text)


def leaves():
    sys.exit(8)
