"""Where the frames of a cell end, among those of the thread that runs it.

Invariant: a cell ends at its module frame: what lies below is the kernel's, and is there in every state process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType

from stillframe.errors import CannotCapture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stillframe.frames._frames import FrameRef


def frames_of_cell(
    frames: list[FrameRef],
    namespace: dict[str, Any],
    runner: str,
    is_shells: Callable[[CodeType], bool],
) -> list[FrameRef]:
    """Those of `frames` that are a cell's: see inside.capture_call(). Raises CannotCapture where it is no plain one."""
    count = len(frames)
    while count and not (
        frames[count - 1].code.co_name == "<module>" and frames[count - 1].globals is namespace
    ):
        count -= 1
    # Below the module frame of a cell that was resumed there is nothing.
    is_plain = count > 0 and (count == len(frames) or frames[count].code.co_filename == runner)
    if not is_plain or any(is_shells(frame.code) for frame in frames[:count]):
        raise CannotCapture(
            "it rests in a cell that IPython runs (a magic, or an await), and what that has still to do cannot be "
            "captured.", "Call what the cell does from a plain one.",
        )  # fmt: skip
    if "asyncio" in sys.modules and sys.modules["asyncio"]._get_running_loop() is not None:
        raise CannotCapture("it rests inside of a running event loop.", "Make the state outside of `run`.")
    return frames[:count]
