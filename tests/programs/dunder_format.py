"""In __format__, in the middle of an f-string."""

import os

import stillframe


class Money:
    def __format__(self, spec):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return f"money {spec}"


print(f"a {1} {Money():.2f} {'b'!r}")
