"""Stands in for stillframe where a program is to run undisturbed: nothing is captured, each call returns at once.

A program then does what it must also do when it is captured, ended, and resumed elsewhere.
"""

import json
import os
import sys


class Resumed:
    """What the call returns in a resumed program."""

    value = json.loads(os.environ.get("VALUE", "null"))


def snapshot(path):
    return Resumed()


def teleport(to="local", *, each=None):
    """With `each`, one process per item, one after the other; the one that called waits for them and ends.

    Side by side they would write what ends their prompts into each other's lines.
    """
    if each is None:
        return Resumed()
    sys.stdout.flush()
    for item in each:
        child = os.fork()
        if child == 0:
            return item
        os.waitpid(child, 0)
    os._exit(0)
