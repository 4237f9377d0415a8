"""In an __exit__ that swallows the exception."""

import os

import stillframe


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        print("before", error)
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after", error)
        return True


with Manager():
    raise ValueError("to be swallowed")
print("end")
