"""Three handlers deep, each with an exception of its own."""

import os

import stillframe


def main():
    try:
        raise KeyError(1)
    except KeyError as first:
        try:
            raise IndexError(2)
        except IndexError as second:
            try:
                raise ValueError(3) from first
            except ValueError as third:
                stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
                print(repr(third), repr(third.__cause__), repr(third.__context__))
            print(repr(second), repr(second.__context__))
        print(repr(first))


print("before")
main()
