import atexit


@atexit.register
def last():
    print("last words", "__file__" in globals())


class Agent:
    def run(self, depth):
        if depth:
            return self.run(depth - 1)
        try:
            return {}["key"]
        except KeyError as error:
            raise ValueError("no such key") from error


print("start", flush=True)
Agent().run(3)
