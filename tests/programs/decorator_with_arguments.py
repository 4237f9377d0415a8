"""In the wrapper that a decorator with arguments has made."""

import functools
import os

import stillframe


def retry(times):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            for turn in range(times):
                try:
                    return function(*args, turn)
                except ValueError as error:
                    print("turn", turn, error)
                    if turn == 1:
                        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)

        return wrapper

    return decorate


@retry(5)
def unreliable(name, turn):
    if turn < 3:
        raise ValueError(name)
    return name, turn


print(unreliable("n"), unreliable.__name__)
