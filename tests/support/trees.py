"""Random trees of cells that are chosen to hurt, each reproducible from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from support.themes import FAILING, THEMES

READY = "import os; os.environ['SF_ROOT'] = {root!r}; os.chdir({root!r})"
"""The first cell of every tree: where the files are."""
WARM = ("numpy", "decimal", "sqlite3", "dataclasses", "logging", "random")
"""What the cells import."""


def make_files(root: Path) -> Path:
    """The files that cells read: one set for all trees, never written."""
    for number in range(3):
        (root / f"d{number}").mkdir()
    (root / "text").write_text("".join(f"line {number}\n" for number in range(3000)))
    return root


@dataclass
class Step:
    """One thing done: execute `code` in `state` as `name`; where `code` is None: delete `state`."""

    code: str | None
    state: str
    name: str = ""
    fails: bool = False


@dataclass
class Tree:
    """The steps of one random tree, and the lineages of the names that are there at the end."""

    seed: int
    steps: list[Step] = field(default_factory=list)
    lineages: dict[str, list[str]] = field(default_factory=dict)


def grow(seed: int, root: str, steps: int = 12) -> Tree:
    """The tree of this seed."""
    dice, tree = random.Random(seed), Tree(seed)
    ready = READY.format(root=root)
    tree.steps.append(Step(ready, "initial", "s0"))
    tree.lineages["s0"] = [ready]
    # A few themes a tree, so that its cells meet.
    themes = dice.sample(sorted(THEMES), 4)
    for number in range(1, steps):
        newest = f"s{number - 1}"
        # Mostly the newest state, as in a notebook; else any: a branch.
        state = (
            newest if newest in tree.lineages and dice.random() < 0.45 else dice.choice(sorted(tree.lineages))
        )
        kind = dice.random()
        if kind < 0.1:
            tree.steps.append(
                Step(dice.choice(FAILING), state, dice.choice([f"s{number}", state]), fails=True)
            )
            continue
        if kind < 0.17 and len(tree.lineages) > 3 and state != "s0":
            tree.steps.append(Step(None, state))
            del tree.lineages[state]
            continue
        moved = kind > 0.9
        name = dice.choice(sorted(tree.lineages)) if moved else f"s{number}"
        code = _cells(dice, themes, tree.lineages[state])
        tree.steps.append(Step(code, state, name))
        tree.lineages[name] = [*tree.lineages[state], code]
    return tree


def _first(theme: str) -> str:
    return dedent(THEMES[theme][0]).strip()


def _cells(dice: random.Random, themes: list[str], lineage: list[str]) -> str:
    """A cell that sets a theme up that the lineage has not, or one that changes two things that it has."""
    there = [theme for theme in themes if any(_first(theme) in cell for cell in lineage)]
    missing = [theme for theme in themes if theme not in there]
    if missing and (not there or dice.random() < 0.4):
        chosen = dice.sample(missing, min(2, len(missing)))
        return "\n".join(_first(theme) for theme in chosen)
    parts = [dice.choice(THEMES[dice.choice(there)][1]) for _ in range(dice.choice([1, 1, 2]))]
    return "\n".join(part.replace("$", str(dice.randrange(1, 30))) for part in parts)
