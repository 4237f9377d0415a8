"""The process that a snapshot is resumed in: `python -m stillframe.capture.runner FILE [DESCRIPTOR]`.

It imports nothing that the program might not have imported itself.
"""

from __future__ import annotations

import os
import sys

from stillframe.capture import program, snapshot
from stillframe.errors import StillframeError


def main(arguments: list[str]) -> int:
    """Resume the snapshot `arguments[0]`; the descriptor `arguments[1]` holds the value to hand in."""
    from stillframe.capture.calls import Resumed

    try:
        header, contents = snapshot.open_snapshot(arguments[0])
        value = None
        if len(arguments) > 1:
            from stillframe.capture.values import loads

            with os.fdopen(int(arguments[1]), "rb") as given:
                value = loads(given.read())
        loaded = program.load(header, contents)
    except StillframeError as error:
        print(error, file=sys.stderr)
        return 2
    del contents
    return program.run(loaded, Resumed.of(header, value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
