"""In a for loop over a list that it changes."""

import os

import stillframe

items = [1, 2, 3]
for item in items:
    print(item)
    if item == 2:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        items.append(4)
else:
    print("else", items)
