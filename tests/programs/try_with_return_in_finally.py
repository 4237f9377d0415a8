"""A return in the finally clause wins over the one in the try clause."""

import os

import stillframe


def main():
    try:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return "first"
    finally:
        print("finally")
        return "second"


print("before")
print(main())
