"""Open files: positions of readers and writers, iteration over lines, text and bytes, buffers, files in memory."""

import csv
import io
import json
import os
import tempfile

from snap import snap

events = []
directory = tempfile.mkdtemp()
path = os.path.join(directory, "lines")
with open(path, "w") as file:
    file.write(snap("one\n"))
    file.writelines(snap(line) for line in [])
    file.write("two\nthrée\nfour\n")
    snap("with a file open for writing")
with open(path) as file:
    events.append(file.readline())
    snap("half read")
    events.append(file.tell())
    events.append(file.read())
with open(path) as file:
    for number, line in enumerate(file):
        events.append((number, snap(line)))
with open(path, "rb") as file:
    file.seek(4)
    events.append(file.read(snap(3)))
    events.append(snap(file).read())
    events.append(file.closed)
with open(path, "rb", buffering=0) as file:
    file.seek(snap(2))
    events.append(file.read(2))
with open(path) as one, open(path) as other:
    next(one)
    snap("one file opened twice")
    events.append([next(one), next(other)])


def lines():
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield snap(line.strip())


events.append([line for line in lines()])
rows = os.path.join(directory, "rows.csv")
with open(rows, "w", newline="") as file:
    file.write("a,b\n1,2\n3,4\n")
text = io.StringIO("x\ny\nz\n")
next(text)
snap(text)
events.append([line for line in text])
out = io.StringIO()
out.write(snap("written"))
snap(out)
out.write(" more")
events.append(out.getvalue())
data = io.BytesIO(b"abcdef")
data.read(2)
snap(data)
events.append((data.read(2), data.tell()))
events.append(json.loads(json.dumps({"k": snap([1])})))
events.append(json.loads('{"a": 1}', object_hook=lambda found: found) == {"a": snap(1)})
closed = open(path)
closed.close()
snap(closed)
events.append(closed.closed)
with open(rows, newline="") as file:
    events.append([row["a"] for row in csv.DictReader(file)])


class Closing:
    def __init__(self):
        self.file = open(path)

    def __enter__(self):
        return self.file

    def __exit__(self, *details):
        self.file.close()
        events.append(self.file.closed)


with Closing() as file:
    events.append(file.readline(snap(2)))
print(snap("printed"), "in the middle")
print("without a newline", end="")
snap("after text without a newline")
print(" and the rest")
print(end=snap(""), flush=True)

print("\n".join(map(repr, events)))
