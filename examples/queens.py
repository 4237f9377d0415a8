"""Eight queens on a chessboard, none of which attacks another: a search that says only what a solution is.

    python examples/queens.py        the first solution, and how many there are of a smaller board

`choose` picks a column for each row, `reject` says that it leads nowhere. Each option is a branch of the
execution, in a process of its own: the board needs no copies, and nothing has to be undone.
"""

from __future__ import annotations

import sys

import stillframe

SEARCH = """
from stillframe import choose, reject

queens = []
for row in range(size):
    column = choose(range(size))
    if any(column == other or abs(column - other) == row - above for above, other in enumerate(queens)):
        reject()
    queens.append(column)

for column in queens:
    print(" ".join("Q" if column == place else "." for place in range(size)))
"""


def main(size: int = 8, small: int = 5) -> None:
    """Print a solution for a board of `size`, and how many there are for one of `small`."""
    with stillframe.Kernel() as kernel:
        kernel.execute(f"size = {size}", name="board")
        solved = kernel.execute(SEARCH, "board", name="solved").raise_for_error()
        print(solved.text)
        print("columns:", kernel.value("solved", "queens"))

        kernel.execute(f"size = {small}", name="small board")
        every = kernel.execute_all(SEARCH, "small board", name="small")
        found = [kernel.value(branch, "queens") for branch in every]
        print(f"{small} queens: {len(found)} solutions, the last one {found[-1]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
