"""In a with statement over an open file."""

import os
import tempfile

import stillframe

path = os.path.join(tempfile.mkdtemp(), "file")
with open(path, "w") as file:
    print("kept", file=file)
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print("added", file=file)
print(file.closed, open(path).read().split())
