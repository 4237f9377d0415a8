"""In the try clause of try/finally."""

import os

import stillframe


def main():
    try:
        print("before")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after")
    finally:
        print("finally")
    print("end")


main()
