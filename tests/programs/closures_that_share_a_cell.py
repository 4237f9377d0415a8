"""With two closures that share a cell."""

import os

import stillframe


def account(balance):
    def deposit(amount):
        nonlocal balance
        balance += amount

    def look():
        return balance

    return deposit, look


deposit, look = account(10)
deposit(5)
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
deposit(7)
print(look(), deposit.__closure__[0] is look.__closure__[0])
