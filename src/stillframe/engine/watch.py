"""Keeps the machine out of trouble while cells run: ends what takes the last memory, or the last processes.

Invariants:
  * Processes that only wait for a cell go first, and only then the one execution that holds most.
  * One execution is ended at a time: what it held is free when it has ended, not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stillframe.engine import machine
from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.sizes import mebibytes

_LOOK_S = 0.1
"""How often memory is looked at while cells run: a program can take some 0.5 GiB in that time."""


class Watch:
    """Looks at the machine as long as something runs.

    `running` gives the process of each execution, None for one that has none yet.
    """

    def __init__(self, processes: Processes, running: Callable[[], list[Process | None]]) -> None:
        self._processes = processes
        self._running = running
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Something runs."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        reserve = self._processes.reserve_bytes
        ending: Process | None = None
        while True:
            await asyncio.sleep(_LOOK_S)  # first: most cells have ended by then
            if not self._running():
                return
            if ending is not None and ending.is_alive:
                continue
            available = machine.available_memory()
            if available < 2 * reserve:
                self._processes.end_spares()
            if available < reserve or machine.process_room() <= 0:
                ending = await self._end_largest(available)

    async def _end_largest(self, available: int) -> Process | None:
        running = {process.pid: process for process in self._running() if process and process.pid is not None}
        sizes = await asyncio.to_thread(machine.sizes_of_groups, list(running))
        if not sizes:
            return None
        pid, (private_bytes, members) = max(sizes.items(), key=lambda item: item[1])
        running[pid].end(
            f"it and its children ({members} processes) held {mebibytes(private_bytes)} of memory of their own "
            f"when only {mebibytes(available)} were left on the machine"
        )
        return running[pid]
