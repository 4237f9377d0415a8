"""sys.exit() after resuming ends the process with its code."""

# not at a prompt: it stays after sys.exit

import os
import sys

import stillframe


def main():
    try:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        sys.exit(7)
    finally:
        print("finally")


print("before")
main()
