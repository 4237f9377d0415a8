"""The promise: a state means its lineage's cells, replayed in order.

Random trees of cells that are chosen to hurt grow in the server (100; STILLFRAME_TREES says how many), with failing
cells, branches, moved names and deletions in between. Each state that has a name at the end is probed, and what each
of its cells printed is remembered; both must equal what plain exec prints, in a fresh process, for the same lineage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import deepcopy_engine, probe
from support.replay import replay
from support.server import Json, Server, stdout
from support.trees import WARM, Tree, grow, make_files

SEEDS = range(1000, 1000 + int(os.environ.get("STILLFRAME_TREES", "100")))
BATCH = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def probe_cell(root: Path) -> str:
    return probe.cell(root)


def replayed(trees: list[Tree], root: Path, cell: str) -> dict[tuple[int, str], list[str]]:
    """For each seed and name what the lineage's cells and at last the probe print."""
    keys = [(tree.seed, name) for tree in trees for name in tree.lineages]
    lineages = [[*tree.lineages[name], cell] for tree in trees for name in tree.lineages]
    found = replay(lineages, cwd=root, warm=WARM)
    for key, texts, lineage in zip(keys, found, lineages, strict=True):
        assert texts is not None and len(texts) == len(lineage), f"the replay of {key} itself failed: {texts}"
        assert not texts[-1].startswith("cell "), f"the replay of {key} itself failed: {texts[-1]}"
    return dict(zip(keys, found, strict=True))


def grown(server: Server, tree: Tree, cell: str) -> dict[str, list[str]]:
    """Grow the tree in the server; for each name what its lineage's cells printed, and the probe's text."""
    server.reset()
    printed: dict[str, list[str]] = {"initial": []}
    for number, step in enumerate(tree.steps):
        where = f"seed {tree.seed}, step {number}: {step}"
        if step.code is None:
            assert server.delete(step.state) == 200, where
            del printed[step.state]
            continue
        reply = server.run(step.code, step.state, step.name)
        assert (reply["error"] is not None) == step.fails, f"{where}: {reply['error']}"
        if not step.fails:
            printed[step.name] = [*printed[step.state], stdout(reply)]
    for name in tree.lineages:
        reply = server.run(cell, name, "probe")
        assert reply["error"] is None, f"seed {tree.seed}, state {name}: {reply['error']}"
        printed[name].append(stdout(reply))
    return printed


def difference(expected: list[str], found: list[str]) -> str:
    """The first lines that differ."""
    for cell, (want, have) in enumerate(zip(expected, found, strict=True)):
        for want_line, have_line in zip(want.splitlines(), have.splitlines(), strict=False):
            if want_line != have_line:
                return f"cell {cell}:\n  replay: {want_line}\n  state:  {have_line}"
        if want != have:
            return f"cell {cell}: {len(want)} characters in the replay, {len(have)} in the state"
    return ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_each_state_of_random_trees_equals_its_replay(
    kernel: Server, root: Path, probe_cell: str, first: int
) -> None:
    trees = [grow(seed, str(root)) for seed in range(first, first + BATCH)]
    # The replays run on one core while the trees grow on the other.
    with ThreadPoolExecutor(1) as beside:
        replays = beside.submit(replayed, trees, root, probe_cell)
        all_found = [grown(kernel, tree, probe_cell) for tree in trees]
        expected = replays.result()
    for tree, found in zip(trees, all_found, strict=True):
        for name, lineage in tree.lineages.items():
            problem = difference(expected[tree.seed, name], found[name])
            cells = "\n----\n".join(lineage)
            assert not problem, f"seed {tree.seed}, state {name}, {problem}\nthe lineage:\n{cells}"


@pytest.mark.timeout(120)
def test_the_property_is_red_on_an_engine_that_copies(root: Path, probe_cell: str) -> None:
    trees = [grow(seed, str(root)) for seed in range(SEEDS[0], SEEDS[0] + 40)]
    expected = replayed(trees, root, probe_cell)
    scripts = []
    for tree in trees:
        steps = [(step.code, step.state, step.name) for step in tree.steps]
        scripts.append(steps + [(probe_cell, name, "probe") for name in tree.lineages])
    replies = _copied(scripts, root)
    red = []
    for tree, answers in zip(trees, replies, strict=True):
        probes = answers and [stdout(reply) for reply in answers[-len(tree.lineages) :]]
        if probes != [expected[tree.seed, name][-1] for name in tree.lineages]:
            red.append(tree.seed)
    assert len(red) >= 0.9 * len(trees), f"only {len(red)} of {len(trees)} trees are red"


def test_a_straight_line_without_branches_is_green_on_an_engine_that_copies(
    root: Path, probe_cell: str
) -> None:
    """The oracle and the probe are not red on everything: gentle cells pass on the wrong engine too."""
    cells = ["x = [1, 2]", "y = {'a': 1.5}", "x.append(3); y['b'] = 'text'", "z = x + list(y)"]
    steps = [(code, f"g{n - 1}" if n else "initial", f"g{n}") for n, code in enumerate(cells)]
    replies = _copied([[*steps, (probe_cell, "g3", "probe")]], root)[0]
    assert replies is not None
    assert stdout(replies[-1]) == replay([[*cells, probe_cell]], cwd=root, warm=WARM)[0][-1]


def _copied(scripts: list[Json], root: Path) -> list[list[Json] | None]:
    found = subprocess.run(
        [sys.executable, deepcopy_engine.__file__], input=json.dumps({"warm": WARM, "scripts": scripts}),
        capture_output=True, text=True, timeout=100, check=True, cwd=root,
    )  # fmt: skip
    return json.loads(found.stdout)
