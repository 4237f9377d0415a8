"""In a while loop."""

import os

import stillframe

n = 3
while n:
    n -= 1
    if n == 1:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        continue
    print(n)
else:
    print("else")
