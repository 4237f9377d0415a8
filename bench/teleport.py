"""What a teleport costs: time to the next line, and memory on either side for a large array.

    python -m bench.teleport [--megabytes 1024] [--times 20]

Each figure comes from a program of its own, run by the interpreter that runs this. Memory is the most that a
process had in RAM (VmHWM), in units of the array; the keeper and the relay count to their sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURED = """
import os, resource, sys, time
def most_mb(pid="self"):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
"""

NEXT_LINE = """
import json, sys, time
import stillframe, stillframe.teleport
options = json.loads(sys.argv[1])
took = []
for _ in range(int(sys.argv[2])):
    start = time.time()
    stillframe.teleport(**options)
    took.append(time.time() - start)
print(json.dumps(took))
"""

LARGE = (
    MEASURED
    + """
import json
import numpy
import stillframe, stillframe.teleport
array = numpy.arange(int(sys.argv[1]) << 17)
before = most_mb()
options = json.loads(sys.argv[2])
start = time.time()
copy = stillframe.teleport(stay=True, **options)
if copy.__class__.__name__ == "Resumed":
    arrived = time.time()
    array += 1
    keeper = most_mb(os.getppid())
    print(json.dumps({"there_mb": most_mb() + keeper, "s": arrived - start}), flush=True)
    os._exit(0)
relay = most_mb(copy._processes[0].pid)
copy.wait()
print(json.dumps({"here_mb": most_mb() + relay, "before_mb": before}))
"""
)


def run(text: str, *words: str) -> list[dict[str, float] | list[float]]:
    """What a program printed, one JSON value a line."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, str(script), *words], capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    elsewhere = {"to": ["sh", "-c"], "python": sys.executable}
    print(f"CPython {sys.version.split()[0]}")
    for name, options, times in (
        ("local", {}, arguments.times),
        ("sh -c", elsewhere, min(10, arguments.times)),
    ):
        took = run(NEXT_LINE, json.dumps(options), str(times))[0]
        print(f"to the next line, {name:6} {statistics.median(took) * 1000:6.0f} ms")
    facts: dict[str, float] = {}
    for line in run(LARGE, str(arguments.megabytes), json.dumps(elsewhere)):
        assert isinstance(line, dict)
        facts |= line
    size_mb = arguments.megabytes
    print(f"an array of {size_mb} MB:  {size_mb / facts['s']:.0f} MB/s, {facts['s']:.2f} s in all")
    print(
        f"  memory here  {facts['here_mb'] / size_mb:.2f} times the array ({facts['before_mb'] / size_mb:.2f} before)"
    )
    print(f"  memory there {facts['there_mb'] / size_mb:.2f} times")


if __name__ == "__main__":
    main()
