"""The floor: what os.fork costs in a plain process that holds the same objects.

Reads lines of JSON. A text that is not empty is code to run; an empty one asks for one fork whose child
writes a byte to a pipe. Answers with the seconds until the byte was read. The child's end is not timed.
"""

import gc
import json
import os
import sys
import time


def fork_s() -> float:
    reader, writer = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        os.write(writer, b"!")
        os._exit(0)
    os.read(reader, 1)
    seconds = time.perf_counter() - started
    os.close(reader)
    os.close(writer)
    os.waitpid(child, 0)
    return seconds


def main() -> None:
    namespace: dict[str, object] = {}
    for line in sys.stdin:
        code = json.loads(line)
        if code:
            exec(code, namespace)
            gc.collect()
        print(0.0 if code else fork_s(), flush=True)


if __name__ == "__main__":
    main()
