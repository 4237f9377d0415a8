"""Goes on through a command that runs a shell."""

# teleports

import os

import stillframe


def main():
    with open(os.devnull) as file:
        stillframe.teleport(["sh", "-c"])
        return file.read(), "arrived"


print("before")
print(main())
