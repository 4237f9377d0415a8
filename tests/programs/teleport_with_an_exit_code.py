"""Ends elsewhere with an exit code, which is the one here too."""

# teleports
# not at a prompt: it stays after sys.exit

import sys

import stillframe

print("before")
stillframe.teleport("local")
print("after")
sys.exit(5)
