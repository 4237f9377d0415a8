"""What `still run` costs a program that computes: `python -m bench.frames_run [--write FILE]`.

Pairs: plain python and `still run --every 1s`, one behind the other, in turns which comes first. Both run the same
loop for some seconds; it measures itself, so that starting the interpreter does not count. The overhead is the
median of the pairs' ratios. The processor time of the process is measured too: it does not depend on what else the
machine does, and has what the fork and the copying of pages cost the program, but not the copy's own work, which
another processor does. On a machine that is busy with other things the program gets only a part of each second, but
is captured as often: what counts then is the last line, which is what the overhead is where the program runs alone.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import sys, time
data = [{"n": n, "text": str(n)} for n in range(int(sys.argv[2]))]
def work(count):
    value = 0
    for n in range(count):
        value = (value * 31 + data[n % len(data)]["n"]) % 1_000_003
        data[n % len(data)]["n"] = value
    return value
began, cpu = time.perf_counter(), time.thread_time()
work(int(sys.argv[1]))
print(time.perf_counter() - began, time.thread_time() - cpu)
"""


def measured(command: list[str], folder: str) -> tuple[float, float]:
    """Seconds by the clock, and of the processor in the main thread."""
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=25_000_000)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--every", default="1s")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "program.py").write_text(PROGRAM)
        program = ["program.py", str(options.steps), str(options.objects)]
        plain = [sys.executable, *program]
        ours = [sys.executable, "-m", "stillframe", "run", "--every", options.every, "--quiet", *program]
        for turn in range(options.pairs):
            if turn % 2:
                second, first = measured(ours, folder), measured(plain, folder)
            else:
                first, second = measured(plain, folder), measured(ours, folder)
            pairs.append((first, second))
    lines = [
        f"`still run --every {options.every}` on a CPU-bound program with {options.objects:,} objects, "
        f"CPython {platform.python_version()}, {options.pairs} pairs:",
        "",
        "| | plain | still run | overhead (median of the pairs) |",
        "|---|---|---|---|",
    ]
    for index, what in enumerate(("by the clock", "processor time of the program")):
        before = statistics.median(pair[0][index] for pair in pairs)
        after = statistics.median(pair[1][index] for pair in pairs)
        over = statistics.median(pair[1][index] / pair[0][index] - 1 for pair in pairs)
        lines.append(f"| {what} | {before:.2f} s | {after:.2f} s | {over:+.1%} |")
    share = statistics.median((second[1] - first[1]) / second[0] for first, second in pairs)
    lines.append(f"| processor time that captures take, per second of the clock | | | {share:+.1%} |")
    page = "\n".join(lines) + "\n"
    print(page)
    if options.write:
        options.write.write_text(page)


if __name__ == "__main__":
    main()
