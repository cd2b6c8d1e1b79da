from __future__ import annotations

import inspect
import threading
import typing


class Answer:
    pass


def ask(question: str, *, retries: int = 3) -> Answer:
    """Ask."""
    return Answer()


print(inspect.getsource(ask), inspect.signature(ask), ask.__doc__, inspect.getsourcelines(Answer)[1])
print(typing.get_type_hints(ask))


def late():
    main.join()
    print("late", __name__)


main = threading.main_thread()
threading.Thread(target=late).start()
