"""Base processes: frozen ones that hold no state, but have imported the modules that snapshots need.

Invariants:
  * A base has run no user code: it is a fork of the root, or of another base, that was told to import.
  * At most `KEPT` rest at a time; the least recently used ends first. None of them is in the tree.
  * A base whose imports have started threads is not kept: it serves the one restore that it was made for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from stillframe.engine.process import Process
from stillframe.engine.processes import Processes
from stillframe.engine.protocol import Import, Imported
from stillframe.engine.tree import State
from stillframe.errors import CannotRestore

KEPT = 4
"""Sets of modules for which a base rests. A notebook needs one or two: a cell that imports makes another."""

_log = logging.getLogger("stillframe")

Key = tuple[tuple[str, ...], frozenset[str]]
"""sys.path, and the modules beyond the root's."""


class Bases:
    """Makes live processes that have imported what a snapshot needs, from bases that wait for that."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._bases: OrderedDict[Key, State] = OrderedDict()
        self._making: dict[Key, asyncio.Task[State]] = {}

    async def fork(self, modules: list[str], path: list[str]) -> tuple[Process, int]:
        """(a live process that has imported `modules`, its fork depth). Costs a fork, or the first time the
        imports: those of pandas take 0.5 s."""
        key = (tuple(path), frozenset(modules))
        base = self._found(key) or await self._made(key, modules)
        process = self._processes.take_ready(base)
        if process is None:
            await self._processes.settled(base)
            if not base.can_fork:  # threads, and another restore has taken the one process that there was
                return await self._imported(self._root(), key, modules), 1
            process = self._processes.fork(base)
        return process, base.fork_depth + 1

    def end(self) -> None:
        """End all bases."""
        for base in self._bases.values():
            self._processes.release(base)
        self._bases.clear()

    def _found(self, key: Key) -> State | None:
        base = self._bases.get(key)
        if base is None or not (base.can_fork or base.has_ready or not base.settled.is_set()):
            return None
        self._bases.move_to_end(key)
        return base

    async def _made(self, key: Key, modules: list[str]) -> State:
        """A base for `key`; those who need it at the same time share the making of it."""
        task = self._making.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(key, modules))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(task)

    async def _make(self, key: Key, modules: list[str]) -> State:
        await self._processes.living_root()
        near = self._nearest(key)
        process = await self._imported(near, key, modules)
        base = State(None, "")
        base.fork_depth = near.fork_depth + 1
        self._processes.freeze_soon(base, process)
        await self._processes.settled(base)
        if base.can_fork:
            self._keep(key, base)
        elif base.frozen is not None:
            base.frozen.retire()
        return base

    def _keep(self, key: Key, base: State) -> None:
        self._bases[key] = base
        while len(self._bases) > KEPT:
            self._processes.release(self._bases.popitem(last=False)[1])

    async def _imported(self, near: State, key: Key, modules: list[str]) -> Process:
        """A fork of `near` that has imported what is still to be imported."""
        self._processes.check_room()
        process = self._processes.fork(near)
        answer = self._processes.expect(process)
        process.send(Import(modules, list(key[0])))
        said = await answer
        if not isinstance(said, Imported):
            process.end()
            raise CannotRestore(
                f"the process that imports {_listed(modules)} ended: {process.describe_end()}.",
                "Import them in a fresh state to see why.",
            )
        if said.failed:
            _log.warning("modules that a snapshot names cannot be imported: %s", "; ".join(said.failed))
        return process

    def _nearest(self, key: Key) -> State:
        """The base that has imported most of what is wanted and nothing else, or the root."""
        path, modules = key
        fitting = [
            (len(has), base)
            for (base_path, has), base in self._bases.items()
            if base_path == path and has < modules and base.can_fork
        ]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else self._root()

    def _root(self) -> State:
        root = State(None, "")
        root.frozen = self._processes.root
        return root


def _listed(modules: list[str]) -> str:
    return ", ".join(modules[:5]) + (f" and {len(modules) - 5} more" if len(modules) > 5 else "")
