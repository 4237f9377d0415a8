"""Line numbers after resuming: of frames, and of a traceback through lines above and below."""

import os
import sys
import traceback

import stillframe


def inner():
    first = sys._getframe().f_lineno
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print(sys._getframe().f_lineno - first, sys._getframe(1).f_lineno - first)
    raise ValueError("below")


def outer():
    return [
        1,
        inner(),
        2,
    ]


try:
    outer()
except ValueError as error:
    print([(frame.name, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)])
