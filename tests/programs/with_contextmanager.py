"""In a generator that is a context manager, and in an ExitStack."""

import contextlib
import os

import stillframe


@contextlib.contextmanager
def managed(name):
    print("enter", name)
    try:
        if name == "second":
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        yield name
    finally:
        print("exit", name)


with contextlib.ExitStack() as stack:
    print([stack.enter_context(managed(name)) for name in ("first", "second", "third")])
    stack.callback(print, "callback")
print("end")
