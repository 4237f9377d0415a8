"""In the finally clause, while an exception passes through it."""

import os

import stillframe


def main():
    try:
        raise ValueError("passes")
    finally:
        print("before")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after")


try:
    main()
except ValueError as error:
    print("caught", error)
