"""In an except clause, which then raises the same exception again."""

import os

import stillframe


def main():
    try:
        raise KeyError("k")
    except KeyError as error:
        print("before", error)
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after", error)
        raise


try:
    main()
except KeyError as error:
    print("again", error)
