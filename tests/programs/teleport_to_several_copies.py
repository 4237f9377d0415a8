"""One copy per item, all at once; the call returns the item in each."""

# teleports
# any order

import stillframe


def main():
    shared = ["shared"]
    item = stillframe.teleport("local", each=["a", "b", "c"])
    shared.append(item)
    return shared


print(main())
