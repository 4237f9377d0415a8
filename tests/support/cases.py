"""Isolation, as data: a cell sets something up, two change it in branches, a look tells the states apart.

The cases themselves are in isolation_of_objects.py and isolation_of_processes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    """`look` prints `base` in the state that `setup` made, `left` and `right` in its two branches."""

    fact: str
    setup: str
    left: str
    right: str
    look: str
    base: str
    in_left: str
    in_right: str
    needs: str = ""
    reason: str = ""

    def script(self) -> list[tuple[str, str, str]]:
        """The cells, as (code, state, name); the last three are looks at base, left and right."""
        cells = [("setup", "initial", "base"), ("left", "base", "left"), ("right", "base", "right")]
        looks = [("look", state, f"look-{state}") for state in ("base", "left", "right")]
        return [(dedent(getattr(self, field)), state, name) for field, state, name in [*cells, *looks]]

    @property
    def expected(self) -> list[str]:
        return [self.base, self.in_left, self.in_right]


def counted(fact: str, setup: str, change: str, look: str, **more: str) -> Case:
    """A case whose `change` is made once in the left branch and twice in the right: 0, 1, 2."""
    return Case(fact, setup, change, f"{dedent(change)}\n{dedent(change)}", look, "0", "1", "2", **more)
