"""What was printed before stays printed once; text without a newline is continued; stderr too."""

import os
import sys

import stillframe

print("one")
print("two", end="")
sys.stderr.write("error one\n")
sys.stdout.write(" three")
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(" four")
sys.stderr.write("error two\n")
