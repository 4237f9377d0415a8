"""The promise, through the store: a restored state means its lineage's cells, replayed in order.

Random trees of cells that are chosen to hurt grow by hand, without the cells that are there to hurt forks alone
(files that branches share). Each state with a name is captured at the end, restored in a process that has run
nothing, and probed; its text must equal what plain exec prints, in a fresh process, for the same lineage.
A state that holds what cannot be captured (a database in memory) is refused, with obstacles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stillframe.engine.protocol import Captured
from stillframe.store import snapshots
from stillframe.store.blobs import Blobs
from support import probe
from support.replay import replay
from support.state_processes import Held, StateProcesses
from support.trees import WARM, Tree, grow, make_files

SEEDS = range(3000, 3000 + int(os.environ.get("STILLFRAME_TREES", "12")))
BATCH = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("root"))


@pytest.fixture
def kernel(root: Path) -> Iterator[StateProcesses]:
    made = StateProcesses(root)
    yield made
    made.stop()


def captured(kernel: StateProcesses, tree: Tree, store: Path) -> dict[str, Captured]:
    """Grow the tree, and capture each of its states that has a name at the end."""
    frozen: dict[str, Held] = {"initial": kernel.root}
    for step in tree.steps:
        if step.code is None:
            del frozen[step.state]
            continue
        live = frozen[step.state].fork()
        done = live.run(step.code)
        assert (done.error is not None) == step.fails, f"seed {tree.seed}, {step}: {done.error}"
        if not step.fails:
            frozen[step.name] = live.freeze()
        live.end()
    return {name: frozen[name].capture(store) for name in tree.lineages if name != "initial"}


def probed(kernel: StateProcesses, store: Path, record: bytes, cell: str, bases: dict[str, Held]) -> str:
    """What the probe prints in the restored state."""
    header = msgspec.json.decode(snapshots.decode(record).header)
    key = header["imports"]
    if key not in bases:
        bases[key] = kernel.base(Blobs(store).get(key).decode().split(), header["path"])
    live = bases[key].fork()
    answer = live.restore(store, record)
    assert answer.error == "", answer.error
    text = live.ok(cell)
    live.end()
    return text


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "first", [SEEDS[0], *(pytest.param(first, marks=pytest.mark.slow) for first in SEEDS[BATCH::BATCH])]
)
def test_each_restored_state_of_random_trees_equals_its_replay(
    kernel: StateProcesses, root: Path, tmp_path: Path, first: int
) -> None:
    store, cell = tmp_path / "store", probe.cell(root)
    store.mkdir()
    Blobs(store).create()
    trees = [grow(seed, str(root)) for seed in range(first, first + BATCH)]
    lineages = {(tree.seed, name): lineage for tree in trees for name, lineage in tree.lineages.items()}
    texts = replay([[*lineage, cell] for lineage in lineages.values()], cwd=root, warm=WARM)
    expected = dict(zip(lineages, texts, strict=True))
    bases: dict[str, Held] = {}
    equal, refused = 0, 0
    for tree in trees:
        for name, found in captured(kernel, tree, store).items():
            where = f"seed {tree.seed}, state {name}"
            lines = expected[tree.seed, name]
            assert lines is not None and found.error == "", where
            if found.obstacles:
                assert all("database" in text or "Cursor" in text for text in found.obstacles), (where, found)
                refused += 1
                continue
            text = probed(kernel, store, found.record, cell, bases)
            assert not _difference(lines[-1], text), (
                f"{where}:\n{_difference(lines[-1], text)}\n" + "\n----\n".join(lineages[tree.seed, name])
            )
            equal += 1
        for held in list(kernel.held):
            if held is not kernel.root and held not in bases.values():
                held.end()
    print(f"{equal} states equal their replay, {refused} refused")
    assert equal > refused


def _difference(expected: str, found: str) -> str:
    for want, have in zip(expected.splitlines(), found.splitlines(), strict=False):
        if want != have:
            return f"  replay:   {want}\n  restored: {have}"
    return "" if expected == found else f"{len(expected)} characters in the replay, {len(found)} restored"
