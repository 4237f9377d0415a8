"""In the finally clause, with nothing wrong."""

import os

import stillframe


def main():
    try:
        print("try")
    finally:
        print("before")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after")
    print("end")


main()
