"""The process that a snapshot is resumed in: `python -m stillframe.capture.runner FILE [DESCRIPTOR|- [captured]]`.

It imports nothing that the program might not have imported itself.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from stillframe.capture import resuming, snapshot
from stillframe.capture.regime import EXIT_FACT, regime_of
from stillframe.errors import StillframeError

CAPTURED = "captured"
"""The argument that has the program of a `still run` be captured as before."""


def main(arguments: list[str]) -> int:
    """Resume the snapshot `arguments[0]`; the descriptor `arguments[1]` holds the value to hand in."""
    from stillframe.capture.resumed import Resumed

    path, descriptor, *more = (*arguments, "-")[: max(2, len(arguments))]
    try:
        header, contents = snapshot.open_snapshot(path)
        value = None if descriptor == "-" else _value_in(int(descriptor))
        loaded = resuming.load(header, contents)
    except StillframeError as error:
        print(error, file=sys.stderr)
        return 2
    del contents
    exit_code = header.facts.get(EXIT_FACT)

    def run() -> int:
        if exit_code is not None and hasattr(threading, "_shutdown_locks"):
            # Up to 3.12. The program is past the place where it would have taken this one away.
            threading._shutdown_locks.discard(threading.main_thread()._tstate_lock)  # type: ignore[attr-defined]
        code = resuming.run(loaded, Resumed.of(header, value))
        return code if exit_code is None else int(exit_code)

    regime = regime_of(header, path) if CAPTURED in more else None
    if regime is None:
        return run()
    from stillframe.capture.periodic import Periodic

    periodic = Periodic(regime)
    periodic.exit_code = None if exit_code is None else int(exit_code)
    periodic.start()
    return periodic.to_its_end(run)


def _value_in(descriptor: int) -> Any:
    from stillframe.capture.values import loads

    with os.fdopen(descriptor, "rb") as given:
        return loads(given.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
