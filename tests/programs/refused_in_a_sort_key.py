"""The key function of sorted() is called from native code, which is named with its line and caller."""

# refused: sorted, main

import os

import stillframe
import stillframe.errors


def key(n):
    try:
        stillframe.snapshot(os.environ["SNAPSHOT"])
    except stillframe.errors.NativeCallInTheWay as error:
        if n == 3:
            print("refused:", error, error.native, error.caller, error.line > 0)
    return -n


def main():
    return sorted([1, 3, 2], key=key)


print(main())
print("goes on")
