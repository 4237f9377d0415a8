"""Objects that refer to each other and to themselves."""

import os

import stillframe


class Node:
    pass


a, b = Node(), Node()
a.other, b.other, a.me = b, a, a
items = [a]
items.append(items)
table = {"items": items}
table["self"] = table
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(a.other.other is a, a.me is a, items[1] is items, items[0] is a, table["self"]["items"] is items)
