import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass


@dataclass
class Order:
    name: str
    amount: int


def double(order):
    return Order(order.name, order.amount * 2)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        print(list(pool.map(double, [Order("a", 1), Order("b", 2)])))
    print(pickle.loads(pickle.dumps(Order("c", 3))), Order.__module__)
