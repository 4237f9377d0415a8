"""An open file is where it was, also in the middle of its lines, and one that is written goes on there."""

import os
import tempfile

import stillframe

path = os.path.join(tempfile.mkdtemp(), "file")
writer = open(path, "w")
writer.write("one\ntwo\nthree\nfour\n")
writer.flush()
reader = open(path)
data = open(path, "rb")
data.seek(2)
for line in reader:
    print(line.strip())
    if line == "two\n":
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        writer.write("five\n")
        writer.flush()
print(data.read(3), reader.read(), writer.tell(), data.tell())
