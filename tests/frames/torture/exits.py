"""A program that ends with sys.exit, from deep inside, with handlers on the way."""

import sys

from snap import snap


def leave(code):
    try:
        sys.exit(snap(code))
    finally:
        print("on the way", snap("finally"))


def middle():
    try:
        leave(3)
    except SystemExit as error:
        print("caught", error.code, snap("caught"))
        raise


try:
    try:
        leave("text")
    except SystemExit as error:
        print(repr(error.code))
    middle()
finally:
    print("outermost", snap("outer finally"), file=sys.stderr)
print("never")
