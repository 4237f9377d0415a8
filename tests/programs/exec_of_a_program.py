"""In text that is executed, in its loop."""

import os

import stillframe

text = """
total = 0
for i in range(4):
    if i == 2:
        capture()
    total += i
"""


def capture():
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)


namespace = {"capture": capture}
exec(compile(text, "<text>", "exec"), namespace)
print(namespace["total"], namespace["i"])
