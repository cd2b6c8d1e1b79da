def greet(name):
    return f"hello {name}"


def fail():
    raise LookupError("nothing here")


async def agreet(name="nobody"):
    print(greet(name))
    return 3
